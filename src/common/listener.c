/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/listener.h>

#include <stdlib.h>

#include "conn.h"
#include "os.h"

struct vhu_listener {
    os_listener *os;
    vhu_conn_options connection;
    bool has_connection;
};

/* What both ways to begin share: a listener without its port's half. */
static int prepare(vhu_listener **out, vhu_listener_options *copy,
                   const vhu_listener_options *options)
{
    vhu_listener *listener = calloc(1, sizeof(*listener));

    if (!listener)
        return VHU_ENOMEM;
    *copy = (vhu_listener_options){.size = sizeof(*copy)};
    if (options && !vhu__copy_sized(copy, sizeof(*copy), options))
        goto invalid;
    if (copy->flags & ~(unsigned)(VHU_SOCKET_SEQPACKET | VHU_CHECK_PEER))
        goto invalid;
    if (copy->connection) {
        if (!vhu__copy_sized(&listener->connection, sizeof(listener->connection), copy->connection))
            goto invalid;
        listener->has_connection = true;
    }
    *out = listener;
    return 0;

invalid:
    free(listener);
    return VHU_EINVAL;
}

static const vhu_pipe_options *pipe_of(const vhu_listener *listener)
{
    return listener->has_connection ? listener->connection.pipe : NULL;
}

static int conclude(vhu_listener **out, vhu_listener *listener, int r)
{
    listener->connection.pipe = NULL;
    if (r < 0)
        free(listener);
    else
        *out = listener;
    return r;
}

int vhu_listener_new(vhu_listener **out, const char *address, const vhu_listener_options *options)
{
    vhu_listener_options copy;
    vhu_listener *listener;
    int r = prepare(&listener, &copy, options);

    if (r < 0)
        return r;
    r = os_listener_new(&listener->os, address, copy.flags, copy.mode, pipe_of(listener));
    return conclude(out, listener, r);
}

int vhu_listener_adopt(vhu_listener **out, vhu_handle *handle, const vhu_listener_options *options)
{
    vhu_listener_options copy;
    vhu_listener *listener;
    int r = prepare(&listener, &copy, options);

    if (r < 0)
        return r;
    r = os_listener_adopt(&listener->os, handle, copy.flags, pipe_of(listener));
    return conclude(out, listener, r);
}

int vhu_listener_accept_stream(vhu_listener *listener, vhu_stream **out)
{
    return os_listener_accept(listener->os, out);
}

int vhu_listener_accept(vhu_listener *listener, vhu_conn **out)
{
    vhu_stream *stream;
    int r = os_listener_accept(listener->os, &stream);

    if (r < 0)
        return r;
    return vhu__conn_from_stream(out, stream,
                                 listener->has_connection ? &listener->connection : NULL);
}

vhu_handle vhu_listener_wait_handle(const vhu_listener *listener)
{
    return os_listener_wait_handle(listener->os);
}

int vhu_listener_wait(vhu_listener *listener, int timeout_ms)
{
    return os_listener_wait(listener->os, timeout_ms);
}

void vhu_listener_free(vhu_listener *listener)
{
    if (!listener)
        return;
    os_listener_free(listener->os);
    free(listener);
}

int vhu_connect(vhu_conn **out, const char *address, unsigned flags,
                const vhu_conn_options *options)
{
    vhu_stream *stream;
    int r = vhu_stream_connect(&stream, address, flags, vhu__conn_pipe(options));

    return r < 0 ? r : vhu__conn_from_stream(out, stream, options);
}
