/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/event.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "event_internal.h"
#include "os.h"
#include "posix.h"

typedef struct end {
    int fd;
    bool pipe;
    bool socket;
    bool shared; /* the peer has it, too, and may have it block at any time */
    atomic_bool looks_first;
} end;

struct vhu_event {
    end wait;
    end signal; /* its descriptor may be the same */
};

static const end no_end = {.fd = VHU_NO_HANDLE};

/* --- reading and writing without ever blocking --- */

/*
 * What to do for a descriptor in blocking mode. The kernel may know a call that does not block;
 * else look first, which is not safe against another thread that gets in between. Which of them it
 * is shows with the first use.
 */
#ifdef RWF_NOWAIT
static bool knows_nowait(end *e, ssize_t result)
{
    if (result >= 0 || (errno != EOPNOTSUPP && errno != ENOSYS && errno != ESPIPE))
        return true;
    atomic_store_explicit(&e->looks_first, true, memory_order_relaxed);
    return false;
}
#endif

static ssize_t read_shared(end *e, void *buf, size_t len)
{
#ifdef RWF_NOWAIT
    struct iovec iov = {buf, len};

    if (!atomic_load_explicit(&e->looks_first, memory_order_relaxed)) {
        ssize_t n = preadv2(e->fd, &iov, 1, -1, RWF_NOWAIT);

        if (knows_nowait(e, n))
            return n;
    }
#endif
    if (vhu__posix_poll(e->fd, POLLIN, 0) == 0)
        return read(e->fd, buf, len);
    errno = EAGAIN;
    return -1;
}

static ssize_t write_shared(end *e, const void *buf, size_t len)
{
#ifdef RWF_NOWAIT
    struct iovec iov = {(void *)(uintptr_t)buf, len};

    if (!atomic_load_explicit(&e->looks_first, memory_order_relaxed)) {
        ssize_t n = pwritev2(e->fd, &iov, 1, -1, RWF_NOWAIT);

        if (knows_nowait(e, n))
            return n;
    }
#endif
    if (vhu__posix_poll(e->fd, POLLOUT, 0) == 0)
        return write(e->fd, buf, len);
    errno = EAGAIN;
    return -1;
}

static ssize_t end_read(end *e, void *buf, size_t len)
{
    if (e->socket)
        return recv(e->fd, buf, len, MSG_DONTWAIT);
    return e->shared ? read_shared(e, buf, len) : read(e->fd, buf, len);
}

static ssize_t end_write(end *e, const void *buf, size_t len)
{
    if (e->socket)
        return send(e->fd, buf, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    return e->shared ? write_shared(e, buf, len) : write(e->fd, buf, len);
}

/*
 * A pipe whose reader has gone raises SIGPIPE in this thread, and has no flag against it. So hold
 * it back, and take away the one that we caused.
 */
static ssize_t pipe_write(end *e, const void *buf, size_t len)
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
    n = end_write(e, buf, len);
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

/* --- life --- */

int vhu_event_new(vhu_event **out)
{
    vhu_event *event = malloc(sizeof(*event));
    int r;

    if (!event)
        return VHU_ENOMEM;
    *event = (vhu_event){no_end, no_end};
    r = vhu__event_ends(&event->wait.fd, &event->signal.fd);
    if (r < 0) {
        free(event);
        return r;
    }
    event->wait.pipe = event->signal.pipe = event->wait.fd != event->signal.fd;
    *out = event;
    return 0;
}

/* Look what a received descriptor is; `wrong` is the access mode that it must not have. */
static int examine(end *e, int fd, int wrong)
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
        S_ISCHR(st.st_mode))
        return VHU_EINVAL;
    *e = (end){
        .fd = fd, .pipe = S_ISFIFO(st.st_mode), .socket = S_ISSOCK(st.st_mode), .shared = true};
    return 0;
}

static int adopt(vhu_event **out, vhu_handle *handle, bool waits)
{
    end e = no_end;
    int r = examine(&e, *handle, waits ? O_WRONLY : O_RDONLY);
    vhu_event *event;

    if (r < 0)
        return r;
    event = malloc(sizeof(*event));
    if (!event)
        return VHU_ENOMEM;
    *event = (vhu_event){waits ? e : no_end, waits ? no_end : e};
    *handle = VHU_NO_HANDLE;
    *out = event;
    return 0;
}

int vhu_event_adopt_wait(vhu_event **out, vhu_handle *handle)
{
    return adopt(out, handle, true);
}

int vhu_event_adopt_signal(vhu_event **out, vhu_handle *handle)
{
    return adopt(out, handle, false);
}

void vhu_event_free(vhu_event *event)
{
    if (!event)
        return;
    if (event->signal.fd != event->wait.fd)
        vhu_handle_close(&event->signal.fd);
    vhu_handle_close(&event->wait.fd);
    free(event);
}

/* --- use --- */

int vhu_event_signal(vhu_event *event)
{
    const uint64_t one = 1;
    end *e = &event->signal;
    ssize_t n;

    if (e->fd == VHU_NO_HANDLE)
        return VHU_ESTATE;
    do {
        n = e->pipe ? pipe_write(e, &one, sizeof(one)) : end_write(e, &one, sizeof(one));
    } while (n < 0 && errno == EINTR);
    if (n >= 0 || errno == EAGAIN || errno == EWOULDBLOCK)
        return 0;
    return vhu__posix_error(errno) == VHU_EDISCONNECT ? VHU_EDISCONNECT : VHU_EIO;
}

int vhu_event_clear(vhu_event *event)
{
    /* A pipe holds many signals. One that is filled faster than we read stays signalled. */
    uint64_t buf[512];
    int rounds = 32;
    bool signalled = false;
    ssize_t n;

    if (event->wait.fd == VHU_NO_HANDLE)
        return VHU_ESTATE;
    do {
        n = end_read(&event->wait, buf, sizeof(buf));
        signalled = signalled || n > 0;
    } while ((n < 0 && errno == EINTR) || (n == (ssize_t)sizeof(buf) && --rounds > 0));
    if (signalled)
        return 0;
    if (n == 0)
        return VHU_EDISCONNECT;
    if (errno == EAGAIN || errno == EWOULDBLOCK)
        return VHU_EAGAIN;
    return vhu__posix_error(errno) == VHU_EDISCONNECT ? VHU_EDISCONNECT : VHU_EIO;
}

vhu_handle vhu_event_wait_handle(const vhu_event *event)
{
    return event->wait.fd;
}

int vhu_event_wait(vhu_event *event, int timeout_ms)
{
    int r;

    if (event->wait.fd == VHU_NO_HANDLE)
        return VHU_ESTATE;
    r = vhu__posix_poll(event->wait.fd, POLLIN, timeout_ms);
    return r == 0 || r == VHU_ETIMEDOUT ? r : VHU_EIO;
}

static int dup_end(end *e, vhu_handle *out)
{
    e->shared = true;
    return e->fd == VHU_NO_HANDLE ? VHU_ESTATE : os_handle_dup(e->fd, out);
}

int vhu_event_dup_signal(vhu_event *event, vhu_handle *out)
{
    return dup_end(&event->signal, out);
}

int vhu_event_dup_wait(vhu_event *event, vhu_handle *out)
{
    return dup_end(&event->wait, out);
}
