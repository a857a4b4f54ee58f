/* SPDX-License-Identifier: BSD-3-Clause */
#include "conn.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "handles.h"
#include "os.h"
#include "wire.h"

enum {
    IN_SIZE = 4 * VHU__WIRE_MESSAGE_MAX,
    OUT_SIZE = 4 * VHU__WIRE_MESSAGE_MAX,
    /* With more than this queued no further message is received, so that a reply always fits. */
    OUT_HIGH = OUT_SIZE - VHU__WIRE_MESSAGE_MAX,
    OUT_HANDLES_HIGH = VHU__HANDLES_MAX - VHU_MAX_HANDLES,
    DEFAULT_TIMEOUT_MS = 10000
};

/* A buffer of whole and partial messages; `position` is the place of `start` in the stream. */
typedef struct buffer {
    size_t start;
    size_t end;
    uint64_t position;
    vhu__handles handles; /* in: behind its last byte; out: before its first */
    uint8_t bytes[IN_SIZE];
} buffer;

_Static_assert((int)IN_SIZE == (int)OUT_SIZE, "one type of buffer serves both ways");

struct vhu_conn {
    vhu_transport transport;
    void *self;
    vhu_conn_options options;
    bool open;
    bool held;
    bool has_header; /* `header` is the message at in.start */
    bool drained;    /* the last receive has taken all there was: wait before the next */
    vhu_msg_header header;
    uint64_t in_deadline; /* 0: none */
    uint64_t out_deadline;
    char last_error[160];
    buffer in;
    buffer out;
};

int vhu_conn_new(vhu_conn **out, const vhu_transport *transport, void *self,
                 const vhu_conn_options *options)
{
    vhu_conn *conn = calloc(1, sizeof(*conn));

    if (!conn)
        return VHU_ENOMEM;
    conn->options.size = sizeof(conn->options);
    if (!vhu__copy_sized(&conn->transport, sizeof(conn->transport), transport,
                         sizeof(conn->transport)) ||
        (options &&
         !vhu__copy_sized(&conn->options, sizeof(conn->options), options, sizeof(conn->options))) ||
        !conn->transport.recv || !conn->transport.send) {
        free(conn);
        return VHU_EINVAL;
    }
    if (conn->options.timeout_ms == 0)
        conn->options.timeout_ms = DEFAULT_TIMEOUT_MS;
    conn->self = self;
    conn->open = true;
    *out = conn;
    return 0;
}

int vhu__conn_from_stream(vhu_conn **out, os_stream *stream, const vhu_conn_options *options)
{
    const vhu_transport *transport = os_stream_transport(stream);
    int r = vhu_conn_new(out, transport, stream, options);

    if (r < 0)
        transport->close(stream);
    return r;
}

int vhu_conn_adopt(vhu_conn **out, vhu_handle *handle, const vhu_conn_options *options)
{
    os_stream *stream;
    int r = os_stream_adopt(&stream, handle);

    return r < 0 ? r : vhu__conn_from_stream(out, stream, options);
}

int vhu_conn_pair(vhu_conn *out[2], const vhu_conn_options *options)
{
    os_stream *streams[2];
    int r = os_stream_pair(streams);

    if (r < 0)
        return r;
    r = vhu__conn_from_stream(&out[0], streams[0], options);
    if (r < 0) {
        os_stream_transport(streams[1])->close(streams[1]);
        return r;
    }
    r = vhu__conn_from_stream(&out[1], streams[1], options);
    if (r < 0)
        vhu_conn_free(out[0]);
    return r;
}

static int send_queued(vhu_conn *conn);

