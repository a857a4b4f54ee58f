/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's rings, one thread: draining, room, memory under them, and bad drivers. */
#include <string.h>

#include "test_device_fixture.h"

static const kit_options one_ring = {.rings = 1};
static const kit_options two_rings = {.rings = 2};

/* --- requests that are out --- */

typedef struct vring_message {
    uint32_t request;
    uint32_t num;
} vring_message;

/* Each of these waits for what is out, and others wait behind it. */
static void drains(const kit_options *options)
{
    static const vring_message messages[] = {
        {VHU_REQ_GET_VRING_BASE, 0xdead}, {VHU_REQ_SET_VRING_ENABLE, 0},
        {VHU_REQ_SET_VRING_NUM, 16},      {VHU_REQ_SET_FEATURES, 0},
        {VHU_REQ_RESET_DEVICE, 0},        {VHU_REQ_RESET_OWNER, 0},
    };

    for (size_t i = 0; i < sizeof(messages) / sizeof(messages[0]); i++) {
        kit *k = kit_started(options);
        frontend *f = &k->front;
        bool get = messages[i].request == VHU_REQ_GET_VRING_BASE;
        bool set = messages[i].request == VHU_REQ_SET_FEATURES;
        bool bare = messages[i].request == VHU_REQ_RESET_DEVICE ||
                    messages[i].request == VHU_REQ_RESET_OWNER;
        vhu_vring_state state = {0, messages[i].num};
        uint64_t value;

        kit_requests(k, 0, 2);
        atomic_store(&k->echo.hold, true);
        assert_int_equal(frontend_submit(&f->rings[0], 3), 3);
        kit_turn(k);
        assert_int_equal(k->echo.rings[0].taken, 5);
        if (set)
            memcpy(&state, &f->features, sizeof(state));
        frontend_send(f, messages[i].request, get ? 0 : VHU_FLAG_NEED_REPLY, &state, bare ? 0 : 8,
                      NULL, 0);
        frontend_send(f, VHU_REQ_GET_FEATURES, 0, NULL, 0, NULL, 0);
        for (int n = 0; n < 3; n++)
            kit_turn(k);
        assert_true(frontend_is_silent(f));
        /* What comes now is left in the ring. */
        frontend_submit(&f->rings[0], 1);
        kit_turn(k);
        assert_int_equal(k->echo.rings[0].taken, 5);
        atomic_store(&k->echo.hold, false);
        assert_int_equal(frontend_recv(f, messages[i].request, &state, 8), 8);
        if (get)
            assert_int_equal(state.num, 5);
        assert_int_equal(frontend_recv(f, VHU_REQ_GET_FEATURES, &value, 8), 8);
        kit_turn(k);
        assert_true(frontend_reap(&f->rings[0]) >= 3);
        assert_null(f->rings[0].error);
        kit_free(k);
    }
}

static void test_drains(void **state)
{
    (void)state;
    kit_each(drains, two_rings);
}

