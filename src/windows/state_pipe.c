/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>

#include "os.h"
#include "pipe.h"

struct os_pipe {
    vhu__pipe pipe;
    unsigned direction;
};

static int make(os_pipe **out, HANDLE *handle, unsigned direction)
{
    os_pipe *p = malloc(sizeof(*p));
    int r;

    if (!p)
        return VHU_ENOMEM;
    p->direction = direction;
    r = vhu__pipe_open(&p->pipe, handle);
    if (r < 0)
        free(p);
    else
        *out = p;
    return r;
}

int os_pipe_new(os_pipe **out, vhu_handle *peer, unsigned direction)
{
    HANDLE ends[2];
    int r = vhu__pipe_pair(ends);

    if (r < 0)
        return r;
    r = make(out, &ends[0], direction);
    if (r < 0) {
        vhu_handle_close(&ends[0]);
        vhu_handle_close(&ends[1]);
        return r;
    }
    *peer = ends[1];
    return 0;
}

/* An anonymous pipe is refused, like all that takes one operation at a time. */
int os_pipe_adopt(os_pipe **out, vhu_handle *handle, unsigned direction)
{
    bool is_server;
    int r = vhu__pipe_examine(*handle, &is_server);

    return r == 0 ? make(out, handle, direction) : r;
}

int os_pipe_read(os_pipe *pipe, void *buf, size_t len)
{
    vhu__pipe *p = &pipe->pipe;
    int r = vhu__pipe_fill(p, 1);
    size_t n = p->in_end - p->in_start;

    if (r < 0)
        return r == VHU_EDISCONNECT ? 0 : r;
    if (n > len)
        n = len;
    memcpy(buf, p->in + p->in_start, n);
    vhu__pipe_consume(p, n);
    return (int)n;
}

int os_pipe_write(os_pipe *pipe, const void *buf, size_t len)
{
    vhu__pipe *p = &pipe->pipe;
    int r = vhu__pipe_writable(p);

    if (r < 0)
        return r;
    if (len > p->out_room)
        len = p->out_room;
    memcpy(p->out, buf, len);
    r = vhu__pipe_write(p, len);
    return r < 0 ? r : (int)len;
}

/* A write that is under way when its end is closed is lost. */
int os_pipe_flush(os_pipe *pipe)
{
    return vhu__pipe_writable(&pipe->pipe);
}

vhu_handle os_pipe_wait_handle(os_pipe *pipe)
{
    vhu__pipe_arm(&pipe->pipe, pipe->direction);
    return pipe->pipe.ready;
}

void os_pipe_free(os_pipe *pipe)
{
    if (pipe)
        vhu__pipe_close(&pipe->pipe);
    free(pipe);
}
