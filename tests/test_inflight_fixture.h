/* SPDX-License-Identifier: BSD-3-Clause */
/* An in-flight area and a guest, which stay, and devices, which come and go without a word. */
#ifndef TEST_INFLIGHT_FIXTURE_H
#define TEST_INFLIGHT_FIXTURE_H

#include "inflight.h"
#include "os.h"
#include "support/queue_rig.h"

enum { AREA_RINGS = 2, AREA_RING_SIZE = 8 };

/* The specification's layout once more, by bytes. */
enum {
    AREA_FEATURES = 0,
    AREA_VERSION = 8,
    AREA_NUM = 10,
    AREA_LAST_BATCH_HEAD = 12,
    AREA_USED_IDX = 14,
    AREA_ENTRIES = 16,
    AREA_ENTRY = 16, /* bytes of one */
    AREA_OUT = 0,
    AREA_NEXT = 6,
    AREA_COUNTER = 8,
    AREA_STRIDE = 192 /* for 8 descriptors: 16 + 8 * 16, and what is missing to 64 */
};

/* That of packed rings, where it is another one. */
enum {
    PACKED_FREE_HEAD = 12,
    PACKED_OLD_FREE_HEAD = 14,
    PACKED_USED_IDX = 16,
    PACKED_OLD_USED_IDX = 18,
    PACKED_USED_WRAP = 20,
    PACKED_OLD_USED_WRAP = 21,
    PACKED_ENTRIES = 32,
    PACKED_ENTRY = 32,
    PACKED_OUT = 0,
    PACKED_NEXT = 2,
    PACKED_LAST = 4,
    PACKED_SPAN = 6,
    PACKED_COUNTER = 8,
    PACKED_ID = 16,
    PACKED_FLAGS = 18,
    PACKED_LEN = 20,
    PACKED_ADDR = 24,
    PACKED_STRIDE = 320
};

typedef struct keeper {
    rig *rig;
    bool packed;
    vhu_inflight_area area;
    vhu_handle handle;
    os_map map;
    uint8_t *bytes;
    vhu__inflight *inflight; /* NULL: no device lives */
} keeper;

/* A new area, and a guest with a ring of `num`, split or not, whose indices begin at `index`. */
void keeper_open(keeper *k, uint32_t num, uint16_t index);
void keeper_open_with(keeper *k, uint64_t features, uint32_t num, uint16_t index);
void keeper_close(keeper *k);

/* A device opens the area; and starts the ring, as ring 0, at the used index. */
int keeper_open_area(keeper *k);
int keeper_start(keeper *k);
/* The device is gone, with all it knew. */
void keeper_kill(keeper *k);

/* Show all requests to the device, which takes `n`. */
void keeper_publish(keeper *k, uint32_t n);
/* The device takes three, the first with a table or not, completes the second, and is gone. */
void keeper_leave_two_out(keeper *k, bool first_has_table);

/* Words of the area. */
uint64_t keeper_get(const keeper *k, size_t offset, size_t size);
void keeper_set(keeper *k, size_t offset, size_t size, uint64_t value);
/* Of an entry of ring 0. */
uint64_t keeper_entry(const keeper *k, uint32_t head, size_t offset, size_t size);
/* Where that is. */
size_t keeper_entry_at(const keeper *k, uint32_t head, size_t offset);

/* What is written into an area that `leave` has left, and what comes of it. */
typedef struct bad_word {
    size_t offset;
    size_t size;
    uint64_t value;
    int opened;  /* result */
    int started; /* likewise, or how many requests are out */
} bad_word;

/* Each of them before a device opens the area, and after that, when it has been checked. */
void keeper_try_words(void (*leave)(keeper *k), const bad_word *rows, size_t n);

#endif
