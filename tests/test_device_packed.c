/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit with rings that are packed, or in order: what is negotiated, and their bases. */
#include "test_device_fixture.h"
#include "util.h"

#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define IN_ORDER VHU_BIT(VHU_F_IN_ORDER)

/* Of any size, in any layout, with what the device does the wrong way round. */
static void traffic(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    atomic_store(&k->echo.reverse, true);
    for (uint32_t i = 0; i < f->num_rings; i++)
        f->rings[i].in_order = (options->features & IN_ORDER) != 0;
    for (uint32_t i = 1; i < 100; i++) {
        kit_requests(k, 0, i % 3 + 1);
        kit_requests(k, 1, i % 2 + 1);
    }
    assert_int_equal(k->echo.features, f->features);
    kit_free(k);
}

static void test_traffic(void **state)
{
    static const kit_options rows[] = {
        {.rings = 2, .features = PACKED},
        {.rings = 2, .features = PACKED, .size = 7},
        {.rings = 2, .features = IN_ORDER},
        {.rings = 2, .features = PACKED | IN_ORDER, .size = 13},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++)
        kit_each(traffic, rows[i]);
}

/* All 32 bits of a base come and go; a front-end that tells only of half of them is understood. */
static void bases(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    driver_ring *d = &f->rings[0].driver;

    for (uint32_t i = 1; i < 50; i++) {
        uint32_t base;

        kit_requests(k, 0, i % 3 + 1);
        base = frontend_stop_ring(f, 0);
        assert_int_equal(base, driver_ring_base(d));
        assert_int_equal(base >> 16, base & UINT16_MAX);
        assert_int_equal(frontend_base(f, 0), base);
        frontend_submit(&f->rings[0], 2);
        frontend_start_ring(f, 0, i % 2 ? base : base & UINT16_MAX);
        kit_reap(k, 0, 2);
    }
    kit_free(k);
}

static void test_bases(void **state)
{
    (void)state;
    kit_each(bases, (kit_options){.rings = 1, .features = PACKED, .size = 7});
}

/* A firmware's driver with a split ring, the system's with a packed one, and back. */
static void change_of_layout(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    driver_ring *d = &f->rings[0].driver;

    for (int i = 0; i < 4; i++) {
        kit_requests(k, 0, 3);
        frontend_stop_ring(f, 0);
        f->features ^= PACKED;
        assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
        assert_int_equal(driver_ring_init(d, &f->memory, d->desc_addr, d->num, f->features), 0);
        frontend_start_ring(f, 0, driver_ring_base(d));
    }
    kit_requests(k, 0, 3);
    kit_free(k);
}

static void test_change_of_layout(void **state)
{
    (void)state;
    kit_each(change_of_layout, (kit_options){.rings = 1});
}

/* What only a packed ring has is refused without the feature, and a base that is none with it. */
static void refused(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    bool packed = (options->features & PACKED) != 0;

    kit_requests(k, 0, 3);
    frontend_stop_ring(f, 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 7), !packed);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 0), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 32769), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, 0, 0x80078007), !packed);
    frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1);
    if (packed)
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 1);
    assert_false(kit_runs(k, 0));
    kit_free(k);
}

static void test_refused(void **state)
{
    (void)state;
    kit_each(refused, (kit_options){.rings = 1});
    kit_each(refused, (kit_options){.rings = 1, .features = PACKED});
}

/* A driver that breaks its ring, and hears of it. */
static void broken(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    driver_ring *d = &f->rings[0].driver;

    kit_requests(k, 0, 3);
    d->packed[d->avail_idx & VHU__POS_IDX].addr = 0x1234;
    d->packed[d->avail_idx & VHU__POS_IDX].len = 8;
    d->packed[d->avail_idx & VHU__POS_IDX].flags = VHU__PACKED_AVAIL;
    vhu_event_signal(f->rings[0].kick);
    kit_turn(k);
    assert_true(frontend_signalled(f->rings[0].err));
    assert_string_equal(k->last_log, "ring 0: 8 bytes at 0x1234 lie outside of memory");
    frontend_stop_ring(f, 0);
    kit_free(k);
}

static void test_broken(void **state)
{
    (void)state;
    kit_each(broken, (kit_options){.rings = 1, .features = PACKED});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_traffic),          leakcheck_test(test_bases),
        leakcheck_test(test_change_of_layout), leakcheck_test(test_refused),
        leakcheck_test(test_broken),
    };

    return cmocka_run_group_tests_name("device_packed", tests, NULL, NULL);
}
