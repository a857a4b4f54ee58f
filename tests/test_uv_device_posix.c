/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on a loop that lacks descriptors or threads, and is given kicks of every kind. */
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "test_uv_device_fixture.h"

static const uv_kit_options two = {.workers = 2, .rings = 2};

/* --- what there may be too little of --- */

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

/* No descriptors: nobody is accepted, nothing spins, and all is well when there are some again. */
static void test_accept_fails(void **state)
{
    uv_kit *k = uv_kit_bare(&two);
    vhu_listener *listener;
    struct rlimit before;

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, k->address.text, NULL), 0);
    assert_int_equal(uv_kit_make(k, &two), 0);
    assert_int_equal(vhu_uv_device_listen(k->device, &listener), 0);
    frontend_open(&k->front, uv_kit_dial(k), 1, 0, 2, 32, FRONTEND_FEATURES);
    limit_descriptors(0, &before);
    test_loop_pause(&k->loop, 10);
    assert_true(test_loop_pause(&k->loop, 50) < 100);
    assert_int_equal(k->connected, 0);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    frontend_start(&k->front);
    uv_kit_requests(k, 0, 10);
    uv_kit_free(k);
}

/* --- a front-end --- */

/* Half a message, and then nothing: the next in the queue gets its turn. */
static void test_half_a_message(void **state)
{
    uv_kit *k = uv_kit_new(&two, 20);
    const vhu_msg_header header = {VHU_REQ_SET_FEATURES, VHU_VERSION_1, 8};
    vhu_stream *next = uv_kit_dial(k);

    (void)state;
    frontend_send_bytes(&k->front, &header, sizeof(header));
    uv_kit_until(k, k->connected == 2);
    assert_int_equal(k->ended, VHU_ETIMEDOUT);
    frontend_call_again(&k->front, next);
    frontend_handshake(&k->front, FRONTEND_PROTOCOL);
    uv_kit_free(k);
}

/* --- kicks --- */

/* Its mode is the front-end's, who may rely on it; and it need not be an eventfd of ours. */
static void test_kick_keeps_its_mode(void **state)
{
    uv_kit *k = uv_kit_started(&two);
    frontend_ring *r = &k->front.rings[0];
    int kick;
    int taken;

    (void)state;
    vhu_event_free(r->kick);
    taken = kick = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(vhu_event_adopt_signal(&r->kick, &taken), 0);
    assert_int_equal(frontend_event_handle(&k->front, VHU_REQ_SET_VRING_KICK, 0, kick), 0);
    uv_kit_requests(k, 0, 100);
    assert_int_equal(fcntl(kick, F_GETFL) & O_NONBLOCK, 0);
    uv_kit_free(k);
}

/* A pipe whose other end has gone is always readable. */
static void test_dead_kick_sleeps(void **state)
{
    uv_kit *k = uv_kit_started(&two);
    int ends[2];

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    assert_int_equal(frontend_event_handle(&k->front, VHU_REQ_SET_VRING_KICK, 1, ends[0]), 0);
    vhu_handle_close(&ends[0]);
    vhu_handle_close(&ends[1]);
    uv_kit_expect_sleep(k);
    uv_kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_too_few_descriptors), leakcheck_test(test_no_thread),
        leakcheck_test(test_accept_fails),        leakcheck_test(test_half_a_message),
        leakcheck_test(test_kick_keeps_its_mode), leakcheck_test(test_dead_kick_sleeps),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
