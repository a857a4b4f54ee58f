/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's memory while rings run: as many slots as there are, and messages that are wrong.
 */
#include <string.h>

#include "test_device_fixture.h"

static const kit_options one_ring = {.rings = 1, .regions = 2};

enum { PAGE = 4096 };

/* Far from the rings' memory. */
#define FAR_GUEST UINT64_C(0x1000000000)
#define FAR_USER UINT64_C(0x100000000000)

/* Any region, in the front-end's memory. */
static int64_t send_region(frontend *f, uint32_t request, const vhu_mem_region *region)
{
    struct {
        uint64_t pad;
        vhu_mem_region region;
    } message = {.region = *region};
    const vhu_handle handle = driver_memory_handle(&f->memory);

    return frontend_request(f, request, &message, sizeof(message), &handle,
                            request == VHU_REQ_ADD_MEM_REG ? 1 : 0);
}

/* A table of the ring's region and any other, which says that it has `n` and brings `handles`. */
static int64_t send_table(frontend *f, const vhu_mem_region *region, uint32_t n, size_t handles)
{
    struct {
        uint32_t n;
        uint32_t pad;
        vhu_mem_region regions[2];
    } table = {.n = n, .regions = {f->memory.regions[0], *region}};
    const vhu_handle handle = driver_memory_handle(&f->memory);
    const vhu_handle both[] = {handle, handle};

    return frontend_request(f, VHU_REQ_SET_MEM_TABLE, &table, sizeof(table), both, handles);
}

static vhu_mem_region far_region(uint64_t i)
{
    return (vhu_mem_region){.guest_addr = FAR_GUEST + i * PAGE,
                            .size = PAGE,
                            .user_addr = FAR_USER + i * 2 * PAGE,
                            .mmap_offset = i % 16 * PAGE};
}

/* --- slots --- */

/* Every slot is taken and given back while requests are on their way; there is no one more. */
static void all_slots(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    const uint32_t spare = VHU_MAX_MEM_SLOTS - 2;
    vhu_mem_region region;

    for (uint32_t i = 0; i < spare; i++) {
        region = far_region(i);
        frontend_submit(&f->rings[0], 1);
        assert_int_equal(send_region(f, VHU_REQ_ADD_MEM_REG, &region), 0);
        kit_reap(k, 0, 1);
    }
    region = far_region(spare);
    assert_int_equal(send_region(f, VHU_REQ_ADD_MEM_REG, &region), 1);
    kit_requests(k, 0, 3);
    /* In another order. */
    for (uint32_t i = 0; i < spare; i++) {
        region = far_region(i * 100 % spare);
        frontend_submit(&f->rings[0], 1);
        assert_int_equal(send_region(f, VHU_REQ_REM_MEM_REG, &region), 0);
        assert_int_equal(send_region(f, VHU_REQ_REM_MEM_REG, &region), 1);
        kit_reap(k, 0, 1);
    }
    assert_int_equal(send_region(f, VHU_REQ_ADD_MEM_REG, &region), 0);
    kit_requests(k, 0, 3);
    assert_false(frontend_signalled(f->rings[0].err));
    kit_free(k);
}

static void test_all_slots(void **state)
{
    (void)state;
    kit_each(all_slots, one_ring);
}

/* --- what is wrong changes nothing --- */

/* Beside the rings' memory, at DRIVER_GUEST_BASE and DRIVER_USER_BASE, which a table has, too. */
static const vhu_mem_region wrong[] = {
    {FAR_GUEST, 0, FAR_USER, 0},
    {UINT64_MAX - PAGE + 1, 2 * PAGE, FAR_USER, 0},
    {FAR_GUEST, 2 * PAGE, UINT64_MAX - PAGE + 1, 0},
    {FAR_GUEST, PAGE, FAR_USER, UINT64_MAX - PAGE + 2},
    {FAR_GUEST, UINT64_MAX, FAR_USER, 0},
    {FAR_GUEST, UINT64_C(1) << 40, FAR_USER, 0},
    {FAR_GUEST, PAGE, FAR_USER, UINT64_C(1) << 40},
    {DRIVER_GUEST_BASE, PAGE, FAR_USER, 0},
    {DRIVER_GUEST_BASE - PAGE, PAGE + 1, FAR_USER, 0},
    {FAR_GUEST, PAGE, DRIVER_USER_BASE + PAGE, 0},
    {FAR_GUEST, PAGE + 1, DRIVER_USER_BASE - PAGE, 0},
};

