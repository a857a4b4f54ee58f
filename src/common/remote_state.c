/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: a stopped device's own state, over a pipe beside the connection. */
#include <vmm_vhost/wait.h>

#include "os.h"
#include "remote_internal.h"

/* Bytes of a piece. */
enum { PIECE = 16384 };

/* Bytes of a device's state, to whoever wants them or from who has them. */
typedef struct flow {
    vhu_remote *remote;
    os_pipe *pipe;
    unsigned direction;
    int limit_ms;
    uint64_t deadline; /* of the piece that is waited for; 0: none is, or there is no limit */
} flow;

/*
 * Until the pipe is ready; meanwhile the back-end may leave, or ask for something, which gives it
 * no more time.
 */
static int wait_for(flow *f)
{
    vhu_conn *conn = vhu_remote_conn(f->remote);
    vhu_conn *channel = vhu_remote_channel(f->remote);
    vhu_wait waits[] = {
        {.handle = os_pipe_wait_handle(f->pipe), .events = f->direction},
        {.handle = vhu_conn_wait_handle(conn), .events = vhu_conn_wait_events(conn)},
        {.handle = VHU_NO_HANDLE},
    };
    uint64_t now = os_now_ms();
    int r;

    if (f->deadline == 0 && f->limit_ms >= 0)
        f->deadline = now + (uint64_t)f->limit_ms;
    if (channel && vhu_conn_is_open(channel)) {
        waits[2].handle = vhu_conn_wait_handle(channel);
        waits[2].events = vhu_conn_wait_events(channel);
    }
    r = vhu_wait_any(waits, VHU__COUNT(waits), vhu__ms_until(f->deadline, now));
    if (r < 0 && r != VHU_ETIMEDOUT)
        return vhu__remote_fail(f->remote, r, "the state cannot be waited for");
    if (r == 0 && waits[0].ready)
        return 0;
    if (r == VHU_ETIMEDOUT || vhu__ms_until(f->deadline, os_now_ms()) == 0)
        return vhu__remote_fail(f->remote, VHU_EREFUSED, "the state is stuck on its way");
    return vhu_remote_serve(f->remote);
}

static int open_flow(flow *f, vhu_remote *remote, uint32_t direction)
{
    const vhu_device_state state = {.direction = direction, .phase = VHU_STATE_STOPPED};
    vhu_handle peer, own;
    int r;

    *f = (flow){.remote = remote,
                .direction = direction == VHU_STATE_SAVE ? VHU_WAIT_READ : VHU_WAIT_WRITE,
                .limit_ms = remote->options.timeout_ms ? remote->options.timeout_ms : 10000};
    if (!vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "not connected");
    if (remote->running)
        return vhu__remote_fail(remote, VHU_ESTATE, "the device runs");
    r = os_pipe_new(&f->pipe, &peer, f->direction);
    if (r < 0)
        return vhu__remote_fail(remote, r, "no pipe for the state: %s", vhu_strerror(r));
    r = vhu__remote_sent(
        remote, vhu_backend_client_set_device_state_fd(remote->client, &state, peer, &own));
    vhu_handle_close(&peer);
    /* The back-end would rather have its own. */
    if (r == 0 && own != VHU_NO_HANDLE) {
        os_pipe_free(f->pipe);
        f->pipe = NULL;
        r = os_pipe_adopt(&f->pipe, &own, f->direction);
        if (r < 0)
            vhu__remote_fail(remote, r, "the back-end's pipe for the state: %s", vhu_strerror(r));
        vhu_handle_close(&own);
    }
    return r;
}

/* After the end of the state is through, either way. */
static int check(vhu_remote *remote)
{
    return vhu__remote_sent(remote, vhu_backend_client_check_device_state(remote->client));
}

static int failed(flow *f, int r)
{
    return vhu__remote_fail(f->remote, r, "the state's pipe: %s", vhu_strerror(r));
}

/* --- save --- */

static int receive(flow *f, int (*put)(void *arg, const void *bytes, size_t len), void *arg)
{
    uint8_t bytes[PIECE];
    int r = 0;

    while (r == 0) {
        int n = os_pipe_read(f->pipe, bytes, sizeof(bytes));

        if (n == 0)
            return 0;
        if (n == VHU_EAGAIN)
            r = wait_for(f);
        else if (n < 0)
            r = failed(f, n);
        else
            r = put(arg, bytes, (size_t)n);
        if (n > 0)
            f->deadline = 0;
    }
    return r;
}

int vhu_remote_save_state(vhu_remote *remote, int (*put)(void *arg, const void *bytes, size_t len),
                          void *arg)
{
    flow f;
    int r = open_flow(&f, remote, VHU_STATE_SAVE);

    if (r == 0)
        r = receive(&f, put, arg);
    os_pipe_free(f.pipe);
    return r == 0 ? check(remote) : r;
}

/* --- load --- */

static int send_piece(flow *f, const uint8_t *bytes, size_t len)
{
    while (len > 0) {
        int n = os_pipe_write(f->pipe, bytes, len);
        int r = n == VHU_EAGAIN ? wait_for(f) : 0;

        if (n < 0 && n != VHU_EAGAIN)
            return failed(f, n);
        if (r < 0)
            return r;
        if (n > 0) {
            f->deadline = 0;
            bytes += n;
            len -= (size_t)n;
        }
    }
    return 0;
}

static int flush(flow *f)
{
    int r;

    while ((r = os_pipe_flush(f->pipe)) == VHU_EAGAIN) {
        r = wait_for(f);
        if (r < 0)
            return r;
    }
    return r < 0 ? failed(f, r) : 0;
}

static int send(flow *f, int (*get)(void *arg, void *bytes, size_t len), void *arg)
{
    uint8_t bytes[PIECE];

    for (;;) {
        int n = get(arg, bytes, sizeof(bytes));
        int r;

        if (n < 0)
            return n;
        if ((size_t)n > sizeof(bytes))
            return VHU_EINVAL;
        r = n > 0 ? send_piece(f, bytes, (size_t)n) : flush(f);
        if (n == 0 || r < 0)
            return r;
    }
}

int vhu_remote_load_state(vhu_remote *remote, int (*get)(void *arg, void *bytes, size_t len),
                          void *arg)
{
    bool cut;
    flow f;
    int r = open_flow(&f, remote, VHU_STATE_LOAD);

    if (r == 0)
        r = send(&f, get, arg);
    os_pipe_free(f.pipe);
    /* A back-end that stops reading says why when it is asked. */
    cut = r == VHU_EDISCONNECT && vhu_remote_is_connected(remote);
    if (r < 0 && !cut)
        return r;
    r = check(remote);
    if (r == 0 && cut)
        r = vhu__remote_fail(remote, VHU_EREFUSED, "the back-end has not read all of the state");
    return r;
}
