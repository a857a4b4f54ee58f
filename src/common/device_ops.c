/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's vhu_backend_ops: each request becomes a change of parked rings or of memory. */
#include <inttypes.h>

#include <vmm_vhost/shm.h>

#include "device_internal.h"

static bool is_packed(const vhu_device *device)
{
    return (device->features & VHU_BIT(VHU_F_RING_PACKED)) != 0;
}

/* Some front-ends set PROTOCOL_FEATURES alone before there is a driver. */
static bool knows_driver(const vhu_device *device)
{
    return (device->features & ~(VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_LOG_ALL))) != 0;
}

/* --- changes --- */

/* Logging is the kit's own affair: it goes on and off in mid-run. */
static int apply_features(vhu_device *device, const vhu__change *c)
{
    const uint64_t logging = VHU_BIT(VHU_F_LOG_ALL);
    int r = 0;

    if (device->ops.set_features && (device->features ^ c->value) != logging)
        r = device->ops.set_features(device->self, c->value & ~logging);
    if (r < 0)
        return r;
    /* A driver that wants other rings has been reset: of those before nothing is out. */
    if (knows_driver(device) && (device->features ^ c->value) & VHU_BIT(VHU_F_RING_PACKED))
        vhu__inflight_clear(device->inflight);
    device->features = c->value;
    vhu__inflight_choose(device->inflight, is_packed(device));
    vhu__iotlb_clear(device->iotlb);
    if (c->value & VHU_BIT(VHU_F_PROTOCOL_FEATURES))
        return 0;
    /* A front-end without the extension knows nothing of enabling. */
    for (uint32_t i = 0; i < device->options.num_rings; i++)
        device->rings[i].enabled = true;
    return 0;
}

static int log_memory(vhu_device *device, const char *what, const vhu_mem_region *region, int r)
{
    if (r == 0)
        vhu__device_log(device, VHU_LOG_DEBUG,
                        "memory %s: 0x%" PRIx64 " bytes at 0x%" PRIx64 ", %zu regions now", what,
                        region->size, region->guest_addr, vhu_memory_count(device->memory));
    return r;
}

static int apply_table(vhu_device *device, const vhu__change *c)
{
    int r = vhu_memory_replace(device->memory, c->regions, c->num_regions, c->handles);

    for (size_t i = 0; i < c->num_regions; i++)
        log_memory(device, "replaced", &c->regions[i], r);
    if (r == 0 && c->placed)
        vhu__device_place(device, c->placed, c->num_regions);
    return r;
}

static int apply_add(vhu_device *device, const vhu__change *c)
{
    int r = vhu_memory_add(device->memory, c->regions, c->handles);

    log_memory(device, "added", c->regions, r);
    if (r == 0 && c->placed)
        vhu__device_place(device, c->placed, 1);
    return r;
}

static int apply_remove(vhu_device *device, const vhu__change *c)
{
    int r = vhu_memory_remove(device->memory, c->regions);

    return log_memory(device, "removed", c->regions, r);
}

static int apply_inband(vhu_device *device, const vhu__change *c)
{
    device->inband = c->value != 0;
    for (uint32_t i = 0; !device->inband && i < device->options.num_rings; i++)
        atomic_store_explicit(&device->rings[i].unsaid, 0, memory_order_relaxed);
    return 0;
}

static int apply_num(vhu_device *device, const vhu__change *c)
{
    device->rings[c->first].num = (uint32_t)c->value;
    return 0;
}

static int apply_addr(vhu_device *device, const vhu__change *c)
{
    device->rings[c->first].addr = *c->addr;
    device->rings[c->first].has_addr = true;
    return 0;
}

static int apply_base(vhu_device *device, const vhu__change *c)
{
    device->rings[c->first].base = (uint32_t)c->value;
    return 0;
}

static int apply_endian(vhu_device *device, const vhu__change *c)
{
    device->rings[c->first].big_endian = c->value != 0;
    return 0;
}