static void wrong_regions(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    const vhu_mem_region good = far_region(0);

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        frontend_submit(&f->rings[0], 2);
        assert_int_equal(send_region(f, VHU_REQ_ADD_MEM_REG, &wrong[i]), 1);
        assert_int_equal(send_table(f, &wrong[i], 2, 2), 1);
        assert_int_equal(send_region(f, VHU_REQ_REM_MEM_REG, &wrong[i]), 1);
        kit_reap(k, 0, 2);
    }
    assert_int_equal(send_table(f, &good, 2, 1), 1);
    assert_int_equal(send_table(f, &good, 1, 2), 1);
    assert_int_equal(send_table(f, &good, 3, 2), 1);
    assert_int_equal(send_table(f, &good, VHU_MAX_TABLE_REGIONS + 1, 2), 1);
    assert_int_equal(send_table(f, &good, UINT32_MAX, 2), 1);
    kit_requests(k, 0, 3);
    assert_false(frontend_signalled(f->rings[0].err));
    assert_int_equal(send_table(f, &good, 2, 2), 0);
    kit_requests(k, 0, 3);
    kit_free(k);
}

static void test_wrong_regions(void **state)
{
    (void)state;
    kit_each(wrong_regions, one_ring);
}

/* What looks like a region that is there is none; only where it lies in its file is not looked at.
 */
static void unknown_regions(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    vhu_mem_region region = f->memory.regions[1];
    uint64_t *fields[] = {&region.guest_addr, &region.size, &region.user_addr};

    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++) {
        *fields[i] += PAGE;
        assert_int_equal(send_region(f, VHU_REQ_REM_MEM_REG, &region), 1);
        *fields[i] -= PAGE;
    }
    region.mmap_offset += PAGE;
    assert_int_equal(send_region(f, VHU_REQ_REM_MEM_REG, &region), 0);
    assert_int_equal(send_region(f, VHU_REQ_REM_MEM_REG, &region), 1);
    kit_requests(k, 0, 3);
    kit_free(k);
}

static void test_unknown_regions(void **state)
{
    (void)state;
    kit_each(unknown_regions, one_ring);
}

/* --- a running ring's own memory --- */

/* Where the ring was is other memory of the front-end's now: it waits until it is told where it is.
 */
static void moved(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;

    kit_requests(k, 0, 3);
    f->memory.regions[0].user_addr += UINT64_C(1) << 32;
    assert_int_equal(frontend_table(f, 0, 1), 0);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    assert_true(frontend_signalled(f->rings[0].err));
    frontend_submit(&f->rings[0], 2);
    assert_int_equal(frontend_addr(f, 0), 0);
    kit_reap(k, 0, 2);
    /* No region at all, and the same again. */
    assert_int_equal(frontend_table(f, 0, 0), 0);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    frontend_submit(&f->rings[0], 2);
    assert_int_equal(frontend_table(f, 0, 1), 0);
    kit_reap(k, 0, 2);
    kit_requests(k, 0, 3);
    kit_free(k);
}

static void test_moved(void **state)
{
    (void)state;
    kit_each(moved, one_ring);
}

/* It goes when the last request that is out in it has come back, and not before. */
static void in_use(const kit_options *options)
{
    kit *k = kit_started(options);
    frontend *f = &k->front;
    const vhu_mem_region region = f->memory.regions[0];
    const struct {
        uint64_t pad;
        vhu_mem_region region;
    } message = {.region = region};
    uint64_t status;

    atomic_store(&k->echo.hold, true);
    frontend_submit(&f->rings[0], 3);
    kit_turn(k);
    frontend_send(f, VHU_REQ_REM_MEM_REG, VHU_FLAG_NEED_REPLY, &message, sizeof(message), NULL, 0);
    for (int i = 0; i < 3; i++)
        kit_turn(k);
    assert_true(frontend_is_silent(f));
    atomic_store(&k->echo.hold, false);
    assert_int_equal(frontend_recv(f, VHU_REQ_REM_MEM_REG, &status, sizeof(status)), 8);
    assert_int_equal(status, 0);
    assert_int_equal(frontend_reap(&f->rings[0]), 3);
    kit_turn(k);
    assert_false(kit_runs(k, 0));
    assert_true(frontend_signalled(f->rings[0].err));
    assert_int_equal(send_region(f, VHU_REQ_ADD_MEM_REG, &region), 0);
    kit_requests(k, 0, 3);
    kit_free(k);
}

static void test_in_use(void **state)
{
    (void)state;
    kit_each(in_use, one_ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_all_slots),       leakcheck_test(test_wrong_regions),
        leakcheck_test(test_unknown_regions), leakcheck_test(test_moved),
        leakcheck_test(test_in_use),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
