/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit on its workers: rings start, are served, and park. */
#include <string.h>

#include "device_internal.h"
#include "endian.h"

/* Its address stands for "no event" where NULL stands for "nothing new". */
static char no_event;
vhu_event *const vhu__no_event = (vhu_event *)&no_event;

/* --- events --- */

static void drop_event(vhu_event *event)
{
    if (event != vhu__no_event)
        vhu_event_free(event);
}

/* Take over what is in a mailbox. True if there was something. */
static bool collect(vhu__mailbox *box, vhu_event **slot)
{
    vhu_event *event;

    if (vhu__likely(!atomic_load_explicit(box, memory_order_relaxed)))
        return false;
    event = atomic_exchange_explicit(box, NULL, memory_order_acquire);
    if (!event)
        return false;
    drop_event(*slot);
    *slot = event == vhu__no_event ? NULL : event;
    return true;
}

/* True if the call is a new one. */
static bool collect_events(vhu_ring *ring)
{
    collect(&ring->next_err, &ring->err);
    return collect(&ring->next_call, &ring->call);
}

/* To be called after whatever may have broken the ring. */
static void report_if_broken(vhu_ring *ring)
{
    const char *error = vhu_queue_error(ring->queue);

    if (vhu__likely(error[0] == '\0') || ring->broken)
        return;
    ring->broken = true;
    vhu__device_log(ring->device, VHU_LOG_ERROR, "ring %u: %s", ring->index, error);
    vhu__ring_signal(ring, VHU_VRING_ERR);
}

/* --- phases --- */

void vhu__ring_wake(vhu_ring *ring)
{
    vhu_device *device = ring->device;

    if (device->executor.num_workers > 0)
        device->executor.wake(device->executor_arg, ring->worker);
    else
        vhu__ring_step(ring);
}

void vhu__ring_set_event(vhu_ring *ring, vhu_vring_event which, vhu_event *event)
{
    vhu__mailbox *box = which == VHU_VRING_CALL ? &ring->next_call : &ring->next_err;

    drop_event(atomic_exchange_explicit(box, event ? event : vhu__no_event, memory_order_acq_rel));
    if (vhu__ring_phase(ring) == VHU__PARKED)
        collect_events(ring);
    else
        vhu__ring_wake(ring);
}

void vhu__ring_run(vhu_ring *ring)
{
    atomic_store_explicit(&ring->phase, VHU__STARTING, memory_order_release);
    vhu__ring_wake(ring);
}

void vhu__ring_stop(vhu_ring *ring)
{
    vhu__phase phase = vhu__ring_phase(ring);

    if (phase == VHU__PARKED || phase == VHU__STOPPING)
        return;
    atomic_exchange_explicit(&ring->phase, VHU__STOPPING, memory_order_acq_rel);
    vhu__ring_wake(ring);
}

static void watch(vhu_ring *ring)
{
    vhu_device *device = ring->device;
    int r;

    if (device->executor.num_workers == 0 || !ring->kick)
        return;
    r = device->executor.watch(device->executor_arg, ring->worker, ring,
                               vhu_event_wait_handle(ring->kick));
    ring->watched = r == 0;
    if (r == 0)
        return;
    vhu__device_log(device, VHU_LOG_ERROR, "ring %u: its kick cannot be waited for: %s",
                    ring->index, vhu_strerror(r));
    vhu__ring_signal(ring, VHU_VRING_ERR);
}

static void unwatch(vhu_ring *ring)
{
    vhu_device *device = ring->device;

    if (ring->watched)
        device->executor.unwatch(device->executor_arg, ring->worker, ring);
    ring->watched = false;
}

static void begin(vhu_ring *ring)
{
    uint32_t again = vhu__queue_num_again(ring->queue);

    if (again > 0)
        vhu__device_log(ring->device, VHU_LOG_DEBUG, "ring %u: %u requests are taken again",
                        ring->index, again);
    ring->live = true;
    /* Whoever served the ring before may have died while it was quiet, or before it called. */
    ring->quiet = true;
    vhu__ring_signal(ring, VHU_VRING_CALL);
    ring->stalled = false;
    ring->broken = false;
    watch(ring);
    if (ring->device->ops.ring_started)
        ring->device->ops.ring_started(ring->device->self, ring);
}

