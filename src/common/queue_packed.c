/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packed virtqueues, device side. queue->avail_idx and queue->used_idx are positions, and
 * queue->room counts the descriptors between them that are not out.
 *
 * A used descriptor overwrites what was available there, maybe of a request that is still out. So
 * nothing is read from the ring again after it was taken; if it is tracked, queue->kept has copies.
 */
#include <inttypes.h>

#include "atomic.h"
#include "packed_ring.h"
#include "queue_chain.h"

/* --- take --- */

/* Flags of the descriptor that is available next, or not yet. */
VHU__ALWAYS_INLINE uint32_t next_flags(const vhu_queue *queue)
{
    const vhu__packed_desc *next = &queue->packed[queue->avail_idx & VHU__POS_IDX];

    return vhu__le16(vhu__load_acquire_u16(&next->flags));
}

VHU__ALWAYS_INLINE bool is_avail(const vhu_queue *queue, uint32_t flags)
{
    return (flags & VHU__PACKED_MARKS) == vhu__pos_avail(queue->avail_idx);
}

static bool packed_has_avail(vhu_queue *queue)
{
    return is_avail(queue, next_flags(queue));
}

static bool break_desc(vhu_queue *queue, uint32_t idx, uint32_t flags)
{
    if (flags & VHU__DESC_INDIRECT)
        return vhu__queue_break(queue, "indirect descriptor %" PRIu32 " follows another one", idx);
    return vhu__queue_break(queue,
                            "descriptor %" PRIu32 " (flags 0x%x) of a request is not available",
                            idx, (unsigned)flags);
}

static bool break_nested(vhu_queue *queue)
{
    return vhu__queue_break(queue, "indirect descriptor in an indirect table");
}

static bool break_full(vhu_queue *queue)
{
    return vhu__queue_break(queue,
                            "%" PRIu32 " requests are out with all descriptors, and one more is "
                            "available, the ring has %" PRIu32,
                            queue->in_use, queue->num);
}

/* The request from queue->avail_idx on was taken. */
VHU__ALWAYS_INLINE void go_on(vhu_queue *queue, vhu_chain *chain, uint32_t span, uint32_t pos)
{
    chain->place = queue->avail_idx & VHU__POS_IDX;
    chain->span = (uint16_t)span;
    queue->room -= span;
    queue->avail_idx = (uint16_t)pos;
}

/* A descriptor of an indirect table, of which NEXT flags and identifiers are to be ignored. */
VHU__ALWAYS_INLINE bool add_entry(vhu_queue *queue, vhu_chain *chain, vhu__cursor c,
                                  vhu__walk *walk, uint32_t *all_flags, vhu__item d)
{
    d.flags = d.next; /* which are the last here */
    *all_flags |= d.flags;
    return vhu__walk_add(queue, chain, c, walk, d);
}

VHU__ALWAYS_INLINE bool end_table(vhu_queue *queue, vhu_chain *chain, const vhu__walk *walk,
                                  uint32_t all_flags, uint32_t id)
{
    if (vhu__unlikely(all_flags & VHU__DESC_INDIRECT))
        return break_nested(queue);
    return vhu__walk_end(queue, chain, walk, id);
}

/* All of a table that is not in one piece. */
VHU__NEVER_INLINE bool take_pieces(vhu_queue *queue, vhu_chain *chain, uint32_t id)
{
    const vhu__cursor c = {0};
    vhu__walk walk = vhu__walk_begin(chain, queue->pieces.count);
    uint32_t all_flags = 0;

    for (uint32_t i = 0; i < queue->pieces.count; i++) {
        vhu__item d;

        if (!vhu__load_slowly(queue, c.table, c.count, i, &d) ||
            !add_entry(queue, chain, c, &walk, &all_flags, d))
            return false;
    }
    return end_table(queue, chain, &walk, all_flags, id);
}

