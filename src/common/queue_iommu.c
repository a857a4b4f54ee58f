/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring whose driver is behind an IOMMU: an address is translated to one of the front-end's, and
 * that to where it is here. Descriptors are looked up one by one, since each may be allowed other
 * things; only what may be both read and written becomes the window, so that it need not ask.
 */
#include "queue_internal.h"

uint64_t vhu__iommu_look(vhu_queue *queue, uint64_t iova, uint64_t len, uint8_t perm)
{
    vhu__translation t;
    vhu__window user;
    uint64_t offset, here, back;

    queue->fault = (vhu__fault){0};
    if (vhu__iotlb_look(queue->iotlb, iova, len, perm, &t) != VHU__IOTLB_FOUND) {
        queue->fault = (vhu__fault){iova, len, perm};
        return 0;
    }
    offset = iova - t.iova;
    here = vhu__memory_look_user(queue->behind, &user, t.user_addr + offset, t.size - offset);
    if (here == 0)
        return 0;
    /* What both have, before and behind. */
    back = t.user_addr + offset - (user.end - user.size);
    back = offset < back ? offset : back;
    queue->window = (vhu__window){.shift = user.shift + (uintptr_t)(t.user_addr - t.iova)};
    if (t.perm == VHU_IOTLB_RW) {
        queue->window.end = iova + here;
        queue->window.size = back + here;
    }
    return len < here ? len : here;
}

void *vhu__iommu_locate(vhu_queue *queue, const vhu__queue_part *part)
{
    uint64_t here = vhu__iommu_look(queue, part->addr, part->len, part->perm);

    if (here == part->len)
        return vhu__window_at(&queue->window, part->addr);
    /* The next piece is to be asked for; or it is here, but elsewhere. */
    if (here > 0)
        vhu__iommu_look(queue, part->addr + here, part->len - here, part->perm);
    return NULL;
}
