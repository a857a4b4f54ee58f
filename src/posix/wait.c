/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <poll.h>
#include <vmm_vhost/wait.h>

#include "os.h"
#include "posix.h"
#include "util.h"

/* poll() going on after signals, until its time is up. The number of ready ones, or an error. */
static int poll_all(struct pollfd *fds, size_t n, int timeout_ms)
{
    uint64_t end = timeout_ms < 0 ? 0 : os_now_ms() + (uint64_t)timeout_ms;

    for (;;) {
        int ready = poll(fds, (nfds_t)n, timeout_ms);

        if (ready > 0)
            return ready;
        if (ready == 0)
            return VHU_ETIMEDOUT;
        if (errno != EINTR)
            return vhu__posix_error(errno);
        if (timeout_ms > 0)
            timeout_ms = vhu__ms_until(end, os_now_ms());
    }
}

int vhu__posix_poll(int fd, short events, int timeout_ms)
{
    struct pollfd p = {.fd = fd, .events = events};
    int r = poll_all(&p, 1, timeout_ms);

    if (r > 0)
        return p.revents & POLLNVAL ? VHU_EINVAL : 0;
    return r;
}

int vhu_wait_any(vhu_wait *waits, size_t n, int timeout_ms)
{
    struct pollfd fds[VHU_MAX_WAITS];
    int r;

    if (n > VHU__COUNT(fds))
        return VHU_EINVAL;
    for (size_t i = 0; i < n; i++) {
        fds[i].fd = waits[i].handle;
        fds[i].events = (short)((waits[i].events & VHU_WAIT_READ ? POLLIN : 0) |
                                (waits[i].events & VHU_WAIT_WRITE ? POLLOUT : 0));
        fds[i].revents = 0;
    }
    r = poll_all(fds, n, timeout_ms);
    for (size_t i = 0; i < n; i++)
        waits[i].ready = r > 0 && fds[i].revents != 0;
    return r > 0 ? 0 : r;
}