/* All of a table. */
VHU__ALWAYS_INLINE bool take_table(vhu_queue *queue, vhu_chain *chain,
                                   const volatile vhu__packed_desc *desc)
{
    const vhu__item head = vhu__copy_packed(desc);
    const vhu__cursor ring = {.table = queue->desc};
    const vhu__cursor c = vhu__enter_indirect(queue, ring, head);
    const volatile vhu__desc *next = c.table;
    const volatile vhu__desc *end;
    vhu__walk walk = vhu__walk_begin(chain, c.count);
    uint32_t all_flags = 0;

    if (vhu__unlikely(!c.table))
        return queue->pieces.count > 0 && take_pieces(queue, chain, head.next);
    end = next + c.count;
    do {
        if (!add_entry(queue, chain, c, &walk, &all_flags, vhu__copy_desc(next)))
            return false;
    } while (++next != end);
    return end_table(queue, chain, &walk, all_flags, head.next);
}

/* The request at queue->avail_idx, which is a table. */
VHU__NEVER_INLINE bool take_indirect(vhu_queue *queue, vhu_chain *chain)
{
    if (!take_table(queue, chain, &queue->packed[queue->avail_idx & VHU__POS_IDX]))
        return false;
    go_on(queue, chain, 1, vhu__pos_add(queue->avail_idx, 1, queue->num));
    return true;
}

VHU__ALWAYS_INLINE bool take_chain(vhu_queue *queue, vhu_chain *chain)
{
    const vhu__cursor ring = {.table = queue->desc, .count = queue->room};
    const uint32_t first = queue->avail_idx & VHU__POS_IDX;
    const uint32_t first_marks = vhu__pos_avail(queue->avail_idx);
    vhu__walk walk = vhu__walk_begin(chain, queue->room);
    uint32_t marks = first_marks;
    uint32_t idx = first;
    vhu__item d;

    do {
        d = vhu__copy_packed(&queue->packed[idx]);
        if (vhu__unlikely((d.flags & (VHU__PACKED_MARKS | VHU__DESC_INDIRECT)) != marks))
            return break_desc(queue, idx, d.flags);
        if (!vhu__walk_add(queue, chain, ring, &walk, d))
            return false;
        if (vhu__unlikely(++idx == queue->num)) {
            idx = 0;
            marks ^= VHU__PACKED_MARKS;
        }
    } while (walk.flags & VHU__DESC_NEXT);

    if (!vhu__walk_end(queue, chain, &walk, d.next))
        return false;
    go_on(queue, chain, idx - first + (marks != first_marks ? queue->num : 0),
          idx | (marks & VHU__PACKED_AVAIL) << 8);
    return true;
}

VHU__ALWAYS_INLINE bool take_next(vhu_queue *queue, vhu_chain *chain, uint32_t flags)
{
    if (vhu__unlikely(queue->room == 0))
        return break_full(queue);
    return flags & VHU__DESC_INDIRECT ? take_indirect(queue, chain) : take_chain(queue, chain);
}

static int packed_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    uint32_t i;

    for (i = 0; i < n; i++) {
        uint32_t flags = next_flags(queue);

        if (!is_avail(queue, flags))
            break;
        if (!take_next(queue, &chains[i], flags))
            break;
    }
    queue->in_use += i;
    return vhu__unlikely(queue->error[0] != '\0') && i == 0 ? VHU_EBROKEN_RING : (int)i;
}

/* The descriptors of a request, wherever somebody has kept them. */
static bool take_kept(vhu_queue *queue, vhu_chain *chain, uint32_t slot)
{
    const vhu__cursor ring = {.table = queue->desc, .count = queue->num};
    const uint32_t span = queue->kept[slot].span;
    vhu__walk walk = vhu__walk_begin(chain, queue->num);
    vhu__item d = {.flags = 0};

    for (uint32_t i = 0; i < span; i++, slot = queue->kept[slot].next) {
        d = vhu__copy_packed(&queue->kept[slot].desc);
        if (d.flags & VHU__DESC_INDIRECT)
            return break_desc(queue, slot, d.flags);
        if (!vhu__walk_add(queue, chain, ring, &walk, d))
            return false;
    }
    return vhu__walk_end(queue, chain, &walk, d.next);
}

