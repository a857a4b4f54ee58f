/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's kicks and calls, one thread; and what its executor may meet in what order. */
#include "test_device_fixture.h"

static const kit_options one_ring = {.rings = 1};

/* --- event words --- */

/* A ring in which an earlier device died asks for kicks from the start. */
static void stale_words(const kit_options *options)
{
    for (int event_idx = 0; event_idx < 2; event_idx++) {
        kit *k = kit_new(options);
        frontend_ring *r = &k->front.rings[0];
        driver_ring *d = &r->driver;

        if (!event_idx) {
            k->front.features &= ~VHU_BIT(VHU_F_RING_EVENT_IDX);
            d->event_idx = false;
        }
        driver_ring_set_index(d, 1000);
        d->used->flags = VHU__USED_NO_KICK;
        *driver_ring_avail_event(d) = 7;
        frontend_start(&k->front);
        kit_turn(k);
        assert_false(frontend_signalled(r->kick));
        frontend_submit(r, 1);
        assert_true(frontend_signalled(r->kick));
        kit_reap(k, 0, 1);
        kit_free(k);
    }
}

static void test_stale_words(void **state)
{
    (void)state;
    kit_each(stale_words, one_ring);
}

/* What was completed, but not flushed yet when the ring had to park, is called for all the same. */
static void parked_unflushed(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend_ring *r = &k->front.rings[0];

    k->echo.no_flush = true;
    for (int i = 0; i < 5; i++) {
        frontend_signalled(r->call);
        driver_ring_enable_calls(&r->driver, true);
        frontend_submit(r, 2);
        /* One step: handle_ring completes. Then the ring stops before the device's next look. */
        vhu_device_poll(k->device, 0);
        frontend_stop_ring(&k->front, 0);
        assert_true(frontend_signalled(r->call));
        kit_reap(k, 0, 2);
        frontend_start_ring(&k->front, 0, r->driver.used_idx);
        kit_turn(k);
    }
    kit_free(k);
}

static void test_parked_unflushed(void **state)
{
    (void)state;
    kit_each(parked_unflushed, one_ring);
}

/* --- events that are replaced --- */

static void replace_event(vhu_event **event)
{
    vhu_event_free(*event);
    *event = frontend_event_new();
}

/* A call may have gone to the old event: the new one is signalled, once, without any request. */
static void call_replaced(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    frontend_ring *r = &f->rings[0];

    for (int i = 0; i < 10; i++) {
        kit_requests(k, 0, 3);
        replace_event(&r->call);
        /* Without an executor nobody else might turn before the driver has its call. */
        k->manual = true;
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, 0, r->call), 0);
        for (unsigned w = 0; w < options->workers; w++)
            kit_work(k, w);
        assert_true(frontend_signalled(r->call));
        k->manual = false;
        kit_turn(k);
        assert_false(frontend_signalled(r->call));
        driver_ring_enable_calls(&r->driver, true);
        kit_requests(k, 0, 1);
        assert_true(frontend_signalled(r->call));
    }
    /* None: the driver polls. */
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, 0, NULL), 0);
    driver_ring_enable_calls(&r->driver, true);
    kit_requests(k, 0, 5);
    assert_false(frontend_signalled(r->call));
    /* Many, between two turns of the worker. */
    k->manual = options->workers > 0;
    for (int i = 0; i < 20; i++) {
        replace_event(&r->call);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, 0, r->call), 0);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_ERR, 0, r->err), 0);
    }
    kit_free(k);
}

static void test_call_replaced(void **state)
{
    (void)state;
    kit_each(call_replaced, one_ring);
}

static void kick_replaced(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    frontend_ring *r = &f->rings[0];

    for (int i = 0; i < 10; i++) {
        /* One request is there already when the kick changes, and its kick went to the old one. */
        frontend_submit(r, 1);
        replace_event(&r->kick);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, r->kick), 0);
        kit_reap(k, 0, 1);
        kit_requests(k, 0, 3);
    }
    /* None would mean to poll, which the kit does not: the ring goes on with the last one. */
    assert_int_not_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, NULL), 0);
    kit_requests(k, 0, 1);
    assert_int_equal(frontend_base(f, 0), 41);
    kit_free(k);
}

static void test_kick_replaced(void **state)
{
    (void)state;
    kit_each(kick_replaced, one_ring);
}

/*
 * Where waiting takes the signal it is gone when the ring is told of its kick; or the ring is not
 * told at all, since it was stopped in between.
 */
static void kick_taken(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend_ring *r = &k->front.rings[0];
    vhu_ring *ring = vhu_device_ring(k->device, 0);

    for (int i = 0; i < 10; i++) {
        frontend_submit(r, 2);
        assert_true(frontend_signalled(r->kick));
        if (i % 2)
            frontend_addr(&k->front, 0);
        else
            vhu_ring_kicked(ring);
        kit_reap(k, 0, 2);
    }
    assert_false(vhu_ring_kick_handle(ring) == VHU_NO_HANDLE);
    kit_free(k);
}

static void test_kick_taken(void **state)
{
    (void)state;
    kit_each(kick_taken, one_ring);
}

/* --- the executor's order of events --- */

/* Start and stop come before the worker has looked: the ring never runs, and nothing is lost. */
static void test_stopped_before_it_ran(void **state)
{
    kit *k = kit_new(&(kit_options){.workers = 1, .rings = 1});
    frontend *f = &k->front;
    const vhu_vring_state get = {0, 0};
    vhu_vring_state reply;

    (void)state;
    frontend_handshake(f, FRONTEND_PROTOCOL);
    frontend_share(f, 1);
    k->manual = true;
    for (int i = 0; i < 3; i++) {
        frontend_start_ring(f, 0, 0);
        assert_false(kit_runs(k, 0));
        frontend_send(f, VHU_REQ_GET_VRING_BASE, 0, &get, sizeof(get), NULL, 0);
        kit_turn(k);
        assert_true(frontend_is_silent(f));
        k->notified = 0;
        kit_work(k, 0);
        assert_int_equal(k->notified, 1);
        assert_int_equal(frontend_recv(f, VHU_REQ_GET_VRING_BASE, &reply, sizeof(reply)), 8);
        assert_int_equal(reply.num, 0);
        assert_int_equal(k->echo.rings[0].started, 0);
        frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 0);
    }
    k->manual = false;
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 3);
    kit_free(k);
}

/* A kick that cannot be waited for is said in the log, and the device lives. */
static void test_watch_fails(void **state)
{
    kit *k = kit_new(&(kit_options){.workers = 1, .rings = 1});

    (void)state;
    k->watch_result = VHU_EINVAL;
    frontend_start(&k->front);
    kit_turn(k);
    assert_true(k->logged > 0);
    kit_requests(k, 0, 2);
    k->watch_result = 0;
    assert_int_equal(frontend_event(&k->front, VHU_REQ_SET_VRING_KICK, 0, k->front.rings[0].kick),
                     0);
    kit_requests(k, 0, 2);
    assert_int_not_equal(k->watched[0], VHU_NO_HANDLE);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_stale_words),   leakcheck_test(test_parked_unflushed),
        leakcheck_test(test_call_replaced), leakcheck_test(test_kick_replaced),
        leakcheck_test(test_kick_taken),    leakcheck_test(test_stopped_before_it_ran),
        leakcheck_test(test_watch_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
