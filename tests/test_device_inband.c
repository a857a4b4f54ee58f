/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's notifications as messages: kicks, calls and errors, and a channel that fails. */
#include "test_device_fixture.h"

#define INBAND (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS))

static const kit_options one_ring = {.rings = 1, .inband = true};
static const kit_options two_rings = {.rings = 2, .regions = 2, .inband = true};

/* Up to the first ring's set-up: no ring has an event. */
static kit *begin(const kit_options *options, uint64_t protocol_features)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;

    frontend_handshake(f, protocol_features);
    for (uint32_t i = 0; i < f->num_rings; i++) {
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, i, NULL), 0);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_ERR, i, NULL), 0);
    }
    frontend_share(f, options->regions ? options->regions : 1);
    return k;
}

static int64_t kick(frontend *f, uint32_t ring)
{
    return frontend_vring(f, VHU_REQ_VRING_KICK, ring, 0);
}

/* All but what starts it. */
static void set_up_ring(frontend *f, uint32_t ring, uint32_t base)
{
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, ring, f->rings[ring].driver.num), 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, ring, base), 0);
    assert_int_equal(frontend_addr(f, ring), 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, ring, 1), 0);
}

static kit *begin_all(const kit_options *options)
{
    kit *k = begin(options, INBAND);

    for (uint32_t i = 0; i < k->front.num_rings; i++) {
        set_up_ring(&k->front, i, 0);
        assert_int_equal(kick(&k->front, i), 0);
    }
    kit_turn(k);
    return k;
}

/* What has come on the channel: whether it was nothing but `request`, for this ring. */
static bool has_come(kit *k, uint32_t request, uint32_t ring)
{
    uint32_t index = ring;
    bool any = false;
    uint32_t code;

    kit_turn(k);
    while ((code = frontend_recv_inband(&k->front, &index)) != 0) {
        assert_int_equal(code, request);
        assert_int_equal(index, ring);
        any = true;
    }
    return any;
}

/* With a kick if the driver was asked for one, and the call that must follow. */
static void requests(kit *k, uint32_t ring, uint32_t n)
{
    frontend_ring *r = &k->front.rings[ring];

    driver_ring_enable_calls(&r->driver, true);
    assert_int_equal(frontend_submit(r, n), n);
    if (frontend_signalled(r->kick))
        assert_int_equal(kick(&k->front, ring), 0);
    kit_reap(k, ring, n);
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, ring));
}

/* --- what is offered --- */

static void test_offer(void **state)
{
    static const bool offered[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        kit *k = kit_new(&(kit_options){.rings = 1, .inband = offered[i]});
        const uint64_t bit = VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS);

        assert_int_equal(frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES) & bit,
                         offered[i] ? bit : 0);
        frontend_handshake(&k->front, FRONTEND_PROTOCOL);
        frontend_share(&k->front, 1);
        frontend_start_ring(&k->front, 0, 0);
        /* Not negotiated. */
        assert_int_equal(kick(&k->front, 0), 1);
        kit_requests(k, 0, 3);
        kit_free(k);
    }
}

/* --- kicks --- */

/* User-Mode Linux sends nothing of SET_VRING_KICK and its like: the first kick starts the ring. */
static void first_kick(const kit_options *options)
{
    kit *k = begin(options, INBAND);
    frontend *f = &k->front;

    for (uint32_t round = 0; round < 3; round++) {
        set_up_ring(f, 0, f->rings[0].driver.used_idx);
        kit_turn(k);
        assert_false(kit_runs(k, 0));
        assert_int_equal(kick(f, 0), 0);
        kit_turn(k);
        assert_true(kit_runs(k, 0));
        assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
        requests(k, 0, 3);
        requests(k, 0, 1);
        assert_int_equal(frontend_stop_ring(f, 0), (round + 1) * 4);
        assert_false(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    }
    kit_free(k);
}

static void test_first_kick(void **state)
{
    (void)state;
    kit_each(first_kick, one_ring);
}

/* By the specification: all three, and none with an event. */
static void without_events(const kit_options *options)
{
    static const uint32_t codes[] = {VHU_REQ_SET_VRING_CALL, VHU_REQ_SET_VRING_ERR,
                                     VHU_REQ_SET_VRING_KICK};
    kit *k = begin(options, INBAND);
    frontend *f = &k->front;

    set_up_ring(f, 0, 0);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(frontend_event(f, codes[i], 0, NULL), 0);
    kit_turn(k);
    assert_true(kit_runs(k, 0));
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    /* Nobody looks at the ring on its own. */
    frontend_submit(&f->rings[0], 2);
    kit_turn(k);
    assert_int_equal(kick(f, 0), 0);
    kit_reap(k, 0, 2);
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    requests(k, 0, 3);
    kit_free(k);
}

static void test_without_events(void **state)
{
    (void)state;
    kit_each(without_events, one_ring);
}

/* A ring that has events uses them, and changes over to messages and back while it runs. */
static void some_events(const kit_options *options)
{
    kit *k = begin_all(options);
    frontend *f = &k->front;

    requests(k, 0, 3);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, 0, f->rings[0].call), 0);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 0);
    kit_turn(k);
    while (has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0))
        continue;
    frontend_signalled(f->rings[0].call);
    driver_ring_enable_calls(&f->rings[0].driver, true);
    kit_requests(k, 0, 3);
    assert_true(frontend_signalled(f->rings[0].call));
    assert_false(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, 0, NULL), 0);
    /* One may have gone to the event when nobody looked any more. */
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, NULL), 0);
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    requests(k, 0, 3);
    assert_false(frontend_signalled(f->rings[0].call));
    kit_free(k);
}

