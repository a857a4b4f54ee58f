/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <errno.h>
#include <poll.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* --- open and close --- */

/* "@NAME" is an abstract name, as the library has it. */
static int make_address(struct sockaddr_un *out, socklen_t *out_len, const char *address)
{
    const size_t len = strlen(address);

    memset(out, 0, sizeof *out);
    out->sun_family = AF_UNIX;
    if (len == 0)
        return EINVAL;
    if (len >= sizeof out->sun_path)
        return ENAMETOOLONG;
    memcpy(out->sun_path, address, len);
    *out_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    if (address[0] == '@') {
        out->sun_path[0] = '\0';
        --*out_len;
    }
    return 0;
}

int link_open(struct link *link)
{
    struct sockaddr_un address;
    socklen_t len;
    const int error = make_address(&address, &len, link->address);

    link_close(link);
    if (error)
        return error;
    link->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (link->fd < 0)
        return errno;
    if (connect(link->fd, (struct sockaddr *)&address, len) == 0)
        return 0;
    const int failure = errno;
    link_close(link);
    return failure;
}

void link_close(struct link *link)
{
    if (link->fd >= 0)
        close(link->fd);
    link->fd = -1;
}

/* --- bytes --- */

static int error_code(int error)
{
    return error == EAGAIN || error == EINTR ? VHU_EAGAIN : VHU_EDISCONNECT;
}

/* As `send` and `recv` of vhu_transport. */
static int send_some(int fd, const void *bytes, size_t len, const int *handles, size_t num_handles)
{
    union {
        char bytes[CMSG_SPACE(VHU_MAX_HANDLES * sizeof(int))];
        struct cmsghdr align;
    } control = {{0}};
    /* The system call does not write to what it sends. */
    union {
        const void *in;
        void *out;
    } data = {.in = bytes};
    struct iovec iov = {.iov_base = data.out, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (num_handles > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(num_handles * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(num_handles * sizeof(int));
        memcpy(CMSG_DATA(&control.align), handles, num_handles * sizeof(int));
    }
    const ssize_t n = sendmsg(fd, &msg, MSG_NOSIGNAL | MSG_DONTWAIT);
    return n > 0 ? (int)n : error_code(errno);
}

static int receive_some(int fd, void *bytes, size_t len, int *handles, size_t *num_handles)
{
    union {
        char bytes[CMSG_SPACE(VHU_MAX_HANDLES * sizeof(int))];
        struct cmsghdr align;
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    const ssize_t n = recvmsg(fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    const size_t room = *num_handles;

    *num_handles = 0;
    if (n <= 0)
        return n == 0 ? VHU_EDISCONNECT : error_code(errno);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); ++i) {
            int fd_in;
            memcpy(&fd_in, CMSG_DATA(c) + i * sizeof fd_in, sizeof fd_in);
            if (*num_handles < room)
                handles[(*num_handles)++] = fd_in;
            else
                close(fd_in);
        }
    }
    return (int)n;
}

int64_t link_now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* VHU_ETIMEDOUT when it is over. */
static int wait_for(int fd, short events, int64_t deadline)
{
    struct pollfd entry = {.fd = fd, .events = events};
    const int64_t left = deadline - link_now_ms();

    if (left <= 0 || poll(&entry, 1, (int)left) == 0)
        return VHU_ETIMEDOUT;
    return 0;
}

static enum answer give_up(struct link *link, enum answer answer)
{
    link_close(link);
    return answer;
}

enum answer link_send(struct link *link, const void *bytes, size_t len, const int *handles,
                      size_t num_handles)
{
    const int64_t deadline = link_now_ms() + link->timeout_ms;
    size_t done = 0;

    while (link->fd >= 0 && done < len) {
        const int n = send_some(link->fd, (const char *)bytes + done, len - done, handles,
                                done ? 0 : num_handles);
        if (n > 0)
            done += (size_t)n;
        else if (n != VHU_EAGAIN)
            return give_up(link, CLOSED);
        else if (wait_for(link->fd, POLLOUT, deadline))
            return give_up(link, SILENT);
    }
    return link->fd >= 0 ? ANSWERED : CLOSED;
}

static void look_at_handles(struct reply *reply, int *handles, size_t num_handles)
{
    for (size_t i = 0; i < num_handles; ++i) {
        struct stat st;
        if (reply->num_handles++ == 0 && fstat(handles[i], &st) == 0)
            reply->handle_size = (uint64_t)st.st_size;
        close(handles[i]);
    }
}

/* Exactly `len` bytes: nothing of a message behind is taken. */
static enum answer receive_all(struct link *link, struct reply *reply, void *bytes, size_t len,
                               int64_t deadline)
{
    size_t done = 0;

    while (done < len) {
        int handles[VHU_MAX_HANDLES];
        size_t num_handles = VHU_MAX_HANDLES;
        const int n =
            receive_some(link->fd, (char *)bytes + done, len - done, handles, &num_handles);
        if (n > 0)
            done += (size_t)n;
        else if (n != VHU_EAGAIN)
            return give_up(link, CLOSED);
        else if (wait_for(link->fd, POLLIN, deadline))
            return give_up(link, SILENT);
        look_at_handles(reply, handles, num_handles);
    }
    return ANSWERED;
}

enum answer link_receive(struct link *link, struct reply *reply)
{
    const int64_t deadline = link_now_ms() + link->timeout_ms;

    memset(reply, 0, sizeof *reply);
    if (link->fd < 0)
        return CLOSED;
    const enum answer answer =
        receive_all(link, reply, &reply->header, sizeof reply->header, deadline);
    if (answer != ANSWERED)
        return answer;
    if (reply->header.size > sizeof reply->payload)
        return give_up(link, GARBLED);
    return receive_all(link, reply, reply->payload, reply->header.size, deadline);
}

bool link_wait_other(const struct link *link, int fd)
{
    return wait_for(fd, POLLIN, link_now_ms() + link->timeout_ms) == 0;
}

/* --- the library's client --- */

static int transport_recv(void *self, void *buf, size_t capacity, vhu_handle *handles,
                          size_t *num_handles)
{
    return receive_some(((struct link *)self)->fd, buf, capacity, handles, num_handles);
}

static int transport_send(void *self, const void *buf, size_t len, const vhu_handle *handles,
                          size_t num_handles)
{
    return send_some(((struct link *)self)->fd, buf, len, handles, num_handles);
}

static vhu_handle transport_wait_handle(void *self)
{
    return ((struct link *)self)->fd;
}

static int transport_wait(void *self, unsigned events, int timeout_ms)
{
    const short wanted =
        (short)((events & VHU_WAIT_READ ? POLLIN : 0) | (events & VHU_WAIT_WRITE ? POLLOUT : 0));

    return wait_for(((struct link *)self)->fd, wanted,
                    timeout_ms < 0 ? INT64_MAX : link_now_ms() + timeout_ms);
}

int link_client(struct link *link, vhu_backend_client **out)
{
    static const vhu_transport transport = {.size = sizeof transport,
                                            .recv = transport_recv,
                                            .send = transport_send,
                                            .wait_handle = transport_wait_handle,
                                            .wait = transport_wait};
    const vhu_conn_options options = {.size = sizeof options, .timeout_ms = link->timeout_ms};
    const vhu_backend_client_options client_options = {.size = sizeof client_options,
                                                       .timeout_ms = link->timeout_ms};
    vhu_conn *conn;
    int r = vhu_conn_new(&conn, &transport, link, &options);

    if (r)
        return r;
    r = vhu_backend_client_new(out, &conn, &client_options);
    vhu_conn_free(conn);
    return r;
}
