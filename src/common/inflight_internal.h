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
    volatile void *region; /* its part of the area */
    uint16_t num;          /* entries that there is room for */
    uint64_t counter;
    uint16_t *out;            /* what was out when the ring started, the oldest first */
    uint16_t last_batch_head; /* split */
    const vhu_queue *queue;   /* packed: the ring, once it has been started */
} vhu__record;

typedef struct vhu__record_layout {
    uint64_t (*bytes)(uint16_t num);
    /* VHU_EINVAL: no ring has left it like this; VHU_ENOSYS: not known; VHU_ENOMEM. */
    int (*check)(const vhu__record *rec);
    bool (*is_out)(const vhu__record *rec, uint32_t entry); /* a request that begins there */
    vhu__queue_hooks hooks; /* of which `self` is the record */
} vhu__record_layout;

extern const vhu__record_layout vhu__split_record;
extern const vhu__record_layout vhu__packed_record;

/* Version, features and number of entries are as they may be; VHU_EINVAL, VHU_ENOSYS. */
int vhu__record_check_head(const vhu__record *rec, const vhu__record_head *head);

/* What is out, to be sorted by age. */
typedef struct vhu__record_request {
    uint64_t counter;
    uint16_t entry;
} vhu__record_request;

/* Put `n` of them, of which there is one at least, into rec->out, and count on. VHU_ENOMEM. */
int vhu__record_list(vhu__record *rec, vhu__record_request *requests, uint32_t n);

#endif
