/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_device_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/wait.h>

enum { RING_SIZE = 16, MANY_TURNS = 10000 };

/* --- executor --- */

static void executor_wake(void *arg, unsigned worker)
{
    ((kit *)arg)->wakes[worker]++;
}

static void executor_notify(void *arg)
{
    ((kit *)arg)->notified++;
}

static int executor_watch(void *arg, unsigned worker, vhu_ring *ring, vhu_handle kick)
{
    kit *k = arg;

    assert_int_equal(worker, vhu_ring_worker(ring));
    assert_int_equal(worker, vhu_ring_index(ring) % k->workers);
    assert_int_equal(k->watched[vhu_ring_index(ring)], VHU_NO_HANDLE);
    if (k->watch_result == 0)
        k->watched[vhu_ring_index(ring)] = kick;
    return k->watch_result;
}

static void executor_unwatch(void *arg, unsigned worker, vhu_ring *ring)
{
    kit *k = arg;

    assert_int_equal(worker, vhu_ring_worker(ring));
    assert_int_not_equal(k->watched[vhu_ring_index(ring)], VHU_NO_HANDLE);
    k->watched[vhu_ring_index(ring)] = VHU_NO_HANDLE;
    k->unwatched[vhu_ring_index(ring)]++;
}

static int executor_watch_also(void *arg, vhu_device_wait which, vhu_handle handle, unsigned events)
{
    kit *k = arg;

    k->also[which] = (vhu_wait){.handle = handle, .events = events};
    return k->watch_result;
}

vhu_wait kit_also(const kit *k, vhu_device_wait which)
{
    vhu_wait wait = k->also[which];

    if (!k->workers)
        assert_true(vhu_device_also(k->device, which, &wait));
    return wait;
}

/* --- turns --- */

static void on_left(void *arg)
{
    kit *k = arg;

    k->left++;
    assert_true(vhu_device_is_idle(k->device));
}

void kit_serve(kit *k)
{
    int r = 0;

    if (!k->server)
        return;
    do {
        r = vhu_backend_server_serve(k->server);
    } while (r == 0 ||
             (r == VHU_EAGAIN && vhu_conn_wait(vhu_backend_server_conn(k->server), 0) == 0));
    if (r == VHU_EAGAIN)
        return;
    k->ended = r;
    k->server = NULL;
    assert_int_equal(vhu_device_disconnect(k->device, on_left, k), 0);
}

static vhu_handle kick_of(kit *k, vhu_ring *ring)
{
    return k->workers ? k->watched[vhu_ring_index(ring)] : vhu_ring_kick_handle(ring);
}

static bool take_kicks(kit *k, unsigned worker)
{
    unsigned step = k->workers ? k->workers : 1;
    bool any = false;

    for (uint32_t i = worker; vhu_device_ring(k->device, i); i += step) {
        vhu_ring *ring = vhu_device_ring(k->device, i);
        vhu_wait kick = {kick_of(k, ring), VHU_WAIT_READ, false};

        if (kick.handle == VHU_NO_HANDLE || vhu_wait_any(&kick, 1, 0) < 0)
            continue;
        vhu_ring_kicked(ring);
        any = true;
    }
    return any;
}

/* Until it would sleep, and there is no kick to wake it. */
void kit_work(kit *k, unsigned worker)
{
    int turns = 0;

    do {
        do {
            assert_true(turns++ < MANY_TURNS);
            while (vhu_device_poll(k->device, worker))
                assert_true(turns++ < MANY_TURNS);
        } while (!vhu_device_may_sleep(k->device, worker));
    } while (take_kicks(k, worker));
}

void kit_turn(void *arg)
{
    kit *k = arg;

    do {
        kit_serve(k);
        for (unsigned i = 0; !k->manual && i < (k->workers ? k->workers : 1); i++)
            kit_work(k, i);
        vhu_device_settle(k->device);
        kit_serve(k);
    } while ((k->front.features & VHU_BIT(VHU_F_ACCESS_PLATFORM)) &&
             frontend_answer(&k->front) > 0);
}

/* --- life --- */

static void on_log(void *arg, vhu_log_level level, const char *text)
{
    kit *k = arg;

    if (level > VHU_LOG_WARNING)
        return;
    k->logged++;
    strncpy(k->last_log, text, sizeof(k->last_log) - 1);
}

