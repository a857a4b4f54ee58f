/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's dirty log: what is in it, when it goes on and off, and areas that are none. */
#include <string.h>
#include <vmm_vhost/shm.h>

#include "inflight.h"
#include "os.h"
#include "test_device_fixture.h"

#define PROTOCOL (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_LOG_SHMFD) | VHU_BIT(VHU_PF_INFLIGHT_SHMFD))
#define PAGE UINT64_C(4096)

/* Where the used ring of ring 0 shall be in the log: its third byte of entries is on a new page. */
#define USED_LOG UINT64_C(0x5ff8)

static const kit_options one_ring = {.rings = 1};
static const kit_options packed = {.rings = 1, .features = VHU_BIT(VHU_F_RING_PACKED)};

/* The front-end's side of a log, and what it should say. */
typedef struct area {
    vhu_shm *shm;
    vhu_log_area area;
    uint8_t *bits;
    uint8_t *wanted;
} area;

static uint64_t memory_end(const frontend *f)
{
    const vhu_mem_region *last = &f->memory.regions[f->memory.num_regions - 1];

    return last->guest_addr + last->size;
}

static void area_new(area *a, const frontend *f)
{
    a->area = (vhu_log_area){.size = memory_end(f) / PAGE / 8 + 1, .offset = 24};
    assert_int_equal(vhu_shm_new(&a->shm, a->area.offset + 2 * a->area.size), 0);
    a->bits = (uint8_t *)vhu_shm_base(a->shm) + a->area.offset;
    a->wanted = a->bits + a->area.size;
}

/* These bytes should have been logged. */
static void want(area *a, uint64_t addr, uint64_t len)
{
    for (uint64_t page = addr / PAGE; page <= (addr + len - 1) / PAGE; page++)
        a->wanted[page / 8] |= (uint8_t)(1u << page % 8);
}

/* Just what is wanted has been; both are forgotten then. */
static void expect(area *a)
{
    for (uint64_t page = 0; page < a->area.size * 8; page++) {
        if ((a->bits[page / 8] ^ a->wanted[page / 8]) >> page % 8 & 1)
            fail_msg("page 0x%llx: wanted %d", (unsigned long long)page,
                     a->wanted[page / 8] >> page % 8 & 1);
    }
    memset(a->bits, 0, 2 * a->area.size);
}

static void forget(area *a)
{
    memset(a->bits, 0, 2 * a->area.size);
}

/* --- requests --- */

/* The size of the reply's payload, -1 if the connection has ended. */
static int set_base(kit *k, const vhu_log_area *log, vhu_handle handle)
{
    frontend_send(&k->front, VHU_REQ_SET_LOG_BASE, 0, log, sizeof(*log), &handle, 1);
    return frontend_recv(&k->front, VHU_REQ_SET_LOG_BASE, NULL, 0);
}

static void set_area(kit *k, const area *a)
{
    assert_int_equal(set_base(k, &a->area, vhu_shm_handle(a->shm)), 0);
}

static int64_t set_addr(kit *k, uint32_t ring, uint32_t flags, uint64_t log)
{
    return frontend_log_addr(&k->front, ring, flags, log);
}

static void set_logging(kit *k, bool on)
{
    const uint64_t features = k->front.features | (on ? VHU_BIT(VHU_F_LOG_ALL) : 0);

    assert_int_equal(frontend_set(&k->front, VHU_REQ_SET_FEATURES, features), 0);
}

/* Rings run, with data on pages of their own. */
static kit *started(const kit_options *options, area *a)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;

    for (uint32_t i = 0; i < f->num_rings; i++)
        f->rings[i].data =
            f->memory.regions[0].guest_addr + f->memory.regions[0].size - (i + 1) * 2 * PAGE;
    frontend_handshake(f, PROTOCOL);
    frontend_share(f, f->memory.num_regions);
    for (uint32_t i = 0; i < f->num_rings; i++)
        frontend_start_ring(f, i, driver_ring_base(&f->rings[i].driver));
    kit_requests(k, 0, 3);
    area_new(a, f);
    return k;
}

/* As QEMU does when a migration begins. */
static kit *logging(const kit_options *options, area *a)
{
    kit *k = started(options, a);

    set_area(k, a);
    set_logging(k, true);
    for (uint32_t i = 0; i < k->front.num_rings; i++)
        assert_int_equal(set_addr(k, i, VHU_VRING_F_LOG, USED_LOG + i * 4 * PAGE), 0);
    forget(a);
    return k;
}

