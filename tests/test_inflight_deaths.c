/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device dies at every point there is, and the next one does as well: each request is done, each
 * is shown to the driver once, and none of those that were shown is taken again.
 */
#include <string.h>

#include "endian.h"
#include "test_inflight_fixture.h"

enum { REQUESTS = 12, ROOM = 4, BATCH = 3, SLOT = 64, NEVER = 100000 };

/* A word of the record; of each entry, if it lies in one. */
typedef struct field {
    size_t offset;
    size_t size; /* 0: no more */
    bool of_entry;
} field;

/* In which order they are stored by each hook: what the next device finds depends on it. */
typedef struct orders {
    field starting[16], taken[12], completing[6], completed[6];
} orders;

static const orders split_orders = {
    .starting = {{AREA_OUT, 1, true},
                 {AREA_NUM, 2, false},
                 {AREA_LAST_BATCH_HEAD, 2, false},
                 {AREA_USED_IDX, 2, false},
                 {AREA_VERSION, 2, false}},
    .taken = {{AREA_COUNTER, 8, true}, {AREA_OUT, 1, true}},
    .completing = {{AREA_NEXT, 2, true}, {AREA_LAST_BATCH_HEAD, 2, false}},
    .completed = {{AREA_OUT, 1, true}, {AREA_USED_IDX, 2, false}},
};

static const orders packed_orders = {
    .starting = {{PACKED_OUT, 1, true},
                 {PACKED_NEXT, 2, true},
                 {PACKED_LAST, 2, true},
                 {PACKED_SPAN, 2, true},
                 {AREA_NUM, 2, false},
                 {PACKED_USED_IDX, 2, false},
                 {PACKED_USED_WRAP, 1, false},
                 {PACKED_FREE_HEAD, 2, false},
                 {PACKED_OLD_FREE_HEAD, 2, false},
                 {PACKED_OLD_USED_IDX, 2, false},
                 {PACKED_OLD_USED_WRAP, 1, false},
                 {AREA_VERSION, 2, false}},
    .taken = {{PACKED_ADDR, 8, true},
              {PACKED_LEN, 4, true},
              {PACKED_FLAGS, 2, true},
              {PACKED_ID, 2, true},
              {PACKED_SPAN, 2, true},
              {PACKED_LAST, 2, true},
              {PACKED_COUNTER, 8, true},
              {PACKED_OUT, 1, true},
              {PACKED_FREE_HEAD, 2, false},
              {PACKED_OLD_FREE_HEAD, 2, false}},
    .completing = {{PACKED_NEXT, 2, true},
                   {PACKED_FREE_HEAD, 2, false},
                   {PACKED_USED_IDX, 2, false},
                   {PACKED_USED_WRAP, 1, false}},
    .completed = {{PACKED_OUT, 1, true},
                  {PACKED_OLD_FREE_HEAD, 2, false},
                  {PACKED_OLD_USED_IDX, 2, false},
                  {PACKED_OLD_USED_WRAP, 1, false}},
};

typedef struct ring_kind {
    uint64_t features;
    uint16_t index; /* where the ring begins: it goes round its end */
    const orders *orders;
    unsigned points; /* less than there are */
} ring_kind;

#define PLAIN (VHU_BIT(VHU_F_RING_INDIRECT_DESC) | VHU_BIT(VHU_F_RING_EVENT_IDX))

static const ring_kind kinds[] = {
    {PLAIN, UINT16_MAX - 3, &split_orders, 60},
    {PLAIN | VHU_BIT(VHU_F_IN_ORDER), UINT16_MAX - 3, &split_orders, 60},
    {PLAIN | VHU_BIT(VHU_F_RING_PACKED), VHU__POS_WRAP | 5, &packed_orders, 150},
    {PLAIN | VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER), VHU__POS_WRAP | 5,
     &packed_orders, 150},
};