/* Only the ring that is asked for; the other goes on meanwhile. */
static void drains_alone(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    const vhu_vring_state state = {0, 0};
    vhu_vring_state reply;

    if (options->workers == 0) {
        kit_free(k);
        return;
    }
    /* Out of the first ring, and then the device is quick again on the other. */
    k->manual = true;
    frontend_submit(&f->rings[0], 3);
    atomic_store(&k->echo.hold, true);
    kit_work(k, 0);
    frontend_send(f, VHU_REQ_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
    kit_serve(k);
    assert_true(k->wakes[0] > 0);
    frontend_submit(&f->rings[1], 4);
    kit_work(k, 1 % options->workers);
    assert_int_equal(k->echo.rings[1].taken, 4);
    vhu_device_settle(k->device);
    assert_true(frontend_is_silent(f));
    atomic_store(&k->echo.hold, false);
    k->manual = false;
    assert_int_equal(frontend_recv(f, VHU_REQ_GET_VRING_BASE, &reply, sizeof(reply)), 8);
    assert_int_equal(reply.num, 3);
    kit_reap(k, 1, 4);
    kit_reap(k, 0, 3);
    kit_free(k);
}

static void test_drains_alone(void **state)
{
    (void)state;
    kit_each(drains_alone, two_rings);
}

/* The front-end dies, or is dropped, with requests out: they finish, then it is over. */
static void dies(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    const vhu_vring_state state = {0, 0};

    for (int pending = 0; pending < 2; pending++) {
        atomic_store(&k->echo.hold, true);
        frontend_submit(&f->rings[0], 3);
        frontend_submit(&f->rings[1], 3);
        kit_turn(k);
        if (pending)
            frontend_send(f, VHU_REQ_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
        kit_turn(k);
        if (pending) {
            /* As its driver would, if it knew. */
            k->server = NULL;
            assert_int_equal(vhu_device_disconnect(k->device, NULL, NULL), 0);
        }
        frontend_hang_up(f);
        for (int n = 0; n < 3; n++)
            kit_turn(k);
        assert_false(vhu_device_is_idle(k->device));
        assert_int_equal(vhu_device_free(k->device), VHU_ESTATE);
        atomic_store(&k->echo.hold, false);
        kit_turn(k);
        assert_true(vhu_device_is_idle(k->device));
        assert_int_equal(frontend_reap(&f->rings[0]), 3);
        assert_int_equal(frontend_reap(&f->rings[1]), 3);
        kit_connect(k);
        frontend_start(f);
        kit_requests(k, 0, 2);
    }
    kit_free(k);
}

static void test_dies(void **state)
{
    (void)state;
    kit_each(dies, two_rings);
}

/* --- a device with little room, or ways of its own --- */

static void little_room(const kit_options *options)
{
    for (uint32_t room = 0; room < 4; room++) {
        kit *k = kit_started(options);
        frontend_ring *r = &k->front.rings[0];
        unsigned turns;

        atomic_store(&k->echo.room, room);
        atomic_store(&k->echo.later, true);
        atomic_store(&k->echo.hold, room > 0);
        frontend_submit(r, 7);
        kit_turn(k);
        assert_int_equal(k->echo.rings[0].taken, room);
        /* It isn't asked again and again. */
        turns = k->echo.rings[0].turns;
        kit_turn(k);
        assert_true(k->echo.rings[0].turns <= turns + 1);
        atomic_store(&k->echo.hold, false);
        if (room == 0) {
            atomic_store(&k->echo.room, 1);
            kit_turn(k);
        }
        kit_reap(k, 0, 7);
        kit_requests(k, 0, 7);
        kit_free(k);
    }
}

static void test_little_room(void **state)
{
    (void)state;
    kit_each(little_room, one_ring);
}

/* A device may take requests when it likes; kicks still come for those that follow. */
static void own_time(const kit_options *options)
{
    kit *k = kit_started(options);
    driver_ring *d = &k->front.rings[0].driver;

    atomic_store(&k->echo.own_time, true);
    for (uint32_t i = 0; i < 50; i++) {
        kit_requests(k, 0, i % 5 + 1);
        assert_int_equal(*driver_ring_avail_event(d), d->avail_idx);
    }
    kit_free(k);
}

static void test_own_time(void **state)
{
    (void)state;
    kit_each(own_time, one_ring);
}

/* --- places --- */

static void addr_again(const kit_options *options)
{
    kit *k = kit_started(options);

    for (uint32_t i = 1; i < 8; i++) {
        kit_requests(k, 0, i);
        frontend_submit(&k->front.rings[0], 2);
        assert_int_equal(frontend_addr(&k->front, 0), 0);
        kit_reap(k, 0, 2);
    }
    assert_int_equal(k->echo.rings[1].started, 1);
    kit_free(k);
}

static void test_addr_again(void **state)
{
    (void)state;
    kit_each(addr_again, two_rings);
}

/* Regions come, go and are replaced while requests are there. */
static void memory_changes(const kit_options *options)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;

    frontend_handshake(f, FRONTEND_PROTOCOL);
    frontend_share(f, 2);
    for (uint32_t i = 0; i < 2; i++)
        frontend_start_ring(f, i, 0);
    for (int i = 0; i < 10; i++) {
        static const uint32_t requests[] = {VHU_REQ_ADD_MEM_REG, VHU_REQ_REM_MEM_REG};

        for (int j = 0; j < 2; j++) {
            frontend_submit(&f->rings[0], 2);
            frontend_submit(&f->rings[1], 3);
            assert_int_equal(frontend_region(f, requests[j], 2), 0);
            kit_reap(k, 0, 2);
            kit_reap(k, 1, 3);
        }
        frontend_submit(&f->rings[0], 2);
        frontend_submit(&f->rings[1], 3);
        assert_int_equal(frontend_table(f, 0, 2), 0);
        kit_reap(k, 0, 2);
        kit_reap(k, 1, 3);
    }
    assert_false(frontend_signalled(f->rings[0].err));
    kit_free(k);
}

static void test_memory_changes(void **state)
{
    (void)state;
    kit_each(memory_changes, (kit_options){.rings = 2, .regions = 3});
}

/* A ring whose region goes stops with an error; it goes on when the region is back. */
static void region_removed(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    kit_requests(k, 0, 3);
    kit_requests(k, 1, 3);
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 1), 0);
    kit_turn(k);
    assert_true(kit_runs(k, 0));
    assert_false(kit_runs(k, 1));
    assert_false(frontend_signalled(f->rings[0].err));
    assert_true(frontend_signalled(f->rings[1].err));
    frontend_submit(&f->rings[1], 2);
    kit_requests(k, 0, 3);
    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, 1), 0);
    kit_reap(k, 1, 2);
    /* And with the last there is nothing to run on. */
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 0), 0);
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 1), 0);
    kit_turn(k);
    assert_false(kit_runs(k, 0) || kit_runs(k, 1));
    assert_int_equal(frontend_base(f, 0), 6);
    assert_int_equal(frontend_base(f, 1), 5);
    kit_free(k);
}

