/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lies in guest memory: virtio 1.x, "Packed Virtqueues". Little-endian. And positions in such
 * a ring, which both sides count alike.
 */
#ifndef VHU_PACKED_RING_H
#define VHU_PACKED_RING_H

#include <stdbool.h>
#include <stdint.h>

#include "virtio_ring.h"

/* Besides VHU__DESC_*. Which values make a descriptor available or used changes with each lap. */
enum { VHU__PACKED_AVAIL = 0x80, VHU__PACKED_USED = 0x8000, VHU__PACKED_MARKS = 0x8080 };
enum { VHU__EVENT_ENABLE = 0, VHU__EVENT_DISABLE = 1, VHU__EVENT_DESC = 2, VHU__EVENT_MASK = 3 };

/* As long as vhu__desc, and with the same beginning. */
typedef struct vhu__packed_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t id;
    uint16_t flags;
} vhu__packed_desc;

/* What one side wants to hear of the other: anything, nothing, or that a position was passed. */
typedef struct vhu__packed_event {
    uint16_t position;
    uint16_t flags;
} vhu__packed_event;

/*
 * A position: the descriptor in bits 0 to 14, the wrap counter in bit 15, as it is in an event and
 * in both halves of a ring's base.
 */
enum { VHU__POS_WRAP = 0x8000, VHU__POS_IDX = 0x7fff, VHU__POS_START = VHU__POS_WRAP };

/* The marks of a descriptor there that is available, or used. */
static inline uint32_t vhu__pos_avail(uint32_t pos)
{
    return pos & VHU__POS_WRAP ? VHU__PACKED_AVAIL : VHU__PACKED_USED;
}

static inline uint32_t vhu__pos_used(uint32_t pos)
{
    return pos & VHU__POS_WRAP ? VHU__PACKED_MARKS : 0;
}

/* `n` descriptors further in a ring of `num`, which are no less. */
static inline uint32_t vhu__pos_add(uint32_t pos, uint32_t n, uint32_t num)
{
    uint32_t idx = (pos & VHU__POS_IDX) + n;

    return idx < num ? (pos & VHU__POS_WRAP) | idx
                     : ((pos & VHU__POS_WRAP) ^ VHU__POS_WRAP) | (idx - num);
}

/* Descriptors from one position to a later one: 1 to twice `num`. */
static inline uint32_t vhu__pos_distance(uint32_t from, uint32_t to, uint32_t num)
{
    uint32_t n = (to & VHU__POS_IDX) - (from & VHU__POS_IDX);

    if ((from ^ to) & VHU__POS_WRAP)
        n += num;
    return (int32_t)n > 0 ? n : n + 2 * num;
}

/* Whether the descriptor at the position `event` is among the last `n` before `now`. */
static inline bool vhu__pos_passed(uint32_t event, uint32_t now, uint64_t n, uint32_t num)
{
    return vhu__pos_distance(event, now, num) <= n;
}

#endif
