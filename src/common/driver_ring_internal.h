/* SPDX-License-Identifier: BSD-3-Clause */
/* What the layouts of a driver's ring share. */
#ifndef VHU_DRIVER_RING_INTERNAL_H
#define VHU_DRIVER_RING_INTERNAL_H

#include <vmm_vhost/driver.h>

#include "packed_ring.h"
#include "util.h"

/* Of each descriptor; and of one more, through which the circle of requests in use is closed. */
typedef struct vhu__driver_slot {
    void *token;
    uint32_t writable; /* bytes */
    uint16_t count;    /* descriptors of the ring that the request takes; 0: no request's head */
    uint16_t next;     /* in the list of free ones, or of the request */
    uint16_t older;    /* request: the one added before it, and the one after */
    uint16_t newer;
} vhu__driver_slot;

typedef struct vhu__driver_layout {
    /* Bytes of the three parts, and what their addresses are multiples of. */
    uint64_t (*bytes[3])(uint32_t num);
    uint32_t align[3];
    /* The parts are where they are for good, and all zero. VHU_ENOMEM. */
    int (*start)(vhu_driver_ring *ring, void *const *parts);
    /* The descriptor of a slot; `next` is the slot that follows, if the flags say so. */
    void (*set)(vhu_driver_ring *ring, uint16_t slot, const vhu_guest_buf *buf, unsigned flags,
                uint16_t next);
    /* One of an indirect table; the same. */
    vhu__desc (*table_desc)(const vhu_guest_buf *buf, unsigned flags, uint32_t next);
    /* Add a request, unseen; show all that were added, and whether the device wants a kick. */
    void (*offer)(vhu_driver_ring *ring, uint16_t head);
    bool (*publish)(vhu_driver_ring *ring);
    /* Whether there is a used entry, and what it says. Or VHU_EBROKEN_RING. */
    int (*look)(vhu_driver_ring *ring, uint32_t *id, uint32_t *len);
    /* Go on behind a used request; whether another one was used with it. */
    void (*pass)(vhu_driver_ring *ring, uint32_t count);
    bool (*more)(vhu_driver_ring *ring);
    void (*enable_calls)(vhu_driver_ring *ring, bool enable);
    bool (*has_used)(vhu_driver_ring *ring);
    /* Nothing is offered, and what is offered next is what is used next. */
    void (*rewind)(vhu_driver_ring *ring);
    uint32_t (*base)(const vhu_driver_ring *ring);
} vhu__driver_layout;

extern const vhu__driver_layout vhu__driver_split;
extern const vhu__driver_layout vhu__driver_split_be;
extern const vhu__driver_layout vhu__driver_packed;

struct vhu_driver_ring {
    const vhu__driver_layout *ops;
    vhu_ring_layout layout;
    uint64_t tables_addr;
    vhu__desc *tables; /* NULL: none */
    uint32_t table_len;
    /* Split. */
    vhu__desc *desc;
    vhu__avail *avail;
    const vhu__used *used;
    const uint16_t *avail_event;
    uint16_t *used_event;
    uint16_t seen; /* the device's used index, when it was last looked at */
    /* Packed. */
    vhu__packed_desc *packed;
    vhu__packed_event *driver_event;
    const vhu__packed_event *device_event;
    vhu__packed_desc *copies; /* by slot: what the device overwrites in the ring */
    uint16_t first_flags;     /* of the first descriptor that is not published */
    /* Both; indices or, packed, positions. */
    uint16_t avail_idx;
    uint16_t published;
    uint16_t used_idx; /* next to collect */
    uint32_t room;     /* free descriptors */
    uint32_t in_use;   /* requests */
    uint16_t free;     /* the first free slot; the last one is known with in_order */
    uint16_t free_last;
    bool event_idx;
    bool in_order;
    /* With in_order: one used entry stands for all requests up to one. */
    bool in_batch;
    uint32_t batch_id;
    uint32_t batch_len;
    char error[120];
    vhu__driver_slot slots[];
};

int vhu__driver_break(vhu_driver_ring *ring, const char *format, ...) VHU__PRINTF(2, 3);

#endif
