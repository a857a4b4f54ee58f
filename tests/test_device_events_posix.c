/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit with kicks, calls and errs that are no eventfds. */
#include <fcntl.h>
#include <unistd.h>

#include "test_device_fixture.h"

static const kit_options one_ring = {.rings = 1};

/* A pipe does as well; once nobody holds its other end it isn't waited for any more. */
static void kick_pipe(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    frontend_ring *r = &f->rings[0];
    vhu_ring *ring = vhu_device_ring(k->device, 0);
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    vhu_event_free(r->kick);
    assert_int_equal(vhu_event_adopt_signal(&r->kick, &ends[1]), 0);
    assert_int_equal(frontend_event_handle(f, VHU_REQ_SET_VRING_KICK, 0, ends[0]), 0);
    vhu_handle_close(&ends[0]);
    for (uint32_t i = 1; i < 10; i++)
        kit_requests(k, 0, i);
    k->logged = 0;
    vhu_event_free(r->kick);
    for (int i = 0; i < 3; i++)
        kit_turn(k);
    assert_int_equal(k->logged, 1);
    assert_int_equal(vhu_ring_kick_handle(ring), VHU_NO_HANDLE);
    assert_int_equal(k->watched[0], VHU_NO_HANDLE);
    /* It runs on, and can be given another. */
    r->kick = frontend_event_new();
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, r->driver.num), 0);
    kit_turn(k);
    assert_int_equal(k->logged, 1);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, r->kick), 0);
    kit_requests(k, 0, 5);
    kit_free(k);
}

static void test_kick_pipe(void **state)
{
    (void)state;
    kit_each(kick_pipe, one_ring);
}

/* A character device is refused as an event, and the ring goes on with the ones it has. */
static void odd_events(const kit_options *options)
{
    static const uint32_t requests[] = {VHU_REQ_SET_VRING_KICK, VHU_REQ_SET_VRING_CALL,
                                        VHU_REQ_SET_VRING_ERR};
    kit *k = kit_started(options);
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    assert_true(null >= 0);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        assert_int_equal(frontend_event_handle(&k->front, requests[i], 0, null), 1);
        kit_requests(k, 0, 3);
    }
    vhu_handle_close(&null);
    kit_free(k);
}

static void test_odd_events(void **state)
{
    (void)state;
    kit_each(odd_events, one_ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_kick_pipe),
        leakcheck_test(test_odd_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
