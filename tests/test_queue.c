/* SPDX-License-Identifier: BSD-3-Clause */
/* What a ring, split or packed, does with a driver that keeps the rules. */
#include <string.h>

#include "support/queue_rig.h"
#include "util.h"

static const uint64_t layouts[] = {SPLIT, PACKED};

/* --- requests --- */

static void take_and_complete(rig *r)
{
    uint16_t heads[] = {add_request(r, false), add_request(r, true), add_request(r, false)};
    uint32_t len = 0;

    assert_int_equal(take(r, CHAINS), 0); /* not published yet */
    driver_ring_publish(&r->ring);
    assert_true(vhu_queue_has_avail(r->queue));
    assert_int_equal(take(r, 0), 0);
    assert_int_equal(take(r, 2), 2);
    check_request(r, &r->chains[0], heads[0]);
    check_request(r, &r->chains[1], heads[1]);
    assert_int_equal(vhu_queue_take(r->queue, &r->chains[2], CHAINS - 2), 1);
    check_request(r, &r->chains[2], heads[2]);
    assert_int_equal(vhu_queue_in_use(r->queue), 3);
    assert_false(vhu_queue_has_avail(r->queue));
    assert_int_equal(driver_ring_reap(&r->ring, &len), -1);
    for (uint32_t i = 0; i < 3; i++)
        r->chains[i].written = 100 + i;
    /* In another order, in two goes. */
    vhu_queue_complete(r->queue, &r->chains[2], 1);
    vhu_queue_complete(r->queue, &r->chains[0], 2);
    assert_int_equal(vhu_queue_in_use(r->queue), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(driver_ring_reap(&r->ring, &len), heads[(i + 2) % 3]);
        assert_int_equal(len, 100 + (i + 2) % 3);
    }
    assert_int_equal(driver_ring_reap(&r->ring, &len), -1);
}

static void test_take_and_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        rig *r = rig_new(16, layouts[i]);

        assert_int_equal(take(r, CHAINS), 0);
        assert_false(vhu_queue_has_avail(r->queue));
        for (unsigned turn = 0; turn < 40; turn++)
            take_and_complete(r);
        assert_int_equal(vhu_queue_base(r->queue), driver_ring_base(&r->ring));
        assert_string_equal(vhu_queue_error(r->queue), "");
        rig_free(r);
    }
}

/* Over the end of the indices or, packed, of the ring: the smallest, small and largest rings. */
static void test_wrap(void **state)
{
    static const struct {
        uint64_t features;
        uint32_t num;
        uint16_t index;
        uint32_t turns;
    } rings[] = {
        {0, 1, 0, 70000},
        {0, 2, 65530, 70000},
        {0, 256, 65500, 70000},
        {0, 32768, 40000, 140000},
        {PLAIN_PACKED, 1, VHU__POS_WRAP, 1000},
        {PLAIN_PACKED, 2, 1, 1000},
        {PLAIN_PACKED, 3, VHU__POS_WRAP | 2, 1000},
        {PLAIN_PACKED, 255, 254, 5000},
        {PLAIN_PACKED, 32768, VHU__POS_WRAP | 32000, 140000},
    };

    (void)state;
    for (size_t k = 0; k < VHU__COUNT(rings); k++) {
        rig *r = rig_new_at(rings[k].num, rings[k].features, rings[k].index);
        const driver_buf buf = {r->data, 8, true};
        uint32_t len = 0;

        for (uint32_t i = 0; i < rings[k].turns; i++) {
            uint32_t batch = i % CHAINS + 1 < rings[k].num ? i % CHAINS + 1 : rings[k].num;
            int heads[CHAINS];

            for (uint32_t j = 0; j < batch; j++)
                heads[j] = driver_ring_add(&r->ring, &buf, 1);
            driver_ring_publish(&r->ring);
            assert_int_equal(take(r, CHAINS), batch);
            for (uint32_t j = 0; j < batch; j++) {
                assert_int_equal(r->chains[j].head, heads[j]);
                r->chains[j].written = i + j;
            }
            vhu_queue_complete(r->queue, r->chains, batch);
            for (uint32_t j = 0; j < batch; j++) {
                assert_int_equal(driver_ring_reap(&r->ring, &len), heads[j]);
                assert_int_equal(len, i + j);
            }
        }
        assert_int_equal(vhu_queue_base(r->queue), driver_ring_base(&r->ring));
        rig_free(r);
    }
}

