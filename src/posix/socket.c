/* SPDX-License-Identifier: BSD-3-Clause */
#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>
#include <vmm_vhost/listener.h>

#include "posix.h"

int vhu__address_parse(vhu__address *out, const char *address)
{
    size_t len = strlen(address);
    size_t head = offsetof(struct sockaddr_un, sun_path);

    memset(out, 0, sizeof(*out));
    out->un.sun_family = AF_UNIX;
    if (len == 0 || len >= sizeof(out->un.sun_path))
        return VHU_EINVAL;
    memcpy(out->un.sun_path, address, len);
    out->len = (socklen_t)(head + len + 1);
    if (address[0] != '@')
        return 0;
#ifdef __linux__
    if (len == 1)
        return VHU_EINVAL;
    out->un.sun_path[0] = '\0';
    out->len = (socklen_t)(head + len);
    return 0;
#else
    return VHU_ENOSYS;
#endif
}

int vhu__address_is_path(const vhu__address *address)
{
    return address->un.sun_path[0] != '\0';
}

int vhu__socket_harden(int fd)
{
#ifdef SO_NOSIGPIPE
    int on = 1;

    if (setsockopt(fd, SOL_SOCKET, SO_NOSIGPIPE, &on, sizeof(on)) != 0)
        return vhu__posix_error(errno);
#endif
    return fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? 0 : vhu__posix_error(errno);
}

int vhu__socket_new(int *out, unsigned flags)
{
    int type = flags & VHU_SOCKET_SEQPACKET ? SOCK_SEQPACKET : SOCK_STREAM;
    int r;
#ifdef SOCK_CLOEXEC
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
#else
    int fd = socket(AF_UNIX, type, 0);
#endif

    if (fd < 0)
        return vhu__posix_error(errno);
#ifndef SOCK_CLOEXEC
    if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        r = vhu__posix_error(errno);
        goto fail;
    }
#endif
    r = vhu__socket_harden(fd);
    if (r < 0)
        goto fail;
    *out = fd;
    return 0;

fail:
    close(fd);
    return r;
}

int vhu__socket_pair(int out[2])
{
    int r = 0;

    if (socketpair(AF_UNIX, SOCK_STREAM, 0, out) != 0)
        return vhu__posix_error(errno);
    for (int i = 0; i < 2 && r == 0; i++)
        r = vhu__socket_harden(out[i]);
    if (r < 0) {
        close(out[0]);
        close(out[1]);
    }
    return r;
}

int vhu__socket_accept(int fd)
{
    int peer;

    do {
#ifdef SOCK_CLOEXEC
        peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
#else
        peer = accept(fd, NULL, NULL);
#endif
    } while (peer < 0 && (errno == EINTR || errno == ECONNABORTED));
    return peer;
}

int vhu__socket_check_peer(int fd)
{
    uid_t uid;
#if defined(SO_PEERCRED)
    struct ucred cred;
    socklen_t len = sizeof(cred);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &cred, &len) != 0)
        return vhu__posix_error(errno);
    uid = cred.uid;
#else
    gid_t gid;

    if (getpeereid(fd, &uid, &gid) != 0)
        return vhu__posix_error(errno);
#endif
    return uid == geteuid() || uid == 0 ? 0 : VHU_EPERM;
}

int vhu__socket_type(int fd)
{
    struct sockaddr_un un;
    socklen_t len = sizeof(un);
    int type;
    socklen_t type_len = sizeof(type);

    memset(&un, 0, sizeof(un));
    if (getsockname(fd, (struct sockaddr *)&un, &len) != 0 || un.sun_family != AF_UNIX ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) != 0)
        return -1;
    return type == SOCK_STREAM || type == SOCK_SEQPACKET ? type : -1;
}

int vhu__socket_listens(int fd)
{
    int on = 0;
    socklen_t len = sizeof(on);

    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &on, &len) == 0 && on;
}
