/* SPDX-License-Identifier: BSD-3-Clause */
/* How streams come to be, and go. stream_io.c has what they do. */
#include <stdlib.h>
#include <vmm_vhost/listener.h>

#include "os.h"
#include "pipe_stream.h"
#include "security.h"
#include "util.h"

enum { HANDSHAKE_MS = 5000 };

void vhu_stream_free(vhu_stream *stream)
{
    if (!stream)
        return;
    if (stream->pipe.handle)
        vhu__stream_shut(stream);
    vhu__pipe_close(&stream->pipe);
    vhu__handshake_release(&stream->handshake, &stream->pass);
    vhu__pass_release(&stream->pass, stream->gone);
    free(stream);
}

/* --- the beginning --- */

/* *handle is taken on success. With a pass there is no handshake; it is taken, too. */
static int stream_new(vhu_stream **out, HANDLE *handle, vhu__pass *pass)
{
    vhu_stream *stream = calloc(1, sizeof(*stream));
    int r;

    if (!stream)
        return VHU_ENOMEM;
    r = vhu__pipe_open(&stream->pipe, handle);
    if (r < 0) {
        free(stream);
        return r;
    }
    if (pass) {
        stream->pass = *pass;
        stream->open = true;
        *pass = (vhu__pass){0};
    }
    *out = stream;
    return 0;
}

int vhu__stream_begin(vhu_stream **out, HANDLE *handle, bool is_server, unsigned flags,
                      const vhu_pipe_options *options)
{
    vhu_stream *stream;
    int ms = options && options->handshake_ms > 0 ? options->handshake_ms : HANDSHAKE_MS;
    int r = stream_new(&stream, handle, NULL);

    if (r < 0)
        return r;
    r = vhu__stream_set_deadline(stream, ms);
    if (r == 0)
        r = vhu__handshake_begin(&stream->handshake, &stream->pipe, is_server, flags, options);
    if (r == 0) {
        *out = stream;
        return 0;
    }
    /* Nothing is under way: the handle is the caller's as before. */
    vhu__stream_clear_deadline(stream);
    *handle = stream->pipe.handle;
    stream->pipe.handle = NULL;
    vhu_stream_free(stream);
    return r;
}

/* The caller's, of whatever version, checked; or NULL. */
static int load_options(const vhu_pipe_options **options, vhu_pipe_options *copy)
{
    if (!*options)
        return 0;
    if (!vhu__copy_sized(copy, sizeof(*copy), *options))
        return VHU_EINVAL;
    *options = copy;
    return vhu__handshake_check_options(copy);
}

int vhu_stream_adopt(vhu_stream **out, vhu_handle *handle, const vhu_pipe_options *options)
{
    vhu_pipe_options copy;
    bool is_server;
    int r = load_options(&options, &copy);

    if (r == 0)
        r = vhu__pipe_examine(*handle, &is_server);
    if (r == 0)
        r = vhu__handle_harden(*handle);
    return r < 0 ? r : vhu__stream_begin(out, handle, is_server, 0, options);
}

int vhu_stream_connect(vhu_stream **out, const char *address, unsigned flags,
                       const vhu_pipe_options *options)
{
    wchar_t name[VHU__PIPE_NAME_MAX + 1];
    vhu_pipe_options copy;
    HANDLE pipe = NULL;
    bool is_server;
    int r = load_options(&options, &copy);

    if (r < 0)
        return r;
    if (flags & ~(unsigned)VHU_CHECK_PEER)
        return flags & VHU_SOCKET_SEQPACKET ? VHU_ENOSYS : VHU_EINVAL;
    r = vhu__pipe_name(name, address);
    if (r == 0)
        r = vhu__pipe_dial(&pipe, name);
    /* Before the first byte: whose it is. */
    if (r == 0)
        r = vhu__security_check_owner(pipe, options ? options->owner : NULL);
    if (r == 0)
        r = vhu__pipe_examine(pipe, &is_server);
    if (r == 0)
        r = vhu__stream_begin(out, &pipe, false, flags, options);
    vhu_handle_close(&pipe);
    return r;
}

int vhu_stream_pair(vhu_stream *out[2])
{
    vhu__pass pass[2];
    HANDLE ends[2];
    int r = vhu__pipe_pair(ends);

    if (r < 0)
        return r;
    vhu__pass_inside(&pass[0], true);
    vhu__pass_inside(&pass[1], false);
    r = stream_new(&out[0], &ends[0], &pass[0]);
    if (r == 0) {
        r = stream_new(&out[1], &ends[1], &pass[1]);
        if (r < 0)
            vhu_stream_free(out[0]);
    }
    vhu_handle_close(&ends[0]);
    vhu_handle_close(&ends[1]);
    return r;
}

/* --- channels --- */

static int pass_beside(vhu__pass *pass, const vhu_stream *beside, bool opens)
{
    if (!beside) {
        vhu__pass_inside(pass, opens);
        return 0;
    }
    return beside->open ? vhu__pass_copy(pass, &beside->pass) : VHU_ESTATE;
}

int vhu_stream_open_channel(vhu_stream **out, vhu_handle *peer, const vhu_stream *beside)
{
    vhu__pass pass;
    HANDLE ends[2];
    int r = pass_beside(&pass, beside, true);

    if (r < 0)
        return r;
    r = vhu__pipe_pair(ends);
    if (r == 0) {
        r = stream_new(out, &ends[0], &pass);
        vhu_handle_close(&ends[0]);
        if (r < 0)
            vhu_handle_close(&ends[1]);
        else
            *peer = ends[1];
    }
    vhu__pass_release(&pass, false);
    return r;
}

int vhu_stream_adopt_channel(vhu_stream **out, vhu_handle *handle, const vhu_stream *beside)
{
    vhu__pass pass;
    bool is_server;
    int r = vhu__pipe_examine(*handle, &is_server);

    if (r == 0)
        r = vhu__handle_harden(*handle);
    if (r == 0)
        r = pass_beside(&pass, beside, false);
    if (r < 0)
        return r;
    r = stream_new(out, handle, &pass);
    vhu__pass_release(&pass, false);
    return r;
}
