/* SPDX-License-Identifier: BSD-3-Clause */
/* What only a packed ring has: positions, and used descriptors among those that are available. */
#include <stddef.h>
#include <string.h>

#include "support/queue_rig.h"
#include "util.h"

#define AT_START (VHU__POS_START | (uint32_t)VHU__POS_START << 16)

/* --- start and stop --- */

static void test_bases(void **state)
{
    static const struct {
        uint32_t num, base;
        int result;
        uint32_t then; /* the base of the ring that was started */
    } rows[] = {
        {16, AT_START, 0, AT_START},
        {16, 0x8003, 0, 0x80038003},
        {16, 0x0003, 0, 0x00030003},
        {16, 0x800f8003, VHU_EINVAL, 0}, /* used before it was available */
        {16, 0x80038003, 0, 0x80038003},
        {16, 0x8003800f, 0, 0x8003800f},
        {16, 0x80030003, 0, 0x80030003}, /* all of it is out */
        {16, 0x80030004, VHU_EINVAL, 0}, /* and one more */
        {16, 0x80108010, VHU_EINVAL, 0},
        {16, 0x80008010, VHU_EINVAL, 0},
        {16, 0x80108000, VHU_EINVAL, 0},
        {16, 0x7fff, VHU_EINVAL, 0},
        {3, 0x00020002, 0, 0x00020002},
        {3, 0x80038003, VHU_EINVAL, 0},
        {0, AT_START, VHU_EINVAL, 0},
        {32769, AT_START, VHU_EINVAL, 0},
        {32768, UINT32_MAX, 0, UINT32_MAX},
    };
    rig *r = rig_new(16, PACKED);

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        vhu_queue_config c = r->config;

        vhu_queue_stop(r->queue);
        c.num = rows[i].num;
        c.base = rows[i].base;
        assert_int_equal(vhu_queue_start(r->queue, &c), rows[i].result);
        if (rows[i].result == 0)
            assert_int_equal(vhu_queue_base(r->queue), rows[i].then);
    }
    rig_free(r);
}

/* 0 is the begin of a second lap, or what some front-ends say of a ring that is new. */
static void test_base_of_zero(void **state)
{
    rig *r = rig_new(3, PACKED);

    (void)state;
    for (int lap = 0; lap < 6; lap++) {
        uint16_t head = add_request(r, false);
        uint32_t base;

        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), 1);
        vhu_queue_complete(r->queue, r->chains, 1);
        assert_int_equal(driver_ring_reap(&r->ring, NULL), head);
        vhu_queue_stop(r->queue);
        base = vhu_queue_base(r->queue);
        assert_int_equal(base, lap % 2 ? AT_START : 0);
        r->config.base = base;
        assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
        assert_int_equal(vhu_queue_base(r->queue), base);
    }
    vhu_queue_stop(r->queue);
    driver_ring_init(&r->ring, &r->memory, DRIVER_GUEST_BASE, 3, PACKED);
    r->config.base = 0;
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
    assert_int_equal(vhu_queue_base(r->queue), AT_START);
    add_request(r, false);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    rig_free(r);
}

/* Each part must fit to its last byte, and be aligned. */
static void test_parts(void **state)
{
    const uint64_t end = DRIVER_USER_BASE + REGION_SIZE;
    static const struct {
        size_t part;
        uint64_t bytes, align;
    } parts[] = {{offsetof(vhu_vring_addr, desc), 16 * 16, 16},
                 {offsetof(vhu_vring_addr, avail), 4, 4},
                 {offsetof(vhu_vring_addr, used), 4, 4}};
    rig *r = rig_new(16, PACKED);

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(parts); i++) {
        const struct {
            uint64_t addr;
            int result;
        } rows[] = {{end - parts[i].bytes, 0},
                    {end - parts[i].bytes + parts[i].align, VHU_EFAULT},
                    {end - parts[i].bytes - parts[i].align / 2, VHU_EINVAL}};

        for (size_t k = 0; k < VHU__COUNT(rows); k++) {
            vhu_queue_config c = r->config;

            vhu_queue_stop(r->queue);
            memcpy((uint8_t *)&c.addr + parts[i].part, &rows[k].addr, sizeof(rows[k].addr));
            assert_int_equal(vhu_queue_start(r->queue, &c), rows[k].result);
        }
    }
    rig_free(r);
}

/* Stopped with a request out: the base says so, and the next start has only the rest of the ring.
 */
