/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight area of packed rings: its layout, what is refused of what somebody has left in it,
 * and where a ring goes on.
 */
#include "endian.h"
#include "test_inflight_fixture.h"

#define FEATURES                                                                                   \
    (VHU_BIT(VHU_F_RING_INDIRECT_DESC) | VHU_BIT(VHU_F_RING_EVENT_IDX) | VHU_BIT(VHU_F_RING_PACKED))
#define ENTRY(slot, member) (PACKED_ENTRIES + (slot) * (size_t)PACKED_ENTRY + (member))
#define WRAP VHU__POS_WRAP

static void open_packed(keeper *k, uint32_t num, uint16_t position)
{
    keeper_open_with(k, FEATURES, num, position);
}

/* --- layout --- */

/* Nothing is half done. */
static void expect_header(const keeper *k, uint16_t free_head, uint16_t used)
{
    assert_int_equal(keeper_get(k, AREA_FEATURES, 8), 0);
    assert_int_equal(keeper_get(k, AREA_VERSION, 2), 1);
    assert_int_equal(keeper_get(k, AREA_NUM, 2), AREA_RING_SIZE);
    assert_int_equal(keeper_get(k, PACKED_FREE_HEAD, 2), free_head);
    assert_int_equal(keeper_get(k, PACKED_OLD_FREE_HEAD, 2), free_head);
    assert_int_equal(keeper_get(k, PACKED_USED_IDX, 2), used & VHU__POS_IDX);
    assert_int_equal(keeper_get(k, PACKED_OLD_USED_IDX, 2), used & VHU__POS_IDX);
    assert_int_equal(keeper_get(k, PACKED_USED_WRAP, 1), used >> 15);
    assert_int_equal(keeper_get(k, PACKED_OLD_USED_WRAP, 1), used >> 15);
}

static void expect_request(const keeper *k, uint16_t slot, uint16_t last, uint16_t num,
                           uint64_t counter)
{
    assert_int_equal(keeper_entry(k, slot, PACKED_OUT, 1), 1);
    assert_int_equal(keeper_entry(k, slot, PACKED_LAST, 2), last);
    assert_int_equal(keeper_entry(k, slot, PACKED_SPAN, 2), num);
    assert_int_equal(keeper_entry(k, slot, PACKED_COUNTER, 8), counter);
}

static void expect_desc(const keeper *k, uint16_t slot, const vhu__packed_desc *desc)
{
    assert_int_equal(keeper_entry(k, slot, PACKED_ADDR, 8), vhu__le64(desc->addr));
    assert_int_equal(keeper_entry(k, slot, PACKED_LEN, 4), vhu__le32(desc->len));
    assert_int_equal(keeper_entry(k, slot, PACKED_ID, 2), vhu__le16(desc->id));
    assert_int_equal(keeper_entry(k, slot, PACKED_FLAGS, 2), vhu__le16(desc->flags));
}

/* What each step leaves for others to read. */
static void test_record(void **state)
{
    keeper k;

    (void)state;
    open_packed(&k, AREA_RING_SIZE, WRAP | 6);
    /* Without a version nothing else means anything. */
    keeper_set(&k, ENTRY(3, PACKED_OUT), 1, 77);
    keeper_set(&k, PACKED_FREE_HEAD, 2, 77);
    assert_int_equal(keeper_start(&k), 0);
    expect_header(&k, 0, WRAP | 6);
    for (uint16_t i = 0; i < AREA_RING_SIZE; i++) {
        assert_int_equal(keeper_entry(&k, i, PACKED_OUT, 1), 0);
        assert_int_equal(keeper_entry(&k, i, PACKED_NEXT, 2), i + 1);
    }
    add_request(k.rig, false);
    add_request(k.rig, true);
    keeper_publish(&k, 2);
    expect_request(&k, 0, 2, 3, 0);
    expect_request(&k, 3, 3, 1, 1);
    for (uint16_t i = 0; i < 4; i++)
        expect_desc(&k, i, &k.rig->ring.packed[(6 + i) % AREA_RING_SIZE]);
    expect_header(&k, 4, WRAP | 6);

    vhu_queue_complete(k.rig->queue, &k.rig->chains[1], 1);
    expect_header(&k, 3, WRAP | 7);
    assert_int_equal(keeper_entry(&k, 3, PACKED_OUT, 1), 0);
    assert_int_equal(keeper_entry(&k, 3, PACKED_NEXT, 2), 4);
    vhu_queue_complete(k.rig->queue, &k.rig->chains[0], 1);
    expect_header(&k, 0, 2);
    assert_int_equal(keeper_entry(&k, 2, PACKED_NEXT, 2), 3);
    /* The other ring has its own part, and nobody has used it. */
    assert_int_equal(keeper_get(&k, PACKED_STRIDE + AREA_VERSION, 2), 0);
    keeper_close(&k);
}