typedef struct world {
    const ring_kind *kind;
    keeper k;
    /* The driver. */
    uint32_t added;
    uint32_t done;
    uint32_t id_of[AREA_RING_SIZE];
    bool is_done[REQUESTS];
    /* The device that lives. */
    vhu__queue_hooks real;
    jmp_buf grave;
    unsigned points; /* until it dies */
    uint32_t next;   /* no request before this one is taken any more */
    uint32_t out;
} world;

/* --- points to die at --- */

static void point(world *w)
{
    if (w->points-- == 0)
        longjmp(w->grave, 1);
}

/* What a hook has stored, once more and slowly, from what was there before. */
static void store_field(world *w, uint8_t *before, const uint8_t *after, size_t at, size_t size)
{
    if (memcmp(before + at, after + at, size) == 0)
        return;
    point(w);
    memcpy(before + at, after + at, size);
    memcpy(w->k.bytes + at, after + at, size);
}

static void store_slowly(world *w, uint8_t *before, const field *fields)
{
    uint8_t after[PACKED_STRIDE];
    const size_t bytes = w->k.packed ? PACKED_STRIDE : AREA_STRIDE;

    memcpy(after, w->k.bytes, bytes);
    memcpy(w->k.bytes, before, bytes);
    for (const field *f = fields; f->size > 0; f++) {
        for (uint32_t i = 0; i < (f->of_entry ? AREA_RING_SIZE : 1); i++)
            store_field(w, before, after,
                        f->of_entry ? keeper_entry_at(&w->k, i, f->offset) : f->offset, f->size);
    }
    assert_memory_equal(before, after, bytes);
    point(w);
}

static void remember(const world *w, uint8_t *before)
{
    memcpy(before, w->k.bytes, w->k.packed ? PACKED_STRIDE : AREA_STRIDE);
}

static void on_taken(void *self, const vhu_chain *chain)
{
    world *w = self;
    uint8_t before[PACKED_STRIDE];

    remember(w, before);
    w->real.taken(w->real.self, chain);
    store_slowly(w, before, w->kind->orders->taken);
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    world *w = self;
    uint8_t before[PACKED_STRIDE];

    remember(w, before);
    w->real.completing(w->real.self, chains, n);
    store_slowly(w, before, w->kind->orders->completing);
}

static void on_completed(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx)
{
    world *w = self;
    uint8_t before[PACKED_STRIDE];

    remember(w, before);
    w->real.completed(w->real.self, chains, n, used_idx);
    store_slowly(w, before, w->kind->orders->completed);
}

static int on_starting(void *self, vhu_queue *queue)
{
    world *w = self;
    uint8_t before[PACKED_STRIDE];
    int r;

    remember(w, before);
    r = w->real.starting(w->real.self, queue);
    store_slowly(w, before, w->kind->orders->starting);
    return r;
}

static void watch(world *w)
{
    const vhu__queue_hooks hooks = {.self = w,
                                    .starting = on_starting,
                                    .taken = on_taken,
                                    .completing = on_completing,
                                    .completed = on_completed};

    w->real = w->k.rig->queue->hooks;
    assert_int_equal(vhu__queue_set_hooks(w->k.rig->queue, &hooks), 0);
}

/* --- driver --- */

static void reap(world *w)
{
    int head;

    while ((head = driver_ring_reap(&w->k.rig->ring, NULL)) >= 0) {
        uint32_t id = w->id_of[head];

        assert_false(w->is_done[id]);
        w->is_done[id] = true;
        w->done++;
    }
}

static void add(world *w)
{
    rig *r = w->k.rig;

    while (w->added < REQUESTS && w->added - w->done < ROOM) {
        uint64_t at = r->data + w->added * (uint64_t)SLOT;
        const driver_buf bufs[] = {{at, sizeof(uint32_t), false}, {at + 16, 16, true}};
        int head = driver_ring_add(&r->ring, bufs, 2);

        memcpy(driver_memory_at(&r->memory, at), &w->added, sizeof(w->added));
        w->id_of[head] = w->added++;
    }
    driver_ring_publish(&r->ring);
}