static bool packed_take_again(vhu_queue *queue, vhu_chain *chain, uint16_t slot)
{
    const vhu__kept *first = &queue->kept[slot];
    bool table = first->span == 1 && (vhu__le16(first->desc.flags) & VHU__DESC_INDIRECT);

    if (!(table ? take_table(queue, chain, &first->desc) : take_kept(queue, chain, slot)))
        return false;
    chain->place = queue->again_pos & VHU__POS_IDX;
    chain->span = first->span;
    queue->again_pos = (uint16_t)vhu__pos_add(queue->again_pos, first->span, queue->num);
    vhu__kept_name(queue, chain, slot);
    return true;
}

/* --- complete --- */

VHU__ALWAYS_INLINE uint32_t used_flags(const vhu_chain *chain, uint32_t marks)
{
    return chain->written > 0 ? marks | VHU__DESC_WRITE : marks;
}

/* Used descriptors that were filled. The driver cannot see them before it sees the first's flags.
 */
typedef struct run {
    uint32_t end; /* position behind them */
    uint32_t span;
    uint32_t flags; /* of the first */
} run;

VHU__ALWAYS_INLINE run fill(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    const vhu_chain *const end = chains + n;
    const uint32_t num = queue->num;
    uint32_t idx = queue->used_idx & VHU__POS_IDX;
    uint32_t marks = vhu__pos_used(queue->used_idx);
    volatile vhu__packed_desc *desc = &queue->packed[idx];
    run r = {.flags = used_flags(chains, marks)};

    for (;;) {
        desc->id = vhu__le16((uint16_t)chains->head);
        desc->len = vhu__le32(chains->written);
        r.span += chains->span;
        idx += chains->span;
        if (vhu__unlikely(idx >= num)) {
            idx -= num;
            marks ^= VHU__PACKED_MARKS;
        }
        if (++chains == end)
            break;
        desc = &queue->packed[idx];
        desc->flags = vhu__le16((uint16_t)used_flags(chains, marks));
    }
    r.end = idx | (marks & VHU__POS_WRAP);
    return r;
}

VHU__ALWAYS_INLINE void publish(vhu_queue *queue, run r, uint32_t n)
{
    uint16_t *flags = &queue->packed[queue->used_idx & VHU__POS_IDX].flags;

    queue->used_idx = (uint16_t)r.end;
    queue->room += r.span;
    queue->in_use -= n;
    queue->uncalled += r.span;
    vhu__store_release_u16(flags, vhu__le16((uint16_t)r.flags));
}

static void packed_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    if (vhu__unlikely(n > queue->in_use))
        n = queue->in_use;
    if (n > 0)
        publish(queue, fill(queue, chains, n), n);
}

static void tracked_fill(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    fill(queue, chains, n);
}

/* Those from a position on, between which others may be left as they were. */
static void report_descs(const vhu_queue *queue, uint32_t from, uint32_t n)
{
    uint32_t idx = from & VHU__POS_IDX;
    uint32_t first = n < queue->num - idx ? n : queue->num - idx;

    vhu__report_used(queue, &queue->packed[idx], first * sizeof(vhu__packed_desc));
    if (n > first)
        vhu__report_used(queue, queue->packed, (n - first) * sizeof(vhu__packed_desc));
}

static void tracked_publish(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    uint32_t from = queue->used_idx;
    run r = {.flags = used_flags(chains, vhu__pos_used(from))};

    for (uint32_t i = 0; i < n; i++)
        r.span += chains[i].span;
    r.end = vhu__pos_add(from, r.span, queue->num);
    publish(queue, r, n);
    report_descs(queue, from, r.span - chains[n - 1].span + 1);
}

/* --- kick and call --- */

static bool packed_needs_call(vhu_queue *queue)
{
    uint64_t uncalled = queue->uncalled;
    uint32_t wanted, event;
    bool first = !queue->called;

    if (uncalled == 0)
        return false;
    queue->uncalled = 0;
    /* What was used must be visible before we look what the driver waits for: it does the same the
     * other way round, so that one of the two sees the other. */
    vhu__full_fence();
    wanted = vhu__le16(vhu__load_acquire_u16(&queue->driver_event->flags)) & VHU__EVENT_MASK;
    if (wanted == VHU__EVENT_DISABLE)
        return false;
    queue->called = true;
    if (wanted != VHU__EVENT_DESC || !queue->event_idx || first)
        return true;
    event = vhu__le16(vhu__load_relaxed_u16(&queue->driver_event->position));
    return vhu__pos_passed(event, queue->used_idx, uncalled, queue->num);
}

