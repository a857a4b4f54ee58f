/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A packed ring's record: copies of the descriptors, which the ring may not have any more. Its
 * entries are the slots of queue->kept, with the same links. A batch that is being completed is
 * told by the new indices, which differ from the old ones until it is over; whether the driver was
 * shown it, by the ring.
 */
#include <stdlib.h>

#include "atomic.h"
#include "endian.h"
#include "inflight_internal.h"

typedef struct entry {
    uint8_t out; /* the request that begins here: 0 or 1 */
    uint8_t pad;
    uint16_t next; /* of the request, or of the free ones, whose list the number of entries ends */
    /* Of the request that begins here. */
    uint16_t last;
    uint16_t num;
    uint64_t counter; /* says in which order requests were taken */
    /* The descriptor. */
    uint16_t id;
    uint16_t flags;
    uint32_t len;
    uint64_t addr;
} entry;

typedef struct region {
    uint64_t features;
    uint16_t version;
    uint16_t num;
    uint16_t free_head;
    uint16_t old_free_head;
    uint16_t used_idx;
    uint16_t old_used_idx;
    uint8_t used_wrap;
    uint8_t old_used_wrap;
    uint8_t pad[10];
    entry entries[];
} region;

_Static_assert(sizeof(entry) == 32 && sizeof(region) == 32, "in-flight area");

static volatile region *region_of(const vhu__record *rec)
{
    return rec->region;
}

static uint64_t bytes(uint16_t num)
{
    return sizeof(region) + sizeof(entry) * (uint64_t)num;
}

/* A position in the ring, of its two parts. */
static uint32_t position(uint16_t idx, uint8_t wrap)
{
    return idx | (wrap ? VHU__POS_WRAP : 0u);
}

static uint8_t wrap_of(uint32_t pos)
{
    return pos & VHU__POS_WRAP ? 1 : 0;
}

/* --- what somebody has left --- */

static bool is_entry(const region *r, uint32_t i)
{
    const entry *e = &r->entries[i];

    return e->out <= 1 && e->next <= r->num && e->last < r->num && e->num <= r->num;
}

/* Whatever was being done, each head's list comes to its end; one of a split ring's goes round. */
static bool ends(const region *r, uint16_t i)
{
    for (uint32_t n = 0; n < r->num && i < r->num; n++)
        i = r->entries[i].next;
    return i == r->num;
}

static int check(const vhu__record *rec, const void *copy)
{
    const region *r = copy;

    (void)rec;
    if (r->free_head > r->num || r->old_free_head > r->num || r->used_idx >= r->num ||
        r->old_used_idx >= r->num || r->used_wrap > 1 || r->old_used_wrap > 1)
        return VHU_EINVAL;
    for (uint32_t i = 0; i < r->num; i++) {
        if (!is_entry(r, i))
            return VHU_EINVAL;
    }
    return ends(r, r->free_head) && ends(r, r->old_free_head) ? 0 : VHU_EINVAL;
}

static bool is_out(const volatile void *of, uint32_t i, uint64_t *counter)
{
    const volatile entry *e = &((const volatile region *)of)->entries[i];

    *counter = e->counter;
    return e->out != 0;
}

/* --- what it means --- */

/* The first used descriptor of a batch is written last. */
static bool was_shown(const vhu_queue *queue, uint32_t pos)
{
    const vhu__packed_desc *desc = &queue->packed[pos & VHU__POS_IDX];

    return (vhu__le16(vhu__load_relaxed_u16(&desc->flags)) & VHU__PACKED_MARKS) !=
           vhu__pos_avail(pos);
}

/* Or that of a ring that had more descriptors. */
static bool has_position(const region *r, uint32_t num)
{
    return r->used_idx < num && r->old_used_idx < num;
}

/*
 * End what was being done: take the new values for the old ones if the driver was shown the batch,
 * else the old for the new. Returns how many entries at the begin of the free list may be marked
 * still: those of the batch, or the first of a request that was being taken; or VHU_EINVAL.
 *
 * The old head is the first of the old values that is written. It is right then that it is the same
 * as the new one, which it never is before: what is put into the list comes from outside.
 */
