/* SPDX-License-Identifier: BSD-3-Clause */
/* What a ring does with a driver that breaks the rules: here the split one's, and a race. */
#include <stdatomic.h>
#include <string.h>
#include <uv.h>

#include "atomic.h"
#include "support/queue_rig.h"
#include "util.h"

#if defined(__SANITIZE_THREAD__)
#define RACES_ARE_REPORTED 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define RACES_ARE_REPORTED 1
#endif
#endif
#ifndef RACES_ARE_REPORTED
#define RACES_ARE_REPORTED 0
#endif

static void fault_head(rig *r, uint16_t head)
{
    (void)head;
    r->ring.avail->ring[0] = 16;
}

static void fault_next(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->next = 16;
}

static void fault_next_of_table(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->next = 3;
}

static void fault_loop(rig *r, uint16_t head)
{
    vhu__desc *last = desc_of(r, head, 2);

    last->flags |= VHU__DESC_NEXT;
    last->next = desc_of(r, head, 0)->next; /* to the second one, writable like itself */
}

static void fault_empty_loop(rig *r, uint16_t head)
{
    vhu__desc *second = desc_of(r, head, 1);

    second->len = 0;
    second->next = desc_of(r, head, 0)->next;
}

static void fault_order(rig *r, uint16_t head)
{
    desc_of(r, head, 2)->flags &= (uint16_t)~VHU__DESC_WRITE;
}

static void fault_addr(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->addr = 0x1234;
}

static void fault_addr_behind(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->addr = DRIVER_GUEST_BASE + 2 * REGION_SIZE;
}

static void fault_len(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->addr = DRIVER_GUEST_BASE + 2 * REGION_SIZE - 511;
}

static void fault_addr_wraps(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->addr = UINT64_MAX - 10;
}

static void fault_len_wraps(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->len = UINT32_MAX;
}

static void fault_too_far_ahead(rig *r, uint16_t head)
{
    (void)head;
    r->ring.avail_idx = 17;
}

static void fault_backwards(rig *r, uint16_t head)
{
    (void)head;
    r->ring.avail_idx = UINT16_MAX;
}

static void fault_not_negotiated(rig *r, uint16_t head)
{
    r->ring.desc[head].flags = VHU__DESC_INDIRECT;
}

static void fault_nested(rig *r, uint16_t head)
{
    desc_of(r, head, 1)->flags = VHU__DESC_INDIRECT;
}

static void fault_nested_first(rig *r, uint16_t head)
{
    *desc_of(r, head, 0) = r->ring.desc[head];
}

/* The first descriptor leads to the ring's own table, and so to itself. */
static void fault_own_table(rig *r, uint16_t head)
{
    (void)head;
    r->ring.desc[0] = (vhu__desc){
        .addr = r->ring.desc_addr, .len = 16 * sizeof(vhu__desc), .flags = VHU__DESC_INDIRECT};
    r->ring.avail->ring[0] = 0;
}

static void fault_indirect_next(rig *r, uint16_t head)
{
    r->ring.desc[head].flags |= VHU__DESC_NEXT;
}

static void fault_table_empty(rig *r, uint16_t head)
{
    r->ring.desc[head].len = 0;
}

static void fault_table_odd(rig *r, uint16_t head)
{
    r->ring.desc[head].len = 40;
}

static void fault_table_large(rig *r, uint16_t head)
{
    r->ring.desc[head].len = 32769 * 16;
}

static void fault_table_huge(rig *r, uint16_t head)
{
    r->ring.desc[head].len = UINT32_MAX & ~15u;
}

static void fault_table_outside(rig *r, uint16_t head)
{
    r->ring.desc[head].addr = 0x1000;
}

static void fault_table_half_outside(rig *r, uint16_t head)
{
    const uint64_t end = DRIVER_GUEST_BASE + 2 * REGION_SIZE;

    memcpy(driver_memory_at(&r->memory, end - 32), desc_of(r, head, 0), 32);
    r->ring.desc[head].addr = end - 32;
}

static void fault_table_wraps(rig *r, uint16_t head)
{
    r->ring.desc[head].addr = UINT64_MAX - 20;
}

