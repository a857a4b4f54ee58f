/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_uv_device_fixture.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

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

static void on_prepare(uv_prepare_t *prepare)
{
    ((uv_kit *)prepare->data)->turns++;
}

static void on_timer(uv_timer_t *timer)
{
    ((uv_kit *)timer->data)->timed = true;
}

void uv_kit_turn(void *arg)
{
    uv_kit *k = arg;

    uv_run(&k->loop, UV_RUN_NOWAIT);
    frontend_wait_loop(&k->front, uv_backend_fd(&k->loop), uv_backend_timeout(&k->loop));
}

void uv_kit_pause(uv_kit *k, unsigned ms)
{
    k->timed = false;
    uv_update_time(&k->loop);
    uv_timer_start(&k->timer, on_timer, ms, 0);
    uv_kit_until(k, k->timed);
}

/* --- life --- */

int uv_kit_setup(void **state)
{
    uv_loop_t loop;

    (void)state;
    return uv_loop_init(&loop) == 0 ? uv_loop_close(&loop) : -1;
}

uv_kit *uv_kit_bare(const uv_kit_options *options)
{
    static unsigned number;
    uv_kit *k = calloc(1, sizeof(*k));

    assert_non_null(k);
    echo_init(&k->echo, options->workers);
    snprintf(k->name, sizeof(k->name), "@vmm_vhost-test-%d-%u", (int)getpid(), number++);
    assert_int_equal(uv_loop_init(&k->loop), 0);
    assert_int_equal(uv_async_init(&k->loop, &k->nudge, on_wake), 0);
    uv_timer_init(&k->loop, &k->timer);
    uv_prepare_init(&k->loop, &k->prepare);
    k->timer.data = k->prepare.data = k;
    uv_prepare_start(&k->prepare, on_prepare);
    uv_unref((uv_handle_t *)&k->prepare);
    k->workers = options->workers;
    k->front.fd = k->front.channel = k->front.memory.fd = -1;
    k->front.turn = uv_kit_turn;
    k->front.turn_arg = k;
    return k;
}

int uv_kit_make(uv_kit *k, const uv_kit_options *options)
{
    const vhu_device_options device = {.size = sizeof(device), .num_rings = options->rings};
    const vhu_uv_device_options uv = {.size = sizeof(uv),
                                      .num_workers = options->workers,
                                      .spin_us = options->spin_us,
                                      .worker_start = worker_start,
                                      .worker_stop = worker_stop,
                                      .connected = connected,
                                      .disconnected = disconnected};

    return vhu_uv_device_new(&k->device, &k->loop, &device, &echo_ops, k, &uv);
}

int uv_kit_dial(const uv_kit *k)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(k->name));
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_in_range(strlen(k->name), 2, sizeof(address.sun_path) - 1);
    memcpy(address.sun_path + 1, k->name + 1, strlen(k->name) - 1);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, len), 0);
    return fd;
}

uv_kit *uv_kit_new(const uv_kit_options *options, int timeout_ms)
{
    const vhu_conn_options conn = {.size = sizeof(conn), .timeout_ms = timeout_ms};
    const vhu_listener_options o = {.size = sizeof(o), .connection = &conn};
    uv_kit *k = uv_kit_bare(options);
    vhu_listener *listener;

    assert_int_equal(vhu_listener_new(&listener, k->name, &o), 0);
    assert_int_equal(uv_kit_make(k, options), 0);
    assert_int_equal(vhu_uv_device_listen(k->device, &listener), 0);
    assert_null(listener);
    frontend_open(&k->front, uv_kit_dial(k), options->regions ? options->regions : 1,
                  options->spare, options->rings, RING_SIZE, FRONTEND_FEATURES);
    return k;
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
    uv_close((uv_handle_t *)&k->timer, NULL);
    uv_close((uv_handle_t *)&k->prepare, NULL);
    assert_int_equal(uv_run(&k->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&k->loop), 0);
    frontend_close(&k->front);
    assert_int_equal(k->connected, k->disconnected);
    assert_int_equal(k->started, k->stopped);
    for (uint32_t i = 0; i < FRONTEND_RINGS; i++)
        assert_int_equal(k->echo.rings[i].started, k->echo.rings[i].parked);
    assert_int_equal(k->echo.errors, 0);
    free(k);
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