static void test_some_events(void **state)
{
    (void)state;
    kit_each(some_events, one_ring);
}

static void refused(const kit_options *options)
{
    kit *k = begin(options, INBAND);
    frontend *f = &k->front;
    uint64_t desc = f->rings[0].driver.desc_addr;

    assert_int_equal(kick(f, options->rings), 1);
    assert_int_equal(kick(f, UINT32_MAX), 1);
    /* Nothing is known of the ring: it starts when it is. */
    assert_int_equal(kick(f, 1), 0);
    kit_turn(k);
    assert_false(kit_runs(k, 1));
    /* It is nowhere; and then somewhere. */
    f->rings[0].driver.desc_addr = UINT64_C(1) << 40;
    set_up_ring(f, 0, 0);
    assert_int_equal(kick(f, 0), 1);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    f->rings[0].driver.desc_addr = desc;
    assert_int_equal(frontend_addr(f, 0), 0);
    assert_int_equal(kick(f, 0), 0);
    kit_turn(k);
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    requests(k, 0, 3);
    set_up_ring(f, 1, 0);
    kit_turn(k);
    assert_true(kit_runs(k, 1));
    /* Disabled: what is kicked for waits. */
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 0), 0);
    frontend_submit(&f->rings[0], 2);
    assert_int_equal(kick(f, 0), 0);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    kit_reap(k, 0, 2);
    kit_free(k);
}

static void test_refused(void **state)
{
    (void)state;
    kit_each(refused, two_rings);
}

/* --- errors --- */

static void errors(const kit_options *options)
{
    kit *k = begin_all(options);
    frontend *f = &k->front;
    unsigned said = 0;
    uint32_t ring, code;

    while (frontend_recv_inband(f, &ring) != 0)
        continue;
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 1), 0);
    kit_turn(k);
    assert_false(kit_runs(k, 1));
    while ((code = frontend_recv_inband(f, &ring)) != 0) {
        /* The other one was started anew. */
        assert_int_equal(ring, code == VHU_BACKEND_REQ_VRING_ERR ? 1 : 0);
        said++;
    }
    assert_int_equal(said, 2);
    requests(k, 0, 3);
    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, 1), 0);
    kit_turn(k);
    while (frontend_recv_inband(f, &ring) != 0)
        continue;
    requests(k, 1, 3);
    kit_free(k);
}

static void test_errors(void **state)
{
    (void)state;
    kit_each(errors, two_rings);
}

/* --- the channel --- */

/* A request, and the call of it, which nobody reads. */
static void call_unread(kit *k)
{
    frontend *f = &k->front;

    driver_ring_enable_calls(&f->rings[0].driver, true);
    frontend_submit(&f->rings[0], 1);
    assert_int_equal(kick(f, 0), 0);
    kit_reap(k, 0, 1);
}

/* Until no more goes into the channel: how many. */
static uint32_t fill_channel(kit *k)
{
    uint32_t calls = 0;

    for (; calls < 200000 && kit_also(k, VHU_DEVICE_CHANNEL).handle == VHU_NO_HANDLE; calls++)
        call_unread(k);
    return calls;
}

/* A front-end that looks at its rings and never at the channel: calls wait there, one of each ring.
 */
static void not_read(const kit_options *options)
{
    kit *k = begin_all(options);
    frontend *f = &k->front;
    uint32_t calls = fill_channel(k);
    uint32_t told = 0;
    uint32_t ring;

    assert_int_equal(kit_also(k, VHU_DEVICE_CHANNEL).events, VHU_WAIT_WRITE);
    for (int i = 0; i < 1000; i++, calls++)
        call_unread(k);
    while (frontend_recv_inband(f, &ring) != 0) {
        told++;
        vhu_device_settle(k->device);
    }
    assert_in_range(told, 1, calls - 500);
    assert_int_equal(kit_also(k, VHU_DEVICE_CHANNEL).handle, VHU_NO_HANDLE);
    requests(k, 0, 3);
    requests(k, 1, 3);
    kit_free(k);
}

