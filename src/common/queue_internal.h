/* SPDX-License-Identifier: BSD-3-Clause */
/* What the layouts of a ring share, and the hooks of those who keep a record of it. */
#ifndef VHU_QUEUE_INTERNAL_H
#define VHU_QUEUE_INTERNAL_H

#include <vmm_vhost/queue.h>

#include "iotlb.h"
#include "memory_internal.h"
#include "packed_ring.h"
#include "util.h"

/*
 * For who keeps a record of requests. Called on the ring's thread; any but `self` may be NULL. A
 * ring without hooks and without a log does not even look for them. In the order in which they
 * come:
 */
typedef struct vhu__queue_hooks {
    void *self;
    /*
     * The ring starts. Returns how many requests were taken before and are still out, or VHU_E*;
     * queue->again tells which, the oldest first, and is valid until the ring stops: the heads of a
     * split ring, the first slots of a packed one. The indices are then where the ring goes on, and
     * the slots as they were. They are taken first, and no hook is told of that.
     */
    int (*starting)(void *self, vhu_queue *queue);
    /* A request was taken. Of a packed ring, queue->kept has its descriptors. */
    void (*taken)(void *self, const vhu_chain *chain);
    /*
     * Requests are about to be shown to the driver; they have been, and this is the used index (of
     * a packed ring: the position, with the wrap counter in bit 15).
     */
    void (*completing)(void *self, const vhu_chain *chains, uint32_t n);
    void (*completed)(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx);
} vhu__queue_hooks;

/*
 * For who has to know which guest memory was written; `at` is where it is here. Called on the
 * ring's thread, after the fact; all is there, or nothing.
 */
typedef struct vhu__queue_log {
    void *self;
    /*
     * A piece of what the device wrote for a request, before the driver is shown that it is done.
     * The descriptors are read once more for this, and break the ring if they are no good any more.
     * NULL: it is not known any more what was written, as the IOMMU's translation has gone.
     */
    void (*dirty)(void *self, const void *at, uint64_t len);
    /* Bytes of the ring itself: used entries or the index, used descriptors, events. */
    void (*used_dirty)(void *self, const void *at, uint64_t len);
} vhu__queue_log;

typedef struct vhu__queue_ops {
    int (*take)(vhu_queue *queue, vhu_chain *chains, uint32_t n);
    void (*complete)(vhu_queue *queue, const vhu_chain *chains, uint32_t n);
    bool (*needs_call)(vhu_queue *queue);
    bool (*has_avail)(vhu_queue *queue);
    void (*disable_kicks)(vhu_queue *queue);
    bool (*enable_kicks)(vhu_queue *queue);
} vhu__queue_ops;

typedef struct vhu__queue_layout {
    vhu__queue_ops ops; /* of a ring that is not tracked */
    /* Locate the parts of the ring. Errors as vhu_queue_start(). */
    int (*start)(vhu_queue *queue, const vhu_queue_config *config);
    uint32_t (*base)(const vhu_queue *queue);
    /* For tracked rings: take a request that was out when the ring started, as queue->again has it.
     * NULL: there are none. */
    bool (*take_again)(vhu_queue *queue, vhu_chain *chain, uint16_t which);
    /*
     * For tracked rings, may be NULL: a request was taken; copy what will be overwritten. And: it
     * is about to be completed.
     */
    void (*keep)(vhu_queue *queue, vhu_chain *chain);
    void (*forget)(vhu_queue *queue, const vhu_chain *chain);
    /*
     * What completing is made of in tracked rings: reports of what the device wrote for a request;
     * used entries, still unseen; their becoming seen, and the report of all that.
     */
    bool (*report_dirty)(vhu_queue *queue, const vhu_chain *chain);
    void (*fill)(vhu_queue *queue, const vhu_chain *chains, uint32_t n);
    void (*publish)(vhu_queue *queue, const vhu_chain *chains, uint32_t n);
} vhu__queue_layout;

extern const vhu__queue_layout vhu__split_layout;
extern const vhu__queue_layout vhu__split_be_layout;
extern const vhu__queue_layout vhu__packed_layout;

/* Requests that were completed too early, if the driver wants them in order. */
typedef struct vhu__queue_order {
    int (*take)(vhu_queue *queue, vhu_chain *chains, uint32_t n);
    void (*complete)(vhu_queue *queue, const vhu_chain *chains, uint32_t n);
    vhu_chain *early; /* by place; of no span: not early */
    uint32_t num_early;
    uint32_t oldest; /* place of the request whose turn it is */
    uint32_t next;   /* place of the next one to take */
} vhu__queue_order;

/* An access for which there is no translation, or none that allows it. */
typedef struct vhu__fault {
    uint64_t iova;
    uint64_t len; /* 0: there is none */
    uint8_t perm; /* VHU_IOTLB_RO, _WO, _RW: what is missing */
} vhu__fault;

/* A descriptor of a packed ring, as it was when it was available. */
typedef struct vhu__kept {
    vhu__packed_desc desc;
    uint16_t next; /* slot of the request's next one, or of the next that is free */
    /* Of a request, if this is its first one. */
    uint16_t last;
    uint16_t span;
} vhu__kept;

