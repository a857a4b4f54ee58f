/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_uv_device_fixture.h"

#include <stdlib.h>

enum { RING_SIZE = 32, CHUNK = 64 };

/* --- workers --- */

static void on_wake(uv_async_t *async)
{
    (void)async;
}

static void on_tick(uv_timer_t *timer)
{
    atomic_fetch_add(&((uv_kit *)timer->data)->ticks, 1);
}

static int worker_start(void *self, unsigned worker, uv_loop_t *loop)
{
    uv_kit *k = self;

    if (k->failing == worker + 1)
        return VHU_EIO;
    atomic_fetch_add(&k->started, 1);
    uv_timer_init(loop, &k->ticker[worker]);
    k->ticker[worker].data = k;
    if (k->ticking)
        uv_timer_start(&k->ticker[worker], on_tick, 1, 1);
    return uv_async_init(loop, &k->wake[worker], on_wake) == 0 ? 0 : VHU_EMFILE;
}

static void worker_stop(void *self, unsigned worker)
{
    uv_kit *k = self;

    atomic_fetch_add(&k->stopped, 1);
    uv_close((uv_handle_t *)&k->wake[worker], NULL);
    uv_close((uv_handle_t *)&k->ticker[worker], NULL);
}

void uv_kit_wake(uv_kit *k)
{
    atomic_thread_fence(memory_order_seq_cst);
    for (unsigned i = 0; i < k->workers; i++)
        uv_async_send(&k->wake[i]);
}

void uv_kit_release(uv_kit *k)
{
    atomic_store(&k->echo.hold, false);
    uv_kit_wake(k);
}

/* --- the loop --- */

static void connected(void *self)
{
    uv_kit *k = self;

    k->connected++;
    if (k->on_connected)
        k->on_connected(k);
}

static void disconnected(void *self, int error)
{
    uv_kit *k = self;

    k->disconnected++;
    k->ended = error;
    if (k->on_disconnected)
        k->on_disconnected(k);
}

static void on_closed(void *arg)
{
    ((uv_kit *)arg)->closed = true;
}

void uv_kit_close(uv_kit *k)
{
    if (k->device)
        vhu_uv_device_close(k->device, on_closed, k);
    k->device = NULL;
}

void uv_kit_answer(uv_kit *k)
{
    if (k->front.features & VHU_BIT(VHU_F_ACCESS_PLATFORM))
        frontend_answer(&k->front);
}

static void turn(void *arg)
{
    uv_kit *k = arg;

    test_loop_turn(&k->loop);
    uv_kit_answer(k);
}

/* --- life --- */

uv_kit *uv_kit_bare(const uv_kit_options *options)
{
    uv_kit *k = calloc(1, sizeof(*k));

    assert_non_null(k);
    echo_init(&k->echo, options->workers);
    sys_address_new(&k->address);
    test_loop_open(&k->loop);
    assert_int_equal(uv_async_init(&k->loop.uv, &k->nudge, on_wake), 0);
    k->workers = options->workers;
    k->front.turn = turn;
    k->front.turn_arg = k;
    return k;
}

int uv_kit_make(uv_kit *k, const uv_kit_options *options)
{
    const vhu_device_options device = {.size = sizeof(device),
                                       .features = k->features & VHU_BIT(VHU_F_ACCESS_PLATFORM),
                                       .num_rings = options->rings,
                                       .inband = options->inband,
                                       .postcopy = k->postcopy};
    const vhu_uv_device_options uv = {.size = sizeof(uv),
                                      .num_workers = options->workers,
                                      .spin_us = options->spin_us,
                                      .worker_start = worker_start,
                                      .worker_stop = worker_stop,
                                      .connected = connected,
                                      .disconnected = disconnected};

    return vhu_uv_device_new(&k->device, &k->loop.uv, &device, &echo_ops, k, &uv);
}

vhu_stream *uv_kit_dial(const uv_kit *k)
{
    vhu_stream *stream = NULL;

    assert_int_equal(vhu_stream_connect(&stream, k->address.text, 0, NULL), 0);
    return stream;
}

