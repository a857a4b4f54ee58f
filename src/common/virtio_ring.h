/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What lies in guest memory: virtio 1.x, "Split Virtqueues". Little-endian. The event words are
 * what follows the last entry: used_event is avail->ring[num], avail_event the 16 bits at
 * used->ring[num].
 */
#ifndef VHU_VIRTIO_RING_H
#define VHU_VIRTIO_RING_H

#include <stdint.h>

enum { VHU__DESC_NEXT = 0x1, VHU__DESC_WRITE = 0x2, VHU__DESC_INDIRECT = 0x4 };
enum { VHU__AVAIL_NO_CALL = 0x1 };
enum { VHU__USED_NO_KICK = 0x1 };

typedef struct vhu__desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
} vhu__desc;

typedef struct vhu__avail {
    uint16_t flags;
    uint16_t idx;
    uint16_t ring[];
} vhu__avail;

typedef struct vhu__used_elem {
    uint32_t id;
    uint32_t len;
} vhu__used_elem;

typedef struct vhu__used {
    uint16_t flags;
    uint16_t idx;
    vhu__used_elem ring[];
} vhu__used;

/* Bytes of each part of a ring of `num`, event words included. */
static inline uint64_t vhu__desc_bytes(uint32_t num)
{
    return sizeof(vhu__desc) * (uint64_t)num;
}

static inline uint64_t vhu__avail_bytes(uint32_t num)
{
    return sizeof(vhu__avail) + sizeof(uint16_t) * ((uint64_t)num + 1);
}

static inline uint64_t vhu__used_bytes(uint32_t num)
{
    return sizeof(vhu__used) + sizeof(vhu__used_elem) * (uint64_t)num + sizeof(uint16_t);
}

#endif
