/* SPDX-License-Identifier: BSD-3-Clause */
#include "event_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>
#include <vmm_vhost/types.h>

#include "posix.h"

/* Of the systems without eventfd one has no pipe2() either. */
#ifdef __APPLE__
static int new_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return vhu__posix_error(errno);
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0 || fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0) {
            int r = vhu__posix_error(errno);

            vhu_handle_close(&ends[0]);
            vhu_handle_close(&ends[1]);
            return r;
        }
    }
    return 0;
}
#else
static int new_pipe(int ends[2])
{
    return pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0 ? vhu__posix_error(errno) : 0;
}
#endif

int vhu__event_ends(int *wait_end, int *signal_end)
{
    int ends[2];
    int r = new_pipe(ends);

    if (r < 0)
        return r;
    *wait_end = ends[0];
    *signal_end = ends[1];
    return 0;
}