static void finish(kit *k, area *a)
{
    kit_free(k);
    vhu_shm_free(a->shm);
}

static void want_data(const kit *k, area *a, uint32_t ring)
{
    want(a, k->front.rings[ring].data, 1);
}

/* With events, all is near the ring's beginning and the last word. */
static void want_used(const kit *k, area *a)
{
    const driver_ring *ring = &k->front.rings[0].driver;

    if (ring->is_packed) {
        want(a, ring->desc_addr, 16);
        want(a, ring->used_addr, 4);
    } else {
        want(a, USED_LOG, vhu__used_bytes(ring->num));
    }
}

/* Requests of ring 0, and what they have written. */
static void expect_requests(const kit *k, area *a)
{
    want_data(k, a, 0);
    want_used(k, a);
    expect(a);
}

/* Requests of ring 0 that are done no sooner than they must. */
static void keep_out(kit *k, area *a, uint32_t n)
{
    atomic_store(&k->echo.hold, true);
    frontend_submit(&k->front.rings[0], n);
    kit_turn(k);
    forget(a);
    atomic_store(&k->echo.hold, false);
}

/* --- on and off --- */

/* In mid-run, and the device knows nothing of it. */
static void switched(const kit_options *options)
{
    area a;
    kit *k = started(options, &a);
    const uint64_t features = k->echo.features;
    const unsigned calls = k->echo.set_features;

    set_area(k, &a);
    kit_requests(k, 0, 3);
    expect(&a);

    set_logging(k, true);
    kit_requests(k, 0, 3);
    want_data(k, &a, 0);
    expect(&a);
    assert_int_equal(set_addr(k, 0, VHU_VRING_F_LOG, USED_LOG), 0);
    kit_requests(k, 0, 3);
    expect_requests(k, &a);

    /* What is out is finished, and logged, before the device agrees. */
    keep_out(k, &a, 2);
    set_logging(k, false);
    expect_requests(k, &a);
    kit_reap(k, 0, 2);
    kit_requests(k, 0, 3);
    assert_int_equal(set_addr(k, 0, 0, 0), 0);
    kit_requests(k, 0, 3);
    expect(&a);

    set_logging(k, true);
    kit_requests(k, 0, 3);
    want_data(k, &a, 0);
    expect(&a);
    assert_int_equal(k->echo.set_features, calls);
    assert_int_equal(k->echo.features, features);
    assert_int_equal(vhu_ring_features(vhu_device_ring(k->device, 0)), features);
    finish(k, &a);
}

static void test_switched(void **state)
{
    (void)state;
    kit_each(switched, one_ring);
    kit_each(switched, packed);
}

/* The first acknowledgement may have it; and the device must not see it then, either. */
static void test_from_the_start(void **state)
{
    kit *k = kit_new(&one_ring);
    frontend *f = &k->front;
    area a;

    (void)state;
    assert_true(frontend_get(f, VHU_REQ_GET_FEATURES) & VHU_BIT(VHU_F_LOG_ALL));
    frontend_handshake(f, PROTOCOL);
    f->features |= VHU_BIT(VHU_F_LOG_ALL);
    frontend_share(f, 1);
    f->features &= ~VHU_BIT(VHU_F_LOG_ALL);
    assert_int_equal(k->echo.features, f->features);
    /* No area yet: nothing can be logged. */
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 3);
    area_new(&a, f);
    set_area(k, &a);
    kit_requests(k, 0, 3);
    want(&a, f->rings[0].data, 3 * FRONTEND_SLOT);
    expect(&a);
    finish(k, &a);
}

/* The next front-end has no log. */
static void test_next_frontend(void **state)
{
    area a;
    kit *k = logging(&one_ring, &a);

    (void)state;
    kit_requests(k, 0, 3);
    frontend_hang_up(&k->front);
    kit_turn(k);
    forget(&a);
    kit_connect(k);
    frontend_handshake(&k->front, PROTOCOL);
    set_logging(k, true);
    assert_int_equal(frontend_region(&k->front, VHU_REQ_ADD_MEM_REG, 0), 0);
    frontend_start_ring(&k->front, 0, 6);
    kit_requests(k, 0, 3);
    expect(&a);
    finish(k, &a);
}

/* --- changes while it is on --- */

