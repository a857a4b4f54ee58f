/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a packed ring, or of one in order, against a device that lies. */
#include <string.h>

#include "endian.h"
#include "test_driver_fixture.h"
#include "util.h"

static vhu__packed_desc *ring_of(const rig *r)
{
    return vhu_memory_at(r->memory, r->config.layout.desc, 16);
}

/* Four requests of two descriptors and 8 bytes, of which the identifiers are 0, 2, 4 and 6. */
static void open_with_four(rig *r, uint64_t features)
{
    rig_open(r, features, ANY_NUM, 0);
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(rig_add(r, i), 0);
    vhu_driver_ring_publish(r->driver);
}

/* --- packed --- */

/* What a device must find: each descriptor, and in which lap. */
static void test_layout(void **state)
{
    vhu_chain chains[4];
    rig r;

    (void)state;
    rig_open(&r, PACKED, 3, 0);
    for (uint32_t i = 0; i < 9; i++) {
        const vhu__packed_desc *desc = ring_of(&r);
        uint32_t first = i * 2 % 3, lap = i * 2 / 3 % 2, next_lap = (i * 2 + 1) / 3 % 2;

        assert_int_equal(rig_add(&r, i), 0);
        vhu_driver_ring_publish(r.driver);
        assert_int_equal(vhu__le64(desc[first].addr), r.data + i * 16);
        assert_int_equal(vhu__le32(desc[first].len), 8);
        assert_int_equal(vhu__le16(desc[first].flags),
                         VHU__DESC_NEXT | (lap ? VHU__PACKED_USED : VHU__PACKED_AVAIL));
        assert_int_equal(vhu__le64(desc[(first + 1) % 3].addr), r.data + i * 16 + 8);
        assert_int_equal(vhu__le16(desc[(first + 1) % 3].flags),
                         VHU__DESC_WRITE | (next_lap ? VHU__PACKED_USED : VHU__PACKED_AVAIL));
        assert_int_equal(rig_take(&r, chains, 4), 1);
        vhu_queue_complete(r.queue, chains, 1);
        assert_int_equal(rig_collect(&r), i);
        assert_int_equal(vhu_driver_ring_base(r.driver), vhu_queue_base(r.queue));
    }
    rig_close(&r);
}

/* A device that uses descriptors in an order of its own, without the ring for the others. */
static void put_used(rig *r, uint32_t at, uint16_t id, uint32_t len, unsigned write)
{
    vhu__packed_desc *desc = &ring_of(r)[at];

    desc->id = vhu__le16(id);
    desc->len = vhu__le32(len);
    desc->flags = vhu__le16((uint16_t)(VHU__PACKED_MARKS | write));
}

static void test_lies(void **state)
{
    static const struct {
        const char *error;
        struct {
            uint16_t id;
            uint32_t len;
        } used[3];
        int good; /* before the fault */
    } lies[] = {
        {"used entry 0 names 1, which is not in use", {{1, 0}}, 0},
        {"used entry 0 names 16, which is not in use", {{16, 0}}, 0},
        {"used entry 0 names 65535", {{65535, 0}}, 0},
        {"used entry 2 names 4, which is not in use", {{4, 8}, {4, 8}}, 1},
        {"used entry 0 tells of 9 bytes written, of 8", {{0, 9}}, 0},
        {"used entry 4 tells of 4294967295 bytes", {{6, 0}, {0, 8}, {2, UINT32_MAX}}, 2},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(lies); i++) {
        vhu_driver_used used[8];
        rig r;

        open_with_four(&r, PACKED);
        for (int k = 0; k <= lies[i].good; k++)
            put_used(&r, (uint32_t)k * 2, lies[i].used[k].id, lies[i].used[k].len, VHU__DESC_WRITE);
        if (lies[i].good > 0)
            assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), lies[i].good);
        assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), VHU_EBROKEN_RING);
        assert_non_null(strstr(vhu_driver_ring_error(r.driver), lies[i].error));
        assert_int_equal(rig_add(&r, 5), VHU_EBROKEN_RING);
        assert_int_equal(vhu_driver_ring_replay(r.driver), VHU_EBROKEN_RING);
        rig_close(&r);
    }
}

/* A length is one only if WRITE says so; else it is what is left of the descriptor, or not. */
static void test_reserved_length(void **state)
{
    static const struct {
        uint32_t len;
        unsigned write;
        uint32_t then;
    } rows[] = {{5, VHU__DESC_WRITE, 5}, {5, 0, 5}, {72, 0, 8}, {UINT32_MAX, 0, 8}};
    vhu_driver_used used;
    rig r;

    (void)state;
    open_with_four(&r, PACKED);
    for (uint32_t i = 0; i < VHU__COUNT(rows); i++) {
        put_used(&r, i * 2, (uint16_t)(i * 2), rows[i].len, rows[i].write);
        assert_int_equal(vhu_driver_ring_collect(r.driver, &used, 1), 1);
        assert_int_equal(used.len, rows[i].then);
    }
    rig_close(&r);
}

