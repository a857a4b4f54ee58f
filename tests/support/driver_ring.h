/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a guest has: memory, and the driver's side of a ring in it, split or packed. Members are
 * open, so that a test can break every rule.
 */
#ifndef TEST_DRIVER_RING_H
#define TEST_DRIVER_RING_H

#include <vmm_vhost/memory.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/shm.h>

#include "packed_ring.h"

/* --- guest memory: one object, cut into regions --- */

#define DRIVER_MAX_REGIONS 8u
#define DRIVER_GUEST_BASE UINT64_C(0x40000000)
#define DRIVER_USER_BASE UINT64_C(0x7f0000000000)

typedef struct driver_memory {
    vhu_shm *shm;
    uint8_t *base; /* all of it, as the front-end sees it */
    uint64_t size; /* bytes, all regions */
    size_t num_regions;
    vhu_mem_region regions[DRIVER_MAX_REGIONS];
} driver_memory;

/*
 * `n` regions of `region_size` bytes (a multiple of 64 KiB) with `gap` guest bytes in between. They
 * lie in it in reverse order, so neighbours are no neighbours for the device. 0 or VHU_E*.
 */
int driver_memory_init(driver_memory *memory, uint64_t region_size, size_t n, uint64_t gap);
void driver_memory_destroy(driver_memory *memory);

/* Where a guest address is, here or in the front-end's view; NULL or 0 if nowhere. */
void *driver_memory_at(const driver_memory *memory, uint64_t guest_addr);
uint64_t driver_memory_user(const driver_memory *memory, uint64_t guest_addr);

/* What to send for a region; borrowed. */
vhu_handle driver_memory_handle(const driver_memory *memory);

/* Add all regions to a device's memory, by duplicates of the handle. 0 or VHU_E*. */
int driver_memory_share(const driver_memory *memory, vhu_memory *device);

/* --- ring --- */

/* Descriptors in the indirect table that each head has. */
#define DRIVER_TABLE_SIZE 32u

typedef struct driver_buf {
    uint64_t addr; /* the guest's */
    uint32_t len;
    bool writable;
} driver_buf;

typedef struct driver_ring {
    driver_memory *memory;
    uint32_t num;
    bool event_idx;
    bool is_packed;
    uint64_t desc_addr, avail_addr, used_addr, tables_addr, end_addr; /* the guest's */
    vhu__desc *desc;
    vhu__avail *avail;
    vhu__used *used;
    vhu__packed_desc *packed; /* a packed ring has these instead, and positions for indices */
    vhu__packed_event *driver_event;
    vhu__packed_event *device_event;
    uint16_t first_flags; /* of the first descriptor that is not published */
    uint16_t avail_idx;   /* next to fill; the published one is in the ring */
    uint16_t published;
    uint16_t used_idx; /* next to reap */
    uint16_t free;     /* list of descriptors or, packed, identifiers, through next[] */
    uint32_t num_free; /* descriptors */
    uint16_t next[VHU_MAX_RING_SIZE];
    uint16_t used_by[VHU_MAX_RING_SIZE]; /* by head: descriptors in the ring itself */
    uint16_t place[VHU_MAX_RING_SIZE];   /* packed, by head: the first of them */
} driver_ring;

/*
 * A new ring in guest memory from `guest_addr` (16-aligned) on, packed if that is in `features`,
 * with indirect tables for each head if INDIRECT_DESC is. end_addr is what is free behind it. 0, or
 * -1 if it does not lie in one region.
 */
int driver_ring_init(driver_ring *ring, driver_memory *memory, uint64_t guest_addr, uint32_t num,
                     uint64_t features);

/* As SET_VRING_ADDR and, before anything was added, SET_VRING_BASE have it. */
uint32_t driver_ring_base(const driver_ring *ring);
vhu_vring_addr driver_ring_addr(const driver_ring *ring);

/* Let both indices go on from here, in a ring with nothing in it. */
void driver_ring_set_index(driver_ring *ring, uint16_t index);

/* Add a request; it is not yet shown to the device. Its head, or -1 if there is no room. */
int driver_ring_add(driver_ring *ring, const driver_buf *bufs, uint32_t n);
int driver_ring_add_indirect(driver_ring *ring, const driver_buf *bufs, uint32_t n);

/* Put a head into the available ring as it is, whatever it is. Split rings only. */
void driver_ring_push_head(driver_ring *ring, uint16_t head);

/* Show the device what was added. Whether it wants a kick for it. */
bool driver_ring_publish(driver_ring *ring);

/* Whether there is a used request. */
bool driver_ring_has_used(driver_ring *ring);

/* Take a used request back: its head, or -1 if there is none. `len` may be NULL. */
int driver_ring_reap(driver_ring *ring, uint32_t *len);

/* Ask for a call for the next used request, or for none. */
void driver_ring_enable_calls(driver_ring *ring, bool on);

/* Descriptor `i` of a request in a packed ring, or of its table. */
vhu__packed_desc *driver_ring_packed(driver_ring *ring, uint16_t head, uint32_t i);

/* The event words, or positions. */
uint16_t *driver_ring_used_event(driver_ring *ring);
uint16_t *driver_ring_avail_event(driver_ring *ring);

#endif