/* --- device --- */

static uint32_t id_in(const vhu_chain *chain)
{
    uint32_t id;

    memcpy(&id, chain->bufs[0].base, sizeof(id));
    return id;
}

/* They come in their old order, and only if the driver waits for them. */
static void take_some(world *w)
{
    int n = take(w->k.rig, BATCH);

    assert_true(n >= 0);
    for (int i = 0; i < n; i++) {
        uint32_t id = id_in(&w->k.rig->chains[i]);

        assert_true(id >= w->next && id < w->added);
        assert_false(w->is_done[id]);
        w->next = id + 1;
    }
    w->out = (uint32_t)n;
}

/* The last first, and by two if there are as many. */
static void complete_some(world *w)
{
    vhu_chain *chains = w->k.rig->chains;

    while (w->out > 0) {
        uint32_t n = w->out > 2 ? 2 : 1;
        vhu_chain batch[2];

        for (uint32_t i = 0; i < n; i++)
            batch[i] = chains[--w->out];
        vhu_queue_complete(w->k.rig->queue, batch, n);
        reap(w);
    }
}

static void live(world *w)
{
    vhu_queue *queue = w->k.rig->queue;

    w->next = 0;
    assert_int_equal(keeper_open_area(&w->k), 0);
    assert_int_equal(vhu__inflight_track(w->k.inflight, 0, queue), 0);
    watch(w);
    if (!w->k.packed)
        w->k.rig->config.base = vhu__le16(w->k.rig->ring.used->idx);
    assert_int_equal(vhu_queue_start(queue, &w->k.rig->config), 0);
    while (w->done < REQUESTS) {
        add(w);
        take_some(w);
        complete_some(w);
        reap(w);
    }
}

/* Whether it has lived as long as there was work. */
static bool live_until(world *w, unsigned points)
{
    w->points = points;
    if (setjmp(w->grave) == 0) {
        live(w);
        return true;
    }
    keeper_kill(&w->k);
    reap(w);
    return false;
}

/* The record says that nothing is out, and how far the ring has come. */
static void check_record(const world *w)
{
    const keeper *k = &w->k;
    const driver_ring *ring = &k->rig->ring;

    for (uint32_t i = 0; i < AREA_RING_SIZE; i++)
        assert_int_equal(keeper_entry(k, i, AREA_OUT, 1), 0);
    if (!k->packed) {
        assert_int_equal(keeper_get(k, AREA_USED_IDX, 2), vhu__le16(ring->used->idx));
        return;
    }
    assert_int_equal(keeper_get(k, PACKED_USED_IDX, 2) | keeper_get(k, PACKED_USED_WRAP, 1) << 15,
                     ring->used_idx);
    assert_int_equal(keeper_get(k, PACKED_FREE_HEAD, 2), keeper_get(k, PACKED_OLD_FREE_HEAD, 2));
}

/* Whether the first device died. */
static bool run(const ring_kind *kind, unsigned first, unsigned second)
{
    static world w;
    bool died;

    memset(&w, 0, sizeof(w));
    w.kind = kind;
    keeper_open_with(&w.k, kind->features, AREA_RING_SIZE, kind->index);
    died = !live_until(&w, first);
    if (died && !live_until(&w, second))
        assert_true(live_until(&w, NEVER));
    assert_int_equal(w.done, REQUESTS);
    check_record(&w);
    keeper_close(&w.k);
    return died;
}

static void test_each_point(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        unsigned points = 0;

        while (run(&kinds[i], points, NEVER))
            points++;
        assert_true(points > kinds[i].points);
    }
}

static void test_each_two_points(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        for (unsigned first = 0; run(&kinds[i], first, NEVER); first += 7) {
            for (unsigned second = 0; second < 40; second += 3)
                run(&kinds[i], first, second);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_each_point),
        leakcheck_test(test_each_two_points),
    };

    return cmocka_run_group_tests_name("inflight_deaths", tests, NULL, NULL);
}
