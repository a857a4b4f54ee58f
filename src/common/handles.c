/* SPDX-License-Identifier: BSD-3-Clause */
#include "handles.h"

#include <string.h>

void vhu__close_all(vhu_handle *handles, size_t n)
{
    for (size_t i = 0; i < n; i++)
        vhu_handle_close(&handles[i]);
}

bool vhu__handles_push(vhu__handles *set, vhu_handle *handles, size_t n, uint64_t position)
{
    if (n > VHU__HANDLES_MAX - set->count) {
        vhu__close_all(handles, n);
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        set->handle[set->count] = handles[i];
        handles[i] = VHU_NO_HANDLE;
        set->position[set->count] = position;
        set->count++;
    }
    return true;
}

static void shift(vhu__handles *set, uint32_t n)
{
    set->count -= n;
    memmove(&set->handle[0], &set->handle[n], set->count * sizeof(set->handle[0]));
    memmove(&set->position[0], &set->position[n], set->count * sizeof(set->position[0]));
}

size_t vhu__handles_take(vhu__handles *set, uint64_t end, vhu_handle *out, size_t room)
{
    uint32_t n = 0;

    while (n < set->count && set->position[n] < end) {
        if (n < room)
            out[n] = set->handle[n];
        else
            vhu_handle_close(&set->handle[n]);
        n++;
    }
    if (n == 0)
        return 0;
    shift(set, n);
    return n;
}

void vhu__handles_drop(vhu__handles *set, size_t n)
{
    if (n == 0)
        return;
    vhu__close_all(set->handle, n);
    shift(set, (uint32_t)n);
}

void vhu__handles_clear(vhu__handles *set)
{
    vhu__close_all(set->handle, set->count);
    set->count = 0;
}
