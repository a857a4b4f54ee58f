/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit's IOTLB. Rings look translations up on their workers; the connection's thread
 * alone changes them, and asks the front-end for those that are missing.
 *
 * A ring that misses one takes nothing, and goes on when it has come. Until then its worker serves
 * the others, and it parks as any ring. What is new disturbs nobody; what is taken away parks all
 * rings first, so that no request that is out still goes by it when that is acknowledged.
 *
 *      worker                                  connection's thread
 *      NONE or OVER -> ASKS, notify            ASKS -> ASKED, sends IOTLB_MISS
 *                                              ASKS or ASKED -> OVER when it has come, wake
 */
#include <inttypes.h>

#include "device_internal.h"

static vhu__wait_state wait_state(vhu_ring *ring)
{
    return (vhu__wait_state)atomic_load_explicit(&ring->wait.state, memory_order_acquire);
}

static void set_wait_state(vhu_ring *ring, vhu__wait_state state)
{
    atomic_store_explicit(&ring->wait.state, (int)state, memory_order_release);
}

/* --- on the worker --- */

bool vhu__ring_waits(vhu_ring *ring)
{
    vhu__wait_state state = wait_state(ring);

    return state == VHU__WAIT_ASKS || state == VHU__WAIT_ASKED;
}

/* A request that needs more than can be kept would ask for ever. */
static bool asks_too_often(vhu_ring *ring)
{
    uint32_t base = vhu_queue_base(ring->queue);

    ring->wait.count = ring->wait.base == base ? ring->wait.count + 1 : 1;
    ring->wait.base = base;
    if (ring->wait.count <= 2 * VHU__IOTLB_MAX)
        return false;
    vhu__queue_break(ring->queue, "a request needs more than %d translations", VHU__IOTLB_MAX);
    return true;
}

void vhu__ring_await(vhu_ring *ring)
{
    const vhu__fault *fault = vhu__queue_fault(ring->queue);

    if (!fault || vhu__ring_waits(ring) || asks_too_often(ring))
        return;
    ring->wait.fault = *fault;
    set_wait_state(ring, VHU__WAIT_ASKS);
    if (ring->device->executor.num_workers > 0)
        ring->device->executor.notify(ring->device->executor_arg);
}

/* --- on the connection's thread --- */

static void tell(vhu_ring *ring, uint8_t type)
{
    vhu_device *device = ring->device;
    const vhu__fault *fault = &ring->wait.fault;
    const vhu_iotlb_msg msg = {
        .iova = fault->iova, .size = fault->len, .perm = fault->perm, .type = type};
    vhu_frontend_client *channel;
    int r = vhu__device_channel(device, &channel);

    if (r == 0)
        r = vhu__device_sent(device, vhu_frontend_client_iotlb_msg(channel, &msg));
    if (r < 0)
        vhu__device_log(device, VHU_LOG_WARNING,
                        "ring %u: cannot ask for the translation of 0x%" PRIx64 ": %s", ring->index,
                        fault->iova, vhu_strerror(r));
}

static vhu__iotlb_result look(vhu_ring *ring)
{
    vhu__translation t;

    return vhu__iotlb_look(ring->device->iotlb, ring->wait.fault.iova, 1, ring->wait.fault.perm,
                           &t);
}

static bool same_fault(const vhu__fault *a, const vhu__fault *b)
{
    return a->iova == b->iova && a->perm == b->perm;
}

/* Another ring has asked for it, and will be answered. */
static bool is_asked(const vhu_ring *ring)
{
    vhu_device *device = ring->device;

    for (uint32_t i = 0; i < device->options.num_rings; i++) {
        vhu_ring *other = &device->rings[i];

        if (other != ring && wait_state(other) == VHU__WAIT_ASKED &&
            same_fault(&other->wait.fault, &ring->wait.fault))
            return true;
    }
    return false;
}

static void resume(vhu_ring *ring)
{
    set_wait_state(ring, VHU__WAIT_OVER);
    vhu__ring_wake(ring);
}

static void ask(vhu_ring *ring)
{
    ring->wait.told = false;
    set_wait_state(ring, VHU__WAIT_ASKED);
    if (!is_asked(ring))
        tell(ring, VHU_IOTLB_MISS);
}

void vhu__device_ask(vhu_device *device)
{
    for (uint32_t i = 0; device->iotlb && i < device->options.num_rings; i++) {
        vhu_ring *ring = &device->rings[i];

        /* One that has parked since will look again when it starts. */
        if (wait_state(ring) != VHU__WAIT_ASKS || vhu__ring_phase(ring) == VHU__PARKED)
            continue;
        /* It may have come meanwhile. */
        if (look(ring) == VHU__IOTLB_FOUND)
            resume(ring);
        else
            ask(ring);
    }
}

void vhu__device_ask_again(vhu_device *device)
{
    for (uint32_t i = 0; device->iotlb && i < device->options.num_rings; i++) {
        if (wait_state(&device->rings[i]) == VHU__WAIT_ASKED)
            tell(&device->rings[i], VHU_IOTLB_MISS);
    }
}

void vhu__ring_defer(vhu_ring *ring)
{
    const vhu__fault *fault = vhu__queue_fault(ring->queue);

    /* Each request that changes something tries to start it. */
    if (vhu__ring_waits(ring) && same_fault(&ring->wait.fault, fault))
        return;
    ring->wait.fault = *fault;
    ask(ring);
}

void vhu__ring_end_wait(vhu_ring *ring)
{
    ring->wait.count = 0;
    set_wait_state(ring, VHU__WAIT_NONE);
}

/* Rings that wait for what has come go on; of one that was given less, the front-end hears. */
static void answer(vhu_device *device)
{
    for (uint32_t i = 0; i < device->options.num_rings; i++) {
        vhu_ring *ring = &device->rings[i];
        vhu__iotlb_result result;

        if (!vhu__ring_waits(ring))
            continue;
        result = look(ring);
        if (result == VHU__IOTLB_FOUND && vhu__ring_phase(ring) == VHU__PARKED) {
            vhu__ring_end_wait(ring);
            vhu__device_start_rings(device, i, 1);
        } else if (result == VHU__IOTLB_FOUND) {
            resume(ring);
        } else if (result == VHU__IOTLB_DENIED && !ring->wait.told &&
                   wait_state(ring) == VHU__WAIT_ASKED) {
            ring->wait.told = true;
            tell(ring, VHU_IOTLB_ACCESS_FAIL);
        }
    }
}

static int update(vhu_device *device, const vhu_iotlb_msg *msg)
{
    vhu__iotlb_update(device->iotlb, msg);
    answer(device);
    return 0;
}

static int apply_update(vhu_device *device, const vhu__change *c)
{
    return update(device, c->iotlb);
}

static int apply_invalidate(vhu_device *device, const vhu__change *c)
{
    vhu__iotlb_invalidate(device->iotlb, c->iotlb->iova, c->iotlb->size);
    return 0;
}

int vhu__device_iotlb_msg(void *self, const vhu_iotlb_msg *msg)
{
    vhu_device *device = self;
    vhu__change change = {.count = device->options.num_rings, .iotlb = msg};

    if (msg->type == VHU_IOTLB_UPDATE && !vhu__iotlb_contradicts(device->iotlb, msg))
        return update(device, msg);
    if (msg->type == VHU_IOTLB_UPDATE)
        change.apply = apply_update;
    else if (msg->type == VHU_IOTLB_INVALIDATE)
        change.apply = apply_invalidate;
    else
        return VHU_EINVAL; /* what only a back-end says */
    return vhu__device_submit(device, &change);
}
