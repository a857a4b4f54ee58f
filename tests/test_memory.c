/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include <vmm_vhost/memory.h>
#include <vmm_vhost/shm.h>

#include "os.h"
#include "support/leakcheck.h"
#include "support/sys.h"
#include "util.h"

#define FILE_SIZE UINT64_C(0x40000)

static int maps_before;

static int count_before(void **state)
{
    (void)state;
    maps_before = sys_count_maps();
    return maps_before < 0 ? -1 : 0;
}

static int count_maps(void)
{
    return sys_count_maps() - maps_before;
}

/* Memory in which each 8 bytes hold their own offset plus `salt`. */
static vhu_handle make_file(uint64_t salt)
{
    vhu_handle handle = VHU_NO_HANDLE;
    vhu_shm *shm = NULL;

    assert_int_equal(vhu_shm_new(&shm, FILE_SIZE), 0);
    for (uint64_t at = 0; at < FILE_SIZE; at += sizeof(at)) {
        uint64_t value = at + salt;

        memcpy((uint8_t *)vhu_shm_base(shm) + at, &value, sizeof(value));
    }
    assert_int_equal(os_handle_dup(vhu_shm_handle(shm), &handle), 0);
    vhu_shm_free(shm);
    return handle;
}

static uint64_t read_u64(const void *p)
{
    uint64_t value = 0;

    assert_non_null(p);
    memcpy(&value, p, sizeof(value));
    return value;
}

static vhu_memory *make_memory(void)
{
    vhu_memory *memory = NULL;

    assert_int_equal(vhu_memory_new(&memory), 0);
    return memory;
}

static void add(vhu_memory *memory, uint64_t guest, uint64_t user, uint64_t size, uint64_t offset)
{
    vhu_mem_region region = {guest, size, user, offset};
    vhu_handle handle = make_file(0);

    assert_int_equal(vhu_memory_add(memory, &region, &handle), 0);
    assert_int_equal(handle, VHU_NO_HANDLE);
}

static void test_translation(void **state)
{
    /* Two regions that touch, and one behind a gap; user addresses in another order. */
    static const struct {
        uint64_t guest, len;
        uint64_t offset; /* in the file, or NOWHERE */
    } at[] = {
#define NOWHERE UINT64_MAX
        {0x10000, 1, 0x1000},
        {0x10000, 0, 0x1000},
        {0x10000, 0x2000, 0x1000},
        {0x10000, 0x2001, NOWHERE},
        {0x11ff8, 8, 0x2ff8},
        {0x11ff8, 9, NOWHERE},
        {0x12000, 0x1000, 0x8000},
        {0x12ff8, 8, 0x8ff8},
        {0x13000, 1, NOWHERE},
        {0x13000, 0, NOWHERE},
        {0xfff8, 8, NOWHERE},
        {0xfff8, 16, NOWHERE},
        {0, 1, NOWHERE},
        {0x10000, UINT64_MAX, NOWHERE},
        {0x10008, UINT64_MAX, NOWHERE},
        {UINT64_MAX, 1, NOWHERE},
        {UINT64_MAX, UINT64_MAX, NOWHERE},
        {0x4000000000000000, 0x1000, 0},
        {0x4000000000000ff8, 8, 0xff8},
        {0x4000000000001000, 1, NOWHERE},
    };
    vhu_memory *memory = make_memory();

    (void)state;
    add(memory, 0x4000000000000000, 0x1000, 0x1000, 0);
    add(memory, 0x12000, 0x7f0000000000, 0x1000, 0x8000);
    add(memory, 0x10000, 0x7f0000100000, 0x2000, 0x1000);
    assert_int_equal(vhu_memory_count(memory), 3);
    for (size_t i = 0; i < VHU__COUNT(at); i++) {
        const uint8_t *p = vhu_memory_at(memory, at[i].guest, at[i].len);
        uint64_t back = 0;

        if (at[i].offset == NOWHERE) {
            assert_null(p);
            continue;
        }
        assert_int_equal(read_u64(p), at[i].offset);
        assert_int_equal(vhu_memory_guest_addr(memory, p, &back), 0);
        assert_int_equal(back, at[i].guest);
    }
    assert_int_equal(read_u64(vhu_memory_at_user(memory, 0x7f0000100000, 0x2000)), 0x1000);
    assert_int_equal(read_u64(vhu_memory_at_user(memory, 0x7f0000000008, 0xff8)), 0x8008);
    assert_int_equal(read_u64(vhu_memory_at_user(memory, 0x1000, 0)), 0);
    assert_null(vhu_memory_at_user(memory, 0x7f0000000008, 0xff9));
    assert_null(vhu_memory_at_user(memory, 0x7f0000001000, 0));
    assert_null(vhu_memory_at_user(memory, 0x10000, 1));
    assert_null(vhu_memory_at_user(memory, 0xfff, 1));
    assert_null(vhu_memory_at_user(memory, 0x1000, UINT64_MAX));
    assert_int_equal(vhu_memory_guest_addr(memory, &at, &(uint64_t){0}), VHU_EFAULT);
    vhu_memory_free(memory);
    assert_int_equal(count_maps(), 0);
}

