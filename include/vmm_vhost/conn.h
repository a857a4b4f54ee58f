/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection: frames messages on a transport, reads ahead, queues output and keeps deadlines.
 * A role (vhu_backend_server ...) takes it over; the caller keeps a borrowed pointer for waiting.
 *
 * A connection never blocks except in vhu_conn_wait().
 */
#ifndef VMM_VHOST_CONN_H
#define VMM_VHOST_CONN_H

#include <vmm_vhost/error.h>
#include <vmm_vhost/transport.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Requests that a client of either role may have under way at once; one more is VHU_EOVERFLOW, and
 * so is one that does not fit into what is queued for a peer that does not read.
 */
#define VHU_MAX_CALLS 64u

/* What a line of the log hook is about. */
typedef enum vhu_log_level {
    VHU_LOG_ERROR = 0,
    VHU_LOG_WARNING = 1,
    VHU_LOG_DEBUG = 2
} vhu_log_level;

/* `text` is one line without a line end, valid during the call. */
typedef void (*vhu_log_fn)(void *arg, vhu_log_level level, const char *text);

typedef struct vhu_conn_options {
    size_t size; /* sizeof(vhu_conn_options) */
    /*
     * Time in milliseconds that a peer may take to finish a message it has begun, or to read what
     * is queued for it; 0: the default of 10000, negative: no limit. An idle peer has no limit.
     */
    int timeout_ms;
    /* Accept reserved bits in a header's flags, which are refused by default. */
    bool lenient_flags;
    vhu_log_fn log; /* NULL: none */
    void *log_arg;
    const struct vhu_pipe_options *pipe; /* stream.h, for Windows; NULL: defaults */
} vhu_conn_options;

/*
 * Make a connection over a transport of the caller's. On success the connection has taken `self`
 * and calls transport->close in the end; on failure `self` is still the caller's.
 * `options` may be NULL. VHU_EINVAL, VHU_ENOMEM.
 */
VHU_API int vhu_conn_new(vhu_conn **out, const vhu_transport *transport, void *self,
                         const vhu_conn_options *options);

/*
 * Make a connection from a connected stream or SEQPACKET socket (Windows: a pipe end), for
 * example an inherited one. *handle is taken on success. `options` may be NULL.
 * VHU_EINVAL if it is not such a handle, VHU_ENOMEM.
 */
VHU_API int vhu_conn_adopt(vhu_conn **out, vhu_handle *handle, const vhu_conn_options *options);

/* Two connected connections over the operating system's stream, in one process. */
VHU_API int vhu_conn_pair(vhu_conn *out[2], const vhu_conn_options *options);

/*
 * A channel beside the connection `beside`, such as the back channel. Opened by the one: *peer is
 * the other end as a handle, the caller's, to pass to the peer of `beside`. And adopted by the
 * other: *handle, which has come over `beside`, is taken on success. `beside` stays the caller's
 * and may end before; NULL: both ends are in this process. VHU_EINVAL, VHU_EMFILE, VHU_ENOMEM.
 */
VHU_API int vhu_conn_open_channel(vhu_conn **out, vhu_handle *peer, const vhu_conn *beside,
                                  const vhu_conn_options *options);
VHU_API int vhu_conn_adopt_channel(vhu_conn **out, vhu_handle *handle, const vhu_conn *beside,
                                   const vhu_conn_options *options);

enum {
    VHU_MEMORY_STREAM = 0,
    VHU_MEMORY_MESSAGES = 1 /* header and payload come together, as in virtio-vhost-user */
};

/*
 * Two connected connections through memory, for one thread: no wait handle, and vhu_conn_wait()
 * fails with VHU_EAGAIN where it would have to wait. Handles are duplicated.
 */
VHU_API int vhu_conn_memory_pair(vhu_conn *out[2], unsigned mode, const vhu_conn_options *options);

/* Close and free; whatever handles are queued or unread are closed. */
VHU_API void vhu_conn_free(vhu_conn *conn);

/*
 * Wait until the connection's owner can go on: at once while vhu_conn_pending(), else until the
 * peer has sent something, or has read what was queued. Milliseconds, negative: no limit other
 * than the connection's deadline.
 * 0; VHU_ETIMEDOUT; VHU_EAGAIN if the transport cannot wait; VHU_EPENDING if there is nothing to
 * wait for because an op is pending; VHU_EDISCONNECT if it was closed; or another error.
 */
VHU_API int vhu_conn_wait(vhu_conn *conn, int timeout_ms);

/*
 * For a loop of the caller's own, which must be level-triggered, since not all that has come may
 * have been received: the handle to wait on (borrowed; VHU_NO_HANDLE if the transport
 * has none), what to wait for (VHU_WAIT_*; to be asked after each call of the owner, since it
 * changes, and since this is how a handle of Windows learns what it shall tell of), and the
 * milliseconds until the connection's deadline (-1: none; then call the owner again, which
 * returns VHU_ETIMEDOUT).
 */
VHU_API vhu_handle vhu_conn_wait_handle(const vhu_conn *conn);
VHU_API unsigned vhu_conn_wait_events(const vhu_conn *conn);
VHU_API int vhu_conn_deadline_ms(const vhu_conn *conn);

/*
 * True while read-ahead holds a whole message that can be served now: the wait handle would not
 * fire for it, so the owner must be called before waiting.
 */
VHU_API bool vhu_conn_pending(const vhu_conn *conn);

/* False once the connection was closed, by the peer or by an error; it can only be freed then. */
VHU_API bool vhu_conn_is_open(const vhu_conn *conn);

/* What went wrong last, in words, such as "SET_VRING_NUM: 0 descriptors"; "" if nothing did. */
VHU_API const char *vhu_conn_last_error(const vhu_conn *conn);

#ifdef __cplusplus
}
#endif

#endif
