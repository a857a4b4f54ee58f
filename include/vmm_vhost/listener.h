/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Addresses, listening and connecting.
 *
 * An address is the path of a UNIX socket, or "@name" for a Linux abstract name; on Windows the
 * name of a local pipe, \\.\pipe\NAME.
 */
#ifndef VMM_VHOST_LISTENER_H
#define VMM_VHOST_LISTENER_H

#include <vmm_vhost/conn.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    VHU_SOCKET_SEQPACKET = 0x1, /* SEQPACKET instead of a stream; POSIX only */
    VHU_CHECK_PEER = 0x2        /* only a peer of the same user, or root (SYSTEM), is accepted */
};

typedef struct vhu_listener_options {
    size_t size; /* sizeof(vhu_listener_options) */
    unsigned flags;
    unsigned
        mode; /* permission bits of a socket file, such as 0600; 0: by the umask; not on Windows */
    const vhu_conn_options *connection; /* of each accepted connection, copied; NULL: defaults */
} vhu_listener_options;

/*
 * Listen on an address. A socket file that nobody listens on is replaced; one that somebody
 * listens on, or a file that is no socket, is VHU_EADDRINUSE; on Windows also a name of which an
 * end is still open, such as an accepted connection. `options` may be NULL. VHU_EINVAL
 * for an address that is empty or too long, VHU_ENOENT, VHU_EPERM, VHU_ENOSYS, VHU_ENOMEM,
 * VHU_EOS.
 */
VHU_API int vhu_listener_new(vhu_listener **out, const char *address,
                             const vhu_listener_options *options);

/* Listen with an inherited, listening handle; taken on success. Its file is never removed. */
VHU_API int vhu_listener_adopt(vhu_listener **out, vhu_handle *handle,
                               const vhu_listener_options *options);

/*
 * Accept the next connection. VHU_EAGAIN: nobody is waiting. VHU_EPERM: a peer was turned away by
 * VHU_CHECK_PEER (on Windows the connection's first receive says so); the listener goes on.
 * VHU_EMFILE, VHU_ENOMEM: try again later. Never blocks.
 */
VHU_API int vhu_listener_accept(vhu_listener *listener, vhu_conn **out);

/* The same, as a stream by itself (stream.h). */
VHU_API int vhu_listener_accept_stream(vhu_listener *listener, vhu_stream **out);

/* The handle that is readable when somebody waits to be accepted. Borrowed. */
VHU_API vhu_handle vhu_listener_wait_handle(const vhu_listener *listener);

/* Wait for somebody: 0, VHU_ETIMEDOUT or another error. Milliseconds; negative: no limit. */
VHU_API int vhu_listener_wait(vhu_listener *listener, int timeout_ms);

/* Stop listening; a socket file that vhu_listener_new() made is removed if it is still ours. */
VHU_API void vhu_listener_free(vhu_listener *listener);

/*
 * Connect to an address. `flags` as in vhu_listener_options; `options` may be NULL. Does not wait
 * for a listener to appear. VHU_ENOENT: no such address; VHU_ECONNREFUSED: nobody listens;
 * VHU_EAGAIN: the listener's queue is full; VHU_EPERM, VHU_EINVAL, VHU_ENOMEM, VHU_EOS.
 */
VHU_API int vhu_connect(vhu_conn **out, const char *address, unsigned flags,
                        const vhu_conn_options *options);

#ifdef __cplusplus
}
#endif

#endif
