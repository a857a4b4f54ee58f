/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <vmm_vhost/listener.h>

#include "handles.h"
#include "os.h"
#include "posix.h"
#include "socket.h"
#include "util.h"

struct vhu_stream {
    int fd;
    int recv_timeout_ms; /* as the system has it; 0: none */
    const vhu_transport *transport;
};

/* Aligned as a header of control data wants it. */
typedef union control_data {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(VHU__HANDLES_PER_RECV * sizeof(int))];
} control_data;

/* Who has sent it, as a descriptor: nobody here wants that, but the socket's maker may. */
static void drop_pidfd(const struct cmsghdr *c)
{
#ifdef __linux__
    enum { PIDFD = 0x04 }; /* SCM_PIDFD, which older headers do not have */
    vhu_handle fd;

    if (c->cmsg_type != PIDFD)
        return;
    memcpy(&fd, CMSG_DATA(c), sizeof(fd));
    vhu_handle_close(&fd);
#else
    (void)c;
#endif
}

/*
 * Take the descriptors out of what was received. All of them are collected before anything is
 * judged, so that none is lost.
 */
static int collect(struct msghdr *msg, vhu_handle *handles, size_t *num_handles)
{
    size_t room = *num_handles;
    size_t n = 0;
    int r = msg->msg_flags & MSG_CTRUNC ? VHU_EINVALID_MESSAGE : 0;

    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (c->cmsg_level != SOL_SOCKET)
            continue;
        drop_pidfd(c);
        if (c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(c) + i * sizeof(fd), sizeof(fd));
            if (n < room) {
                handles[n++] = fd;
            } else {
                close(fd);
                r = VHU_EINVALID_MESSAGE;
            }
#ifndef MSG_CMSG_CLOEXEC
            if (vhu__socket_harden(fd) < 0)
                r = VHU_EOS;
#endif
        }
    }
    if (r < 0) {
        vhu__close_all(handles, n);
        n = 0;
    }
    *num_handles = n;
    return r;
}

static int receive(const vhu_stream *stream, void *buf, size_t capacity, vhu_handle *handles,
                   size_t *num_handles, int flags)
{
    control_data control;
    struct iovec iov = {.iov_base = buf, .iov_len = capacity};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n;
    int r;

    do {
        n = recvmsg(stream->fd, &msg, flags);
    } while (n < 0 && errno == EINTR && (flags & MSG_DONTWAIT));
    if (n < 0) {
        *num_handles = 0;
        return errno == EINTR ? VHU_EAGAIN : vhu__posix_error(errno);
    }
    if (msg.msg_controllen == 0) {
        *num_handles = 0;
    } else {
        r = collect(&msg, handles, num_handles);
        if (r < 0)
            return r;
    }
    if (n == 0 || (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC))) {
        vhu__close_all(handles, *num_handles);
        *num_handles = 0;
        return n == 0 ? VHU_EDISCONNECT : VHU_EINVALID_MESSAGE;
    }
    return (int)n;
}

static int stream_recv(void *self, void *buf, size_t capacity, vhu_handle *handles,
                       size_t *num_handles)
{
    return receive(self, buf, capacity, handles, num_handles, VHU__RECV_FLAGS);
}

/*
 * Have a receive wait no longer than this; to set it each time would cost a call, so one that is
 * somewhat shorter will do: the caller goes on waiting.
 */
static bool limit_recv(vhu_stream *stream, int timeout_ms)
{
    struct timeval tv = {0};

    if (timeout_ms <= 0
            ? stream->recv_timeout_ms == 0
            : stream->recv_timeout_ms <= timeout_ms && stream->recv_timeout_ms > timeout_ms / 2)
        return true;
    if (timeout_ms > 0)
        tv = (struct timeval){.tv_sec = timeout_ms / 1000, .tv_usec = timeout_ms % 1000 * 1000};
    if (setsockopt(stream->fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof(tv)) != 0)
        return false;
    stream->recv_timeout_ms = timeout_ms < 0 ? 0 : timeout_ms;
    return true;
}

static int stream_recv_wait(void *self, void *buf, size_t capacity, vhu_handle *handles,
                            size_t *num_handles, int timeout_ms)
{
    vhu_stream *stream = self;
    int flags = VHU__RECV_FLAGS;

    if (timeout_ms != 0 && limit_recv(stream, timeout_ms))
        flags &= ~MSG_DONTWAIT;
    return receive(stream, buf, capacity, handles, num_handles, flags);
}

