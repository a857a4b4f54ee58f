/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream at work: messages, their handles, waiting, the end. stream.c makes them. */
#include <string.h>
#include <vmm_vhost/error.h>

#include "handles.h"
#include "os.h"
#include "pipe_stream.h"
#include "util.h"

enum {
    /* For a frame that has begun; as long as a connection gives a message. */
    FRAME_MS = 10000,
    /*
     * What is read for the sake of its handles when nobody wants it any more: all that a pipe
     * holds, and a frame on its way.
     */
    MAX_DRAINED = VHU__PIPE_QUOTA + 2 * VHU__FRAME_CONTENT
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
int vhu__stream_set_deadline(vhu_stream *stream, int ms)
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

void vhu__stream_clear_deadline(vhu_stream *stream)
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
    vhu__stream_clear_deadline(stream);
    if (r < 0)
        return fail(stream, r);
    stream->open = true;
    stream->num_taken = stream->pass.transfers ? 1 : 0; /* the proof */
    return 0;
}

/* A frame's rest is awaited, but not for ever. */
static int starved(vhu_stream *stream)
{
    if (stream->pipe.in_end == stream->pipe.in_start)
        return VHU_EAGAIN;
    if (is_late(stream))
        return VHU_ETIMEDOUT;
    return stream->timer || vhu__stream_set_deadline(stream, FRAME_MS) == 0 ? VHU_EAGAIN
                                                                            : VHU_ENOMEM;
}

static const uint8_t *content_of(const vhu_stream *stream, const vhu__frame *frame)
{
    return stream->pipe.in + stream->pipe.in_start + vhu__frame_size(frame) - frame->len;
}

/* The next frame is here, whole: 0, VHU_EAGAIN or an error. */
static int next_frame(vhu_stream *stream, vhu__frame *frame)
{
    vhu__pipe *pipe = &stream->pipe;
    int r = vhu__pipe_fill(pipe, VHU__FRAME_HEAD);

    if (r == 0) {
        if (!vhu__frame_load(frame, pipe->in + pipe->in_start))
            return VHU_EINVALID_MESSAGE;
        r = vhu__pipe_fill(pipe, vhu__frame_size(frame));
    }
    if (r == VHU_EAGAIN)
        return starved(stream);
    if (r == 0)
        vhu__stream_clear_deadline(stream);
    return r;
}

/* The next message is here, behind what the peer's port had to say to this one. */
static int next_message(vhu_stream *stream, vhu__frame *frame)
{
    int r;

    while ((r = next_frame(stream, frame)) == 0 && frame->type == VHU__FRAME_TYPE_TAKEN) {
        if (!vhu__pass_taken(&stream->pass, vhu__number_load(content_of(stream, frame))))
            return VHU_EINVALID_MESSAGE;
        vhu__pipe_consume(&stream->pipe, vhu__frame_size(frame));
    }
    if (r < 0)
        return r;
    if (frame->type == VHU__FRAME_TYPE_BYE) /* of our proof, which was the last of the handshake */
        return vhu__handshake_refused(content_of(stream, frame));
    return frame->type == VHU__FRAME_TYPE_MSG &&
                   (frame->num_handles == 0 ||
                    frame->owner == vhu__pass_owner(&stream->pass, false))
               ? 0
               : VHU_EINVALID_MESSAGE;
}

/* The handles of the frame that begins at in_start. */
static int import_handles(vhu_stream *stream, const vhu__frame *frame, vhu_handle *handles)
{
    const vhu__pipe *pipe = &stream->pipe;
    const HANDLE mine[] = {pipe->handle, pipe->ready};
    uint64_t values[VHU__FRAME_HANDLES];
    int r;

    for (size_t i = 0; i < frame->num_handles; i++)
        values[i] = vhu__frame_load_value(pipe->in + pipe->in_start, i);
    r = vhu__pass_import(&stream->pass, values, frame->num_handles, mine, VHU__COUNT(mine),
                         handles);
    if (r == 0 && stream->pass.transfers)
        stream->num_taken += frame->num_handles;
    return r;
}