void uv_kit_pair(uv_kit *k, uint32_t rings)
{
    vhu_stream *pair[2];
    vhu_conn *conn;
    int r;

    assert_int_equal(vhu_stream_pair(pair), 0);
    assert_int_equal(vhu_conn_from_stream(&conn, &pair[0], NULL), 0);
    /* The rings of the one before may take a while. */
    while ((r = vhu_uv_device_connect(k->device, &conn)) == VHU_ESTATE)
        test_loop_turn(&k->loop);
    assert_int_equal(r, 0);
    assert_null(conn);
    echo_forget(&k->echo);
    frontend_open(&k->front, pair[1], 1, 0, rings, RING_SIZE, FRONTEND_FEATURES);
}

void uv_kit_listen(uv_kit *k, const uv_kit_options *options, int timeout_ms)
{
    const vhu_conn_options conn = {.size = sizeof(conn), .timeout_ms = timeout_ms};
    const vhu_listener_options o = {.size = sizeof(o), .connection = &conn};
    vhu_listener *listener;

    assert_int_equal(vhu_listener_new(&listener, k->address.text, &o), 0);
    assert_int_equal(uv_kit_make(k, options), 0);
    assert_int_equal(vhu_uv_device_listen(k->device, &listener), 0);
    assert_null(listener);
    frontend_open(&k->front, uv_kit_dial(k), options->regions ? options->regions : 1,
                  options->spare, options->rings, RING_SIZE, FRONTEND_FEATURES | k->features);
}

static uv_kit *listening(const uv_kit_options *options, int timeout_ms, uint64_t features)
{
    uv_kit *k = uv_kit_bare(options);

    k->features = features;
    uv_kit_listen(k, options, timeout_ms);
    return k;
}

uv_kit *uv_kit_new(const uv_kit_options *options, int timeout_ms)
{
    return listening(options, timeout_ms, 0);
}

uv_kit *uv_kit_featured(const uv_kit_options *options, uint64_t features)
{
    return listening(options, 0, features);
}

uv_kit *uv_kit_started(const uv_kit_options *options)
{
    uv_kit *k = uv_kit_new(options, 0);

    frontend_start(&k->front);
    return k;
}

void uv_kit_free(uv_kit *k)
{
    for (uint32_t i = 0; i < k->front.num_rings; i++) {
        if (k->front.rings[i].error)
            fail_msg("ring %u: %s", i, k->front.rings[i].error);
    }
    if (k->device)
        uv_kit_release(k);
    uv_kit_close(k);
    uv_close((uv_handle_t *)&k->nudge, NULL);
    test_loop_close(&k->loop);
    frontend_close(&k->front);
    sys_address_clear(&k->address);
    assert_int_equal(k->connected, k->disconnected);
    assert_int_equal(k->started, k->stopped);
    for (uint32_t i = 0; i < FRONTEND_RINGS; i++)
        assert_int_equal(k->echo.rings[i].started, k->echo.rings[i].parked);
    assert_int_equal(k->echo.errors, 0);
    free(k);
}

void uv_kit_expect_sleep(uv_kit *k)
{
    for (int tries = 0; tries < 200; tries++) {
        unsigned polls = k->echo.polls;

        if (test_loop_pause(&k->loop, 10) < 20 && k->echo.polls == polls)
            return;
    }
    fail_msg("it does not sleep");
}

/* --- drivers --- */

static void drive(void *arg)
{
    uv_driver *d = arg;

    if (d->n > 0) {
        frontend_run(d->ring, d->n, d->depth);
    } else {
        while (!atomic_load(&d->stop) && frontend_run(d->ring, CHUNK, d->depth))
            ;
    }
    atomic_store(&d->ended, true);
    uv_async_send(&d->kit->nudge);
}

void uv_driver_start(uv_driver *d, uv_kit *k, uint32_t ring, uint64_t n, uint32_t depth)
{
    *d = (uv_driver){.kit = k, .ring = &k->front.rings[ring], .n = n, .depth = depth};
    atomic_init(&d->stop, false);
    atomic_init(&d->ended, false);
    assert_int_equal(uv_thread_create(&d->thread, drive, d), 0);
}

void uv_driver_join(uv_driver *d)
{
    atomic_store(&d->stop, true);
    uv_kit_until(d->kit, atomic_load(&d->ended));
    uv_thread_join(&d->thread);
    if (d->ring->error)
        fail_msg("ring %u: %s", d->ring->index, d->ring->error);
}

void uv_kit_requests(uv_kit *k, uint32_t ring, uint32_t n)
{
    uv_driver d;

    uv_driver_start(&d, k, ring, n, n);
    uv_driver_join(&d);
}
