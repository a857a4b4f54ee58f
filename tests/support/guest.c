/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/guest.h"

#include <string.h>
#include <vmm_vhost/listener.h>

#include "support/sys.h"

enum { TRIES = 3000, PAUSE_MS = 20, PATIENCE_MS = 60000, GUEST_ADDR = 4096, RING_BYTES = 4096 };

#define SLOTS_BYTES (GUEST_SLOTS * GUEST_SLOT)

void guest_connect(vhu_remote *remote, const char *address)
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
static void make_ring(guest *g, uint32_t ring)
{
    vhu_driver_ring_config config = {.size = sizeof(config), .layout.num = GUEST_SLOTS};
    const uint64_t addr = GUEST_ADDR + ring * RING_BYTES;

    assert_true(vhu_driver_ring_place(&config, addr) <= addr + RING_BYTES);
    config.memory = vhu_remote_memory(g->remote);
    config.features = vhu_remote_features(g->remote);
    assert_int_equal(vhu_driver_ring_new(&g->rings[ring], &config), 0);
    assert_int_equal(vhu_remote_set_ring(g->remote, ring, vhu_driver_ring_layout(g->rings[ring]),
                                         vhu_driver_ring_base(g->rings[ring])),
                     0);
}

static uint64_t slot_addr(const guest *g, uint32_t ring, uint32_t slot)
{
    return GUEST_ADDR + g->num_rings * RING_BYTES + ring * SLOTS_BYTES + slot * GUEST_SLOT;
}

static uint8_t *slot_bytes(const guest *g, uint32_t ring, uint32_t slot)
{
    return vhu_memory_at(vhu_remote_memory(g->remote), slot_addr(g, ring, slot), GUEST_SLOT);
}

void guest_open(guest *g, const char *address, uint32_t num_rings, uint64_t features)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = num_rings, .features = features};
    vhu_mem_region region = {.guest_addr = GUEST_ADDR,
                             .size = (uint64_t)num_rings * (RING_BYTES + SLOTS_BYTES)};

    assert_true(num_rings <= GUEST_RINGS);
    *g = (guest){.num_rings = num_rings};
    assert_int_equal(vhu_remote_new(&g->remote, &options), 0);
    assert_int_equal(vhu_shm_new(&g->memory, region.size), 0);
    region.user_addr = (uintptr_t)vhu_shm_base(g->memory);
    guest_connect(g->remote, address);
    assert_int_equal(vhu_remote_add_memory(g->remote, &region, vhu_shm_handle(g->memory)), 0);
    for (uint32_t i = 0; i < num_rings; i++)
        make_ring(g, i);
    assert_int_equal(vhu_remote_start(g->remote), 0);
}

void guest_close(guest *g)
{
    assert_int_equal(vhu_remote_stop(g->remote), 0);
    for (uint32_t i = 0; i < g->num_rings; i++) {
        if (vhu_driver_ring_in_use(g->rings[i]) == 0)
            assert_int_equal(vhu_remote_ring_base(g->remote, i), vhu_driver_ring_base(g->rings[i]));
        vhu_driver_ring_free(g->rings[i]);
    }
    vhu_remote_free(g->remote);
    vhu_shm_free(g->memory);
}

void guest_add(guest *g, uint32_t ring, const void *bytes, uint32_t len, uint32_t room)
{
    const uint32_t slot = g->next[ring]++ % GUEST_SLOTS;
    const uint64_t addr = slot_addr(g, ring, slot);
    const vhu_guest_buf bufs[] = {{addr, len}, {addr + len, room}};
    uint8_t *data = slot_bytes(g, ring, slot);

    assert_true(len + room <= GUEST_SLOT);
    memset(data, 0, GUEST_SLOT);
    if (len > 0)
        memcpy(data, bytes, len);
    assert_int_equal(
        vhu_driver_ring_add(g->rings[ring], &bufs[len > 0 ? 0 : 1], len > 0, room > 0, data + len),
        0);
    if (vhu_driver_ring_publish(g->rings[ring]))
        vhu_event_signal(vhu_remote_event(g->remote, ring, VHU_VRING_KICK));
}

const uint8_t *guest_take(guest *g, uint32_t ring, uint32_t *len)
{
    vhu_event *call = vhu_remote_event(g->remote, ring, VHU_VRING_CALL);
    vhu_driver_used used;

    while (!vhu_driver_ring_enable_calls(g->rings[ring])) {
        assert_int_equal(vhu_event_wait(call, PATIENCE_MS), 0);
        vhu_event_clear(call);
    }
    assert_int_equal(vhu_driver_ring_collect(g->rings[ring], &used, 1), 1);
    assert_true(used.len <= GUEST_SLOT);
    *len = (uint32_t)used.len;
    return used.token;
}