/* What was out when the second log came is in the first. */
static void another_area(const kit_options *options)
{
    area a, b;
    kit *k = logging(options, &a);

    area_new(&b, &k->front);
    keep_out(k, &a, 2);
    set_area(k, &b);
    expect_requests(k, &a);
    expect(&b);
    kit_reap(k, 0, 2);
    kit_requests(k, 0, 2);
    expect(&a);
    expect_requests(k, &b);
    vhu_shm_free(b.shm);
    finish(k, &a);
}

static void test_another_area(void **state)
{
    (void)state;
    kit_each(another_area, one_ring);
    kit_each(another_area, packed);
}

/* Memory that comes later has no bits: it is warned of, and the rest is logged. */
static void test_more_memory(void **state)
{
    const kit_options two_regions = {.rings = 1, .regions = 2};
    kit *k = kit_new(&two_regions);
    frontend *f = &k->front;
    const vhu_mem_region *later = &f->memory.regions[1];
    frontend_ring *ring = &f->rings[0];
    area a;

    (void)state;
    frontend_handshake(f, PROTOCOL);
    frontend_share(f, 1);
    area_new(&a, f);
    a.area.size = (f->memory.regions[0].guest_addr + f->memory.regions[0].size) / PAGE / 8;
    a.wanted = a.bits + a.area.size;
    set_area(k, &a);
    set_logging(k, true);
    frontend_start_ring(f, 0, 0);
    assert_int_equal(set_addr(k, 0, VHU_VRING_F_LOG, ring->driver.used_addr), 0);
    assert_int_equal(k->logged, 0);
    kit_requests(k, 0, 1);
    forget(&a);

    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, 1), 0);
    assert_true(k->logged > 0);
    assert_non_null(strstr(k->last_log, "too small"));
    ring->data = later->guest_addr + later->size - PAGE;
    kit_requests(k, 0, 2);
    want(&a, ring->driver.used_addr, vhu__used_bytes(ring->driver.num));
    expect(&a);
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 1), 0);
    ring->data = f->memory.regions[0].guest_addr + f->memory.regions[0].size - PAGE;
    kit_requests(k, 0, 2);
    want_data(k, &a, 0);
    want(&a, ring->driver.used_addr, vhu__used_bytes(ring->driver.num));
    expect(&a);
    finish(k, &a);
}

/* Each is told what the other is not, and nobody is done out of it. */
static void test_with_inflight(void **state)
{
    vhu_inflight_area records = {.num_queues = 1, .queue_size = 16};
    vhu_handle handle;
    area a;
    kit *k = logging(&one_ring, &a);

    (void)state;
    frontend_get_area(&k->front, &records, &handle);
    assert_int_equal(frontend_set_area(&k->front, &records, handle), 0);
    forget(&a);
    kit_requests(k, 0, 3);
    expect_requests(k, &a);
    vhu_handle_close(&handle);
    finish(k, &a);
}

/* --- the last look --- */

/* What was taken is done and logged before the base is told; asking again changes nothing. */
static void last_look(const kit_options *options)
{
    area a;
    kit *k = logging(options, &a);
    frontend *f = &k->front;
    uint32_t base;

    keep_out(k, &a, 4);
    base = frontend_base(f, 0);
    expect_requests(k, &a);
    assert_int_equal(frontend_reap(&f->rings[0]), 4);
    for (int i = 0; i < 3; i++)
        assert_int_equal(frontend_base(f, 0), base);
    set_logging(k, false);
    assert_int_equal(frontend_base(f, 0), base);
    kit_turn(k);
    expect(&a);
    frontend_start_ring(f, 0, base);
    kit_requests(k, 0, 3);
    finish(k, &a);
}

static void test_last_look(void **state)
{
    (void)state;
    kit_each(last_look, one_ring);
    kit_each(last_look, packed);
}

/* --- the log's event --- */

static int64_t set_event(kit *k, vhu_event *event)
{
    vhu_handle handle;
    int64_t r;

    assert_int_equal(vhu_event_dup_signal(event, &handle), 0);
    r = frontend_request(&k->front, VHU_REQ_SET_LOG_FD, NULL, 0, &handle, 1);
    vhu_handle_close(&handle);
    return r;
}

static void event(const kit_options *options)
{
    vhu_event *events[2] = {frontend_event_new(), frontend_event_new()};
    area a;
    kit *k = started(options, &a);

    assert_int_equal(set_event(k, events[0]), 0);
    kit_requests(k, 0, 3);
    assert_false(frontend_signalled(events[0]));
    set_area(k, &a);
    set_logging(k, true);
    assert_false(frontend_signalled(events[0]));
    kit_requests(k, 0, 3);
    assert_true(frontend_signalled(events[0]));
    kit_turn(k);
    assert_false(frontend_signalled(events[0]));
    assert_int_equal(set_event(k, events[1]), 0);
    kit_requests(k, 0, 3);
    assert_true(frontend_signalled(events[1]));
    assert_false(frontend_signalled(events[0]));
    finish(k, &a);
    for (int i = 0; i < 2; i++)
        vhu_event_free(events[i]);
}