/* --- what is refused --- */

/* A device took requests of 3, 1 and 1 descriptors, completed the second, and is gone. */
static void leave_two_out(keeper *k)
{
    open_packed(k, AREA_RING_SIZE, WRAP);
    keeper_leave_two_out(k, false);
}

/* Out are 0 to 2, and 4; free are 3, 5, 6, 7; the used index is 1. */
static const bad_word bad_words[] = {
    {AREA_VERSION, 2, 1, 0, 2}, /* as it was */
    {AREA_FEATURES, 8, 1, VHU_ENOSYS, VHU_ENOSYS},
    {AREA_VERSION, 2, 2, VHU_ENOSYS, VHU_ENOSYS},
    {AREA_NUM, 2, AREA_RING_SIZE - 1, VHU_EINVAL, VHU_EINVAL},
    {AREA_NUM, 2, AREA_RING_SIZE + 1, VHU_EINVAL, VHU_EINVAL},
    /* Numbers that none can be. */
    {PACKED_FREE_HEAD, 2, AREA_RING_SIZE + 1, VHU_EINVAL, VHU_EINVAL},
    {PACKED_OLD_FREE_HEAD, 2, AREA_RING_SIZE + 1, VHU_EINVAL, VHU_EINVAL},
    {PACKED_USED_IDX, 2, AREA_RING_SIZE, VHU_EINVAL, VHU_EINVAL},
    {PACKED_OLD_USED_IDX, 2, AREA_RING_SIZE, VHU_EINVAL, VHU_EINVAL},
    {PACKED_USED_WRAP, 1, 2, VHU_EINVAL, VHU_EINVAL},
    {PACKED_OLD_USED_WRAP, 1, 2, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(0, PACKED_OUT), 1, 2, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(0, PACKED_NEXT), 2, AREA_RING_SIZE + 1, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(0, PACKED_LAST), 2, AREA_RING_SIZE, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(0, PACKED_SPAN), 2, AREA_RING_SIZE + 1, VHU_EINVAL, VHU_EINVAL},
    /* Requests that are none. */
    {ENTRY(0, PACKED_SPAN), 2, 0, 0, VHU_EINVAL},
    {ENTRY(0, PACKED_SPAN), 2, 2, 0, VHU_EINVAL},
    {ENTRY(0, PACKED_SPAN), 2, 4, 0, VHU_EINVAL},
    {ENTRY(0, PACKED_LAST), 2, 1, 0, VHU_EINVAL},
    {ENTRY(0, PACKED_NEXT), 2, 0, 0, VHU_EINVAL}, /* round */
    {ENTRY(1, PACKED_NEXT), 2, 0, 0, VHU_EINVAL},
    {ENTRY(0, PACKED_NEXT), 2, 4, 0, VHU_EINVAL}, /* through another one */
    {ENTRY(0, PACKED_NEXT), 2, 5, 0, VHU_EINVAL}, /* through what is free */
    {ENTRY(1, PACKED_NEXT), 2, AREA_RING_SIZE, 0, VHU_EINVAL},
    {ENTRY(1, PACKED_OUT), 1, 1, 0, VHU_EINVAL}, /* in the middle of one */
    {ENTRY(4, PACKED_OUT), 1, 0, 0, VHU_EINVAL}, /* nowhere */
    /* Lists of free ones that are none. */
    {PACKED_OLD_FREE_HEAD, 2, 5, 0, VHU_EINVAL},
    {PACKED_OLD_FREE_HEAD, 2, AREA_RING_SIZE, 0, VHU_EINVAL},
    {PACKED_OLD_FREE_HEAD, 2, 4, 0, VHU_EINVAL},
    {ENTRY(3, PACKED_NEXT), 2, 0, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(7, PACKED_NEXT), 2, 3, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(7, PACKED_NEXT), 2, 7, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(7, PACKED_NEXT), 2, 4, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(5, PACKED_OUT), 1, 1, 0, VHU_EINVAL}, /* the second that is free */
    {ENTRY(3, PACKED_OUT), 1, 1, 0, 2},          /* was being taken */
    {PACKED_FREE_HEAD, 2, 0, 0, 2},              /* rolled back */
    {PACKED_USED_IDX, 2, 5, 0, 2},
    {PACKED_USED_WRAP, 1, 0, 0, 2},
    /* The other ring's. */
    {PACKED_STRIDE + AREA_VERSION, 2, 2, VHU_ENOSYS, 2},
    {PACKED_STRIDE + AREA_VERSION, 2, 1, VHU_EINVAL, 2}, /* with no entries */
};

