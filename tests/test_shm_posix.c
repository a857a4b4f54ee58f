/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/shm.h>

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "support/leakcheck.h"

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
        leakcheck_test(test_sealed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
