/* SPDX-License-Identifier: BSD-3-Clause */
#include "sys.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Every call says for itself that it shall not block: the flag of a description may be shared. */
enum { CALL_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(SYS_MAX_HANDLES * sizeof(int))];
};

void sys_raise_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

int sys_accept(vhu_handle listener, vhu_handle *out)
{
    *out = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    return *out < 0 ? -errno : 0;
}

int sys_connect(const char *address, vhu_handle *out)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const size_t len = strlen(address);
    socklen_t size = sizeof un;
    int rc = 0;

    if (len == 0 || len >= sizeof un.sun_path)
        return -ENAMETOOLONG;
    memcpy(un.sun_path, address, len);
    if (address[0] == '@') {
        un.sun_path[0] = '\0';
        size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len);
    }
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    do {
        rc = connect(fd, (const struct sockaddr *)&un, size) ? -errno : 0;
    } while (rc == -EINTR);
    if (rc)
        close(fd);
    else
        *out = fd;
    return rc;
}

int sys_pair(vhu_handle out[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, out) ? -errno : 0;
}

bool sys_is_stream(vhu_handle handle)
{
    struct sockaddr_un un = {.sun_family = AF_UNSPEC};
    socklen_t size = sizeof un;
    int type = 0;
    socklen_t type_size = sizeof type;

    return getsockopt(handle, SOL_SOCKET, SO_TYPE, &type, &type_size) == 0 && type == SOCK_STREAM &&
           getpeername(handle, (struct sockaddr *)&un, &size) == 0 && un.sun_family == AF_UNIX;
}

static void collect(struct msghdr *msg, vhu_handle *handles, size_t *num, bool *lost)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
            continue;
        const size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; ++i) {
            int fd;
            memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
            if (*num < SYS_MAX_HANDLES) {
                handles[(*num)++] = fd;
            } else {
                close(fd);
                *lost = true;
            }
        }
    }
    if (msg->msg_flags & MSG_CTRUNC)
        *lost = true;
}

int sys_recv(vhu_handle handle, void *buf, size_t len, vhu_handle *handles, size_t *num, bool *lost)
{
    union control control;
    struct iovec iov = {.iov_base = buf, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};
    ssize_t n;

    do {
        n = recvmsg(handle, &msg, CALL_FLAGS | MSG_CMSG_CLOEXEC);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return -errno;
    collect(&msg, handles, num, lost);
    return (int)n;
}

int sys_send(vhu_handle handle, const void *buf, size_t len, const vhu_handle *handles, size_t num)
{
    union control control;
    struct iovec iov = {.iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
    ssize_t n;

    memcpy(&iov.iov_base, &buf, sizeof buf); /* sendmsg does not write there */
    if (num > 0) {
        memset(&control, 0, sizeof control);
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(num * sizeof(int));
        control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(num * sizeof(int)),
                                         .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.align), handles, num * sizeof(int));
    }
    do {
        n = sendmsg(handle, &msg, CALL_FLAGS);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : (int)n;
}

bool sys_is_gone(vhu_handle handle)
{
    struct pollfd p = {.fd = handle};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

void sys_shutdown_write(vhu_handle handle)
{
    shutdown(handle, SHUT_WR);
}

void sys_shutdown_read(vhu_handle handle)
{
    shutdown(handle, SHUT_RD);
}

/* --- what a descriptor is --- */

/* From what /proc says, such as "anon_inode:[eventfd]" or "/memfd:guest (deleted)". */
static bool name_of_link(const char *link, struct handle_info *info)
{
    static const struct {
        const char *begin;
        const char *kind;
    } rows[] = {
        {"anon_inode:[eventfd]", "eventfd"},
        {"anon_inode:[userfaultfd]", "userfaultfd"},
        {"anon_inode:[eventpoll]", "epoll"},
        {"anon_inode:[timerfd]", "timerfd"},
        {"/dmabuf:", "dmabuf"},
        {"anon_inode:", "anonymous"},
        {"/memfd:", "memfd"},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        const size_t len = strlen(rows[i].begin);
        if (strncmp(link, rows[i].begin, len) != 0)
            continue;
        info->kind = rows[i].kind;
        snprintf(info->name, sizeof info->name, "%s", link + len);
        return true;
    }
    return false;
}

static void drop_deleted(char *name)
{
    static const char deleted[] = " (deleted)";
    const size_t len = strlen(name);

    if (len >= sizeof deleted - 1 && strcmp(name + len - (sizeof deleted - 1), deleted) == 0)
        name[len - (sizeof deleted - 1)] = '\0';
}

void sys_look_at(vhu_handle handle, struct handle_info *info)
{
    char path[32];
    char link[256];
    struct stat st;

    *info = (struct handle_info){.number = handle, .kind = "unknown"};
    if (fstat(handle, &st) != 0)
        return;
    snprintf(path, sizeof path, "/proc/self/fd/%d", handle);
    const ssize_t n = readlink(path, link, sizeof link - 1);
    link[n > 0 ? n : 0] = '\0';
    if (S_ISSOCK(st.st_mode)) {
        info->kind = "socket";
    } else if (S_ISFIFO(st.st_mode)) {
        info->kind = "pipe";
    } else if (!name_of_link(link, info)) {
        info->kind = S_ISREG(st.st_mode)   ? "file"
                     : S_ISCHR(st.st_mode) ? "char"
                     : S_ISBLK(st.st_mode) ? "block"
                     : S_ISDIR(st.st_mode) ? "folder"
                                           : "unknown";
        snprintf(info->name, sizeof info->name, "%.*s", (int)sizeof info->name - 1, link);
    }
    drop_deleted(info->name);
    info->has_size = S_ISREG(st.st_mode) && strcmp(info->kind, "eventfd") != 0;
    info->size = (uint64_t)st.st_size;
}

uint64_t sys_wall_us(void)
{
    struct timespec now;

    timespec_get(&now, TIME_UTC);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}
