/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit's end of the back channel: one place that waits for it and closes it. What goes
 * over it is said, asked and told elsewhere, always by the connection's thread.
 */
#include "device_internal.h"

int vhu__device_channel(vhu_device *device, vhu_frontend_client **channel)
{
    *channel = device->channel;
    if (!device->server)
        return VHU_ESTATE;
    if (!device->channel)
        return VHU_ENOSYS;
    vhu_frontend_client_set_features(device->channel, vhu_backend_server_features(device->server),
                                     vhu_backend_server_protocol_features(device->server));
    return 0;
}

void vhu__device_close_channel(vhu_device *device)
{
    vhu__device_watch(device, VHU_DEVICE_CHANNEL, VHU_NO_HANDLE, 0);
    vhu_frontend_client_free(device->channel);
    device->channel = NULL;
    vhu__device_end_questions(device);
}

int vhu__device_watch_channel(vhu_device *device)
{
    vhu_conn *conn = vhu_frontend_client_conn(device->channel);
    unsigned events;

    /* Nothing may come but answers: nobody is woken who would not read it. */
    vhu__conn_hold(conn, device->num_questions == 0);
    events = vhu_conn_wait_events(conn);
    vhu__conn_hold(conn, false);
    return vhu__device_watch(device, VHU_DEVICE_CHANNEL, vhu_conn_wait_handle(conn), events);
}

int vhu__device_sent(vhu_device *device, int r)
{
    if (r == 0)
        r = vhu_frontend_client_finish(device->channel);
    if (r != VHU_EAGAIN)
        return r;
    vhu__device_watch_channel(device);
    return 0;
}

/* False: there is nothing to send, and nothing to wait for. */
static bool is_busy(const vhu_device *device)
{
    return device->channel && (atomic_load_explicit(&device->unsaid, memory_order_relaxed) ||
                               device->also[VHU_DEVICE_CHANNEL].handle != VHU_NO_HANDLE);
}

void vhu__device_channel_turn(vhu_device *device)
{
    bool all;
    int r;

    if (!is_busy(device))
        return;
    /* Not more can be under way at once than the channel counts. */
    do {
        all = vhu__device_speak(device);
        r = vhu_frontend_client_finish(device->channel);
    } while (r == 0 && !all);
    if (r == VHU_EAGAIN)
        r = vhu__device_watch_channel(device);
    else if (r == 0)
        r = vhu__device_watch(device, VHU_DEVICE_CHANNEL, VHU_NO_HANDLE, 0);
    if (r == 0)
        return;
    vhu__device_log(device, VHU_LOG_WARNING, "the back channel has ended: %s", vhu_strerror(r));
    vhu__device_close_channel(device);
}