static void test_bad_words(void **state)
{
    (void)state;
    keeper_try_words(leave_two_out, bad_words, VHU__COUNT(bad_words));
}

/* Split rings have used the area, even in a way that each word might be right. */
static void test_other_layout(void **state)
{
    (void)state;
    for (uint16_t head = 0; head < AREA_RING_SIZE; head++) {
        keeper k;

        open_packed(&k, AREA_RING_SIZE, WRAP);
        keeper_set(&k, AREA_VERSION, 2, 1);
        keeper_set(&k, AREA_NUM, 2, AREA_RING_SIZE);
        keeper_set(&k, AREA_LAST_BATCH_HEAD, 2, head);
        keeper_set(&k, AREA_ENTRIES + head * (size_t)AREA_ENTRY, 1, 1);
        assert_int_equal(keeper_open_area(&k), VHU_EINVAL);
        keeper_close(&k);
    }
}

/* And the other way round. */
static void test_read_as_split(void **state)
{
    keeper k;

    (void)state;
    leave_two_out(&k);
    k.packed = false;
    assert_int_equal(keeper_open_area(&k), VHU_EINVAL);
    k.packed = true;
    assert_int_equal(keeper_start(&k), 0);
    keeper_close(&k);
}

/* --- going on --- */

/* A ring of another size than before. */
static void test_ring_sizes(void **state)
{
    static const struct {
        uint32_t num;
        bool out;
        int result;
    } rows[] = {
        {AREA_RING_SIZE, true, 1},
        {5, true, 1},
        {4, false, 0},
        {2, true, VHU_EINVAL},
        {AREA_RING_SIZE + 1, false, VHU_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        keeper k;

        /* Three descriptors are out or, if not, the used index is 3. */
        open_packed(&k, AREA_RING_SIZE, WRAP);
        assert_int_equal(keeper_start(&k), 0);
        add_request(k.rig, false);
        keeper_publish(&k, 1);
        if (!rows[i].out)
            vhu_queue_complete(k.rig->queue, k.rig->chains, 1);
        keeper_kill(&k);
        k.rig->config.num = rows[i].num;
        if (rows[i].result < 0) {
            assert_int_equal(keeper_start(&k), rows[i].result);
        } else {
            assert_int_equal(keeper_start(&k), 0);
            assert_int_equal(vhu__queue_num_again(k.rig->queue), rows[i].result);
        }
        keeper_close(&k);
    }
}

/* The index of a record is of no ring, since the ring is smaller: it is a new one. */
static void test_smaller_ring(void **state)
{
    keeper k;

    (void)state;
    open_packed(&k, 4, WRAP);
    keeper_set(&k, AREA_VERSION, 2, 1);
    keeper_set(&k, AREA_NUM, 2, AREA_RING_SIZE);
    for (uint16_t i = 0; i < AREA_RING_SIZE; i++)
        keeper_set(&k, ENTRY(i, PACKED_NEXT), 2, i + 1u);
    keeper_set(&k, PACKED_USED_IDX, 2, 4);
    keeper_set(&k, PACKED_OLD_USED_IDX, 2, 4);
    assert_int_equal(keeper_start(&k), 0);
    expect_header(&k, 0, WRAP);
    keeper_kill(&k);
    /* Unless something is out. */
    keeper_set(&k, PACKED_USED_IDX, 2, 4);
    keeper_set(&k, PACKED_OLD_USED_IDX, 2, 4);
    keeper_set(&k, ENTRY(0, PACKED_OUT), 1, 1);
    keeper_set(&k, ENTRY(0, PACKED_SPAN), 2, 1);
    keeper_set(&k, PACKED_OLD_FREE_HEAD, 2, 1);
    keeper_set(&k, PACKED_FREE_HEAD, 2, 1);
    assert_int_equal(keeper_start(&k), VHU_EINVAL);
    keeper_close(&k);
}

/* Take what there is, in the order that the driver has added it, and complete it at once. */
static void do_requests(keeper *k, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        uint16_t head = add_request(k->rig, i % 2 == 0);

        keeper_publish(k, 1);
        check_request(k->rig, k->rig->chains, head);
        vhu_queue_complete(k->rig->queue, k->rig->chains, 1);
        assert_int_equal(driver_ring_reap(&k->rig->ring, NULL), head);
    }
}