/* --- sending --- */

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

/* What the peer need not remember any more; later, if not now. */
static void tell_taken(vhu_stream *stream)
{
    const vhu__frame frame = {.type = VHU__FRAME_TYPE_TAKEN, .len = VHU__FRAME_NUMBER};
    uint8_t *bytes;

    if (stream->num_taken == 0 || writable(stream) < 0)
        return;
    bytes = vhu__pipe_room(&stream->pipe, vhu__frame_size(&frame));
    if (!bytes)
        return;
    vhu__number_store(vhu__frame_store(bytes, &frame, NULL), stream->num_taken);
    if (vhu__pipe_write(&stream->pipe, vhu__frame_size(&frame)) == 0)
        stream->num_taken = 0;
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
    tell_taken(stream);
    if (r < 0)
        return r;
    if (frame.len > capacity || frame.num_handles > room) {
        vhu__close_all(received, frame.num_handles);
        return fail(stream, VHU_EINVALID_MESSAGE);
    }
    memcpy(buf, content_of(stream, &frame), frame.len);
    vhu__pipe_consume(&stream->pipe, vhu__frame_size(&frame));
    memcpy(handles, received, frame.num_handles * sizeof(received[0]));
    *num_handles = frame.num_handles;
    return (int)frame.len;
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
    if (r == 0) {
        tell_taken(stream);
        r = writable(stream);
    }
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
    vhu__frame frame;
    int r = turn(stream);

    /* A handshake reads or writes, whatever its owner wants. */
    if (r == VHU_EAGAIN)
        events = stream->handshake.proof_due ? VHU_WAIT_WRITE : VHU_WAIT_READ;
    else if (r == 0 && (events & VHU_WAIT_READ))
        r = next_message(stream, &frame); /* reading begins, unless it is here already */
    else if (r == 0)
        r = VHU_EAGAIN;
    if (stream->num_taken > 0)
        events |= VHU_WAIT_WRITE;
    vhu__pipe_arm(&stream->pipe, events);
    /*
     * The time may have run out since it was looked at, and arming made the event forget that. Once
     * it is open, that is for who reads.
     */
    if (r != VHU_EAGAIN || (is_late(stream) && (!stream->open || (events & VHU_WAIT_READ))))
        SetEvent(stream->pipe.ready);
}

static int stream_wait(void *self, unsigned events, int timeout_ms)
{
    vhu_stream *stream = self;
    uint64_t end = os_now_ms() + (uint64_t)(timeout_ms < 0 ? 0 : timeout_ms);

    for (;;) {
        DWORD r;

        stream_arm(stream, events);
        r = WaitForSingleObject(stream->pipe.ready, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms);
        if (r == WAIT_TIMEOUT)
            return VHU_ETIMEDOUT;
        if (r != WAIT_OBJECT_0)
            return vhu__win32_error(GetLastError());
        if (turn(stream) != VHU_EAGAIN)
            return 0;
        if (timeout_ms >= 0) {
            timeout_ms = vhu__ms_until(end, os_now_ms());
            if (timeout_ms == 0)
                return VHU_ETIMEDOUT;
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
    size_t drained = 0;

    while (drained < MAX_DRAINED && next_message(stream, &frame) == 0) {
        if (import_handles(stream, &frame, handles) == 0)
            vhu__close_all(handles, frame.num_handles);
        vhu__pipe_consume(&stream->pipe, vhu__frame_size(&frame));
        drained += vhu__frame_size(&frame);
    }
    tell_taken(stream);
}

void vhu__stream_shut(vhu_stream *stream)
{
    if (stream->open && stream->error == 0)
        drain(stream);
    vhu__stream_clear_deadline(stream);
    stream->gone = !stream->open || stream->pipe.error < 0;
    vhu__pipe_shut(&stream->pipe);
    settle_values(stream);
    fail(stream, VHU_EDISCONNECT);
}

static void stream_shutdown(void *self)
{
    vhu__stream_shut(self);
}

static void stream_close(void *self)
{
    vhu_stream_free(self);
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