void vhu__conn_close(vhu_conn *conn)
{
    if (!conn->open)
        return;
    conn->open = false;
    conn->has_header = false;
    /* Whoever was answered before this shall see the answer. */
    send_queued(conn);
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

/* A failure after which nothing can follow. */
#define close_with(conn, code, ...)                                                                \
    (vhu__conn_close(conn), vhu__conn_fail((conn), (code), __VA_ARGS__))

/* --- deadlines --- */

static void arm(vhu_conn *conn, uint64_t *deadline)
{
    if (*deadline == 0 && conn->options.timeout_ms > 0)
        *deadline = os_now_ms() + (uint64_t)conn->options.timeout_ms;
}

static bool passed(const uint64_t *deadline)
{
    return *deadline != 0 && os_now_ms() >= *deadline;
}

int vhu_conn_deadline_ms(const vhu_conn *conn)
{
    uint64_t deadline = conn->in_deadline;
    uint64_t now;

    if (conn->out_deadline && (!deadline || conn->out_deadline < deadline))
        deadline = conn->out_deadline;
    if (!conn->open || !deadline)
        return -1;
    now = os_now_ms();
    return now < deadline ? (int)(deadline - now) : 0;
}

/* --- output --- */

static size_t queued(const buffer *b)
{
    return b->end - b->start;
}

static void compact(buffer *b)
{
    memmove(b->bytes, b->bytes + b->start, queued(b));
    b->end -= b->start;
    b->start = 0;
}

static void advance(buffer *b, size_t n)
{
    b->start += n;
    b->position += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

static size_t message_len(const uint8_t *message)
{
    vhu_msg_header header;

    vhu__wire_load_header(&header, message);
    return VHU__WIRE_HEADER + header.size;
}

/*
 * How much may go out in one piece. A message with handles goes alone: its receiver may read no
 * further than a header with the first byte of which it wants them.
 */
static size_t next_piece(const vhu_conn *conn, size_t *num_handles)
{
    const buffer *out = &conn->out;
    const vhu__handles *handles = &out->handles;
    uint32_t n = 0;

    while (n < handles->count && handles->position[n] == out->position)
        n++;
    *num_handles = n;
    if (n > 0 || (conn->transport.flags & VHU_TRANSPORT_MESSAGES))
        return message_len(out->bytes + out->start);
    if (handles->count > 0)
        return (size_t)(handles->position[0] - out->position);
    return queued(out);
}

/* With so much queued that the answer to another message might not fit. */
static bool congested(const vhu_conn *conn)
{
    return queued(&conn->out) > OUT_HIGH || conn->out.handles.count > OUT_HANDLES_HIGH;
}

static int send_queued(vhu_conn *conn)
{
    buffer *out = &conn->out;

    while (queued(out) > 0) {
        size_t num_handles;
        size_t len = next_piece(conn, &num_handles);
        int n = conn->transport.send(conn->self, out->bytes + out->start, len, out->handles.handle,
                                     num_handles);

        if (n <= 0)
            return n < 0 ? n : VHU_EOS;
        vhu__handles_drop(&out->handles, num_handles);
        advance(out, (size_t)n);
        conn->out_deadline = 0; /* who reads slowly reads */
    }
    return 0;
}

/* Send what goes, and keep the deadline for what does not. */
static int push(vhu_conn *conn)
{
    int r = send_queued(conn);

    if (r == VHU_EAGAIN)
        arm(conn, &conn->out_deadline);
    else
        conn->out_deadline = 0;
    return r;
}

int vhu__conn_flush(vhu_conn *conn)
{
    int r;

    if (!conn->open)
        return VHU_EDISCONNECT;
    r = push(conn);
    if (r == VHU_EAGAIN && passed(&conn->out_deadline))
        return close_with(conn, VHU_ETIMEDOUT, "the peer does not read its replies");
    if (r < 0 && r != VHU_EAGAIN)
        return close_with(conn, r, "sending failed: %s", vhu_strerror(r));
    return r;
}

/* Whether the whole message that begins `skip` bytes into read-ahead is here. */
static bool holds_message(const vhu_conn *conn, size_t skip)
{
    size_t have = queued(&conn->in);

    return have >= skip + VHU__WIRE_HEADER &&
           have - skip >= message_len(conn->in.bytes + conn->in.start + skip);
}

int vhu__conn_send(vhu_conn *conn, const uint8_t *message, size_t len, vhu_handle *handles,
                   size_t num_handles)
{
    buffer *out = &conn->out;
    uint64_t position = out->position + queued(out);
    int r;

    if (!conn->open || len > OUT_SIZE - queued(out)) {
        vhu__close_all(handles, num_handles);
        return conn->open ? close_with(conn, VHU_EOVERFLOW, "the peer does not read its replies")
                          : VHU_EDISCONNECT;
    }
    if (!vhu__handles_push(&out->handles, handles, num_handles, position))
        return close_with(conn, VHU_EOVERFLOW, "the peer does not read its replies");
    if (len > OUT_SIZE - out->end)
        compact(out);
    memcpy(out->bytes + out->end, message, len);
    out->end += len;

    /* The answers to a burst go out together, when all of it has been served. */
    if (conn->has_header && !congested(conn) &&
        holds_message(conn, VHU__WIRE_HEADER + conn->header.size))
        return 0;
    r = vhu__conn_flush(conn);
    return r == VHU_EAGAIN ? 0 : r;
}

/* --- input --- */

static int disconnected(vhu_conn *conn, int code)
{
    if (code != VHU_EDISCONNECT)
        return close_with(conn, code, "receiving failed: %s", vhu_strerror(code));
    if (queued(&conn->in) == 0) {
        vhu__conn_close(conn);
        return VHU_ECLIENT_EXIT;
    }
    return close_with(conn, VHU_EDISCONNECT, "the peer left in the middle of a message");
}

static int starved(vhu_conn *conn)
{
    if (queued(&conn->in) == 0)
        return VHU_EAGAIN;
    if (passed(&conn->in_deadline))
        return close_with(conn, VHU_ETIMEDOUT, "the peer stopped in the middle of a message");
    arm(conn, &conn->in_deadline);
    return VHU_EAGAIN;
}

/* One receive. */
static int recv_some(vhu_conn *conn)
{
    buffer *in = &conn->in;
    vhu_handle handles[VHU__HANDLES_PER_RECV];
    size_t num_handles = VHU__HANDLES_PER_RECV;
    int n;

    if (conn->drained) {
        conn->drained = false;
        return starved(conn);
    }
    /* Room for a whole message behind what there is of one. */
    if (IN_SIZE - in->start < VHU__WIRE_MESSAGE_MAX)
        compact(in);
    n = conn->transport.recv(conn->self, in->bytes + in->end, IN_SIZE - in->end, handles,
                             &num_handles);
    if (n == VHU_EAGAIN)
        return starved(conn);
    if (n <= 0)
        return disconnected(conn, n < 0 ? n : VHU_EDISCONNECT);
    /* A stream that gave less than it could has no more, mostly: to ask would be a call in vain. */
    conn->drained = conn->transport.wait_handle &&
                    !(conn->transport.flags & VHU_TRANSPORT_MESSAGES) &&
                    (size_t)n < IN_SIZE - in->end;
    in->end += (size_t)n;
    if (num_handles > 0 &&
        !vhu__handles_push(&in->handles, handles, num_handles, in->position + queued(in) - 1))
        return close_with(conn, VHU_EINVALID_MESSAGE, "too many handles on one message");
    if ((conn->transport.flags & VHU_TRANSPORT_MESSAGES) &&
        ((size_t)n < VHU__WIRE_HEADER || (size_t)n != message_len(in->bytes + in->start)))
        return close_with(conn, VHU_EINVALID_MESSAGE,
                          "a message of %d bytes is not as long as its header says", n);
    return 0;
}

/* Have `need` bytes of the current message. */
static int fill(vhu_conn *conn, size_t need)
{
    int r;

    while (queued(&conn->in) < need) {
        /* Nothing more to serve for now: what was gathered goes out first. */
        if (queued(&conn->out) > 0) {
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
        return VHU_EDISCONNECT;
    if (conn->held)
        return VHU_EAGAIN;
    if (!conn->has_header) {
        vhu_msg_header *h = &conn->header;

        if (congested(conn)) {
            r = vhu__conn_flush(conn);
            if (r < 0 && (r != VHU_EAGAIN || congested(conn)))
                return r;
        }
        r = fill(conn, VHU__WIRE_HEADER);
        if (r < 0)
            return r;
        vhu__wire_load_header(h, conn->in.bytes + conn->in.start);
        if ((h->flags & VHU_VERSION_MASK) != VHU_VERSION_1)
            return close_with(conn, VHU_EINVALID_MESSAGE,
                              "request %u: flags 0x%x are not of protocol version 1", h->request,
                              h->flags);
        if (h->size > VHU_MAX_PAYLOAD)
            return close_with(conn, VHU_EINVALID_MESSAGE,
                              "request %u: a payload of %u bytes is over the limit of %u",
                              h->request, h->size, VHU_MAX_PAYLOAD);
        conn->has_header = true;
    }
    *header = conn->header;
    return 0;
}

bool vhu__conn_has_payload(const vhu_conn *conn)
{
    return conn->has_header && queued(&conn->in) >= VHU__WIRE_HEADER + conn->header.size;
}

int vhu__conn_recv_payload(vhu_conn *conn, const uint8_t **payload)
{
    int r;

    if (!conn->open)
        return VHU_EDISCONNECT;
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
    advance(&conn->in, VHU__WIRE_HEADER + conn->header.size);
}

void vhu__conn_hold(vhu_conn *conn, bool hold)
{
    conn->held = hold;
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
    return holds_message(conn, 0) && (conn->has_header || !congested(conn));
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
    if (queued(&conn->out) > 0)
        events |= VHU_WAIT_WRITE;
    if (!conn->held && !congested(conn))
        events |= VHU_WAIT_READ;
    return events;
}

int vhu_conn_wait(vhu_conn *conn, int timeout_ms)
{
    int deadline_ms;
    unsigned events;
    int r;

    if (!conn->open)
        return VHU_EDISCONNECT;
    /* Whatever is wrong with it, the connection's owner finds out when it goes on. */
    if (!vhu_conn_pending(conn))
        push(conn);
    /* Sending may have made room for the answer to what is here already. */
    if (vhu_conn_pending(conn))
        return 0;
    deadline_ms = vhu_conn_deadline_ms(conn);
    events = vhu_conn_wait_events(conn);
    if (events == 0)
        return VHU_EPENDING;
    if (!conn->transport.wait)
        return VHU_EAGAIN;
    conn->drained = false;
    if (deadline_ms >= 0 && (timeout_ms < 0 || deadline_ms < timeout_ms)) {
        r = conn->transport.wait(conn->self, events, deadline_ms);
        /* The connection's own deadline: its owner finds out when it goes on. */
        return r == VHU_ETIMEDOUT ? 0 : r;
    }
    return conn->transport.wait(conn->self, events, timeout_ms);
}
