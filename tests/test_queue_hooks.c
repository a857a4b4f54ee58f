/* SPDX-License-Identifier: BSD-3-Clause */
/* What those are told who keep a record of a ring. */
#include "queue_internal.h"
#include "support/queue_rig.h"
#include "util.h"

typedef struct record {
    char what; /* t aken, d irty, c ompleting, C ompleted, u sed bytes */
    uint64_t a, b;
} record;

typedef struct recorder {
    rig *r;
    record records[64];
    size_t n;
    bool used_at_completing, used_at_completed; /* whether the driver can see it */
} recorder;

static void put(recorder *rec, char what, uint64_t a, uint64_t b)
{
    assert_true(rec->n < VHU__COUNT(rec->records));
    rec->records[rec->n++] = (record){what, a, b};
}

static void on_taken(void *self, const vhu_chain *chain)
{
    put(self, 't', chain->head, 0);
}

static void put_memory(recorder *rec, char what, const void *at, uint64_t len)
{
    uint64_t addr;

    assert_int_equal(vhu_memory_guest_addr(rec->r->device, at, &addr), 0);
    put(rec, what, addr, len);
}

static void on_dirty(void *self, const void *at, uint64_t len)
{
    put_memory(self, 'd', at, len);
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    recorder *rec = self;

    rec->used_at_completing = driver_ring_has_used(&rec->r->ring);
    put(rec, 'c', chains[0].head, n);
}

static void on_completed(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx)
{
    recorder *rec = self;

    (void)chains;
    rec->used_at_completed = driver_ring_has_used(&rec->r->ring);
    put(rec, 'C', n, used_idx);
}

static void on_used_dirty(void *self, const void *at, uint64_t len)
{
    put_memory(self, 'u', at, len);
}

static void expect(recorder *rec, const record *wanted, size_t n)
{
    for (size_t i = 0; i < n && i < rec->n; i++) {
        assert_int_equal(rec->records[i].what, wanted[i].what);
        assert_int_equal(rec->records[i].a, wanted[i].a);
        assert_int_equal(rec->records[i].b, wanted[i].b);
    }
    assert_int_equal(rec->n, n);
    rec->n = 0;
}

static void hook(rig *r, recorder *rec)
{
    const vhu__queue_hooks hooks = {
        .self = rec, .taken = on_taken, .completing = on_completing, .completed = on_completed};
    const vhu__queue_log log = {.self = rec, .dirty = on_dirty, .used_dirty = on_used_dirty};

    assert_int_equal(vhu__queue_set_hooks(r->queue, &hooks), VHU_ESTATE);
    assert_int_equal(vhu__queue_set_log(r->queue, &log), VHU_ESTATE);
    vhu_queue_stop(r->queue);
    assert_int_equal(vhu__queue_set_hooks(r->queue, &hooks), 0);
    assert_int_equal(vhu__queue_set_log(r->queue, &log), 0);
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
    rec->r = r;
}

/* Three requests, the last one over a border of regions; all of them taken. */
static void take_three(rig *r, recorder *rec, uint16_t *heads)
{
    const uint64_t border = DRIVER_GUEST_BASE + REGION_SIZE;
    const driver_buf over[] = {{0, 0, true}, {border - 8, 16, true}};

    hook(r, rec);
    heads[0] = add_request(r, false);
    heads[1] = add_request(r, true);
    heads[2] = (uint16_t)driver_ring_add(&r->ring, over, 2);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, CHAINS), 3);
    expect(rec, (record[]){{'t', heads[0], 0}, {'t', heads[1], 0}, {'t', heads[2], 0}}, 3);
    r->chains[0].written = 513;
    r->chains[1].written = 100;
    r->chains[2].written = 12;
}

static void test_hooks(void **state)
{
    rig *r = rig_new_at(16, SPLIT, 15);
    const uint64_t border = DRIVER_GUEST_BASE + REGION_SIZE;
    const uint64_t used = r->ring.used_addr;
    recorder rec = {.n = 0};
    uint16_t heads[3];

    (void)state;
    take_three(r, &rec, heads);
    vhu_queue_complete(r->queue, r->chains, 3);
    /* What was written and no more; the 16th entry of the used ring, then the first two. */
    expect(&rec,
           (record[]){{'d', r->data + 4096, 512},
                      {'d', r->data + 8192, 1},
                      {'d', r->data + 4096, 100},
                      {'d', border - 8, 8},
                      {'d', border, 4},
                      {'c', heads[0], 3},
                      {'u', used + 4 + 15 * 8, 8},
                      {'u', used + 4, 16},
                      {'u', used + 2, 2},
                      {'C', 3, 18}},
           10);
    assert_false(rec.used_at_completing);
    assert_true(rec.used_at_completed);
    vhu_queue_enable_kicks(r->queue);
    expect(&rec, (record[]){{'u', used + 4 + 16 * 8, 2}}, 1);
    rig_free(r);
}

