/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/driver_ring.h"

#include <string.h>

#include "atomic.h"
#include "endian.h"
#include "os.h"

/* --- guest memory --- */

int driver_memory_init(driver_memory *memory, uint64_t region_size, size_t n, uint64_t gap)
{
    uint64_t step = region_size + gap;
    int r;

    *memory = (driver_memory){.size = region_size * n, .num_regions = n};
    if (n > DRIVER_MAX_REGIONS)
        return VHU_EINVAL;
    r = vhu_shm_new(&memory->shm, memory->size);
    if (r < 0)
        return r;
    memory->base = vhu_shm_base(memory->shm);
    for (size_t i = 0; i < n; i++)
        memory->regions[i] = (vhu_mem_region){.guest_addr = DRIVER_GUEST_BASE + i * step,
                                              .size = region_size,
                                              .user_addr = DRIVER_USER_BASE + i * 2 * step,
                                              .mmap_offset = (n - 1 - i) * region_size};
    return 0;
}

void driver_memory_destroy(driver_memory *memory)
{
    vhu_shm_free(memory->shm);
    memory->shm = NULL;
    memory->base = NULL;
}

static const vhu_mem_region *region_of(const driver_memory *memory, uint64_t guest_addr)
{
    for (size_t i = 0; i < memory->num_regions; i++) {
        const vhu_mem_region *r = &memory->regions[i];

        if (guest_addr - r->guest_addr < r->size)
            return r;
    }
    return NULL;
}

void *driver_memory_at(const driver_memory *memory, uint64_t guest_addr)
{
    const vhu_mem_region *r = region_of(memory, guest_addr);

    return r ? memory->base + r->mmap_offset + (guest_addr - r->guest_addr) : NULL;
}

uint64_t driver_memory_user(const driver_memory *memory, uint64_t guest_addr)
{
    const vhu_mem_region *r = region_of(memory, guest_addr);

    return r ? r->user_addr + (guest_addr - r->guest_addr) : 0;
}

vhu_handle driver_memory_handle(const driver_memory *memory)
{
    return vhu_shm_handle(memory->shm);
}

int driver_memory_share(const driver_memory *memory, vhu_memory *device)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < memory->num_regions; i++) {
        vhu_handle handle = VHU_NO_HANDLE;

        r = os_handle_dup(driver_memory_handle(memory), &handle);
        if (r == 0)
            r = vhu_memory_add(device, &memory->regions[i], &handle);
        vhu_handle_close(&handle);
    }
    return r;
}

/* --- ring --- */

/* Where the parts are that follow the descriptors. */
static void place_parts(driver_ring *ring)
{
    uint64_t events = ring->desc_addr + vhu__desc_bytes(ring->num);
    uint64_t used;

    ring->avail_addr = events;
    ring->used_addr = events + sizeof(vhu__packed_event);
    used = ring->used_addr + sizeof(vhu__packed_event);
    if (!ring->is_packed) {
        ring->used_addr = (events + vhu__avail_bytes(ring->num) + 3) & ~UINT64_C(3);
        used = ring->used_addr + vhu__used_bytes(ring->num);
    }
    ring->tables_addr = (used + 15) & ~UINT64_C(15);
}

