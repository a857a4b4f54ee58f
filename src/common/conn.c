/* SPDX-License-Identifier: BSD-3-Clause */
#include "conn_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "os.h"

enum { DEFAULT_TIMEOUT_MS = 10000 };

int vhu_conn_new(vhu_conn **out, const vhu_transport *transport, void *self,
                 const vhu_conn_options *options)
{
    vhu_conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        return VHU_ENOMEM;
    conn->options.size = sizeof(conn->options);
    if (!vhu__copy_sized(&conn->transport, sizeof(conn->transport), transport) ||
        (options && !vhu__copy_sized(&conn->options, sizeof(conn->options), options)) ||
        !conn->transport.recv || !conn->transport.send) {
        free(conn);
        return VHU_EINVAL;
    }
    if (conn->options.timeout_ms == 0)
        conn->options.timeout_ms = DEFAULT_TIMEOUT_MS;
    conn->options.pipe = NULL; /* the caller's, and done with */
    conn->self = self;
    conn->open = true;
    *out = conn;
    return 0;
}

/* --- on a stream --- */

const vhu_pipe_options *vhu__conn_pipe(const vhu_conn_options *options)
{
    vhu_conn_options copy = {0};

    /* What is wrong with them is told by vhu_conn_new(). */
    return options && vhu__copy_sized(&copy, sizeof(copy), options) ? copy.pipe : NULL;
}

int vhu_conn_from_stream(vhu_conn **out, vhu_stream **stream, const vhu_conn_options *options)
{
    int r = vhu_conn_new(out, vhu_stream_transport(*stream), *stream, options);

    if (r < 0)
        return r;
    (*out)->stream = *stream;
    *stream = NULL;
    return 0;
}

int vhu__conn_from_stream(vhu_conn **out, vhu_stream *stream, const vhu_conn_options *options)
{
    int r = vhu_conn_from_stream(out, &stream, options);

    vhu_stream_free(stream);
    return r;
}

int vhu_conn_adopt(vhu_conn **out, vhu_handle *handle, const vhu_conn_options *options)
{
    vhu_stream *stream;
    int r = vhu_stream_adopt(&stream, handle, vhu__conn_pipe(options));

    return r < 0 ? r : vhu__conn_from_stream(out, stream, options);
}

int vhu_conn_pair(vhu_conn *out[2], const vhu_conn_options *options)
{
    vhu_stream *streams[2];
    int r = vhu_stream_pair(streams);

    if (r < 0)
        return r;
    r = vhu__conn_from_stream(&out[0], streams[0], options);
    if (r < 0) {
        vhu_stream_free(streams[1]);
        return r;
    }
    r = vhu__conn_from_stream(&out[1], streams[1], options);
    if (r < 0)
        vhu_conn_free(out[0]);
    return r;
}

int vhu_conn_open_channel(vhu_conn **out, vhu_handle *peer, const vhu_conn *beside,
                          const vhu_conn_options *options)
{
    vhu_handle other;
    vhu_stream *stream;
    int r = vhu_stream_open_channel(&stream, &other, beside ? beside->stream : NULL);

    if (r < 0)
        return r;
    r = vhu__conn_from_stream(out, stream, options);
    if (r < 0)
        vhu_handle_close(&other);
    else
        *peer = other;
    return r;
}

int vhu_conn_adopt_channel(vhu_conn **out, vhu_handle *handle, const vhu_conn *beside,
                           const vhu_conn_options *options)
{
    vhu_stream *stream;
    int r = vhu_stream_adopt_channel(&stream, handle, beside ? beside->stream : NULL);

    return r < 0 ? r : vhu__conn_from_stream(out, stream, options);
}

void vhu__conn_close(vhu_conn *conn)
{
    if (!conn->open)
        return;
    conn->open = false;
    conn->has_header = false;
    /* Whoever was answered before this shall see the answer. */
    vhu__conn_send_queued(conn);
    vhu__handles_clear(&conn->in.handles);
    vhu__handles_clear(&conn->out.handles);
    if (conn->transport.shutdown)
        conn->transport.shutdown(conn->self);
}

void vhu_conn_free(vhu_conn *conn)
{
    if (!conn)
        return;
    vhu__conn_close(conn);
    if (conn->transport.close)
        conn->transport.close(conn->self);
    free(conn);
}

int vhu__conn_fail(vhu_conn *conn, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(conn->last_error, sizeof(conn->last_error), format, args);
    va_end(args);
    if (conn->options.log)
        conn->options.log(conn->options.log_arg, VHU_LOG_ERROR, conn->last_error);
    return code;
}

void vhu__conn_warn(const vhu_conn *conn, const char *format, ...)
{
    char text[sizeof(conn->last_error)];
    va_list args;

    if (!conn->options.log)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    conn->options.log(conn->options.log_arg, VHU_LOG_WARNING, text);
}

/* --- deadlines --- */

void vhu__conn_arm(vhu_conn *conn, uint64_t *deadline)
{
    if (*deadline == 0 && conn->options.timeout_ms > 0)
        *deadline = os_now_ms() + (uint64_t)conn->options.timeout_ms;
}

