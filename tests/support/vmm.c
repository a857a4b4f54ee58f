/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/vmm.h"

#include <string.h>
#include <vmm_vhost/listener.h>

#include "support/sys.h"

enum { TRIES = 3000, PAUSE_MS = 20, PATIENCE_MS = 60000, VMM_ADDR = 4096, RING_BYTES = 4096 };

#define SLOTS_BYTES (VMM_SLOTS * VMM_SLOT)

void vmm_connect(vhu_remote *remote, const char *address)
{
    int r = VHU_ENOENT;

    for (int i = 0; i < TRIES && r < 0; i++) {
        r = vhu_remote_connect(remote, address);
        if (r != VHU_ENOENT && r != VHU_ECONNREFUSED && r != VHU_EAGAIN)
            break;
        sys_sleep_ms(PAUSE_MS);
    }
    assert_int_equal(r, 0);
}

/* All rings, one behind the other; then all of their slots. */
static void make_ring(vmm *v, uint32_t ring)
{
    vhu_driver_ring_config config = {.size = sizeof(config), .layout.num = VMM_SLOTS};
    const uint64_t addr = VMM_ADDR + ring * RING_BYTES;

    assert_true(vhu_driver_ring_place(&config, addr) <= addr + RING_BYTES);
    config.memory = vhu_remote_memory(v->remote);
    config.features = vhu_remote_features(v->remote);
    assert_int_equal(vhu_driver_ring_new(&v->rings[ring], &config), 0);
    assert_int_equal(vhu_remote_set_ring(v->remote, ring, vhu_driver_ring_layout(v->rings[ring]),
                                         vhu_driver_ring_base(v->rings[ring])),
                     0);
}

static uint64_t slot_addr(const vmm *v, uint32_t ring, uint32_t slot)
{
    return VMM_ADDR + v->num_rings * RING_BYTES + ring * SLOTS_BYTES + slot * VMM_SLOT;
}

static uint8_t *slot_bytes(const vmm *v, uint32_t ring, uint32_t slot)
{
    return vhu_memory_at(vhu_remote_memory(v->remote), slot_addr(v, ring, slot), VMM_SLOT);
}

void vmm_open(vmm *v, const char *address, uint32_t num_rings, uint64_t features)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = num_rings, .features = features};
    vhu_mem_region region = {.guest_addr = VMM_ADDR,
                             .size = (uint64_t)num_rings * (RING_BYTES + SLOTS_BYTES)};

    assert_true(num_rings <= VMM_RINGS);
    *v = (vmm){.num_rings = num_rings};
    assert_int_equal(vhu_remote_new(&v->remote, &options), 0);
    assert_int_equal(vhu_shm_new(&v->memory, region.size), 0);
    region.user_addr = (uintptr_t)vhu_shm_base(v->memory);
    vmm_connect(v->remote, address);
    assert_int_equal(vhu_remote_add_memory(v->remote, &region, vhu_shm_handle(v->memory)), 0);
    for (uint32_t i = 0; i < num_rings; i++)
        make_ring(v, i);
    assert_int_equal(vhu_remote_start(v->remote), 0);
}

void vmm_close(vmm *v)
{
    assert_int_equal(vhu_remote_stop(v->remote), 0);
    for (uint32_t i = 0; i < v->num_rings; i++) {
        if (vhu_driver_ring_in_use(v->rings[i]) == 0)
            assert_int_equal(vhu_remote_ring_base(v->remote, i), vhu_driver_ring_base(v->rings[i]));
        vhu_driver_ring_free(v->rings[i]);
    }
    vhu_remote_free(v->remote);
    vhu_shm_free(v->memory);
}

void vmm_add(vmm *v, uint32_t ring, const void *bytes, uint32_t len, uint32_t room)
{
    const uint32_t slot = v->next[ring]++ % VMM_SLOTS;
    const uint64_t addr = slot_addr(v, ring, slot);
    const vhu_guest_buf bufs[] = {{addr, len}, {addr + len, room}};
    uint8_t *data = slot_bytes(v, ring, slot);

    assert_true(len + room <= VMM_SLOT);
    memset(data, 0, VMM_SLOT);
    if (len > 0)
        memcpy(data, bytes, len);
    assert_int_equal(
        vhu_driver_ring_add(v->rings[ring], &bufs[len > 0 ? 0 : 1], len > 0, room > 0, data + len),
        0);
    if (vhu_driver_ring_publish(v->rings[ring]))
        vhu_event_signal(vhu_remote_event(v->remote, ring, VHU_VRING_KICK));
}

const uint8_t *vmm_take(vmm *v, uint32_t ring, uint32_t *len)
{
    vhu_event *call = vhu_remote_event(v->remote, ring, VHU_VRING_CALL);
    vhu_driver_used used;

    while (!vhu_driver_ring_enable_calls(v->rings[ring])) {
        assert_int_equal(vhu_event_wait(call, PATIENCE_MS), 0);
        vhu_event_clear(call);
    }
    assert_int_equal(vhu_driver_ring_collect(v->rings[ring], &used, 1), 1);
    assert_true(used.len <= VMM_SLOT);
    *len = (uint32_t)used.len;
    return used.token;
}
