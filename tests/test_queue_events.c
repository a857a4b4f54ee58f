/* SPDX-License-Identifier: BSD-3-Clause */
/* When a ring wants kicks, and when it calls. */
#include "support/queue_rig.h"
#include "util.h"

/* --- calls --- */

/* Requests of one descriptor. */
static void complete_some(rig *r, uint32_t n)
{
    const driver_buf buf = {r->data, 8, false};

    for (; n > 0; n--) {
        assert_true(driver_ring_add(&r->ring, &buf, 1) >= 0);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), 1);
        vhu_queue_complete(r->queue, r->chains, 1);
        assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
    }
}

static void test_calls_by_flag(void **state)
{
    static const uint64_t layouts[] = {0, PLAIN_PACKED};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(16, layouts[i]);

        assert_false(vhu_queue_needs_call(r->queue));
        complete_some(r, 2);
        assert_true(vhu_queue_needs_call(r->queue));
        assert_false(vhu_queue_needs_call(r->queue));
        driver_ring_enable_calls(&r->ring, false);
        complete_some(r, 1);
        assert_false(vhu_queue_needs_call(r->queue));
        driver_ring_enable_calls(&r->ring, true);
        assert_false(vhu_queue_needs_call(r->queue)); /* nothing new */
        complete_some(r, 1);
        assert_true(vhu_queue_needs_call(r->queue));
        rig_free(r);
    }
}

static void test_calls_by_event(void **state)
{
    static const uint16_t starts[] = {0, 5, 32760, 65530, 65535};

    (void)state;
    for (size_t s = 0; s < VHU__COUNT(starts); s++) {
        rig *r = rig_new_at(16, VHU_BIT(VHU_F_RING_EVENT_IDX), starts[s]);

        r->ring.avail->flags = VHU__AVAIL_NO_CALL; /* means nothing here */
        assert_false(vhu_queue_needs_call(r->queue));
        /* The first one always: what was called for before the start is not known. */
        *driver_ring_used_event(&r->ring) = (uint16_t)(starts[s] + 1000);
        complete_some(r, 1);
        assert_true(vhu_queue_needs_call(r->queue));
        for (uint32_t n = 1; n < 6; n++) {
            for (int at = -3; at < 9; at++) {
                uint16_t event = (uint16_t)(r->ring.used->idx + at);

                *driver_ring_used_event(&r->ring) = event;
                complete_some(r, n);
                /* A call if the entry at `event` is one of the `n` new ones. */
                assert_int_equal(vhu_queue_needs_call(r->queue), at >= 0 && at < (int)n);
                assert_false(vhu_queue_needs_call(r->queue));
            }
        }
        rig_free(r);
    }
}

/* The same for positions, of which there are twice as many as descriptors. */
static void test_calls_by_position(void **state)
{
    static const uint16_t starts[] = {VHU__POS_START, VHU__POS_WRAP | 6, 6, 4};

    (void)state;
    for (size_t s = 0; s < VHU__COUNT(starts); s++) {
        rig *r = rig_new_at(7, PACKED, starts[s]);

        driver_ring_enable_calls(&r->ring, true);
        complete_some(r, 1);
        assert_true(vhu_queue_needs_call(r->queue));
        for (uint32_t n = 1; n < 7; n++) {
            for (uint32_t at = 0; at < 14; at++) {
                *driver_ring_used_event(&r->ring) = (uint16_t)vhu__pos_add(
                    vhu__pos_add(r->ring.used_idx, at % 7, 7), at / 7 * 7, 7);
                complete_some(r, n);
                assert_int_equal(vhu_queue_needs_call(r->queue), at < n);
                assert_false(vhu_queue_needs_call(r->queue));
            }
        }
        /* All positions there are. */
        complete_some(r, 14);
        assert_true(vhu_queue_needs_call(r->queue));
        /* One that is none is never passed, and a mode that is none means all. */
        *driver_ring_used_event(&r->ring) = 0x7fff;
        complete_some(r, 3);
        assert_false(vhu_queue_needs_call(r->queue));
        r->ring.driver_event->flags = VHU__EVENT_MASK;
        complete_some(r, 1);
        assert_true(vhu_queue_needs_call(r->queue));
        rig_free(r);
    }
}