static void test_empty(void **state)
{
    vhu_memory *memory = make_memory();

    (void)state;
    assert_int_equal(vhu_memory_count(memory), 0);
    assert_null(vhu_memory_at(memory, 0, 0));
    assert_null(vhu_memory_at(memory, UINT64_MAX, 1));
    assert_null(vhu_memory_at_user(memory, 0, 0));
    assert_int_equal(vhu_memory_guest_addr(memory, memory, &(uint64_t){0}), VHU_EFAULT);
    assert_int_equal(vhu_memory_remove(memory, &(vhu_mem_region){0}), VHU_ENOENT);
    vhu_memory_free(memory);
    vhu_memory_free(NULL);
}

/* What must be refused where guest 0x10000 to 0x20000 is taken, at user 0x50000. */
static const struct {
    vhu_mem_region region; /* guest, size, user, offset */
    int error;
} refused[] = {
    {{0x100000, 0, 0x100000, 0}, VHU_EINVAL},
    {{UINT64_MAX - 0xfff, 0x2000, 0x100000, 0}, VHU_EINVAL},
    {{UINT64_MAX - 0xfff, 0x1000, 0x100000, 0}, VHU_EINVAL},
    {{0x100000, 0x2000, UINT64_MAX - 0xfff, 0}, VHU_EINVAL},
    {{0x100000, UINT64_MAX, 0x100000, 0}, VHU_EINVAL},
    {{0x10000, 0x10000, 0x100000, 0}, VHU_EINVAL},
    {{0x1f000, 0x1000, 0x100000, 0}, VHU_EINVAL},
    {{0x1f000, 0x2000, 0x100000, 0}, VHU_EINVAL},
    {{0xf000, 0x1001, 0x100000, 0}, VHU_EINVAL},
    {{0x8000, 0x20000, 0x100000, 0}, VHU_EINVAL},
    {{0x100000, 0x1000, 0x5f000, 0}, VHU_EINVAL},
    {{0x100000, 0x1000, 0x4f001, 0}, VHU_EINVAL},
    {{0x100000, FILE_SIZE + 1, 0x100000, 0}, VHU_EOVERFLOW},
    {{0x100000, FILE_SIZE, 0x100000, 1}, VHU_EOVERFLOW},
    {{0x100000, 0x1000, 0x100000, FILE_SIZE - 0xfff}, VHU_EOVERFLOW},
    {{0x100000, 0x1000, 0x100000, UINT64_MAX - 0xff}, VHU_EOVERFLOW},
    {{0x100000, 0x1000, 0x100000, UINT64_MAX - 0xfff}, VHU_EOVERFLOW},
    {{0x100000, 0x1000, 0x100000, UINT64_C(1) << 63}, VHU_EOVERFLOW},
    {{0x100000, UINT64_C(1) << 62, UINT64_C(1) << 62, 0}, VHU_EOVERFLOW},
};

