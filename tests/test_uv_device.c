/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on a loop: its beginning and its end, front-ends that come and go, and idleness. */
#include "test_uv_device_fixture.h"

static const uv_kit_options two = {.workers = 2, .rings = 2};

/* --- beginning --- */

static void test_worker_start_fails(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= UV_KIT_WORKERS; workers++) {
        for (unsigned failing = 0; failing <= workers; failing++) {
            const uv_kit_options options = {.workers = workers, .rings = 8};
            uv_kit *k = uv_kit_bare(&options);

            k->failing = failing;
            assert_int_equal(uv_kit_make(k, &options), failing ? VHU_EIO : 0);
            assert_int_equal(k->started, failing ? failing - 1 : workers);
            uv_kit_free(k);
        }
    }
}

static void test_states(void **state)
{
    uv_kit *k = uv_kit_new(&two, 0);
    vhu_listener *listener;
    vhu_conn *pair[2];
    sys_address other;

    (void)state;
    sys_address_new(&other);
    assert_int_equal(vhu_listener_new(&listener, other.text, NULL), 0);
    assert_int_equal(vhu_uv_device_listen(k->device, &listener), VHU_ESTATE);
    assert_non_null(listener);
    vhu_listener_free(listener);
    assert_int_equal(vhu_conn_pair(pair, NULL), 0);
    assert_int_equal(vhu_uv_device_connect(k->device, &pair[0]), VHU_ESTATE);
    assert_non_null(pair[0]);
    vhu_conn_free(pair[0]);
    vhu_conn_free(pair[1]);
    uv_kit_free(k);
}

/* Without a listener: a connection that is there already, and another after it. */
static void test_connect(void **state)
{
    uv_kit *k = uv_kit_bare(&two);
    vhu_conn *memory[2];

    (void)state;
    assert_int_equal(uv_kit_make(k, &two), 0);
    assert_int_equal(vhu_conn_memory_pair(memory, VHU_MEMORY_STREAM, NULL), 0);
    assert_int_equal(vhu_uv_device_connect(k->device, &memory[0]), VHU_EINVAL);
    assert_non_null(memory[0]);
    vhu_conn_free(memory[0]);
    vhu_conn_free(memory[1]);
    for (unsigned i = 1; i < 4; i++) {
        uv_kit_pair(k, 2);
        frontend_start(&k->front);
        uv_kit_requests(k, 1, 10);
        frontend_close(&k->front);
        uv_kit_until(k, k->disconnected == i);
    }
    uv_kit_free(k);
}

/* --- one after another --- */

static void test_next_waits(void **state)
{
    uv_kit *k = uv_kit_started(&two);
    vhu_stream *next[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        next[i] = uv_kit_dial(k);
    uv_kit_requests(k, 0, 50);
    test_loop_pause(&k->loop, 10);
    assert_int_equal(k->connected, 1);
    for (unsigned i = 0; i < 3; i++) {
        frontend_call_again(&k->front, next[i]);
        frontend_handshake(&k->front, FRONTEND_PROTOCOL);
        assert_int_equal(k->connected, i + 2);
        assert_int_equal(k->disconnected, i + 1);
        frontend_share(&k->front, 1);
        for (uint32_t n = 0; n < 2; n++)
            frontend_start_ring(&k->front, n, k->front.rings[n].driver.used_idx);
        uv_kit_requests(k, 0, 5);
        uv_kit_requests(k, 1, 5);
    }
    uv_kit_free(k);
}

/* Requests of a dead front-end finish first. */
static void test_dies_with_requests(void **state)
{
    uv_kit *k = uv_kit_started(&two);
    vhu_stream *next;

    (void)state;
    atomic_store(&k->echo.hold, true);
    frontend_submit(&k->front.rings[0], 5);
    uv_kit_until(k, k->echo.rings[0].taken == 5);
    next = uv_kit_dial(k);
    frontend_hang_up(&k->front);
    uv_kit_until(k, k->disconnected == 1);
    test_loop_pause(&k->loop, 10);
    assert_int_equal(k->connected, 1);
    uv_kit_release(k);
    frontend_call_again(&k->front, next);
    uv_kit_until(k, k->connected == 2);
    assert_int_equal(frontend_reap(&k->front.rings[0]), 5);
    uv_kit_free(k);
}

/* --- the end --- */

static void hold_some(uv_kit *k)
{
    atomic_store(&k->echo.hold, true);
    for (uint32_t i = 0; i < 2; i++) {
        unsigned taken = k->echo.rings[i].taken;

        frontend_submit(&k->front.rings[i], 5);
        uv_kit_until(k, k->echo.rings[i].taken == taken + 5);
    }
}

static void test_close(void **state)
{
    enum { AT_ONCE, CONNECTED, WITH_NEXT, WITH_REQUESTS, WITH_PENDING, AFTER_HANG_UP, WAYS };

    (void)state;
    for (int way = 0; way < WAYS; way++) {
        uv_kit *k = way == AT_ONCE ? uv_kit_new(&two, 0) : uv_kit_started(&two);
        const vhu_vring_state ring = {0, 0};
        vhu_stream *next = way == WITH_NEXT ? uv_kit_dial(k) : NULL;
        vhu_uv_device *device = k->device;

        if (way >= WITH_REQUESTS)
            hold_some(k);
        if (way == WITH_PENDING) {
            frontend_send(&k->front, VHU_REQ_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0);
            test_loop_pause(&k->loop, 5);
            assert_true(frontend_is_silent(&k->front));
        }
        if (way == AFTER_HANG_UP) {
            frontend_hang_up(&k->front);
            uv_kit_until(k, k->disconnected == 1);
        }
        uv_kit_close(k);
        vhu_uv_device_close(device, NULL, NULL);
        assert_false(k->closed);
        if (way >= WITH_REQUESTS) {
            test_loop_pause(&k->loop, 10);
            assert_false(k->closed);
            uv_kit_release(k);
        }
        uv_kit_until(k, k->closed);
        if (way >= WITH_REQUESTS)
            assert_int_equal(frontend_reap(&k->front.rings[1]), 5);
        vhu_stream_free(next);
        uv_kit_free(k);
    }
}

static void test_close_in_callbacks(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        uv_kit *k = uv_kit_new(&two, 0);

        if (i % 2)
            k->on_connected = uv_kit_close;
        else
            k->on_disconnected = uv_kit_close;
        if (i % 2 == 0) {
            frontend_start(&k->front);
            frontend_hang_up(&k->front);
        }
        uv_kit_until(k, k->closed);
        assert_int_equal(k->connected, 1);
        uv_kit_free(k);
    }
}