static int apply_kick(vhu_device *device, const vhu__change *c)
{
    vhu_ring *ring = &device->rings[c->first];
    vhu_event *kick = NULL;
    vhu_event *before = ring->kick;
    bool was_started = ring->started;
    int r = 0;

    if (*c->handles != VHU_NO_HANDLE)
        r = vhu_event_adopt_wait(&kick, c->handles);
    if (r < 0)
        return r;
    ring->kick = kick;
    ring->started = true;
    r = vhu__ring_start(ring);
    if (r < 0) {
        ring->kick = before;
        ring->started = was_started;
        before = kick;
    }
    vhu_event_free(before);
    return r;
}

static int apply_enable(vhu_device *device, const vhu__change *c)
{
    vhu_ring *ring = &device->rings[c->first];
    bool before = ring->enabled;
    int r;

    ring->enabled = c->value != 0;
    r = vhu__ring_start(ring);
    if (r < 0)
        ring->enabled = before;
    return r;
}

static int apply_get_base(vhu_device *device, const vhu__change *c)
{
    vhu_ring *ring = &device->rings[c->first];

    ring->started = false;
    vhu_event_free(ring->kick);
    ring->kick = NULL;
    vhu__ring_end_wait(ring);
    vhu__inflight_end(device->inflight, c->first);
    *c->base = ring->base;
    return 0;
}

static int apply_reset_owner(vhu_device *device, const vhu__change *c)
{
    for (uint32_t i = c->first; i < c->count; i++)
        device->rings[i].enabled = false;
    return 0;
}

static int apply_inflight(vhu_device *device, const vhu__change *c)
{
    vhu__inflight *inflight = NULL;
    int r = vhu__inflight_open(&inflight, c->inflight, is_packed(device), c->handles);

    /* Else it is not known whose records they are. */
    if (r == 0 && knows_driver(device))
        r = vhu__inflight_check(inflight);
    if (r < 0) {
        vhu__device_log(device, VHU_LOG_ERROR, "in-flight area of %s rings is refused: %s",
                        is_packed(device) ? "packed" : "split", vhu_strerror(r));
        vhu__inflight_close(inflight);
        return r;
    }
    vhu__inflight_close(device->inflight);
    device->inflight = inflight;
    return 0;
}

static int apply_reset_device(vhu_device *device, const vhu__change *c)
{
    for (uint32_t i = c->first; i < c->count; i++)
        vhu__ring_reset(&device->rings[i]);
    vhu__inflight_clear(device->inflight);
    vhu__iotlb_clear(device->iotlb);
    device->features = 0;
    vhu__inflight_choose(device->inflight, is_packed(device));
    device->status = 0;
    if (device->ops.reset)
        device->ops.reset(device->self);
    return 0;
}

/* --- vhu_backend_ops --- */

static int change_all(vhu_device *device, vhu__change c)
{
    c.count = device->options.num_rings;
    return vhu__device_submit(device, &c);
}

static int change_ring(vhu_device *device, uint32_t ring, vhu__change c)
{
    c.first = ring;
    c.count = 1;
    return vhu__device_submit(device, &c);
}

/* What the channel carries with handles is host notifiers and pieces of shared memory. */
static int get_protocol_features(void *self, uint64_t *features)
{
    const uint64_t by_channel = VHU_BIT(VHU_PF_HOST_NOTIFIER) |
                                VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS) | VHU_BIT(VHU_PF_SHMEM) |
                                VHU_BIT(VHU_PF_SHARED_OBJECT);
    const vhu_device *device = self;

    *features &= ~device->options.withhold;
    if (!(*features & VHU_BIT(VHU_PF_BACKEND_REQ)))
        *features &= ~by_channel;
    if (!device->options.host_notifiers)
        *features &= ~VHU_BIT(VHU_PF_HOST_NOTIFIER);
    if (!(*features & (VHU_BIT(VHU_PF_HOST_NOTIFIER) | VHU_BIT(VHU_PF_SHMEM))))
        *features &= ~VHU_BIT(VHU_PF_BACKEND_SEND_FD);
    return 0;
}

/* A front-end that has it may still give events to some of its rings. */
static int set_protocol_features(void *self, uint64_t features)
{
    vhu_device *device = self;
    bool inband = (features & VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS)) != 0;

    if (inband == device->inband)
        return 0;
    return change_all(device, (vhu__change){.apply = apply_inband, .value = inband});
}