/* A driver without EVENT_IDX has no positions. */
static void test_position_not_negotiated(void **state)
{
    rig *r = rig_new(16, PLAIN_PACKED);

    (void)state;
    complete_some(r, 1);
    assert_true(vhu_queue_needs_call(r->queue));
    *r->ring.driver_event = (vhu__packed_event){.position = 0, .flags = VHU__EVENT_DESC};
    complete_some(r, 1);
    assert_true(vhu_queue_needs_call(r->queue));
    rig_free(r);
}

/* Asked only after all 65536 values of the index were used: they contain the event, too. */
static void test_call_after_a_whole_turn(void **state)
{
    rig *r = rig_new(16, VHU_BIT(VHU_F_RING_EVENT_IDX));

    (void)state;
    complete_some(r, 1);
    assert_true(vhu_queue_needs_call(r->queue));
    complete_some(r, 65536);
    assert_true(vhu_queue_needs_call(r->queue));
    complete_some(r, 65536 + 3);
    assert_true(vhu_queue_needs_call(r->queue));
    rig_free(r);
}

/* --- kicks --- */

static void test_kicks_by_flag(void **state)
{
    static const uint64_t layouts[] = {0, PLAIN_PACKED};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(16, layouts[i]);

        add_request(r, false);
        assert_true(driver_ring_publish(&r->ring));
        vhu_queue_disable_kicks(r->queue);
        assert_int_equal(take(r, CHAINS), 1);
        add_request(r, false);
        assert_false(driver_ring_publish(&r->ring));
        assert_true(vhu_queue_enable_kicks(r->queue)); /* one for which no kick came */
        assert_int_equal(take(r, CHAINS), 1);
        assert_false(vhu_queue_enable_kicks(r->queue));
        add_request(r, false);
        assert_true(driver_ring_publish(&r->ring));
        assert_int_equal(*driver_ring_avail_event(&r->ring), 0);
        rig_free(r);
    }
}

static void test_kicks_by_event(void **state)
{
    rig *r = rig_new_at(16, VHU_BIT(VHU_F_RING_EVENT_IDX), 65534);

    (void)state;
    assert_false(vhu_queue_enable_kicks(r->queue));
    add_request(r, false);
    assert_true(driver_ring_publish(&r->ring));
    vhu_queue_disable_kicks(r->queue);
    assert_int_equal(take(r, CHAINS), 1);
    assert_int_equal(*driver_ring_avail_event(&r->ring), 65534); /* as enabled, no sooner */
    add_request(r, false);
    assert_false(driver_ring_publish(&r->ring));
    assert_true(vhu_queue_enable_kicks(r->queue));
    assert_int_equal(take(r, CHAINS), 1);
    assert_int_equal(*driver_ring_avail_event(&r->ring), 65535);
    assert_false(vhu_queue_enable_kicks(r->queue));
    assert_int_equal(*driver_ring_avail_event(&r->ring), 0);
    add_request(r, false);
    assert_true(driver_ring_publish(&r->ring));
    assert_int_equal(r->ring.used->flags, 0);
    rig_free(r);
}

/* Requests of three in a ring of seven: the position is passed within one. */
static void test_kicks_by_position(void **state)
{
    rig *r = rig_new(7, PACKED);

    (void)state;
    for (int turn = 0; turn < 20; turn++) {
        assert_false(vhu_queue_enable_kicks(r->queue));
        assert_int_equal(*driver_ring_avail_event(&r->ring), r->ring.avail_idx);
        assert_int_equal(r->ring.device_event->flags, VHU__EVENT_DESC);
        add_request(r, false);
        assert_true(driver_ring_publish(&r->ring));
        assert_int_equal(take(r, CHAINS), 1);
        add_request(r, false);
        assert_false(driver_ring_publish(&r->ring)); /* passed already */
        vhu_queue_disable_kicks(r->queue);
        assert_int_equal(r->ring.device_event->flags, VHU__EVENT_DISABLE);
        assert_true(vhu_queue_enable_kicks(r->queue));
        assert_int_equal(vhu_queue_take(r->queue, &r->chains[1], 1), 1);
        vhu_queue_complete(r->queue, r->chains, 2);
        assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
        assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
    }
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_calls_by_flag),           leakcheck_test(test_calls_by_event),
        leakcheck_test(test_call_after_a_whole_turn), leakcheck_test(test_kicks_by_flag),
        leakcheck_test(test_kicks_by_event),          leakcheck_test(test_calls_by_position),
        leakcheck_test(test_position_not_negotiated), leakcheck_test(test_kicks_by_position),
    };

    return cmocka_run_group_tests_name("queue_events", tests, NULL, NULL);
}