/* Workers may end while they are still being asked to; often enough to meet that. */
static void test_close_races(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        const uv_kit_options options = {.workers = i % 4 + 1, .rings = 4, .spin_us = i % 3 * 20};
        uv_kit *k = uv_kit_bare(&options);

        assert_int_equal(uv_kit_make(k, &options), 0);
        if (i % 2)
            uv_kit_wake(k);
        uv_kit_close(k);
        uv_kit_free(k);
    }
}

/* --- turns --- */

/* A worker that spins and always finds something gives its loop a turn all the same. */
static void test_spinning_is_fair(void **state)
{
    const uv_kit_options options = {.workers = 1, .rings = 1, .spin_us = 100000};
    uv_kit *k = uv_kit_bare(&options);
    frontend_ring *r;

    (void)state;
    k->ticking = true;
    assert_int_equal(uv_kit_make(k, &options), 0);
    uv_kit_pair(k, 1);
    frontend_start(&k->front);
    r = &k->front.rings[0];
    atomic_store(&k->ticks, 0);
    while (atomic_load(&k->ticks) < 5 && r->reaped < 1000000) {
        frontend_submit(r, 1);
        while (frontend_reap(r) == 0 && !r->error)
            ;
        assert_null(r->error);
    }
    assert_true(atomic_load(&k->ticks) >= 5);
    uv_kit_free(k);
}

/* --- idleness --- */

static void test_sleeps(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const uv_kit_options options = {.workers = i + 1, .rings = 4, .spin_us = i % 2 ? 50 : 0};
        uv_kit *k = uv_kit_new(&options, 0);

        uv_kit_expect_sleep(k);
        frontend_start(&k->front);
        uv_kit_expect_sleep(k);
        for (uint32_t n = 0; n < 4; n++)
            uv_kit_requests(k, n, 100);
        uv_kit_expect_sleep(k);
        /* Requests are out; there is no room for more; a ring is waiting to stop. */
        atomic_store(&k->echo.room, 5);
        hold_some(k);
        uv_kit_expect_sleep(k);
        frontend_submit(&k->front.rings[0], 5);
        uv_kit_expect_sleep(k);
        frontend_send(&k->front, VHU_REQ_GET_VRING_BASE, 0, &(vhu_vring_state){0, 0}, 8, NULL, 0);
        uv_kit_expect_sleep(k);
        uv_kit_release(k);
        uv_kit_until(k, !frontend_is_silent(&k->front));
        frontend_hang_up(&k->front);
        uv_kit_expect_sleep(k);
        uv_kit_free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_worker_start_fails),
        leakcheck_test(test_states),
        leakcheck_test(test_connect),
        leakcheck_test(test_next_waits),
        leakcheck_test(test_dies_with_requests),
        leakcheck_test(test_close),
        leakcheck_test(test_close_in_callbacks),
        leakcheck_test(test_close_races),
        leakcheck_test(test_spinning_is_fair),
        leakcheck_test(test_sleeps),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
