/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a split ring. */
#include "atomic.h"
#include "driver_ring_internal.h"
#include "endian.h"

static int split_start(vhu_driver_ring *ring, void *const *parts)
{
    vhu__used *used = parts[2];

    ring->desc = parts[0];
    ring->avail = parts[1];
    ring->used = used;
    ring->used_event = &ring->avail->ring[ring->layout.num];
    ring->avail_event = (const uint16_t *)(const void *)&used->ring[ring->layout.num];
    return 0;
}

static vhu__desc table_desc(const vhu_guest_buf *buf, unsigned flags, uint32_t next)
{
    return (vhu__desc){.addr = vhu__le64(buf->addr),
                       .len = vhu__le32((uint32_t)buf->len),
                       .flags = vhu__le16((uint16_t)flags),
                       .next = vhu__le16((uint16_t)(flags & VHU__DESC_NEXT ? next : 0))};
}

static void set(vhu_driver_ring *ring, uint16_t slot, const vhu_guest_buf *buf, unsigned flags,
                uint16_t next)
{
    ring->desc[slot] = table_desc(buf, flags, next);
}

static void offer(vhu_driver_ring *ring, uint16_t head)
{
    uint16_t *entry = &ring->avail->ring[ring->avail_idx++ & (ring->layout.num - 1)];

    vhu__store_relaxed_u16(entry, vhu__le16(head));
}

static bool publish(vhu_driver_ring *ring)
{
    uint16_t old = ring->published;
    uint16_t new = ring->avail_idx;

    ring->published = new;
    vhu__store_release_u16(&ring->avail->idx, vhu__le16(new));
    vhu__full_fence();
    if (ring->event_idx) {
        uint16_t event = vhu__le16(vhu__load_relaxed_u16(ring->avail_event));

        return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
    }
    return !(vhu__le16(vhu__load_relaxed_u16(&ring->used->flags)) & VHU__USED_NO_KICK);
}

/* How many used entries there are, or that the device tells nonsense. */
static int count_used(vhu_driver_ring *ring)
{
    uint16_t n = (uint16_t)(ring->seen - ring->used_idx);

    if (n > 0)
        return n;
    ring->seen = vhu__le16(vhu__load_acquire_u16(&ring->used->idx));
    n = (uint16_t)(ring->seen - ring->used_idx);
    if (n > ring->in_use)
        return vhu__driver_break(ring, "used index is %u ahead, with %u requests in use", n,
                                 ring->in_use);
    return n;
}

static int look(vhu_driver_ring *ring, uint32_t *id, uint32_t *len)
{
    const volatile vhu__used_elem *elem =
        &ring->used->ring[ring->used_idx & (ring->layout.num - 1)];
    int n = count_used(ring);

    if (n <= 0)
        return n;
    *id = vhu__le32(elem->id);
    *len = vhu__le32(elem->len);
    return 1;
}

static void pass(vhu_driver_ring *ring, uint32_t count)
{
    (void)count;
    ring->used_idx++;
}

static bool more(vhu_driver_ring *ring)
{
    return ring->used_idx != ring->seen;
}

static void enable_calls(vhu_driver_ring *ring, bool enable)
{
    /* Disabled: as far away as can be. */
    uint16_t event = enable ? ring->used_idx : (uint16_t)(ring->used_idx - 1);

    if (ring->event_idx)
        vhu__store_relaxed_u16(ring->used_event, vhu__le16(event));
    else
        vhu__store_relaxed_u16(&ring->avail->flags, vhu__le16(enable ? 0 : VHU__AVAIL_NO_CALL));
}

static bool has_used(vhu_driver_ring *ring)
{
    return vhu__load_acquire_u16(&ring->used->idx) != vhu__le16(ring->used_idx);
}

static void rewind_to_used(vhu_driver_ring *ring)
{
    ring->avail_idx = ring->published = ring->used_idx;
}

static uint32_t base(const vhu_driver_ring *ring)
{
    return ring->used_idx;
}

const vhu__driver_layout vhu__driver_split = {
    .bytes = {vhu__desc_bytes, vhu__avail_bytes, vhu__used_bytes},
    .align = {16, 2, 4},
    .start = split_start,
    .set = set,
    .table_desc = table_desc,
    .offer = offer,
    .publish = publish,
    .look = look,
    .pass = pass,
    .more = more,
    .enable_calls = enable_calls,
    .has_used = has_used,
    .rewind = rewind_to_used,
    .base = base,
};
