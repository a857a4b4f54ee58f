/* SPDX-License-Identifier: BSD-3-Clause */
#include <fcntl.h>
#include <stdlib.h>
#include <vmm_vhost/uv.h>

struct vhu_uv_watch {
    uv_poll_t poll;
    unsigned events;
    void (*ready)(void *arg);
    void *arg;
};

static int wanted(unsigned events)
{
    return (events & VHU_WAIT_READ ? UV_READABLE : 0) | (events & VHU_WAIT_WRITE ? UV_WRITABLE : 0);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    vhu_uv_watch *watch = poll->data;

    (void)events;
    /*
     * At an error libuv has stopped. It shows when the handle is used, but maybe not this time:
     * there can be something to receive before it.
     */
    if (status < 0)
        uv_poll_start(poll, wanted(watch->events), on_poll);
    watch->ready(watch->arg);
}

static void on_close(uv_handle_t *handle)
{
    free(handle->data);
}

int vhu_uv_watch_new(vhu_uv_watch **out, uv_loop_t *loop, vhu_handle handle, unsigned events,
                     void (*ready)(void *arg), void *arg)
{
    vhu_uv_watch *watch = calloc(1, sizeof(*watch));
    int mode = fcntl(handle, F_GETFL);
    int r;

    if (!watch)
        return VHU_ENOMEM;
    if (mode < 0 || uv_poll_init(loop, &watch->poll, handle) != 0) {
        free(watch);
        return VHU_EINVAL;
    }
    /* libuv has made it non-blocking, but the peer may share this mode and rely on it. */
    if (!(mode & O_NONBLOCK))
        fcntl(handle, F_SETFL, mode);
    watch->poll.data = watch;
    watch->ready = ready;
    watch->arg = arg;
    r = vhu_uv_watch_set(watch, events);
    if (r < 0) {
        vhu_uv_watch_close(watch);
        return r;
    }
    *out = watch;
    return 0;
}

int vhu_uv_watch_set(vhu_uv_watch *watch, unsigned events)
{
    if (events == watch->events)
        return 0;
    watch->events = events;
    if (events == 0)
        return uv_poll_stop(&watch->poll) == 0 ? 0 : VHU_EOS;
    return uv_poll_start(&watch->poll, wanted(events), on_poll) == 0 ? 0 : VHU_EOS;
}

void vhu_uv_watch_close(vhu_uv_watch *watch)
{
    if (watch)
        uv_close((uv_handle_t *)&watch->poll, on_close);
}
