/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_driver_fixture.h"

#include <string.h>

void rig_start_queue(rig *r, uint32_t base)
{
    const vhu_ring_layout *l = vhu_driver_ring_layout(r->driver);
    const vhu_queue_config config = {.size = sizeof(config),
                                     .memory = r->memory,
                                     .features = r->config.features,
                                     .num = l->num,
                                     .base = base,
                                     .addr = {.desc = l->desc, .avail = l->avail, .used = l->used},
                                     .big_endian = l->big_endian};

    assert_int_equal(vhu_queue_start(r->queue, &config), 0);
}

void rig_open_guest(rig *r, bool big_endian, uint64_t features, uint32_t num, uint32_t table_len)
{
    const vhu_mem_region region = {.guest_addr = BASE, .size = SIZE, .user_addr = BASE};

    memset(r, 0, sizeof(*r));
    assert_int_equal(vhu_shm_new(&r->shm, SIZE), 0);
    memset(vhu_shm_base(r->shm), 0xa5, SIZE);
    assert_int_equal(vhu_memory_new(&r->memory), 0);
    assert_int_equal(vhu_memory_add_local(r->memory, &region, vhu_shm_base(r->shm)), 0);
    r->config = (vhu_driver_ring_config){.size = sizeof(r->config),
                                         .memory = r->memory,
                                         .features = features,
                                         .layout = {.num = num, .big_endian = big_endian},
                                         .table_len = table_len};
    r->data = (vhu_driver_ring_place(&r->config, BASE) + 4095) & ~UINT64_C(4095);
    assert_int_equal(vhu_driver_ring_new(&r->driver, &r->config), 0);
    assert_int_equal(vhu_queue_new(&r->queue), 0);
    rig_start_queue(r, vhu_driver_ring_base(r->driver));
}

void rig_open(rig *r, uint64_t features, uint32_t num, uint32_t table_len)
{
    rig_open_guest(r, false, features, num, table_len);
}

void rig_close(rig *r)
{
    vhu_queue_free(r->queue);
    vhu_driver_ring_free(r->driver);
    vhu_memory_free(r->memory);
    vhu_shm_free(r->shm);
}

int rig_add(rig *r, uint32_t i)
{
    const vhu_guest_buf bufs[] = {{r->data + i * 16, 8}, {r->data + i * 16 + 8, 8}};

    return vhu_driver_ring_add(r->driver, bufs, 1, 1, (void *)(uintptr_t)(i + 1));
}

uint32_t rig_collect(rig *r)
{
    vhu_driver_used used;

    assert_int_equal(vhu_driver_ring_collect(r->driver, &used, 1), 1);
    return (uint32_t)(uintptr_t)used.token - 1;
}

uint32_t rig_take(rig *r, vhu_chain *chains, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        chains[i] = (vhu_chain){.bufs = r->bufs, .capacity = MAX_BUFS};
    return (uint32_t)vhu_queue_take(r->queue, chains, n);
}
