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
    ring->desc_addr = guest_addr;
    ring->avail_addr = guest_addr + vhu__desc_bytes(num);
    ring->used_addr = (ring->avail_addr + vhu__avail_bytes(num) + 3) & ~UINT64_C(3);
    ring->tables_addr = (ring->used_addr + vhu__used_bytes(num) + 15) & ~UINT64_C(15);
    ring->end_addr = ring->tables_addr + tables;
    if (!region_of(memory, guest_addr) ||
        region_of(memory, guest_addr) != region_of(memory, ring->end_addr - 1))
        return -1;
    ring->desc = driver_memory_at(memory, ring->desc_addr);
    ring->avail = driver_memory_at(memory, ring->avail_addr);
    ring->used = driver_memory_at(memory, ring->used_addr);
    memset(ring->desc, 0, ring->end_addr - guest_addr);
    ring->num_free = num;
    for (uint32_t i = 0; i < num; i++)
        ring->next[i] = (uint16_t)(i + 1);
    return 0;
}

vhu_vring_addr driver_ring_addr(const driver_ring *ring)
{
    return (vhu_vring_addr){.desc = driver_memory_user(ring->memory, ring->desc_addr),
                            .avail = driver_memory_user(ring->memory, ring->avail_addr),
                            .used = driver_memory_user(ring->memory, ring->used_addr)};
}

uint16_t *driver_ring_used_event(driver_ring *ring)
{
    return &ring->avail->ring[ring->num];
}

uint16_t *driver_ring_avail_event(driver_ring *ring)
{
    return (uint16_t *)(void *)&ring->used->ring[ring->num];
}

void driver_ring_set_index(driver_ring *ring, uint16_t index)
{
    ring->avail_idx = ring->published = ring->used_idx = index;
    ring->avail->idx = ring->used->idx = vhu__le16(index);
    *driver_ring_used_event(ring) = *driver_ring_avail_event(ring) = vhu__le16(index);
}

static vhu__desc make_desc(const driver_buf *buf, bool last, uint16_t next)
{
    unsigned flags = (buf->writable ? VHU__DESC_WRITE : 0u) | (last ? 0u : VHU__DESC_NEXT);

    return (vhu__desc){.addr = vhu__le64(buf->addr),
                       .len = vhu__le32(buf->len),
                       .flags = vhu__le16((uint16_t)flags),
                       .next = vhu__le16(next)};
}

void driver_ring_push_head(driver_ring *ring, uint16_t head)
{
    vhu__store_relaxed_u16(&ring->avail->ring[ring->avail_idx++ & (ring->num - 1)],
                           vhu__le16(head));
}

/* Take `n` descriptors from the free list: the request's head. */
static int begin(driver_ring *ring, uint32_t n)
{
    uint16_t head = ring->free;

    if (n == 0 || n > ring->num_free)
        return -1;
    ring->used_by[head] = (uint16_t)n;
    ring->num_free -= n;
    while (n-- > 0)
        ring->free = ring->next[ring->free];
    driver_ring_push_head(ring, head);
    return head;
}

int driver_ring_add(driver_ring *ring, const driver_buf *bufs, uint32_t n)
{
    int head = begin(ring, n);

    if (head < 0)
        return -1;
    for (uint32_t i = 0, at = (uint32_t)head; i < n; i++, at = ring->next[at])
        ring->desc[at] = make_desc(&bufs[i], i + 1 == n, ring->next[at]);
    return head;
}

int driver_ring_add_indirect(driver_ring *ring, const driver_buf *bufs, uint32_t n)
{
    int head = n > 0 && n <= DRIVER_TABLE_SIZE ? begin(ring, 1) : -1;
    uint64_t addr;
    vhu__desc *table;

    if (head < 0)
        return -1;
    addr = ring->tables_addr + (uint64_t)head * DRIVER_TABLE_SIZE * sizeof(*table);
    table = driver_memory_at(ring->memory, addr);
    for (uint32_t i = 0; i < n; i++)
        table[i] = make_desc(&bufs[i], i + 1 == n, (uint16_t)(i + 1));
    ring->desc[head] = (vhu__desc){.addr = vhu__le64(addr),
                                   .len = vhu__le32(n * (uint32_t)sizeof(*table)),
                                   .flags = vhu__le16(VHU__DESC_INDIRECT)};
    return head;
}

bool driver_ring_publish(driver_ring *ring)
{
    uint16_t old = ring->published;

    vhu__store_release_u16(&ring->avail->idx, vhu__le16(ring->avail_idx));
    ring->published = ring->avail_idx;
    vhu__full_fence();
    if (ring->event_idx) {
        uint16_t event = vhu__le16(vhu__load_relaxed_u16(driver_ring_avail_event(ring)));

        return (uint16_t)(ring->published - event - 1) < (uint16_t)(ring->published - old);
    }
    return !(vhu__le16(vhu__load_relaxed_u16(&ring->used->flags)) & VHU__USED_NO_KICK);
}

int driver_ring_reap(driver_ring *ring, uint32_t *len)
{
    const vhu__used_elem *elem = &ring->used->ring[ring->used_idx & (ring->num - 1)];
    uint16_t head, last;

    if (vhu__le16(vhu__load_acquire_u16(&ring->used->idx)) == ring->used_idx)
        return -1;
    ring->used_idx++;
    head = (uint16_t)vhu__le32(elem->id);
    if (len)
        *len = vhu__le32(elem->len);
    last = head;
    for (uint32_t i = 1; i < ring->used_by[head]; i++)
        last = ring->next[last];
    ring->next[last] = ring->free;
    ring->free = head;
    ring->num_free += ring->used_by[head];
    return head;
}

void driver_ring_enable_calls(driver_ring *ring, bool on)
{
    uint16_t event = on ? ring->used_idx : (uint16_t)(ring->used_idx - 1);

    if (ring->event_idx)
        vhu__store_relaxed_u16(driver_ring_used_event(ring), vhu__le16(event));
    else
        vhu__store_relaxed_u16(&ring->avail->flags, vhu__le16(on ? 0 : VHU__AVAIL_NO_CALL));
    vhu__full_fence();
}