static const struct fault faults[] = {
    {fault_head, DIRECT, 0, "descriptor 16 is asked for, the ring has 16"},
    {fault_next, DIRECT, 0, "descriptor 16 is asked for, the ring has 16"},
    {fault_next_of_table, INDIRECT, SPLIT, "descriptor 3 is asked for, the table has 3"},
    {fault_loop, DIRECT, 0, "loop: more than the 16 of the ring"},
    {fault_loop, INDIRECT, SPLIT, "loop: more than the 3 of the table"},
    {fault_empty_loop, DIRECT, 0, "loop: more than the 16 of the ring"},
    {fault_empty_loop, INDIRECT, SPLIT, "loop: more than the 3 of the table"},
    {fault_order, DIRECT, 0, "readable descriptor after a writable one"},
    {fault_order, INDIRECT, SPLIT, "readable descriptor after a writable one"},
    {fault_addr, DIRECT, 0, "512 bytes at 0x1234 lie outside"},
    {fault_addr, INDIRECT, SPLIT, "512 bytes at 0x1234 lie outside"},
    {fault_addr_behind, DIRECT, 0, "512 bytes at 0x48000000 lie outside"},
    {fault_len, DIRECT, 0, "1 bytes at 0x48000000 lie outside"},
    {fault_addr_wraps, DIRECT, 0, "512 bytes at 0xfffffffffffffff5 lie outside"},
    {fault_len_wraps, DIRECT, 0, "at 0x48000000 lie outside"},
    {fault_capacity, DIRECT, 0, "more than 2 buffers"},
    {fault_capacity, INDIRECT, SPLIT, "more than 2 buffers"},
    {fault_no_capacity, DIRECT, 0, "more than 0 buffers"},
    {fault_too_far_ahead, DIRECT, 0, "available index 17 is 17 ahead of 0, the ring has 16"},
    {fault_backwards, DIRECT, 0, "available index 65535 is 65535 ahead of 0, the ring has 16"},
    {fault_not_negotiated, DIRECT, 0, "the feature was not negotiated"},
    {fault_nested, INDIRECT, SPLIT, "in an indirect table itself"},
    {fault_nested_first, INDIRECT, SPLIT, "in an indirect table itself"},
    {fault_own_table, INDIRECT, SPLIT, "its table is the ring's own"},
    {fault_indirect_next, INDIRECT, SPLIT, "it has a next descriptor"},
    {fault_table_empty, INDIRECT, SPLIT, "(0 bytes at"},
    {fault_table_odd, INDIRECT, SPLIT, "(40 bytes at"},
    {fault_table_large, INDIRECT, SPLIT, "more than 32768 descriptors"},
    {fault_table_huge, INDIRECT, SPLIT, "more than 32768 descriptors"},
    {fault_table_outside, INDIRECT, SPLIT, "16 bytes at 0x1000 lie outside"},
    {fault_table_half_outside, INDIRECT, SPLIT, "16 bytes at 0x48000000 lie outside"},
    {fault_table_wraps, INDIRECT, SPLIT, "its address wraps round"},
};

static void test_faults(void **state)
{
    (void)state;
    check_faults(faults, VHU__COUNT(faults));
}

/* A fault in the third of four: two come first, then the error; another start heals. */
static void test_fault_in_the_middle(void **state)
{
    rig *r = rig_new(16, 0);
    uint16_t heads[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        heads[i] = add_request(r, false);
    fault_addr(r, heads[2]);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 4), 2);
    check_request(r, &r->chains[0], heads[0]);
    check_request(r, &r->chains[1], heads[1]);
    assert_int_equal(vhu_queue_in_use(r->queue), 2);
    assert_broken(r, "512 bytes at 0x1234");
    assert_int_equal(vhu_queue_in_use(r->queue), 1);
    assert_int_equal(vhu_queue_base(r->queue), 2);

    vhu_queue_stop(r->queue);
    assert_int_equal(take(r, 1), VHU_ESTATE);
    assert_int_equal(vhu_queue_base(r->queue), 2);
    desc_of(r, heads[2], 1)->addr = r->data + 4096;
    r->config.base = 2;
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
    assert_string_equal(vhu_queue_error(r->queue), "");
    assert_int_equal(take(r, 4), 2);
    check_request(r, &r->chains[0], heads[2]);
    rig_free(r);
}

/* The driver may have no more requests out than descriptors. */
static void test_too_many_out(void **state)
{
    rig *r = rig_new(4, 0);
    const driver_buf buf = {r->data, 8, false};

    (void)state;
    for (int i = 0; i < 4; i++)
        driver_ring_add(&r->ring, &buf, 1);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 3), 3);
    driver_ring_push_head(&r->ring, 0);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
    assert_broken(r, "3 requests are out and 2 more available, the ring has 4");
    rig_free(r);
}

