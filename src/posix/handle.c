/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include "os.h"
#include "posix.h"

void vhu_handle_close(vhu_handle *handle)
{
    int saved = errno;

    if (*handle < 0)
        return;
    /* Not repeated on EINTR: the descriptor is gone all the same. */
    close(*handle);
    *handle = VHU_NO_HANDLE;
    errno = saved;
}

int os_handle_dup(vhu_handle handle, vhu_handle *out)
{
    int fd = fcntl(handle, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return vhu__posix_error(errno);
    *out = fd;
    return 0;
}

int vhu__posix_poll(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    uint64_t end = timeout_ms < 0 ? 0 : os_now_ms() + (uint64_t)timeout_ms;

    for (;;) {
        int n = poll(&p, 1, timeout_ms);

        if (n > 0)
            return p.revents & POLLNVAL ? VHU_EINVAL : 0;
        if (n == 0)
            return VHU_ETIMEDOUT;
        if (errno != EINTR)
            return vhu__posix_error(errno);
        if (timeout_ms > 0) {
            uint64_t now = os_now_ms();

            timeout_ms = now < end ? (int)(end - now) : 0;
        }
    }
}
