/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on a loop: its beginning and its end, front-ends that come and go, and idleness. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Let there be this many more descriptors, until the limit is `before` again. */
static void limit_descriptors(int more, struct rlimit *before)
{
    struct rlimit limit;
    int fd;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, before), 0);
    for (fd = 0; fcntl(fd, F_GETFD) >= 0 || more-- > 0; fd++)
        ;
    limit = (struct rlimit){(rlim_t)fd, before->rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
}

/*
 * Descriptors run out at each worker's loop; what was made before is given back. At the first of
 * a loop's descriptors, since at a later one libuv itself may lose one.
 */
static void test_too_few_descriptors(void **state)
{
    const uv_kit_options options = {.workers = 3, .rings = 3};
    int before_loop = leakcheck_count();
    struct rlimit before;
    uv_loop_t loop;
    int each;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    each = leakcheck_count() - before_loop;
    assert_int_equal(uv_loop_close(&loop), 0);
    for (int i = 0; i < 3; i++) {
        uv_kit *k = uv_kit_bare(&options);

        limit_descriptors(i * each, &before);
        assert_int_not_equal(uv_kit_make(k, &options), 0);
        assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
        assert_int_equal(k->started, i);
        uv_kit_free(k);
    }
}

/* A stack as large as this has nowhere to go. */
static void test_no_thread(void **state)
{
    struct rlimit before;
    struct rlimit huge;
    uv_kit *k = uv_kit_bare(&two);

    (void)state;
    assert_int_equal(getrlimit(RLIMIT_STACK, &before), 0);
    huge = (struct rlimit){(rlim_t)1 << 46, before.rlim_max};
    if (huge.rlim_cur > before.rlim_max) {
        uv_kit_free(k);
        skip();
    }
    assert_int_equal(setrlimit(RLIMIT_STACK, &huge), 0);
    assert_int_equal(uv_kit_make(k, &two), VHU_ENOMEM);
    assert_int_equal(setrlimit(RLIMIT_STACK, &before), 0);
    uv_kit_free(k);
}