bool vhu__conn_passed(const uint64_t *deadline)
{
    return *deadline != 0 && os_now_ms() >= *deadline;
}

uint64_t vhu__conn_deadline(const vhu_conn *conn)
{
    return conn->open ? vhu__earlier(conn->in_deadline, conn->out_deadline) : 0;
}

int vhu_conn_deadline_ms(const vhu_conn *conn)
{
    uint64_t deadline = vhu__conn_deadline(conn);

    return deadline == 0 ? -1 : vhu__ms_until(deadline, os_now_ms());
}

/* --- input --- */

static int disconnected(vhu_conn *conn, int code)
{
    if (code != VHU_EDISCONNECT)
        return vhu__conn_close_with(conn, code, "receiving failed: %s", vhu_strerror(code));
    if (vhu__queued(&conn->in) == 0) {
        vhu__conn_close(conn);
        return VHU_ECLIENT_EXIT;
    }
    return vhu__conn_close_with(conn, VHU_EDISCONNECT, "the peer left in the middle of a message");
}

static int starved(vhu_conn *conn)
{
    if (vhu__queued(&conn->in) == 0)
        return VHU_EAGAIN;
    if (vhu__conn_passed(&conn->in_deadline))
        return vhu__conn_close_with(conn, VHU_ETIMEDOUT,
                                    "the peer stopped in the middle of a message");
    vhu__conn_arm(conn, &conn->in_deadline);
    return VHU_EAGAIN;
}

/* One receive, which may wait: 0, VHU_EAGAIN, or why the connection was closed. */
static int receive(vhu_conn *conn, bool waits, int timeout_ms)
{
    vhu__buffer *in = &conn->in;
    vhu_handle handles[VHU__HANDLES_PER_RECV];
    size_t num_handles = VHU__HANDLES_PER_RECV;
    size_t room;
    int n;

    /* Room for a whole message behind what there is of one. */
    if (VHU__BUFFER_SIZE - in->start < VHU__WIRE_MESSAGE_MAX)
        vhu__compact(in);
    room = VHU__BUFFER_SIZE - in->end;
    n = waits ? conn->transport.recv_wait(conn->self, in->bytes + in->end, room, handles,
                                          &num_handles, timeout_ms)
              : conn->transport.recv(conn->self, in->bytes + in->end, room, handles, &num_handles);
    if (n == VHU_EAGAIN)
        return VHU_EAGAIN;
    if (n <= 0)
        return disconnected(conn, n < 0 ? n : VHU_EDISCONNECT);
    /* A stream that gave less than it could has no more, mostly: to ask would be a call in vain. */
    conn->drained = conn->transport.wait_handle &&
                    !(conn->transport.flags & VHU_TRANSPORT_MESSAGES) && (size_t)n < room;
    in->end += (size_t)n;
    if (num_handles > 0 &&
        !vhu__handles_push(&in->handles, handles, num_handles, in->position + vhu__queued(in) - 1))
        return vhu__conn_close_with(conn, VHU_EINVALID_MESSAGE, "too many handles on one message");
    if ((conn->transport.flags & VHU_TRANSPORT_MESSAGES) &&
        ((size_t)n < VHU__WIRE_HEADER || (size_t)n != vhu__message_len(in->bytes + in->start)))
        return vhu__conn_close_with(conn, VHU_EINVALID_MESSAGE,
                                    "a message of %d bytes is not as long as its header says", n);
    return 0;
}

static int recv_some(vhu_conn *conn)
{
    int r = VHU_EAGAIN;

    if (conn->drained)
        conn->drained = false;
    else
        r = receive(conn, false, 0);
    return r == VHU_EAGAIN ? starved(conn) : r;
}

/* Have `need` bytes of the current message. */
static int fill(vhu_conn *conn, size_t need)
{
    int r;

    while (vhu__queued(&conn->in) < need) {
        /* Nothing more to serve for now: what was gathered goes out first. */
        if (vhu__queued(&conn->out) > 0) {
            r = vhu__conn_flush(conn);
            if (r < 0 && r != VHU_EAGAIN)
                return r;
        }
        r = recv_some(conn);
        if (r < 0)
            return r;
    }
    return 0;
}

int vhu__conn_recv_header(vhu_conn *conn, vhu_msg_header *header)
{
    int r;

    if (!conn->open)
        return vhu__conn_closed(conn);
    if (conn->held)
        return VHU_EAGAIN;
    if (!conn->has_header) {
        vhu_msg_header *h = &conn->header;

        if (vhu__conn_congested(conn)) {
            r = vhu__conn_flush(conn);
            if (r < 0 && (r != VHU_EAGAIN || vhu__conn_congested(conn)))
                return r;
        }
        r = fill(conn, VHU__WIRE_HEADER);
        if (r < 0)
            return r;
        vhu__wire_load_header(h, conn->in.bytes + conn->in.start);
        if ((h->flags & VHU_VERSION_MASK) != VHU_VERSION_1)
            return vhu__conn_close_with(conn, VHU_EINVALID_MESSAGE,
                                        "request %u: flags 0x%x are not of protocol version 1",
                                        h->request, h->flags);
        if (h->size > VHU_MAX_PAYLOAD)
            return vhu__conn_close_with(conn, VHU_EINVALID_MESSAGE,
                                        "request %u: a payload of %u bytes is over the limit of %u",
                                        h->request, h->size, VHU_MAX_PAYLOAD);
        conn->has_header = true;
    }
    *header = conn->header;
    return 0;
}