static vhu_stream *connect_device(kit *k)
{
    vhu_stream *pair[2];
    vhu_conn *conn;

    assert_null(k->server);
    assert_int_equal(vhu_stream_pair(pair), 0);
    assert_int_equal(vhu_conn_from_stream(&conn, &pair[0], NULL), 0);
    assert_int_equal(vhu_device_connect(k->device, &conn, &k->server), 0);
    assert_null(conn);
    return pair[1];
}

kit *kit_new(const kit_options *options)
{
    kit *k = calloc(1, sizeof(*k));
    const vhu_executor executor = {.size = sizeof(executor),
                                   .num_workers = options->workers,
                                   .wake = executor_wake,
                                   .notify = executor_notify,
                                   .watch = executor_watch,
                                   .unwatch = executor_unwatch,
                                   .watch_also = executor_watch_also};
    const vhu_device_options device = {.size = sizeof(device),
                                       .features =
                                           options->features & VHU_BIT(VHU_F_ACCESS_PLATFORM),
                                       .num_rings = options->rings,
                                       .serve_disabled = options->serve_disabled,
                                       .withhold = options->withhold,
                                       .sealed_memory = options->sealed_memory,
                                       .inband = options->inband,
                                       .host_notifiers = options->host_notifiers,
                                       .shmem = options->shmem,
                                       .cross_endian = options->cross_endian,
                                       .log = on_log,
                                       .log_arg = k};

    assert_non_null(k);
    k->workers = options->workers;
    for (size_t i = 0; i < FRONTEND_RINGS; i++)
        k->watched[i] = VHU_NO_HANDLE;
    for (size_t i = 0; i < KIT_WAITS; i++)
        k->also[i].handle = VHU_NO_HANDLE;
    echo_init(&k->echo, k->workers);
    assert_int_equal(vhu_device_new(&k->device, &device, options->ops ? options->ops : &echo_ops,
                                    &k->echo, k->workers ? &executor : NULL, k),
                     0);
    k->front.turn = kit_turn;
    k->front.turn_arg = k;
    frontend_open(&k->front, connect_device(k), options->regions ? options->regions : 1, 0,
                  options->rings, options->size ? options->size : RING_SIZE,
                  FRONTEND_FEATURES | options->features);
    return k;
}

kit *kit_started(const kit_options *options)
{
    kit *k = kit_new(options);

    frontend_start(&k->front);
    kit_turn(k);
    return k;
}

void kit_connect(kit *k)
{
    frontend_call_again(&k->front, connect_device(k));
}

void kit_free(kit *k)
{
    k->manual = false;
    atomic_store(&k->echo.hold, false);
    for (uint32_t i = 0; i < k->front.num_rings; i++) {
        if (k->front.rings[i].error)
            fail_msg("ring %u: %s", i, k->front.rings[i].error);
    }
    frontend_close(&k->front);
    kit_turn(k);
    assert_null(k->server);
    assert_true(vhu_device_is_idle(k->device));
    for (uint32_t i = 0; i < FRONTEND_RINGS; i++) {
        assert_int_equal(k->watched[i], VHU_NO_HANDLE);
        assert_int_equal(k->echo.rings[i].started, k->echo.rings[i].parked);
    }
    for (int i = 0; i < KIT_WAITS; i++)
        assert_int_equal(kit_also(k, (vhu_device_wait)i).handle, VHU_NO_HANDLE);
    assert_int_equal(k->echo.errors, 0);
    assert_int_equal(vhu_device_free(k->device), 0);
    free(k);
}

/* --- requests --- */

void kit_reap(kit *k, uint32_t ring, uint32_t n)
{
    frontend_ring *r = &k->front.rings[ring];

    kit_turn(k);
    assert_int_equal(frontend_reap(r), n);
    assert_null(r->error);
}

void kit_requests(kit *k, uint32_t ring, uint32_t n)
{
    assert_int_equal(frontend_submit(&k->front.rings[ring], n), n);
    kit_reap(k, ring, n);
}

bool kit_runs(const kit *k, uint32_t ring)
{
    return k->echo.rings[ring].ring != NULL;
}

void kit_each(void (*test)(const kit_options *options), kit_options options)
{
    for (options.workers = 0; options.workers <= KIT_WORKERS; options.workers++)
        test(&options);
}
