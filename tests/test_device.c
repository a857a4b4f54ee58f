/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit by its front-end's requests: what starts a ring, stops it, and what is refused. */
#include <string.h>

#include "test_device_fixture.h"

static const kit_options one_ring = {.rings = 1};
static const kit_options two_rings = {.rings = 2};

/* --- starting --- */

enum piece { FEATURES, TABLE, NUM, ADDR, KICK, ENABLE, PIECES };

static void send_piece(frontend *f, int piece)
{
    switch (piece) {
    case FEATURES:
        assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
        break;
    case TABLE:
        assert_int_equal(frontend_table(f, 0, 1), 0);
        break;
    case NUM:
        assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, f->rings[0].driver.num), 0);
        break;
    case ADDR:
        assert_int_equal(frontend_addr(f, 0), 0);
        break;
    case KICK:
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 0);
        break;
    default:
        assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
        break;
    }
}

static void swap(int *a, int *b)
{
    int was = *a;

    *a = *b;
    *b = was;
}

/* The next of all orders; false after the last. */
static bool next_order(int order[PIECES])
{
    int i = PIECES - 2;
    int j = PIECES - 1;

    while (i >= 0 && order[i] > order[i + 1])
        i--;
    if (i < 0)
        return false;
    while (order[j] < order[i])
        j--;
    swap(&order[i], &order[j]);
    for (i++, j = PIECES - 1; i < j; i++, j--)
        swap(&order[i], &order[j]);
    return true;
}

static void try_order(kit *k, const int order[PIECES])
{
    unsigned needed = PIECES - 1; /* all but the features */

    for (int i = 0; i < PIECES; i++) {
        assert_false(kit_runs(k, 0));
        send_piece(&k->front, order[i]);
        kit_turn(k);
        needed -= order[i] != FEATURES;
        if (needed == 0)
            break;
    }
    assert_true(kit_runs(k, 0));
    if (order[PIECES - 1] == FEATURES)
        send_piece(&k->front, FEATURES);
    kit_turn(k);
    assert_int_equal(k->echo.features, k->front.features);
}

/* Every order; the first requests were there before any of it. */
static void any_order(const kit_options *options)
{
    int order[PIECES] = {0, 1, 2, 3, 4, 5};
    kit *k = kit_new(options);

    do {
        uint16_t base = k->front.rings[0].driver.avail_idx;

        assert_int_equal(frontend_vring(&k->front, VHU_REQ_SET_VRING_BASE, 0, base), 0);
        /* Without the features a ring has no indirect descriptors. */
        if (order[PIECES - 1] != FEATURES)
            frontend_submit(&k->front.rings[0], 3);
        try_order(k, order);
        if (order[PIECES - 1] != FEATURES)
            kit_reap(k, 0, 3);
        kit_requests(k, 0, 4);
        frontend_hang_up(&k->front);
        kit_turn(k);
        kit_connect(k);
    } while (next_order(order));
    kit_free(k);
}

static void test_any_order(void **state)
{
    (void)state;
    kit_each(any_order, one_ring);
}

static void qemu_order(const kit_options *options)
{
    kit *k = kit_started(options);

    kit_requests(k, 0, 5);
    kit_requests(k, 1, 5);
    assert_int_equal(k->echo.features, k->front.features);
    assert_true(frontend_signalled(k->front.rings[0].call));
    kit_free(k);
}

static void test_qemu_order(void **state)
{
    (void)state;
    kit_each(qemu_order, two_rings);
}

/* SET_OWNER first, a table with room for two regions, REPLY_ACK on everything. */
static void uml_order(const kit_options *options)
{
    struct {
        uint32_t n;
        uint32_t pad;
        vhu_mem_region regions[2];
    } table = {.n = 1};
    const uint64_t protocol = VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_BACKEND_REQ);
    kit *k = kit_new(options);
    frontend *f = &k->front;
    const vhu_handle memory = driver_memory_handle(&f->memory);

    assert_int_equal(frontend_request(f, VHU_REQ_SET_OWNER, NULL, 0, NULL, 0), 0);
    frontend_get(f, VHU_REQ_GET_FEATURES);
    frontend_get(f, VHU_REQ_GET_PROTOCOL_FEATURES);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_PROTOCOL_FEATURES, protocol), 0);
    frontend_channel(f);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    table.regions[0] = f->memory.regions[0];
    assert_int_equal(sizeof(table), 72);
    assert_int_equal(frontend_request(f, VHU_REQ_SET_MEM_TABLE, &table, sizeof(table), &memory, 1),
                     0);
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 7);
    kit_free(k);
}

static void test_uml_order(void **state)
{
    (void)state;
    kit_each(uml_order, one_ring);
}

/* Feature bit 30 decides whether rings begin enabled; `serve_disabled` leaves that to the device.
 */
