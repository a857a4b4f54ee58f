/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/stream.h>

#include "handles.h"
#include "handshake.h"
#include "os.h"
#include "pipe_stream.h"
#include "security.h"
#include "util.h"

enum {
    HANDSHAKE_MS = 5000,
    /* For a frame that has begun; as long as a connection gives a message. */
    FRAME_MS = 10000,
    /* What is read for the sake of its handles when nobody wants it any more. */
    MAX_DRAINED = 64
};

struct vhu_stream {
    vhu__pipe pipe;
    vhu__pass pass;
    bool open; /* the handshake is done, or there was none */
    bool gone; /* the peer, when this side closed */
    vhu__handshake handshake;
    int error;       /* why nothing can follow */
    PTP_TIMER timer; /* for the handshake, or for a frame's rest; signals pipe.ready */
    volatile LONG late;
    /* Of the frame that is on its way. */
    uint64_t values[VHU__FRAME_HANDLES];
    size_t num_values;
};

/* --- deadlines --- */

static void CALLBACK on_timer(PTP_CALLBACK_INSTANCE instance, void *arg, PTP_TIMER timer)
{
    vhu_stream *stream = arg;

    (void)instance;
    (void)timer;
    InterlockedExchange(&stream->late, 1);
    SetEvent(stream->pipe.ready);
}

/* Whoever waits for the handle has to be woken for it. */
static int set_deadline(vhu_stream *stream, int ms)
{
    ULARGE_INTEGER due = {.QuadPart = (ULONGLONG)(-(LONGLONG)ms * 10000)};
    FILETIME time = {.dwLowDateTime = due.LowPart, .dwHighDateTime = due.HighPart};

    if (!stream->timer)
        stream->timer = CreateThreadpoolTimer(on_timer, stream, NULL);
    if (!stream->timer)
        return VHU_ENOMEM;
    SetThreadpoolTimer(stream->timer, &time, 0, 0);
    return 0;
}

static void clear_deadline(vhu_stream *stream)
{
    if (!stream->timer)
        return;
    SetThreadpoolTimer(stream->timer, NULL, 0, 0);
    WaitForThreadpoolTimerCallbacks(stream->timer, TRUE);
    CloseThreadpoolTimer(stream->timer);
    stream->timer = NULL;
    stream->late = 0;
}

static bool is_late(vhu_stream *stream)
{
    return InterlockedCompareExchange(&stream->late, 0, 0) != 0;
}

/* --- frames --- */

static int fail(vhu_stream *stream, int error)
{
    stream->error = error;
    return error;
}

/* The handshake, as far as it goes. 0: it is done. */
static int turn(vhu_stream *stream)
{
    int r;

    if (stream->error < 0)
        return stream->error;
    if (stream->open)
        return 0;
    r = vhu__handshake_turn(&stream->handshake, &stream->pipe, &stream->pass);
    if (r == VHU_EAGAIN && is_late(stream))
        r = VHU_ETIMEDOUT;
    if (r == VHU_EAGAIN)
        return r;
    clear_deadline(stream);
    if (r < 0)
        return fail(stream, r);
    stream->open = true;
    return 0;
}

/* A frame's rest is awaited, but not for ever. */
static int starved(vhu_stream *stream)
{
    if (stream->pipe.in_end == stream->pipe.in_start)
        return VHU_EAGAIN;
    if (is_late(stream))
        return VHU_ETIMEDOUT;
    return stream->timer || set_deadline(stream, FRAME_MS) == 0 ? VHU_EAGAIN : VHU_ENOMEM;
}

/* The next message is here, whole: 0, VHU_EAGAIN or an error. Its head is in *frame. */
static int next_message(vhu_stream *stream, vhu__frame *frame)
{
    vhu__pipe *pipe = &stream->pipe;
    int r = vhu__pipe_fill(pipe, VHU__FRAME_HEAD);

    if (r == 0) {
        if (!vhu__frame_load(frame, pipe->in + pipe->in_start) ||
            frame->type != VHU__FRAME_TYPE_MSG ||
            (frame->num_handles > 0 && frame->owner != vhu__pass_owner(&stream->pass, false)))
            return VHU_EINVALID_MESSAGE;
        r = vhu__pipe_fill(pipe, vhu__frame_size(frame));
    }
    if (r == VHU_EAGAIN)
        return starved(stream);
    if (r == 0)
        clear_deadline(stream);
    return r;
}