/*
 * Requests of three, one and two descriptors, used in another order: those that are used overwrite
 * those that are out, which are told of nonetheless.
 */
static void test_hooks_packed(void **state)
{
    rig *r = rig_new_at(16, PACKED, VHU__POS_WRAP | 13);
    const uint64_t border = DRIVER_GUEST_BASE + REGION_SIZE;
    const uint64_t desc = r->ring.desc_addr;
    recorder rec = {.n = 0};
    uint16_t heads[3];

    (void)state;
    take_three(r, &rec, heads);
    vhu_queue_complete(r->queue, &r->chains[1], 2);
    expect(&rec,
           (record[]){{'d', r->data + 4096, 100},
                      {'d', border - 8, 8},
                      {'d', border, 4},
                      {'c', heads[1], 2},
                      {'u', desc + 13 * 16, 32},
                      {'C', 2, 0}},
           6);
    assert_false(rec.used_at_completing);
    assert_true(rec.used_at_completed);
    vhu_queue_complete(r->queue, &r->chains[0], 1);
    expect(&rec,
           (record[]){{'d', r->data + 4096, 512},
                      {'d', r->data + 8192, 1},
                      {'c', heads[0], 1},
                      {'u', desc, 16},
                      {'C', 1, 3}},
           5);
    for (int i = 0; i < 3; i++)
        assert_int_equal(driver_ring_reap(&r->ring, NULL), heads[(i + 1) % 3]);
    vhu_queue_enable_kicks(r->queue);
    vhu_queue_disable_kicks(r->queue);
    expect(&rec,
           (record[]){{'u', r->ring.used_addr, 2},
                      {'u', r->ring.used_addr + 2, 2},
                      {'u', r->ring.used_addr + 2, 2}},
           3);
    rig_free(r);
}

/* One that is out while the driver comes round to its place, which is another one's then, too. */
static void test_lapped(void **state)
{
    rig *r = rig_new(4, PLAIN_PACKED);
    recorder rec = {.n = 0};
    uint16_t heads[5];

    (void)state;
    hook(r, &rec);
    for (uint32_t i = 0; i < 5; i++) {
        const driver_buf buf = {r->data + i * UINT64_C(4096), 100, true};

        heads[i] = (uint16_t)driver_ring_add(&r->ring, &buf, 1);
        driver_ring_publish(&r->ring);
        assert_int_equal(vhu_queue_take(r->queue, &r->chains[i], 1), 1);
        r->chains[i].written = 1 + i;
        if (i < 3)
            continue;
        vhu_queue_complete(r->queue, &r->chains[i - 1], 1);
        assert_int_equal(driver_ring_reap(&r->ring, NULL), heads[i - 1]);
    }
    rec.n = 0;
    vhu_queue_complete(r->queue, &r->chains[0], 1);
    vhu_queue_complete(r->queue, &r->chains[4], 1);
    expect(&rec,
           (record[]){{'d', r->data, 1},
                      {'c', heads[0], 1},
                      {'u', r->ring.desc_addr + 2 * 16, 16},
                      {'C', 1, VHU__POS_WRAP | 3},
                      {'d', r->data + 4 * 4096, 5},
                      {'c', heads[4], 1},
                      {'u', r->ring.desc_addr + 3 * 16, 16},
                      {'C', 1, 0}},
           8);
    rig_free(r);
}

/* What is used lies on both sides of the ring's end. */
static void test_round_the_end(void **state)
{
    rig *r = rig_new_at(16, PACKED, VHU__POS_WRAP | 15);
    const uint64_t desc = r->ring.desc_addr;
    recorder rec = {.n = 0};
    uint16_t heads[3];

    (void)state;
    take_three(r, &rec, heads);
    r->chains[1].written = r->chains[2].written = 0;
    vhu_queue_complete(r->queue, &r->chains[1], 2);
    expect(&rec,
           (record[]){{'c', heads[1], 2}, {'u', desc + 15 * 16, 16}, {'u', desc, 16}, {'C', 2, 2}},
           4);
    rig_free(r);
}

