/* SPDX-License-Identifier: BSD-3-Clause */
#include <time.h>

#include "os.h"

uint64_t os_now_ms(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_MONOTONIC, &now) != 0)
        return 0;
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}
