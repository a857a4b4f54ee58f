/* SPDX-License-Identifier: BSD-3-Clause */
/* IN_ORDER: what the device does in its own order, the driver sees in the one it asked in. */
#include <string.h>

#include "queue_internal.h"
#include "support/queue_rig.h"
#include "util.h"

#define IN_ORDER VHU_BIT(VHU_F_IN_ORDER)

static const uint64_t layouts[] = {SPLIT | IN_ORDER, PACKED | IN_ORDER};

enum { MOST = 4 };

/* `n` requests of all shapes, taken. */
static void take_some(rig *r, uint32_t n, uint16_t *heads)
{
    for (uint32_t i = 0; i < n; i++)
        heads[i] = add_request(r, i % 2 == 1);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, CHAINS), n);
    for (uint32_t i = 0; i < n; i++)
        r->chains[i].written = i + 1;
}

static void expect_used(rig *r, const uint16_t *heads, uint32_t from, uint32_t to)
{
    uint32_t len;

    for (uint32_t i = from; i < to; i++) {
        assert_int_equal(driver_ring_reap(&r->ring, &len), heads[i]);
        assert_int_equal(len, i + 1);
    }
    assert_int_equal(driver_ring_reap(&r->ring, NULL), -1);
}

/* Every order in which four can be done, one by one: digits are the requests. */
static void test_every_order(void **state)
{
    static const char *const orders[] = {
        "0123", "0132", "0213", "0231", "0312", "0321", "1023", "1032",
        "1203", "1230", "1302", "1320", "2013", "2031", "2103", "2130",
        "2301", "2310", "3012", "3021", "3102", "3120", "3201", "3210",
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(16, layouts[i]);

        for (size_t k = 0; k < VHU__COUNT(orders); k++) {
            bool done[MOST + 1] = {false};
            uint16_t heads[MOST];
            uint32_t shown = 0;

            take_some(r, MOST, heads);
            for (uint32_t step = 0; step < MOST; step++) {
                uint32_t which = (uint32_t)(orders[k][step] - '0');
                uint32_t from = shown;

                assert_false(vhu_queue_needs_call(r->queue));
                vhu_queue_complete(r->queue, &r->chains[which], 1);
                done[which] = true;
                while (done[shown])
                    shown++;
                /* With a call, and none for what is done but not shown. */
                driver_ring_enable_calls(&r->ring, true);
                expect_used(r, heads, from, shown);
                assert_int_equal(vhu_queue_needs_call(r->queue), shown > from);
                assert_int_equal(vhu_queue_in_use(r->queue), MOST - 1 - step);
            }
        }
        assert_int_equal(vhu_queue_base(r->queue), driver_ring_base(&r->ring));
        rig_free(r);
    }
}

/* A batch of which some come too early. */
static void test_batches(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(16, layouts[i]);
        vhu_chain batch[3];
        uint16_t heads[MOST];

        take_some(r, MOST, heads);
        batch[0] = r->chains[0];
        batch[1] = r->chains[3];
        batch[2] = r->chains[2];
        vhu_queue_complete(r->queue, batch, 3);
        expect_used(r, heads, 0, 1);
        vhu_queue_complete(r->queue, &r->chains[1], 1);
        expect_used(r, heads, 1, 4);
        /* More than is out is not given back. */
        vhu_queue_complete(r->queue, r->chains, 4);
        assert_int_equal(driver_ring_reap(&r->ring, NULL), -1);
        rig_free(r);
    }
}

/* What comes early takes room in the ring until it is shown. */
static void test_full_ring(void **state)
{
    const driver_buf buf = {DRIVER_GUEST_BASE + REGION_SIZE / 2, 8, true};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(4, layouts[i]);

        for (int turn = 0; turn < 3; turn++) {
            for (int k = 0; k < 4; k++)
                assert_true(driver_ring_add(&r->ring, &buf, 1) >= 0);
            driver_ring_publish(&r->ring);
            assert_int_equal(take(r, CHAINS), 4);
            vhu_queue_complete(r->queue, &r->chains[1], 3);
            assert_int_equal(take(r, CHAINS), 0);
            vhu_queue_complete(r->queue, &r->chains[0], 1);
            for (int k = 0; k < 4; k++)
                assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
        }
        rig_free(r);
    }
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    uint32_t *seen = self;

    for (uint32_t i = 0; i < n; i++)
        seen[++seen[0]] = chains[i].written;
}

/* Hooks are called when requests are shown, not when the device was done. */
static void test_hooks(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        uint32_t seen[8] = {0};
        const vhu__queue_hooks hooks = {.self = seen, .completing = on_completing};
        rig *r = rig_new(16, layouts[i]);
        uint16_t heads[3];

        vhu_queue_stop(r->queue);
        assert_int_equal(vhu__queue_set_hooks(r->queue, &hooks), 0);
        assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
        take_some(r, 3, heads);
        vhu_queue_complete(r->queue, &r->chains[1], 2);
        assert_int_equal(seen[0], 0);
        vhu_queue_complete(r->queue, &r->chains[0], 1);
        assert_int_equal(seen[0], 3);
        for (uint32_t k = 1; k <= 3; k++)
            assert_int_equal(seen[k], k);
        expect_used(r, heads, 0, 3);
        rig_free(r);
    }
}

/* A ring that breaks shows nothing more, but nothing of it is out for ever. */
static void test_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(16, layouts[i]);
        uint16_t heads[3];

        take_some(r, 3, heads);
        vhu_queue_complete(r->queue, &r->chains[2], 1);
        add_request(r, true);
        r->chains[3].capacity = 0;
        driver_ring_publish(&r->ring);
        assert_int_equal(vhu_queue_take(r->queue, &r->chains[3], 1), VHU_EBROKEN_RING);
        assert_int_equal(vhu_queue_in_use(r->queue), 2);
        vhu_queue_complete(r->queue, &r->chains[0], 2);
        assert_int_equal(vhu_queue_in_use(r->queue), 0);
        assert_int_equal(driver_ring_reap(&r->ring, NULL), -1);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_every_order), leakcheck_test(test_batches),
        leakcheck_test(test_full_ring),   leakcheck_test(test_hooks),
        leakcheck_test(test_broken),
    };

    return cmocka_run_group_tests_name("queue_order", tests, NULL, NULL);
}