static void test_enabled(void **state)
{
    static const struct {
        bool bit_30, serve_disabled;
        int before; /* ENABLE before SET_FEATURES: its value, or -1 */
        bool runs, enabled;
    } cases[] = {
        {false, false, -1, true, true}, {true, false, -1, false, false},
        {true, false, 1, true, true},   {true, false, 0, false, false},
        {false, false, 0, true, true},  {true, true, -1, true, false},
        {true, true, 1, true, true},    {true, true, 0, true, false},
    };

    (void)state;
    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const kit_options options = {
            .workers = i % 3, .rings = 1, .serve_disabled = cases[i].serve_disabled};
        kit *k = kit_new(&options);
        frontend *f = &k->front;

        if (!cases[i].bit_30)
            f->features &= ~VHU_BIT(VHU_F_PROTOCOL_FEATURES);
        if (cases[i].before >= 0)
            frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, (uint32_t)cases[i].before);
        frontend_set(f, VHU_REQ_SET_FEATURES, f->features);
        frontend_table(f, 0, 1);
        frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 16);
        frontend_addr(f, 0);
        frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick);
        kit_turn(k);
        assert_true(k->server);
        assert_int_equal(kit_runs(k, 0), cases[i].runs);
        if (cases[i].runs) {
            assert_int_equal(vhu_ring_enabled(vhu_device_ring(k->device, 0)), cases[i].enabled);
            assert_int_equal(vhu_ring_features(vhu_device_ring(k->device, 0)), f->features);
            kit_requests(k, 0, 2);
        }
        kit_free(k);
    }
}

/* As DPDK greets a server that it comes back to: no SET_OWNER, rings that never ran. */
static void test_stop_comes_first(void **state)
{
    (void)state;
    for (unsigned workers = 0; workers <= KIT_WORKERS; workers++) {
        kit *k = kit_new(&(kit_options){.workers = workers, .rings = 2});

        for (uint32_t i = 0; i < 2; i++) {
            assert_int_equal(frontend_stop_ring(&k->front, i), 0);
            assert_int_equal(frontend_stop_ring(&k->front, i), 0);
        }
        frontend_start(&k->front);
        kit_requests(k, 1, 3);
        kit_free(k);
    }
}

/* --- bases --- */

static void bases(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    kit_requests(k, 0, 9);
    kit_requests(k, 1, 2);
    assert_int_equal(frontend_base(f, 0), 9);
    assert_int_equal(frontend_base(f, 0), 9);
    assert_false(kit_runs(k, 0));
    assert_true(kit_runs(k, 1));
    kit_requests(k, 1, 3);
    /* A stopped ring, whatever else changes. */
    frontend_addr(f, 0);
    frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1);
    assert_int_equal(frontend_base(f, 0), 9);
    frontend_vring(f, VHU_REQ_SET_VRING_BASE, 0, 77);
    assert_int_equal(frontend_base(f, 0), 77);
    assert_int_equal(frontend_base(f, 1), 5);
    kit_free(k);
}

static void test_bases(void **state)
{
    (void)state;
    kit_each(bases, two_rings);
}

/* A firmware's driver, then the system's: other features, other places, and on from a base. */
static void stop_and_start(const kit_options *options)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;
    uint64_t firmware = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_PROTOCOL_FEATURES);
    uint64_t system = f->features;
    driver_ring *d = &f->rings[0].driver;

    f->features = firmware;
    assert_int_equal(driver_ring_init(d, &f->memory, d->desc_addr, d->num, firmware), 0);
    frontend_start(f);
    kit_requests(k, 0, 1);
    kit_requests(k, 0, 1);
    assert_int_equal(frontend_stop_ring(f, 0), 2);
    f->features = system;
    assert_int_equal(driver_ring_init(d, &f->memory, d->desc_addr, d->num, system), 0);
    frontend_set(f, VHU_REQ_SET_FEATURES, system);
    assert_int_equal(k->echo.features, system);
    frontend_start_ring(f, 0, 0);
    for (uint32_t i = 1; i < 100; i++) {
        uint32_t base;

        kit_requests(k, 0, i % 7 + 1);
        /* Nobody looks at these before the ring stops. */
        base = frontend_stop_ring(f, 0);
        assert_int_equal(base, d->used_idx);
        frontend_submit(&f->rings[0], 2);
        frontend_start_ring(f, 0, base);
        kit_reap(k, 0, 2);
    }
    kit_free(k);
}

static void test_stop_and_start(void **state)
{
    (void)state;
    kit_each(stop_and_start, one_ring);
}

/* The index goes round. */
static void base_wraps(const kit_options *options)
{
    kit *k = kit_new(options);

    driver_ring_set_index(&k->front.rings[0].driver, 0xfffc);
    frontend_start(&k->front);
    kit_requests(k, 0, 8);
    assert_int_equal(frontend_base(&k->front, 0), 4);
    kit_free(k);
}

static void test_base_wraps(void **state)
{
    (void)state;
    kit_each(base_wraps, one_ring);
}

/* --- what is refused, and changes nothing --- */

