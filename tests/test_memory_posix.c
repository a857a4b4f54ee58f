/* SPDX-License-Identifier: BSD-3-Clause */
/* Files of other kinds than shared memory. */
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmm_vhost/memory.h>

#include "support/leakcheck.h"
#include "support/sys.h"
#include "util.h"

static void test_bad_handles(void **state)
{
    const vhu_mem_region region = {0x1000, 0x1000, 0x1000, 0};
    vhu_memory *memory;
    int handles[3];

    (void)state;
    assert_int_equal(vhu_memory_new(&memory), 0);
    assert_int_equal(pipe(handles), 0);
    handles[2] = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    for (size_t i = 0; i < VHU__COUNT(handles); i++) {
        int before = handles[i];

        assert_true(vhu_memory_add(memory, &region, &handles[i]) < 0);
        assert_int_equal(handles[i], before);
        vhu_handle_close(&handles[i]);
    }
    assert_int_equal(vhu_memory_count(memory), 0);
    vhu_memory_free(memory);
}

/* A device has no size that would mean anything. */
static void test_device(void **state)
{
    const vhu_mem_region region = {0x1000, 0x1000, 0x1000, 0};
    vhu_memory *memory;
    const uint64_t *p;
    vhu_handle handle = open("/dev/zero", O_RDWR | O_CLOEXEC);

    (void)state;
    assert_int_equal(vhu_memory_new(&memory), 0);
    assert_int_equal(vhu_memory_add(memory, &region, &handle), 0);
    p = vhu_memory_at(memory, 0x1000, 0x1000);
    assert_non_null(p);
    assert_int_equal(*p, 0);
    vhu_memory_free(memory);
}

static void test_huge_pages(void **state)
{
    const uint64_t huge = UINT64_C(2) << 20;
    const vhu_mem_region region = {0x1000, huge - 0x1000, 0x1000, huge + 0x1000};
    vhu_memory *memory;
    vhu_handle handle = memfd_create("huge", MFD_CLOEXEC | MFD_HUGETLB | (21u << 26));
    void *map = MAP_FAILED;
    uint64_t *p;

    (void)state;
    if (handle >= 0 && ftruncate(handle, (off_t)(2 * huge)) == 0)
        map = mmap(NULL, 2 * huge, PROT_READ | PROT_WRITE, MAP_SHARED, handle, 0);
    if (map == MAP_FAILED) {
        vhu_handle_close(&handle);
        skip();
    }
    assert_int_equal(vhu_memory_new(&memory), 0);
    assert_int_equal(vhu_memory_add(memory, &region, &handle), 0);
    p = vhu_memory_at(memory, 0x1000, region.size);
    assert_non_null(p);
    *p = 42;
    assert_int_equal(*(uint64_t *)((uint8_t *)map + huge + 0x1000), 42);
    vhu_memory_free(memory);
    munmap(map, 2 * huge);
    assert_int_equal(sys_count_maps(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_bad_handles),
        leakcheck_test(test_device),
        leakcheck_test(test_huge_pages),
    };

    return cmocka_run_group_tests_name("memory_posix", tests, NULL, NULL);
}