/* Nothing is out: the next process has the ring's position from the record alone. */
static void test_position(void **state)
{
    keeper k;

    (void)state;
    open_packed(&k, AREA_RING_SIZE, WRAP | 3);
    for (uint32_t i = 1; i < 12; i++) {
        assert_int_equal(keeper_start(&k), 0);
        assert_int_equal(vhu_queue_base(k.rig->queue), driver_ring_base(&k.rig->ring));
        do_requests(&k, i);
        keeper_kill(&k);
    }
    keeper_close(&k);
}

/* After a stop the base counts, which may be that of another ring, unless something is out. */
static void test_new_ring(void **state)
{
    keeper k;

    (void)state;
    open_packed(&k, AREA_RING_SIZE, WRAP);
    assert_int_equal(keeper_start(&k), 0);
    do_requests(&k, 3);
    /* The same once more. */
    k.rig->config.base = vhu_queue_base(k.rig->queue);
    vhu_queue_stop(k.rig->queue);
    assert_int_equal(vhu_queue_start(k.rig->queue, &k.rig->config), 0);
    do_requests(&k, 1);
    add_request(k.rig, true);
    keeper_publish(&k, 1);
    vhu__inflight_end(k.inflight, 0);
    assert_int_equal(keeper_get(&k, AREA_VERSION, 2), 1);
    vhu_queue_complete(k.rig->queue, k.rig->chains, 1);
    vhu_queue_stop(k.rig->queue);
    vhu__inflight_end(k.inflight, 0);
    assert_int_equal(keeper_get(&k, AREA_VERSION, 2), 0);

    assert_int_equal(
        driver_ring_init(&k.rig->ring, &k.rig->memory, DRIVER_GUEST_BASE, AREA_RING_SIZE, FEATURES),
        0);
    k.rig->config.base = driver_ring_base(&k.rig->ring);
    assert_int_equal(vhu_queue_start(k.rig->queue, &k.rig->config), 0);
    expect_header(&k, 0, WRAP);
    do_requests(&k, 3);
    keeper_close(&k);
}

/* All of the ring was completed at once: the used index is what it was, a lap later. */
static void test_whole_lap(void **state)
{
    keeper k;

    (void)state;
    open_packed(&k, AREA_RING_SIZE, WRAP | 2);
    assert_int_equal(keeper_start(&k), 0);
    for (uint32_t i = 0; i < AREA_RING_SIZE; i++)
        add_request(k.rig, true);
    keeper_publish(&k, CHAINS);
    vhu_queue_complete(k.rig->queue, k.rig->chains, CHAINS);
    keeper_kill(&k);
    /* As if it had come no further than to show them. */
    for (uint32_t i = 0; i < AREA_RING_SIZE; i++)
        keeper_set(&k, ENTRY(i, PACKED_OUT), 1, 1);
    keeper_set(&k, PACKED_OLD_FREE_HEAD, 2, AREA_RING_SIZE);
    keeper_set(&k, PACKED_OLD_USED_WRAP, 1, 1);
    assert_int_equal(keeper_start(&k), 0);
    assert_int_equal(vhu__queue_num_again(k.rig->queue), 0);
    expect_header(&k, 7, 2);
    for (uint32_t i = 0; i < AREA_RING_SIZE; i++)
        assert_true(driver_ring_reap(&k.rig->ring, NULL) >= 0);
    do_requests(&k, 5);
    keeper_close(&k);
}

/*
 * The order is that of the counters, whatever is in the ring by then: what is out is told by the
 * copies alone, as used descriptors have overwritten it.
 */