static void test_states(void **state)
{
    uv_kit *k = uv_kit_new(&two, 0);
    vhu_listener *listener;
    vhu_conn *pair[2];

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, "@vmm_vhost-test-other", NULL), 0);
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
    vhu_conn *conn;
    vhu_conn *memory[2];
    int ends[2];
    int r;

    (void)state;
    assert_int_equal(uv_kit_make(k, &two), 0);
    assert_int_equal(vhu_conn_memory_pair(memory, VHU_MEMORY_STREAM, NULL), 0);
    assert_int_equal(vhu_uv_device_connect(k->device, &memory[0]), VHU_EINVAL);
    assert_non_null(memory[0]);
    vhu_conn_free(memory[0]);
    vhu_conn_free(memory[1]);
    for (unsigned i = 1; i < 4; i++) {
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        assert_int_equal(vhu_conn_adopt(&conn, &ends[0], NULL), 0);
        /* The rings of the one before may take a while. */
        while ((r = vhu_uv_device_connect(k->device, &conn)) == VHU_ESTATE)
            uv_kit_turn(k);
        assert_int_equal(r, 0);
        assert_null(conn);
        echo_forget(&k->echo);
        frontend_open(&k->front, ends[1], 1, 0, 2, 32, FRONTEND_FEATURES);
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
    int next[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        next[i] = uv_kit_dial(k);
    uv_kit_requests(k, 0, 50);
    uv_kit_pause(k, 10);
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
    int next;

    (void)state;
    atomic_store(&k->echo.hold, true);
    frontend_submit(&k->front.rings[0], 5);
    uv_kit_until(k, k->echo.rings[0].taken == 5);
    next = uv_kit_dial(k);
    frontend_hang_up(&k->front);
    uv_kit_until(k, k->disconnected == 1);
    uv_kit_pause(k, 10);
    assert_int_equal(k->connected, 1);
    uv_kit_release(k);
    frontend_call_again(&k->front, next);
    uv_kit_until(k, k->connected == 2);
    assert_int_equal(frontend_reap(&k->front.rings[0]), 5);
    uv_kit_free(k);
}

/* Half a message, and then nothing: the next in the queue gets its turn. */
static void test_half_a_message(void **state)
{
    uv_kit *k = uv_kit_new(&two, 20);
    const vhu_msg_header header = {VHU_REQ_SET_FEATURES, VHU_VERSION_1, 8};
    int next = uv_kit_dial(k);

    (void)state;
    assert_int_equal(write(k->front.fd, &header, sizeof(header)), sizeof(header));
    uv_kit_until(k, k->connected == 2);
    assert_int_equal(k->ended, VHU_ETIMEDOUT);
    frontend_call_again(&k->front, next);
    frontend_handshake(&k->front, FRONTEND_PROTOCOL);
    uv_kit_free(k);
}

/* No descriptors: nobody is accepted, nothing spins, and all is well when there are some again. */
static void test_accept_fails(void **state)
{
    uv_kit *k = uv_kit_bare(&two);
    vhu_listener *listener;
    struct rlimit before;
    uint64_t turns;

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, k->name, NULL), 0);
    assert_int_equal(uv_kit_make(k, &two), 0);
    assert_int_equal(vhu_uv_device_listen(k->device, &listener), 0);
    frontend_open(&k->front, uv_kit_dial(k), 1, 0, 2, 32, FRONTEND_FEATURES);
    limit_descriptors(0, &before);
    uv_kit_pause(k, 10);
    turns = k->turns;
    uv_kit_pause(k, 50);
    assert_true(k->turns - turns < 100);
    assert_int_equal(k->connected, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    frontend_start(&k->front);
    uv_kit_requests(k, 0, 10);
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
        int next = way == WITH_NEXT ? uv_kit_dial(k) : -1;
        vhu_uv_device *device = k->device;

        if (way >= WITH_REQUESTS)
            hold_some(k);
        if (way == WITH_PENDING) {
            frontend_send(&k->front, VHU_REQ_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0);
            uv_kit_pause(k, 5);
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
            uv_kit_pause(k, 10);
            assert_false(k->closed);
            uv_kit_release(k);
        }
        uv_kit_until(k, k->closed);
        if (way >= WITH_REQUESTS)
            assert_int_equal(frontend_reap(&k->front.rings[1]), 5);
        vhu_handle_close(&next);
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
    int ends[2];
    vhu_conn *conn;

    (void)state;
    k->ticking = true;
    assert_int_equal(uv_kit_make(k, &options), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(vhu_conn_adopt(&conn, &ends[0], NULL), 0);
    assert_int_equal(vhu_uv_device_connect(k->device, &conn), 0);
    frontend_open(&k->front, ends[1], 1, 0, 1, 32, FRONTEND_FEATURES);
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

/* Its mode is the front-end's, who may rely on it; and it need not be an eventfd of ours. */
static void test_kick_keeps_its_mode(void **state)
{
    uv_kit *k = uv_kit_started(&two);
    frontend_ring *r = &k->front.rings[0];

    (void)state;
    vhu_handle_close(&r->kick);
    r->kick = eventfd(0, EFD_CLOEXEC);
    assert_true(r->kick >= 0);
    assert_int_equal(frontend_event(&k->front, VHU_REQ_SET_VRING_KICK, 0, r->kick), 0);
    uv_kit_requests(k, 0, 100);
    assert_false(fcntl(r->kick, F_GETFL) & O_NONBLOCK);
    assert_false(fcntl(k->front.rings[1].kick, F_GETFL) == fcntl(r->kick, F_GETFL));
    uv_kit_free(k);
}

/* --- idleness --- */

/* There is a pause in which nobody turned: all sleep. */
static void expect_sleep(uv_kit *k)
{
    for (int tries = 0; tries < 200; tries++) {
        unsigned polls = k->echo.polls;
        uint64_t turns = k->turns;

        uv_kit_pause(k, 10);
        if (k->echo.polls == polls && k->turns - turns < 20)
            return;
    }
    fail_msg("it does not sleep");
}

static void test_sleeps(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4; i++) {
        const uv_kit_options options = {i + 1, 4, i % 2 ? 50 : 0, 0, 0};
        uv_kit *k = uv_kit_new(&options, 0);
        int ends[2];

        expect_sleep(k);
        frontend_start(&k->front);
        expect_sleep(k);
        for (uint32_t n = 0; n < 4; n++)
            uv_kit_requests(k, n, 100);
        expect_sleep(k);
        /* Requests are out; there is no room for more; a ring is waiting to stop. */
        atomic_store(&k->echo.room, 5);
        hold_some(k);
        expect_sleep(k);
        frontend_submit(&k->front.rings[0], 5);
        expect_sleep(k);
        frontend_send(&k->front, VHU_REQ_GET_VRING_BASE, 0, &(vhu_vring_state){0, 0}, 8, NULL, 0);
        expect_sleep(k);
        uv_kit_release(k);
        uv_kit_until(k, !frontend_is_silent(&k->front));
        /* A pipe whose other end has gone is always readable. */
        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        frontend_call_again(&k->front, uv_kit_dial(k));
        frontend_start(&k->front);
        frontend_event(&k->front, VHU_REQ_SET_VRING_KICK, 1, ends[0]);
        vhu_handle_close(&ends[0]);
        vhu_handle_close(&ends[1]);
        expect_sleep(k);
        frontend_hang_up(&k->front);
        expect_sleep(k);
        uv_kit_free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_worker_start_fails),
        leakcheck_test(test_too_few_descriptors),
        leakcheck_test(test_no_thread),
        leakcheck_test(test_states),
        leakcheck_test(test_connect),
        leakcheck_test(test_next_waits),
        leakcheck_test(test_dies_with_requests),
        leakcheck_test(test_half_a_message),
        leakcheck_test(test_accept_fails),
        leakcheck_test(test_close),
        leakcheck_test(test_close_in_callbacks),
        leakcheck_test(test_close_races),
        leakcheck_test(test_spinning_is_fair),
        leakcheck_test(test_kick_keeps_its_mode),
        leakcheck_test(test_sleeps),
    };

    return cmocka_run_group_tests(tests, uv_kit_setup, NULL);
}
