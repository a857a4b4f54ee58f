/* SPDX-License-Identifier: BSD-3-Clause */
/* What a split ring does with a driver that breaks the rules. */
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

static void fault_capacity(rig *r, uint16_t head)
{
    (void)head;
    r->chains[0].capacity = 2;
}

static void fault_no_capacity(rig *r, uint16_t head)
{
    (void)head;
    r->chains[0].capacity = 0;
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

enum { DIRECT, INDIRECT };

static const struct {
    void (*apply)(rig *r, uint16_t head);
    int how;
    uint64_t features;
    const char *text; /* what the error must tell */
} faults[] = {
    {fault_head, DIRECT, 0, "descriptor 16 is asked for, the ring has 16"},
    {fault_next, DIRECT, 0, "descriptor 16 is asked for, the ring has 16"},
    {fault_next_of_table, INDIRECT, VHU_QUEUE_FEATURES,
     "descriptor 3 is asked for, the table has 3"},
    {fault_loop, DIRECT, 0, "loop: more than the 16 of the ring"},
    {fault_loop, INDIRECT, VHU_QUEUE_FEATURES, "loop: more than the 3 of the table"},
    {fault_empty_loop, DIRECT, 0, "loop: more than the 16 of the ring"},
    {fault_empty_loop, INDIRECT, VHU_QUEUE_FEATURES, "loop: more than the 3 of the table"},
    {fault_order, DIRECT, 0, "readable descriptor after a writable one"},
    {fault_order, INDIRECT, VHU_QUEUE_FEATURES, "readable descriptor after a writable one"},
    {fault_addr, DIRECT, 0, "512 bytes at 0x1234 lie outside"},
    {fault_addr, INDIRECT, VHU_QUEUE_FEATURES, "512 bytes at 0x1234 lie outside"},
    {fault_addr_behind, DIRECT, 0, "512 bytes at 0x48000000 lie outside"},
    {fault_len, DIRECT, 0, "1 bytes at 0x48000000 lie outside"},
    {fault_addr_wraps, DIRECT, 0, "512 bytes at 0xfffffffffffffff5 lie outside"},
    {fault_len_wraps, DIRECT, 0, "at 0x48000000 lie outside"},
    {fault_capacity, DIRECT, 0, "more than 2 buffers"},
    {fault_capacity, INDIRECT, VHU_QUEUE_FEATURES, "more than 2 buffers"},
    {fault_no_capacity, DIRECT, 0, "more than 0 buffers"},
    {fault_too_far_ahead, DIRECT, 0, "available index 17 is 17 ahead of 0, the ring has 16"},
    {fault_backwards, DIRECT, 0, "available index 65535 is 65535 ahead of 0, the ring has 16"},
    {fault_not_negotiated, DIRECT, 0, "the feature was not negotiated"},
    {fault_nested, INDIRECT, VHU_QUEUE_FEATURES, "in an indirect table itself"},
    {fault_nested_first, INDIRECT, VHU_QUEUE_FEATURES, "in an indirect table itself"},
    {fault_own_table, INDIRECT, VHU_QUEUE_FEATURES, "its table is the ring's own"},
    {fault_indirect_next, INDIRECT, VHU_QUEUE_FEATURES, "it has a next descriptor"},
    {fault_table_empty, INDIRECT, VHU_QUEUE_FEATURES, "(0 bytes at"},
    {fault_table_odd, INDIRECT, VHU_QUEUE_FEATURES, "(40 bytes at"},
    {fault_table_large, INDIRECT, VHU_QUEUE_FEATURES, "more than 32768 descriptors"},
    {fault_table_huge, INDIRECT, VHU_QUEUE_FEATURES, "more than 32768 descriptors"},
    {fault_table_outside, INDIRECT, VHU_QUEUE_FEATURES, "16 bytes at 0x1000 lie outside"},
    {fault_table_half_outside, INDIRECT, VHU_QUEUE_FEATURES, "16 bytes at 0x48000000 lie outside"},
    {fault_table_wraps, INDIRECT, VHU_QUEUE_FEATURES, "its address wraps round"},
};

static void test_faults(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(faults); i++) {
        rig *r = rig_new(16, faults[i].features);
        uint16_t head = add_request(r, faults[i].how == INDIRECT);

        faults[i].apply(r, head);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
        assert_broken(r, faults[i].text);
        assert_int_equal(vhu_queue_base(r->queue), 0);
        assert_int_equal(vhu_queue_in_use(r->queue), 0);
        rig_free(r);
    }
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
    volatile vhu__desc *desc;
    _Atomic bool stop;
} spoiler;

/* A guest that rewrites a descriptor all the time, from one that is fine to one that is not. */
static void spoil(void *arg)
{
    spoiler *s = arg;
    const uint64_t good = s->desc->addr;

    while (!atomic_load(&s->stop)) {
        s->desc->len = 0xfffff000;
        s->desc->addr = UINT64_MAX - 0x1000;
        s->desc->flags = VHU__DESC_WRITE | VHU__DESC_INDIRECT;
        s->desc->len = 512;
        s->desc->addr = good;
        s->desc->flags = VHU__DESC_WRITE | VHU__DESC_NEXT;
    }
}

/* Whatever is taken lies in memory, and is what was checked. */
static void test_racing_guest(void **state)
{
    rig *r = rig_new(16, VHU_QUEUE_FEATURES);
    uint16_t head = add_request(r, false);
    spoiler s = {.desc = desc_of(r, head, 1)};
    const uint8_t *low[2];
    uv_thread_t thread;

    (void)state;
    if (RACES_ARE_REPORTED) {
        rig_free(r);
        skip();
    }
    for (int i = 0; i < 2; i++)
        low[i] = device_at(r, DRIVER_GUEST_BASE + (uint64_t)i * REGION_SIZE);
    assert_int_equal(uv_thread_create(&thread, spoil, &s), 0);
    for (int i = 0; i < 200000; i++) {
        r->ring.avail->ring[i % 16] = head;
        vhu__store_release_u16(&r->ring.avail->idx, (uint16_t)(i + 1));
        if (take(r, 1) == 1) {
            const vhu_chain *c = &r->chains[0];

            for (uint32_t k = 0; k < c->num_readable + c->num_writable; k++) {
                const uint8_t *base = c->bufs[k].base;
                uint64_t in =
                    (uint64_t)(base -
                               low[base - low[0] < 0 || base - low[0] >= (int64_t)REGION_SIZE]);

                assert_true(in < REGION_SIZE && c->bufs[k].len <= REGION_SIZE - in);
            }
            vhu_queue_complete(r->queue, r->chains, 1);
        } else {
            vhu_queue_stop(r->queue);
            r->config.base = (uint16_t)(i + 1);
            assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
        }
    }
    atomic_store(&s.stop, true);
    uv_thread_join(&thread);
    rig_free(r);
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
