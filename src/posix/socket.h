/* SPDX-License-Identifier: BSD-3-Clause */
/* UNIX sockets and their addresses, as far as systems differ in them. */
#ifndef VHU_SOCKET_H
#define VHU_SOCKET_H

#include <sys/socket.h>
#include <sys/un.h>

typedef struct vhu__address {
    struct sockaddr_un un;
    socklen_t len;
} vhu__address;

/* "/path" or "@name". VHU_EINVAL: empty or too long; VHU_ENOSYS: no such names here. */
int vhu__address_parse(vhu__address *out, const char *address);

/* Whether it names a file. */
int vhu__address_is_path(const vhu__address *address);

/* A socket that does not block and is not inherited, or an error. `flags` as for listeners. */
int vhu__socket_new(int *out, unsigned flags);

/* Two connected ones. */
int vhu__socket_pair(int out[2]);

/* Accept without blocking; the new one is not inherited. -1 and errno. */
int vhu__socket_accept(int fd);

/* Not inherited, and no signal when the peer is gone. */
int vhu__socket_harden(int fd);

/* Whether the peer runs as this process's user, or root: 0, VHU_EPERM, VHU_ENOSYS. */
int vhu__socket_check_peer(int fd);

/* SOCK_STREAM, SOCK_SEQPACKET, or -1 if it is no UNIX socket; and whether it listens. */
int vhu__socket_type(int fd);
int vhu__socket_listens(int fd);

/* For each recvmsg and send. */
#ifdef MSG_CMSG_CLOEXEC
#define VHU__RECV_FLAGS (MSG_DONTWAIT | MSG_CMSG_CLOEXEC)
#else
#define VHU__RECV_FLAGS MSG_DONTWAIT
#endif
#ifdef MSG_NOSIGNAL
#define VHU__SEND_FLAGS (MSG_DONTWAIT | MSG_NOSIGNAL)
#else
#define VHU__SEND_FLAGS MSG_DONTWAIT
#endif

#endif