/* Its base is what the next start goes on from. */
static void park(vhu_ring *ring)
{
    vhu_device *device = ring->device;

    if (ring->live) {
        unwatch(ring);
        if (device->ops.ring_parked)
            device->ops.ring_parked(device->self, ring);
        vhu_ring_flush(ring);
        if (ring->quiet)
            vhu_queue_enable_kicks(ring->queue);
        vhu__log_tell(ring);
        ring->live = false;
    }
    if (vhu_queue_is_running(ring->queue))
        ring->base = vhu_queue_base(ring->queue);
    vhu_queue_stop(ring->queue);
    atomic_store_explicit(&ring->phase, VHU__PARKED, memory_order_release);
    if (device->executor.num_workers > 0)
        device->executor.notify(device->executor_arg);
}

static bool serve(vhu_ring *ring)
{
    vhu_device *device = ring->device;

    if (!vhu_queue_has_avail(ring->queue))
        return false;
    if (!ring->quiet) {
        vhu_queue_disable_kicks(ring->queue);
        ring->quiet = true;
    }
    ring->stalled = true;
    if (vhu__unlikely(device->iotlb) && vhu__ring_waits(ring))
        return false;
    device->ops.handle_ring(device->self, ring);
    return !ring->stalled;
}

/* In the place of the connection's thread. */
static void start_late(vhu_ring *ring)
{
    int r = ring->late ? vhu__ring_start_queue(ring) : 0;

    ring->late = false;
    if (r < 0)
        vhu__ring_report_start(ring, r);
}

/*
 * What another process had taken does not stay in a ring that parks: the base leads behind it. It
 * does if the device has no room for it; the in-flight area knows it still.
 */
static bool take_again(vhu_ring *ring)
{
    if (vhu__queue_num_again(ring->queue) == 0)
        return false;
    if (!ring->live)
        begin(ring);
    return serve(ring);
}

bool vhu__ring_step(vhu_ring *ring)
{
    vhu__phase phase = vhu__ring_phase(ring);
    int starting = VHU__STARTING;

    /* A call may have gone to the old event after the driver's last look at it. */
    if (phase != VHU__PARKED && collect_events(ring))
        vhu__ring_signal(ring, VHU_VRING_CALL);
    switch (phase) {
    case VHU__PARKED:
        return false;
    case VHU__STARTING:
        start_late(ring);
        begin(ring);
        /* It may have been asked to stop meanwhile. */
        atomic_compare_exchange_strong_explicit(&ring->phase, &starting, VHU__RUNNING,
                                                memory_order_acq_rel, memory_order_acquire);
        return true;
    case VHU__RUNNING:
        return serve(ring);
    case VHU__STOPPING:
        if (take_again(ring))
            return true;
        if (ring->live && vhu_queue_in_use(ring->queue) > 0)
            return false;
        park(ring);
        return true;
    }
    return false;
}

void vhu__ring_reset(vhu_ring *ring)
{
    vhu_event_free(ring->kick);
    ring->kick = NULL;
    memset(&ring->addr, 0, sizeof(ring->addr));
    ring->num = 0;
    ring->base = 0;
    ring->has_addr = false;
    ring->big_endian = VHU__BIG_ENDIAN;
    ring->started = false;
    ring->enabled = false;
    vhu__ring_end_wait(ring);
}

void vhu__ring_release(vhu_ring *ring)
{
    vhu__ring_reset(ring);
    collect_events(ring);
    vhu_event_free(ring->call);
    vhu_event_free(ring->err);
    ring->call = ring->err = NULL;
    atomic_store_explicit(&ring->unsaid, 0, memory_order_relaxed);
}

/* --- a worker's turn --- */

