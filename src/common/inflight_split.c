/* SPDX-License-Identifier: BSD-3-Clause */
/* A split ring's record: the requests' descriptors stay in the ring, so it has their heads. */
#include <string.h>

#include "atomic.h"
#include "inflight_internal.h"

typedef struct entry {
    uint8_t out; /* the request with this head: 0 or 1 */
    uint8_t pad[5];
    uint16_t next;    /* head that was completed before this one */
    uint64_t counter; /* says in which order requests were taken */
} entry;

typedef struct region {
    uint64_t features;
    uint16_t version;
    uint16_t num;
    uint16_t last_batch_head; /* completed last: begin of the list */
    uint16_t used_idx;        /* up to which `out` is right */
    entry entries[];
} region;

_Static_assert(sizeof(entry) == 16 && sizeof(region) == 16, "in-flight area");

static volatile region *region_of(const vhu__record *rec)
{
    return rec->region;
}

static uint64_t bytes(uint16_t num)
{
    return sizeof(region) + sizeof(entry) * (uint64_t)num;
}

/* --- what somebody has left --- */

/* A packed ring's record has links where nothing is here. */
static bool is_entry(const vhu__record *rec, const entry *e)
{
    static const uint8_t nothing[sizeof(e->pad)];

    return e->out <= 1 && e->next < rec->num && memcmp(e->pad, nothing, sizeof(nothing)) == 0;
}

static int check(const vhu__record *rec, const void *copy)
{
    const region *r = copy;

    if (r->last_batch_head >= rec->num)
        return VHU_EINVAL;
    for (uint32_t i = 0; i < rec->num; i++) {
        if (!is_entry(rec, &r->entries[i]))
            return VHU_EINVAL;
    }
    return 0;
}

static bool is_out(const volatile void *of, uint32_t i, uint64_t *counter)
{
    const volatile entry *e = &((const volatile region *)of)->entries[i];

    *counter = e->counter;
    return e->out != 0;
}

static uint32_t count_out(const region *r, uint32_t num)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < num; i++)
        n += r->entries[i].out;
    return n;
}

/*
 * Requests that the driver was shown last may still be marked: the difference of the indices says
 * how many, and they are the first of the list.
 */
static int settle(region *r, uint16_t used_idx)
{
    uint16_t batch = (uint16_t)(used_idx - r->used_idx);
    uint16_t head = r->last_batch_head;

    if (batch > r->num)
        return VHU_EINVAL;
    for (; batch > 0; batch--) {
        r->entries[head].out = 0;
        head = r->entries[head].next;
    }
    return 0;
}

/* --- when a ring starts --- */

static void begin(vhu__record *rec, const vhu_queue *queue)
{
    volatile region *to = region_of(rec);

    for (uint32_t i = 0; i < rec->num; i++)
        to->entries[i].out = 0;
    to->num = rec->num;
    to->last_batch_head = 0;
    to->used_idx = queue->used_idx;
    to->version = VHU__RECORD_VERSION;
}

/* Make the area say what the settled copy does. */
static void write_back(vhu__record *rec, const region *from, uint16_t used_idx)
{
    volatile region *to = region_of(rec);

    for (uint32_t i = 0; i < rec->num; i++) {
        if (!from->entries[i].out)
            to->entries[i].out = 0;
    }
    to->used_idx = used_idx;
}

/* How many are out. */
static int recover(vhu__record *rec, vhu_queue *queue, void *of)
{
    region *copy = of;
    uint32_t n = count_out(copy, rec->num);
    int r;

    /* If nothing is out, the ring may be another one by now, with other indices. */
    if (n > 0) {
        r = settle(copy, queue->used_idx);
        if (r < 0)
            return r;
        n = count_out(copy, queue->num);
        if (n < count_out(copy, rec->num))
            return VHU_EINVAL;
    }
    r = vhu__record_list(rec, copy, n);
    if (r < 0)
        return r;
    write_back(rec, copy, queue->used_idx);
    rec->last_batch_head = copy->last_batch_head;
    /* Behind what was shown to the driver comes what is out, whatever base the ring starts with. */
    if (n > 0)
        queue->avail_idx = (uint16_t)(queue->used_idx + n);
    return (int)n;
}

/* --- while it runs --- */

static void on_taken(void *self, const vhu_chain *chain)
{
    vhu__record *rec = self;
    volatile entry *e = &region_of(rec)->entries[chain->head];

    e->counter = rec->counter++;
    e->out = 1;
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    vhu__record *rec = self;
    volatile region *to = region_of(rec);

    for (uint32_t i = 0; i < n; i++) {
        uint16_t head = (uint16_t)chains[i].head;

        to->entries[head].next = rec->last_batch_head;
        to->last_batch_head = rec->last_batch_head = head;
    }
    vhu__program_order();
}

static void on_completed(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx)
{
    volatile region *to = region_of(self);

    vhu__program_order();
    for (uint32_t i = 0; i < n; i++)
        to->entries[chains[i].head].out = 0;
    to->used_idx = used_idx;
}

const vhu__record_layout vhu__split_record = {
    .bytes = bytes,
    .check = check,
    .is_out = is_out,
    .begin = begin,
    .recover = recover,
    .taken = on_taken,
    .completing = on_completing,
    .completed = on_completed,
};
