/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings under load while their front-end changes everything about them. */
#include "test_uv_device_fixture.h"

enum { SWAPS = 3000, CHANGES = 400, REQUESTS = 6000 };

/* Where each change takes milliseconds, some must do. */
static uint32_t rounds(uint32_t n)
{
    return sys_is_wine() ? n / 4 : n;
}

static const uint32_t depths[] = {1, 3, 8, 16};

static void start_drivers(uv_kit *k, uv_driver *drivers, uint64_t n)
{
    for (uint32_t i = 0; i < k->front.num_rings; i++)
        uv_driver_start(&drivers[i], k, i, n, depths[i % 4]);
}

static void join_drivers(uv_kit *k, uv_driver *drivers)
{
    for (uint32_t i = 0; i < k->front.num_rings; i++)
        atomic_store(&drivers[i].stop, true);
    for (uint32_t i = 0; i < k->front.num_rings; i++)
        uv_driver_join(&drivers[i]);
}

/* --- changes --- */

static void swap_call(frontend *f, uint32_t ring)
{
    vhu_event *call = frontend_event_new();

    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, ring, call), 0);
    frontend_swap_call(&f->rings[ring], call);
}

static void swap_kick(frontend *f, uint32_t ring)
{
    vhu_event *kick = frontend_event_new();

    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, ring, kick), 0);
    frontend_swap_kick(&f->rings[ring], kick);
}

static void addr_again(frontend *f, uint32_t ring)
{
    assert_int_equal(frontend_addr(f, ring), 0);
}

static void enable(frontend *f, uint32_t ring)
{
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, ring, 0), 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, ring, 1), 0);
}

static void stop_and_start(frontend *f, uint32_t ring)
{
    uint32_t base = frontend_base(f, ring);

    assert_int_equal(frontend_base(f, ring), base);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, ring, base), 0);
    swap_kick(f, ring);
}

/* The last region holds no ring. */
static void add_and_remove(frontend *f, uint32_t ring)
{
    (void)ring;
    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, f->memory.num_regions - 1), 0);
    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, f->memory.num_regions - 1), 1);
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, f->memory.num_regions - 1), 0);
}

static void replace_table(frontend *f, uint32_t ring)
{
    (void)ring;
    assert_int_equal(frontend_table(f, 0, f->memory.num_regions), 0);
    assert_int_equal(frontend_table(f, 0, f->memory.num_regions - 1), 0);
}

static void set_features(frontend *f, uint32_t ring)
{
    (void)ring;
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
}

static const struct {
    const char *name;
    void (*change)(frontend *f, uint32_t ring);
} changes[] = {
    {"swap the call", swap_call},         {"swap the kick", swap_kick},
    {"set the address", addr_again},      {"disable and enable", enable},
    {"stop and start", stop_and_start},   {"add and remove a region", add_and_remove},
    {"replace the table", replace_table}, {"set the features", set_features},
};
enum { NUM_CHANGES = sizeof(changes) / sizeof(changes[0]) };

/* Memory in three regions, rings in the first two. */
static uv_kit *start(const uv_kit_options *options)
{
    uv_kit_options o = *options;
    uv_kit *k;
    frontend *f;

    o.regions = 3;
    o.spare = 1;
    k = uv_kit_new(&o, 0);
    f = &k->front;
    frontend_handshake(f, FRONTEND_PROTOCOL);
    frontend_share(f, 2);
    for (uint32_t i = 0; i < options->rings; i++)
        frontend_start_ring(f, i, 0);
    return k;
}

/* --- tests --- */

/* The driver sleeps by its call alone, and that changes thousands of times. */
static void test_call_swaps(void **state)
{
    static const uv_kit_options cases[] = {
        {.workers = 1, .rings = 1, .spin_us = 0},
        {.workers = 1, .rings = 1, .spin_us = 50},
        {.workers = 2, .rings = 2, .spin_us = 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uv_kit *k = uv_kit_started(&cases[i]);
        uv_driver drivers[FRONTEND_RINGS];

        atomic_store(&k->echo.later, i == 1);
        start_drivers(k, drivers, 0);
        for (uint32_t n = 0; n < rounds(SWAPS); n++)
            swap_call(&k->front, n % cases[i].rings);
        join_drivers(k, drivers);
        uv_kit_free(k);
    }
}

/* One kind of change after the other. */
static void test_each_change(void **state)
{
    const uv_kit_options options = {.workers = 2, .rings = 3};

    (void)state;
    for (size_t i = 0; i < NUM_CHANGES; i++) {
        uv_kit *k = start(&(uv_kit_options){.workers = 2, .rings = 3, .spin_us = i % 2 ? 50 : 0});
        uv_driver drivers[FRONTEND_RINGS];

        atomic_store(&k->echo.later, i % 2 == 0);
        start_drivers(k, drivers, 0);
        for (uint32_t n = 0; n < rounds(CHANGES); n++)
            changes[i].change(&k->front, n % options.rings);
        join_drivers(k, drivers);
        for (uint32_t n = 0; n < options.rings; n++)
            assert_false(frontend_signalled(k->front.rings[n].err));
        uv_kit_free(k);
    }
}

/* All of them, on workers and rings of every number. */
static void test_all_changes(void **state)
{
    static const uv_kit_options cases[] = {
        {.workers = 1, .rings = 1, .spin_us = 0},  {.workers = 1, .rings = 8, .spin_us = 0},
        {.workers = 2, .rings = 2, .spin_us = 50}, {.workers = 2, .rings = 8, .spin_us = 0},
        {.workers = 3, .rings = 4, .spin_us = 0},  {.workers = 3, .rings = 8, .spin_us = 50},
        {.workers = 4, .rings = 8, .spin_us = 0},  {.workers = 4, .rings = 4, .spin_us = 50},
    };
    uint32_t random = 1;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uv_kit *k = start(&cases[i]);
        uv_driver drivers[FRONTEND_RINGS];

        atomic_store(&k->echo.later, i % 2 == 0);
        atomic_store(&k->echo.room, i % 3 == 0 ? 2 : ECHO_SLOTS);
        start_drivers(k, drivers, REQUESTS);
        for (uint32_t n = 0; n < rounds(CHANGES); n++) {
            random = random * 1664525 + 1013904223;
            changes[(random >> 16) % NUM_CHANGES].change(&k->front, (random >> 8) % cases[i].rings);
        }
        join_drivers(k, drivers);
        for (uint32_t n = 0; n < cases[i].rings; n++)
            assert_int_equal(k->front.rings[n].reaped, REQUESTS);
        uv_kit_free(k);
    }
}

