/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a packed ring. A request's identifier is its first slot. */
#include <stdlib.h>

#include "atomic.h"
#include "driver_ring_internal.h"
#include "endian.h"

static uint64_t event_bytes(uint32_t num)
{
    (void)num;
    return sizeof(vhu__packed_event);
}

static int packed_start(vhu_driver_ring *ring, void *const *parts)
{
    ring->copies = calloc(ring->layout.num, sizeof(*ring->copies));
    if (!ring->copies)
        return VHU_ENOMEM;
    ring->packed = parts[0];
    ring->driver_event = parts[1];
    ring->device_event = parts[2];
    ring->avail_idx = ring->published = ring->used_idx = VHU__POS_START;
    return 0;
}

static void set(vhu_driver_ring *ring, uint16_t slot, const vhu_guest_buf *buf, unsigned flags,
                uint16_t next)
{
    (void)next;
    ring->copies[slot] =
        (vhu__packed_desc){.addr = buf->addr, .len = (uint32_t)buf->len, .flags = (uint16_t)flags};
}

/* The last two members are the identifier and the flags here, and WRITE is the only flag. */
static vhu__desc table_desc(const vhu_guest_buf *buf, unsigned flags, uint32_t next)
{
    (void)next;
    return (vhu__desc){.addr = vhu__le64(buf->addr),
                       .len = vhu__le32((uint32_t)buf->len),
                       .next = vhu__le16((uint16_t)(flags & VHU__DESC_WRITE))};
}

/* The device looks at them in order, so it sees none as long as it does not see the first one. */
static void offer(vhu_driver_ring *ring, uint16_t head)
{
    uint16_t slot = head;

    for (uint32_t i = 0; i < ring->slots[head].count; i++, slot = ring->slots[slot].next) {
        const vhu__packed_desc *from = &ring->copies[slot];
        vhu__packed_desc *to = &ring->packed[ring->avail_idx & VHU__POS_IDX];
        uint16_t flags = vhu__le16((uint16_t)(from->flags | vhu__pos_avail(ring->avail_idx)));

        to->addr = vhu__le64(from->addr);
        to->len = vhu__le32(from->len);
        to->id = vhu__le16(head);
        if (ring->avail_idx == ring->published)
            ring->first_flags = flags;
        else
            vhu__store_relaxed_u16(&to->flags, flags);
        ring->avail_idx = (uint16_t)vhu__pos_add(ring->avail_idx, 1, ring->layout.num);
    }
}

static bool publish(vhu_driver_ring *ring)
{
    uint32_t old = ring->published;
    uint32_t num = ring->layout.num;
    uint32_t wanted;

    vhu__store_release_u16(&ring->packed[old & VHU__POS_IDX].flags, ring->first_flags);
    ring->published = ring->avail_idx;
    vhu__full_fence();
    wanted = vhu__le16(vhu__load_acquire_u16(&ring->device_event->flags)) & VHU__EVENT_MASK;
    if (wanted != VHU__EVENT_DESC || !ring->event_idx)
        return wanted != VHU__EVENT_DISABLE;
    return vhu__pos_passed(vhu__le16(vhu__load_relaxed_u16(&ring->device_event->position)),
                           ring->published, vhu__pos_distance(old, ring->published, num), num);
}

static uint32_t next_flags(const vhu_driver_ring *ring)
{
    const vhu__packed_desc *next = &ring->packed[ring->used_idx & VHU__POS_IDX];

    return vhu__le16(vhu__load_acquire_u16(&next->flags));
}

static bool is_used(const vhu_driver_ring *ring, uint32_t flags)
{
    return (flags & VHU__PACKED_MARKS) == vhu__pos_used(ring->used_idx);
}

/* What is marked with nothing in use is nothing. */
static bool has_used(vhu_driver_ring *ring)
{
    return ring->in_use > 0 && is_used(ring, next_flags(ring));
}

static int look(vhu_driver_ring *ring, uint32_t *id, uint32_t *len)
{
    const volatile vhu__packed_desc *desc = &ring->packed[ring->used_idx & VHU__POS_IDX];
    uint32_t flags = next_flags(ring);

    if (ring->in_use == 0 || !is_used(ring, flags))
        return 0;
    *id = vhu__le16(desc->id);
    *len = vhu__le32(desc->len);
    /* A length without WRITE says nothing: DPDK leaves there what was. But QEMU never sets it. */
    if (!(flags & VHU__DESC_WRITE) && *id<ring->layout.num && * len> ring->slots[*id].writable)
        *len = ring->slots[*id].writable;
    return 1;
}

static void pass(vhu_driver_ring *ring, uint32_t count)
{
    ring->used_idx = (uint16_t)vhu__pos_add(ring->used_idx, count, ring->layout.num);
}

static bool more(vhu_driver_ring *ring)
{
    (void)ring;
    return true;
}

static void enable_calls(vhu_driver_ring *ring, bool enable)
{
    uint16_t wanted = !enable           ? VHU__EVENT_DISABLE
                      : ring->event_idx ? VHU__EVENT_DESC
                                        : VHU__EVENT_ENABLE;

    vhu__store_relaxed_u16(&ring->driver_event->position, vhu__le16(ring->used_idx));
    vhu__store_release_u16(&ring->driver_event->flags, vhu__le16(wanted));
}

/* What else is in the ring must not be taken for available, or used, when it is come to. */
static void rewind_to_used(vhu_driver_ring *ring)
{
    uint32_t pos = ring->used_idx;

    for (uint32_t i = 0; i < ring->layout.num; i++) {
        ring->packed[pos & VHU__POS_IDX].flags =
            vhu__le16((uint16_t)vhu__pos_used(pos ^ (uint32_t)VHU__POS_WRAP));
        pos = vhu__pos_add(pos, 1, ring->layout.num);
    }
    ring->avail_idx = ring->published = ring->used_idx;
}

static uint32_t base(const vhu_driver_ring *ring)
{
    return ring->used_idx | (uint32_t)ring->used_idx << 16;
}

const vhu__driver_layout vhu__driver_packed = {
    .bytes = {vhu__desc_bytes, event_bytes, event_bytes},
    .align = {16, 4, 4},
    .start = packed_start,
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
