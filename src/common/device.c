/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit on the connection's thread: who is connected, and rings parked for changes. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "device_internal.h"
#include "endian.h"

void vhu__device_log(vhu_device *device, vhu_log_level level, const char *format, ...)
{
    char text[192];
    va_list args;

    if (!device->options.log)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    device->options.log(device->options.log_arg, level, text);
}

int vhu__device_watch(vhu_device *device, vhu_device_wait which, vhu_handle handle, unsigned events)
{
    vhu_wait *also = &device->also[which];
    int r;

    if (handle == also->handle && events == also->events)
        return 0;
    *also = (vhu_wait){.handle = handle, .events = events};
    r = device->executor.watch_also
            ? device->executor.watch_also(device->executor_arg, which, handle, events)
            : 0;
    if (r < 0)
        also->events = 0; /* to be tried again */
    return r;
}

bool vhu_device_also(const vhu_device *device, unsigned which, vhu_wait *wait)
{
    if (which >= VHU__COUNT(device->also))
        return false;
    *wait = device->also[which];
    return true;
}

/* --- starting and parking --- */

bool vhu__device_all_parked(vhu_device *device, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        if (vhu__ring_phase(&device->rings[i]) != VHU__PARKED)
            return false;
    }
    return true;
}

static void stop_rings(vhu_device *device, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++)
        vhu__ring_stop(&device->rings[i]);
}

/* Requests come in any order: a ring runs as soon as all is there. */
static bool is_ready(const vhu_ring *ring)
{
    return ring->started && ring->has_addr && ring->num != 0 &&
           (ring->enabled || ring->device->options.serve_disabled) &&
           vhu_memory_count(ring->device->memory) > 0 && !ring->device->postcopy.unmapped;
}

/*
 * QEMU makes the area for the queue size of its device, and drivers of virtio-mmio may choose a
 * larger one: such a ring runs without a record, as if there were no area.
 */
static vhu__inflight *choose_inflight(vhu_ring *ring)
{
    vhu_device *device = ring->device;

    if (!device->inflight || vhu__inflight_holds(device->inflight, ring->num))
        return device->inflight;
    vhu__device_log(device, VHU_LOG_WARNING,
                    "ring %u: the in-flight area has no room for its %u entries, no record is kept",
                    ring->index, ring->num);
    return NULL;
}

int vhu__ring_start_queue(vhu_ring *ring)
{
    const vhu_queue_config config = {
        .size = sizeof(config),
        .memory = ring->device->memory,
        .features = ring->device->features,
        .num = ring->num,
        .base = ring->base,
        .addr = ring->addr,
        .big_endian = ring->big_endian,
    };
    int r;

    if (vhu_ring_is_big_endian(ring) && !ring->device->options.cross_endian)
        return VHU_ENOSYS;
    r = vhu__inflight_track(choose_inflight(ring), ring->index, ring->queue);
    if (r == 0)
        r = vhu__log_track(ring);
    if (r < 0)
        return r;
    r = vhu_queue_start(ring->queue, &config);
    if (r < 0 && vhu_queue_error(ring->queue)[0] != '\0')
        vhu__device_log(ring->device, VHU_LOG_ERROR, "ring %u: %s", ring->index,
                        vhu_queue_error(ring->queue));
    return r;
}

int vhu__ring_start(vhu_ring *ring)
{
    int r;

    if (!is_ready(ring))
        return 0;
    /* Its requests would change what has been saved, or use what has not been loaded yet. */
    if (ring->device->transfer)
        return VHU_ESTATE;
    /* Some of it may be missing, and only workers can wait for that. */
    ring->late = atomic_load_explicit(&ring->device->postcopy.listening, memory_order_relaxed);
    r = ring->late ? 0 : vhu__ring_start_queue(ring);
    if (r == VHU_EAGAIN) {
        vhu__ring_defer(ring);
        return 0;
    }
    if (r == 0) {
        vhu__ring_end_wait(ring);
        vhu__ring_run(ring);
    }
    return r;
}

void vhu__ring_report_start(vhu_ring *ring, int error)
{
    vhu__device_log(ring->device, VHU_LOG_ERROR, "ring %u does not start: %s", ring->index,
                    vhu_strerror(error));
    vhu__ring_signal(ring, VHU_VRING_ERR);
}