/* The handles of the frame that begins at in_start. */
static int import_handles(vhu_stream *stream, const vhu__frame *frame, vhu_handle *handles)
{
    const vhu__pipe *pipe = &stream->pipe;
    const HANDLE mine[] = {pipe->handle, pipe->ready};
    uint64_t values[VHU__FRAME_HANDLES];

    for (size_t i = 0; i < frame->num_handles; i++)
        values[i] = vhu__frame_load_value(pipe->in + pipe->in_start, i);
    return vhu__pass_import(&stream->pass, values, frame->num_handles, mine, VHU__COUNT(mine),
                            handles);
}

static int stream_recv(void *self, void *buf, size_t capacity, vhu_handle *handles,
                       size_t *num_handles)
{
    vhu_stream *stream = self;
    vhu_handle received[VHU__FRAME_HANDLES];
    size_t room = *num_handles;
    vhu__frame frame;
    int r = turn(stream);

    *num_handles = 0;
    if (r == 0) {
        r = next_message(stream, &frame);
        if (r == 0)
            r = import_handles(stream, &frame, received);
        if (r < 0 && r != VHU_EAGAIN)
            fail(stream, r);
    }
    if (r < 0)
        return r;
    if (frame.len > capacity || frame.num_handles > room) {
        vhu__close_all(received, frame.num_handles);
        return fail(stream, VHU_EINVALID_MESSAGE);
    }
    memcpy(buf, stream->pipe.in + stream->pipe.in_start + vhu__frame_size(&frame) - frame.len,
           frame.len);
    vhu__pipe_consume(&stream->pipe, vhu__frame_size(&frame));
    memcpy(handles, received, frame.num_handles * sizeof(received[0]));
    *num_handles = frame.num_handles;
    return (int)frame.len;
}

/* A frame that does not arrive takes its handles back: its receiver has not seen them. */
static void settle_values(vhu_stream *stream)
{
    if (stream->pipe.lost)
        vhu__pass_withdraw(&stream->pass, stream->values, stream->num_values);
    stream->num_values = 0;
}

/* Whether a frame can be sent. */
static int writable(vhu_stream *stream)
{
    int r = vhu__pipe_writable(&stream->pipe);

    if (r != VHU_EAGAIN)
        settle_values(stream);
    return r;
}

static int stream_send(void *self, const void *buf, size_t len, const vhu_handle *handles,
                       size_t num_handles)
{
    vhu_stream *stream = self;
    vhu__frame frame = {.type = VHU__FRAME_TYPE_MSG};
    uint8_t *bytes;
    int r;

    if (len == 0 || len > VHU__FRAME_CONTENT || num_handles > VHU__FRAME_HANDLES)
        return VHU_EOVERFLOW;
    r = turn(stream);
    if (r == 0)
        r = writable(stream);
    if (r < 0)
        return r;
    frame.len = (uint32_t)len;
    frame.num_handles = (uint16_t)num_handles;
    if (num_handles > 0)
        frame.owner = vhu__pass_owner(&stream->pass, true);
    bytes = vhu__pipe_room(&stream->pipe, vhu__frame_size(&frame));
    if (!bytes)
        return VHU_ENOMEM;
    r = vhu__pass_export(&stream->pass, handles, num_handles, stream->values);
    if (r < 0)
        return r;
    stream->num_values = num_handles;
    memcpy(vhu__frame_store(bytes, &frame, stream->values), buf, len);
    vhu__pipe_write(&stream->pipe, vhu__frame_size(&frame));
    r = writable(stream);
    return r == 0 || r == VHU_EAGAIN ? (int)len : r;
}

/* --- waiting --- */

