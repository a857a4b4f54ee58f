/* SPDX-License-Identifier: BSD-3-Clause */
/* A device of the kit and its front-end with an in-flight area that another device has left. */
#ifndef TEST_LEFT_FIXTURE_H
#define TEST_LEFT_FIXTURE_H

#include "inflight.h"
#include "os.h"
#include "test_device_fixture.h"

#define PROTOCOL (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_INFLIGHT_SHMFD))

enum { LEFT = 5, LEFT_DESCS = 8, RING_SIZE = 16 };

#define PACKED VHU_BIT(VHU_F_RING_PACKED)

/* The specification's layout. */
typedef struct left_entry {
    uint8_t out;
    uint8_t pad[5];
    uint16_t next;
    uint64_t counter;
} left_entry;

typedef struct left_region {
    uint64_t features;
    uint16_t version;
    uint16_t num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    left_entry entries[RING_SIZE];
    uint8_t pad[48]; /* to a multiple of 64 */
} left_region;

typedef struct left_packed_entry {
    uint8_t out;
    uint8_t pad;
    uint16_t next;
    uint16_t last;
    uint16_t num;
    uint64_t counter;
    uint16_t id;
    uint16_t flags;
    uint32_t len;
    uint64_t addr;
} left_packed_entry;

typedef struct left_packed {
    uint64_t features;
    uint16_t version;
    uint16_t num;
    uint16_t free_head;
    uint16_t old_free_head;
    uint16_t used_idx;
    uint16_t old_used_idx;
    uint8_t used_wrap;
    uint8_t old_used_wrap;
    uint8_t pad[10];
    left_packed_entry entries[RING_SIZE];
    uint8_t pad_to_64[32];
} left_packed;

typedef struct shared_area {
    vhu_inflight_area area;
    vhu_handle handle;
    os_map map;
    left_region *rings; /* one of the two is right */
    left_packed *packed;
    bool is_packed;
} shared_area;

/* GET_INFLIGHT_FD, mapped: for two rings of the layout that was negotiated. */
void get_area(kit *k, shared_area *a);
void close_area(shared_area *a);

/*
 * A front-end whose ring 0 has LEFT + 2 requests, of which another device has taken the first LEFT,
 * and come no further. Their record is in the area, which is set.
 */
kit *open_left(const kit_options *options, shared_area *a);
/* The same, got and set before the driver's features are, and after these, unless they are 0. */
kit *open_left_early(const kit_options *options, shared_area *a, uint64_t features);
void close_left(kit *k, shared_area *a);

bool is_packed(const kit *k);
uint32_t count_out(const shared_area *a);
/* What the record says has been shown to the driver, who has seen it: `n` requests. */
void expect_used(const kit *k, const shared_area *a, uint32_t ring, uint32_t n);
/* What a base is with all done, which were `n` requests. */
uint32_t base_after(const kit *k, uint32_t ring, uint32_t n);

#endif
