/* SPDX-License-Identifier: BSD-3-Clause */
#include "end.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include <vmm_vhost/error.h>

#include "posix.h"

/*
 * What to do for a descriptor in blocking mode. The kernel may know a call that does not block;
 * else look first, which is not safe against another thread that gets in between. Which of them it
 * is shows with the first use.
 */
#ifdef RWF_NOWAIT
static bool knows_nowait(vhu__end *e, ssize_t result)
{
    if (result >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != ESPIPE))
        return true;
    atomic_store_explicit(&e->looks_first, true, memory_order_relaxed);
    return false;
}
#endif

/* An error alone is no promise: it is all that a userfaultfd tells which would block. */
static bool has_input(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    if (poll(&p, 1, 0) > 0 && (p.revents & (POLLIN | POLLHUP)))
        return true;
    errno = p.revents ? EIO : EAGAIN;
    return false;
}

static ssize_t read_shared(vhu__end *e, void *buf, size_t len)
{
#ifdef RWF_NOWAIT
    struct iovec iov = {buf, len};

    if (!atomic_load_explicit(&e->looks_first, memory_order_relaxed)) {
        ssize_t n = preadv2(e->fd, &iov, 1, -1, RWF_NOWAIT);

        if (knows_nowait(e, n))
            return n;
    }
#endif
    return has_input(e->fd) ? read(e->fd, buf, len) : -1;
}

static ssize_t write_shared(vhu__end *e, const void *buf, size_t len)
{
#ifdef RWF_NOWAIT
    struct iovec iov = {(void *)(uintptr_t)buf, len};

    if (!atomic_load_explicit(&e->looks_first, memory_order_relaxed)) {
        ssize_t n = pwritev2(e->fd, &iov, 1, -1, RWF_NOWAIT);

        if (knows_nowait(e, n))
            return n;
    }
#endif
    /* What a pipe that is ready has room for. */
    if (vhu__posix_poll(e->fd, POLLOUT, 0) == 0)
        return write(e->fd, buf, len < PIPE_BUF ? len : PIPE_BUF);
    errno = EAGAIN;
    return -1;
}

ssize_t vhu__end_read(vhu__end *e, void *buf, size_t len)
{
    if (e->socket)
        return recv(e->fd, buf, len, MSG_DONTWAIT);
    return e->shared ? read_shared(e, buf, len) : read(e->fd, buf, len);
}

static ssize_t write_plain(vhu__end *e, const void *buf, size_t len)
{
    if (e->socket)
        return send(e->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return e->shared ? write_shared(e, buf, len) : write(e->fd, buf, len);
}

/*
 * A pipe whose reader has gone raises SIGPIPE in this thread, and has no flag against it. So hold
 * it back, and take away the one that we caused.
 */
static ssize_t pipe_write(vhu__end *e, const void *buf, size_t len)
{
    sigset_t sigpipe, pending, old;
    bool was_pending;
    ssize_t n;
    int saved, signum;

    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    sigpending(&pending);
    was_pending = sigismember(&pending, SIGPIPE) == 1;
    if (pthread_sigmask(SIG_BLOCK, &sigpipe, &old) != 0)
        return -1;
    n = write_plain(e, buf, len);
    saved = errno;
    if (n < 0 && saved == EPIPE && !was_pending) {
        sigpending(&pending);
        if (sigismember(&pending, SIGPIPE) == 1)
            sigwait(&sigpipe, &signum);
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    errno = saved;
    return n;
}

ssize_t vhu__end_write(vhu__end *e, const void *buf, size_t len)
{
    return e->pipe ? pipe_write(e, buf, len) : write_plain(e, buf, len);
}

/*
 * Whether it can be read at all, asked by reading nothing. What cannot, yet waited for, is an epoll
 * descriptor: its owner may at any time have it refuse that, which ends a process with libuv.
 */
static bool is_readable(int fd)
{
#ifdef __linux__
    const struct iovec none = {0};

    return readv(fd, &none, 0) == 0;
#else
    (void)fd;
    return true;
#endif
}

int vhu__end_examine(vhu__end *e, int fd, int wrong)
{
    int flags = fcntl(fd, F_GETFL);
    struct stat st;

    if (flags < 0 || fstat(fd, &st) < 0 || (flags & O_ACCMODE) == wrong)
        return VHU_EINVAL;
#ifdef O_PATH
    if (flags & O_PATH)
        return VHU_EINVAL;
#endif
    if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode) || S_ISLNK(st.st_mode) ||
        S_ISCHR(st.st_mode) || (wrong == O_WRONLY && !is_readable(fd)))
        return VHU_EINVAL;
    *e = (vhu__end){
        .fd = fd, .pipe = S_ISFIFO(st.st_mode), .socket = S_ISSOCK(st.st_mode), .shared = true};
    return 0;
}

/* Of the systems without eventfd one has no pipe2() either. */
#ifdef __APPLE__
int vhu__end_pipe(int ends[2])
{
    if (pipe(ends) < 0)
        return vhu__posix_error(errno);
    for (int i = 0; i < 2; i++) {
        if (fcntl(ends[i], F_SETFL, O_NONBLOCK) < 0 || fcntl(ends[i], F_SETFD, FD_CLOEXEC) < 0) {
            int r = vhu__posix_error(errno);

            vhu_handle_close(&ends[0]);
            vhu_handle_close(&ends[1]);
            return r;
        }
    }
    return 0;
}
#else
int vhu__end_pipe(int ends[2])
{
    return pipe2(ends, O_NONBLOCK | O_CLOEXEC) < 0 ? vhu__posix_error(errno) : 0;
}
#endif