void vhu__device_start_rings(vhu_device *device, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        vhu_ring *ring = &device->rings[i];
        int r = vhu__ring_phase(ring) == VHU__PARKED ? vhu__ring_start(ring) : 0;

        if (r < 0)
            vhu__ring_report_start(ring, r);
    }
}

static int conclude(vhu_device *device, const vhu__change *c)
{
    int r;

    /* No ring that has parked speaks after the reply. */
    vhu__device_channel_turn(device);
    r = c->apply(device, c);
    vhu__device_start_rings(device, c->first, c->count);
    return r;
}

int vhu__device_submit(vhu_device *device, const vhu__change *change)
{
    stop_rings(device, change->first, change->count);
    if (vhu__device_all_parked(device, change->first, change->count))
        return conclude(device, change);
    device->change = *change;
    device->waiting = true;
    vhu__device_watch_life(device, true);
    return VHU_EPENDING;
}

/* --- life --- */

static int make_rings(vhu_device *device)
{
    uint32_t n = device->options.num_rings;
    unsigned workers = device->executor.num_workers ? device->executor.num_workers : 1;

    device->rings = calloc(n, sizeof(device->rings[0]));
    if (!device->rings)
        return VHU_ENOMEM;
    for (uint32_t i = 0; i < n; i++) {
        vhu_ring *ring = &device->rings[i];

        ring->device = device;
        ring->big_endian = VHU__BIG_ENDIAN;
        ring->index = i;
        ring->worker = i % workers;
        atomic_init(&ring->phase, VHU__PARKED);
        atomic_init(&ring->next_call, NULL);
        atomic_init(&ring->next_err, NULL);
        atomic_init(&ring->wait.state, VHU__WAIT_NONE);
        atomic_init(&ring->unsaid, 0);
    }
    for (uint32_t i = 0; i < n; i++) {
        int r = vhu_queue_new(&device->rings[i].queue);

        if (r == 0)
            r = vhu__queue_set_iotlb(device->rings[i].queue, device->iotlb);
        if (r < 0)
            return r;
    }
    return 0;
}

static void destroy(vhu_device *device)
{
    for (uint32_t i = 0; device->rings && i < device->options.num_rings; i++) {
        vhu__ring_release(&device->rings[i]);
        vhu_queue_free(device->rings[i].queue);
    }
    free(device->rings);
    vhu__log_release(device);
    vhu__inflight_close(device->inflight);
    vhu__iotlb_free(device->iotlb);
    vhu_memory_free(device->memory);
    free(device);
}

static bool can_watch(const vhu_device *device)
{
    return device->executor.num_workers == 0 || device->executor.watch_also;
}

int vhu_device_new(vhu_device **out, const vhu_device_options *options, const vhu_device_ops *ops,
                   void *self, const vhu_executor *executor, void *executor_arg)
{
    vhu_device *device = calloc(1, sizeof(*device));
    int r = VHU_EINVAL;

    if (!device)
        return VHU_ENOMEM;
    if (!vhu__copy_sized(&device->options, sizeof(device->options), options) ||
        !vhu__copy_sized(&device->ops, sizeof(device->ops), ops) ||
        (executor && (!vhu__copy_sized(&device->executor, sizeof(device->executor), executor) ||
                      device->executor.num_workers == 0)) ||
        (device->options.shmem && !vhu__device_set_shmem(device, device->options.shmem)) ||
        !device->ops.handle_ring || device->options.num_rings == 0 ||
        device->options.num_rings > VHU_MAX_RINGS ||
        (device->options.withhold & VHU_BIT(VHU_PF_REPLY_ACK))) {
        free(device);
        return r;
    }
    device->self = self;
    device->executor_arg = executor_arg;
    device->transfer_result = VHU_ESTATE;
    atomic_init(&device->unsaid, false);
    device->postcopy.userfault = device->postcopy.life = VHU_NO_HANDLE;
    atomic_init(&device->postcopy.listening, false);
    atomic_init(&device->postcopy.lost, false);
    for (size_t i = 0; i < VHU__COUNT(device->also); i++)
        device->also[i].handle = VHU_NO_HANDLE;
    device->backend_ops = vhu__device_ops;
    vhu__device_add_requests(device);
    if (!device->ops.save_state || !device->ops.load_state || !can_watch(device))
        device->backend_ops.set_device_state_fd = NULL;
    if (!device->options.cross_endian)
        device->backend_ops.set_vring_endian = NULL;
    if (!device->options.inband || !can_watch(device))
        device->backend_ops.vring_kick = NULL;
    if (!device->options.shmem || !can_watch(device))
        device->backend_ops.get_shmem_config = NULL;
    if (!device->ops.get_shared_object || !can_watch(device))
        device->backend_ops.get_shared_object = NULL;
    device->options.shmem = NULL;
    if (!vhu__device_can_postcopy(device))
        device->backend_ops.postcopy_advise = NULL;
    r = vhu_memory_new(&device->memory);
    if (r == 0 && (device->options.features & VHU_BIT(VHU_F_ACCESS_PLATFORM)))
        r = vhu__iotlb_new(&device->iotlb);
    if (!device->iotlb)
        device->backend_ops.iotlb_msg = NULL;
    if (r == 0)
        r = make_rings(device);
    if (r < 0) {
        destroy(device);
        return r;
    }
    *out = device;
    return 0;
}

