/* SPDX-License-Identifier: BSD-3-Clause */
#include "sys.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

void sys_prepare(void)
{
    struct rlimit limit;

    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

FILE *sys_create(const char *path)
{
    return fopen(path, "we");
}

void sys_ask_to_end(int process)
{
    kill(process, SIGTERM);
}

/* --- sockets --- */

bool sys_is_stream(vhu_handle handle)
{
    int type = 0;
    socklen_t size = sizeof type;

    return getsockopt(handle, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_STREAM;
}

static int socket_of(vhu_stream *stream)
{
    return vhu_stream_transport(stream)->wait_handle(stream);
}

bool sys_is_gone(vhu_stream *stream)
{
    struct pollfd p = {.fd = socket_of(stream)};

    return poll(&p, 1, 0) > 0 && (p.revents & (POLLHUP | POLLERR | POLLNVAL));
}

void sys_shutdown_write(vhu_stream *stream)
{
    shutdown(socket_of(stream), SHUT_WR);
}

void sys_shutdown_read(vhu_stream *stream)
{
    shutdown(socket_of(stream), SHUT_RD);
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

    *info = (struct handle_info){.number = (uint64_t)handle, .kind = "unknown"};
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