static void store_event(vhu_queue *queue, uint16_t *at, uint32_t value)
{
    vhu__store_release_u16(at, vhu__le16((uint16_t)value));
    vhu__report_used(queue, at, sizeof(*at));
}

/* By the flags, for an event's position comes round again after two laps. */
static void packed_disable_kicks(vhu_queue *queue)
{
    store_event(queue, &queue->device_event->flags, VHU__EVENT_DISABLE);
}

static bool packed_enable_kicks(vhu_queue *queue)
{
    if (queue->event_idx)
        store_event(queue, &queue->device_event->position, queue->avail_idx);
    store_event(queue, &queue->device_event->flags,
                queue->event_idx ? VHU__EVENT_DESC : VHU__EVENT_ENABLE);
    /* The counterpart of the driver's fence between its descriptors and these words. */
    vhu__full_fence();
    return packed_has_avail(queue);
}

/* --- start --- */

/*
 * Both positions of a base. Some front-ends (DPDK's) tell only of the first, with nothing out: that
 * one is never 0 when a ring is new. Others (User-Mode Linux) say 0 when it is: but a second lap
 * cannot begin before somebody has been through the first, to its last descriptor.
 */
static bool load_base(vhu_queue *queue, uint32_t base, uint32_t num, const vhu__packed_desc *last)
{
    uint32_t avail = base & UINT16_MAX;
    uint32_t used = base >> 16 ? base >> 16 : avail;
    uint32_t out = avail == used ? 0 : vhu__pos_distance(used, avail, num);

    if (base == 0 && !(vhu__le16(vhu__load_relaxed_u16(&last->flags)) & VHU__PACKED_MARKS))
        avail = used = VHU__POS_START;
    if ((avail & VHU__POS_IDX) >= num || (used & VHU__POS_IDX) >= num || out > num)
        return false;
    queue->avail_idx = (uint16_t)avail;
    queue->used_idx = (uint16_t)used;
    queue->room = num - out;
    return true;
}

static int packed_start(vhu_queue *queue, const vhu_queue_config *config)
{
    const vhu__queue_part parts[VHU__QUEUE_PARTS] = {
        {config->addr.desc, vhu__desc_bytes(config->num), 16, VHU_IOTLB_RW},
        {config->addr.avail, sizeof(vhu__packed_event), 4, VHU_IOTLB_RO},
        {config->addr.used, sizeof(vhu__packed_event), 4, VHU_IOTLB_WO},
    };
    void *at[VHU__QUEUE_PARTS];
    int r;

    if (config->num == 0 || config->num > VHU_MAX_RING_SIZE)
        return VHU_EINVAL;
    r = vhu__queue_locate(queue, parts, at);
    if (r < 0)
        return r;
    queue->packed = at[0];
    if (!load_base(queue, config->base, config->num, &queue->packed[config->num - 1]))
        return VHU_EINVAL;
    queue->desc = at[0];
    queue->driver_event = at[1];
    queue->device_event = at[2];
    if (!queue->tracked)
        return 0;
    return vhu__kept_start(queue, config->num, (config->features & VHU_BIT(VHU_F_IN_ORDER)) != 0);
}

static uint32_t packed_base(const vhu_queue *queue)
{
    return queue->avail_idx | (uint32_t)queue->used_idx << 16;
}

const vhu__queue_layout vhu__packed_layout = {
    .ops = {.take = packed_take,
            .complete = packed_complete,
            .needs_call = packed_needs_call,
            .has_avail = packed_has_avail,
            .disable_kicks = packed_disable_kicks,
            .enable_kicks = packed_enable_kicks},
    .start = packed_start,
    .base = packed_base,
    .take_again = packed_take_again,
    .keep = vhu__kept_add,
    .forget = vhu__kept_remove,
    .report_dirty = vhu__kept_report_dirty,
    .fill = tracked_fill,
    .publish = tracked_publish,
};
