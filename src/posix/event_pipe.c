/* SPDX-License-Identifier: BSD-3-Clause */
#include "event_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "posix.h"

int vhu__event_ends(int *wait_end, int *signal_end)
{
    int ends[2];

    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0)
        return vhu__posix_error(errno);
    *wait_end = ends[0];
    *signal_end = ends[1];
    return 0;
}
