/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/event.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>

#include "end.h"
#include "event_internal.h"
#include "os.h"
#include "posix.h"

struct vhu_event {
    vhu__end wait;
    vhu__end signal; /* its descriptor may be the same */
};

static const vhu__end no_end = {.fd = VHU_NO_HANDLE};

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

static int adopt(vhu_event **out, vhu_handle *handle, bool waits)
{
    vhu__end e = no_end;
    int r = vhu__end_examine(&e, *handle, waits ? O_WRONLY : O_RDONLY);
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
    vhu__end *e = &event->signal;
    ssize_t n;

    if (e->fd == VHU_NO_HANDLE)
        return VHU_ESTATE;
    do {
        n = vhu__end_write(e, &one, sizeof(one));
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
        n = vhu__end_read(&event->wait, buf, sizeof(buf));
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

static int dup_end(vhu__end *e, vhu_handle *out)
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
