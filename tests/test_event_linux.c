/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors of Linux that can be waited for like events, and are none. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "end.h"
#include "test_event_kinds.h"

/* Nobody can clear it; and whether it can be waited for is at any time its owner's affair. */
static void test_epoll_is_refused(void **state)
{
    (void)state;
    refuse(vhu_event_adopt_wait, epoll_create1(EPOLL_CLOEXEC));
}

/* Of one that blocks poll() has but an error to tell, and a read waits for good. */
static void test_error_is_no_input(void **state)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | UFFD_USER_MODE_ONLY);
    vhu__end end = {.fd = fd, .shared = true};
    char bytes[512];

    (void)state;
    if (fd < 0)
        skip();
    assert_int_equal(ioctl(fd, UFFDIO_API, &api), 0);
    /* As with kernels that know no call for it that does not wait. */
    atomic_init(&end.looks_first, true);
    assert_int_equal(vhu__end_read(&end, bytes, sizeof(bytes)), -1);
    assert_int_equal(errno, EIO);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_epoll_is_refused),
        leakcheck_test(test_error_is_no_input),
    };

    return cmocka_run_group_tests_name("event_linux", tests, NULL, NULL);
}