int vhu_device_free(vhu_device *device)
{
    if (!device)
        return 0;
    if (!vhu_device_is_idle(device))
        return VHU_ESTATE;
    destroy(device);
    return 0;
}

bool vhu_device_is_idle(const vhu_device *device)
{
    return !device->server && !device->leaving;
}

vhu_ring *vhu_device_ring(vhu_device *device, uint32_t index)
{
    return index < device->options.num_rings ? &device->rings[index] : NULL;
}

int vhu_device_connect(vhu_device *device, vhu_conn **conn, vhu_backend_server **out)
{
    const vhu_backend_server_options options = {.size = sizeof(options),
                                                .max_rings = device->options.num_rings};
    int r;

    if (!vhu_device_is_idle(device))
        return VHU_ESTATE;
    r = vhu_backend_server_new(&device->server, conn, &device->backend_ops, device, &options);
    if (r == 0)
        *out = device->server;
    return r;
}

int vhu_device_disconnect(vhu_device *device, void (*done)(void *arg), void *arg)
{
    if (!device->server)
        return VHU_ESTATE;
    /* Its arguments go with the server. */
    device->waiting = false;
    vhu__device_watch_life(device, false);
    vhu__device_state_forget(device);
    vhu_backend_server_free(device->server);
    device->server = NULL;
    vhu__device_close_channel(device);
    vhu__device_lose_pages(device);
    device->leaving = true;
    device->left = done;
    device->left_arg = arg;
    stop_rings(device, 0, device->options.num_rings);
    vhu_device_settle(device);
    return 0;
}

static void leave(vhu_device *device)
{
    for (uint32_t i = 0; i < device->options.num_rings; i++)
        vhu__ring_release(&device->rings[i]);
    vhu_memory_replace(device->memory, NULL, 0, NULL);
    vhu__log_release(device);
    vhu__inflight_close(device->inflight);
    device->inflight = NULL;
    vhu__iotlb_clear(device->iotlb);
    device->features = 0;
    device->inband = false;
    device->status = 0;
    vhu__device_postcopy_forget(device);
    device->leaving = false;
    if (device->left)
        device->left(device->left_arg);
}

void vhu_device_settle(vhu_device *device)
{
    const vhu__change change = device->change;

    if (device->leaving) {
        if (vhu__device_all_parked(device, 0, device->options.num_rings))
            leave(device);
        return; /* the device may be gone */
    }
    if (device->waiting && vhu__device_all_parked(device, change.first, change.count)) {
        device->waiting = false;
        vhu__device_watch_life(device, false);
        vhu_backend_server_complete(device->server, conclude(device, &change));
    }
    vhu__device_postcopy_settle(device);
    if (device->server)
        vhu__device_ask(device);
    vhu__device_state_settle(device);
    vhu__device_channel_turn(device);
}
