/* SPDX-License-Identifier: BSD-3-Clause */
#include "win32.h"

#include "os.h"

/* The clock by which waits end; it stands still while the machine sleeps, and costs no call. */
uint64_t os_now_ms(void)
{
    ULONGLONG now;

    if (!QueryUnbiasedInterruptTime(&now))
        return 0;
    return now / 10000;
}