/* More than 2^32 bytes; just as many are fine. */
static void test_long_request(void **state)
{
    (void)state;
    for (uint32_t more = 0; more < 2; more++) {
        rig *r = rig_new(128, 0);
        driver_buf bufs[65];

        for (uint32_t i = 0; i < 65; i++)
            bufs[i] = (driver_buf){DRIVER_GUEST_BASE, (uint32_t)REGION_SIZE, i > 2};
        bufs[64].len = more;
        driver_ring_add(&r->ring, bufs, 65);
        driver_ring_publish(&r->ring);
        if (more == 0) {
            assert_int_equal(take(r, 1), 1);
            assert_int_equal(r->chains[0].readable_len + r->chains[0].writable_len, UINT64_C(1)
                                                                                        << 32);
        } else {
            assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
            assert_broken(r, "4294967297 bytes");
        }
        rig_free(r);
    }
}

/* --- a guest that goes on writing --- */

typedef struct spoiler {
    volatile uint64_t *addr;
    volatile uint32_t *len;
    volatile uint16_t *flags;
    uint16_t good_flags;
    _Atomic bool stop;
} spoiler;

/* A guest that rewrites a descriptor all the time, from one that is fine to one that is not. */
static void spoil(void *arg)
{
    spoiler *s = arg;
    const uint64_t good = *s->addr;

    while (!atomic_load(&s->stop)) {
        *s->len = 0xfffff000;
        *s->addr = UINT64_MAX - 0x1000;
        *s->flags = s->good_flags ^ (VHU__DESC_NEXT | VHU__DESC_INDIRECT);
        *s->len = 512;
        *s->addr = good;
        *s->flags = s->good_flags;
    }
}

/* Make the same request available once more, in a ring that was started anew. */
static void offer_again(rig *r, uint16_t head)
{
    vhu_queue_stop(r->queue);
    if (r->ring.is_packed) {
        vhu__store_release_u16(&r->ring.packed[0].flags, r->ring.first_flags);
    } else {
        r->ring.avail->ring[0] = head;
        vhu__store_release_u16(&r->ring.avail->idx, 1);
    }
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
}

static void check_in_memory(const rig *r, const vhu_chain *c)
{
    const uint8_t *low[2];

    for (uint64_t i = 0; i < 2; i++)
        low[i] = device_at(r, DRIVER_GUEST_BASE + i * REGION_SIZE);
    for (uint32_t k = 0; k < c->num_readable + c->num_writable; k++) {
        const uint8_t *base = c->bufs[k].base;
        bool second = base < low[0] || base - low[0] >= (int64_t)REGION_SIZE;
        uint64_t in = (uint64_t)(base - low[second]);

        assert_true(in < REGION_SIZE && c->bufs[k].len <= REGION_SIZE - in);
    }
}

/* Whatever is taken lies in memory, and is what was checked. */
static void race(uint64_t layout)
{
    rig *r = rig_new(16, layout);
    uint16_t head = add_request(r, false);
    vhu__desc *split = desc_of(r, head, layout == SPLIT);
    vhu__packed_desc *packed = &r->ring.packed[1];
    spoiler s = {.addr = layout == SPLIT ? &split->addr : &packed->addr,
                 .len = layout == SPLIT ? &split->len : &packed->len,
                 .flags = layout == SPLIT ? &split->flags : &packed->flags};
    uv_thread_t thread;

    s.good_flags = *s.flags;
    assert_int_equal(uv_thread_create(&thread, spoil, &s), 0);
    for (int i = 0; i < 100000; i++) {
        offer_again(r, head);
        if (take(r, 1) == 1) {
            check_in_memory(r, &r->chains[0]);
            vhu_queue_complete(r->queue, r->chains, 1);
        }
    }
    atomic_store(&s.stop, true);
    uv_thread_join(&thread);
    rig_free(r);
}

static void test_racing_guest(void **state)
{
    (void)state;
    if (RACES_ARE_REPORTED)
        skip();
    race(SPLIT);
    race(PACKED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_faults),       leakcheck_test(test_fault_in_the_middle),
        leakcheck_test(test_too_many_out), leakcheck_test(test_long_request),
        leakcheck_test(test_racing_guest),
    };

    return cmocka_run_group_tests_name("queue_faults", tests, NULL, NULL);
}