/* Without EVENT_IDX the flags are what is written; and hooks and log do not need each other. */
static void test_some_hooks(void **state)
{
    static const struct {
        bool hooks, log;
        size_t records;
    } rows[] = {{true, true, 4}, {true, false, 1}, {false, true, 3}, {false, false, 0}};
    rig *r = rig_new(16, 0);
    recorder rec = {.r = r};
    const uint64_t used = r->ring.used_addr;
    const vhu__queue_hooks hooks = {.self = &rec, .completing = on_completing};
    const vhu__queue_log log = {.self = &rec, .dirty = on_dirty, .used_dirty = on_used_dirty};

    (void)state;
    hook(r, &rec);
    vhu_queue_disable_kicks(r->queue);
    vhu_queue_enable_kicks(r->queue);
    expect(&rec, (record[]){{'u', used, 2}, {'u', used, 2}}, 2);

    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        vhu_queue_stop(r->queue);
        assert_int_equal(vhu__queue_set_hooks(r->queue, rows[i].hooks ? &hooks : NULL), 0);
        assert_int_equal(vhu__queue_set_log(r->queue, rows[i].log ? &log : NULL), 0);
        r->config.base = vhu_queue_base(r->queue);
        assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
        add_request(r, false);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), 1);
        r->chains[0].written = 1;
        vhu_queue_complete(r->queue, r->chains, 1);
        assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
        assert_int_equal(rec.n, rows[i].records);
        rec.n = 0;
    }
    rig_free(r);
}

/* --- a guest that changes its descriptors while the device has them --- */

static void change_addr(vhu__desc *desc)
{
    desc->addr = 0x1234;
}

static void change_next(vhu__desc *desc)
{
    desc->next = 16;
}

static void change_to_indirect(vhu__desc *desc)
{
    desc->flags = VHU__DESC_INDIRECT;
    desc->len = 16;
}

/* An empty one that follows itself; all descriptors of the ring are such. */
static void change_to_loop(vhu__desc *desc)
{
    desc->len = 0;
    desc->flags |= VHU__DESC_NEXT;
    desc->next = 1;
}

/* It is found out, and nothing outside of memory is reported. */
static void test_changed_meanwhile(void **state)
{
    static const struct {
        void (*change)(vhu__desc *desc);
        bool indirect;
        const char *text;
    } changes[] = {
        {change_addr, false, "512 bytes at 0x1234"},
        {change_next, false, "descriptor 16"},
        {change_to_loop, false, "loop"},
        {change_to_loop, true, "loop"},
        {change_to_indirect, true, "in an indirect table itself"},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(changes); i++) {
        rig *r = rig_new(16, SPLIT);
        recorder rec = {.n = 0};
        uint16_t head = add_request(r, changes[i].indirect);

        hook(r, &rec);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), 1);
        rec.n = 0;
        changes[i].change(desc_of(r, head, 1));
        r->chains[0].written = 513;
        vhu_queue_complete(r->queue, r->chains, 1);
        assert_broken(r, changes[i].text);
        assert_int_equal(vhu_queue_in_use(r->queue), 0);
        for (size_t k = 0; k < rec.n; k++) {
            assert_int_equal(rec.records[k].what, 'd');
            assert_non_null(vhu_memory_at(r->device, rec.records[k].a, rec.records[k].b));
        }
        rig_free(r);
    }
}

static void change_packed_addr(vhu__packed_desc *desc)
{
    desc->addr = 0x1234;
}

static void change_packed_to_indirect(vhu__packed_desc *desc)
{
    desc->flags = VHU__DESC_INDIRECT | VHU__DESC_WRITE;
    desc->addr = 0x1234;
}

/* Of a packed ring only tables are read once more. */
static void test_table_changed_meanwhile(void **state)
{
    static const struct {
        void (*change)(vhu__packed_desc *desc);
        const char *text;
    } changes[] = {{change_packed_addr, "512 bytes at 0x1234"},
                   {change_packed_to_indirect, "512 bytes at 0x1234"}};

    (void)state;
    for (size_t i = 0; i < 2 * VHU__COUNT(changes); i++) {
        rig *r = rig_new(16, PACKED);
        recorder rec = {.n = 0};
        bool indirect = i % 2 == 0;
        uint16_t head = add_request(r, indirect);

        hook(r, &rec);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), 1);
        rec.n = 0;
        changes[i / 2].change(driver_ring_packed(&r->ring, head, 1));
        r->chains[0].written = 513;
        vhu_queue_complete(r->queue, r->chains, 1);
        if (indirect)
            assert_broken(r, changes[i / 2].text);
        else
            assert_int_equal(driver_ring_reap(&r->ring, NULL), head);
        assert_int_equal(vhu_queue_in_use(r->queue), 0);
        rig_free(r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_hooks),
        leakcheck_test(test_hooks_packed),
        leakcheck_test(test_lapped),
        leakcheck_test(test_round_the_end),
        leakcheck_test(test_some_hooks),
        leakcheck_test(test_changed_meanwhile),
        leakcheck_test(test_table_changed_meanwhile),
    };

    return cmocka_run_group_tests_name("queue_hooks", tests, NULL, NULL);
}