bool vhu__conn_has_payload(const vhu_conn *conn)
{
    return conn->has_header && vhu__queued(&conn->in) >= VHU__WIRE_HEADER + conn->header.size;
}

int vhu__conn_recv_payload(vhu_conn *conn, const uint8_t **payload)
{
    int r;

    if (!conn->open)
        return vhu__conn_closed(conn);
    r = fill(conn, VHU__WIRE_HEADER + conn->header.size);
    if (r < 0)
        return r;
    conn->in_deadline = 0;
    *payload = conn->in.bytes + conn->in.start + VHU__WIRE_HEADER;
    return 0;
}

size_t vhu__conn_take_handles(vhu_conn *conn, vhu_handle *out, size_t room)
{
    uint64_t end = conn->in.position + VHU__WIRE_HEADER + conn->header.size;

    return vhu__handles_take(&conn->in.handles, end, out, room);
}

void vhu__conn_consume(vhu_conn *conn)
{
    if (!conn->has_header)
        return;
    conn->has_header = false;
    vhu__advance(&conn->in, VHU__WIRE_HEADER + conn->header.size);
}

void vhu__conn_hold(vhu_conn *conn, bool hold)
{
    conn->held = hold;
}

void vhu__conn_waited(vhu_conn *conn)
{
    conn->drained = false;
}

bool vhu__conn_lenient(const vhu_conn *conn)
{
    return conn->options.lenient_flags;
}

/* --- waiting --- */

bool vhu_conn_is_open(const vhu_conn *conn)
{
    return conn->open;
}

bool vhu_conn_pending(const vhu_conn *conn)
{
    if (!conn->open || conn->held)
        return false;
    return vhu__holds_message(conn, 0) && (conn->has_header || !vhu__conn_congested(conn));
}

const char *vhu_conn_last_error(const vhu_conn *conn)
{
    return conn->last_error;
}

vhu_handle vhu_conn_wait_handle(const vhu_conn *conn)
{
    if (!conn->open || !conn->transport.wait_handle)
        return VHU_NO_HANDLE;
    return conn->transport.wait_handle(conn->self);
}

unsigned vhu_conn_wait_events(const vhu_conn *conn)
{
    unsigned events = 0;

    if (!conn->open)
        return 0;
    if (vhu__queued(&conn->out) > 0)
        events |= VHU_WAIT_WRITE;
    if (!conn->held && !vhu__conn_congested(conn))
        events |= VHU_WAIT_READ;
    if (conn->transport.arm)
        conn->transport.arm(conn->self, events);
    return events;
}

static int wait_for(vhu_conn *conn, unsigned events, uint64_t now, int timeout_ms)
{
    int r;

    if (events != VHU_WAIT_READ || !conn->transport.recv_wait)
        return conn->transport.wait(conn->self, events, timeout_ms);
    /* To receive what is waited for is half the work. */
    r = receive(conn, true, timeout_ms);
    if (r != VHU_EAGAIN) {
        conn->ended = r;
        return 0;
    }
    if (timeout_ms > 0)
        timeout_ms = vhu__ms_until(now + (uint64_t)timeout_ms, os_now_ms());
    return conn->transport.wait(conn->self, events, timeout_ms);
}

int vhu__conn_wait_from(vhu_conn *conn, uint64_t now, int timeout_ms)
{
    uint64_t deadline;
    unsigned events;
    int r;

    if (!conn->open)
        return VHU_EDISCONNECT;
    /* Whatever is wrong with it, the connection's owner finds out when it goes on. */
    if (vhu__queued(&conn->out) > 0 && !vhu_conn_pending(conn))
        vhu__conn_push(conn);
    /* Sending may have made room for the answer to what is here already. */
    if (vhu_conn_pending(conn))
        return 0;
    deadline = vhu__conn_deadline(conn);
    events = vhu_conn_wait_events(conn);
    if (events == 0)
        return VHU_EPENDING;
    if (!conn->transport.wait)
        return VHU_EAGAIN;
    conn->drained = false;
    if (deadline != 0 && (timeout_ms < 0 || deadline < now + (uint64_t)timeout_ms)) {
        r = wait_for(conn, events, now, vhu__ms_until(deadline, now));
        /* The connection's own deadline: its owner finds out when it goes on. */
        return r == VHU_ETIMEDOUT ? 0 : r;
    }
    return wait_for(conn, events, now, timeout_ms);
}

int vhu_conn_wait(vhu_conn *conn, int timeout_ms)
{
    bool limited = timeout_ms > 0 || vhu__conn_deadline(conn) != 0 || vhu__queued(&conn->out) > 0;

    return vhu__conn_wait_from(conn, limited ? os_now_ms() : 0, timeout_ms);
}
