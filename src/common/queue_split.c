/* SPDX-License-Identifier: BSD-3-Clause */
/* Split virtqueues, device side. */
#include <inttypes.h>

#include "atomic.h"
#include "queue_chain.h"

/* --- take --- */

VHU__ALWAYS_INLINE bool take_chain(vhu_queue *queue, vhu_chain *chain, uint32_t head)
{
    vhu__cursor c = {.table = queue->desc, .count = queue->num, .next = head};
    vhu__walk walk = vhu__walk_begin(chain, queue->num);

    do {
        vhu__item d;

        if (!vhu__load_desc(queue, c, &d))
            return false;
        if (d.flags & VHU__DESC_INDIRECT) {
            c = vhu__enter_indirect(queue, c, d);
            if (vhu__table_size(queue, c) == 0)
                return false;
            vhu__walk_enter(&walk, chain, vhu__table_size(queue, c));
            walk.flags |= VHU__DESC_NEXT;
            continue;
        }
        c.next = d.next;
        if (!vhu__walk_add(queue, chain, c, &walk, d))
            return false;
    } while (walk.flags & VHU__DESC_NEXT);
    return vhu__walk_end(queue, chain, &walk, head);
}

static bool break_avail(vhu_queue *queue, uint16_t idx, uint32_t avail)
{
    if (avail > queue->num)
        return vhu__queue_break(
            queue, "available index %u is %" PRIu32 " ahead of %u, the ring has %" PRIu32,
            (unsigned)idx, avail, (unsigned)queue->avail_idx, queue->num);
    return vhu__queue_break(
        queue, "%" PRIu32 " requests are out and %" PRIu32 " more available, the ring has %" PRIu32,
        queue->in_use, avail, queue->num);
}

static int split_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    const vhu__avail *avail = queue->avail;
    uint16_t idx = vhu__le16(vhu__load_acquire_u16(&avail->idx));
    uint32_t ready = (uint16_t)(idx - queue->avail_idx);
    uint32_t mask = queue->num - 1;
    uint32_t i;

    /* What is available and what is out are different descriptors. */
    if (vhu__unlikely(ready > queue->num - queue->in_use)) {
        break_avail(queue, idx, ready);
        return VHU_EBROKEN_RING;
    }
    if (n > ready)
        n = ready;
    for (i = 0; i < n; i++) {
        const uint16_t *entry = &avail->ring[(queue->avail_idx + i) & mask];

        if (!take_chain(queue, &chains[i], vhu__le16(vhu__load_relaxed_u16(entry))))
            break;
    }
    queue->avail_idx = (uint16_t)(queue->avail_idx + i);
    queue->in_use += i;
    return vhu__unlikely(queue->error[0] != '\0') && i == 0 ? VHU_EBROKEN_RING : (int)i;
}

static bool split_take_again(vhu_queue *queue, vhu_chain *chain, uint16_t head)
{
    return take_chain(queue, chain, head);
}

/* --- complete --- */

static bool report_dirty(vhu_queue *queue, const vhu_chain *chain)
{
    vhu__cursor c = {.table = queue->desc, .count = queue->num, .next = chain->head};
    uint32_t written = chain->written;
    uint32_t left = c.count;
    vhu__item d;

    while (written > 0) {
        if (left-- == 0)
            return vhu__break_loop(queue, c.table, c.count);
        if (!vhu__load_desc(queue, c, &d))
            return false;
        if (d.flags & VHU__DESC_INDIRECT) {
            c = vhu__enter_indirect(queue, c, d);
            left = vhu__table_size(queue, c);
            if (left == 0)
                return false;
            continue;
        }
        if (!vhu__report_dirty(queue, d, &written))
            return false;
        if (!(d.flags & VHU__DESC_NEXT))
            break;
        c.next = d.next;
    }
    return true;
}

/* Fill used entries, still unseen. */
VHU__ALWAYS_INLINE void fill(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    vhu__used *used = queue->used;
    uint32_t mask = queue->num - 1;
    uint32_t idx = queue->used_idx;

    for (const vhu_chain *end = chains + n; chains != end; chains++, idx++) {
        /* One store each: the two copied as one would wait for the two that came before. */
        volatile vhu__used_elem *elem = &used->ring[idx & mask];

        elem->id = vhu__le32(chains->head);
        elem->len = vhu__le32(chains->written);
    }
}

VHU__ALWAYS_INLINE void publish(vhu_queue *queue, uint32_t n)
{
    queue->used_idx = (uint16_t)(queue->used_idx + n);
    queue->in_use -= n;
    queue->uncalled += n;
    vhu__store_release_u16(&queue->used->idx, vhu__le16(queue->used_idx));
}

