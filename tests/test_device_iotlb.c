/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit behind an IOMMU: rings that wait for translations, start late, and lose them. */
#include <string.h>

#include "test_device_fixture.h"
#include "util.h"

enum { RO = VHU_IOTLB_RO, WO = VHU_IOTLB_WO, RW = VHU_IOTLB_RW, PAGE = 4096 };

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)
#define PACKED (PLATFORM | VHU_BIT(VHU_F_RING_PACKED))

static frontend_iommu *iommu_of(kit *k)
{
    return &k->front.iommu;
}

static uint64_t ring_addr(kit *k, uint32_t ring)
{
    return k->front.rings[ring].driver.desc_addr;
}

static int64_t update(kit *k, uint64_t iova, uint64_t size, uint8_t perm)
{
    return frontend_iotlb(&k->front, VHU_IOTLB_UPDATE, iova, size, perm);
}

static int64_t invalidate(kit *k, uint64_t iova, uint64_t size)
{
    return frontend_iotlb(&k->front, VHU_IOTLB_INVALIDATE, iova, size, 0);
}

/* All parts of a ring, and all that its requests are about. */
static void map_ring(kit *k, uint32_t ring)
{
    const driver_ring *d = &k->front.rings[ring].driver;

    assert_int_equal(update(k, d->desc_addr, d->end_addr - d->desc_addr, RW), 0);
}

static void map_data(kit *k, uint32_t ring)
{
    assert_int_equal(update(k, k->front.rings[ring].data, PAGE, RW), 0);
}

static void each(void (*test)(const kit_options *options), uint32_t rings)
{
    kit_each(test, (kit_options){.rings = rings, .features = PLATFORM});
    kit_each(test, (kit_options){.rings = rings, .features = PACKED});
}

/* --- */

/* Whatever the size of a translation, and whatever it allows besides what was asked for. */
static void traffic(const kit_options *options)
{
    static const uint64_t pages[] = {4096, 64, 1 << 16};

    for (size_t i = 0; i < VHU__COUNT(pages); i++) {
        kit *k = kit_new(options);

        iommu_of(k)->page = pages[i];
        iommu_of(k)->perm = i == 0 ? RW : 0;
        frontend_start(&k->front);
        for (uint32_t n = 1; n < 50; n++) {
            kit_requests(k, 0, n % 3 + 1);
            kit_requests(k, 1, n % 2 + 1);
        }
        assert_in_range(iommu_of(k)->misses, 2, 1000);
        assert_int_equal(iommu_of(k)->fails, 0);
        kit_free(k);
    }
}

static void test_traffic(void **state)
{
    (void)state;
    each(traffic, 2);
    kit_each(traffic, (kit_options){.rings = 2, .features = PLATFORM | VHU_BIT(VHU_F_IN_ORDER)});
}

