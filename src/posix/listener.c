/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vmm_vhost/listener.h>

#include "os.h"
#include "posix.h"
#include "socket.h"

enum { BACKLOG = 16 };

struct os_listener {
    int fd;
    unsigned flags;
    /* The socket file that is ours to remove; path "" if there is none. */
    char path[sizeof(((struct sockaddr_un *)0)->sun_path)];
    dev_t dev;
    ino_t ino;
};

static int bind_to(int fd, const vhu__address *a)
{
    return bind(fd, (const struct sockaddr *)&a->un, a->len) == 0 ? 0 : vhu__posix_error(errno);
}

/*
 * Remove the file at an address that is in use, if it is a socket that nobody listens on any more.
 * Between the last look and unlink another process may take the address over; its file is spared
 * as far as that can be seen.
 */
static int remove_stale(const vhu__address *a, unsigned flags)
{
    const char *path = a->un.sun_path;
    struct stat before;
    struct stat now;
    int fd;
    int r;

    if (!vhu__address_is_path(a) || lstat(path, &before) != 0 || !S_ISSOCK(before.st_mode))
        return VHU_EADDRINUSE;
    r = vhu__socket_new(&fd, flags);
    if (r < 0)
        return r;
    r = connect(fd, (const struct sockaddr *)&a->un, a->len) == 0 ? 0 : errno;
    close(fd);
    /* Anything else, such as a full queue or another socket type, is a sign of life. */
    if (r != ECONNREFUSED)
        return VHU_EADDRINUSE;
    if (lstat(path, &now) != 0 || now.st_dev != before.st_dev || now.st_ino != before.st_ino)
        return VHU_EADDRINUSE;
    return unlink(path) == 0 ? 0 : vhu__posix_error(errno);
}

static int claim_file(os_listener *listener, const vhu__address *a, unsigned mode)
{
    struct stat st;

    if (!vhu__address_is_path(a))
        return 0;
    if (lstat(a->un.sun_path, &st) != 0)
        return vhu__posix_error(errno);
    memcpy(listener->path, a->un.sun_path, sizeof(listener->path));
    listener->dev = st.st_dev;
    listener->ino = st.st_ino;
    /* Nobody can connect before listen(). */
    if (mode != 0 && chmod(a->un.sun_path, (mode_t)(mode & 0777)) != 0)
        return vhu__posix_error(errno);
    return 0;
}

int os_listener_new(os_listener **out, const char *address, unsigned flags, unsigned mode,
                    const vhu_pipe_options *pipe)
{
    os_listener *listener;
    vhu__address a;
    int r = vhu__posix_check_pipe(pipe);

    if (r < 0)
        return r;
    listener = calloc(1, sizeof(*listener));
    if (!listener)
        return VHU_ENOMEM;
    listener->fd = VHU_NO_HANDLE;
    listener->flags = flags;
    r = vhu__address_parse(&a, address);
    if (r == 0)
        r = vhu__socket_new(&listener->fd, flags);
    if (r == 0)
        r = bind_to(listener->fd, &a);
    if (r == VHU_EADDRINUSE) {
        r = remove_stale(&a, flags);
        if (r == 0)
            r = bind_to(listener->fd, &a);
    }
    if (r == 0)
        r = claim_file(listener, &a, mode);
    if (r == 0 && listen(listener->fd, BACKLOG) != 0)
        r = vhu__posix_error(errno);
    if (r < 0) {
        os_listener_free(listener);
        return r;
    }
    *out = listener;
    return 0;
}

int os_listener_adopt(os_listener **out, vhu_handle *handle, unsigned flags,
                      const vhu_pipe_options *pipe)
{
    os_listener *listener;
    int mode;
    int r = vhu__posix_check_pipe(pipe);

    if (r < 0)
        return r;
    if (vhu__socket_type(*handle) < 0 || !vhu__socket_listens(*handle))
        return VHU_EINVAL;
    r = vhu__socket_harden(*handle);
    mode = fcntl(*handle, F_GETFL);
    if (r < 0 || mode < 0 || fcntl(*handle, F_SETFL, mode | O_NONBLOCK) != 0)
        return r < 0 ? r : vhu__posix_error(errno);
    listener = calloc(1, sizeof(*listener));
    if (!listener)
        return VHU_ENOMEM;
    listener->fd = *handle;
    listener->flags = flags;
    *handle = VHU_NO_HANDLE;
    *out = listener;
    return 0;
}

int os_listener_accept(os_listener *listener, vhu_stream **out)
{
    int fd = vhu__socket_accept(listener->fd);
    int r = 0;

    if (fd < 0)
        return vhu__posix_error(errno);
    if (listener->flags & VHU_CHECK_PEER)
        r = vhu__socket_check_peer(fd);
    if (r == 0)
        r = vhu_stream_adopt(out, &fd, NULL);
    vhu_handle_close(&fd);
    /* Whoever was turned away by adopt has left again already. */
    return r == VHU_EINVAL ? VHU_EAGAIN : r;
}

vhu_handle os_listener_wait_handle(const os_listener *listener)
{
    return listener->fd;
}

int os_listener_wait(os_listener *listener, int timeout_ms)
{
    return vhu__posix_poll(listener->fd, POLLIN, timeout_ms);
}

void os_listener_free(os_listener *listener)
{
    struct stat st;

    if (!listener)
        return;
    /* Before closing: while we listen, nobody takes the file for a stale one of ours. */
    if (listener->path[0] != '\0' && lstat(listener->path, &st) == 0 &&
        st.st_dev == listener->dev && st.st_ino == listener->ino)
        unlink(listener->path);
    vhu_handle_close(&listener->fd);
    free(listener);
}