int driver_ring_init(driver_ring *ring, driver_memory *memory, uint64_t guest_addr, uint32_t num,
                     uint64_t features)
{
    uint64_t tables = features & VHU_BIT(VHU_F_RING_INDIRECT_DESC)
                          ? (uint64_t)num * DRIVER_TABLE_SIZE * sizeof(vhu__desc)
                          : 0;

    memset(ring, 0, sizeof(*ring));
    ring->memory = memory;
    ring->num = num;
    ring->event_idx = (features & VHU_BIT(VHU_F_RING_EVENT_IDX)) != 0;
    ring->is_packed = (features & VHU_BIT(VHU_F_RING_PACKED)) != 0;
    ring->desc_addr = guest_addr;
    place_parts(ring);
    ring->end_addr = ring->tables_addr + tables;
    if (!region_of(memory, guest_addr) ||
        region_of(memory, guest_addr) != region_of(memory, ring->end_addr - 1))
        return -1;
    ring->packed = driver_memory_at(memory, ring->desc_addr);
    ring->desc = (vhu__desc *)ring->packed;
    ring->avail = driver_memory_at(memory, ring->avail_addr);
    ring->used = driver_memory_at(memory, ring->used_addr);
    ring->driver_event = (vhu__packed_event *)ring->avail;
    ring->device_event = (vhu__packed_event *)ring->used;
    memset(ring->desc, 0, ring->end_addr - guest_addr);
    ring->num_free = num;
    for (uint32_t i = 0; i < num; i++)
        ring->next[i] = (uint16_t)(i + 1);
    if (ring->is_packed)
        driver_ring_set_index(ring, VHU__POS_START);
    return 0;
}

uint32_t driver_ring_base(const driver_ring *ring)
{
    return ring->avail_idx | (ring->is_packed ? (uint32_t)ring->used_idx << 16 : 0);
}

vhu_vring_addr driver_ring_addr(const driver_ring *ring)
{
    return (vhu_vring_addr){.desc = driver_memory_user(ring->memory, ring->desc_addr),
                            .avail = driver_memory_user(ring->memory, ring->avail_addr),
                            .used = driver_memory_user(ring->memory, ring->used_addr)};
}

uint16_t *driver_ring_used_event(driver_ring *ring)
{
    return ring->is_packed ? &ring->driver_event->position : &ring->avail->ring[ring->num];
}

uint16_t *driver_ring_avail_event(driver_ring *ring)
{
    return ring->is_packed ? &ring->device_event->position
                           : (uint16_t *)(void *)&ring->used->ring[ring->num];
}

/* All descriptors as if the driver had been round the ring up to there. */
static void set_position(driver_ring *ring, uint16_t pos)
{
    for (uint32_t i = 0; i < ring->num; i++) {
        uint32_t lap = i < (pos & VHU__POS_IDX) ? pos : pos ^ (uint32_t)VHU__POS_WRAP;

        ring->packed[i].flags = vhu__le16((uint16_t)vhu__pos_used(lap));
    }
}

void driver_ring_set_index(driver_ring *ring, uint16_t index)
{
    ring->avail_idx = ring->published = ring->used_idx = index;
    if (ring->is_packed) {
        set_position(ring, index);
        return;
    }
    ring->avail->idx = ring->used->idx = vhu__le16(index);
    *driver_ring_used_event(ring) = *driver_ring_avail_event(ring) = vhu__le16(index);
}

static unsigned desc_flags(const driver_buf *buf, bool last)
{
    return (buf->writable ? VHU__DESC_WRITE : 0u) | (last ? 0u : VHU__DESC_NEXT);
}

static vhu__desc make_desc(const driver_buf *buf, bool last, uint16_t next)
{
    return (vhu__desc){.addr = vhu__le64(buf->addr),
                       .len = vhu__le32(buf->len),
                       .flags = vhu__le16((uint16_t)desc_flags(buf, last)),
                       .next = vhu__le16(next)};
}

/* Make a descriptor available, but for the first one that the device looks at. */
static void put_packed(driver_ring *ring, uint64_t addr, uint32_t len, unsigned flags, int head)
{
    vhu__packed_desc *desc = &ring->packed[ring->avail_idx & VHU__POS_IDX];
    uint16_t all = vhu__le16((uint16_t)(flags | vhu__pos_avail(ring->avail_idx)));

    desc->addr = vhu__le64(addr);
    desc->len = vhu__le32(len);
    desc->id = vhu__le16((uint16_t)head);
    if (ring->avail_idx == ring->published)
        ring->first_flags = all;
    else
        desc->flags = all;
    ring->avail_idx = (uint16_t)vhu__pos_add(ring->avail_idx, 1, ring->num);
}

