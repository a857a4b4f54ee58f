/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit: the loop of a program that has no other. */
#include "device_internal.h"

#include <vmm_vhost/wait.h>

_Static_assert(2 + VHU_DEVICE_LIFE + 1 + VHU_RUN_RINGS <= VHU_MAX_WAITS, "all can be waited for");

/* The rings last; `stop` first: where only one that is ready is told, it is that. */
static size_t list_waits(vhu_device *device, vhu_handle stop, vhu_wait *waits)
{
    const vhu_conn *conn = vhu_backend_server_conn(device->server);
    size_t n = 0;

    waits[n++] = (vhu_wait){.handle = stop, .events = VHU_WAIT_READ};
    waits[n++] =
        (vhu_wait){.handle = vhu_conn_wait_handle(conn), .events = vhu_conn_wait_events(conn)};
    for (unsigned i = 0; vhu_device_also(device, i, &waits[n]); i++)
        n++;
    for (uint32_t i = 0; i < device->options.num_rings; i++)
        waits[n++] =
            (vhu_wait){.handle = vhu_ring_kick_handle(&device->rings[i]), .events = VHU_WAIT_READ};
    return n;
}

/* For as long as there is nothing to do, or not at all. 1: it shall stop. */
static int wait_for_work(vhu_device *device, vhu_handle stop, bool may_sleep)
{
    const vhu_conn *conn = vhu_backend_server_conn(device->server);
    const uint32_t rings = device->options.num_rings;
    vhu_wait waits[VHU_MAX_WAITS];
    const size_t n = list_waits(device, stop, waits);
    int r = vhu_wait_any(waits, n, may_sleep ? vhu_conn_deadline_ms(conn) : 0);

    for (uint32_t i = 0; r == 0 && i < rings; i++) {
        if (waits[n - rings + i].ready)
            vhu_ring_kicked(&device->rings[i]);
    }
    return r == VHU_ETIMEDOUT ? 0 : r == 0 ? waits[0].ready : r;
}

static bool turn(vhu_device *device)
{
    const bool busy = vhu_device_poll(device, 0);

    vhu_device_settle(device);
    return busy;
}

int vhu_device_run(vhu_device *device, vhu_conn **conn, vhu_handle stop)
{
    vhu_backend_server *server;
    bool busy = false;
    int r, stopped;

    if (device->executor.num_workers > 0 || device->options.num_rings > VHU_RUN_RINGS ||
        vhu_conn_wait_handle(*conn) == VHU_NO_HANDLE)
        return VHU_EINVAL;
    r = vhu_device_connect(device, conn, &server);
    if (r < 0)
        return r;
    do {
        r = vhu_backend_server_serve(server);
        stopped = wait_for_work(device, stop,
                                r == VHU_EAGAIN && !busy && vhu_device_may_sleep(device, 0));
        busy = turn(device);
    } while ((r == 0 || r == VHU_EAGAIN) && stopped == 0);
    vhu_device_disconnect(device, NULL, NULL);
    while (!vhu_device_is_idle(device)) {
        if (!turn(device))
            vhu_wait_any(NULL, 0, 1);
    }
    return stopped > 0 ? 0 : stopped < 0 ? stopped : r;
}
