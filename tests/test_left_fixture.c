/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_left_fixture.h"

#include "endian.h"

bool is_packed(const kit *k)
{
    return (k->front.features & PACKED) != 0;
}

static void get_area_of(kit *k, shared_area *a, size_t bytes)
{
    void *base;

    a->area = (vhu_inflight_area){.num_queues = 2, .queue_size = RING_SIZE};
    frontend_get_area(&k->front, &a->area, &a->handle);
    assert_int_not_equal(a->handle, VHU_NO_HANDLE);
    assert_int_equal(a->area.mmap_size, 2 * bytes);
    assert_int_equal(
        os_map_shared(&a->map, a->handle, a->area.mmap_offset, a->area.mmap_size, &base), 0);
    a->rings = base;
    a->packed = base;
    a->is_packed = is_packed(k);
}

void get_area(kit *k, shared_area *a)
{
    get_area_of(k, a, is_packed(k) ? sizeof(left_packed) : sizeof(left_region));
}

void close_area(shared_area *a)
{
    os_unmap(&a->map);
    vhu_handle_close(&a->handle);
}

/* --- as if a device had taken the first `n` requests of ring 0 and had come no further --- */

static void leave_split(kit *k, shared_area *a, uint32_t n)
{
    left_region *r = &a->rings[0];

    r->version = 1;
    r->num = RING_SIZE;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t head = vhu__le16(k->front.rings[0].driver.avail->ring[i]);

        r->entries[head].out = 1;
        r->entries[head].counter = 100 + i;
    }
}

/* One request's descriptors from `at` on. How many. */
static uint16_t leave_request(kit *k, left_packed *r, uint16_t at, uint64_t counter)
{
    const vhu__packed_desc *desc = k->front.rings[0].driver.packed;
    left_packed_entry *first = &r->entries[at];

    first->out = 1;
    first->counter = counter;
    for (uint16_t i = at;; i++) {
        r->entries[i].id = vhu__le16(desc[i].id);
        r->entries[i].flags = vhu__le16(desc[i].flags);
        r->entries[i].len = vhu__le32(desc[i].len);
        r->entries[i].addr = vhu__le64(desc[i].addr);
        first->last = i;
        first->num++;
        if (!(r->entries[i].flags & VHU__DESC_NEXT))
            return first->num;
    }
}

static void leave_packed(kit *k, shared_area *a, uint32_t n)
{
    left_packed *r = &a->packed[0];
    uint16_t at = 0;

    r->version = 1;
    r->num = RING_SIZE;
    r->used_wrap = r->old_used_wrap = 1;
    for (uint16_t i = 0; i < RING_SIZE; i++)
        r->entries[i].next = (uint16_t)(i + 1);
    for (uint32_t i = 0; i < n; i++)
        at = (uint16_t)(at + leave_request(k, r, at, 100 + i));
    r->free_head = r->old_free_head = at;
}

uint32_t count_out(const shared_area *a)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < RING_SIZE; i++)
        n += a->is_packed ? a->packed[0].entries[i].out : a->rings[0].entries[i].out;
    return n;
}

void expect_used(const kit *k, const shared_area *a, uint32_t ring, uint32_t n)
{
    const left_packed *r = &a->packed[ring];

    if (a->is_packed)
        assert_int_equal(r->used_idx | r->used_wrap << 15, k->front.rings[ring].driver.used_idx);
    else
        assert_int_equal(a->rings[ring].used_idx, n);
}

uint32_t base_after(const kit *k, uint32_t ring, uint32_t n)
{
    return is_packed(k) ? driver_ring_base(&k->front.rings[ring].driver) : n;
}

/* Ring 0 is full of what another device has taken. */
static void leave(kit *k, shared_area *a)
{
    frontend *f = &k->front;

    assert_int_equal(frontend_submit(&f->rings[0], LEFT + 2), LEFT + 2);
    if (a->is_packed)
        leave_packed(k, a, LEFT);
    else
        leave_split(k, a, LEFT);
    assert_int_equal(frontend_set_area(f, &a->area, a->handle), 0);
    frontend_signalled(f->rings[0].call);
}

kit *open_left(const kit_options *options, shared_area *a)
{
    kit *k = kit_new(options);

    frontend_handshake(&k->front, PROTOCOL);
    frontend_share(&k->front, k->front.memory.num_regions);
    get_area(k, a);
    leave(k, a);
    return k;
}

kit *open_left_early(const kit_options *options, shared_area *a, uint64_t features)
{
    kit *k = kit_new(options);

    frontend_handshake(&k->front, PROTOCOL);
    if (features != 0)
        assert_int_equal(frontend_set(&k->front, VHU_REQ_SET_FEATURES, features), 0);
    get_area_of(k, a, sizeof(left_packed));
    leave(k, a);
    frontend_share(&k->front, k->front.memory.num_regions);
    return k;
}

void close_left(kit *k, shared_area *a)
{
    kit_free(k);
    close_area(a);
}
