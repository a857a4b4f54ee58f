/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's sealed_memory, where there are seals. */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmm_vhost/shm.h>

#include "test_device_fixture.h"

enum { SIZE = 1 << 20 };

static int memfd_of(unsigned flags, int seals)
{
    int fd = memfd_create("test", MFD_CLOEXEC | flags);

    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, SIZE), 0);
    if (seals)
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
    return fd;
}

/* What is not sealed yet is, if it can be; then nobody cuts it short. */
static void test_seal(void **state)
{
    static const struct {
        unsigned flags;
        int seals;
        bool sealed;
    } rows[] = {
        {MFD_ALLOW_SEALING, F_SEAL_SHRINK | F_SEAL_SEAL, true},
        {MFD_ALLOW_SEALING, F_SEAL_SHRINK, true},
        {MFD_ALLOW_SEALING, F_SEAL_GROW, true},
        {MFD_ALLOW_SEALING, 0, true},
        {MFD_ALLOW_SEALING, F_SEAL_GROW | F_SEAL_SEAL, false},
        {0, 0, false},
    };
    int pipe_ends[2];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        int fd = memfd_of(rows[i].flags, rows[i].seals);

        assert_int_equal(vhu_shm_seal(fd), rows[i].sealed);
        errno = 0;
        assert_int_equal(ftruncate(fd, SIZE / 2), rows[i].sealed ? -1 : 0);
        assert_int_equal(errno, rows[i].sealed ? EPERM : 0);
        close(fd);
    }
    assert_int_equal(pipe(pipe_ends), 0);
    assert_false(vhu_shm_seal(pipe_ends[0]));
    close(pipe_ends[0]);
    close(pipe_ends[1]);
    assert_false(vhu_shm_seal(VHU_NO_HANDLE));
}

/* Of huge pages a seal does not keep any: there may be none for a hole, or never have been. */
static void test_huge_pages(void **state)
{
    int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);

    (void)state;
    if (fd < 0)
        skip();
    assert_int_equal(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK), 0);
    assert_false(vhu_shm_seal(fd));
    close(fd);
}

/* A front-end whose memory is sealed notices nothing. */
static void test_runs(void **state)
{
    const kit_options options = {.rings = 2, .sealed_memory = true};
    kit *k = kit_started(&options);

    (void)state;
    kit_requests(k, 0, 8);
    kit_requests(k, 1, 8);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_seal),
        leakcheck_test(test_huge_pages),
        leakcheck_test(test_runs),
    };

    return cmocka_run_group_tests_name("device_sealed_linux", tests, NULL, NULL);
}