static void test_refused(void **state)
{
    vhu_memory *memory = make_memory();
    vhu_handle handle = make_file(7);

    (void)state;
    add(memory, 0x10000, 0x50000, 0x10000, 0);
    for (size_t i = 0; i < VHU__COUNT(refused); i++) {
        vhu_handle before = handle;

        assert_int_equal(vhu_memory_add(memory, &refused[i].region, &handle), refused[i].error);
        assert_int_equal(handle, before);
        assert_int_equal(vhu_memory_count(memory), 1);
        assert_int_equal(count_maps(), 1);
    }
    /* Neighbours are no overlap. */
    add(memory, 0x20000, 0x40000, 0x10000, 0);
    add(memory, 0xf000, 0x60000, 0x1000, 0);
    vhu_handle_close(&handle);
    vhu_memory_free(memory);
}

static void test_bad_handles(void **state)
{
    const vhu_mem_region region = {0x1000, 0x1000, 0x1000, 0};
    vhu_memory *memory = make_memory();
    vhu_handle closed = sys_handle_new();
    vhu_handle handles[] = {VHU_NO_HANDLE, closed, sys_handle_new(), sys_odd_handle_new()};

    (void)state;
    vhu_handle_close(&closed);
    for (size_t i = 0; i < VHU__COUNT(handles); i++) {
        vhu_handle before = handles[i];

        assert_true(vhu_memory_add(memory, &region, &handles[i]) < 0);
        assert_int_equal(handles[i], before);
    }
    vhu_handle_close(&handles[2]);
    vhu_handle_close(&handles[3]);
    assert_int_equal(vhu_memory_count(memory), 0);
    vhu_memory_free(memory);
}

static void test_odd_sizes(void **state)
{
    static const struct {
        uint64_t offset, size;
    } odd[] = {{0, 0x3b10}, {0x1238, 0x3b10}, {0xff8, 8}, {0xff8, 16}, {FILE_SIZE - 8, 8}};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(odd); i++) {
        vhu_memory *memory = make_memory();

        add(memory, 0x5000, 0x9000, odd[i].size, odd[i].offset);
        assert_int_equal(read_u64(vhu_memory_at(memory, 0x5000, odd[i].size)), odd[i].offset);
        assert_int_equal(read_u64(vhu_memory_at(memory, 0x5000 + odd[i].size - 8, 8)),
                         odd[i].offset + odd[i].size - 8);
        assert_null(vhu_memory_at(memory, 0x5000 + odd[i].size - 8, 9));
        vhu_memory_free(memory);
        assert_int_equal(count_maps(), 0);
    }
}

static void test_remove(void **state)
{
    const vhu_mem_region region = {0x10000, 0x1000, 0x50000, 0x2000};
    vhu_mem_region wrong[] = {region, region, region};
    vhu_mem_region other_offset = region;
    vhu_memory *memory = make_memory();

    (void)state;
    wrong[0].guest_addr++;
    wrong[1].size++;
    wrong[2].user_addr++;
    other_offset.mmap_offset = 0;
    add(memory, 0x8000, 0x8000, 0x1000, 0);
    add(memory, 0x10000, 0x50000, 0x1000, 0x2000);
    add(memory, 0x20000, 0x20000, 0x1000, 0x4000);
    for (size_t i = 0; i < VHU__COUNT(wrong); i++)
        assert_int_equal(vhu_memory_remove(memory, &wrong[i]), VHU_ENOENT);
    assert_int_equal(vhu_memory_count(memory), 3);
    assert_int_equal(vhu_memory_remove(memory, &other_offset), 0);
    assert_int_equal(vhu_memory_remove(memory, &region), VHU_ENOENT);
    assert_int_equal(count_maps(), 2);
    assert_null(vhu_memory_at(memory, 0x10000, 1));
    assert_int_equal(read_u64(vhu_memory_at(memory, 0x8000, 8)), 0);
    assert_int_equal(read_u64(vhu_memory_at(memory, 0x20000, 8)), 0x4000);
    add(memory, 0x10000, 0x50000, 0x1000, 0x2000);
    vhu_memory_free(memory);
}

