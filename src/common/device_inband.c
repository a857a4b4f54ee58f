/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit's notifications as messages (INBAND_NOTIFICATIONS): kicks come on the connection,
 * calls and errors go out on the back channel. Only the connection's thread sends. A worker leaves
 * a bit in its ring; one that is there already says all that there is to say.
 */
#include "device_internal.h"

/* --- from any thread --- */

void vhu__ring_signal(vhu_ring *ring, vhu_vring_event which)
{
    vhu_event *event = which == VHU_VRING_CALL ? ring->call : ring->err;
    vhu_device *device = ring->device;
    const unsigned bit = 1u << which;

    if (vhu__likely(event)) {
        vhu_event_signal(event);
        return;
    }
    if (!device->inband ||
        (atomic_fetch_or_explicit(&ring->unsaid, bit, memory_order_acq_rel) & bit))
        return;
    atomic_store_explicit(&device->unsaid, true, memory_order_release);
    if (device->executor.num_workers > 0)
        device->executor.notify(device->executor_arg);
}

/* --- on the connection's thread --- */

/* False if there is no room for it now, or the channel has ended: then it stays. */
static bool say(vhu_ring *ring, vhu_vring_event which)
{
    vhu_frontend_client *channel = ring->device->channel;
    int r = which == VHU_VRING_CALL ? vhu_frontend_client_vring_call(channel, ring->index)
                                    : vhu_frontend_client_vring_err(channel, ring->index);

    return r == 0 || r == VHU_ENOSYS;
}

static bool say_all_of(vhu_ring *ring)
{
    static const vhu_vring_event events[] = {VHU_VRING_ERR, VHU_VRING_CALL};
    unsigned unsaid = atomic_exchange_explicit(&ring->unsaid, 0, memory_order_acq_rel);

    for (size_t i = 0; i < VHU__COUNT(events); i++) {
        const unsigned bit = 1u << events[i];

        if ((unsaid & bit) && say(ring, events[i]))
            unsaid &= ~bit;
    }
    if (unsaid != 0)
        atomic_fetch_or_explicit(&ring->unsaid, unsaid, memory_order_acq_rel);
    return unsaid == 0;
}

bool vhu__device_speak(vhu_device *device)
{
    vhu_frontend_client *channel;
    bool all = true;

    if (!atomic_exchange_explicit(&device->unsaid, false, memory_order_acq_rel) ||
        vhu__device_channel(device, &channel) < 0)
        return true;
    for (uint32_t i = 0; i < device->options.num_rings; i++)
        all = say_all_of(&device->rings[i]) && all;
    if (!all)
        atomic_store_explicit(&device->unsaid, true, memory_order_release);
    return all;
}

/* --- requests --- */

int vhu__device_vring_kick(void *self, uint32_t index)
{
    vhu_device *device = self;
    vhu_ring *ring = &device->rings[index];
    bool was_started = ring->started;
    int r;

    if (vhu__ring_phase(ring) != VHU__PARKED) {
        vhu__ring_wake(ring);
        return 0;
    }
    /* The first one starts it, as SET_VRING_KICK does, which not all front-ends send. */
    ring->started = true;
    r = vhu__ring_start(ring);
    if (r < 0)
        ring->started = was_started;
    return r;
}
