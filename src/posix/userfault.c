/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "os.h"
#include "posix.h"

/* Faults of the kernel, too, which reads and writes for us. Newer systems allow that by a device.
 */
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

int os_userfault_look(vhu_handle connection)
{
    struct pollfd p = {.fd = connection, .events = POLLIN | POLLRDHUP};

    if (poll(&p, 1, 0) <= 0)
        return VHU_EAGAIN;
    return p.revents & (POLLRDHUP | POLLHUP | POLLERR) ? VHU_EDISCONNECT : 0;
}
