/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <vmm_vhost/uv.h>

struct vhu_uv_server {
    vhu_backend_server *server; /* NULL: over */
    vhu_uv_watch *watch;
    uv_timer_t timer; /* the connection's deadline, or the next turn of a flood */
    void (*closed)(void *arg, int error);
    void *closed_arg;
    void (*done)(void *arg);
    void *done_arg;
};

static void stop(vhu_uv_server *s)
{
    s->server = NULL;
    vhu_uv_watch_close(s->watch);
    s->watch = NULL;
    uv_timer_stop(&s->timer);
}

static void on_timer(uv_timer_t *timer)
{
    vhu_uv_server_continue(timer->data);
}

static void on_ready(void *arg)
{
    vhu_uv_server_continue(arg);
}

void vhu_uv_server_continue(vhu_uv_server *s)
{
    vhu_conn *conn;
    int deadline_ms = 1; /* a timer of 0 would be due again in this turn of the loop */
    int r;

    if (!s->server)
        return;
    r = vhu_backend_server_serve(s->server);
    /* An op may have closed this. */
    if (!s->server)
        return;
    conn = vhu_backend_server_conn(s->server);
    if (r == VHU_EAGAIN)
        deadline_ms = vhu_conn_deadline_ms(conn);
    else if (r == 0)
        r = VHU_EAGAIN;
    if (r == VHU_EAGAIN && vhu_uv_watch_set(s->watch, vhu_conn_wait_events(conn)) < 0)
        r = VHU_EOS;
    if (r != VHU_EAGAIN) {
        stop(s);
        s->closed(s->closed_arg, r);
    } else if (deadline_ms >= 0) {
        uv_timer_start(&s->timer, on_timer, (uint64_t)deadline_ms, 0);
    } else if (uv_is_active((const uv_handle_t *)&s->timer)) {
        uv_timer_stop(&s->timer);
    }
}

int vhu_uv_server_start(vhu_uv_server **out, uv_loop_t *loop, vhu_backend_server *server,
                        void (*closed)(void *arg, int error), void *arg)
{
    vhu_conn *conn = vhu_backend_server_conn(server);
    vhu_handle handle = vhu_conn_wait_handle(conn);
    vhu_uv_server *s;
    int r;

    if (handle == VHU_NO_HANDLE)
        return VHU_EINVAL;
    s = calloc(1, sizeof(*s));
    if (!s)
        return VHU_ENOMEM;
    r = vhu_uv_watch_new(&s->watch, loop, handle, vhu_conn_wait_events(conn), on_ready, s);
    if (r < 0) {
        free(s);
        return r;
    }
    uv_timer_init(loop, &s->timer);
    s->timer.data = s;
    s->server = server;
    s->closed = closed;
    s->closed_arg = arg;
    /* Something may be in read-ahead already; not from here, since the caller has no object yet. */
    if (vhu_conn_pending(conn))
        uv_timer_start(&s->timer, on_timer, 0, 0);
    *out = s;
    return 0;
}

static void on_close(uv_handle_t *handle)
{
    vhu_uv_server *s = handle->data;

    if (s->done)
        s->done(s->done_arg);
    free(s);
}

void vhu_uv_server_close(vhu_uv_server *s, void (*done)(void *arg), void *arg)
{
    if (s->server)
        stop(s);
    s->done = done;
    s->done_arg = arg;
    uv_close((uv_handle_t *)&s->timer, on_close);
}
