/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/queue_rig.h"

#include <stdlib.h>
#include <string.h>

#include "endian.h"

rig *rig_new_at(uint32_t num, uint64_t features, uint16_t index)
{
    rig *r = calloc(1, sizeof(*r));

    assert_non_null(r);
    assert_int_equal(driver_memory_init(&r->memory, REGION_SIZE, 2, 0), 0);
    assert_int_equal(driver_ring_init(&r->ring, &r->memory, DRIVER_GUEST_BASE, num, features), 0);
    driver_ring_set_index(&r->ring, index);
    r->data = DRIVER_GUEST_BASE + REGION_SIZE / 2;
    assert_int_equal(vhu_memory_new(&r->device), 0);
    assert_int_equal(driver_memory_share(&r->memory, r->device), 0);
    assert_int_equal(vhu_queue_new(&r->queue), 0);
    r->config = (vhu_queue_config){.size = sizeof(r->config),
                                   .memory = r->device,
                                   .features = features | VHU_BIT(VHU_F_VERSION_1),
                                   .num = num,
                                   .base = driver_ring_base(&r->ring),
                                   .addr = driver_ring_addr(&r->ring)};
    for (uint32_t i = 0; i < CHAINS; i++) {
        r->chains[i].bufs = r->bufs[i];
        r->chains[i].capacity = CAPACITY;
    }
    assert_int_equal(vhu_queue_start(r->queue, &r->config), 0);
    return r;
}

rig *rig_new(uint32_t num, uint64_t features)
{
    bool packed = (features & VHU_BIT(VHU_F_RING_PACKED)) != 0;

    return rig_new_at(num, features, (uint16_t)(packed ? VHU__POS_START : 0));
}

void rig_free(rig *r)
{
    vhu_queue_free(r->queue);
    vhu_memory_free(r->device);
    driver_memory_destroy(&r->memory);
    free(r);
}

void *device_at(const rig *r, uint64_t guest_addr)
{
    return vhu_memory_at(r->device, guest_addr, 1);
}

uint16_t add_request(rig *r, bool indirect)
{
    const driver_buf bufs[] = {
        {r->data, 16, false}, {r->data + 4096, 512, true}, {r->data + 8192, 1, true}};
    int head =
        indirect ? driver_ring_add_indirect(&r->ring, bufs, 3) : driver_ring_add(&r->ring, bufs, 3);

    assert_true(head >= 0);
    return (uint16_t)head;
}

int take(rig *r, uint32_t n)
{
    return vhu_queue_take(r->queue, r->chains, n);
}

void check_request(const rig *r, const vhu_chain *chain, uint16_t head)
{
    assert_int_equal(chain->head, head);
    assert_int_equal(chain->num_readable, 1);
    assert_int_equal(chain->num_writable, 2);
    assert_int_equal(chain->readable_len, 16);
    assert_int_equal(chain->writable_len, 513);
    assert_int_equal(chain->written, 0);
    assert_ptr_equal(chain->bufs[0].base, device_at(r, r->data));
    assert_int_equal(chain->bufs[0].len, 16);
    assert_ptr_equal(chain->bufs[1].base, device_at(r, r->data + 4096));
    assert_int_equal(chain->bufs[1].len, 512);
    assert_ptr_equal(chain->bufs[2].base, device_at(r, r->data + 8192));
    assert_int_equal(chain->bufs[2].len, 1);
}

vhu__desc *desc_of(rig *r, uint16_t head, unsigned i)
{
    const vhu__desc *first = &r->ring.desc[head];

    if (vhu__le16(first->flags) & VHU__DESC_INDIRECT)
        return (vhu__desc *)driver_memory_at(&r->memory, vhu__le64(first->addr)) + i;
    while (i-- > 0)
        head = vhu__le16(r->ring.desc[head].next);
    return &r->ring.desc[head];
}

void assert_broken(rig *r, const char *text)
{
    const driver_ring *ring = &r->ring;
    const uint16_t *used =
        ring->is_packed ? &ring->packed[ring->used_idx & VHU__POS_IDX].flags : &ring->used->idx;
    const uint16_t *no_kick = ring->is_packed ? &ring->device_event->flags : &ring->used->flags;
    uint16_t used_before = *used;

    if (!strstr(vhu_queue_error(r->queue), text))
        fail_msg("\"%s\" does not tell \"%s\"", vhu_queue_error(r->queue), text);
    for (int i = 0; i < 2; i++)
        assert_int_equal(take(r, CHAINS), VHU_EBROKEN_RING);
    assert_true(vhu_queue_is_running(r->queue));
    assert_false(vhu_queue_has_avail(r->queue));
    assert_false(vhu_queue_needs_call(r->queue));
    assert_false(vhu_queue_enable_kicks(r->queue));
    vhu_queue_disable_kicks(r->queue);
    vhu_queue_complete(r->queue, r->chains, 1);
    assert_int_equal(*used, used_before);
    assert_int_equal(*no_kick, 0);
}

void fault_capacity(rig *r, uint16_t head)
{
    (void)head;
    r->chains[0].capacity = 2;
}

void fault_no_capacity(rig *r, uint16_t head)
{
    (void)head;
    r->chains[0].capacity = 0;
}

void check_faults(const struct fault *faults, size_t num)
{
    for (size_t i = 0; i < num; i++) {
        rig *r = rig_new(16, faults[i].features);
        uint16_t head = add_request(r, faults[i].how == INDIRECT);

        faults[i].apply(r, head);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
        assert_broken(r, faults[i].text);
        assert_int_equal(vhu_queue_base(r->queue), r->config.base);
        assert_int_equal(vhu_queue_in_use(r->queue), 0);
        rig_free(r);
    }
}
