/* SPDX-License-Identifier: BSD-3-Clause */
#include "event_internal.h"

#include <errno.h>
#include <sys/eventfd.h>

#include "posix.h"

int vhu__event_ends(int *wait_end, int *signal_end)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    if (fd < 0)
        return vhu__posix_error(errno);
    *wait_end = *signal_end = fd;
    return 0;
}
