/* SPDX-License-Identifier: BSD-3-Clause */
/* For every port but Linux: nobody can wait for memory that is still to come. */
#include "os.h"

int os_userfault_new(vhu_handle *out)
{
    *out = VHU_NO_HANDLE;
    return VHU_ENOSYS;
}

int os_userfault_add(vhu_handle handle, void *base, size_t len)
{
    (void)handle;
    (void)base;
    (void)len;
    return VHU_ENOSYS;
}

void os_userfault_remove(vhu_handle handle, void *base, size_t len)
{
    (void)handle;
    (void)base;
    (void)len;
}

int os_userfault_life(vhu_handle connection, vhu_handle *out)
{
    (void)connection;
    *out = VHU_NO_HANDLE;
    return VHU_ENOSYS;
}

bool os_userfault_is_over(vhu_handle life)
{
    (void)life;
    return false;
}
