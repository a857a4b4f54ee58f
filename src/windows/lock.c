/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>

#include "os.h"
#include "win32.h"

struct os_lock {
    SRWLOCK srw;
};

int os_lock_new(os_lock **out)
{
    os_lock *lock = malloc(sizeof(*lock));

    if (!lock)
        return VHU_ENOMEM;
    InitializeSRWLock(&lock->srw);
    *out = lock;
    return 0;
}

void os_lock_free(os_lock *lock)
{
    free(lock);
}

void os_lock_take(os_lock *lock)
{
    AcquireSRWLockExclusive(&lock->srw);
}

void os_lock_release(os_lock *lock)
{
    ReleaseSRWLockExclusive(&lock->srw);
}