static void split_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    if (vhu__unlikely(n > queue->in_use))
        n = queue->in_use;
    fill(queue, chains, n);
    publish(queue, n);
}

static void tracked_fill(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    fill(queue, chains, n);
}

/* Entries from an index on; they may go on at the ring's beginning. */
static void report_entries(const vhu_queue *queue, uint16_t from, uint32_t n)
{
    uint32_t idx = from & (queue->num - 1);
    uint32_t first = n < queue->num - idx ? n : queue->num - idx;

    vhu__report_used(queue, &queue->used->ring[idx], first * sizeof(vhu__used_elem));
    if (n > first)
        vhu__report_used(queue, queue->used->ring, (n - first) * sizeof(vhu__used_elem));
}

static void tracked_publish(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    uint16_t from = queue->used_idx;

    (void)chains;
    publish(queue, n);
    report_entries(queue, from, n);
    vhu__report_used(queue, &queue->used->idx, sizeof(queue->used->idx));
}

/* --- kick and call --- */

static bool split_needs_call(vhu_queue *queue)
{
    uint64_t uncalled = queue->uncalled;
    uint16_t event;

    if (uncalled == 0)
        return false;
    queue->uncalled = 0;
    /* The used index must be visible before we look what the driver waits for: it does the same
     * the other way round, so that one of the two sees the other. */
    vhu__full_fence();
    if (!queue->event_idx)
        return !(vhu__le16(vhu__load_relaxed_u16(&queue->avail->flags)) & VHU__AVAIL_NO_CALL);
    if (!queue->called) {
        queue->called = true;
        return true;
    }
    /* Whether the index that it waits for is among the last `uncalled`; not cut to 16 bits, in
     * case all of them were used since. */
    event = vhu__le16(vhu__load_relaxed_u16(queue->used_event));
    return (uint16_t)(queue->used_idx - event - 1) < uncalled;
}

static bool split_has_avail(vhu_queue *queue)
{
    return vhu__le16(vhu__load_acquire_u16(&queue->avail->idx)) != queue->avail_idx;
}

static void store_used(vhu_queue *queue, uint16_t *at, uint16_t value)
{
    vhu__store_relaxed_u16(at, vhu__le16(value));
    vhu__report_used(queue, at, sizeof(*at));
}

/* With event words there is nothing to do: the one that stands there is passed once at the most. */
static void split_disable_kicks(vhu_queue *queue)
{
    if (!queue->event_idx)
        store_used(queue, &queue->used->flags, VHU__USED_NO_KICK);
}

static bool split_enable_kicks(vhu_queue *queue)
{
    if (queue->event_idx)
        store_used(queue, queue->avail_event, queue->avail_idx);
    else
        store_used(queue, &queue->used->flags, 0);
    /* The counterpart of the driver's fence between its index and this word. */
    vhu__full_fence();
    return split_has_avail(queue);
}

/* --- start --- */

static int split_start(vhu_queue *queue, const vhu_queue_config *config)
{
    const vhu__queue_part parts[VHU__QUEUE_PARTS] = {
        {config->addr.desc, vhu__desc_bytes(config->num), 16, VHU_IOTLB_RO},
        {config->addr.avail, vhu__avail_bytes(config->num), 2, VHU_IOTLB_RO},
        {config->addr.used, vhu__used_bytes(config->num), 4, VHU_IOTLB_RW},
    };
    void *at[VHU__QUEUE_PARTS];
    int r;

    if (config->num > VHU_MAX_RING_SIZE || !vhu__is_power_of_2(config->num) ||
        config->base > UINT16_MAX)
        return VHU_EINVAL;
    r = vhu__queue_locate(queue, parts, at);
    if (r < 0)
        return r;
    queue->desc = at[0];
    queue->avail = at[1];
    queue->used = at[2];
    queue->used_event = &queue->avail->ring[config->num];
    queue->avail_event = (uint16_t *)&queue->used->ring[config->num];
    queue->avail_idx = (uint16_t)config->base;
    queue->used_idx = vhu__le16(vhu__load_relaxed_u16(&queue->used->idx));
    return 0;
}

static uint32_t split_base(const vhu_queue *queue)
{
    return queue->avail_idx;
}

const vhu__queue_layout vhu__split_layout = {
    .ops = {.take = split_take,
            .complete = split_complete,
            .needs_call = split_needs_call,
            .has_avail = split_has_avail,
            .disable_kicks = split_disable_kicks,
            .enable_kicks = split_enable_kicks},
    .start = split_start,
    .base = split_base,
    .take_again = split_take_again,
    .report_dirty = report_dirty,
    .fill = tracked_fill,
    .publish = tracked_publish,
};