/* A ring whose parts are not known yet is started, and runs as soon as they are. */
static void late_start(const kit_options *options)
{
    kit *k = kit_new(options);

    iommu_of(k)->silent = true;
    frontend_start(&k->front);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    assert_int_equal(iommu_of(k)->misses, 1);
    assert_int_equal(iommu_of(k)->last.perm, options->features & PACKED & ~PLATFORM ? RW : RO);
    assert_true(iommu_of(k)->last.iova == ring_addr(k, 0) && iommu_of(k)->last.size == 256);
    /* It is asked for once, whatever comes meanwhile. */
    assert_int_equal(frontend_vring(&k->front, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_equal(invalidate(k, 0, UINT64_MAX), 0);
    assert_int_equal(update(k, ring_addr(k, 0) + PAGE, PAGE, RW), 0);
    kit_turn(k);
    assert_int_equal(iommu_of(k)->misses, 1);
    map_ring(k, 0);
    map_data(k, 0);
    kit_turn(k);
    assert_true(kit_runs(k, 0));
    kit_requests(k, 0, 3);
    assert_int_equal(iommu_of(k)->misses, 1);
    kit_free(k);
}

static void test_late_start(void **state)
{
    (void)state;
    each(late_start, 1);
}

/* One ring waits, the others go on; and it goes on when it can. */
static void others_go_on(const kit_options *options)
{
    kit *k = kit_new(options);
    unsigned turns;

    iommu_of(k)->silent = true;
    frontend_start(&k->front);
    map_ring(k, 0);
    map_ring(k, 1);
    map_data(k, 1);
    iommu_of(k)->misses = 0;
    assert_int_equal(frontend_submit(&k->front.rings[0], 2), 2);
    for (int i = 0; i < 10; i++)
        kit_requests(k, 1, 2);
    kit_reap(k, 0, 0);
    assert_int_equal(iommu_of(k)->misses, 1);
    assert_true(iommu_of(k)->last.iova == k->front.rings[0].data);
    assert_int_equal(iommu_of(k)->last.size, 16);
    assert_int_equal(iommu_of(k)->last.perm, RO);
    /* The device is not asked in vain. */
    turns = atomic_load(&k->echo.rings[0].turns);
    kit_requests(k, 1, 2);
    kit_turn(k);
    assert_int_equal(atomic_load(&k->echo.rings[0].turns), turns);
    map_data(k, 0);
    kit_reap(k, 0, 2);
    kit_free(k);
}

static void test_others_go_on(void **state)
{
    (void)state;
    each(others_go_on, 2);
}

/* A ring that waits stops at once, by whatever request; and asks again when it starts. */
static void stops_waiting(const kit_options *options)
{
    kit *k = kit_new(options);
    driver_ring *d = &k->front.rings[0].driver;

    iommu_of(k)->silent = true;
    frontend_start(&k->front);
    map_ring(k, 0);
    assert_int_equal(frontend_submit(&k->front.rings[0], 1), 1);
    kit_turn(k);
    for (unsigned i = 0; i < 3; i++) {
        uint32_t base = frontend_stop_ring(&k->front, 0);

        assert_int_equal(base, options->features & PACKED & ~PLATFORM ? 0x80008000 : 0);
        assert_false(kit_runs(k, 0));
        iommu_of(k)->misses = 0;
        frontend_start_ring(&k->front, 0, base);
        kit_turn(k);
        assert_true(kit_runs(k, 0));
        assert_int_equal(iommu_of(k)->misses, 1);
        assert_true(iommu_of(k)->last.iova == k->front.rings[0].data);
    }
    map_data(k, 0);
    kit_reap(k, 0, 1);
    assert_int_equal(driver_ring_base(d), frontend_stop_ring(&k->front, 0));
    kit_free(k);
}

static void test_stops_waiting(void **state)
{
    (void)state;
    each(stops_waiting, 1);
}

/* So does one that never came to run, and the whole connection. */
static void leaves_waiting(const kit_options *options)
{
    kit *k = kit_new(options);

    iommu_of(k)->silent = true;
    frontend_start(&k->front);
    map_ring(k, 1);
    assert_int_equal(frontend_submit(&k->front.rings[1], 1), 1);
    kit_turn(k);
    frontend_stop_ring(&k->front, 0);
    iommu_of(k)->misses = 0;
    frontend_start_ring(&k->front, 0, driver_ring_base(&k->front.rings[0].driver));
    kit_turn(k);
    assert_int_equal(iommu_of(k)->misses, 1);
    frontend_hang_up(&k->front);
    kit_turn(k);
    assert_true(vhu_device_is_idle(k->device));
    kit_free(k);
}

static void test_leaves_waiting(void **state)
{
    (void)state;
    each(leaves_waiting, 2);
}

/* An invalidation is answered when nothing that was taken by it is out any more. */
static void invalidation(const kit_options *options)
{
    kit *k = kit_started(options);
    const vhu_iotlb_msg msg = {k->front.rings[0].data, PAGE, 0xbad, 0, VHU_IOTLB_INVALIDATE, {0}};
    uint64_t status;

    atomic_store(&k->echo.hold, true);
    frontend_submit(&k->front.rings[0], 2);
    kit_turn(k);
    assert_int_equal(k->echo.rings[0].out, 2);
    frontend_send(&k->front, VHU_REQ_IOTLB_MSG, VHU_FLAG_NEED_REPLY, &msg, sizeof(msg), NULL, 0);
    kit_turn(k);
    assert_true(frontend_is_silent(&k->front));
    iommu_of(k)->misses = 0;
    atomic_store(&k->echo.hold, false);
    assert_int_equal(frontend_recv(&k->front, VHU_REQ_IOTLB_MSG, &status, sizeof(status)), 8);
    assert_true(status == 0);
    kit_reap(k, 0, 2);
    assert_int_equal(iommu_of(k)->misses, 0);
    kit_requests(k, 0, 2);
    assert_int_equal(iommu_of(k)->misses, 2); /* to read, and to write */
    kit_free(k);
}

static void test_invalidation(void **state)
{
    (void)state;
    each(invalidation, 1);
}

/* A ring that loses its own parts goes on when they are known again, from where it was. */
static void loses_parts(const kit_options *options)
{
    static const uint64_t sizes[] = {UINT64_MAX, 0};
    kit *k = kit_started(options);

    for (unsigned i = 0; i < 6; i++) {
        kit_requests(k, 0, 3);
        kit_requests(k, 1, 1);
        iommu_of(k)->silent = true;
        assert_int_equal(invalidate(k, 0, sizes[i % 2]), 0);
        kit_turn(k);
        assert_false(kit_runs(k, 0));
        assert_false(kit_runs(k, 1));
        assert_int_equal(frontend_submit(&k->front.rings[0], 3), 3);
        kit_reap(k, 0, 0);
        iommu_of(k)->silent = false;
        map_ring(k, 0);
        map_ring(k, 1);
        kit_reap(k, 0, 3);
    }
    kit_free(k);
}

static void test_loses_parts(void **state)
{
    (void)state;
    each(loses_parts, 2);
}

/* An update that gives addresses another meaning is an invalidation as well. */
static void contradiction(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend_ring *ring = &k->front.rings[0];
    vhu_iotlb_msg msg = {ring->data & ~(uint64_t)(PAGE - 1), PAGE, 0, RW, VHU_IOTLB_UPDATE, {0}};
    const uint64_t elsewhere = k->front.memory.regions[0].guest_addr + (1 << 19);
    uint64_t status;

    kit_requests(k, 0, 1);
    memcpy(driver_memory_at(&k->front.memory, elsewhere),
           driver_memory_at(&k->front.memory, msg.iova), PAGE);
    msg.user_addr = driver_memory_user(&k->front.memory, elsewhere);
    atomic_store(&k->echo.hold, true);
    frontend_submit(ring, 1);
    kit_turn(k);
    frontend_send(&k->front, VHU_REQ_IOTLB_MSG, VHU_FLAG_NEED_REPLY, &msg, sizeof(msg), NULL, 0);
    kit_turn(k);
    assert_true(frontend_is_silent(&k->front));
    atomic_store(&k->echo.hold, false);
    assert_int_equal(frontend_recv(&k->front, VHU_REQ_IOTLB_MSG, &status, sizeof(status)), 8);
    assert_true(status == 0);
    kit_reap(k, 0, 1);
    kit_free(k);
}

static void test_contradiction(void **state)
{
    (void)state;
    kit_each(contradiction, (kit_options){.rings = 1, .features = PLATFORM});
}

/* It allows less than what was asked for: the front-end is told so, and may still allow it. */
static void access_fails(const kit_options *options)
{
    kit *k = kit_new(options);

    iommu_of(k)->silent = true;
    frontend_start(&k->front);
    map_ring(k, 0);
    assert_int_equal(update(k, k->front.rings[0].data, PAGE, RO), 0);
    assert_int_equal(frontend_submit(&k->front.rings[0], 1), 1);
    iommu_of(k)->misses = 0;
    kit_turn(k);
    assert_int_equal(iommu_of(k)->misses, 1);
    assert_int_equal(iommu_of(k)->last.perm, WO);
    assert_int_equal(iommu_of(k)->fails, 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(update(k, k->front.rings[0].data, PAGE, RO), 0);
        kit_reap(k, 0, 0);
        assert_int_equal(iommu_of(k)->fails, 1);
        assert_int_equal(iommu_of(k)->last.type, VHU_IOTLB_ACCESS_FAIL);
        assert_int_equal(iommu_of(k)->last.perm, WO);
        assert_true(iommu_of(k)->last.iova == k->front.rings[0].data + 16);
    }
    assert_int_equal(update(k, k->front.rings[0].data, PAGE, WO), 0);
    kit_reap(k, 0, 1);
    assert_int_equal(iommu_of(k)->misses, 1);
    kit_free(k);
}

static void test_access_fails(void **state)
{
    (void)state;
    each(access_fails, 1);
}

/* Rings that need the same ask once for all of them. */
static void shared_miss(const kit_options *options)
{
    kit *k = kit_new(options);
    vhu_vring_addr addr = {0};

    iommu_of(k)->silent = true;
    frontend_handshake(&k->front, FRONTEND_PROTOCOL);
    frontend_share(&k->front, 1);
    for (uint32_t i = 0; i < 2; i++) {
        frontend_ring *r = &k->front.rings[i];

        assert_int_equal(frontend_vring(&k->front, VHU_REQ_SET_VRING_NUM, i, r->driver.num), 0);
        addr = (vhu_vring_addr){.index = i, .desc = ring_addr(k, 0), .used = 0x10};
        assert_int_equal(
            frontend_request(&k->front, VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
        assert_int_equal(frontend_event(&k->front, VHU_REQ_SET_VRING_KICK, i, r->kick), 0);
        assert_int_equal(frontend_vring(&k->front, VHU_REQ_SET_VRING_ENABLE, i, 1), 0);
    }
    kit_turn(k);
    assert_int_equal(iommu_of(k)->misses, 1);
    assert_int_equal(update(k, ring_addr(k, 0), PAGE, RW), 0);
    kit_turn(k);
    assert_int_equal(iommu_of(k)->misses, 2);
    assert_int_equal(iommu_of(k)->last.iova, 0);
    kit_free(k);
}

static void test_shared_miss(void **state)
{
    (void)state;
    each(shared_miss, 2);
}

/* A front-end that gives its channel late is asked then. */
static void late_channel(const kit_options *options)
{
    kit *k = kit_new(options);

    frontend_handshake(&k->front, FRONTEND_PROTOCOL & ~VHU_BIT(VHU_PF_BACKEND_REQ));
    frontend_set(&k->front, VHU_REQ_SET_PROTOCOL_FEATURES, FRONTEND_PROTOCOL);
    frontend_share(&k->front, 1);
    frontend_start_ring(&k->front, 0, driver_ring_base(&k->front.rings[0].driver));
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    assert_in_range(k->logged, 1, 10);
    frontend_channel(&k->front);
    kit_requests(k, 0, 3);
    kit_free(k);
}

static void test_late_channel(void **state)
{
    (void)state;
    each(late_channel, 1);
}

/* What is not the front-end's to say, or malformed; and without the feature nothing is. */
static void refused(const kit_options *options)
{
    static const struct {
        uint64_t iova, size;
        uint8_t perm, type;
    } rows[] = {
        {0x1000, PAGE, RO, VHU_IOTLB_MISS},
        {0x1000, PAGE, RO, VHU_IOTLB_ACCESS_FAIL},
        {0x1000, 0, RO, VHU_IOTLB_UPDATE},
        {0x1000, 0, 0, VHU_IOTLB_INVALIDATE},
        {UINT64_MAX, 2, RO, VHU_IOTLB_UPDATE},
        {0x1000, PAGE, 0, VHU_IOTLB_UPDATE},
        {0x1000, PAGE, 4, VHU_IOTLB_UPDATE},
        {0x1000, PAGE, RO, 0},
        {0x1000, PAGE, RO, 9},
    };
    kit *k = kit_started(options);

    kit_requests(k, 0, 1);
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        assert_int_equal(
            frontend_iotlb(&k->front, rows[i].type, rows[i].iova, rows[i].size, rows[i].perm), 1);
        kit_requests(k, 0, 2);
    }
    frontend_stop_ring(&k->front, 0);
    assert_int_equal(frontend_set(&k->front, VHU_REQ_SET_FEATURES, k->front.features & ~PLATFORM),
                     0);
    assert_int_equal(update(k, 0x1000, PAGE, RW), 1);
    kit_free(k);
}

static void test_refused(void **state)
{
    (void)state;
    each(refused, 1);
}

/* A driver that does without, and one that does not: what was known before is forgotten. */
static void renegotiated(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    for (unsigned i = 0; i < 4; i++) {
        uint32_t base;

        kit_requests(k, 0, 3);
        base = frontend_stop_ring(f, 0);
        f->features ^= PLATFORM;
        assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
        f->iommu.misses = 0;
        frontend_start_ring(f, 0, base);
        kit_requests(k, 0, 3);
        assert_true((f->iommu.misses > 0) == (i % 2 == 1));
    }
    kit_free(k);
}

static void test_renegotiated(void **state)
{
    (void)state;
    each(renegotiated, 1);
}

/* A device that does not offer the feature has no use for the request. */
static void test_not_offered(void **state)
{
    kit *k = kit_started(&(kit_options){.rings = 1});

    (void)state;
    assert_false(frontend_get(&k->front, VHU_REQ_GET_FEATURES) & PLATFORM);
    assert_int_equal(update(k, 0x1000, PAGE, RW), 1);
    kit_requests(k, 0, 1);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_traffic),        leakcheck_test(test_late_start),
        leakcheck_test(test_others_go_on),   leakcheck_test(test_stops_waiting),
        leakcheck_test(test_leaves_waiting), leakcheck_test(test_invalidation),
        leakcheck_test(test_loses_parts),    leakcheck_test(test_contradiction),
        leakcheck_test(test_access_fails),   leakcheck_test(test_shared_miss),
        leakcheck_test(test_late_channel),   leakcheck_test(test_refused),
        leakcheck_test(test_renegotiated),   leakcheck_test(test_not_offered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
