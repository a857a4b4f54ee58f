/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight area: its size, the layout of split rings' records, and what is refused of what
 * somebody has left in it.
 */
#include <vmm_vhost/shm.h>

#include "endian.h"
#include "test_inflight_fixture.h"

#define ENTRY(head, member) (AREA_ENTRIES + (head) * (size_t)AREA_ENTRY + (member))

/* --- layout --- */

static void test_sizes(void **state)
{
    static const struct {
        uint16_t num_queues, queue_size;
        uint64_t split, packed; /* bytes, 0: refused */
    } rows[] = {
        {1, 1, 64, 64},
        {1, 2, 64, 128},
        {1, 3, 64, 128},
        {1, 4, 128, 192},
        {2, AREA_RING_SIZE, 2 * AREA_STRIDE, 2 * PACKED_STRIDE},
        {4, 128, 4 * 2112, 4 * 4160},
        {256, 256, 256 * 4160, 256 * 8256},
        {1, 32768, 524352, 1048640},
        {0, 8, 0, 0},
        {1, 0, 0, 0},
        {257, 8, 0, 0},
        {1, 32769, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < 2 * VHU__COUNT(rows); i++) {
        const uint64_t size = i % 2 ? rows[i / 2].packed : rows[i / 2].split;
        vhu_inflight_area area = {.num_queues = rows[i / 2].num_queues,
                                  .queue_size = rows[i / 2].queue_size};
        vhu_handle handle = VHU_NO_HANDLE;
        int r = vhu__inflight_create(&area, i % 2, &handle);

        assert_int_equal(r, size ? 0 : VHU_EINVAL);
        assert_int_equal(area.mmap_size, size);
        assert_int_equal(area.mmap_offset, 0);
        assert_int_equal(handle == VHU_NO_HANDLE, r < 0);
        vhu_handle_close(&handle);
    }
}

static void expect_header(const keeper *k, uint16_t last_batch_head, uint16_t used_idx)
{
    assert_int_equal(keeper_get(k, AREA_FEATURES, 8), 0);
    assert_int_equal(keeper_get(k, AREA_VERSION, 2), 1);
    assert_int_equal(keeper_get(k, AREA_NUM, 2), AREA_RING_SIZE);
    assert_int_equal(keeper_get(k, AREA_LAST_BATCH_HEAD, 2), last_batch_head);
    assert_int_equal(keeper_get(k, AREA_USED_IDX, 2), used_idx);
}

static void expect_entry(const keeper *k, uint16_t head, uint8_t out, uint16_t next,
                         uint64_t counter)
{
    assert_int_equal(keeper_entry(k, head, AREA_OUT, 1), out);
    assert_int_equal(keeper_entry(k, head, AREA_NEXT, 2), next);
    assert_int_equal(keeper_entry(k, head, AREA_COUNTER, 8), counter);
}

/* What each step leaves for others to read. */
static void test_record(void **state)
{
    keeper k;
    uint16_t heads[2];

    (void)state;
    keeper_open(&k, AREA_RING_SIZE, 65535);
    assert_int_equal(keeper_get(&k, AREA_VERSION, 2), 0);
    /* Without a version nothing else means anything. */
    keeper_set(&k, ENTRY(3, AREA_OUT), 1, 77);
    keeper_set(&k, AREA_LAST_BATCH_HEAD, 2, 77);
    assert_int_equal(keeper_start(&k), 0);
    expect_header(&k, 0, 65535);
    expect_entry(&k, 3, 0, 0, 0);

    for (int i = 0; i < 2; i++)
        heads[i] = add_request(k.rig, true);
    keeper_publish(&k, 2);
    expect_entry(&k, heads[0], 1, 0, 0);
    expect_entry(&k, heads[1], 1, 0, 1);
    expect_header(&k, 0, 65535);

    vhu_queue_complete(k.rig->queue, &k.rig->chains[1], 1);
    vhu_queue_complete(k.rig->queue, &k.rig->chains[0], 1);
    expect_entry(&k, heads[1], 0, 0, 1);
    expect_entry(&k, heads[0], 0, heads[1], 0);
    expect_header(&k, heads[0], 1);

    add_request(k.rig, true);
    driver_ring_publish(&k.rig->ring);
    assert_int_equal(take(k.rig, 2), 1);
    assert_int_equal(keeper_entry(&k, k.rig->chains[0].head, AREA_COUNTER, 8), 2);
    /* The other ring has its own part, and nobody has used it. */
    assert_int_equal(keeper_get(&k, AREA_STRIDE + AREA_VERSION, 2), 0);
    keeper_close(&k);
}

/* Rings that are not in the area are not tracked, nor is any when there is none. */
static void test_untracked(void **state)
{
    keeper k;

    (void)state;
    keeper_open(&k, AREA_RING_SIZE, 0);
    assert_int_equal(keeper_open_area(&k), 0);
    assert_int_equal(vhu__inflight_track(k.inflight, AREA_RINGS - 1, k.rig->queue), 0);
    assert_true(k.rig->queue->tracked);
    assert_int_equal(vhu__inflight_track(k.inflight, AREA_RINGS, k.rig->queue), 0);
    assert_false(k.rig->queue->tracked);
    assert_int_equal(vhu__inflight_track(k.inflight, 0, k.rig->queue), 0);
    assert_int_equal(vhu__inflight_track(NULL, 0, k.rig->queue), 0);
    assert_false(k.rig->queue->tracked);
    assert_int_equal(vhu_queue_start(k.rig->queue, &k.rig->config), 0);
    assert_int_equal(vhu__inflight_track(k.inflight, 0, k.rig->queue), VHU_ESTATE);
    vhu__inflight_clear(NULL);
    vhu__inflight_close(NULL);
    keeper_close(&k);
}

/* --- what is refused --- */

/* A device took three requests, completed the second, and is gone. */
static void leave_two_out(keeper *k)
{
    keeper_open(k, AREA_RING_SIZE, 100);
    keeper_leave_two_out(k, true);
}

static const bad_word bad_words[] = {
    {AREA_VERSION, 2, 1, 0, 2}, /* as it was */
    {AREA_FEATURES, 8, 1, VHU_ENOSYS, VHU_ENOSYS},
    {AREA_VERSION, 2, 2, VHU_ENOSYS, VHU_ENOSYS},
    {AREA_NUM, 2, 0, VHU_EINVAL, VHU_EINVAL},
    {AREA_NUM, 2, AREA_RING_SIZE - 1, VHU_EINVAL, VHU_EINVAL},
    {AREA_NUM, 2, AREA_RING_SIZE + 1, VHU_EINVAL, VHU_EINVAL},
    {AREA_LAST_BATCH_HEAD, 2, AREA_RING_SIZE, VHU_EINVAL, VHU_EINVAL},
    {AREA_LAST_BATCH_HEAD, 2, 65535, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(0, AREA_OUT), 1, 2, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(7, AREA_OUT), 1, 0xff, VHU_EINVAL, VHU_EINVAL},
    {ENTRY(7, AREA_NEXT), 2, AREA_RING_SIZE, VHU_EINVAL, VHU_EINVAL},
    {AREA_STRIDE + AREA_VERSION, 2, 2, VHU_ENOSYS, 2},
    {AREA_STRIDE + AREA_VERSION, 2, 1, VHU_EINVAL, 2}, /* with no entries */
    /* More were shown at once than there are, or before they were. */
    {AREA_USED_IDX, 2, 101 - AREA_RING_SIZE - 1, 0, VHU_EINVAL},
    {AREA_USED_IDX, 2, 102, 0, VHU_EINVAL},
    /* The most there can be. */
    {AREA_USED_IDX, 2, 101 - AREA_RING_SIZE, 0, 1},
    /* Nobody is newer. */
    {ENTRY(0, AREA_COUNTER), 8, UINT64_MAX, 0, 2},
};

static void test_bad_words(void **state)
{
    (void)state;
    keeper_try_words(leave_two_out, bad_words, VHU__COUNT(bad_words));
}

/* A ring of another size than before. */
static void test_ring_sizes(void **state)
{
    static const struct {
        uint32_t num;
        size_t marked;
        int result;
    } rows[] = {
        {AREA_RING_SIZE, AREA_RING_SIZE - 1, 0},
        {AREA_RING_SIZE / 2, 1, 0},
        {AREA_RING_SIZE / 2, AREA_RING_SIZE / 2, VHU_EINVAL}, /* what is out is not in the ring */
        {AREA_RING_SIZE * 2, 0, VHU_EINVAL},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        keeper k;

        keeper_open(&k, rows[i].num, 0);
        keeper_set(&k, AREA_VERSION, 2, 1);
        keeper_set(&k, AREA_NUM, 2, AREA_RING_SIZE);
        keeper_set(&k, ENTRY(rows[i].marked, AREA_OUT), 1, 1);
        assert_int_equal(keeper_start(&k), rows[i].result);
        keeper_close(&k);
    }
}

/* What comes with the message. */
static void test_bad_areas(void **state)
{
    static const struct {
        vhu_inflight_area area;
        int result;
    } rows[] = {
        {{2 * AREA_STRIDE, 0, 2, AREA_RING_SIZE}, 0},
        {{UINT64_MAX, 0, 2, AREA_RING_SIZE}, 0}, /* what is behind it does not matter */
        {{AREA_STRIDE, AREA_STRIDE, 1, AREA_RING_SIZE}, 0},
        {{AREA_STRIDE, 8, 1, AREA_RING_SIZE}, 0},
        {{AREA_STRIDE, 4, 1, AREA_RING_SIZE}, VHU_EINVAL},
        {{2 * AREA_STRIDE - 1, 0, 2, AREA_RING_SIZE}, VHU_EINVAL},
        {{0, 0, 2, AREA_RING_SIZE}, VHU_EINVAL},
        {{AREA_STRIDE, 0, 0, AREA_RING_SIZE}, VHU_EINVAL},
        {{AREA_STRIDE, 0, 2, 0}, VHU_EINVAL},
        {{UINT64_MAX, 0, VHU_MAX_RINGS + 1, 1}, VHU_EINVAL},
        {{UINT64_MAX, 0, 1, VHU_MAX_RING_SIZE + 1}, VHU_EINVAL},
        {{UINT64_MAX, 0, 1, 4096}, VHU_EOVERFLOW}, /* the object ends before */
        {{AREA_STRIDE, 1 << 20, 1, AREA_RING_SIZE}, VHU_EOVERFLOW},
        {{AREA_STRIDE, UINT64_MAX - 7, 1, AREA_RING_SIZE}, VHU_EOVERFLOW},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        keeper k;
        vhu_handle handle;

        keeper_open(&k, AREA_RING_SIZE, 0);
        k.area = rows[i].area;
        assert_int_equal(os_handle_dup(k.handle, &handle), 0);
        assert_int_equal(vhu__inflight_open(&k.inflight, &k.area, false, &handle), rows[i].result);
        assert_int_equal(handle == VHU_NO_HANDLE, rows[i].result == 0);
        vhu_handle_close(&handle);
        keeper_close(&k);
    }
}

static void test_no_object(void **state)
{
    const vhu_inflight_area area = {AREA_STRIDE, 0, 1, AREA_RING_SIZE};
    vhu_handle handle = VHU_NO_HANDLE;
    vhu__inflight *inflight;

    (void)state;
    assert_true(vhu__inflight_open(&inflight, &area, false, &handle) < 0);
}

/* --- going on --- */

/* Nothing is out: whatever the indices say, the ring may be a new one. */
static void test_new_ring(void **state)
{
    keeper k;

    (void)state;
    keeper_open(&k, AREA_RING_SIZE, 0);
    keeper_set(&k, AREA_VERSION, 2, 1);
    keeper_set(&k, AREA_NUM, 2, AREA_RING_SIZE);
    keeper_set(&k, AREA_USED_IDX, 2, 5000);
    keeper_set(&k, AREA_LAST_BATCH_HEAD, 2, 6);
    assert_int_equal(keeper_start(&k), 0);
    expect_header(&k, 6, 0);
    add_request(k.rig, false);
    keeper_publish(&k, 1);
    vhu_queue_complete(k.rig->queue, k.rig->chains, 1);
    assert_int_equal(keeper_entry(&k, k.rig->chains[0].head, AREA_NEXT, 2), 6);
    keeper_close(&k);
}

/* As the specification says, but over the whole of a list that somebody has bent into a circle. */
static void test_list(void **state)
{
    keeper k;

    (void)state;
    leave_two_out(&k);
    keeper_set(&k, AREA_LAST_BATCH_HEAD, 2, 2);
    keeper_set(&k, ENTRY(2, AREA_NEXT), 2, 7);
    keeper_set(&k, ENTRY(7, AREA_NEXT), 2, 2);
    keeper_set(&k, AREA_USED_IDX, 2, 101 - AREA_RING_SIZE);
    assert_int_equal(keeper_start(&k), 0);
    assert_int_equal(vhu__queue_num_again(k.rig->queue), 1);
    assert_int_equal(keeper_entry(&k, 0, AREA_OUT, 1), 1);
    assert_int_equal(keeper_entry(&k, 2, AREA_OUT, 1), 0);
    assert_int_equal(keeper_get(&k, AREA_USED_IDX, 2), 101);
    keeper_close(&k);
}

/* A front-end that has the device forget its rings. */
static void test_clear(void **state)
{
    keeper k;

    (void)state;
    leave_two_out(&k);
    assert_int_equal(keeper_open_area(&k), 0);
    vhu__inflight_clear(k.inflight);
    keeper_kill(&k);
    assert_int_equal(keeper_start(&k), 0);
    assert_int_equal(vhu__queue_num_again(k.rig->queue), 0);
    assert_int_equal(keeper_entry(&k, 0, AREA_OUT, 1), 0);
    keeper_close(&k);
}

/* By the counters, and by the heads where these are the same: however many, in whatever order. */
static void test_age(void **state)
{
    uint32_t random = 1;

    (void)state;
    for (uint32_t i = 0; i < 200; i++) {
        const uint32_t n = 1 + i % AREA_RING_SIZE;
        uint64_t counters[AREA_RING_SIZE] = {0};
        keeper k;

        keeper_open(&k, AREA_RING_SIZE, 0);
        keeper_set(&k, AREA_VERSION, 2, 1);
        keeper_set(&k, AREA_NUM, 2, AREA_RING_SIZE);
        for (uint32_t head = 0; head < n; head++) {
            random = random * 1103515245 + 12345;
            counters[head] = random >> 16 & 7;
            keeper_set(&k, ENTRY(head, AREA_OUT), 1, 1);
            keeper_set(&k, ENTRY(head, AREA_COUNTER), 8, counters[head]);
        }
        assert_int_equal(keeper_start(&k), 0);
        assert_int_equal(vhu__queue_num_again(k.rig->queue), n);
        for (uint32_t a = 1; a < n; a++) {
            const uint16_t *heads = &k.rig->queue->again[a - 1];

            assert_true(counters[heads[0]] <= counters[heads[1]]);
            assert_true(counters[heads[0]] < counters[heads[1]] || heads[0] < heads[1]);
        }
        keeper_close(&k);
    }
}

/* The order is that of the counters. What is out is not in use before it has been taken again. */
static void test_order(void **state)
{
    static const uint64_t counters[] = {30, UINT64_C(1) << 40, 30, 2};
    static const uint16_t order[] = {3, 0, 2, 1};
    keeper k;

    (void)state;
    keeper_open(&k, AREA_RING_SIZE, 0);
    for (uint16_t i = 0; i < 6; i++)
        assert_int_equal(add_request(k.rig, true), i);
    driver_ring_publish(&k.rig->ring);
    keeper_set(&k, AREA_VERSION, 2, 1);
    keeper_set(&k, AREA_NUM, 2, AREA_RING_SIZE);
    for (size_t i = 0; i < VHU__COUNT(counters); i++) {
        keeper_set(&k, ENTRY(i, AREA_OUT), 1, 1);
        keeper_set(&k, ENTRY(i, AREA_COUNTER), 8, counters[i]);
    }
    assert_int_equal(keeper_start(&k), 0);
    assert_int_equal(vhu_queue_in_use(k.rig->queue), 0);
    assert_int_equal(vhu_queue_base(k.rig->queue), 4);
    assert_true(vhu_queue_has_avail(k.rig->queue));
    assert_int_equal(take(k.rig, 0), 0);
    assert_int_equal(take(k.rig, 1), 1);
    assert_int_equal(k.rig->chains[0].head, order[0]);
    vhu_queue_disable_kicks(k.rig->queue);
    assert_true(vhu_queue_enable_kicks(k.rig->queue));
    /* In between what was taken may be completed. */
    vhu_queue_complete(k.rig->queue, k.rig->chains, 1);
    assert_true(vhu_queue_needs_call(k.rig->queue));
    assert_int_equal(driver_ring_reap(&k.rig->ring, NULL), order[0]);
    assert_int_equal(take(k.rig, CHAINS), 3);
    for (size_t i = 0; i < 3; i++)
        check_request(k.rig, &k.rig->chains[i], order[1 + i]);
    assert_int_equal(vhu_queue_in_use(k.rig->queue), 3);
    /* Then what was never taken. */
    assert_int_equal(take(k.rig, CHAINS), 2);
    check_request(k.rig, &k.rig->chains[0], 4);
    check_request(k.rig, &k.rig->chains[1], 5);
    assert_int_equal(keeper_entry(&k, 5, AREA_COUNTER, 8), counters[1] + 2);
    assert_false(vhu_queue_has_avail(k.rig->queue));
    keeper_close(&k);
}

/* The guest may have changed what is out; and what was not taken again stays out. */
static void test_changed_requests(void **state)
{
    keeper k;

    (void)state;
    leave_two_out(&k);
    desc_of(k.rig, 2, 1)->addr = vhu__le64(0x1234);
    assert_int_equal(keeper_start(&k), 0);
    assert_int_equal(take(k.rig, CHAINS), 1);
    assert_int_equal(k.rig->chains[0].head, 0);
    assert_broken(k.rig, "512 bytes at 0x1234");
    assert_int_equal(keeper_entry(&k, 2, AREA_OUT, 1), 1);
    vhu_queue_stop(k.rig->queue);
    assert_int_equal(vhu__queue_num_again(k.rig->queue), 0);
    keeper_close(&k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_sizes),
        leakcheck_test(test_record),
        leakcheck_test(test_untracked),
        leakcheck_test(test_bad_words),
        leakcheck_test(test_ring_sizes),
        leakcheck_test(test_bad_areas),
        leakcheck_test(test_no_object),
        leakcheck_test(test_new_ring),
        leakcheck_test(test_list),
        leakcheck_test(test_clear),
        leakcheck_test(test_age),
        leakcheck_test(test_order),
        leakcheck_test(test_changed_requests),
    };

    return cmocka_run_group_tests_name("inflight", tests, NULL, NULL);
}