/* A full ring, with all of it out at once, over the end of 16 bits or the ring. */
static void all_out(rig *r)
{
    const driver_buf buf = {r->data, 8, false};

    for (int turn = 0; turn < 3; turn++) {
        for (int i = 0; i < 8; i++)
            assert_true(driver_ring_add(&r->ring, &buf, 1) >= 0);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 3), 3);
        assert_int_equal(vhu_queue_take(r->queue, &r->chains[3], 5), 5);
        assert_int_equal(vhu_queue_in_use(r->queue), 8);
        assert_int_equal(take(r, 1), 0);
        vhu_queue_complete(r->queue, r->chains, 8);
        for (int i = 0; i < 8; i++)
            assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
    }
    /* More than is out is not given back. */
    vhu_queue_complete(r->queue, r->chains, 1);
    assert_int_equal(driver_ring_reap(&r->ring, NULL), -1);
    assert_int_equal(vhu_queue_in_use(r->queue), 0);
}

static void test_all_out(void **state)
{
    rig *split = rig_new_at(8, 0, 65533);
    rig *packed = rig_new_at(8, PLAIN_PACKED, 5);

    (void)state;
    all_out(split);
    all_out(packed);
    rig_free(packed);
    rig_free(split);
}

/* --- shapes of a chain --- */

static void shape_empty_buffers(rig *r)
{
    /* Wherever an empty one says it is. */
    const driver_buf bufs[] = {{0, 0, false}, {r->data, 8, false},    {UINT64_MAX, 0, false},
                               {1, 0, true},  {r->data + 8, 4, true}, {2, 0, true}};

    driver_ring_add(&r->ring, bufs, 6);
}

static void shape_only_empty(rig *r)
{
    driver_ring_add(&r->ring, &(driver_buf){0, 0, true}, 1);
}

static void shape_readable(rig *r)
{
    const driver_buf bufs[] = {{r->data, 8, false}, {r->data + 8, 8, false}};

    driver_ring_add(&r->ring, bufs, 2);
}

static void shape_writable(rig *r)
{
    const driver_buf bufs[] = {{r->data, 8, true}, {r->data + 8, 8, true}};

    driver_ring_add_indirect(&r->ring, bufs, 2);
}

static void shape_two_regions(rig *r)
{
    const uint64_t border = DRIVER_GUEST_BASE + REGION_SIZE;
    const driver_buf bufs[] = {{border - 8, 8, false}, {border - 3, 10, false}, {border, 8, true}};

    driver_ring_add(&r->ring, bufs, 3);
}

static void shape_whole_ring(rig *r)
{
    driver_buf bufs[64];

    for (uint32_t i = 0; i < r->ring.num; i++)
        bufs[i] = (driver_buf){r->data + 8 * i, 8, i > 3};
    driver_ring_add(&r->ring, bufs, r->ring.num);
}

static void shape_long_table(rig *r)
{
    driver_buf bufs[DRIVER_TABLE_SIZE];

    for (uint32_t i = 0; i < DRIVER_TABLE_SIZE; i++)
        bufs[i] = (driver_buf){r->data + 8 * i, 8, i > 0};
    driver_ring_add_indirect(&r->ring, bufs, DRIVER_TABLE_SIZE);
}

/* Two in the ring, then a table; its WRITE flag means nothing. Packed rings have no such thing. */
static void shape_mixed(rig *r)
{
    const driver_buf direct[] = {{r->data, 8, false}, {r->data, 8, false}, {r->data, 8, false}};
    const driver_buf table[] = {{r->data, 8, false}, {r->data, 8, true}};
    int indirect = driver_ring_add_indirect(&r->ring, table, 2);
    vhu__desc desc = r->ring.desc[indirect];
    int head = driver_ring_add(&r->ring, direct, 3);
    uint32_t second = r->ring.next[head];

    desc.flags |= VHU__DESC_WRITE;
    r->ring.desc[r->ring.next[second]] = desc;
    r->ring.avail->ring[0] = (uint16_t)head;
    r->ring.avail_idx--;
}

