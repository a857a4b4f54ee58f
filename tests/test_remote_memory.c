/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: memory that comes and goes, as many regions as there can be, and the next
 * back-end. */
#include "test_remote_fixture.h"

#define SLOTS VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)

enum { PAGE = 4096 };

/* The guest's, and more of it. */
typedef struct rig {
    guest g;
    vhu_shm *more;
} rig;

static void open_rig(rig *r, uint64_t withheld)
{
    const vhu_remote_options options = {.withheld_protocol_features = withheld};

    guest_open(&r->g, &options);
    assert_int_equal(vhu_shm_new(&r->more, (VHU_MAX_MEM_SLOTS + 1) * PAGE), 0);
}

static void close_rig(rig *r)
{
    guest_close(&r->g);
    vhu_shm_free(r->more);
}

/* Region `i` of `pages`. */
static vhu_mem_region region_at(const rig *r, uint32_t i, uint32_t pages)
{
    return (vhu_mem_region){.guest_addr = GUEST_BASE * 16 + (uint64_t)i * PAGE,
                            .size = (uint64_t)pages * PAGE,
                            .user_addr = (uintptr_t)vhu_shm_base(r->more) + (uint64_t)i * PAGE,
                            .mmap_offset = (uint64_t)i * PAGE};
}

static int add(rig *r, uint32_t i, uint32_t pages)
{
    const vhu_mem_region region = region_at(r, i, pages);

    return vhu_remote_add_memory(r->g.remote, &region, vhu_shm_handle(r->more));
}

static int take_away(rig *r, uint32_t i, uint32_t pages)
{
    const vhu_mem_region region = region_at(r, i, pages);

    return vhu_remote_remove_memory(r->g.remote, region.guest_addr, region.size);
}

static size_t count(const rig *r)
{
    return vhu_memory_count(vhu_remote_memory(r->g.remote));
}

/* By slots, and by a table. */
static void each_way(void (*test)(rig *r))
{
    static const uint64_t withheld[] = {0, SLOTS};

    for (size_t i = 0; i < sizeof(withheld) / sizeof(withheld[0]); i++) {
        rig r;

        open_rig(&r, withheld[i]);
        guest_start(&r.g);
        test(&r);
        close_rig(&r);
    }
}

/* Requests with their data elsewhere. */
static void exercise_at(rig *r, uint64_t guest_addr)
{
    uint64_t before = r->g.data;

    r->g.data = guest_addr;
    guest_exercise(&r->g);
    r->g.data = before;
}

/* --- limits --- */

/* While the device runs, and again by the next back-end at once. */
static void test_all_slots(void **state)
{
    const uint32_t spare = VHU_MAX_MEM_SLOTS - 1;
    rig r;

    (void)state;
    open_rig(&r, 0);
    guest_start(&r.g);
    for (uint32_t i = 0; i < spare; i++)
        assert_int_equal(add(&r, i, 1), 0);
    assert_int_equal(add(&r, spare, 1), VHU_EOVERFLOW);
    assert_int_equal(count(&r), VHU_MAX_MEM_SLOTS);
    exercise_at(&r, region_at(&r, spare - 1, 1).guest_addr);
    guest_kill_backend(&r.g);
    vhu_remote_disconnect(r.g.remote);
    assert_int_equal(add(&r, spare, 1), VHU_EOVERFLOW);
    assert_int_equal(guest_connect(&r.g), 0);
    exercise_at(&r, region_at(&r, 7, 1).guest_addr);
    for (uint32_t i = 0; i < spare; i++)
        assert_int_equal(take_away(&r, i, 1), 0);
    guest_exercise(&r.g);
    assert_int_equal(count(&r), 1);
    close_rig(&r);
}

static void be_fake(rig *r, uint64_t slots)
{
    fake_backend *f = &r->g.script->fake;

    r->g.script->is_fake = true;
    f->features = GUEST_SPLIT | VHU_BIT(VHU_F_PROTOCOL_FEATURES);
    f->protocol_features = VHU_BIT(VHU_PF_MQ) | VHU_BIT(VHU_PF_REPLY_ACK) | SLOTS;
    f->slots = slots;
}