static int get_features(void *self, uint64_t *features)
{
    const vhu_device *device = self;

    *features = device->options.features | VHU_QUEUE_FEATURES | VHU_BIT(VHU_F_LOG_ALL);
    return 0;
}

static int set_features(void *self, uint64_t features)
{
    return change_all(self, (vhu__change){.apply = apply_features, .value = features});
}

static int reset_owner(void *self)
{
    return change_all(self, (vhu__change){.apply = apply_reset_owner});
}

static int reset_device(void *self)
{
    return change_all(self, (vhu__change){.apply = apply_reset_device});
}

/* In postcopy the front-end is told where its memory is. */
static vhu_mem_region *placed(const vhu_device *device, vhu_mem_region *regions)
{
    return atomic_load_explicit(&device->postcopy.listening, memory_order_relaxed) ? regions : NULL;
}

/* A change with what others have. To be sealed first, so that its length is checked for good. */
static int change_shared(vhu_device *device, vhu__change c, size_t num_handles)
{
    for (size_t i = 0; device->options.sealed_memory && i < num_handles; i++) {
        if (vhu_shm_seal(c.handles[i]))
            continue;
        vhu__device_log(device, VHU_LOG_ERROR,
                        "memory that is not sealed is refused: its owner could cut it short");
        return VHU_EPERM;
    }
    return change_all(device, c);
}

static int set_mem_table(void *self, vhu_mem_region *regions, size_t n, vhu_handle *handles)
{
    return change_shared(self,
                         (vhu__change){.apply = apply_table,
                                       .regions = regions,
                                       .num_regions = n,
                                       .handles = handles,
                                       .placed = placed(self, regions)},
                         n);
}

static int add_mem_reg(void *self, vhu_mem_region *region, vhu_handle *handle)
{
    return change_shared(self,
                         (vhu__change){.apply = apply_add,
                                       .regions = region,
                                       .handles = handle,
                                       .placed = placed(self, region)},
                         1);
}

static int rem_mem_reg(void *self, const vhu_mem_region *region)
{
    return change_all(self, (vhu__change){.apply = apply_remove, .regions = region});
}

/* An address would be of use within one process alone. */
static int set_log_base(void *self, const vhu_log_area *area, vhu_handle *handle)
{
    if (*handle == VHU_NO_HANDLE)
        return VHU_ENOSYS;
    return change_shared(
        self, (vhu__change){.apply = vhu__log_set_area, .log = area, .handles = handle}, 1);
}

static int set_log_fd(void *self, vhu_handle *handle)
{
    return change_all(self, (vhu__change){.apply = vhu__log_set_event, .handles = handle});
}

static int get_max_mem_slots(void *self, uint64_t *slots)
{
    (void)self;
    *slots = VHU_MAX_MEM_SLOTS;
    return 0;
}

static int get_queue_num(void *self, uint64_t *num)
{
    *num = ((const vhu_device *)self)->options.num_rings;
    return 0;
}

static int set_vring_num(void *self, uint32_t ring, uint32_t num)
{
    if (!is_packed(self) && !vhu__is_power_of_2(num))
        return VHU_EINVAL;
    return change_ring(self, ring, (vhu__change){.apply = apply_num, .value = num});
}

static int set_vring_addr(void *self, uint32_t ring, const vhu_vring_addr *addr)
{
    return change_ring(self, ring, (vhu__change){.apply = apply_addr, .addr = addr});
}

static int set_vring_base(void *self, uint32_t ring, uint32_t base)
{
    if (!is_packed(self) && base > UINT16_MAX)
        return VHU_EINVAL;
    return change_ring(self, ring, (vhu__change){.apply = apply_base, .value = base});
}

static int set_vring_endian(void *self, uint32_t ring, bool big_endian)
{
    return change_ring(self, ring, (vhu__change){.apply = apply_endian, .value = big_endian});
}

static int get_vring_base(void *self, uint32_t ring, uint32_t *base)
{
    return change_ring(self, ring, (vhu__change){.apply = apply_get_base, .base = base});
}