static void test_not_read(void **state)
{
    (void)state;
    kit_each(not_read, two_rings);
}

/* Nor is anybody woken by what it says there, which nobody would read. */
static void not_read_but_written(const kit_options *options)
{
    const vhu_msg_header said = {.request = VHU_BACKEND_REQ_VRING_CALL, .flags = VHU_VERSION_1};
    kit *k = begin_all(options);
    vhu_stream *channel = k->front.channel;
    vhu_wait wait;

    fill_channel(k);
    assert_int_equal(vhu_stream_transport(channel)->send(channel, &said, sizeof(said), NULL, 0),
                     sizeof(said));
    kit_turn(k);
    wait = kit_also(k, VHU_DEVICE_CHANNEL);
    assert_int_equal(wait.events, VHU_WAIT_WRITE);
    assert_int_equal(vhu_wait_any(&wait, 1, 0), VHU_ETIMEDOUT);
    kit_free(k);
}

static void test_not_read_but_written(void **state)
{
    (void)state;
    kit_each(not_read_but_written, one_ring);
}

/* None is there when the rings start: it is told what it has missed. */
static void late_channel(const kit_options *options)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;

    assert_int_equal(frontend_set(f, VHU_REQ_SET_PROTOCOL_FEATURES, INBAND), 0);
    frontend_share(f, 1);
    set_up_ring(f, 0, 0);
    assert_int_equal(kick(f, 0), 0);
    kit_requests(k, 0, 3);
    frontend_channel(f);
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    requests(k, 0, 3);
    /* It goes, and the ring runs on. */
    vhu_stream_free(f->channel);
    f->channel = NULL;
    k->logged = 0;
    for (int i = 0; i < 10; i++) {
        driver_ring_enable_calls(&f->rings[0].driver, true);
        frontend_submit(&f->rings[0], 1);
        assert_int_equal(kick(f, 0), 0);
        kit_reap(k, 0, 1);
    }
    assert_int_equal(k->logged, 1);
    frontend_channel(f);
    assert_true(has_come(k, VHU_BACKEND_REQ_VRING_CALL, 0));
    requests(k, 0, 3);
    kit_free(k);
}

static void test_late_channel(void **state)
{
    (void)state;
    kit_each(late_channel, one_ring);
}

/* What one front-end has negotiated, or not been told, is nothing to the next. */
static void next_front_end(const kit_options *options)
{
    kit *k = begin_all(options);
    frontend *f = &k->front;

    requests(k, 0, 3);
    frontend_hang_up(f);
    kit_turn(k);
    kit_connect(k);
    frontend_handshake(f, FRONTEND_PROTOCOL);
    frontend_share(f, 1);
    frontend_start_ring(f, 0, f->rings[0].driver.used_idx);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, 0, NULL), 0);
    driver_ring_enable_calls(&f->rings[0].driver, true);
    kit_requests(k, 0, 3);
    assert_false(has_come(k, 0, 0));
    kit_free(k);
}

static void test_next_front_end(void **state)
{
    (void)state;
    kit_each(next_front_end, one_ring);
}

/* Given up while rings run: they have no events then. */
static void given_up(const kit_options *options)
{
    kit *k = begin_all(options);
    frontend *f = &k->front;
    uint32_t ring;

    requests(k, 0, 3);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_PROTOCOL_FEATURES, FRONTEND_PROTOCOL), 0);
    kit_turn(k);
    while (frontend_recv_inband(f, &ring) != 0)
        continue;
    assert_true(kit_runs(k, 0));
    assert_int_equal(kick(f, 0), 1);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, NULL), 1);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 0);
    driver_ring_enable_calls(&f->rings[0].driver, true);
    kit_requests(k, 0, 3);
    assert_false(has_come(k, 0, 0));
    kit_free(k);
}

static void test_given_up(void **state)
{
    (void)state;
    kit_each(given_up, one_ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_offer),          leakcheck_test(test_first_kick),
        leakcheck_test(test_without_events), leakcheck_test(test_some_events),
        leakcheck_test(test_refused),        leakcheck_test(test_errors),
        leakcheck_test(test_not_read),       leakcheck_test(test_not_read_but_written),
        leakcheck_test(test_late_channel),   leakcheck_test(test_next_front_end),
        leakcheck_test(test_given_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
