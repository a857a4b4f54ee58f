/* SPDX-License-Identifier: BSD-3-Clause */
/* vhu_device_run(): a device whose program has no loop, on a thread of the test. */
#include <stdlib.h>
#include <uv.h>

#include "support/echo_device.h"

enum { RINGS = VHU_RUN_RINGS, REQUESTS = 40 };

typedef struct runner {
    echo_device echo;
    vhu_device *device;
    vhu_conn *conn;
    vhu_event *stop;
    vhu_stream *peer;
    uv_thread_t thread;
    int result;
} runner;

static void run(void *arg)
{
    runner *r = arg;

    r->result = vhu_device_run(r->device, &r->conn, vhu_event_wait_handle(r->stop));
}

static void connect_runner(runner *r)
{
    vhu_stream *pair[2];

    assert_int_equal(vhu_stream_pair(pair), 0);
    assert_int_equal(vhu_conn_from_stream(&r->conn, &pair[0], NULL), 0);
    r->peer = pair[1];
}

static runner *runner_new(uint32_t rings)
{
    const vhu_device_options options = {.size = sizeof(options), .num_rings = rings};
    runner *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    echo_init(&r->echo, 0);
    assert_int_equal(vhu_device_new(&r->device, &options, &echo_ops, &r->echo, NULL, NULL), 0);
    assert_int_equal(vhu_event_new(&r->stop), 0);
    connect_runner(r);
    return r;
}

static void runner_free(runner *r)
{
    vhu_conn_free(r->conn);
    vhu_event_free(r->stop);
    assert_int_equal(vhu_device_free(r->device), 0);
    free(r);
}

static void runner_start(runner *r)
{
    assert_int_equal(uv_thread_create(&r->thread, run, r), 0);
}

static void runner_end(runner *r, int result)
{
    uv_thread_join(&r->thread);
    assert_int_equal(r->result, result);
    assert_null(r->conn);
    assert_true(vhu_device_is_idle(r->device));
    assert_int_equal(r->echo.errors, 0);
}

/* Requests on all rings, one at a time: each must be kicked for, and called. */
static void exercise(frontend *f)
{
    for (uint32_t i = 0; i < f->num_rings; i++) {
        if (!frontend_run(&f->rings[i], REQUESTS, 1))
            fail_msg("ring %u: %s", i, f->rings[i].error);
    }
}

/* --- */

static const uint32_t numbers[] = {1, RINGS};

static void test_front_ends(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        runner *r = runner_new(numbers[i]);
        frontend f = {0};

        runner_start(r);
        frontend_open(&f, r->peer, 1, 0, numbers[i], 16, FRONTEND_FEATURES);
        for (int time = 0; time < 2; time++) {
            if (time > 0) {
                connect_runner(r);
                runner_start(r);
                frontend_call_again(&f, r->peer);
            }
            frontend_start(&f);
            exercise(&f);
            assert_int_equal(frontend_stop_ring(&f, 0), f.rings[0].reaped);
            frontend_hang_up(&f);
            runner_end(r, VHU_ECLIENT_EXIT);
        }
        frontend_close(&f);
        runner_free(r);
    }
}

static void test_stop(void **state)
{
    (void)state;
    for (int started = 0; started < 2; started++) {
        runner *r = runner_new(2);
        frontend f = {0};

        runner_start(r);
        frontend_open(&f, r->peer, 1, 0, 2, 16, FRONTEND_FEATURES);
        if (started) {
            frontend_start(&f);
            exercise(&f);
        }
        assert_int_equal(vhu_event_signal(r->stop), 0);
        runner_end(r, 0);
        frontend_close(&f);
        runner_free(r);
    }
}

/* A front-end that breaks the protocol: the reason comes back. */
static void test_broken(void **state)
{
    runner *r = runner_new(1);
    vhu_msg_header header = {.request = VHU_REQ_GET_FEATURES, .flags = 3};
    frontend f = {0};

    (void)state;
    runner_start(r);
    frontend_open(&f, r->peer, 1, 0, 1, 16, FRONTEND_FEATURES);
    frontend_send_bytes(&f, &header, sizeof(header));
    uv_thread_join(&r->thread);
    assert_true(r->result < 0);
    assert_int_not_equal(r->result, VHU_ECLIENT_EXIT);
    assert_true(vhu_device_is_idle(r->device));
    frontend_close(&f);
    runner_free(r);
}

static void wake(void *arg, unsigned worker)
{
    (void)arg;
    (void)worker;
}

static void notify(void *arg)
{
    (void)arg;
}

static int watch(void *arg, unsigned worker, vhu_ring *ring, vhu_handle kick)
{
    (void)arg;
    (void)worker;
    (void)ring;
    (void)kick;
    return 0;
}

static void unwatch(void *arg, unsigned worker, vhu_ring *ring)
{
    (void)arg;
    (void)worker;
    (void)ring;
}

static void test_refused(void **state)
{
    const vhu_executor executor = {.size = sizeof(executor),
                                   .num_workers = 1,
                                   .wake = wake,
                                   .notify = notify,
                                   .watch = watch,
                                   .unwatch = unwatch};
    const struct {
        uint32_t rings;
        const vhu_executor *executor;
    } rows[] = {{RINGS + 1, NULL}, {1, &executor}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const vhu_device_options options = {.size = sizeof(options), .num_rings = rows[i].rings};
        runner *r = runner_new(1);
        vhu_device *device;

        assert_int_equal(
            vhu_device_new(&device, &options, &echo_ops, &r->echo, rows[i].executor, NULL), 0);
        assert_int_equal(vhu_device_run(device, &r->conn, VHU_NO_HANDLE), VHU_EINVAL);
        assert_non_null(r->conn);
        assert_int_equal(vhu_device_free(device), 0);
        vhu_stream_free(r->peer);
        runner_free(r);
    }
}

/* What cannot be waited for would never be heard of again. */
static void test_no_wait_handle(void **state)
{
    runner *r = runner_new(1);
    vhu_conn *pair[2];

    (void)state;
    assert_int_equal(vhu_conn_memory_pair(pair, VHU_MEMORY_STREAM, NULL), 0);
    assert_int_equal(vhu_event_signal(r->stop), 0);
    assert_int_equal(vhu_device_run(r->device, &pair[0], vhu_event_wait_handle(r->stop)),
                     VHU_EINVAL);
    assert_non_null(pair[0]);
    vhu_conn_free(pair[0]);
    vhu_conn_free(pair[1]);
    vhu_stream_free(r->peer);
    runner_free(r);
}

static void test_busy(void **state)
{
    runner *r = runner_new(1);
    vhu_stream *first = r->peer;
    vhu_backend_server *server;

    (void)state;
    assert_int_equal(vhu_device_connect(r->device, &r->conn, &server), 0);
    connect_runner(r);
    assert_int_equal(vhu_device_run(r->device, &r->conn, VHU_NO_HANDLE), VHU_ESTATE);
    assert_non_null(r->conn);
    assert_int_equal(vhu_device_disconnect(r->device, NULL, NULL), 0);
    vhu_stream_free(first);
    vhu_stream_free(r->peer);
    runner_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_front_ends), leakcheck_test(test_stop),
        leakcheck_test(test_broken),     leakcheck_test(test_refused),
        leakcheck_test(test_busy),       leakcheck_test(test_no_wait_handle),
    };

    return cmocka_run_group_tests_name("device_run", tests, NULL, NULL);
}