static vhu_handle stream_wait_handle(void *self)
{
    return ((const vhu_stream *)self)->pipe.ready;
}

static void stream_arm(void *self, unsigned events)
{
    vhu_stream *stream = self;

    /* A handshake reads and writes whatever its owner wants. */
    if (!stream->open)
        events = VHU_WAIT_READ | (stream->handshake.proof_due ? VHU_WAIT_WRITE : 0u);
    vhu__pipe_arm(&stream->pipe, events);
    if (stream->error < 0 || is_late(stream))
        SetEvent(stream->pipe.ready);
}

static int stream_wait(void *self, unsigned events, int timeout_ms)
{
    vhu_stream *stream = self;
    uint64_t end = os_now_ms() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);

    for (;;) {
        bool was_open = stream->open;
        DWORD r;

        stream_arm(stream, events);
        r = WaitForSingleObject(stream->pipe.ready, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms);
        if (r == WAIT_TIMEOUT)
            return VHU_ETIMEDOUT;
        if (r != WAIT_OBJECT_0)
            return vhu__win32_error(GetLastError());
        if (was_open || turn(stream) != VHU_EAGAIN)
            return 0;
        if (timeout_ms >= 0) {
            uint64_t now = os_now_ms();

            timeout_ms = now < end ? (int)(end - now) : 0;
        }
    }
}

/* --- the end --- */

/*
 * What the peer has passed and nobody has taken is closed, as a socket would do it. Bounded: a peer
 * that goes on sending keeps what it sends.
 */
static void drain(vhu_stream *stream)
{
    vhu_handle handles[VHU__FRAME_HANDLES];
    vhu__frame frame;

    for (int i = 0; i < MAX_DRAINED && next_message(stream, &frame) == 0; i++) {
        if (import_handles(stream, &frame, handles) == 0)
            vhu__close_all(handles, frame.num_handles);
        vhu__pipe_consume(&stream->pipe, vhu__frame_size(&frame));
    }
}

static void stream_shutdown(void *self)
{
    vhu_stream *stream = self;

    if (stream->open && stream->error == 0)
        drain(stream);
    clear_deadline(stream);
    stream->gone = !stream->open || stream->pipe.error < 0;
    vhu__pipe_shut(&stream->pipe);
    settle_values(stream);
    fail(stream, VHU_EDISCONNECT);
}

static void stream_close(void *self)
{
    vhu_stream *stream = self;

    if (stream->pipe.handle)
        stream_shutdown(stream);
    vhu__pipe_close(&stream->pipe);
    vhu__handshake_release(&stream->handshake);
    vhu__pass_release(&stream->pass, stream->gone);
    free(stream);
}

void vhu_stream_free(vhu_stream *stream)
{
    if (stream)
        stream_close(stream);
}

const vhu_transport *vhu_stream_transport(const vhu_stream *stream)
{
    static const vhu_transport transport = {
        .size = sizeof(transport),
        .flags = VHU_TRANSPORT_MESSAGES,
        .recv = stream_recv,
        .send = stream_send,
        .wait_handle = stream_wait_handle,
        .wait = stream_wait,
        .shutdown = stream_shutdown,
        .close = stream_close,
        .arm = stream_arm,
    };

    (void)stream;
    return &transport;
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
    r = set_deadline(stream, ms);
    if (r == 0)
        r = vhu__handshake_begin(&stream->handshake, &stream->pipe, is_server, flags, options);
    if (r == 0) {
        *out = stream;
        return 0;
    }
    /* Nothing is under way: the handle is the caller's as before. */
    clear_deadline(stream);
    *handle = stream->pipe.handle;
    stream->pipe.handle = NULL;
    stream_close(stream);
    return r;
}

/* The caller's, of whatever version, or NULL. */
static int load_options(const vhu_pipe_options **options, vhu_pipe_options *copy)
{
    if (!*options)
        return 0;
    if (!vhu__copy_sized(copy, sizeof(*copy), *options))
        return VHU_EINVAL;
    *options = copy;
    return 0;
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
            stream_close(out[0]);
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
