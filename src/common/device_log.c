/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit's dirty log: which pages the device writes, for a front-end that copies memory
 * while rings run.
 *
 * The front-end says where the used ring of a split ring is in the log. For a packed ring, which
 * has none, some (QEMU) name the device's event words, others mean the descriptors: there both are
 * logged where they are. So is the used ring behind an IOMMU, where the address is the driver's.
 */
#include "device_internal.h"

#define LOGGED_WHERE_IT_IS (VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_ACCESS_PLATFORM))

static bool logs(const vhu_device *device)
{
    return device->log && (device->features & VHU_BIT(VHU_F_LOG_ALL));
}

/* --- on the worker --- */

static void on_dirty(void *self, const void *at, uint64_t len)
{
    vhu_ring *ring = self;
    uint64_t guest_addr = 0;

    if (!at)
        len = vhu__memory_end(ring->device->memory);
    else if (vhu_memory_guest_addr(ring->device->memory, at, &guest_addr) < 0)
        return;
    vhu__dirty_log_mark(ring->device->log, guest_addr, len);
    ring->logged = true;
}

static void on_used_dirty(void *self, const void *at, uint64_t len)
{
    vhu_ring *ring = self;
    uint64_t where;

    if (!(ring->addr.flags & VHU_VRING_F_LOG))
        return;
    if (ring->device->features & LOGGED_WHERE_IT_IS) {
        on_dirty(self, at, len);
        return;
    }
    if (!vhu__add_u64(ring->addr.log, (uintptr_t)at - (uintptr_t)ring->queue->used, &where))
        return;
    vhu__dirty_log_mark(ring->device->log, where, len);
    ring->logged = true;
}

void vhu__log_tell(vhu_ring *ring)
{
    if (ring->logged && ring->device->log_event)
        vhu_event_signal(ring->device->log_event);
    ring->logged = false;
}

/* --- on the connection's thread --- */

static bool covers_used(const vhu__dirty_log *log, const vhu_ring *ring)
{
    if (!ring->has_addr || !(ring->addr.flags & VHU_VRING_F_LOG) ||
        (ring->device->features & LOGGED_WHERE_IT_IS))
        return true;
    return vhu__dirty_log_covers(log, ring->addr.log, vhu__used_bytes(ring->num));
}

static bool covers_memory(const vhu__dirty_log *log, const vhu_memory *memory)
{
    return vhu__dirty_log_covers(log, 0, vhu__memory_end(memory));
}

/* What memory comes later is the front-end's to think of, with another log before. */
int vhu__log_track(vhu_ring *ring)
{
    const vhu__queue_log hooks = {.self = ring, .dirty = on_dirty, .used_dirty = on_used_dirty};
    vhu_device *device = ring->device;

    if (!logs(device))
        return vhu__queue_set_log(ring->queue, NULL);
    if (!covers_memory(device->log, device->memory) || !covers_used(device->log, ring))
        vhu__device_log(device, VHU_LOG_WARNING,
                        "ring %u: the dirty log is too small, what is beyond it is not logged",
                        ring->index);
    return vhu__queue_set_log(ring->queue, &hooks);
}

int vhu__log_set_area(vhu_device *device, const vhu__change *c)
{
    vhu__dirty_log *log;
    bool fits;
    int r = vhu__dirty_log_open(&log, c->log, c->handles);

    if (r < 0)
        return r;
    fits = covers_memory(log, device->memory);
    for (uint32_t i = 0; fits && i < device->options.num_rings; i++)
        fits = covers_used(log, &device->rings[i]);
    if (!fits) {
        vhu__dirty_log_close(log);
        return VHU_EINVAL;
    }
    vhu__dirty_log_close(device->log);
    device->log = log;
    return 0;
}

int vhu__log_set_event(vhu_device *device, const vhu__change *c)
{
    vhu_event *event;
    int r = vhu_event_adopt_signal(&event, c->handles);

    if (r < 0)
        return r;
    vhu_event_free(device->log_event);
    device->log_event = event;
    return 0;
}

void vhu__log_release(vhu_device *device)
{
    vhu__dirty_log_close(device->log);
    device->log = NULL;
    vhu_event_free(device->log_event);
    device->log_event = NULL;
}
