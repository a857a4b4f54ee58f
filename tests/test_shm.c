/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/shm.h>

#include <string.h>

#include "os.h"
#include "support/leakcheck.h"
#include "support/sys.h"

static void test_sizes(void **state)
{
    static const uint64_t sizes[] = {1, 4096, 4097, UINT64_C(1) << 20, (UINT64_C(1) << 32) + 1};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        vhu_shm *shm;
        uint8_t *base;
        os_map map;
        void *last;

        assert_int_equal(vhu_shm_new(&shm, sizes[i]), 0);
        assert_int_equal(vhu_shm_size(shm), sizes[i]);
        base = vhu_shm_base(shm);
        assert_int_equal(base[0], 0);
        assert_int_equal(base[sizes[i] - 1], 0);
        base[sizes[i] - 1] = 1;
        assert_int_equal(os_map_shared(&map, vhu_shm_handle(shm), sizes[i] - 1, 1, &last), 0);
        assert_int_equal(*(uint8_t *)last, 1);
        os_unmap(&map);
        assert_false(sys_handle_is_inherited(vhu_shm_handle(shm)));
        vhu_shm_free(shm);
    }
}

static void test_wrong_sizes(void **state)
{
    vhu_shm *shm;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, 0), VHU_EINVAL);
    assert_int_equal(vhu_shm_new(&shm, UINT64_MAX), VHU_EOVERFLOW);
    /* More than there are addresses. */
    assert_true(vhu_shm_new(&shm, INT64_MAX) < 0);
    vhu_shm_free(NULL);
}

/* Another mapping of the handle is the same memory, and outlives the object. */
static void test_shared(void **state)
{
    vhu_shm *shm, *other;
    os_map map;
    void *base;
    char *mine, *theirs;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, 8192), 0);
    assert_int_equal(vhu_shm_new(&other, 8192), 0);
    mine = vhu_shm_base(shm);
    assert_int_equal(os_map_shared(&map, vhu_shm_handle(shm), 0, 8192, &base), 0);
    theirs = base;
    strcpy(mine, "from here");
    assert_string_equal(theirs, "from here");
    assert_string_equal(vhu_shm_base(other), "");
    vhu_shm_free(shm);
    vhu_shm_free(other);
    assert_string_equal(theirs, "from here");
    os_unmap(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_sizes),
        leakcheck_test(test_wrong_sizes),
        leakcheck_test(test_shared),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