/* Answers in another order than the requests, and a device that is often full. */
static void test_out_of_order(void **state)
{
    const uv_kit_options options = {.workers = 2, .rings = 4};
    uv_kit *k = uv_kit_started(&options);
    uv_driver drivers[FRONTEND_RINGS];

    (void)state;
    atomic_store(&k->echo.reverse, true);
    atomic_store(&k->echo.later, true);
    atomic_store(&k->echo.room, 5);
    for (uint32_t i = 0; i < options.rings; i++)
        k->front.rings[i].in_order = false;
    start_drivers(k, drivers, REQUESTS);
    join_drivers(k, drivers);
    uv_kit_free(k);
}

/* The device has no room at all now and then; whoever gives it some wakes the worker. */
static void test_no_room(void **state)
{
    const uv_kit_options options = {.workers = 2, .rings = 4};
    uv_kit *k = uv_kit_started(&options);
    uv_driver drivers[FRONTEND_RINGS];

    (void)state;
    atomic_store(&k->echo.later, true);
    start_drivers(k, drivers, 0);
    for (uint32_t i = 0; i < rounds(CHANGES); i++) {
        atomic_store(&k->echo.room, 0);
        swap_call(&k->front, i % options.rings);
        atomic_store(&k->echo.hold, true);
        atomic_store(&k->echo.room, i % 7 + 1);
        swap_call(&k->front, (i + 1) % options.rings);
        uv_kit_release(k);
    }
    atomic_store(&k->echo.room, ECHO_SLOTS);
    uv_kit_release(k);
    join_drivers(k, drivers);
    uv_kit_free(k);
}

/* One ring is broken by its driver; the others do not notice. */
static void test_broken_ring(void **state)
{
    const uv_kit_options options = {.workers = 2, .rings = 4};
    uv_kit *k = uv_kit_started(&options);
    uv_driver drivers[FRONTEND_RINGS];
    frontend_ring *bad = &k->front.rings[3];

    (void)state;
    for (uint32_t i = 0; i < 3; i++)
        uv_driver_start(&drivers[i], k, i, REQUESTS, depths[i]);
    driver_ring_push_head(&bad->driver, 0xffff);
    driver_ring_publish(&bad->driver);
    uv_kit_until(k, frontend_signalled(bad->err) || (frontend_submit(bad, 1), false));
    for (uint32_t i = 0; i < 3; i++)
        uv_driver_join(&drivers[i]);
    assert_false(frontend_signalled(bad->err));
    assert_int_equal(frontend_base(&k->front, 3), 0);
    uv_kit_free(k);
}

/* A front-end dies under load; the next one finds a device that has forgotten it. */
static void test_deaths(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 8; i++) {
        uv_kit *k = uv_kit_started(
            &(uv_kit_options){.workers = i % 4 + 1, .rings = 4, .spin_us = i % 2 ? 50 : 0});

        atomic_store(&k->echo.later, true);
        for (uint32_t n = 0; n < 10; n++) {
            for (uint32_t ring = 0; ring < 4; ring++)
                frontend_submit(&k->front.rings[ring], 12);
            frontend_call_again(&k->front, uv_kit_dial(k));
            /* The rings of the one before have all stopped when the next is heard. */
            frontend_handshake(&k->front, FRONTEND_PROTOCOL);
            assert_int_equal(k->disconnected, n + 1);
            frontend_share(&k->front, 1);
            for (uint32_t ring = 0; ring < 4; ring++) {
                frontend_ring *r = &k->front.rings[ring];

                frontend_reap(r);
                frontend_start_ring(&k->front, ring, r->driver.used_idx);
            }
        }
        for (uint32_t ring = 0; ring < 4; ring++)
            uv_kit_requests(k, ring, 1);
        uv_kit_free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_call_swaps),  leakcheck_test(test_each_change),
        leakcheck_test(test_all_changes), leakcheck_test(test_out_of_order),
        leakcheck_test(test_no_room),     leakcheck_test(test_broken_ring),
        leakcheck_test(test_deaths),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
