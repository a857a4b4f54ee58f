/* SPDX-License-Identifier: BSD-3-Clause */
#include "iotlb.h"

#include <stdlib.h>
#include <vmm_vhost/error.h>

#include "os.h"

typedef struct entry {
    uint64_t first;
    uint64_t last; /* inclusive: one may end where addresses do */
    uint64_t user_addr;
    uint8_t perm;
} entry;

struct vhu__iotlb {
    os_lock *lock; /* of all that follows */
    size_t n;
    size_t hand;                   /* which one goes next; goes round */
    entry entries[VHU__IOTLB_MAX]; /* by address; none overlap */
};

int vhu__iotlb_new(vhu__iotlb **out)
{
    vhu__iotlb *iotlb = calloc(1, sizeof(*iotlb));
    int r;

    if (!iotlb)
        return VHU_ENOMEM;
    r = os_lock_new(&iotlb->lock);
    if (r < 0) {
        free(iotlb);
        return r;
    }
    *out = iotlb;
    return 0;
}

void vhu__iotlb_free(vhu__iotlb *iotlb)
{
    if (iotlb)
        os_lock_free(iotlb->lock);
    free(iotlb);
}

void vhu__iotlb_clear(vhu__iotlb *iotlb)
{
    if (!iotlb)
        return;
    os_lock_take(iotlb->lock);
    iotlb->n = 0;
    os_lock_release(iotlb->lock);
}

/* Index of the first translation that ends at `iova` or behind. */
static size_t lower_bound(const vhu__iotlb *iotlb, uint64_t iova)
{
    size_t low = 0, n = iotlb->n;

    while (n > 0) {
        size_t half = (n + 1) / 2;

        low += iotlb->entries[low + half - 1].last < iova ? half : 0;
        n -= half;
    }
    return low;
}

/* How many from `at` on begin at `last` or before. */
static size_t count_up_to(const vhu__iotlb *iotlb, size_t at, uint64_t last)
{
    size_t end = at;

    while (end < iotlb->n && iotlb->entries[end].first <= last)
        end++;
    return end - at;
}

static void remove_at(vhu__iotlb *iotlb, size_t at, size_t n)
{
    entry *from = &iotlb->entries[at];

    memmove(from, from + n, (iotlb->n - at - n) * sizeof(*from));
    iotlb->n -= n;
}

static void insert_at(vhu__iotlb *iotlb, size_t at, entry new)
{
    entry *to = &iotlb->entries[at];

    memmove(to + 1, to, (iotlb->n - at) * sizeof(*to));
    *to = new;
    iotlb->n++;
}

/* False if it is no translation. */
static bool load(entry *new, const vhu_iotlb_msg *msg)
{
    *new = (entry){msg->iova, msg->iova + msg->size - 1, msg->user_addr, msg->perm};
    return msg->size > 0 && new->last >= new->first &&
           msg->user_addr + msg->size - 1 >= msg->user_addr && msg->perm > 0 &&
           msg->perm <= VHU_IOTLB_RW;
}

static bool is_same(const entry *a, const entry *b)
{
    return a->first == b->first && a->last == b->last && a->user_addr == b->user_addr;
}

void vhu__iotlb_update(vhu__iotlb *iotlb, const vhu_iotlb_msg *msg)
{
    entry new;
    size_t at, n;

    if (!load(&new, msg))
        return;
    os_lock_take(iotlb->lock);
    at = lower_bound(iotlb, new.first);
    n = count_up_to(iotlb, at, new.last);
    if (n == 1 && is_same(&iotlb->entries[at], &new))
        new.perm |= iotlb->entries[at].perm;
    remove_at(iotlb, at, n);
    if (iotlb->n == VHU__IOTLB_MAX) {
        iotlb->hand = (iotlb->hand + 1) % VHU__IOTLB_MAX;
        remove_at(iotlb, iotlb->hand, 1);
        at -= iotlb->hand < at;
    }
    insert_at(iotlb, at, new);
    os_lock_release(iotlb->lock);
}

bool vhu__iotlb_contradicts(vhu__iotlb *iotlb, const vhu_iotlb_msg *msg)
{
    bool contradicts = false;
    entry new;
    size_t at, n;

    if (!load(&new, msg))
        return false;
    os_lock_take(iotlb->lock);
    at = lower_bound(iotlb, new.first);
    n = count_up_to(iotlb, at, new.last);
    for (; n > 0; n--, at++) {
        const entry *e = &iotlb->entries[at];

        contradicts |= e->user_addr - e->first != new.user_addr - new.first;
    }
    os_lock_release(iotlb->lock);
    return contradicts;
}

void vhu__iotlb_invalidate(vhu__iotlb *iotlb, uint64_t iova, uint64_t size)
{
    uint64_t last = iova + size - 1;
    size_t at;

    if (last < iova)
        last = UINT64_MAX;
    os_lock_take(iotlb->lock);
    at = lower_bound(iotlb, iova);
    remove_at(iotlb, at, count_up_to(iotlb, at, last));
    os_lock_release(iotlb->lock);
}

/* From a translation over those behind it. */
static void gather(const vhu__iotlb *iotlb, size_t at, uint64_t last, uint8_t perm,
                   vhu__translation *out)
{
    const entry *e = &iotlb->entries[at];
    const entry *end = &iotlb->entries[iotlb->n];
    const uint64_t delta = e->user_addr - e->first;
    uint64_t to = e->last;

    *out = (vhu__translation){.iova = e->first, .user_addr = e->user_addr, .perm = e->perm};
    while (to < last && ++e != end && e->first == to + 1 && e->user_addr - e->first == delta &&
           (e->perm & perm) == perm) {
        out->perm &= e->perm;
        to = e->last;
    }
    out->size = to - out->iova + 1;
}

vhu__iotlb_result vhu__iotlb_look(vhu__iotlb *iotlb, uint64_t iova, uint64_t len, uint8_t perm,
                                  vhu__translation *out)
{
    vhu__iotlb_result result = VHU__IOTLB_UNKNOWN;
    const entry *e;
    size_t at;

    os_lock_take(iotlb->lock);
    at = lower_bound(iotlb, iova);
    e = &iotlb->entries[at];
    if (at < iotlb->n && e->first <= iova) {
        result = (e->perm & perm) == perm ? VHU__IOTLB_FOUND : VHU__IOTLB_DENIED;
        gather(iotlb, at, len > UINT64_MAX - iova ? UINT64_MAX : iova + len - 1, perm, out);
    }
    os_lock_release(iotlb->lock);
    return result;
}

size_t vhu__iotlb_count(vhu__iotlb *iotlb)
{
    size_t n;

    os_lock_take(iotlb->lock);
    n = iotlb->n;
    os_lock_release(iotlb->lock);
    return n;
}
