/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's IOTLB (section "IOMMU support"): which user address of the front-end an I/O virtual
 * address stands for, and what may be done there, as far as the front-end has told. It is bounded:
 * a translation that does not fit any more makes another one go, which can be asked for again.
 *
 * Threads: any number may look while one changes it. Whoever takes a translation away has to see
 * to it that nobody uses it any more.
 */
#ifndef VHU_IOTLB_H
#define VHU_IOTLB_H

#include <vmm_vhost/protocol.h>

#include "util.h"

/* Translations that are kept at the most. */
enum { VHU__IOTLB_MAX = 2048 };

typedef struct vhu__iotlb vhu__iotlb;

typedef struct vhu__translation {
    uint64_t iova;
    uint64_t size; /* bytes */
    uint64_t user_addr;
    uint8_t perm; /* VHU_IOTLB_RO, _WO, _RW */
} vhu__translation;

typedef enum vhu__iotlb_result {
    VHU__IOTLB_FOUND,
    VHU__IOTLB_UNKNOWN,
    VHU__IOTLB_DENIED /* it is there, but does not allow this */
} vhu__iotlb_result;

/* VHU_ENOMEM, VHU_EOS. */
int vhu__iotlb_new(vhu__iotlb **out);
/* NULL is fine; for clear, too. */
void vhu__iotlb_free(vhu__iotlb *iotlb);

/* Forget everything. */
void vhu__iotlb_clear(vhu__iotlb *iotlb);

/*
 * Keep a translation as UPDATE has it; those that it overlaps go, whole. Told once more, it allows
 * what either of the two does, since front-ends may grant no more than they were asked for. One
 * that is empty, wraps, or allows nothing is left out.
 */
void vhu__iotlb_update(vhu__iotlb *iotlb, const vhu_iotlb_msg *msg);

/* Whether an update gives addresses another meaning than they have. */
bool vhu__iotlb_contradicts(vhu__iotlb *iotlb, const vhu_iotlb_msg *msg);

/*
 * Forget what overlaps `size` bytes from `iova` on, whole. `size` 0 is 2^64, and what wraps goes up
 * to the end.
 */
void vhu__iotlb_invalidate(vhu__iotlb *iotlb, uint64_t iova, uint64_t size);

/*
 * What is known of `iova` for an access of `len` bytes: *out begins there or before, and goes over
 * all translations up to that length that are one piece of user addresses and allow `perm`.
 */
vhu__iotlb_result vhu__iotlb_look(vhu__iotlb *iotlb, uint64_t iova, uint64_t len, uint8_t perm,
                                  vhu__translation *out);

/* How many translations are kept. */
size_t vhu__iotlb_count(vhu__iotlb *iotlb);

#endif
