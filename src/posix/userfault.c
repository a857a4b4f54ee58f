/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"
#include "posix.h"

/* The kernel's own faults, too, as it reads and writes for us: there may be a device for that. */
static int open_userfault(void)
{
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK);
#ifdef USERFAULTFD_IOC_NEW
    int saved = errno;
    int device;

    if (fd >= 0 || errno != EPERM)
        return fd;
    device = open("/dev/userfaultfd", O_RDWR | O_CLOEXEC);
    if (device >= 0) {
        fd = ioctl(device, USERFAULTFD_IOC_NEW, O_CLOEXEC | O_NONBLOCK);
        saved = errno;
        close(device);
    }
    errno = saved;
#endif
    return fd;
}

int os_userfault_new(vhu_handle *out)
{
    struct uffdio_api api = {.api = UFFD_API};
    int fd = open_userfault();
    int r = 0;

    *out = VHU_NO_HANDLE;
    if (fd < 0)
        return vhu__posix_error(errno);
    if (ioctl(fd, UFFDIO_API, &api) < 0)
        r = vhu__posix_error(errno);
    else if (!(api.features & UFFD_FEATURE_MISSING_SHMEM))
        r = VHU_ENOSYS;
    if (r < 0)
        vhu_handle_close(&fd);
    else
        *out = fd;
    return r;
}

int os_userfault_add(vhu_handle handle, void *base, size_t len)
{
    struct uffdio_register range = {.range = {(uintptr_t)base, len},
                                    .mode = UFFDIO_REGISTER_MODE_MISSING};

    /* A huge page would cover pages that have not come; hugetlbfs has no others, and refuses. */
    madvise(base, len, MADV_NOHUGEPAGE);
    return ioctl(handle, UFFDIO_REGISTER, &range) == 0 ? 0 : vhu__posix_error(errno);
}

void os_userfault_remove(vhu_handle handle, void *base, size_t len)
{
    struct uffdio_range range = {(uintptr_t)base, len};

    ioctl(handle, UFFDIO_UNREGISTER, &range);
}

/* A loop would be woken by what is to be received; this is not. */
int os_userfault_life(vhu_handle connection, vhu_handle *out)
{
    struct epoll_event event = {.events = EPOLLRDHUP};
    int r = 0;

    *out = epoll_create1(EPOLL_CLOEXEC);
    if (*out < 0 || epoll_ctl(*out, EPOLL_CTL_ADD, connection, &event) < 0)
        r = vhu__posix_error(errno);
    if (r < 0)
        vhu_handle_close(out);
    return r;
}

bool os_userfault_is_over(vhu_handle life)
{
    struct epoll_event event;

    return epoll_wait(life, &event, 1, 0) > 0;
}
