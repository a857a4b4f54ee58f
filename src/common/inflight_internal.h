/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the layouts of a record share. The order of the stores is what counts: at any point this
 * process may be gone. The next one sees all that came before, so the compiler alone has to keep
 * the order: what is in the area is volatile, and the ring, which is not, is fenced.
 */
#ifndef VHU_INFLIGHT_INTERNAL_H
#define VHU_INFLIGHT_INTERNAL_H

#include "inflight.h"

/* A version of 0 says that no ring has used the record yet. */
enum { VHU__RECORD_VERSION = 1 };

/* How every record begins; in the host's byte order, all of it. */
typedef struct vhu__record_head {
    uint64_t features; /* none are defined */
    uint16_t version;
    uint16_t num; /* entries */
} vhu__record_head;

/* A ring's record. The ring's thread has it while the ring runs. */
typedef struct vhu__record {
    const struct vhu__record_layout *layout;
    volatile void *region; /* its part of the area */
    uint16_t num;          /* entries that there is room for */
    uint64_t counter;
    uint16_t *out;            /* what was out when the ring started, the oldest first */
    uint16_t last_batch_head; /* split */
    const vhu_queue *queue;   /* once it has been started */
} vhu__record;

typedef struct vhu__record_layout {
    uint64_t (*bytes)(uint16_t num);
    /* A copy of the region: VHU_EINVAL: no ring has left it like this. */
    int (*check)(const vhu__record *rec, const void *copy);
    /* If a request that begins with this entry is out; the counter says since when. */
    bool (*is_out)(const volatile void *region, uint32_t entry, uint64_t *counter);
    /* For a ring that starts with nothing out, at its own position. */
    void (*begin)(vhu__record *rec, const vhu_queue *queue);
    /*
     * For one that goes on with what a checked copy says is out: how many, which are listed then;
     * VHU_EINVAL: it cannot be this ring; VHU_ENOMEM.
     */
    int (*recover)(vhu__record *rec, vhu_queue *queue, void *copy);
    /* As the queue's hooks, of which `self` is the record. */
    void (*taken)(void *self, const vhu_chain *chain);
    void (*completing)(void *self, const vhu_chain *chains, uint32_t n);
    void (*completed)(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx);
} vhu__record_layout;

extern const vhu__record_layout vhu__split_record;
extern const vhu__record_layout vhu__packed_record;

/* Put what a copy says is out, `n` requests, into rec->out, and count on. VHU_ENOMEM. */
int vhu__record_list(vhu__record *rec, const void *copy, uint32_t n);

#endif