void driver_ring_push_head(driver_ring *ring, uint16_t head)
{
    vhu__store_relaxed_u16(&ring->avail->ring[ring->avail_idx++ & (ring->num - 1)],
                           vhu__le16(head));
}

/* Take `n` descriptors, or an identifier, from the free list: the request's head. */
static int begin(driver_ring *ring, uint32_t n)
{
    uint16_t head = ring->free;

    if (n == 0 || n > ring->num_free)
        return -1;
    ring->used_by[head] = (uint16_t)n;
    ring->place[head] = ring->avail_idx & VHU__POS_IDX;
    ring->num_free -= n;
    for (uint32_t taken = ring->is_packed ? 1 : n; taken > 0; taken--)
        ring->free = ring->next[ring->free];
    if (!ring->is_packed)
        driver_ring_push_head(ring, head);
    return head;
}

int driver_ring_add(driver_ring *ring, const driver_buf *bufs, uint32_t n)
{
    int head = begin(ring, n);

    for (uint32_t i = 0, at = (uint32_t)head; head >= 0 && i < n; i++, at = ring->next[at]) {
        if (ring->is_packed)
            put_packed(ring, bufs[i].addr, bufs[i].len, desc_flags(&bufs[i], i + 1 == n), head);
        else
            ring->desc[at] = make_desc(&bufs[i], i + 1 == n, ring->next[at]);
    }
    return head;
}

static uint64_t table_addr(const driver_ring *ring, int head)
{
    return ring->tables_addr + (uint64_t)head * DRIVER_TABLE_SIZE * sizeof(vhu__desc);
}

static void fill_table(driver_ring *ring, uint64_t addr, const driver_buf *bufs, uint32_t n)
{
    void *table = driver_memory_at(ring->memory, addr);

    for (uint32_t i = 0; i < n; i++) {
        vhu__desc desc = make_desc(&bufs[i], i + 1 == n, (uint16_t)(i + 1));
        vhu__packed_desc packed = {desc.addr, desc.len, 0,
                                   vhu__le16(bufs[i].writable ? VHU__DESC_WRITE : 0)};

        memcpy((vhu__desc *)table + i, ring->is_packed ? (void *)&packed : (void *)&desc,
               sizeof(desc));
    }
}

int driver_ring_add_indirect(driver_ring *ring, const driver_buf *bufs, uint32_t n)
{
    int head = n > 0 && n <= DRIVER_TABLE_SIZE ? begin(ring, 1) : -1;
    uint64_t addr = table_addr(ring, head);
    uint32_t len = n * (uint32_t)sizeof(vhu__desc);

    if (head < 0)
        return -1;
    fill_table(ring, addr, bufs, n);
    if (ring->is_packed)
        put_packed(ring, addr, len, VHU__DESC_INDIRECT, head);
    else
        ring->desc[head] = (vhu__desc){
            .addr = vhu__le64(addr), .len = vhu__le32(len), .flags = vhu__le16(VHU__DESC_INDIRECT)};
    return head;
}

vhu__packed_desc *driver_ring_packed(driver_ring *ring, uint16_t head, uint32_t i)
{
    vhu__packed_desc *first = &ring->packed[ring->place[head]];
    bool held = ring->place[head] == (ring->published & VHU__POS_IDX);

    if (vhu__le16(held ? ring->first_flags : first->flags) & VHU__DESC_INDIRECT)
        return (vhu__packed_desc *)driver_memory_at(ring->memory, vhu__le64(first->addr)) + i;
    return &ring->packed[(ring->place[head] + i) % ring->num];
}

