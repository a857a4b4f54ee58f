/* SPDX-License-Identifier: BSD-3-Clause */
#include "event_internal.h"

#include "end.h"

int vhu__event_ends(int *wait_end, int *signal_end)
{
    int ends[2];
    int r = vhu__end_pipe(ends);

    if (r < 0)
        return r;
    *wait_end = ends[0];
    *signal_end = ends[1];
    return 0;
}
