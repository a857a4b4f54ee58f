/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A thread of the system's pool waits for the handle and wakes the loop; the loop calls `ready`,
 * then has the pool wait again. So the pool's wait fires once for each call of `ready`, whether the
 * handle takes its signal back by itself or stays signalled until somebody has done something.
 *
 * While there are no events to wait for the pool goes on waiting: to stop it would lose a signal
 * that it is just taking. What it takes is remembered until there are events again.
 */
#include <vmm_vhost/uv.h>

#include <stdlib.h>
#include <windows.h>

#include "uv_workers.h"

struct vhu_uv_watch {
    uv_async_t async;
    PTP_WAIT wait;
    HANDLE handle;
    atomic_bool fired; /* and `ready` is yet to be called */
    unsigned events;
    void (*ready)(void *arg);
    void *arg;
};

static void fire(vhu_uv_watch *watch)
{
    atomic_store_explicit(&watch->fired, true, memory_order_relaxed);
    vhu__uv_wake(&watch->async);
}

/* On a thread of the pool. */
static void CALLBACK on_signal(PTP_CALLBACK_INSTANCE instance, void *arg, PTP_WAIT wait,
                               TP_WAIT_RESULT result)
{
    (void)instance;
    (void)wait;
    (void)result;
    fire(arg);
}

static void on_async(uv_async_t *async)
{
    vhu_uv_watch *watch = async->data;

    if (watch->events == 0 || !atomic_exchange_explicit(&watch->fired, false, memory_order_acquire))
        return;
    watch->ready(watch->arg);
    if (!uv_is_closing((const uv_handle_t *)async))
        SetThreadpoolWait(watch->wait, watch->handle, NULL);
}

static void on_close(uv_handle_t *handle)
{
    free(handle->data);
}

/* To look at a handle takes its signal, and tells whether it can be waited for. */
static int look(HANDLE handle, bool *signalled)
{
    /* Negative ones stand for this process or thread. */
    DWORD r = (intptr_t)handle > 0 ? WaitForSingleObject(handle, 0) : WAIT_FAILED;

    *signalled = r == WAIT_OBJECT_0;
    return r == WAIT_OBJECT_0 || r == WAIT_TIMEOUT ? 0 : VHU_EINVAL;
}

int vhu_uv_watch_new(vhu_uv_watch **out, uv_loop_t *loop, vhu_handle handle, unsigned events,
                     void (*ready)(void *arg), void *arg)
{
    vhu_uv_watch *watch = calloc(1, sizeof(*watch));
    bool signalled;
    int r;

    if (!watch)
        return VHU_ENOMEM;
    watch->wait = CreateThreadpoolWait(on_signal, watch, NULL);
    r = watch->wait ? look(handle, &signalled) : VHU_ENOMEM;
    if (r == 0 && uv_async_init(loop, &watch->async, on_async) != 0)
        r = VHU_ENOMEM;
    if (r < 0) {
        if (watch->wait)
            CloseThreadpoolWait(watch->wait);
        free(watch);
        return r;
    }
    watch->async.data = watch;
    watch->handle = handle;
    watch->ready = ready;
    watch->arg = arg;
    atomic_init(&watch->fired, false);
    uv_unref((uv_handle_t *)&watch->async);
    vhu_uv_watch_set(watch, events);
    if (signalled)
        fire(watch);
    else
        SetThreadpoolWait(watch->wait, handle, NULL);
    *out = watch;
    return 0;
}

int vhu_uv_watch_set(vhu_uv_watch *watch, unsigned events)
{
    bool waited = watch->events != 0;

    watch->events = events;
    if (events == 0) {
        uv_unref((uv_handle_t *)&watch->async);
    } else if (!waited) {
        uv_ref((uv_handle_t *)&watch->async);
        if (atomic_load_explicit(&watch->fired, memory_order_relaxed))
            vhu__uv_wake(&watch->async);
    }
    return 0;
}

void vhu_uv_watch_close(vhu_uv_watch *watch)
{
    if (!watch)
        return;
    /* After this the pool knows neither the handle nor the watch; its callback waits for nobody. */
    SetThreadpoolWait(watch->wait, NULL, NULL);
    WaitForThreadpoolWaitCallbacks(watch->wait, TRUE);
    CloseThreadpoolWait(watch->wait);
    uv_close((uv_handle_t *)&watch->async, on_close);
}