static void test_replace(void **state)
{
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_handle handles[VHU_MAX_TABLE_REGIONS];
    vhu_memory *memory = make_memory();

    (void)state;
    for (uint64_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++)
        regions[i] = (vhu_mem_region){0x10000 * (9 - i), 0x1000, 0x10000 * i, 0x1000 * i};
    add(memory, 0x10000, 0x50000, 0x1000, 0x2000);
    /* A fault at any place: all as before. */
    for (size_t bad = 0; bad < VHU_MAX_TABLE_REGIONS; bad++) {
        vhu_mem_region good = regions[bad];
        const void *old = vhu_memory_at(memory, 0x10000, 0x1000);
        vhu_handle before[VHU_MAX_TABLE_REGIONS];

        for (size_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++)
            before[i] = handles[i] = make_file(i);
        regions[bad].mmap_offset = FILE_SIZE;
        assert_int_equal(vhu_memory_replace(memory, regions, VHU_MAX_TABLE_REGIONS, handles),
                         VHU_EOVERFLOW);
        regions[bad] = good;
        assert_memory_equal(handles, before, sizeof(before));
        assert_int_equal(vhu_memory_count(memory), 1);
        assert_int_equal(count_maps(), 1);
        assert_ptr_equal(vhu_memory_at(memory, 0x10000, 0x1000), old);
        assert_int_equal(read_u64(old), 0x2000);
        for (size_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++)
            vhu_handle_close(&handles[i]);
    }
    for (size_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++)
        handles[i] = make_file(i);
    assert_int_equal(vhu_memory_replace(memory, regions, VHU_MAX_TABLE_REGIONS, handles), 0);
    assert_int_equal(vhu_memory_count(memory), VHU_MAX_TABLE_REGIONS);
    assert_int_equal(count_maps(), VHU_MAX_TABLE_REGIONS);
    assert_null(vhu_memory_at(memory, 0x10000, 0x1000));
    for (size_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++) {
        assert_int_equal(handles[i], VHU_NO_HANDLE);
        assert_int_equal(read_u64(vhu_memory_at(memory, regions[i].guest_addr, 0x1000)),
                         regions[i].mmap_offset + i);
    }
    assert_int_equal(vhu_memory_replace(memory, NULL, 0, NULL), 0);
    assert_int_equal(vhu_memory_count(memory), 0);
    assert_int_equal(count_maps(), 0);
    vhu_memory_free(memory);
}

/* All slots, added in a wild order, against a search that cannot be wrong. */
static void test_many(void **state)
{
    static uint8_t bytes[VHU_MAX_MEM_SLOTS + 1];
    vhu_memory *memory = make_memory();
    vhu_mem_region region = {0, 1, 0, 0};

    (void)state;
    for (uint32_t i = 0; i < VHU_MAX_MEM_SLOTS; i++) {
        uint32_t k = i * 101 % VHU_MAX_MEM_SLOTS; /* 509 is prime: each of them once */

        region.guest_addr = 2 * k;
        region.user_addr = 3 * k;
        assert_int_equal(vhu_memory_add_local(memory, &region, &bytes[k]), 0);
        for (uint32_t at = 0; at < 2 * VHU_MAX_MEM_SLOTS + 2; at++) {
            bool taken = at % 2 == 0 && at / 2 < VHU_MAX_MEM_SLOTS;
            bool added = false;

            for (uint32_t j = 0; taken && j <= i && !added && i % 50 == 0; j++)
                added = j * 101 % VHU_MAX_MEM_SLOTS == at / 2;
            if (i % 50 == 0)
                assert_ptr_equal(vhu_memory_at(memory, at, 1), added ? &bytes[at / 2] : NULL);
        }
    }
    region = (vhu_mem_region){0x10000, 1, 0x10000, 0};
    assert_int_equal(vhu_memory_add_local(memory, &region, bytes), VHU_EOVERFLOW);
    region = (vhu_mem_region){6, 1, 9, 0};
    assert_int_equal(vhu_memory_remove(memory, &region), 0);
    assert_int_equal(vhu_memory_add_local(memory, &region, NULL), VHU_EINVAL);
    assert_int_equal(vhu_memory_add_local(memory, &region, bytes), 0);
    assert_ptr_equal(vhu_memory_at_user(memory, 9, 1), bytes);
    vhu_memory_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_translation), leakcheck_test(test_empty),
        leakcheck_test(test_refused),     leakcheck_test(test_bad_handles),
        leakcheck_test(test_odd_sizes),   leakcheck_test(test_remove),
        leakcheck_test(test_replace),     leakcheck_test(test_many),
    };

    return cmocka_run_group_tests_name("memory", tests, count_before, NULL);
}
