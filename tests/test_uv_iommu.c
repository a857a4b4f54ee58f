/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings under load behind an IOMMU, while translations come and go. */
#include "test_uv_device_fixture.h"
#include "util.h"

enum { CHANGES = 300, PAGE = 4096 };

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)

/* Where each change takes milliseconds, some must do. */
static uint32_t rounds(uint32_t n)
{
    return sys_is_wine() ? n / 4 : n;
}

static void invalidate(uv_kit *k, uint64_t iova, uint64_t size)
{
    assert_int_equal(frontend_iotlb(&k->front, VHU_IOTLB_INVALIDATE, iova, size, 0), 0);
}

static unsigned completed(const uv_kit *k)
{
    unsigned n = 0;

    for (uint32_t i = 0; i < k->front.num_rings; i++)
        n += atomic_load(&k->echo.rings[i].completed);
    return n;
}

/* When nothing is known any more, and no question answered, nothing is done. */
static void take_all_away(uv_kit *k)
{
    const driver_memory *m = &k->front.memory;
    unsigned before;

    k->front.iommu.silent = true;
    invalidate(k, 0, UINT64_MAX);
    before = completed(k);
    test_loop_pause(&k->loop, 1);
    uv_kit_answer(k);
    assert_int_equal(completed(k), before);
    k->front.iommu.silent = false;
    for (size_t i = 0; i < m->num_regions; i++)
        assert_int_equal(frontend_iotlb(&k->front, VHU_IOTLB_UPDATE, m->regions[i].guest_addr,
                                        m->regions[i].size, VHU_IOTLB_RW),
                         0);
    invalidate(k, k->front.rings[0].data, PAGE);
}

static void change(uv_kit *k, uint32_t n)
{
    const frontend_ring *r = &k->front.rings[n % k->front.num_rings];

    switch (n / 3 % 4) {
    case 0:
        invalidate(k, r->data + n % 4 * 64, 1);
        break;
    case 1:
        invalidate(k, r->driver.desc_addr, PAGE);
        break;
    case 2:
        invalidate(k, 0, UINT64_MAX);
        break;
    default:
        take_all_away(k);
    }
}

static uv_kit *start(const uv_kit_options *options, uint64_t features)
{
    uv_kit *k = uv_kit_featured(options, PLATFORM | features);

    k->front.iommu.perm = VHU_IOTLB_RW;
    frontend_start(&k->front);
    return k;
}

static void run(const uv_kit_options *options, uint64_t features, bool later)
{
    uv_kit *k = start(options, features);
    uv_driver drivers[FRONTEND_RINGS];

    atomic_store(&k->echo.later, later);
    for (uint32_t i = 0; i < options->rings; i++)
        uv_driver_start(&drivers[i], k, i, 0, 8);
    for (uint32_t n = 0; n < rounds(CHANGES); n++)
        change(k, n);
    for (uint32_t i = 0; i < options->rings; i++)
        uv_driver_join(&drivers[i]);
    assert_true(k->front.iommu.misses > 0);
    assert_int_equal(k->front.iommu.fails, 0);
    for (uint32_t i = 0; i < options->rings; i++)
        assert_false(frontend_signalled(k->front.rings[i].err));
    uv_kit_free(k);
}

static void test_changes(void **state)
{
    static const uv_kit_options rows[] = {
        {.workers = 1, .rings = 1},
        {.workers = 1, .rings = 3, .spin_us = 50},
        {.workers = 4, .rings = 4},
        {.workers = 2, .rings = 4},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        run(&rows[i], 0, i % 2 == 0);
        run(&rows[i], VHU_BIT(VHU_F_RING_PACKED), i % 2 == 1);
    }
}

/* Every request asks for everything, as with a driver that takes each mapping back. */
static void test_each_request_asks(void **state)
{
    uv_kit *k = start(&(uv_kit_options){.workers = 2, .rings = 2}, 0);

    (void)state;
    for (uint32_t n = 0; n < rounds(CHANGES); n++) {
        uv_kit_requests(k, n % 2, 3);
        invalidate(k, 0, UINT64_MAX);
    }
    assert_true(k->front.iommu.misses >= rounds(CHANGES));
    uv_kit_free(k);
}

/* A front-end that dies with questions open. */
static void test_deaths(void **state)
{
    const uv_kit_options options = {.workers = 2, .rings = 2};

    (void)state;
    for (int i = 0; i < 20; i++) {
        uv_kit *k = uv_kit_featured(&options, PLATFORM);

        k->front.iommu.silent = i % 2;
        frontend_start(&k->front);
        frontend_submit(&k->front.rings[1], 3);
        for (int n = 0; n < i; n++)
            test_loop_turn(&k->loop);
        frontend_hang_up(&k->front);
        uv_kit_until(k, k->disconnected == 1);
        uv_kit_free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_changes),
        leakcheck_test(test_each_request_asks),
        leakcheck_test(test_deaths),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
