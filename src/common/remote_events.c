/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: events of rings, its own or the VMM's, and the messages that do without them. */
#include "os.h"
#include "remote_internal.h"

bool vhu__remote_is_inband(const vhu_remote *remote)
{
    return vhu__remote_has(remote, VHU_PF_INBAND_NOTIFICATIONS);
}

vhu_event *vhu_remote_event(const vhu_remote *remote, uint32_t ring, vhu_vring_event which)
{
    if (ring >= remote->options.num_rings || (unsigned)which > VHU_VRING_ERR)
        return NULL;
    return remote->rings[ring].events[which].own;
}

/* --- signalled --- */

void vhu__remote_poke(const vhu_remote *remote, uint32_t ring, vhu_vring_event which)
{
    const vhu__remote_event *event = &remote->rings[ring].events[which];

    if (!event->replaced && event->own)
        vhu_event_signal(event->own);
}

int vhu__remote_kick(vhu_remote *remote, uint32_t ring)
{
    if (vhu__remote_is_inband(remote) && !remote->rings[ring].events[VHU_VRING_KICK].replaced)
        return vhu__remote_sent(remote, vhu_backend_client_vring_kick(remote->client, ring));
    vhu__remote_poke(remote, ring, VHU_VRING_KICK);
    return 0;
}

int vhu_remote_kick(vhu_remote *remote, uint32_t ring)
{
    if (ring >= remote->options.num_rings || remote->rings[ring].layout.num == 0)
        return vhu__remote_fail(remote, VHU_EINVAL, "there is no ring %u", ring);
    if (remote->rings[ring].events[VHU_VRING_KICK].replaced)
        return vhu__remote_fail(remote, VHU_ESTATE, "ring %u has a kick of the VMM's own", ring);
    /* One that starts later is kicked then. */
    return vhu__remote_runs(remote, ring) ? vhu__remote_kick(remote, ring) : 0;
}

/* --- sent --- */

int vhu__remote_send_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which)
{
    const vhu__remote_event *event = &remote->rings[ring].events[which];
    vhu_handle handle = VHU_NO_HANDLE;
    int r = 0;

    if (event->replaced || vhu__remote_is_inband(remote))
        return vhu__remote_sent(
            remote, vhu_backend_client_set_vring_event(remote->client, ring, which, event->given));
    if (which == VHU_VRING_KICK)
        r = vhu_event_dup_wait(event->own, &handle);
    else
        r = vhu_event_dup_signal(event->own, &handle);
    if (r < 0)
        return vhu__remote_fail(remote, r, "ring %u: its event cannot be duplicated", ring);
    r = vhu_backend_client_set_vring_event(remote->client, ring, which, handle);
    vhu_handle_close(&handle);
    return vhu__remote_sent(remote, r);
}

/* `given` is taken. */
static int change_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which, bool replaced,
                        vhu_handle given)
{
    vhu__remote_event *event = &remote->rings[ring].events[which];
    vhu__remote_event before = *event;
    int r = 0;

    event->replaced = replaced;
    event->given = given;
    if (vhu__remote_runs(remote, ring))
        r = vhu__remote_send_event(remote, ring, which);
    if (r < 0)
        *event = before;
    vhu_handle_close(r < 0 ? &given : &before.given);
    return r;
}

static int check_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which)
{
    if (ring < remote->options.num_rings && (unsigned)which <= VHU_VRING_ERR)
        return 0;
    return vhu__remote_fail(remote, VHU_EINVAL, "there is no ring %u", ring);
}

int vhu_remote_set_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which,
                         vhu_handle handle)
{
    vhu_handle copy = VHU_NO_HANDLE;
    int r = check_event(remote, ring, which);

    if (r < 0)
        return r;
    if (handle != VHU_NO_HANDLE)
        r = os_handle_dup(handle, &copy);
    if (r < 0)
        return vhu__remote_fail(remote, r, "ring %u: the handle cannot be duplicated", ring);
    return change_event(remote, ring, which, true, copy);
}

int vhu_remote_restore_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which)
{
    int r = check_event(remote, ring, which);

    if (r < 0 || !remote->rings[ring].events[which].replaced)
        return r;
    r = change_event(remote, ring, which, false, VHU_NO_HANDLE);
    if (r < 0 || !remote->rings[ring].started || which == VHU_VRING_ERR)
        return r;
    if (which == VHU_VRING_KICK)
        return vhu_remote_kick(remote, ring);
    vhu__remote_poke(remote, ring, which);
    return 0;
}
