/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What carries the bytes. The library has UNIX sockets (named pipes on Windows) built in; an
 * embedder may bring a transport of its own, for example virtio-vhost-user, shared memory between
 * two threads, or a fault injector.
 */
#ifndef VMM_VHOST_TRANSPORT_H
#define VMM_VHOST_TRANSPORT_H

#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum {
    /*
     * recv gives one whole message, header and payload, and never a part of one or two of them;
     * send takes a whole message or nothing. Without this flag the transport is a stream.
     */
    VHU_TRANSPORT_MESSAGES = 0x1
};

enum { VHU_WAIT_READ = 0x1, VHU_WAIT_WRITE = 0x2 };

/*
 * No function may block but wait and recv_wait. All are called on the connection's thread with the
 * `self` that was given to vhu_conn_new().
 */
typedef struct vhu_transport {
    size_t size; /* sizeof(vhu_transport) */
    unsigned flags;

    /*
     * Receive up to `capacity` bytes into `buf`, and handles into `handles[0 .. *num_handles)`,
     * where *num_handles comes in as the room and goes out as the number received. The receiver
     * owns the handles; those for which there is no room must be closed and
     * VHU_EINVALID_MESSAGE returned. Handles belong to the message that holds the last byte of
     * this receive, so a receive ends after the message that carries some.
     * Returns the bytes received (> 0), VHU_EAGAIN when there is nothing, VHU_EDISCONNECT at the
     * end, VHU_EINVALID_MESSAGE if a message is longer than `capacity`, or another error.
     */
    int (*recv)(void *self, void *buf, size_t capacity, vhu_handle *handles, size_t *num_handles);

    /*
     * Send up to `len` bytes with handles that ride on the first of them. The handles stay the
     * caller's; they have been sent when the result is > 0.
     * Returns the bytes taken (> 0), VHU_EAGAIN, VHU_EDISCONNECT or another error.
     */
    int (*send)(void *self, const void *buf, size_t len, const vhu_handle *handles,
                size_t num_handles);

    /* The handle to wait on in a loop; VHU_NO_HANDLE if there is none. NULL: there is none. */
    vhu_handle (*wait_handle)(void *self);

    /*
     * Wait until one of `events` (VHU_WAIT_*) may succeed; timeout in milliseconds, negative: no
     * limit. 0, VHU_ETIMEDOUT or another error. NULL: the connection cannot be waited for.
     */
    int (*wait)(void *self, unsigned events, int timeout_ms);

    /*
     * No more bytes either way: the peer is to see the end. The wait handle must stay valid until
     * close. Called at most once. NULL: close does that.
     */
    void (*shutdown)(void *self);

    /* Release the transport. Called once. NULL: nothing to release. */
    void (*close)(void *self);

    /*
     * As recv, but waits as wait does, which saves a call where somebody waits anyway. It may give
     * up early with VHU_EAGAIN. NULL: there is wait.
     */
    int (*recv_wait)(void *self, void *buf, size_t capacity, vhu_handle *handles,
                     size_t *num_handles, int timeout_ms);

    /*
     * Somebody is about to wait for the wait handle: have it tell of these events (VHU_WAIT_*) and
     * of no others. For handles that cannot be asked for one or the other, such as events of
     * Windows. NULL: there is no need to.
     */
    void (*arm)(void *self, unsigned events);
} vhu_transport;

#ifdef __cplusplus
}
#endif

#endif
