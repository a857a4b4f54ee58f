/* SPDX-License-Identifier: BSD-3-Clause */
#include <pthread.h>
#include <stdlib.h>

#include "os.h"
#include "posix.h"

struct os_lock {
    pthread_mutex_t mutex;
};

int os_lock_new(os_lock **out)
{
    os_lock *lock = malloc(sizeof(*lock));
    int error;

    if (!lock)
        return VHU_ENOMEM;
    error = pthread_mutex_init(&lock->mutex, NULL);
    if (error != 0) {
        free(lock);
        return vhu__posix_error(error);
    }
    *out = lock;
    return 0;
}

void os_lock_free(os_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
    free(lock);
}

void os_lock_take(os_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

void os_lock_release(os_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}
