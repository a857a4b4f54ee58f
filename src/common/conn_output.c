/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection's output: what goes out at once, and what has to wait for the peer to read. */
#include "conn_internal.h"

#include "os.h"

enum {
    /* With more than this queued no further message is received, so that a reply always fits. */
    HIGH = VHU__BUFFER_SIZE - VHU__WIRE_MESSAGE_MAX,
    HANDLES_HIGH = VHU__HANDLES_MAX - VHU_MAX_HANDLES
};

/*
 * How much may go out in one piece. A message with handles goes alone: its receiver may read no
 * further than a header with the first byte of which it wants them.
 */
static size_t next_piece(const vhu_conn *conn, size_t *num_handles)
{
    const vhu__buffer *out = &conn->out;
    const vhu__handles *handles = &out->handles;
    uint32_t n = 0;

    while (n < handles->count && handles->position[n] == out->position)
        n++;
    *num_handles = n;
    if (n > 0 || (conn->transport.flags & VHU_TRANSPORT_MESSAGES))
        return vhu__message_len(out->bytes + out->start);
    if (handles->count > 0)
        return (size_t)(handles->position[0] - out->position);
    return vhu__queued(out);
}

bool vhu__conn_congested(const vhu_conn *conn)
{
    return vhu__queued(&conn->out) > HIGH || conn->out.handles.count > HANDLES_HIGH;
}

bool vhu__conn_has_queued(const vhu_conn *conn)
{
    return vhu__queued(&conn->out) > 0;
}

int vhu__conn_send_queued(vhu_conn *conn)
{
    vhu__buffer *out = &conn->out;

    while (vhu__queued(out) > 0) {
        size_t num_handles;
        size_t len = next_piece(conn, &num_handles);
        int n = conn->transport.send(conn->self, out->bytes + out->start, len, out->handles.handle,
                                     num_handles);

        if (n <= 0)
            return n < 0 ? n : VHU_EOS;
        vhu__handles_drop(&out->handles, num_handles);
        vhu__advance(out, (size_t)n);
        conn->out_deadline = 0; /* who reads slowly reads */
    }
    return 0;
}

int vhu__conn_push(vhu_conn *conn)
{
    int r = vhu__conn_send_queued(conn);

    if (r == VHU_EAGAIN)
        vhu__conn_arm(conn, &conn->out_deadline);
    else
        conn->out_deadline = 0;
    return r;
}

int vhu__conn_flush(vhu_conn *conn)
{
    int r;

    if (!conn->open)
        return vhu__conn_closed(conn);
    r = vhu__conn_push(conn);
    if (r == VHU_EAGAIN && vhu__conn_passed(&conn->out_deadline))
        return vhu__conn_close_with(conn, VHU_ETIMEDOUT, "the peer does not read its replies");
    if (r < 0 && r != VHU_EAGAIN)
        return vhu__conn_close_with(conn, r, "sending failed: %s", vhu_strerror(r));
    return r;
}

int vhu__conn_send(vhu_conn *conn, const uint8_t *message, size_t len, vhu_handle *handles,
                   size_t num_handles)
{
    vhu__buffer *out = &conn->out;
    uint64_t position = out->position + vhu__queued(out);
    int r;

    if (!conn->open || len > VHU__BUFFER_SIZE - vhu__queued(out)) {
        vhu__close_all(handles, num_handles);
        return conn->open
                   ? vhu__conn_close_with(conn, VHU_EOVERFLOW, "the peer does not read its replies")
                   : VHU_EDISCONNECT;
    }
    if (!vhu__handles_push(&out->handles, handles, num_handles, position))
        return vhu__conn_close_with(conn, VHU_EOVERFLOW, "the peer does not read its replies");
    if (len > VHU__BUFFER_SIZE - out->end)
        vhu__compact(out);
    memcpy(out->bytes + out->end, message, len);
    out->end += len;

    /* The answers to a burst go out together, when all of it has been served. */
    if (conn->has_header && !vhu__conn_congested(conn) &&
        vhu__holds_message(conn, VHU__WIRE_HEADER + conn->header.size))
        return 0;
    r = vhu__conn_flush(conn);
    return r == VHU_EAGAIN ? 0 : r;
}

/* The connection owns what it queues. */
static int dup_handles(vhu_handle *out, const vhu_handle *handles, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int r = os_handle_dup(handles[i], &out[i]);

        if (r < 0) {
            vhu__close_all(out, i);
            return r;
        }
    }
    return 0;
}

int vhu__conn_send_lent(vhu_conn *conn, const uint8_t *message, size_t len,
                        const vhu_handle *handles, size_t num_handles)
{
    vhu_handle copies[VHU_MAX_HANDLES];
    int sent = 0;
    int r;

    if (!conn->open)
        return VHU_EDISCONNECT;
    /* A connection that asks must not become congested: its peer may wait for it to receive. */
    if (vhu__queued(&conn->out) + len > HIGH ||
        conn->out.handles.count + num_handles > HANDLES_HIGH)
        return VHU_EOVERFLOW;
    if (vhu__queued(&conn->out) == 0)
        sent = conn->transport.send(conn->self, message, len, handles, num_handles);
    if (sent > 0 && (size_t)sent == len)
        return 0;
    /* It may be a handle that is not one. */
    if (sent == VHU_EINVAL && num_handles > 0)
        return VHU_EINVAL;
    if (sent < 0 && sent != VHU_EAGAIN)
        return vhu__conn_close_with(conn, sent, "sending failed: %s", vhu_strerror(sent));
    if (sent > 0) {
        message += sent;
        len -= (size_t)sent;
        num_handles = 0;
    }
    r = dup_handles(copies, handles, num_handles);
    return r < 0 ? r : vhu__conn_send(conn, message, len, copies, num_handles);
}
