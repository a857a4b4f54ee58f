/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/shm.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/leakcheck.h"

static void test_sizes(void **state)
{
    static const uint64_t sizes[] = {1, 4096, 4097, UINT64_C(1) << 20, UINT64_C(1) << 33};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct stat st;
        vhu_shm *shm;
        uint8_t *base;

        assert_int_equal(vhu_shm_new(&shm, sizes[i]), 0);
        assert_int_equal(vhu_shm_size(shm), sizes[i]);
        base = vhu_shm_base(shm);
        assert_int_equal(base[0], 0);
        assert_int_equal(base[sizes[i] - 1], 0);
        base[sizes[i] - 1] = 1;
        assert_int_equal(fstat(vhu_shm_handle(shm), &st), 0);
        assert_true((uint64_t)st.st_size >= sizes[i]);
        assert_true(fcntl(vhu_shm_handle(shm), F_GETFD) & FD_CLOEXEC);
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
    char *mine, *theirs;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, 8192), 0);
    assert_int_equal(vhu_shm_new(&other, 8192), 0);
    mine = vhu_shm_base(shm);
    theirs = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, vhu_shm_handle(shm), 0);
    assert_ptr_not_equal(theirs, MAP_FAILED);
    strcpy(mine, "from here");
    assert_string_equal(theirs, "from here");
    assert_string_equal(vhu_shm_base(other), "");
    vhu_shm_free(shm);
    vhu_shm_free(other);
    assert_string_equal(theirs, "from here");
    munmap(theirs, 8192);
}

/* Where the system can fix the size, a peer can see that it is. */
static void test_sealed(void **state)
{
    vhu_shm *shm;
    int fd;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, 8192), 0);
    fd = vhu_shm_handle(shm);
#ifdef F_GET_SEALS
    if (fcntl(fd, F_GET_SEALS) > F_SEAL_SEAL) {
        assert_true(fcntl(fd, F_GET_SEALS) & F_SEAL_SHRINK);
        assert_int_equal(ftruncate(fd, 0), -1);
        assert_int_equal(errno, EPERM);
    }
#else
    (void)fd;
#endif
    vhu_shm_free(shm);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_sizes),
        leakcheck_test(test_wrong_sizes),
        leakcheck_test(test_shared),
        leakcheck_test(test_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
