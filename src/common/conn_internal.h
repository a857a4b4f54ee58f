/* SPDX-License-Identifier: BSD-3-Clause */
/* A connection, between its life and input (conn.c) and its output (conn_output.c). */
#ifndef VHU_CONN_INTERNAL_H
#define VHU_CONN_INTERNAL_H

#include <string.h>

#include "conn.h"
#include "handles.h"
#include "wire.h"

enum { VHU__BUFFER_SIZE = 4 * VHU__WIRE_MESSAGE_MAX };

/* A buffer of whole and partial messages; `position` is the place of `start` in the stream. */
typedef struct vhu__buffer {
    size_t start;
    size_t end;
    uint64_t position;
    vhu__handles handles; /* in: behind its last byte; out: before its first */
    uint8_t bytes[VHU__BUFFER_SIZE];
} vhu__buffer;

struct vhu_conn {
    vhu_transport transport;
    void *self;
    vhu_stream *stream; /* what `self` is, where it is one; else NULL */
    vhu_conn_options options;
    bool open;
    bool held;
    bool has_header; /* `header` is the message at in.start */
    bool drained;    /* the last receive has taken all there was: wait before the next */
    int ended;       /* why it was closed while somebody waited: its owner has not been told yet */
    vhu_msg_header header;
    uint64_t in_deadline; /* 0: none */
    uint64_t out_deadline;
    char last_error[160];
    vhu__buffer in;
    vhu__buffer out;
};

/* A failure after which nothing can follow. */
#define vhu__conn_close_with(conn, code, ...)                                                      \
    (vhu__conn_close(conn), vhu__conn_fail((conn), (code), __VA_ARGS__))

/* Start the time that the peer has, unless it is running; and whether it is up. */
void vhu__conn_arm(vhu_conn *conn, uint64_t *deadline);
bool vhu__conn_passed(const uint64_t *deadline);

/* Why a closed connection cannot do what it is asked for. */
static inline int vhu__conn_closed(vhu_conn *conn)
{
    int r = conn->ended ? conn->ended : VHU_EDISCONNECT;

    conn->ended = 0;
    return r;
}

/* With so much queued that the answer to another message might not fit. */
bool vhu__conn_congested(const vhu_conn *conn);

/* Send what goes; vhu__conn_push() keeps the deadline for what does not. The transport's result. */
int vhu__conn_send_queued(vhu_conn *conn);
int vhu__conn_push(vhu_conn *conn);

static inline size_t vhu__queued(const vhu__buffer *b)
{
    return b->end - b->start;
}

static inline void vhu__compact(vhu__buffer *b)
{
    memmove(b->bytes, b->bytes + b->start, vhu__queued(b));
    b->end -= b->start;
    b->start = 0;
}

static inline void vhu__advance(vhu__buffer *b, size_t n)
{
    b->start += n;
    b->position += n;
    if (b->start == b->end)
        b->start = b->end = 0;
}

static inline size_t vhu__message_len(const uint8_t *bytes)
{
    vhu_msg_header header;

    vhu__wire_load_header(&header, bytes);
    return VHU__WIRE_HEADER + header.size;
}

/* Whether the whole message that begins `skip` bytes into read-ahead is here. */
static inline bool vhu__holds_message(const vhu_conn *conn, size_t skip)
{
    size_t have = vhu__queued(&conn->in);

    return have >= skip + VHU__WIRE_HEADER &&
           have - skip >= vhu__message_len(conn->in.bytes + conn->in.start + skip);
}

#endif