static int settle(region *r, const vhu_queue *queue)
{
    const uint32_t now = position(r->used_idx, r->used_wrap);
    const uint32_t old = position(r->old_used_idx, r->old_used_wrap);
    uint32_t batch;

    if (!has_position(r, queue->num))
        return 1;
    if (now == old || (r->free_head != r->old_free_head && !was_shown(queue, old))) {
        r->free_head = r->old_free_head;
        r->used_idx = r->old_used_idx;
        r->used_wrap = r->old_used_wrap;
        return 1;
    }
    batch = vhu__pos_distance(old, now, queue->num);
    r->old_free_head = r->free_head;
    r->old_used_idx = r->used_idx;
    r->old_used_wrap = r->used_wrap;
    return batch <= queue->num ? (int)batch : VHU_EINVAL;
}

/* Every entry is in one list, once. */
typedef struct lists {
    bool *seen;        /* by entry */
    uint32_t num_seen; /* together */
    uint32_t num_free;
    uint32_t num_out; /* requests */
    uint32_t span;    /* their descriptors */
} lists;

static bool see(lists *l, uint32_t i)
{
    if (l->seen[i])
        return false;
    l->seen[i] = true;
    l->num_seen++;
    return true;
}

/* The list of free entries, of which the first may be marked. */
static int walk_free(lists *l, region *r, uint32_t marked)
{
    uint16_t i;

    for (i = r->free_head; i < r->num; i = r->entries[i].next) {
        if (!see(l, i) || (r->entries[i].out && l->num_free >= marked))
            return VHU_EINVAL;
        r->entries[i].out = 0;
        l->num_free++;
    }
    return 0;
}

static int walk_request(lists *l, const region *r, uint16_t first, uint32_t num)
{
    const entry *e = &r->entries[first];
    uint16_t i = first, last = first;

    if (e->num == 0)
        return VHU_EINVAL;
    for (uint32_t n = 0; n < e->num; n++) {
        if (i >= num || !see(l, i))
            return VHU_EINVAL;
        last = i;
        i = r->entries[i].next;
    }
    l->num_out++;
    l->span += e->num;
    return last == e->last ? 0 : VHU_EINVAL;
}

static int walk(lists *l, region *r, uint32_t marked, uint32_t num)
{
    int result = walk_free(l, r, marked);

    for (uint16_t i = 0; result == 0 && i < r->num; i++) {
        if (r->entries[i].out)
            result = walk_request(l, r, i, num);
    }
    if (result < 0)
        return result;
    return l->num_seen == r->num && l->span <= num ? 0 : VHU_EINVAL;
}

/* If the ring has less entries than the record, it is those that get free first. */
static bool fits(const lists *l, const region *r, uint32_t num)
{
    uint16_t slot = r->free_head;

    if (!has_position(r, num))
        return false;
    for (uint32_t i = l->span; i < num; i++, slot = r->entries[slot].next) {
        if (slot >= num)
            return false;
    }
    return true;
}

/* --- when a ring starts --- */

static void store_indices(volatile region *to, const region *from)
{
    to->used_idx = from->used_idx;
    to->used_wrap = from->used_wrap;
    to->free_head = from->free_head;
    to->old_free_head = from->old_free_head;
    to->old_used_idx = from->old_used_idx;
    to->old_used_wrap = from->old_used_wrap;
}

/* At the ring's own position, with nothing out; queue->kept is like that. */
static void begin(vhu__record *rec, const vhu_queue *queue)
{
    const uint16_t idx = queue->used_idx & VHU__POS_IDX;
    const uint8_t wrap = wrap_of(queue->used_idx);
    volatile region *to = region_of(rec);

    to->version = 0;
    for (uint32_t i = 0; i < rec->num; i++) {
        to->entries[i].out = 0;
        to->entries[i].next = (uint16_t)(i + 1);
        to->entries[i].last = to->entries[i].num = 0;
    }
    to->num = rec->num;
    store_indices(
        to,
        &(region){.used_idx = idx, .old_used_idx = idx, .used_wrap = wrap, .old_used_wrap = wrap});
    to->version = VHU__RECORD_VERSION;
}

/* Make the area say what the settled copy does; the marks first, as they say what is to be done. */
static void write_back(vhu__record *rec, const region *from)
{
    volatile region *to = region_of(rec);

    for (uint32_t i = 0; i < rec->num; i++) {
        if (!from->entries[i].out)
            to->entries[i].out = 0;
    }
    store_indices(to, from);
}