/* The message that would start a ring fails if the ring cannot. */
static void start_refused(const kit_options *options)
{
    static const int orders[][2] = {{KICK, ENABLE}, {ENABLE, KICK}};

    for (size_t i = 0; i < sizeof(orders) / sizeof(orders[0]); i++) {
        kit *k = kit_new(options);
        frontend *f = &k->front;
        uint64_t desc = f->rings[0].driver.desc_addr;
        int last = orders[i][1];

        frontend_handshake(f, VHU_BIT(VHU_PF_REPLY_ACK));
        for (int piece = FEATURES; piece < ADDR; piece++)
            send_piece(f, piece);
        f->rings[0].driver.desc_addr = f->memory.regions[0].guest_addr + f->memory.regions[0].size;
        send_piece(f, ADDR);
        send_piece(f, orders[i][0]);
        if (last == ENABLE)
            assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 1);
        else
            assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 1);
        kit_turn(k);
        assert_false(kit_runs(k, 0));
        f->rings[0].driver.desc_addr = desc;
        send_piece(f, ADDR);
        send_piece(f, last);
        kit_turn(k);
        assert_true(kit_runs(k, 0));
        kit_requests(k, 0, 3);
        kit_free(k);
    }
}

static void test_start_refused(void **state)
{
    (void)state;
    kit_each(start_refused, one_ring);
}

static void refuse_events(frontend *f)
{
    vhu_handle memory = driver_memory_handle(&f->memory);

    assert_int_equal(frontend_event_handle(f, VHU_REQ_SET_VRING_KICK, 0, memory), 1);
    assert_int_equal(frontend_event_handle(f, VHU_REQ_SET_VRING_CALL, 0, memory), 1);
    assert_int_equal(frontend_event_handle(f, VHU_REQ_SET_VRING_ERR, 0, memory), 1);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, NULL), 1); /* to poll for ever */
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 9, f->rings[0].kick), 1);
}

static void refuse_memory(frontend *f)
{
    vhu_mem_region region = f->memory.regions[0];

    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, 0), 1); /* there already */
    f->memory.regions[0].mmap_offset += f->memory.size;              /* behind the end */
    assert_int_equal(frontend_table(f, 0, 1), 1);
    f->memory.regions[0] = region;
    f->memory.regions[0].user_addr += 4096;
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 0), 1);
    f->memory.regions[0] = region;
    f->memory.regions[1].guest_addr = region.guest_addr; /* overlap */
    assert_int_equal(frontend_table(f, 0, 2), 1);
    f->memory.regions[1].guest_addr = region.guest_addr + 2 * region.size;
}

static void refused(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    kit_requests(k, 0, 3);
    refuse_events(f);
    kit_requests(k, 0, 3);
    refuse_memory(f);
    kit_requests(k, 0, 3);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 0), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 24), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, 65536), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, 0, 65536), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 2), 1);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 1, 0), 1);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, UINT64_MAX), 1);
    k->echo.features_result = VHU_EINVAL;
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, VHU_BIT(VHU_F_VERSION_1)), 1);
    kit_requests(k, 0, 3);
    assert_int_equal(frontend_base(f, 0), 12);
    assert_false(frontend_signalled(f->rings[0].err));
    kit_free(k);
}

static void test_refused(void **state)
{
    (void)state;
    kit_each(refused, (kit_options){.rings = 1, .regions = 2});
}

/* --- resets --- */

static void reset_owner(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    kit_requests(k, 0, 3);
    assert_int_equal(frontend_request(f, VHU_REQ_RESET_OWNER, NULL, 0, NULL, 0), 0);
    assert_false(kit_runs(k, 0));
    frontend_submit(&f->rings[0], 2);
    kit_turn(k);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    kit_reap(k, 0, 2);
    kit_free(k);
}

static void test_reset_owner(void **state)
{
    (void)state;
    kit_each(reset_owner, two_rings);
}

/* Memory, the protocol's features and the events for the driver stay. */
static void reset_device(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    frontend_ring *r = &f->rings[0];

    kit_requests(k, 0, 3);
    frontend_signalled(r->call);
    assert_int_equal(frontend_request(f, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    assert_false(kit_runs(k, 0) || kit_runs(k, 1));
    assert_int_equal(frontend_base(f, 0), 0);
    frontend_set(f, VHU_REQ_SET_FEATURES, f->features);
    driver_ring_set_index(&r->driver, 0);
    frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, r->driver.num);
    frontend_vring(f, VHU_REQ_SET_VRING_BASE, 0, 0);
    frontend_addr(f, 0);
    frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, r->kick);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1);
    kit_requests(k, 0, 3);
    assert_true(frontend_signalled(r->call));
    driver_ring_push_head(&r->driver, 999);
    driver_ring_publish(&r->driver);
    frontend_submit(r, 1);
    kit_turn(k);
    assert_true(frontend_signalled(r->err));
    kit_free(k);
}

static void test_reset_device(void **state)
{
    (void)state;
    kit_each(reset_device, two_rings);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_any_order),        leakcheck_test(test_qemu_order),
        leakcheck_test(test_uml_order),        leakcheck_test(test_enabled),
        leakcheck_test(test_stop_comes_first), leakcheck_test(test_bases),
        leakcheck_test(test_stop_and_start),   leakcheck_test(test_base_wraps),
        leakcheck_test(test_refused),          leakcheck_test(test_reset_owner),
        leakcheck_test(test_reset_device),     leakcheck_test(test_start_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
