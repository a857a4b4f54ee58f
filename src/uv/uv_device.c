/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on a loop: its listener, its front-end, its workers, and their end. */
#include <stdlib.h>

#include "util.h"
#include "uv_workers.h"

struct vhu_uv_device {
    uv_loop_t *loop;
    vhu_uv_device_options options;
    void *self;
    vhu_device *device;
    vhu__uv_workers *workers;
    uv_async_t notify; /* from the workers */
    uv_timer_t retry;  /* after accept failed for want of something */

    vhu_listener *listener;
    vhu_uv_watch *listening;
    vhu_uv_server *server; /* while a front-end is connected */
    vhu_uv_watch *also[VHU_DEVICE_LIFE + 1];

    bool closing;
    bool stopping; /* the workers were asked to end */
    void (*done)(void *arg);
    void *done_arg;
};

static void accept_next(vhu_uv_device *d);
static void on_retry(uv_timer_t *timer);

enum { RETRY_MS = 500 };

/* --- the end --- */

static void on_retry_closed(uv_handle_t *handle)
{
    vhu_uv_device *d = handle->data;

    if (d->done)
        d->done(d->done_arg);
    free(d);
}

/* One after the other: both lie in what the last frees. */
static void on_notify_closed(uv_handle_t *handle)
{
    vhu_uv_device *d = handle->data;

    uv_close((uv_handle_t *)&d->retry, on_retry_closed);
}

static void close_handles(vhu_uv_device *d)
{
    uv_close((uv_handle_t *)&d->notify, on_notify_closed);
}

/* One step further towards the end, whenever something has ended. */
static void wind_up(vhu_uv_device *d)
{
    if (!d->closing || uv_is_closing((const uv_handle_t *)&d->notify) ||
        !vhu_device_is_idle(d->device))
        return;
    if (!d->stopping) {
        d->stopping = true;
        vhu__uv_workers_stop(d->workers);
    }
    if (!vhu__uv_workers_ended(d->workers))
        return;
    vhu__uv_workers_free(d->workers);
    vhu_device_free(d->device);
    close_handles(d);
}

/* --- front-ends --- */

static void on_idle(void *arg)
{
    vhu_uv_device *d = arg;

    if (d->closing)
        wind_up(d);
    else
        accept_next(d);
}

static void drop(vhu_uv_device *d, int error)
{
    vhu_uv_server_close(d->server, NULL, NULL);
    d->server = NULL;
    if (d->options.disconnected)
        d->options.disconnected(d->self, error);
    vhu_device_disconnect(d->device, on_idle, d);
}

static void on_server_closed(void *arg, int error)
{
    drop(arg, error);
}

static int serve(vhu_uv_device *d, vhu_conn **conn)
{
    vhu_backend_server *server;
    int r;

    if (vhu_conn_wait_handle(*conn) == VHU_NO_HANDLE)
        return VHU_EINVAL;
    r = vhu_device_connect(d->device, conn, &server);
    if (r < 0)
        return r;
    r = vhu_uv_server_start(&d->server, d->loop, server, on_server_closed, d);
    if (r < 0) {
        vhu_device_disconnect(d->device, NULL, NULL);
        return r;
    }
    if (d->options.connected)
        d->options.connected(d->self);
    return 0;
}

static void accept_next(vhu_uv_device *d)
{
    int r = 0;

    /* Who comes while one is connected waits in the listener's queue. */
    while (d->listener && vhu_device_is_idle(d->device) && (r == 0 || r == VHU_EPERM)) {
        vhu_conn *conn = NULL;

        r = vhu_listener_accept(d->listener, &conn);
        if (r == 0)
            r = serve(d, &conn);
        vhu_conn_free(conn);
    }
    /* There is none, or `connected` has closed it. */
    if (!d->listener)
        return;
    vhu_uv_watch_set(d->listening, r == VHU_EAGAIN ? VHU_WAIT_READ : 0);
    if (r < 0 && r != VHU_EAGAIN)
        uv_timer_start(&d->retry, on_retry, RETRY_MS, 0);
}

static void on_retry(uv_timer_t *timer)
{
    accept_next(timer->data);
}

static void on_listening(void *arg)
{
    accept_next(arg);
}