static int set_vring_event(void *self, uint32_t ring, vhu_vring_event which, vhu_handle *handle)
{
    vhu_device *device = self;
    vhu_event *event = NULL;
    int r = 0;

    /* Without one the ring would have to be polled for ever. */
    if (which == VHU_VRING_KICK && *handle == VHU_NO_HANDLE && !device->inband)
        return VHU_ENOSYS;
    if (which == VHU_VRING_KICK)
        return change_ring(device, ring, (vhu__change){.apply = apply_kick, .handles = handle});
    if (*handle != VHU_NO_HANDLE)
        r = vhu_event_adopt_signal(&event, handle);
    if (r == 0)
        vhu__ring_set_event(&device->rings[ring], which, event);
    return r;
}

static int set_vring_enable(void *self, uint32_t ring, bool enable)
{
    return change_ring(self, ring, (vhu__change){.apply = apply_enable, .value = enable});
}

/* Unless somebody wants an answer nobody waits on this connection, so nothing may come. */
static int set_backend_channel(void *self, vhu_conn **channel)
{
    vhu_device *device = self;
    const vhu_frontend_client_options options = {
        .size = sizeof(options), .done = vhu__device_answered, .arg = device};
    vhu_frontend_client *client;
    int r = vhu_frontend_client_new(&client, channel, &options);

    if (r < 0)
        return r;
    vhu_frontend_client_set_ack(client, false);
    vhu__device_close_channel(device);
    device->channel = client;
    vhu__device_ask_again(device);
    vhu__device_channel_turn(device);
    return 0;
}

static int check_area(const vhu_device *device, const vhu_inflight_area *area)
{
    return area->num_queues <= device->options.num_rings ? 0 : VHU_EINVAL;
}

/* It is in use when the front-end gives it back; by which rings is not known without a driver. */
static int get_inflight_fd(void *self, vhu_inflight_area *area, vhu_handle *handle)
{
    const vhu_device *device = self;
    int r = check_area(device, area);

    return r == 0 ? vhu__inflight_create(area, is_packed(device) || !knows_driver(device), handle)
                  : r;
}

static int set_inflight_fd(void *self, const vhu_inflight_area *area, vhu_handle *handle)
{
    int r = check_area(self, area);

    if (r < 0)
        return r;
    return change_shared(
        self, (vhu__change){.apply = apply_inflight, .inflight = area, .handles = handle}, 1);
}

const vhu_backend_ops vhu__device_ops = {
    .size = sizeof(vhu__device_ops),
    .get_features = get_features,
    .set_features = set_features,
    .reset_owner = reset_owner,
    .set_mem_table = set_mem_table,
    .set_log_base = set_log_base,
    .set_log_fd = set_log_fd,
    .set_vring_num = set_vring_num,
    .set_vring_addr = set_vring_addr,
    .set_vring_base = set_vring_base,
    .get_vring_base = get_vring_base,
    .set_vring_event = set_vring_event,
    .get_protocol_features = get_protocol_features,
    .set_protocol_features = set_protocol_features,
    .get_queue_num = get_queue_num,
    .set_vring_enable = set_vring_enable,
    .set_backend_channel = set_backend_channel,
    .iotlb_msg = vhu__device_iotlb_msg,
    .set_vring_endian = set_vring_endian,
    .postcopy_advise = vhu__device_postcopy_advise,
    .postcopy_listen = vhu__device_postcopy_listen,
    .postcopy_mapped = vhu__device_postcopy_mapped,
    .postcopy_end = vhu__device_postcopy_end,
    .get_inflight_fd = get_inflight_fd,
    .set_inflight_fd = set_inflight_fd,
    .reset_device = reset_device,
    .vring_kick = vhu__device_vring_kick,
    .get_max_mem_slots = get_max_mem_slots,
    .add_mem_reg = add_mem_reg,
    .rem_mem_reg = rem_mem_reg,
    .set_device_state_fd = vhu__device_set_state_fd,
    .check_device_state = vhu__device_check_state,
    .get_shared_object = vhu__device_get_shared_object,
    .get_shmem_config = vhu__device_get_shmem_config,
};