/* The worker's rings, one after another. */
#define for_each_ring(ring, device, worker)                                                        \
    for (vhu_ring *ring = (device)->rings + (worker);                                              \
         ring < (device)->rings + (device)->options.num_rings;                                     \
         ring += (device)->executor.num_workers ? (device)->executor.num_workers : 1)

bool vhu_device_poll(vhu_device *device, unsigned worker)
{
    bool done = device->ops.poll && device->ops.poll(device->self, worker);

    for_each_ring(ring, device, worker) done |= vhu__ring_step(ring);
    return done;
}

bool vhu_device_may_sleep(vhu_device *device, unsigned worker)
{
    bool may = true;

    for_each_ring(ring, device, worker)
    {
        if (vhu__ring_phase(ring) != VHU__RUNNING || !ring->quiet || ring->stalled)
            continue;
        ring->quiet = false;
        if (vhu_queue_enable_kicks(ring->queue))
            may = false;
        vhu__log_tell(ring);
    }
    return may;
}

uint32_t vhu_device_in_use(const vhu_device *device, unsigned worker)
{
    uint32_t n = 0;

    for_each_ring(ring, device, worker)
    {
        if (vhu__ring_phase(ring) != VHU__PARKED)
            n += vhu_queue_in_use(ring->queue);
    }
    return n;
}

/* --- for the device --- */

uint32_t vhu_ring_index(const vhu_ring *ring)
{
    return ring->index;
}

unsigned vhu_ring_worker(const vhu_ring *ring)
{
    return ring->worker;
}

void vhu_ring_set_data(vhu_ring *ring, void *data)
{
    ring->data = data;
}

void *vhu_ring_data(const vhu_ring *ring)
{
    return ring->data;
}

vhu_handle vhu_ring_kick_handle(const vhu_ring *ring)
{
    return ring->live && ring->kick ? vhu_event_wait_handle(ring->kick) : VHU_NO_HANDLE;
}

void vhu_ring_kicked(vhu_ring *ring)
{
    int r;

    if (!ring->live || !ring->kick)
        return;
    r = vhu_event_clear(ring->kick);
    if (r == 0 || r == VHU_EAGAIN)
        return;
    /* It would fire for ever. */
    vhu__device_log(ring->device, VHU_LOG_WARNING, "ring %u: its kick is gone: %s", ring->index,
                    vhu_strerror(r));
    unwatch(ring);
    vhu_event_free(ring->kick);
    ring->kick = NULL;
}

bool vhu_ring_enabled(const vhu_ring *ring)
{
    return ring->enabled;
}

uint64_t vhu_ring_features(const vhu_ring *ring)
{
    return ring->device->features & ~VHU_BIT(VHU_F_LOG_ALL);
}

bool vhu_ring_is_big_endian(const vhu_ring *ring)
{
    return ring->big_endian && !(ring->device->features & VHU_BIT(VHU_F_VERSION_1));
}

uint32_t vhu_ring_take(vhu_ring *ring, vhu_chain *chains, uint32_t n)
{
    int r = vhu_queue_take(ring->queue, chains, n);

    /* Who takes none has seen nothing of what may have been missing before. */
    if (vhu__unlikely(r == 0) && n > 0)
        vhu__ring_await(ring);
    /* Requests before the one that broke the ring are returned first. */
    report_if_broken(ring);
    if (r <= 0)
        return 0;
    ring->quiet = true;
    ring->stalled = false;
    if (vhu__unlikely(
            atomic_load_explicit(&ring->device->postcopy.listening, memory_order_relaxed)))
        return vhu__ring_await_pages(ring, chains, (uint32_t)r);
    return (uint32_t)r;
}

void vhu_ring_complete(vhu_ring *ring, const vhu_chain *chains, uint32_t n)
{
    vhu_queue_complete(ring->queue, chains, n);
    report_if_broken(ring);
}

void vhu_ring_flush(vhu_ring *ring)
{
    if (vhu_queue_needs_call(ring->queue))
        vhu__ring_signal(ring, VHU_VRING_CALL);
    if (vhu__unlikely(ring->logged))
        vhu__log_tell(ring);
}
