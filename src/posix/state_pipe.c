/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>

#include "end.h"
#include "os.h"
#include "posix.h"

struct os_pipe {
    vhu__end end;
};

static int make(os_pipe **out, const vhu__end *end)
{
    *out = malloc(sizeof(**out));
    if (!*out)
        return VHU_ENOMEM;
    (*out)->end = *end;
    return 0;
}

int os_pipe_new(os_pipe **out, vhu_handle *peer, unsigned direction)
{
    int ours = direction == VHU_WAIT_READ ? 0 : 1;
    int ends[2];
    int r = vhu__end_pipe(ends);

    if (r < 0)
        return r;
    /* The peer expects one that waits. */
    if (fcntl(ends[1 - ours], F_SETFL, 0) < 0)
        r = vhu__posix_error(errno);
    else
        r = make(out, &(vhu__end){.fd = ends[ours], .pipe = true});
    if (r < 0) {
        vhu_handle_close(&ends[0]);
        vhu_handle_close(&ends[1]);
        return r;
    }
    *peer = ends[1 - ours];
    return 0;
}

int os_pipe_adopt(os_pipe **out, vhu_handle *handle, unsigned direction)
{
    vhu__end end;
    int r = vhu__end_examine(&end, *handle, direction == VHU_WAIT_READ ? O_WRONLY : O_RDONLY);

    if (r == 0 && !end.pipe && !end.socket)
        r = VHU_EINVAL;
    if (r == 0)
        r = make(out, &end);
    if (r == 0)
        *handle = VHU_NO_HANDLE;
    return r;
}

static int outcome(ssize_t n)
{
    if (n >= 0)
        return (int)n;
    return errno == EAGAIN || errno == EWOULDBLOCK ? VHU_EAGAIN : vhu__posix_error(errno);
}

int os_pipe_read(os_pipe *pipe, void *buf, size_t len)
{
    ssize_t n;

    do {
        n = vhu__end_read(&pipe->end, buf, len < INT_MAX ? len : INT_MAX);
    } while (n < 0 && errno == EINTR);
    return outcome(n);
}

int os_pipe_write(os_pipe *pipe, const void *buf, size_t len)
{
    ssize_t n;

    do {
        n = vhu__end_write(&pipe->end, buf, len < INT_MAX ? len : INT_MAX);
    } while (n < 0 && errno == EINTR);
    return outcome(n);
}

/* The system has it. */
int os_pipe_flush(os_pipe *pipe)
{
    (void)pipe;
    return 0;
}

vhu_handle os_pipe_wait_handle(os_pipe *pipe)
{
    return pipe->end.fd;
}

void os_pipe_free(os_pipe *pipe)
{
    if (pipe)
        vhu_handle_close(&pipe->end.fd);
    free(pipe);
}
