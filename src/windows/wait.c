/* SPDX-License-Identifier: BSD-3-Clause */
#include "win32.h"

#include <vmm_vhost/wait.h>

#include "os.h"
#include "util.h"

int vhu_wait_any(vhu_wait *waits, size_t n, int timeout_ms)
{
    const DWORD limit = timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms;
    HANDLE handles[VHU_MAX_WAITS];
    vhu_wait *of[VHU_MAX_WAITS]; /* whose handle it is */
    DWORD count = 0, r;

    if (n > VHU__COUNT(handles))
        return VHU_EINVAL;
    for (size_t i = 0; i < n; i++) {
        waits[i].ready = false;
        if (waits[i].handle == VHU_NO_HANDLE)
            continue;
        handles[count] = waits[i].handle;
        of[count++] = &waits[i];
    }
    if (count == 0) {
        Sleep(limit);
        return VHU_ETIMEDOUT;
    }
    r = WaitForMultipleObjects(count, handles, FALSE, limit);
    if (r == WAIT_TIMEOUT)
        return VHU_ETIMEDOUT;
    if (r >= WAIT_OBJECT_0 + count)
        return r == WAIT_FAILED ? vhu__win32_error(GetLastError()) : VHU_EINVAL;
    /* The first of those that are ready: to ask for the others would take their signals. */
    of[r - WAIT_OBJECT_0]->ready = true;
    return 0;
}
