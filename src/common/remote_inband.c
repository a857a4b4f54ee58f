/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: kicks, and with in-band notifications what they and calls are instead. */
#include "remote_internal.h"

bool vhu__remote_is_inband(const vhu_remote *remote)
{
    return vhu__remote_has(remote, VHU_PF_INBAND_NOTIFICATIONS);
}

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
    if (!remote->rings[ring].started || !vhu_remote_is_connected(remote))
        return 0;
    return vhu__remote_kick(remote, ring);
}