/* A table at an address of its own. */
static void put_table(rig *r, uint64_t addr)
{
    const driver_buf bufs[] = {{r->data, 16, false}, {r->data + 16, 512, true}};
    int head = driver_ring_add_indirect(&r->ring, bufs, 2);
    vhu__desc *desc = &r->ring.desc[r->ring.is_packed ? r->ring.place[head] : head];
    const uint8_t *from = driver_memory_at(&r->memory, desc->addr);

    for (uint64_t i = 0; i < 2 * sizeof(vhu__desc); i++)
        *(uint8_t *)driver_memory_at(&r->memory, addr + i) = from[i];
    desc->addr = addr;
}

static void shape_table_in_two_regions(rig *r)
{
    put_table(r, DRIVER_GUEST_BASE + REGION_SIZE - 16);
}

static void shape_descriptor_in_two_regions(rig *r)
{
    put_table(r, DRIVER_GUEST_BASE + REGION_SIZE - 21);
}

static void shape_odd_table(rig *r)
{
    put_table(r, r->data + 4097);
}

static const struct {
    void (*add)(rig *r);
    uint32_t num_readable, num_writable;
    uint64_t readable_len, writable_len;
} shapes[] = {
    {shape_empty_buffers, 1, 1, 8, 4},
    {shape_only_empty, 0, 0, 0, 0},
    {shape_readable, 2, 0, 16, 0},
    {shape_writable, 0, 2, 0, 16},
    {shape_two_regions, 3, 1, 18, 8},
    {shape_whole_ring, 4, 12, 32, 96},
    {shape_long_table, 1, 31, 8, 248},
    {shape_mixed, 3, 1, 24, 8},
    {shape_table_in_two_regions, 1, 1, 16, 512},
    {shape_descriptor_in_two_regions, 1, 1, 16, 512},
    {shape_odd_table, 1, 1, 16, 512},
};

static void check_shape(size_t i, uint64_t layout)
{
    rig *r = rig_new(16, layout);
    vhu_chain *c = &r->chains[0];

    shapes[i].add(r);
    driver_ring_publish(&r->ring);
    c->capacity = shapes[i].num_readable + shapes[i].num_writable; /* just enough */
    assert_int_equal(take(r, 1), 1);
    assert_int_equal(c->num_readable, shapes[i].num_readable);
    assert_int_equal(c->num_writable, shapes[i].num_writable);
    assert_int_equal(c->readable_len, shapes[i].readable_len);
    assert_int_equal(c->writable_len, shapes[i].writable_len);
    rig_free(r);
}

static void test_shapes(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(shapes); i++) {
        check_shape(i, SPLIT);
        if (shapes[i].add != shape_mixed)
            check_shape(i, PACKED);
    }
}

static void test_two_regions(void **state)
{
    const uint64_t border = DRIVER_GUEST_BASE + REGION_SIZE;
    rig *r = rig_new(16, 0);
    const vhu_buf *bufs = r->bufs[0];

    (void)state;
    shape_two_regions(r);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    assert_ptr_equal(bufs[1].base, device_at(r, border - 3));
    assert_int_equal(bufs[1].len, 3);
    assert_ptr_equal(bufs[2].base, device_at(r, border));
    assert_int_equal(bufs[2].len, 7);
    assert_ptr_equal(bufs[3].base, device_at(r, border));
    rig_free(r);
}

/* --- start and stop --- */

