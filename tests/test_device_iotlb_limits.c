/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit behind an IOMMU at its limits: of translations that are kept, and of room. */
#include <string.h>

#include "iotlb.h"
#include "test_device_fixture.h"

enum { PAGE = 4096 };

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)
#define PACKED (PLATFORM | VHU_BIT(VHU_F_RING_PACKED))

static int64_t update(kit *k, uint64_t iova, uint64_t size, uint8_t perm)
{
    return frontend_iotlb(&k->front, VHU_IOTLB_UPDATE, iova, size, perm);
}

/* --- translations --- */

/* More than can be kept: what is forgotten is asked for once more. */
static void bound(const kit_options *options)
{
    kit *k = kit_started(options);

    kit_requests(k, 0, 3);
    for (uint64_t i = 0; i < 2 * VHU__IOTLB_MAX; i++)
        assert_int_equal(update(k, (UINT64_C(1) << 40) + i * PAGE, PAGE, VHU_IOTLB_RO), 0);
    k->front.iommu.misses = 0;
    kit_requests(k, 0, 3);
    assert_in_range(k->front.iommu.misses, 1, 10);
    kit_free(k);
}

static void test_bound(void **state)
{
    (void)state;
    kit_each(bound, (kit_options){.rings = 1, .features = PLATFORM});
}

/* A request that needs more than can be kept at once breaks its ring, instead of asking for ever.
 */
static void too_many(const kit_options *options)
{
    kit *k = kit_new(options);
    frontend_ring *r = &k->front.rings[0];
    const driver_buf buf = {r->data, 64 * (VHU__IOTLB_MAX + 16), false};

    k->front.iommu.page = 64;
    frontend_start(&k->front);
    kit_requests(k, 0, 1);
    assert_true(driver_ring_add(&r->driver, &buf, 1) >= 0);
    driver_ring_publish(&r->driver);
    vhu_event_signal(r->kick);
    kit_turn(k);
    assert_in_range(k->front.iommu.misses, VHU__IOTLB_MAX, 3 * VHU__IOTLB_MAX);
    assert_non_null(strstr(k->last_log, "translations"));
    assert_true(frontend_signalled(r->err));
    kit_free(k);
}

static void test_too_many(void **state)
{
    (void)state;
    kit_each(too_many, (kit_options){.rings = 1, .features = PLATFORM});
    kit_each(too_many, (kit_options){.rings = 1, .features = PACKED});
}

/* --- room for requests --- */

static void handle_what_fits(void *self, vhu_ring *ring)
{
    vhu_chain none;

    if (atomic_load(&((echo_device *)self)->room) > 0)
        echo_ops.handle_ring(self, ring);
    else
        assert_int_equal(vhu_ring_take(ring, &none, 0), 0);
}

/*
 * A device that has no room when the translation comes asks for nothing, however long that lasts.
 */
static void no_room(const kit_options *options)
{
    kit *k = kit_new(options);
    frontend_ring *r = &k->front.rings[0];

    k->front.iommu.silent = true;
    frontend_start(&k->front);
    assert_int_equal(
        update(k, r->driver.desc_addr, r->driver.end_addr - r->driver.desc_addr, VHU_IOTLB_RW), 0);
    assert_int_equal(frontend_submit(r, 1), 1);
    kit_turn(k);
    atomic_store(&k->echo.room, 0);
    assert_int_equal(update(k, r->data, PAGE, VHU_IOTLB_RW), 0);
    kit_turn(k);
    k->front.iommu.misses = k->notified = 0;
    for (unsigned i = 0; i < 2 * VHU__IOTLB_MAX + 1; i++)
        kit_turn(k);
    assert_int_equal(k->notified, 0);
    atomic_store(&k->echo.room, ECHO_SLOTS);
    kit_reap(k, 0, 1);
    assert_int_equal(k->front.iommu.misses, 0);
    kit_free(k);
}

static void test_no_room(void **state)
{
    vhu_device_ops ops = echo_ops;

    (void)state;
    ops.handle_ring = handle_what_fits;
    kit_each(no_room, (kit_options){.rings = 1, .features = PLATFORM, .ops = &ops});
    kit_each(no_room, (kit_options){.rings = 1, .features = PACKED, .ops = &ops});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_bound),
        leakcheck_test(test_too_many),
        leakcheck_test(test_no_room),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
