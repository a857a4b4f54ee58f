/* SPDX-License-Identifier: BSD-3-Clause */
/* Split rings in both byte orders, written and read here byte by byte. */
#include <string.h>
#include <vmm_vhost/queue.h>

#include "queue_internal.h"
#include "support/leakcheck.h"

enum {
    NUM = 8,
    DESC = 0,
    AVAIL = 0x100,
    USED = 0x200,
    TABLE = 0x7f8,
    DATA = 0x800,
    BYTES = 0x2000
};
enum { HEAD = 3, INDEX = 0x1234 };

#define GUEST UINT64_C(0x123456789000)

/* What is in memory, from guest address 0 on and, in two regions that meet in a table, GUEST. */
typedef struct ring {
    _Alignas(16) uint8_t bytes[BYTES];
    bool big;
    vhu_memory *memory;
    vhu_queue *queue;
    vhu_queue_config config;
} ring;

static void put(const ring *r, uint8_t *at, uint64_t value, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        at[r->big ? len - 1 - i : i] = (uint8_t)(value >> 8 * i);
}

static uint64_t get(const ring *r, uint32_t offset, unsigned len)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < len; i++)
        value |= (uint64_t)r->bytes[offset + (r->big ? len - 1 - i : i)] << 8 * i;
    return value;
}

static void put_desc(ring *r, uint32_t offset, uint64_t addr, uint32_t len, uint16_t flags,
                     uint16_t next)
{
    put(r, r->bytes + offset, addr, 8);
    put(r, r->bytes + offset + 8, len, 4);
    put(r, r->bytes + offset + 12, flags, 2);
    put(r, r->bytes + offset + 14, next, 2);
}

static void offer(ring *r, uint16_t index, uint16_t head)
{
    put(r, r->bytes + AVAIL + 4 + index % NUM * 2, head, 2);
    put(r, r->bytes + AVAIL + 2, (uint16_t)(index + 1), 2);
}

static void add_region(ring *r, uint32_t offset, uint32_t len)
{
    const vhu_mem_region region = {
        .guest_addr = GUEST + offset, .size = len, .user_addr = UINT64_C(1) << 40 | offset};

    assert_int_equal(vhu_memory_add_local(r->memory, &region, r->bytes + offset), 0);
}

/* `order`: what the front-end says of the guest; a ring of virtio 1.0 is little-endian. */
static void open_ring(ring *r, bool order, uint64_t features)
{
    memset(r, 0, sizeof(*r));
    r->big = order && !(features & VHU_BIT(VHU_F_VERSION_1));
    assert_int_equal(vhu_memory_new(&r->memory), 0);
    add_region(r, 0, DATA);
    add_region(r, DATA, BYTES - DATA);
    assert_int_equal(vhu_queue_new(&r->queue), 0);
    r->config = (vhu_queue_config){.size = sizeof(r->config),
                                   .memory = r->memory,
                                   .features = features,
                                   .num = NUM,
                                   .base = INDEX,
                                   .addr = {.desc = UINT64_C(1) << 40 | DESC,
                                            .avail = UINT64_C(1) << 40 | AVAIL,
                                            .used = UINT64_C(1) << 40 | USED},
                                   .big_endian = order};
    put(r, r->bytes + AVAIL + 2, INDEX, 2);
    put(r, r->bytes + USED + 2, INDEX, 2);
}

static void close_ring(ring *r)
{
    vhu_queue_free(r->queue);
    vhu_memory_free(r->memory);
}

static void check_chain(const ring *r, const vhu_chain *chain)
{
    assert_int_equal(chain->head, HEAD);
    assert_int_equal(chain->num_readable, 1);
    assert_int_equal(chain->num_writable, 1);
    assert_ptr_equal(chain->bufs[0].base, r->bytes + DATA + 0x100);
    assert_int_equal(chain->bufs[0].len, 0x102);
    assert_ptr_equal(chain->bufs[1].base, r->bytes + DATA + 0x400);
    assert_int_equal(chain->bufs[1].len, 0x203);
}

/* One request, taken and completed. */
static void exchange(ring *r, uint16_t index)
{
    const uint32_t used = USED + 4 + index % NUM * 8u;
    vhu_buf bufs[4];
    vhu_chain chain = {.bufs = bufs, .capacity = 4};

    assert_true(vhu_queue_has_avail(r->queue));
    assert_int_equal(vhu_queue_take(r->queue, &chain, 1), 1);
    check_chain(r, &chain);
    assert_false(vhu_queue_has_avail(r->queue));
    chain.written = 0x203;
    vhu_queue_complete(r->queue, &chain, 1);
    assert_int_equal(get(r, used, 4), HEAD);
    assert_int_equal(get(r, used + 4, 4), 0x203);
    assert_int_equal(get(r, USED + 2, 2), (uint16_t)(index + 1));
    assert_int_equal(vhu_queue_base(r->queue), (uint16_t)(index + 1));
}

static void put_request(ring *r, uint32_t first, uint32_t second, uint16_t next)
{
    put_desc(r, first, GUEST + DATA + 0x100, 0x102, VHU__DESC_NEXT, next);
    put_desc(r, second, GUEST + DATA + 0x400, 0x203, VHU__DESC_WRITE, 0);
}