static int stream_send(void *self, const void *buf, size_t len, const vhu_handle *handles,
                       size_t num_handles)
{
    const vhu_stream *stream = self;
    control_data control;
    struct iovec iov = {.iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    if (num_handles > VHU__HANDLES_PER_RECV)
        return VHU_EOVERFLOW;
    memcpy(&iov.iov_base, &buf, sizeof(buf)); /* sendmsg does not write there */
    if (num_handles > 0) {
        size_t bytes = num_handles * sizeof(int);
        struct cmsghdr *c;

        memset(&control, 0, sizeof(control));
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(bytes);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(bytes);
        memcpy(CMSG_DATA(c), handles, bytes);
    }
    do {
        n = num_handles > 0 ? sendmsg(stream->fd, &msg, VHU__SEND_FLAGS)
                            : send(stream->fd, buf, len, VHU__SEND_FLAGS);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? vhu__posix_error(errno) : (int)n;
}

static vhu_handle stream_wait_handle(void *self)
{
    return ((const vhu_stream *)self)->fd;
}

static int stream_wait(void *self, unsigned events, int timeout_ms)
{
    const vhu_stream *stream = self;
    short what =
        (short)((events & VHU_WAIT_READ ? POLLIN : 0) | (events & VHU_WAIT_WRITE ? POLLOUT : 0));

    return vhu__posix_poll(stream->fd, what, timeout_ms);
}

static void stream_shutdown(void *self)
{
    shutdown(((const vhu_stream *)self)->fd, SHUT_RDWR);
}

static void stream_close(void *self)
{
    vhu_stream *stream = self;

    vhu_handle_close(&stream->fd);
    free(stream);
}

#define TRANSPORT(transport_flags)                                                                 \
    {                                                                                              \
        .size = sizeof(vhu_transport), .flags = (transport_flags), .recv = stream_recv,            \
        .send = stream_send, .wait_handle = stream_wait_handle, .wait = stream_wait,               \
        .shutdown = stream_shutdown, .close = stream_close, .recv_wait = stream_recv_wait          \
    }

static const vhu_transport stream_transport = TRANSPORT(0);
static const vhu_transport message_transport = TRANSPORT(VHU_TRANSPORT_MESSAGES);

const vhu_transport *vhu_stream_transport(const vhu_stream *stream)
{
    return stream->transport;
}

void vhu_stream_free(vhu_stream *stream)
{
    if (stream)
        stream_close(stream);
}

int vhu__posix_check_pipe(const vhu_pipe_options *options)
{
    vhu_pipe_options copy;

    return !options || vhu__copy_sized(&copy, sizeof(copy), options) ? 0 : VHU_EINVAL;
}

int vhu_stream_adopt(vhu_stream **out, vhu_handle *handle, const vhu_pipe_options *options)
{
    int type = vhu__socket_type(*handle);
    struct sockaddr_un un;
    socklen_t len = sizeof(un);
    vhu_stream *stream;
    int r = vhu__posix_check_pipe(options);

    if (r < 0)
        return r;
    if (type < 0 || getpeername(*handle, (struct sockaddr *)&un, &len) != 0)
        return VHU_EINVAL;
    r = vhu__socket_harden(*handle);
    if (r < 0)
        return r;
    stream = malloc(sizeof(*stream));
    if (!stream)
        return VHU_ENOMEM;
    stream->fd = *handle;
    stream->recv_timeout_ms = 0;
    stream->transport = type == SOCK_STREAM ? &stream_transport : &message_transport;
    *handle = VHU_NO_HANDLE;
    *out = stream;
    return 0;
}

int vhu_stream_open_channel(vhu_stream **out, vhu_handle *peer, const vhu_stream *beside)
{
    int fds[2];
    int r = vhu__socket_pair(fds);

    (void)beside;
    if (r < 0)
        return r;
    r = vhu_stream_adopt(out, &fds[0], NULL);
    if (r < 0)
        vhu__close_all(fds, 2);
    else
        *peer = fds[1];
    return r;
}

int vhu_stream_adopt_channel(vhu_stream **out, vhu_handle *handle, const vhu_stream *beside)
{
    (void)beside;
    return vhu_stream_adopt(out, handle, NULL);
}

int vhu_stream_pair(vhu_stream *out[2])
{
    int fds[2];
    int r = vhu__socket_pair(fds);

    if (r < 0)
        return r;
    r = vhu_stream_adopt(&out[0], &fds[0], NULL);
    if (r == 0) {
        r = vhu_stream_adopt(&out[1], &fds[1], NULL);
        if (r < 0)
            stream_close(out[0]);
    }
    vhu__close_all(fds, 2);
    return r;
}

int vhu_stream_connect(vhu_stream **out, const char *address, unsigned flags,
                       const vhu_pipe_options *options)
{
    vhu__address a;
    int fd = VHU_NO_HANDLE;
    int r = vhu__posix_check_pipe(options);

    if (r < 0)
        return r;
    if (flags & ~(unsigned)(VHU_SOCKET_SEQPACKET | VHU_CHECK_PEER))
        return VHU_EINVAL;
    r = vhu__address_parse(&a, address);
    if (r == 0)
        r = vhu__socket_new(&fd, flags);
    if (r < 0)
        return r;
    while (connect(fd, (const struct sockaddr *)&a.un, a.len) != 0) {
        if (errno == EINTR)
            continue;
        r = vhu__posix_error(errno);
        break;
    }
    if (r == 0 && (flags & VHU_CHECK_PEER))
        r = vhu__socket_check_peer(fd);
    /* A receive may wait from now on, where that is asked for; what must not says so itself. */
    if (r == 0 && fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) & ~O_NONBLOCK) != 0)
        r = vhu__posix_error(errno);
    if (r == 0)
        r = vhu_stream_adopt(out, &fd, NULL);
    vhu_handle_close(&fd);
    return r;
}
