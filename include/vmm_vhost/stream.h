/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The operating system's channel by itself: a connected UNIX socket, or a named pipe. A connection
 * (conn.h) stands on one. By itself it is for programs that pass messages on unseen, or send what a
 * connection would not.
 *
 * A pipe has no way of its own to pass handles. One of the two sides, the one that is trusted more,
 * therefore copies them out of and into the other's process; both prove at first that the process
 * is the one at the other end of the pipe. docs/windows-transport.md has the whole of it.
 */
#ifndef VMM_VHOST_STREAM_H
#define VMM_VHOST_STREAM_H

#include <vmm_vhost/conn.h>
#include <vmm_vhost/transport.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which side copies handles, and so has full power over the other's process. */
enum {
    VHU_TRANSFER_BY_CLIENT = 0, /* the side that connects: mostly the VMM */
    VHU_TRANSFER_BY_SELF = 1,
    VHU_TRANSFER_BY_PEER = 2
};

/* For Windows; elsewhere all of it but its size is passed over. */
typedef struct vhu_pipe_options {
    size_t size;       /* sizeof(vhu_pipe_options) */
    unsigned transfer; /* VHU_TRANSFER_*; both sides must mean the same */
    /*
     * The peer's process, from whoever has started it, with PROCESS_DUP_HANDLE and SYNCHRONIZE;
     * borrowed and duplicated. VHU_NO_HANDLE: the process that the pipe reports is opened, which an
     * inherited pipe reports wrongly. Needed only by the side that copies.
     */
    vhu_handle peer_process;
    /*
     * A listener's: who may connect, as SDDL; NULL: this process's user alone. That user needs all
     * rights (GA) in any case, else VHU_EPERM: an end is made for each client, by this descriptor.
     */
    const char *security;
    /* When connecting: a SID, as text, that may own the pipe beside this process's user. */
    const char *owner;
    /* Milliseconds for both sides' proofs; 0: the default of 5000. */
    int handshake_ms;
} vhu_pipe_options;

/*
 * As vhu_connect(), vhu_conn_adopt(), vhu_conn_pair(); `options` may be NULL. The end of a pipe
 * that was adopted, connected or accepted proves itself when it is first used, without blocking;
 * so both sides must be served within handshake_ms, and what was asked to be sent is lost if it is
 * freed before. What a thread has sent and the peer has not read, more than the pipe holds, is lost
 * with the connection if the thread ends. VHU_TRANSFER_BY_SELF lets the peer pass files of any kind
 * to this process: one that is kept busy by the peer may hold up the thread that looks at it.
 */
VHU_API int vhu_stream_connect(vhu_stream **out, const char *address, unsigned flags,
                               const vhu_pipe_options *options);
VHU_API int vhu_stream_adopt(vhu_stream **out, vhu_handle *handle, const vhu_pipe_options *options);
VHU_API int vhu_stream_pair(vhu_stream *out[2]);

/*
 * A channel beside `beside`, such as the back channel: its other end is *peer, to be passed over
 * `beside`; and a handle that came over `beside`, adopted as such a channel (taken on success).
 * Handles pass on it as on `beside`, without another proof. NULL: both ends are in this process.
 */
VHU_API int vhu_stream_open_channel(vhu_stream **out, vhu_handle *peer, const vhu_stream *beside);
VHU_API int vhu_stream_adopt_channel(vhu_stream **out, vhu_handle *handle,
                                     const vhu_stream *beside);

/*
 * How to use it: its functions take the stream as `self`. Valid as long as the stream; its close
 * frees the stream.
 */
VHU_API const vhu_transport *vhu_stream_transport(const vhu_stream *stream);

/* The same as its transport's close; NULL is fine. */
VHU_API void vhu_stream_free(vhu_stream *stream);

/* A connection on it. *stream is taken on success. `options` may be NULL. VHU_EINVAL, VHU_ENOMEM.
 */
VHU_API int vhu_conn_from_stream(vhu_conn **out, vhu_stream **stream,
                                 const vhu_conn_options *options);

#ifdef __cplusplus
}
#endif

#endif