static void run(bool order, uint64_t features)
{
    const bool event_idx = features & VHU_BIT(VHU_F_RING_EVENT_IDX);
    ring r;

    open_ring(&r, order, features);
    assert_int_equal(vhu_queue_start(r.queue, &r.config), 0);
    assert_false(vhu_queue_has_avail(r.queue));
    /* In the ring; in a table; and in one that lies in two regions. */
    put_request(&r, DESC + HEAD * 16, DESC + 5 * 16, 5);
    offer(&r, INDEX, HEAD);
    exchange(&r, INDEX);
    put_request(&r, DATA, DATA + 0x20, 2);
    put_desc(&r, DESC + HEAD * 16, GUEST + DATA, 0x30, VHU__DESC_INDIRECT, 0);
    offer(&r, INDEX + 1, HEAD);
    exchange(&r, INDEX + 1);
    put_request(&r, TABLE, TABLE + 0x10, 1);
    put_desc(&r, DESC + HEAD * 16, GUEST + TABLE, 0x20, VHU__DESC_INDIRECT, 0);
    offer(&r, INDEX + 2, HEAD);
    exchange(&r, INDEX + 2);
    /* What the driver waits for, and what the device does. */
    assert_true(vhu_queue_needs_call(r.queue));
    put(&r, r.bytes + AVAIL + (event_idx ? 4 + NUM * 2 : 0), event_idx ? INDEX + 4 : 1, 2);
    offer(&r, INDEX + 3, HEAD);
    exchange(&r, INDEX + 3);
    assert_false(vhu_queue_needs_call(r.queue));
    vhu_queue_disable_kicks(r.queue);
    assert_int_equal(get(&r, USED, 2), event_idx ? 0 : VHU__USED_NO_KICK);
    assert_false(vhu_queue_enable_kicks(r.queue));
    assert_int_equal(get(&r, USED, 2), 0);
    if (event_idx)
        assert_int_equal(get(&r, USED + 4 + NUM * 8, 2), INDEX + 4);
    offer(&r, INDEX + 4, HEAD);
    exchange(&r, INDEX + 4);
    assert_int_equal(vhu_queue_needs_call(r.queue), event_idx);
    close_ring(&r);
}

static void test_orders(void **state)
{
    const uint64_t indirect = VHU_BIT(VHU_F_RING_INDIRECT_DESC);
    const uint64_t event_idx = VHU_BIT(VHU_F_RING_EVENT_IDX);
    const uint64_t version_1 = VHU_BIT(VHU_F_VERSION_1);

    (void)state;
    for (int order = 0; order < 2; order++) {
        run(order, indirect);
        run(order, indirect | event_idx);
        run(order, indirect | version_1);
        run(order, indirect | event_idx | version_1);
    }
}

/* --- the other order --- */

static void break_ring(ring *r, const char *text)
{
    vhu_buf bufs[2 * NUM];
    vhu_chain chain = {.bufs = bufs, .capacity = 2 * NUM};

    assert_int_equal(vhu_queue_take(r->queue, &chain, 1), VHU_EBROKEN_RING);
    assert_non_null(strstr(vhu_queue_error(r->queue), text));
}

/* A guest of one order under a front-end that says the other breaks its ring, and no more. */
static void test_wrong_order(void **state)
{
    (void)state;
    for (int order = 0; order < 2; order++) {
        ring r;

        open_ring(&r, order, 0);
        r.config.big_endian = !order;
        assert_int_equal(vhu_queue_start(r.queue, &r.config), 0);
        offer(&r, INDEX, HEAD);
        break_ring(&r, "available index");
        close_ring(&r);
    }
}

/* The rules are the same in both. */
static void test_faults(void **state)
{
    static const struct {
        uint64_t addr;
        uint32_t len;
        uint16_t flags, next, head;
        const char *text;
    } rows[] = {
        {GUEST + DATA, 16, VHU__DESC_NEXT, HEAD, HEAD, "loop"},
        {GUEST + DATA, 16, VHU__DESC_NEXT, NUM, HEAD, "descriptor 8 "},
        {GUEST + DATA, 16, 0, 0, NUM, "descriptor 8 "},
        {GUEST - 1, 16, 0, 0, HEAD, "0x123456788fff"},
        {GUEST + BYTES, 16, 0, 0, HEAD, "0x12345678b000"},
        {GUEST + DATA, 17, VHU__DESC_INDIRECT, 0, HEAD, "17 bytes"},
        {GUEST + DATA, 32, VHU__DESC_INDIRECT | VHU__DESC_NEXT, 0, HEAD, "32 bytes"},
    };

    (void)state;
    for (int order = 0; order < 2; order++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            ring r;

            open_ring(&r, order, VHU_BIT(VHU_F_RING_INDIRECT_DESC));
            put_desc(&r, DESC + HEAD * 16, rows[i].addr, rows[i].len, rows[i].flags, rows[i].next);
            assert_int_equal(vhu_queue_start(r.queue, &r.config), 0);
            offer(&r, INDEX, rows[i].head);
            break_ring(&r, rows[i].text);
            close_ring(&r);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_orders),
        leakcheck_test(test_wrong_order),
        leakcheck_test(test_faults),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
