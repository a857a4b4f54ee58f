/* SPDX-License-Identifier: BSD-3-Clause */
/* The executor of a device's rings: threads, each with a loop of its own. */
#ifndef VHU_UV_WORKERS_H
#define VHU_UV_WORKERS_H

#include <stdatomic.h>
#include <vmm_vhost/uv.h>

typedef struct vhu__uv_workers vhu__uv_workers;

/*
 * Have a loop see what was stored before. uv_async_send() does nothing if it was called already;
 * without the fence it may find that out before the store can be seen, which the loop then misses.
 */
static inline void vhu__uv_wake(uv_async_t *async)
{
    atomic_thread_fence(memory_order_seq_cst);
    uv_async_send(async);
}

/*
 * For vhu_device_new(), with the workers as its argument; all but watch_also. And what was given
 * as the argument of `notify`.
 */
void vhu__uv_workers_executor(const vhu__uv_workers *all, vhu_executor *executor);
void *vhu__uv_workers_owner(const vhu__uv_workers *all);

/*
 * `notify` is called from any thread: for the executor's, and when the last worker has ended.
 * The threads do not run yet.
 */
int vhu__uv_workers_new(vhu__uv_workers **out, const vhu_uv_device_options *options,
                        void (*notify)(void *arg), void *arg);

/* Start them for a device, with the `self` of its ops; waits until each has begun or failed. */
int vhu__uv_workers_start(vhu__uv_workers *all, vhu_device *device, void *self);

/* Ask them to end; whether all have. Afterwards they can be freed. */
void vhu__uv_workers_stop(vhu__uv_workers *all);
bool vhu__uv_workers_ended(const vhu__uv_workers *all);

/* Waits for threads that have ended, which takes no time. */
void vhu__uv_workers_free(vhu__uv_workers *all);

#endif