static bool publish_packed(driver_ring *ring)
{
    uint32_t old = ring->published;
    uint32_t wanted;

    if (ring->avail_idx == old)
        return false;
    vhu__store_release_u16(&ring->packed[old & VHU__POS_IDX].flags, ring->first_flags);
    ring->published = ring->avail_idx;
    vhu__full_fence();
    wanted = vhu__le16(vhu__load_acquire_u16(&ring->device_event->flags));
    if (wanted != VHU__EVENT_DESC)
        return wanted == VHU__EVENT_ENABLE;
    return vhu__pos_passed(vhu__le16(vhu__load_relaxed_u16(&ring->device_event->position)),
                           ring->published, vhu__pos_distance(old, ring->published, ring->num),
                           ring->num);
}

bool driver_ring_publish(driver_ring *ring)
{
    uint16_t old = ring->published;

    if (ring->is_packed)
        return publish_packed(ring);
    vhu__store_release_u16(&ring->avail->idx, vhu__le16(ring->avail_idx));
    ring->published = ring->avail_idx;
    vhu__full_fence();
    if (ring->event_idx) {
        uint16_t event = vhu__le16(vhu__load_relaxed_u16(driver_ring_avail_event(ring)));

        return (uint16_t)(ring->published - event - 1) < (uint16_t)(ring->published - old);
    }
    return !(vhu__le16(vhu__load_relaxed_u16(&ring->used->flags)) & VHU__USED_NO_KICK);
}

bool driver_ring_has_used(driver_ring *ring)
{
    const vhu__packed_desc *desc = &ring->packed[ring->used_idx & VHU__POS_IDX];

    if (!ring->is_packed)
        return vhu__le16(vhu__load_acquire_u16(&ring->used->idx)) != ring->used_idx;
    return (vhu__le16(vhu__load_acquire_u16(&desc->flags)) & VHU__PACKED_MARKS) ==
           vhu__pos_used(ring->used_idx);
}

/* The request that is used next, which there is. */
static uint16_t next_used(driver_ring *ring, uint32_t *len)
{
    const vhu__used_elem *elem = &ring->used->ring[ring->used_idx & (ring->num - 1)];
    const vhu__packed_desc *desc = &ring->packed[ring->used_idx & VHU__POS_IDX];
    uint16_t head;

    if (!ring->is_packed) {
        ring->used_idx++;
        *len = vhu__le32(elem->len);
        return (uint16_t)vhu__le32(elem->id);
    }
    head = vhu__le16(desc->id);
    *len = vhu__le32(desc->len);
    ring->used_idx = (uint16_t)vhu__pos_add(ring->used_idx, ring->used_by[head], ring->num);
    return head;
}

int driver_ring_reap(driver_ring *ring, uint32_t *len)
{
    uint32_t written;
    uint16_t head, last;

    if (!driver_ring_has_used(ring))
        return -1;
    last = head = next_used(ring, len ? len : &written);
    for (uint32_t i = 1; !ring->is_packed && i < ring->used_by[head]; i++)
        last = ring->next[last];
    ring->next[last] = ring->free;
    ring->free = head;
    ring->num_free += ring->used_by[head];
    return head;
}

static void enable_packed(driver_ring *ring, bool on)
{
    uint16_t flags =
        on ? (ring->event_idx ? VHU__EVENT_DESC : VHU__EVENT_ENABLE) : VHU__EVENT_DISABLE;

    vhu__store_relaxed_u16(&ring->driver_event->position, vhu__le16(ring->used_idx));
    vhu__store_release_u16(&ring->driver_event->flags, vhu__le16(flags));
}

void driver_ring_enable_calls(driver_ring *ring, bool on)
{
    uint16_t event = on ? ring->used_idx : (uint16_t)(ring->used_idx - 1);

    if (ring->is_packed)
        enable_packed(ring, on);
    else if (ring->event_idx)
        vhu__store_relaxed_u16(driver_ring_used_event(ring), vhu__le16(event));
    else
        vhu__store_relaxed_u16(&ring->avail->flags, vhu__le16(on ? 0 : VHU__AVAIL_NO_CALL));
    vhu__full_fence();
}