/* The ring's indices and slots become those of the record: no front-end is told how far it came. */
static void take_over(vhu_queue *queue, const region *r, const lists *l)
{
    const uint32_t used = position(r->used_idx, r->used_wrap);

    for (uint32_t i = 0; i < queue->num; i++) {
        const entry *e = &r->entries[i];

        queue->kept[i] = (vhu__kept){.desc = {.addr = vhu__le64(e->addr),
                                              .len = vhu__le32(e->len),
                                              .id = vhu__le16(e->id),
                                              .flags = vhu__le16(e->flags)},
                                     .next = e->next,
                                     .last = e->last,
                                     .span = e->num};
    }
    queue->free_slot = r->free_head;
    queue->used_idx = (uint16_t)used;
    queue->avail_idx = (uint16_t)vhu__pos_add(used, l->span, queue->num);
    queue->room = queue->num - l->span;
}

static int recover_lists(vhu__record *rec, vhu_queue *queue, region *copy, lists *l)
{
    int r = settle(copy, queue);

    if (r >= 0)
        r = walk(l, copy, (uint32_t)r, queue->num);
    if (r < 0)
        return r;
    if (!fits(l, copy, queue->num)) {
        if (l->num_out > 0)
            return VHU_EINVAL;
        /* That of another ring, which has ended well. */
        begin(rec, queue);
        return 0;
    }
    r = vhu__record_list(rec, copy, l->num_out);
    if (r < 0)
        return r;
    write_back(rec, copy);
    take_over(queue, copy, l);
    return (int)l->num_out;
}

static int recover(vhu__record *rec, vhu_queue *queue, void *copy)
{
    lists l = {.seen = calloc(rec->num, sizeof(*l.seen))};
    int r = l.seen ? recover_lists(rec, queue, copy, &l) : VHU_ENOMEM;

    free(l.seen);
    return r;
}

/* --- while it runs --- */

static void store_desc(volatile entry *to, const vhu__packed_desc *from)
{
    to->addr = vhu__le64(from->addr);
    to->len = vhu__le32(from->len);
    to->flags = vhu__le16(from->flags);
    to->id = vhu__le16(from->id);
}

/* It is out when the old head of the free list is behind it. */
static void on_taken(void *self, const vhu_chain *chain)
{
    vhu__record *rec = self;
    const vhu_queue *queue = rec->queue;
    const uint16_t first = vhu__kept_slot(queue, chain);
    volatile region *to = region_of(rec);
    volatile entry *head = &to->entries[first];
    uint16_t slot = first;

    for (uint32_t i = 0; i < chain->span; i++, slot = queue->kept[slot].next)
        store_desc(&to->entries[slot], &queue->kept[slot].desc);
    head->num = chain->span;
    head->last = queue->kept[first].last;
    head->counter = rec->counter++;
    head->out = 1;
    to->free_head = queue->free_slot;
    to->old_free_head = queue->free_slot;
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    vhu__record *rec = self;
    const vhu_queue *queue = rec->queue;
    volatile region *to = region_of(rec);
    uint32_t span = 0;
    uint32_t used;

    for (uint32_t i = 0; i < n; i++) {
        uint16_t first = vhu__kept_slot(queue, &chains[i]);
        uint16_t last = queue->kept[first].last;

        to->entries[last].next = queue->kept[last].next;
        to->free_head = first;
        span += chains[i].span;
    }
    used = vhu__pos_add(queue->used_idx, span, queue->num);
    to->used_idx = used & VHU__POS_IDX;
    to->used_wrap = wrap_of(used);
    vhu__program_order();
}

static void on_completed(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx)
{
    vhu__record *rec = self;
    const vhu_queue *queue = rec->queue;
    volatile region *to = region_of(rec);

    vhu__program_order();
    for (uint32_t i = 0; i < n; i++)
        to->entries[vhu__kept_slot(queue, &chains[i])].out = 0;
    to->old_free_head = queue->free_slot;
    to->old_used_idx = used_idx & VHU__POS_IDX;
    to->old_used_wrap = wrap_of(used_idx);
}

const vhu__record_layout vhu__packed_record = {
    .bytes = bytes,
    .check = check,
    .is_out = is_out,
    .begin = begin,
    .recover = recover,
    .taken = on_taken,
    .completing = on_completing,
    .completed = on_completed,
};