static void test_event(void **state)
{
    (void)state;
    kit_each(event, one_ring);
    kit_each(event, packed);
}

/* --- areas that are none --- */

typedef struct bad_area {
    uint64_t less;   /* than the memory needs; or than the object has, which is twice that */
    uint64_t offset; /* 0: the right one */
    uint64_t used;   /* where ring 0 shall be logged */
} bad_area;

/* It has no way to tell of a failure, so the connection ends. */
static void test_bad_areas(void **state)
{
    static const bad_area rows[] = {
        {.less = 1, .used = USED_LOG},
        {.less = 0x1000, .used = USED_LOG},
        {.offset = UINT64_C(1) << 40, .used = USED_LOG},
        {.offset = INT64_MAX, .used = USED_LOG},
        {.offset = UINT64_MAX, .used = USED_LOG},
        {.used = UINT64_C(1) << 40},
        {.used = UINT64_MAX},
        {.used = UINT64_MAX - 100},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        area a;
        kit *k = started(&one_ring, &a);
        vhu_log_area wrong = a.area;

        assert_int_equal(set_addr(k, 0, VHU_VRING_F_LOG, rows[i].used), 0);
        wrong.size = memory_end(&k->front) / PAGE / 8 - rows[i].less;
        wrong.offset = rows[i].offset ? rows[i].offset : wrong.offset;
        kit_requests(k, 0, 2);
        assert_int_equal(set_base(k, &wrong, vhu_shm_handle(a.shm)), -1);
        expect(&a);
        finish(k, &a);
    }
}

/* Objects that are too short, or none at all; the one before stays in use until the end. */
static void test_bad_handles(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        area a;
        kit *k = logging(&one_ring, &a);
        vhu_handle handle = vhu_event_wait_handle(k->front.rings[0].kick);
        vhu_shm *small;

        assert_int_equal(vhu_shm_new(&small, 4096), 0);
        if (i == 0)
            handle = vhu_shm_handle(small);
        if (i < 2)
            assert_int_equal(set_base(k, &a.area, handle), -1);
        else
            assert_int_equal(
                frontend_request(&k->front, VHU_REQ_SET_LOG_BASE, &a.area, sizeof(a.area), NULL, 0),
                -1);
        vhu_shm_free(small);
        finish(k, &a);
    }
}

/* Without LOG_SHMFD it is an address, of which only the same process could make something. */
static void test_by_address(void **state)
{
    kit *k = kit_new(&one_ring);
    frontend *f = &k->front;

    (void)state;
    frontend_handshake(f, FRONTEND_PROTOCOL);
    frontend_share(f, 1);
    frontend_start_ring(f, 0, 0);
    assert_int_not_equal(frontend_set(f, VHU_REQ_SET_LOG_BASE, (uintptr_t)k), 0);
    kit_requests(k, 0, 2);
    kit_free(k);
}

/* An address that comes after the log: what is beyond is warned of, and passed over. */
static void test_bad_addresses(void **state)
{
    static const uint64_t rows[] = {UINT64_C(1) << 40, UINT64_MAX, UINT64_MAX - 100};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        area a;
        kit *k = logging(&one_ring, &a);

        assert_int_equal(k->logged, 0);
        assert_int_equal(set_addr(k, 0, VHU_VRING_F_LOG, rows[i]), 0);
        assert_true(k->logged > 0);
        forget(&a);
        kit_requests(k, 0, 5);
        want_data(k, &a, 0);
        expect(&a);
        finish(k, &a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_switched),      leakcheck_test(test_from_the_start),
        leakcheck_test(test_next_frontend), leakcheck_test(test_another_area),
        leakcheck_test(test_more_memory),   leakcheck_test(test_with_inflight),
        leakcheck_test(test_last_look),     leakcheck_test(test_event),
        leakcheck_test(test_bad_areas),     leakcheck_test(test_bad_handles),
        leakcheck_test(test_by_address),    leakcheck_test(test_bad_addresses),
    };

    return cmocka_run_group_tests_name("device_log", tests, NULL, NULL);
}