static void test_region_removed(void **state)
{
    (void)state;
    kit_each(region_removed, (kit_options){.rings = 2, .regions = 2});
}

/* --- bad drivers --- */

enum crime { BAD_HEAD, TOO_FAR, LOOP, OUTSIDE, BAD_ADDR, CRIMES };

static void commit(frontend *f, enum crime crime)
{
    driver_ring *d = &f->rings[0].driver;
    const driver_buf outside = {UINT64_C(1) << 60, 16, false};
    uint64_t start;
    int head;

    switch (crime) {
    case BAD_HEAD:
        driver_ring_push_head(d, 0xfff0);
        break;
    case TOO_FAR:
        d->avail_idx = (uint16_t)(d->avail_idx + d->num + 1);
        break;
    case LOOP:
        head = driver_ring_add(d, (driver_buf[]){{f->rings[0].data, 16, false}}, 1);
        d->desc[head].flags = VHU__DESC_NEXT;
        d->desc[head].next = (uint16_t)head;
        break;
    case OUTSIDE:
        driver_ring_add(d, &outside, 1);
        break;
    default:
        /* The table reaches over the end of its region. */
        start = d->desc_addr;
        d->desc_addr = f->memory.regions[0].guest_addr + f->memory.regions[0].size - 16;
        assert_int_equal(frontend_addr(f, 0), 0);
        d->desc_addr = start;
        break;
    }
    driver_ring_publish(d);
    /* Whatever it asked for. */
    assert_int_equal(vhu_event_signal(f->rings[0].kick), 0);
}

static void bad_driver(const kit_options *options)
{
    for (int crime = 0; crime < CRIMES; crime++) {
        kit *k = kit_started(options);
        frontend *f = &k->front;
        frontend_ring *r = &f->rings[0];

        kit_requests(k, 0, 3);
        /* What is out of the ring finishes in silence. */
        atomic_store(&k->echo.hold, crime != BAD_ADDR);
        frontend_submit(r, 2);
        kit_turn(k);
        k->logged = 0;
        commit(f, (enum crime)crime);
        kit_turn(k);
        assert_int_equal(k->logged, 1);
        assert_true(frontend_signalled(r->err));
        for (int i = 0; i < 3; i++)
            kit_turn(k);
        assert_false(frontend_signalled(r->err));
        assert_int_equal(k->logged, 1);
        atomic_store(&k->echo.hold, false);
        kit_turn(k);
        kit_requests(k, 1, 5);
        assert_non_null(k->server);
        frontend_stop_ring(f, 0);
        /* A reset of the driver mends it. */
        assert_int_equal(driver_ring_init(&r->driver, &f->memory, r->driver.desc_addr,
                                          r->driver.num, f->features),
                         0);
        k->echo.rings[0].next_seq = r->reaped = r->submitted;
        frontend_start_ring(f, 0, 0);
        kit_requests(k, 0, 4);
        assert_false(frontend_signalled(r->err));
        kit_free(k);
    }
}

/* A good request and a bad one are published at once: the ring breaks in the middle of a batch. */
static void good_before_bad(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    k->manual = options->workers > 0;
    k->logged = 0;
    frontend_submit(&f->rings[0], 1);
    commit(f, BAD_HEAD);
    k->manual = false;
    kit_turn(k);
    assert_int_equal(k->logged, 1);
    assert_true(frontend_signalled(f->rings[0].err));
    kit_requests(k, 1, 5);
    kit_free(k);
}

static void test_good_before_bad(void **state)
{
    (void)state;
    kit_each(good_before_bad, (kit_options){.rings = 2});
}

static void test_bad_driver(void **state)
{
    (void)state;
    kit_each(bad_driver, two_rings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_drains),         leakcheck_test(test_drains_alone),
        leakcheck_test(test_dies),           leakcheck_test(test_little_room),
        leakcheck_test(test_own_time),       leakcheck_test(test_addr_again),
        leakcheck_test(test_memory_changes), leakcheck_test(test_region_removed),
        leakcheck_test(test_bad_driver),     leakcheck_test(test_good_before_bad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