/* A back-end with few slots; the next has fewer, and nothing is lost by asking it. */
static void test_few_slots(void **state)
{
    static const uint64_t slots[] = {2, 0, UINT64_MAX};
    rig r;

    (void)state;
    open_rig(&r, 0);
    be_fake(&r, 3);
    guest_start(&r.g);
    assert_int_equal(add(&r, 0, 1), 0);
    assert_int_equal(add(&r, 1, 1), 0);
    assert_int_equal(add(&r, 2, 1), VHU_EOVERFLOW);
    assert_int_equal(r.g.script->fake.calls[FAKE_add_mem_reg], 3);
    for (size_t i = 0; i < sizeof(slots) / sizeof(slots[0]); i++) {
        guest_kill_backend(&r.g);
        vhu_remote_disconnect(r.g.remote);
        r.g.script->fake.calls[FAKE_add_mem_reg] = 0;
        r.g.script->fake.slots = slots[i];
        /* 0 stands for all that there can be. */
        assert_int_equal(guest_connect(&r.g), slots[i] == 2 ? VHU_EOVERFLOW : 0);
        assert_int_equal(r.g.script->fake.calls[FAKE_add_mem_reg], slots[i] == 2 ? 0 : 3);
    }
    assert_int_equal(add(&r, 2, 1), 0);
    close_rig(&r);
}

/* --- what is wrong changes nothing --- */

static void wrong_regions(rig *r)
{
    vhu_mem_region taken;

    assert_int_equal(add(r, 0, 2), 0);
    taken = region_at(r, 0, 2);

    const vhu_mem_region wrong[] = {
        {taken.guest_addr * 2, 0, taken.user_addr + 4 * PAGE, 0},
        {UINT64_MAX - PAGE + 1, 2 * PAGE, taken.user_addr + 4 * PAGE, 0},
        {taken.guest_addr * 2, PAGE, UINT64_MAX - 2, 0},
        {taken.guest_addr + PAGE, PAGE, taken.user_addr + 4 * PAGE, 0},
        {taken.guest_addr * 2, PAGE, taken.user_addr + PAGE, 0},
        {taken.guest_addr * 2, PAGE, 0, 0},
    };

    for (size_t k = 0; k < sizeof(wrong) / sizeof(wrong[0]); k++)
        assert_int_equal(vhu_remote_add_memory(r->g.remote, &wrong[k], vhu_shm_handle(r->more)),
                         VHU_EINVAL);
    /* Only the back-end knows how long the file is. */
    taken = region_at(r, 8, 1);
    taken.mmap_offset = UINT64_C(1) << 40;
    assert_int_equal(vhu_remote_add_memory(r->g.remote, &taken, vhu_shm_handle(r->more)),
                     VHU_EREFUSED);
    assert_int_equal(take_away(r, 0, 1), VHU_ENOENT);
    assert_int_equal(take_away(r, 1, 1), VHU_ENOENT);
    assert_int_equal(count(r), 2);
    exercise_at(r, region_at(r, 0, 2).guest_addr);
    assert_int_equal(take_away(r, 0, 2), 0);
    guest_exercise(&r->g);
}

static void test_wrong_regions(void **state)
{
    (void)state;
    each_way(wrong_regions);
}

/* --- the next back-end --- */

/* What came and went while nobody was connected. */
static void replay(rig *r)
{
    assert_int_equal(add(r, 0, 2), 0);
    assert_int_equal(add(r, 2, 2), 0);
    exercise_at(r, region_at(r, 0, 2).guest_addr);
    guest_kill_backend(&r->g);
    vhu_remote_disconnect(r->g.remote);
    assert_int_equal(take_away(r, 0, 2), 0);
    assert_int_equal(add(r, 4, 2), 0);
    assert_int_equal(vhu_remote_remove_memory(r->g.remote, GUEST_BASE, GUEST_SIZE), VHU_ESTATE);
    assert_int_equal(guest_connect(&r->g), 0);
    exercise_at(r, region_at(r, 2, 2).guest_addr);
    exercise_at(r, region_at(r, 4, 2).guest_addr);
    /* Otherwise than before, which the back-end would refuse if it had the old one still. */
    assert_int_equal(add(r, 0, 1), 0);
    exercise_at(r, region_at(r, 2, 2).guest_addr);
}

static void test_replay(void **state)
{
    (void)state;
    each_way(replay);
}

/* A back-end may be left without any memory, and be given it again. */
static void all_of_it(rig *r)
{
    guest_exercise(&r->g);
    assert_int_equal(vhu_remote_remove_memory(r->g.remote, GUEST_BASE, GUEST_SIZE), VHU_ESTATE);
    assert_int_equal(vhu_remote_stop(r->g.remote), 0);
    assert_int_equal(vhu_remote_remove_memory(r->g.remote, GUEST_BASE, GUEST_SIZE), 0);
    assert_int_equal(vhu_remote_start(r->g.remote), VHU_EFAULT);
    assert_int_equal(guest_add_memory(&r->g), 0);
    assert_int_equal(vhu_remote_start(r->g.remote), 0);
    guest_exercise(&r->g);
}

static void test_all_of_it(void **state)
{
    (void)state;
    each_way(all_of_it);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_all_slots),     leakcheck_test(test_few_slots),
        leakcheck_test(test_wrong_regions), leakcheck_test(test_replay),
        leakcheck_test(test_all_of_it),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
