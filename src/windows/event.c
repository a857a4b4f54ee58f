/* SPDX-License-Identifier: BSD-3-Clause */
#include "win32.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <vmm_vhost/event.h>

#include "os.h"

/*
 * An auto-reset event object. To look whether it is signalled is to take the signal, and whoever
 * may wait for it need not be allowed to set it again. So what vhu_event_wait() has taken it keeps
 * as `seen`, for the next wait or clear.
 *
 * To signal and to clear are one call of the system each; to wait is one unless it was seen.
 */
struct vhu_event {
    HANDLE wait;
    HANDLE signal; /* may be the same */
    atomic_bool seen;
};

/* --- life --- */

static int make(vhu_event **out, HANDLE wait, HANDLE signal)
{
    vhu_event *event = malloc(sizeof(*event));

    if (!event)
        return VHU_ENOMEM;
    event->wait = wait;
    event->signal = signal;
    atomic_init(&event->seen, false);
    *out = event;
    return 0;
}

int vhu_event_new(vhu_event **out)
{
    SECURITY_ATTRIBUTES sealed;
    vhu_handle handle;
    int r = vhu__sealed_attributes(&sealed);

    if (r < 0)
        return r;
    handle = CreateEventW(&sealed, FALSE, FALSE, NULL);
    r = handle ? make(out, handle, handle) : vhu__win32_error(GetLastError());
    LocalFree(sealed.lpSecurityDescriptor);
    if (r < 0)
        vhu_handle_close(&handle);
    return r;
}

static int adopt(vhu_event **out, vhu_handle *handle, bool waits)
{
    ACCESS_MASK access = waits ? SYNCHRONIZE : EVENT_MODIFY_STATE;
    int r;

    if (vhu__handle_require(*handle, VHU__HANDLE_EVENT, access) < 0 ||
        vhu__handle_harden(*handle) < 0)
        return VHU_EINVAL;
    r = make(out, waits ? *handle : VHU_NO_HANDLE, waits ? VHU_NO_HANDLE : *handle);
    if (r == 0)
        *handle = VHU_NO_HANDLE;
    return r;
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
    if (event->signal != event->wait)
        vhu_handle_close(&event->signal);
    vhu_handle_close(&event->wait);
    free(event);
}

/* --- use --- */

int vhu_event_signal(vhu_event *event)
{
    if (event->signal == VHU_NO_HANDLE)
        return VHU_ESTATE;
    return SetEvent(event->signal) ? 0 : VHU_EIO;
}

/* Wait for the object's signal, and take it. */
static int take(const vhu_event *event, int timeout_ms)
{
    switch (WaitForSingleObject(event->wait, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms)) {
    case WAIT_OBJECT_0:
        return 0;
    case WAIT_TIMEOUT:
        return VHU_ETIMEDOUT;
    default:
        return VHU_EIO;
    }
}

int vhu_event_clear(vhu_event *event)
{
    bool seen;
    int r;

    if (event->wait == VHU_NO_HANDLE)
        return VHU_ESTATE;
    /* Both: it may have been signalled again since it was seen. */
    seen = atomic_exchange_explicit(&event->seen, false, memory_order_acquire);
    r = take(event, 0);
    if (r == 0 || seen)
        return 0;
    return r == VHU_ETIMEDOUT ? VHU_EAGAIN : r;
}

vhu_handle vhu_event_wait_handle(const vhu_event *event)
{
    return event->wait;
}

int vhu_event_wait(vhu_event *event, int timeout_ms)
{
    int r;

    if (event->wait == VHU_NO_HANDLE)
        return VHU_ESTATE;
    if (atomic_load_explicit(&event->seen, memory_order_acquire))
        return 0;
    r = take(event, timeout_ms);
    if (r == 0)
        atomic_store_explicit(&event->seen, true, memory_order_release);
    return r;
}

static int dup_end(HANDLE end, ACCESS_MASK access, vhu_handle *out)
{
    return end == VHU_NO_HANDLE ? VHU_ESTATE : vhu__handle_dup_as(end, access, out);
}

int vhu_event_dup_signal(vhu_event *event, vhu_handle *out)
{
    return dup_end(event->signal, EVENT_MODIFY_STATE, out);
}

int vhu_event_dup_wait(vhu_event *event, vhu_handle *out)
{
    return dup_end(event->wait, SYNCHRONIZE, out);
}
