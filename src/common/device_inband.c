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

void vhu__device_close_channel(vhu_device *device)
{
    vhu__device_watch(device, VHU_DEVICE_CHANNEL, VHU_NO_HANDLE, 0);
    vhu_frontend_client_free(device->channel);
    device->channel = NULL;
}

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

static bool say_all(vhu_device *device)
{
    bool all = true;

    if (!atomic_exchange_explicit(&device->unsaid, false, memory_order_acq_rel))
        return true;
    vhu_frontend_client_set_features(device->channel, vhu_backend_server_features(device->server),
                                     vhu_backend_server_protocol_features(device->server));
    for (uint32_t i = 0; i < device->options.num_rings; i++)
        all = say_all_of(&device->rings[i]) && all;
    if (!all)
        atomic_store_explicit(&device->unsaid, true, memory_order_release);
    return all;
}

/* What the front-end has not read yet is waited for. */
static int watch_channel(vhu_device *device, bool wait)
{
    vhu_conn *conn = vhu_frontend_client_conn(device->channel);
    unsigned events = vhu_conn_wait_events(conn) & VHU_WAIT_WRITE;

    if (!wait)
        return vhu__device_watch(device, VHU_DEVICE_CHANNEL, VHU_NO_HANDLE, 0);
    return vhu__device_watch(device, VHU_DEVICE_CHANNEL, vhu_conn_wait_handle(conn), events);
}

void vhu__device_speak(vhu_device *device)
{
    bool all;
    int r;

    if (!device->channel || (!atomic_load_explicit(&device->unsaid, memory_order_relaxed) &&
                             device->also[VHU_DEVICE_CHANNEL].handle == VHU_NO_HANDLE))
        return;
    /* Not more can be under way at once than the channel counts. */
    do {
        all = say_all(device);
        r = vhu_frontend_client_finish(device->channel);
    } while (r == 0 && !all);
    if (r == 0 || r == VHU_EAGAIN)
        r = watch_channel(device, r == VHU_EAGAIN);
    if (r == 0)
        return;
    vhu__device_log(device, VHU_LOG_WARNING, "the back channel has ended: %s", vhu_strerror(r));
    vhu__device_close_channel(device);
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
