/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device dies at every point there is, and the next one does as well: each request is done, each
 * is shown to the driver once, and none of those that were shown is taken again.
 */
#include <string.h>

#include "test_inflight_fixture.h"

enum { REQUESTS = 12, ROOM = 4, BATCH = 3, SLOT = 64, NEVER = 100000 };

typedef struct world {
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

static void on_taken(void *self, const vhu_chain *chain)
{
    world *w = self;

    point(w);
    w->real.taken(w->real.self, chain);
    point(w);
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    world *w = self;

    for (uint32_t i = 0; i < n; i++) {
        point(w);
        w->real.completing(w->real.self, &chains[i], 1);
    }
    point(w);
}

/* The used index of the area comes last. */
static void on_completed(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx)
{
    world *w = self;
    uint16_t before = (uint16_t)keeper_get(&w->k, AREA_USED_IDX, 2);

    for (uint32_t i = 0; i < n; i++) {
        point(w);
        w->real.completed(w->real.self, &chains[i], 1, i + 1 == n ? used_idx : before);
    }
    point(w);
}

/* A ring that starts writes to the area as well; how far it came does not show. */
static int on_starting(void *self, uint32_t num, uint16_t used_idx, const uint16_t **heads)
{
    world *w = self;
    int r;

    point(w);
    r = w->real.starting(w->real.self, num, used_idx, heads);
    point(w);
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
    w->k.rig->config.base = w->k.rig->ring.used->idx;
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

/* Whether the first device died. */
static bool run(unsigned first, unsigned second)
{
    static world w;
    bool died;

    memset(&w, 0, sizeof(w));
    keeper_open(&w.k, AREA_RING_SIZE, UINT16_MAX - 3);
    died = !live_until(&w, first);
    if (died && !live_until(&w, second))
        assert_true(live_until(&w, NEVER));
    assert_int_equal(w.done, REQUESTS);
    for (uint32_t i = 0; i < AREA_RING_SIZE; i++)
        assert_int_equal(keeper_entry(&w.k, i, AREA_OUT, 1), 0);
    assert_int_equal(keeper_get(&w.k, AREA_USED_IDX, 2), w.k.rig->ring.used->idx);
    keeper_close(&w.k);
    return died;
}

static void test_each_point(void **state)
{
    unsigned points = 0;

    (void)state;
    while (run(points, NEVER))
        points++;
    /* Two for each taken, and more than two for each completed. */
    assert_true(points > REQUESTS * 4);
}

static void test_each_two_points(void **state)
{
    (void)state;
    for (unsigned first = 0; run(first, NEVER); first += 3) {
        for (unsigned second = 0; second < 40; second++)
            run(first, second);
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