static void test_restart(void **state)
{
    rig *r = rig_new(4, PACKED);
    const driver_buf bufs[] = {{r->data, 8, false}, {r->data, 8, true}, {r->data + 8, 8, true}};
    int first;

    (void)state;
    first = driver_ring_add(&r->ring, bufs, 3);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    vhu_queue_stop(r->queue);
    r->config.base = vhu_queue_base(r->queue);
    assert_int_equal(r->config.base, 0x80008003);
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
    assert_int_equal(vhu_queue_base(r->queue), 0x80008003);
    driver_ring_add(&r->ring, bufs, 1);
    driver_ring_publish(&r->ring);
    assert_int_equal(vhu_queue_take(r->queue, &r->chains[1], 1), 1);
    assert_int_equal(vhu_queue_in_use(r->queue), 1);
    vhu_queue_complete(r->queue, &r->chains[1], 1);
    assert_int_equal(r->ring.packed[0].id, r->chains[1].head);
    assert_int_not_equal(r->chains[1].head, first);
    rig_free(r);
}

/* --- used descriptors --- */

static void expect_desc(const rig *r, uint32_t i, uint16_t id, uint32_t len, unsigned flags)
{
    const vhu__packed_desc *desc = &r->ring.packed[i];

    assert_int_equal(desc->id, id);
    assert_int_equal(desc->len, len);
    assert_int_equal(desc->flags, flags);
}

/* They follow one another by the descriptors that each request took, over the ring's end, too. */
static void test_used_descriptors(void **state)
{
    enum { READ = VHU__PACKED_MARKS, WRITTEN = VHU__PACKED_MARKS | VHU__DESC_WRITE };
    rig *r = rig_new(8, PACKED);
    uint16_t heads[5];

    (void)state;
    for (int i = 0; i < 4; i++)
        heads[i] = add_request(r, i > 1); /* of 3, 3, 1 and 1 */
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 4), 4);
    r->chains[1].written = 5;
    r->chains[3].written = 513;
    vhu_queue_complete(r->queue, &r->chains[2], 1);
    expect_desc(r, 0, heads[2], 0, READ);
    vhu_queue_complete(r->queue, &r->chains[1], 1);
    expect_desc(r, 1, heads[1], 5, WRITTEN);
    vhu_queue_complete(r->queue, &r->chains[3], 1);
    expect_desc(r, 4, heads[3], 513, WRITTEN);
    for (int i = 0; i < 3; i++)
        assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
    /* Five are free: the next one begins the ring's second lap. */
    heads[4] = add_request(r, false);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    check_request(r, &r->chains[0], heads[4]);
    vhu_queue_complete(r->queue, r->chains, 1);
    expect_desc(r, 5, heads[4], 0, READ);
    assert_int_equal(driver_ring_reap(&r->ring, NULL), heads[4]);
    assert_int_equal(vhu_queue_base(r->queue), 3); /* the first one is still out */
    rig_free(r);
}

/* An identifier is the driver's word for a request, whatever it is; that of the last one counts. */
static void test_identifiers(void **state)
{
    rig *r = rig_new(8, PACKED);
    uint16_t head = add_request(r, false);

    (void)state;
    driver_ring_packed(&r->ring, head, 0)->id = 3;
    driver_ring_packed(&r->ring, head, 1)->id = 4;
    driver_ring_packed(&r->ring, head, 2)->id = UINT16_MAX;
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    assert_int_equal(r->chains[0].head, UINT16_MAX);
    vhu_queue_complete(r->queue, r->chains, 1);
    expect_desc(r, 0, UINT16_MAX, 0, VHU__PACKED_MARKS);
    rig_free(r);
}

/* In an indirect table NEXT and the identifier mean nothing. */
static void test_table_flags(void **state)
{
    rig *r = rig_new(8, PACKED);
    uint16_t head = add_request(r, true);

    (void)state;
    for (uint32_t i = 0; i < 3; i++) {
        driver_ring_packed(&r->ring, head, i)->flags |= VHU__DESC_NEXT | VHU__PACKED_USED;
        driver_ring_packed(&r->ring, head, i)->id = 77;
    }
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 2), 1);
    check_request(r, &r->chains[0], head);
    rig_free(r);
}

/* --- faults --- */

static void fault_unfinished(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 2)->flags |= VHU__DESC_NEXT;
}

/* Each descriptor of the ring has another one behind it, and says that it is available. */
static void fault_endless(rig *r, uint16_t head)
{
    (void)head;
    for (uint32_t i = 1; i < r->ring.num; i++)
        r->ring.packed[i] = (vhu__packed_desc){.flags = VHU__PACKED_AVAIL | VHU__DESC_NEXT};
    r->ring.first_flags = VHU__PACKED_AVAIL | VHU__DESC_NEXT;
}

static void fault_old(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 1)->flags ^= VHU__PACKED_MARKS;
}

static void fault_used(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 2)->flags |= VHU__PACKED_MARKS;
}

static void fault_order(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 2)->flags &= (uint16_t)~VHU__DESC_WRITE;
}

static void fault_addr(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 1)->addr = 0x1234;
}

static void fault_len_wraps(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 1)->len = UINT32_MAX;
}