static void go_on(void *arg)
{
    vhu_uv_device *d = arg;

    vhu_device_settle(d->device);
    if (d->server)
        vhu_uv_server_continue(d->server);
    wind_up(d);
}

static void on_notify(uv_async_t *async)
{
    go_on(async->data);
}

static int watch_also(void *arg, vhu_device_wait which, vhu_handle handle, unsigned events)
{
    vhu_uv_device *d = vhu__uv_workers_owner(arg);

    if ((size_t)which >= VHU__COUNT(d->also))
        return VHU_ENOSYS;
    vhu_uv_watch_close(d->also[which]);
    d->also[which] = NULL;
    if (handle == VHU_NO_HANDLE)
        return 0;
    return vhu_uv_watch_new(&d->also[which], d->loop, handle, events, go_on, d);
}

int vhu_uv_device_connect(vhu_uv_device *d, vhu_conn **conn)
{
    return d->listener || d->closing ? VHU_ESTATE : serve(d, conn);
}

int vhu_uv_device_listen(vhu_uv_device *d, vhu_listener **listener)
{
    int r;

    if (d->listener || d->closing)
        return VHU_ESTATE;
    r = vhu_uv_watch_new(&d->listening, d->loop, vhu_listener_wait_handle(*listener), VHU_WAIT_READ,
                         on_listening, d);
    if (r < 0)
        return r;
    d->listener = *listener;
    *listener = NULL;
    return 0;
}

/* --- life --- */

static void notify(void *arg)
{
    vhu_uv_device *d = arg;

    vhu__uv_wake(&d->notify);
}

static unsigned count_workers(unsigned wanted, unsigned num_rings)
{
    if (wanted == 0)
        wanted = uv_available_parallelism();
    return wanted < num_rings ? wanted : num_rings;
}

static int make_device(vhu_uv_device *d, const vhu_device_options *device,
                       const vhu_device_ops *ops)
{
    vhu_executor executor;
    int r;

    d->options.num_workers = count_workers(d->options.num_workers, device->num_rings);
    r = vhu__uv_workers_new(&d->workers, &d->options, notify, d);
    if (r < 0)
        return r;
    vhu__uv_workers_executor(d->workers, &executor);
    executor.watch_also = watch_also;
    r = vhu_device_new(&d->device, device, ops, d->self, &executor, d->workers);
    if (r == 0)
        r = vhu__uv_workers_start(d->workers, d->device, d->self);
    return r;
}

int vhu_uv_device_new(vhu_uv_device **out, uv_loop_t *loop, const vhu_device_options *device,
                      const vhu_device_ops *ops, void *self, const vhu_uv_device_options *options)
{
    vhu_device_options of_device;
    vhu_uv_device *d;
    int r;

    if (!vhu__copy_sized(&of_device, sizeof(of_device), device) || of_device.num_rings == 0 ||
        of_device.num_rings > VHU_MAX_RINGS)
        return VHU_EINVAL;
    d = calloc(1, sizeof(*d));
    if (!d)
        return VHU_ENOMEM;
    if (!vhu__copy_sized(&d->options, sizeof(d->options), options)) {
        free(d);
        return VHU_EINVAL;
    }
    d->loop = loop;
    d->self = self;
    if (uv_async_init(loop, &d->notify, on_notify) != 0) {
        free(d);
        return VHU_EMFILE;
    }
    d->notify.data = d;
    uv_timer_init(loop, &d->retry);
    d->retry.data = d;
    r = make_device(d, &of_device, ops);
    if (r < 0) {
        if (d->workers) {
            vhu__uv_workers_stop(d->workers);
            vhu__uv_workers_free(d->workers);
        }
        vhu_device_free(d->device);
        close_handles(d);
        return r;
    }
    *out = d;
    return 0;
}

void vhu_uv_device_close(vhu_uv_device *d, void (*done)(void *arg), void *arg)
{
    if (d->closing)
        return;
    d->closing = true;
    d->done = done;
    d->done_arg = arg;
    vhu_uv_watch_close(d->listening);
    uv_timer_stop(&d->retry);
    vhu_listener_free(d->listener);
    d->listener = NULL;
    if (d->server)
        drop(d, 0);
    wind_up(d);
}