/* More is marked as used than was ever asked for: it is not looked at. */
static void test_too_much_is_used(void **state)
{
    vhu_driver_used used[8];
    rig r;

    (void)state;
    open_with_four(&r, PACKED);
    for (uint32_t i = 0; i < ANY_NUM; i++)
        put_used(&r, i, (uint16_t)(i & ~1u), 0, 0);
    assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), 4);
    assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), 0);
    assert_int_equal(vhu_driver_ring_in_use(r.driver), 0);
    assert_false(vhu_driver_ring_enable_calls(r.driver));
    assert_int_equal(rig_add(&r, 0), 0);
    rig_close(&r);
}

/* Nothing that an old device has left in the ring is taken for something by the next one. */
static void test_replay_cleans_up(void **state)
{
    vhu_chain chains[8];
    rig r;

    (void)state;
    for (uint32_t before = 0; before < 20; before++) {
        rig_open(&r, PACKED | EVENT_IDX, 7, 0);
        for (uint32_t i = 0; i < before; i++) {
            assert_int_equal(rig_add(&r, i), 0);
            vhu_driver_ring_publish(r.driver);
            assert_int_equal(rig_take(&r, chains, 1), 1);
            vhu_queue_complete(r.queue, chains, 1);
            assert_int_equal(rig_collect(&r), i);
        }
        for (uint32_t i = 0; i < 3; i++)
            assert_int_equal(rig_add(&r, i), 0);
        vhu_driver_ring_publish(r.driver);
        assert_int_equal(rig_take(&r, chains, 8), 3);
        vhu_queue_complete(r.queue, &chains[2], 1);
        vhu_queue_stop(r.queue);
        assert_int_equal(rig_collect(&r), 2);
        assert_int_equal(vhu_driver_ring_replay(r.driver), 0);
        rig_start_queue(&r, vhu_driver_ring_base(r.driver));
        assert_int_equal(rig_take(&r, chains, 8), 2);
        vhu_queue_complete(r.queue, chains, 2);
        assert_int_equal(rig_collect(&r), 0);
        assert_int_equal(rig_collect(&r), 1);
        assert_false(vhu_queue_has_avail(r.queue));
        assert_false(vhu_driver_ring_enable_calls(r.driver));
        rig_close(&r);
    }
}

/* --- in order --- */

/* One used entry for three requests; of the two that it skips all is written. */
static void test_batch(void **state)
{
    static const uint64_t layouts[] = {IN_ORDER, PACKED | IN_ORDER};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        vhu_driver_used used[8];
        rig r;

        open_with_four(&r, layouts[i]);
        if (layouts[i] & PACKED) {
            put_used(&r, 0, 4, 3, VHU__DESC_WRITE);
        } else {
            vhu__used *area = vhu_memory_at(r.memory, r.config.layout.used, 4);

            area->ring[0] = (vhu__used_elem){vhu__le32(4), vhu__le32(3)};
            area->idx = vhu__le16(3);
        }
        assert_int_equal(vhu_driver_ring_collect(r.driver, used, 1), 1);
        assert_int_equal((uintptr_t)used[0].token, 1);
        assert_int_equal(used[0].len, 8);
        assert_true(vhu_driver_ring_enable_calls(r.driver));
        assert_int_equal(vhu_driver_ring_replay(r.driver), VHU_ESTATE);
        assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), 2);
        assert_int_equal((uintptr_t)used[0].token, 2);
        assert_int_equal(used[0].len, 8);
        assert_int_equal((uintptr_t)used[1].token, 3);
        assert_int_equal(used[1].len, 3);
        assert_false(vhu_driver_ring_enable_calls(r.driver));
        assert_int_equal(vhu_driver_ring_in_use(r.driver), 1);
        rig_close(&r);
    }
}

/* The used index is one, but the third is named. */
static void test_batch_that_ends(void **state)
{
    vhu_driver_used used[8];
    vhu__used *area;
    rig r;

    (void)state;
    open_with_four(&r, IN_ORDER);
    area = vhu_memory_at(r.memory, r.config.layout.used, 4);
    area->ring[0] = (vhu__used_elem){vhu__le32(4), 0};
    area->idx = vhu__le16(1);
    assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), 1);
    assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), VHU_EBROKEN_RING);
    assert_string_equal(vhu_driver_ring_error(r.driver),
                        "used requests end before 4, which was named");
    rig_close(&r);
}

/* A split ring's descriptors are taken one after another, round the table. */
static void test_descriptors_in_order(void **state)
{
    vhu_chain chains[4];
    rig r;

    (void)state;
    rig_open(&r, IN_ORDER, ANY_NUM, 0);
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t n = i % 4 + 1;

        for (uint32_t k = 0; k < n; k++)
            assert_int_equal(rig_add(&r, k), 0);
        vhu_driver_ring_publish(r.driver);
        assert_int_equal(rig_take(&r, chains, 4), n);
        for (uint32_t k = 1; k < n; k++)
            assert_int_equal(chains[k].head, (chains[k - 1].head + 2) % ANY_NUM);
        vhu_queue_complete(r.queue, chains, n);
        for (uint32_t k = 0; k < n; k++)
            assert_int_equal(rig_collect(&r), k);
    }
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_layout),           leakcheck_test(test_lies),
        leakcheck_test(test_reserved_length),  leakcheck_test(test_too_much_is_used),
        leakcheck_test(test_replay_cleans_up), leakcheck_test(test_batch),
        leakcheck_test(test_batch_that_ends),  leakcheck_test(test_descriptors_in_order),
    };

    return cmocka_run_group_tests_name("driver_packed", tests, NULL, NULL);
}