static void order(uint64_t features)
{
    static const uint64_t counters[] = {30, UINT64_C(1) << 40, 30, 2};
    static const uint16_t by_age[] = {3, 0, 2, 1};
    keeper k;

    keeper_open_with(&k, FEATURES | features, AREA_RING_SIZE, WRAP | 5);
    assert_int_equal(keeper_start(&k), 0);
    for (uint16_t i = 0; i < 6; i++)
        assert_int_equal(add_request(k.rig, true), i);
    keeper_publish(&k, 4);
    keeper_kill(&k);
    for (uint32_t i = 0; i < VHU__COUNT(counters); i++) {
        keeper_set(&k, ENTRY(i, PACKED_COUNTER), 8, counters[i]);
        k.rig->ring.packed[(5 + i) % AREA_RING_SIZE].addr = 0;
        k.rig->ring.packed[(5 + i) % AREA_RING_SIZE].len = 0;
    }
    assert_int_equal(keeper_start(&k), 0);
    assert_int_equal(vhu_queue_in_use(k.rig->queue), 0);
    assert_int_equal(vhu_queue_base(k.rig->queue), (uint32_t)(WRAP | 5) << 16 | 1);
    assert_true(vhu_queue_has_avail(k.rig->queue));
    assert_int_equal(take(k.rig, 0), 0);
    assert_int_equal(take(k.rig, 1), 1);
    check_request(k.rig, &k.rig->chains[0], by_age[0]);
    vhu_queue_disable_kicks(k.rig->queue);
    assert_true(vhu_queue_enable_kicks(k.rig->queue));
    /* In between what was taken may be completed. */
    vhu_queue_complete(k.rig->queue, k.rig->chains, 1);
    assert_true(vhu_queue_needs_call(k.rig->queue));
    assert_int_equal(driver_ring_reap(&k.rig->ring, NULL), by_age[0]);
    assert_int_equal(take(k.rig, CHAINS), 3);
    for (size_t i = 0; i < 3; i++)
        check_request(k.rig, &k.rig->chains[i], by_age[1 + i]);
    vhu_queue_complete(k.rig->queue, k.rig->chains, 3);
    /* Then what was never taken. */
    assert_int_equal(take(k.rig, CHAINS), 2);
    check_request(k.rig, &k.rig->chains[0], 4);
    check_request(k.rig, &k.rig->chains[1], 5);
    assert_false(vhu_queue_has_avail(k.rig->queue));
    vhu_queue_complete(k.rig->queue, k.rig->chains, 2);
    for (int i = 0; i < 5; i++)
        assert_true(driver_ring_reap(&k.rig->ring, NULL) >= 0);
    assert_int_equal(vhu_queue_base(k.rig->queue), driver_ring_base(&k.rig->ring));
    keeper_close(&k);
}

static void test_order(void **state)
{
    (void)state;
    order(0);
    order(VHU_BIT(VHU_F_IN_ORDER));
}

/* The front-end may have changed the copies; and what was not taken again stays out. */
static void test_changed(void **state)
{
    static const struct {
        size_t offset;
        size_t size;
        uint64_t value;
        const char *text;
        int taken; /* of the two, the second of which has a table */
    } rows[] = {
        {ENTRY(4, PACKED_ADDR), 8, 0x1234, "16 bytes at 0x1234 lie outside", 1},
        {ENTRY(4, PACKED_LEN), 4, 17, "no number of descriptors", 1},
        {ENTRY(4, PACKED_FLAGS), 2, VHU__DESC_INDIRECT | VHU__DESC_NEXT, "next descriptor", 1},
        {ENTRY(1, PACKED_ADDR), 8, 0x1234, "512 bytes at 0x1234", VHU_EBROKEN_RING},
        {ENTRY(1, PACKED_LEN), 4, UINT32_MAX, "lie outside of memory", VHU_EBROKEN_RING},
        {ENTRY(2, PACKED_FLAGS), 2, 0, "readable descriptor after", VHU_EBROKEN_RING},
        {ENTRY(0, PACKED_FLAGS), 2, VHU__DESC_INDIRECT, "indirect descriptor 0", VHU_EBROKEN_RING},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        keeper k;

        leave_two_out(&k);
        keeper_set(&k, rows[i].offset, rows[i].size, rows[i].value);
        assert_int_equal(keeper_start(&k), 0);
        assert_int_equal(take(k.rig, CHAINS), rows[i].taken);
        if (rows[i].taken == 1)
            check_request(k.rig, &k.rig->chains[0], 0);
        assert_broken(k.rig, rows[i].text);
        assert_int_equal(keeper_entry(&k, 0, PACKED_OUT, 1), 1);
        assert_int_equal(keeper_entry(&k, 4, PACKED_OUT, 1), 1);
        vhu_queue_stop(k.rig->queue);
        assert_int_equal(vhu__queue_num_again(k.rig->queue), 0);
        keeper_close(&k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_record),       leakcheck_test(test_bad_words),
        leakcheck_test(test_other_layout), leakcheck_test(test_read_as_split),
        leakcheck_test(test_ring_sizes),   leakcheck_test(test_smaller_ring),
        leakcheck_test(test_position),     leakcheck_test(test_new_ring),
        leakcheck_test(test_whole_lap),    leakcheck_test(test_order),
        leakcheck_test(test_changed),
    };

    return cmocka_run_group_tests_name("inflight_packed", tests, NULL, NULL);
}
