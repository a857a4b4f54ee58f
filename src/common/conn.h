/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Framing: from a transport's bytes to messages and back. Reads ahead, resumes partial reads and
 * writes, ties handles to their message, bounds the output and keeps deadlines.
 */
#ifndef VHU_CONN_H
#define VHU_CONN_H

#include <vmm_vhost/conn.h>
#include <vmm_vhost/protocol.h>

#include "util.h"

/*
 * Receive the next message's header. It stays the current message until vhu__conn_consume().
 * 0, VHU_EAGAIN, or why the connection was closed.
 */
int vhu__conn_recv_header(vhu_conn *conn, vhu_msg_header *header);

/* Whether the current message's payload has been received already. */
bool vhu__conn_has_payload(const vhu_conn *conn);

/*
 * Receive the current message's payload: header.size bytes, valid until vhu__conn_consume() and
 * another receive. Results as above.
 */
int vhu__conn_recv_payload(vhu_conn *conn, const uint8_t **payload);

/*
 * Take the current message's handles, once its payload is here; those for which there is no room
 * are closed. Returns how many there were.
 */
size_t vhu__conn_take_handles(vhu_conn *conn, vhu_handle *out, size_t room);

void vhu__conn_consume(vhu_conn *conn);

/*
 * Send a whole message, or queue what cannot be sent now or may wait for the answer to a request
 * that is here already. The handles are taken in any case. 0, or why the connection was closed.
 */
int vhu__conn_send(vhu_conn *conn, const uint8_t *message, size_t len, vhu_handle *handles,
                   size_t num_handles);

/*
 * The same for a connection that asks and is answered: handles stay the caller's, and nothing waits
 * for anything else. VHU_EOVERFLOW if so much is queued already that this does not fit,
 * VHU_EINVAL or VHU_EMFILE because of the handles: nothing was sent then.
 */
int vhu__conn_send_lent(vhu_conn *conn, const uint8_t *message, size_t len,
                        const vhu_handle *handles, size_t num_handles);

/* Whether something is. */
bool vhu__conn_has_queued(const vhu_conn *conn);

/* Send what is queued, as far as that goes now. 0, VHU_EAGAIN or why the connection was closed. */
int vhu__conn_flush(vhu_conn *conn);

/* While held, nothing is received: vhu_conn_wait_events() leaves reading out. */
void vhu__conn_hold(vhu_conn *conn, bool hold);

/* When the peer's time is up, in os_now_ms()'s; 0: it has none. */
uint64_t vhu__conn_deadline(const vhu_conn *conn);

/* vhu_conn_wait(), for a caller that knows what time it is. */
int vhu__conn_wait_from(vhu_conn *conn, uint64_t now, int timeout_ms);

/* Its wait handle has fired without vhu_conn_wait(): the next receive finds something. */
void vhu__conn_waited(vhu_conn *conn);

/* Whether reserved bits in a header's flags are let pass. */
bool vhu__conn_lenient(const vhu_conn *conn);

/* No more messages either way; the peer is told. vhu_conn_free() remains to be called. */
void vhu__conn_close(vhu_conn *conn);

/* Set the last error, log it, and return `code`. */
int vhu__conn_fail(vhu_conn *conn, int code, const char *format, ...) VHU__PRINTF(3, 4);

/* Log something that is no error. */
void vhu__conn_warn(const vhu_conn *conn, const char *format, ...) VHU__PRINTF(2, 3);

/* Make one over a stream, which is taken in any case. */
int vhu__conn_from_stream(vhu_conn **out, vhu_stream *stream, const vhu_conn_options *options);

/* How a stream for it is to be made: NULL, or *copy, which holds what the options say. */
struct vhu_pipe_options;
const struct vhu_pipe_options *vhu__conn_pipe(const vhu_conn_options *options);

#endif