static void fault_indirect(rig *r, uint16_t head)
{
    (void)head;
    r->ring.first_flags |= VHU__DESC_INDIRECT;
    r->ring.first_flags &= (uint16_t)~VHU__DESC_NEXT;
}

static void fault_indirect_second(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 1)->flags |= VHU__DESC_INDIRECT;
}

static void fault_indirect_next(rig *r, uint16_t head)
{
    (void)head;
    r->ring.first_flags |= VHU__DESC_NEXT;
}

static void fault_nested(rig *r, uint16_t head)
{
    driver_ring_packed(&r->ring, head, 2)->flags |= VHU__DESC_INDIRECT;
}

static void fault_own_table(rig *r, uint16_t head)
{
    (void)head;
    r->ring.packed[0].addr = r->ring.desc_addr;
    r->ring.packed[0].len = 16 * sizeof(vhu__packed_desc);
}

static void fault_table_odd(rig *r, uint16_t head)
{
    (void)head;
    r->ring.packed[0].len = 40;
}

static void fault_table_large(rig *r, uint16_t head)
{
    (void)head;
    r->ring.packed[0].len = 32769 * 16;
}

static void fault_table_outside(rig *r, uint16_t head)
{
    (void)head;
    r->ring.packed[0].addr = 0x1000;
}

static void fault_table_wraps(rig *r, uint16_t head)
{
    (void)head;
    r->ring.packed[0].addr = UINT64_MAX - 20;
}

static const struct fault faults[] = {
    {fault_unfinished, DIRECT, PACKED, "descriptor 3 (flags 0x0) of a request is not available"},
    {fault_endless, DIRECT, PACKED, "descriptor 0 (flags 0x81) of a request is not available"},
    {fault_old, DIRECT, PACKED, "descriptor 1 (flags 0x8003) of a request is not available"},
    {fault_used, DIRECT, PACKED, "descriptor 2 (flags 0x8082) of a request is not available"},
    {fault_order, DIRECT, PACKED, "readable descriptor after a writable one"},
    {fault_order, INDIRECT, PACKED, "readable descriptor after a writable one"},
    {fault_addr, DIRECT, PACKED, "512 bytes at 0x1234 lie outside"},
    {fault_addr, INDIRECT, PACKED, "512 bytes at 0x1234 lie outside"},
    {fault_len_wraps, DIRECT, PACKED, "at 0x48000000 lie outside"},
    {fault_capacity, DIRECT, PACKED, "more than 2 buffers"},
    {fault_capacity, INDIRECT, PACKED, "more than 2 buffers"},
    {fault_no_capacity, INDIRECT, PACKED, "more than 0 buffers"},
    {fault_indirect, DIRECT, PLAIN_PACKED, "the feature was not negotiated"},
    {fault_indirect_second, DIRECT, PACKED, "indirect descriptor 1 follows another one"},
    {fault_indirect_next, INDIRECT, PACKED, "it has a next descriptor"},
    {fault_nested, INDIRECT, PACKED, "indirect descriptor in an indirect table"},
    {fault_own_table, INDIRECT, PACKED, "its table is the ring's own"},
    {fault_table_odd, INDIRECT, PACKED, "(40 bytes at"},
    {fault_table_large, INDIRECT, PACKED, "more than 32768 descriptors"},
    {fault_table_outside, INDIRECT, PACKED, "16 bytes at 0x1000 lie outside"},
    {fault_table_wraps, INDIRECT, PACKED, "its address wraps round"},
};

static void test_faults(void **state)
{
    (void)state;
    check_faults(faults, VHU__COUNT(faults));
}

/* All descriptors are out, or all but one, and the driver makes them available once more. */
static void test_overrun(void **state)
{
    static const struct {
        uint32_t left;
        const char *text;
    } rows[] = {{0, "4 requests are out with all descriptors, and one more is available"},
                {1, "request of more than the 1 descriptors that are not out"}};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        rig *r = rig_new(4, PACKED);
        const driver_buf buf = {r->data, 8, false};

        for (uint32_t k = 0; k < 4 - rows[i].left; k++)
            driver_ring_add(&r->ring, &buf, 1);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 4), 4 - rows[i].left);
        r->ring.packed[0].flags = VHU__PACKED_USED;
        r->ring.packed[3].flags = VHU__PACKED_AVAIL | VHU__DESC_NEXT;
        assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
        assert_broken(r, rows[i].text);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_bases),
        leakcheck_test(test_base_of_zero),
        leakcheck_test(test_parts),
        leakcheck_test(test_restart),
        leakcheck_test(test_used_descriptors),
        leakcheck_test(test_identifiers),
        leakcheck_test(test_table_flags),
        leakcheck_test(test_faults),
        leakcheck_test(test_overrun),
    };

    return cmocka_run_group_tests_name("queue_packed", tests, NULL, NULL);
}