static void test_bad_starts(void **state)
{
    static const struct {
        uint64_t features;
        uint32_t num, base;
        uint32_t desc, avail, used; /* added to the addresses */
        int error;
    } bad[] = {
        {0, 0, 0, 0, 0, 0, VHU_EINVAL},
        {0, 3, 0, 0, 0, 0, VHU_EINVAL},
        {0, 65536, 0, 0, 0, 0, VHU_EINVAL},
        {0, 16, 65536, 0, 0, 0, VHU_EINVAL},
        {0, 16, 0, 8, 0, 0, VHU_EINVAL},
        {0, 16, 0, 0, 1, 0, VHU_EINVAL},
        {0, 16, 0, 0, 0, 2, VHU_EINVAL},
        {0, 16, 0, 0x10000000, 0, 0, VHU_EFAULT},
        {0, 16, 0, 0, 0x10000000, 0, VHU_EFAULT},
        {0, 16, 0, 0, 0, 0x10000000, VHU_EFAULT},
        {VHU_BIT(VHU_F_ACCESS_PLATFORM), 16, 0, 0, 0, 0, VHU_ENOSYS},
        {VHU_BIT(38), 16, 0, 0, 0, 0, VHU_ENOSYS},
    };
    rig *r = rig_new(16, 0);
    vhu_queue_config good = r->config;

    (void)state;
    assert_int_equal(vhu_queue_start(r->queue, &good), VHU_ESTATE);
    vhu_queue_stop(r->queue);
    for (size_t i = 0; i < VHU__COUNT(bad); i++) {
        vhu_queue_config c = good;

        c.features |= bad[i].features;
        c.num = bad[i].num;
        c.base = bad[i].base;
        c.addr.desc += bad[i].desc;
        c.addr.avail += bad[i].avail;
        c.addr.used += bad[i].used;
        assert_int_equal(vhu_queue_start(r->queue, &c), bad[i].error);
        assert_false(vhu_queue_is_running(r->queue));
        assert_int_equal(take(r, 1), VHU_ESTATE);
    }
    good.size = 8;
    assert_int_equal(vhu_queue_start(r->queue, &good), VHU_EINVAL);
    good.size = sizeof(good);
    good.memory = NULL;
    assert_int_equal(vhu_queue_start(r->queue, &good), VHU_EINVAL);
    rig_free(r);
    vhu_queue_free(NULL);
}

/* Each part must fit to its last byte, the event words included. */
static void test_parts_fit(void **state)
{
    /* In the guest regions meet; for the front-end there is a hole behind the first. */
    const uint64_t end = DRIVER_USER_BASE + REGION_SIZE;
    static const struct {
        size_t part;
        uint64_t bytes, align;
    } parts[] = {{offsetof(vhu_vring_addr, desc), 16 * 16, 16},
                 {offsetof(vhu_vring_addr, avail), 4 + 2 * 16 + 2, 2},
                 {offsetof(vhu_vring_addr, used), 4 + 8 * 16 + 2, 4}};
    rig *r = rig_new(16, 0);

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(parts); i++) {
        vhu_queue_config c = r->config;
        uint64_t last = (end - parts[i].bytes) & ~(parts[i].align - 1);

        vhu_queue_stop(r->queue);
        memcpy((uint8_t *)&c.addr + parts[i].part, &last, sizeof(last));
        assert_int_equal(vhu_queue_start(r->queue, &c), 0);
        vhu_queue_stop(r->queue);
        last += parts[i].align;
        memcpy((uint8_t *)&c.addr + parts[i].part, &last, sizeof(last));
        assert_int_equal(vhu_queue_start(r->queue, &c), VHU_EFAULT);
    }
    rig_free(r);
}

/* Indices are where the ring and the front-end say; stop keeps the one, the ring the other. */
static void test_restart(void **state)
{
    rig *r = rig_new_at(16, VHU_BIT(VHU_F_RING_EVENT_IDX), 65535);
    uint16_t first = add_request(r, false);
    uint32_t base;

    (void)state;
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    vhu_queue_complete(r->queue, r->chains, 1);
    vhu_queue_stop(r->queue);
    assert_false(vhu_queue_is_running(r->queue));
    base = vhu_queue_base(r->queue);
    assert_int_equal(base, 0);
    assert_int_equal(vhu_queue_base(r->queue), base);
    assert_int_equal(driver_ring_reap(&r->ring, NULL), first);

    r->config.base = base;
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
    first = add_request(r, false);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    check_request(r, &r->chains[0], first);
    vhu_queue_complete(r->queue, r->chains, 1);
    assert_true(vhu_queue_needs_call(r->queue)); /* although it waits for another entry */
    assert_int_equal(driver_ring_reap(&r->ring, NULL), first);
    rig_free(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_take_and_complete), leakcheck_test(test_wrap),
        leakcheck_test(test_all_out),           leakcheck_test(test_shapes),
        leakcheck_test(test_two_regions),       leakcheck_test(test_bad_starts),
        leakcheck_test(test_parts_fit),         leakcheck_test(test_restart),
    };

    return cmocka_run_group_tests_name("queue", tests, NULL, NULL);
}