struct vhu_queue {
    vhu__queue_ops ops; /* of no ring while it is stopped or broken */
    const vhu__queue_layout *layout;
    const volatile vhu__desc *desc;
    const volatile vhu__desc *indirect_from; /* the same if there may be indirect tables, or NULL */
    /* Split. */
    const vhu__avail *avail;
    vhu__used *used;
    const uint16_t *used_event;
    uint16_t *avail_event;
    /* Packed. */
    vhu__packed_desc *packed; /* desc */
    const vhu__packed_event *driver_event;
    vhu__packed_event *device_event;
    vhu__kept *kept;    /* if tracked: slots with what is out */
    uint16_t *slot_of;  /* in order: a request's first slot, by its place; else that is its place */
    uint16_t free_slot; /* first of the list */
    uint16_t again_pos; /* position of the next that is taken again */
    uint32_t room;      /* descriptors that are not out */
    /* Both. */
    uint32_t num;
    uint32_t in_use;    /* requests that were taken and not shown yet */
    uint16_t avail_idx; /* next to take */
    uint16_t used_idx;  /* next to fill */
    bool event_idx;
    bool running;
    bool big_endian;   /* what is in the ring; else it is little-endian */
    bool called;       /* since start; the first call is not suppressed by an old event word */
    uint64_t uncalled; /* entries of the ring used since needs_call was asked */
    const vhu_memory *memory;
    vhu__window window; /* where a descriptor pointed not long ago */
    /* Behind an IOMMU. Then `memory` has no regions, so that the quick paths find nothing. */
    vhu__iotlb *iotlb;        /* translates all addresses; NULL: they are the guest's */
    const vhu_memory *behind; /* where they are then */
    vhu__fault fault;         /* of the last translation */
    vhu__iotlb *platform;     /* for `iotlb`, if the driver has one */
    struct {
        uint64_t addr; /* the guest's */
        uint32_t count;
    } pieces; /* the indirect table that is not in one piece here */
    vhu__queue_hooks hooks;
    vhu__queue_log log;
    bool tracked;          /* there are hooks or a log */
    const uint16_t *again; /* what was out when the ring started */
    uint32_t num_again;    /* that have not been taken again yet */
    vhu__queue_order order;
    char error[160];
};

/* Set or, with NULL, remove the hooks, or the log; copied. VHU_ESTATE: running. */
int vhu__queue_set_hooks(vhu_queue *queue, const vhu__queue_hooks *hooks);
int vhu__queue_set_log(vhu_queue *queue, const vhu__queue_log *log);

/*
 * Translations for a ring that is started with ACCESS_PLATFORM, which is not implemented without;
 * borrowed as long as that. VHU_ESTATE: running.
 */
int vhu__queue_set_iotlb(vhu_queue *queue, vhu__iotlb *iotlb);

/*
 * The translation for want of which nothing could be taken, or the ring not be started
 * (VHU_EAGAIN): try again when it has come. NULL: that was not the reason.
 */
const vhu__fault *vhu__queue_fault(const vhu_queue *queue);

/* Requests that were out when the ring started and have not been taken again yet. */
uint32_t vhu__queue_num_again(const vhu_queue *queue);

/* The ring is broken from now on. Returns false. */
bool vhu__queue_break(vhu_queue *queue, const char *format, ...) VHU__PRINTF(2, 3);

/* --- where a ring is --- */

enum { VHU__QUEUE_PARTS = 3 };

typedef struct vhu__queue_part {
    uint64_t addr; /* the front-end's */
    uint64_t len;
    uint32_t align;
    uint8_t perm; /* what the device does there */
} vhu__queue_part;

/* VHU_EFAULT or VHU_EINVAL as vhu_queue_start(); VHU_EAGAIN: see vhu__queue_fault(). */
int vhu__queue_locate(vhu_queue *queue, const vhu__queue_part *parts, void **at);

/* --- a ring behind an IOMMU --- */

/*
 * As vhu__memory_look(), for an access of this kind; vhu__window_at() is right for what was found,
 * and the window for what may be read and written. 0: there is no such memory or, if queue->fault
 * has a length, no translation.
 */
uint64_t vhu__iommu_look(vhu_queue *queue, uint64_t iova, uint64_t len, uint8_t perm);

/* All of a part of the ring, or NULL. */
void *vhu__iommu_locate(vhu_queue *queue, const vhu__queue_part *part);

/* --- a tracked ring --- */

/* Ask hooks->starting; errors as it has them. */
int vhu__tracked_start(vhu_queue *queue);
int vhu__tracked_take(vhu_queue *queue, vhu_chain *chains, uint32_t n);
void vhu__tracked_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n);

/* Bytes of the ring were written, if anybody wants to know. */
static inline void vhu__report_used(const vhu_queue *queue, const void *at, uint64_t len)
{
    if (queue->log.used_dirty)
        queue->log.used_dirty(queue->log.self, at, len);
}

/* --- a tracked packed ring --- */

/* All slots are free; VHU_ENOMEM. */
int vhu__kept_start(vhu_queue *queue, uint32_t num, bool in_order);
void vhu__kept_stop(vhu_queue *queue);

/* What the layout's ops of tracked rings are. */
void vhu__kept_add(vhu_queue *queue, vhu_chain *chain);
void vhu__kept_remove(vhu_queue *queue, const vhu_chain *chain);
bool vhu__kept_report_dirty(vhu_queue *queue, const vhu_chain *chain);

/* A request's first slot: note it in its chain, and find it. */
void vhu__kept_name(vhu_queue *queue, vhu_chain *chain, uint16_t slot);
uint16_t vhu__kept_slot(const vhu_queue *queue, const vhu_chain *chain);

/* --- a ring in order --- */

/* Wrap the ops that the queue has; VHU_ENOMEM. */
int vhu__queue_order_start(vhu_queue *queue);
void vhu__queue_order_stop(vhu_queue *queue);

#endif
