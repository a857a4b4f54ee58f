/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a split ring. What it needs to know is kept here, never in shared memory. */
#include <vmm_vhost/driver.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "endian.h"
#include "util.h"
#include "virtio_ring.h"

/* Of each descriptor; and of one more, through which the circle of requests in use is closed. */
typedef struct slot {
    void *token;
    uint32_t writable; /* bytes */
    uint16_t count;    /* descriptors of the ring that the request takes; 0: no request's head */
    uint16_t next;     /* in the list of free ones, or of the request */
    uint16_t older;    /* request: the one added before it, and the one after */
    uint16_t newer;
} slot;

struct vhu_driver_ring {
    vhu_ring_layout layout;
    uint64_t tables_addr;
    vhu__desc *desc;
    vhu__avail *avail;
    const vhu__used *used;
    const uint16_t *avail_event;
    uint16_t *used_event;
    vhu__desc *tables; /* NULL: none */
    uint32_t table_len;
    uint32_t room;   /* free descriptors */
    uint32_t in_use; /* requests */
    uint16_t free;   /* the first free one */
    uint16_t avail_idx;
    uint16_t published;
    uint16_t used_idx; /* next to collect */
    bool event_idx;
    char error[120];
    slot slots[];
};

/* --- life --- */

/* *addr moves behind `bytes` from there, which begin at a multiple of `align`. */
static bool take_space(uint64_t *addr, uint64_t align, uint64_t bytes, uint64_t *at)
{
    return vhu__add_u64(*addr, align - 1, at) &&
           (*at &= ~(align - 1), vhu__add_u64(*at, bytes, addr));
}

static uint64_t table_bytes(const vhu_driver_ring_config *config)
{
    return sizeof(vhu__desc) * (uint64_t)config->layout.num * config->table_len;
}

uint64_t vhu_driver_ring_place(vhu_driver_ring_config *config, uint64_t addr)
{
    vhu_ring_layout *l = &config->layout;

    if (take_space(&addr, 16, vhu__desc_bytes(l->num), &l->desc) &&
        take_space(&addr, 2, vhu__avail_bytes(l->num), &l->avail) &&
        take_space(&addr, 4, vhu__used_bytes(l->num), &l->used) &&
        take_space(&addr, 16, table_bytes(config), &config->tables))
        return addr;
    return 0;
}

static int check_config(const vhu_driver_ring_config *c)
{
    const vhu_ring_layout *l = &c->layout;

    if (c->features & VHU_BIT(VHU_F_RING_PACKED))
        return VHU_ENOSYS;
    if (!c->memory || !vhu__is_power_of_2(l->num) || l->num > VHU_MAX_RING_SIZE)
        return VHU_EINVAL;
    if (l->desc % 16 != 0 || l->avail % 2 != 0 || l->used % 4 != 0 || c->tables % 16 != 0)
        return VHU_EINVAL;
    return c->table_len <= VHU_MAX_RING_SIZE ? 0 : VHU_EINVAL;
}

/* Find the parts of the ring and clear them. */
static int map_parts(vhu_driver_ring *ring, const vhu_driver_ring_config *c)
{
    const vhu_ring_layout *l = &c->layout;
    bool indirect = (c->features & VHU_BIT(VHU_F_RING_INDIRECT_DESC)) && c->table_len > 0;
    vhu__used *used = vhu_memory_at(c->memory, l->used, vhu__used_bytes(l->num));

    ring->desc = vhu_memory_at(c->memory, l->desc, vhu__desc_bytes(l->num));
    ring->avail = vhu_memory_at(c->memory, l->avail, vhu__avail_bytes(l->num));
    if (indirect)
        ring->tables = vhu_memory_at(c->memory, c->tables, table_bytes(c));
    if (!ring->desc || !ring->avail || !used || (indirect && !ring->tables))
        return VHU_EFAULT;
    memset(ring->desc, 0, (size_t)vhu__desc_bytes(l->num));
    memset(ring->avail, 0, (size_t)vhu__avail_bytes(l->num));
    memset(used, 0, (size_t)vhu__used_bytes(l->num));
    ring->used = used;
    ring->used_event = &ring->avail->ring[l->num];
    ring->avail_event = (const uint16_t *)(const void *)&used->ring[l->num];
    return 0;
}

static void link_slots(vhu_driver_ring *ring, uint16_t older, uint16_t newer)
{
    ring->slots[older].newer = newer;
    ring->slots[newer].older = older;
}

int vhu_driver_ring_new(vhu_driver_ring **out, const vhu_driver_ring_config *config)
{
    vhu_driver_ring_config c = {.size = sizeof(c)};
    vhu_driver_ring *ring;
    int r;

    if (!config || !vhu__copy_sized(&c, sizeof(c), config))
        return VHU_EINVAL;
    r = check_config(&c);
    if (r < 0)
        return r;
    ring = calloc(1, sizeof(*ring) + (c.layout.num + 1) * sizeof(ring->slots[0]));
    if (!ring)
        return VHU_ENOMEM;
    r = map_parts(ring, &c);
    if (r < 0) {
        free(ring);
        return r;
    }
    ring->layout = c.layout;
    ring->tables_addr = c.tables;
    ring->table_len = ring->tables ? c.table_len : 0;
    ring->room = c.layout.num;
    ring->event_idx = (c.features & VHU_BIT(VHU_F_RING_EVENT_IDX)) != 0;
    for (uint32_t i = 0; i < c.layout.num; i++)
        ring->slots[i].next = (uint16_t)(i + 1);
    link_slots(ring, (uint16_t)c.layout.num, (uint16_t)c.layout.num);
    *out = ring;
    return 0;
}

void vhu_driver_ring_free(vhu_driver_ring *ring)
{
    free(ring);
}

const vhu_ring_layout *vhu_driver_ring_layout(const vhu_driver_ring *ring)
{
    return &ring->layout;
}

uint32_t vhu_driver_ring_in_use(const vhu_driver_ring *ring)
{
    return ring->in_use;
}

uint32_t vhu_driver_ring_room(const vhu_driver_ring *ring)
{
    return ring->room;
}

const char *vhu_driver_ring_error(const vhu_driver_ring *ring)
{
    return ring->error;
}

static int break_ring(vhu_driver_ring *ring, const char *format, ...) VHU__PRINTF(2, 3);

static int break_ring(vhu_driver_ring *ring, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(ring->error, sizeof(ring->error), format, args);
    va_end(args);
    return VHU_EBROKEN_RING;
}

/* --- adding --- */

static vhu__desc make_desc(uint64_t addr, uint64_t len, unsigned flags, uint32_t next)
{
    return (vhu__desc){.addr = vhu__le64(addr),
                       .len = vhu__le32((uint32_t)len),
                       .flags = vhu__le16((uint16_t)flags),
                       .next = vhu__le16((uint16_t)next)};
}

static vhu__desc desc_of(const vhu_guest_buf *buf, bool writable, bool last, uint32_t next)
{
    unsigned flags = (writable ? VHU__DESC_WRITE : 0u) | (last ? 0u : VHU__DESC_NEXT);

    return make_desc(buf->addr, buf->len, flags, last ? 0 : next);
}

/* The bytes that may be written, and all pieces, must be tellable in 32 bits. */
static bool count_bytes(const vhu_guest_buf *bufs, uint32_t num_readable, uint32_t n,
                        uint32_t *writable)
{
    uint64_t sum = 0;

    for (uint32_t i = 0; i < n; i++) {
        if (bufs[i].len > UINT32_MAX)
            return false;
        sum += i < num_readable ? 0 : bufs[i].len;
    }
    *writable = (uint32_t)sum;
    return sum <= UINT32_MAX;
}

static void fill_chain(vhu_driver_ring *ring, uint16_t head, const vhu_guest_buf *bufs,
                       uint32_t num_readable, uint32_t n)
{
    uint16_t at = head;

    for (uint32_t i = 0; i < n; i++) {
        uint16_t next = ring->slots[at].next;

        ring->desc[at] = desc_of(&bufs[i], i >= num_readable, i + 1 == n, next);
        at = next;
    }
}

static void fill_table(vhu_driver_ring *ring, uint16_t head, const vhu_guest_buf *bufs,
                       uint32_t num_readable, uint32_t n)
{
    size_t first = (size_t)head * ring->table_len;

    for (uint32_t i = 0; i < n; i++)
        ring->tables[first + i] = desc_of(&bufs[i], i >= num_readable, i + 1 == n, i + 1);
    ring->desc[head] = make_desc(ring->tables_addr + first * sizeof(vhu__desc),
                                 n * sizeof(vhu__desc), VHU__DESC_INDIRECT, 0);
}

static void offer(vhu_driver_ring *ring, uint16_t head)
{
    uint16_t *entry = &ring->avail->ring[ring->avail_idx++ & (ring->layout.num - 1)];

    vhu__store_relaxed_u16(entry, vhu__le16(head));
}

int vhu_driver_ring_add(vhu_driver_ring *ring, const vhu_guest_buf *bufs, uint32_t num_readable,
                        uint32_t num_writable, void *token)
{
    uint64_t total = (uint64_t)num_readable + num_writable;
    bool indirect = total > 1 && total <= ring->table_len;
    uint32_t count = indirect ? 1 : (uint32_t)total;
    uint16_t head = ring->free;
    uint32_t writable;

    if (ring->error[0])
        return VHU_EBROKEN_RING;
    if (total == 0 || (!indirect && total > ring->layout.num) ||
        !count_bytes(bufs, num_readable, (uint32_t)total, &writable))
        return VHU_EINVAL;
    if (count > ring->room)
        return VHU_EAGAIN;
    if (indirect)
        fill_table(ring, head, bufs, num_readable, (uint32_t)total);
    else
        fill_chain(ring, head, bufs, num_readable, (uint32_t)total);
    for (uint32_t i = 0; i < count; i++)
        ring->free = ring->slots[ring->free].next;
    ring->room -= count;
    ring->slots[head].token = token;
    ring->slots[head].writable = writable;
    ring->slots[head].count = (uint16_t)count;
    link_slots(ring, ring->slots[ring->layout.num].older, head);
    link_slots(ring, head, (uint16_t)ring->layout.num);
    ring->in_use++;
    offer(ring, head);
    return 0;
}

bool vhu_driver_ring_publish(vhu_driver_ring *ring)
{
    uint16_t old = ring->published;
    uint16_t new = ring->avail_idx;

    if (old == new)
        return false;
    ring->published = new;
    vhu__store_release_u16(&ring->avail->idx, vhu__le16(new));
    vhu__full_fence();
    if (ring->event_idx) {
        uint16_t event = vhu__le16(vhu__load_relaxed_u16(ring->avail_event));

        return (uint16_t)(new - event - 1) < (uint16_t)(new - old);
    }
    return !(vhu__le16(vhu__load_relaxed_u16(&ring->used->flags)) & VHU__USED_NO_KICK);
}

/* --- collecting --- */

/* How many used entries there are, or that the device tells nonsense. */
static int look(vhu_driver_ring *ring)
{
    uint16_t n = (uint16_t)(vhu__le16(vhu__load_acquire_u16(&ring->used->idx)) - ring->used_idx);

    if (n > ring->in_use)
        return break_ring(ring, "used index is %u ahead, with %u requests in use", n, ring->in_use);
    return n;
}

static int take_back(vhu_driver_ring *ring, vhu_driver_used *used)
{
    const volatile vhu__used_elem *elem =
        &ring->used->ring[ring->used_idx & (ring->layout.num - 1)];
    uint32_t id = vhu__le32(elem->id);
    uint32_t len = vhu__le32(elem->len);
    uint16_t last = (uint16_t)id;
    slot *s;

    if (id >= ring->layout.num || ring->slots[id].count == 0)
        return break_ring(ring, "used entry %u names %u, which is not in use", ring->used_idx, id);
    s = &ring->slots[id];
    if (len > s->writable)
        return break_ring(ring, "used entry %u tells of %u bytes written, of %u", ring->used_idx,
                          len, s->writable);
    *used = (vhu_driver_used){.token = s->token, .len = len};
    for (uint32_t i = 1; i < s->count; i++)
        last = ring->slots[last].next;
    ring->slots[last].next = ring->free;
    ring->free = (uint16_t)id;
    ring->room += s->count;
    s->count = 0;
    link_slots(ring, s->older, s->newer);
    ring->in_use--;
    ring->used_idx++;
    return 0;
}

int vhu_driver_ring_collect(vhu_driver_ring *ring, vhu_driver_used *used, uint32_t n)
{
    uint32_t done = 0;
    int there;

    if (ring->error[0])
        return VHU_EBROKEN_RING;
    there = look(ring);
    if (there < 0)
        return there;
    n = n < (uint32_t)there ? n : (uint32_t)there;
    while (done < n && take_back(ring, &used[done]) == 0)
        done++;
    return done > 0 || n == 0 ? (int)done : VHU_EBROKEN_RING;
}

void vhu_driver_ring_disable_calls(vhu_driver_ring *ring)
{
    if (ring->event_idx) /* as far away as can be */
        vhu__store_relaxed_u16(ring->used_event, vhu__le16((uint16_t)(ring->used_idx - 1)));
    else
        vhu__store_relaxed_u16(&ring->avail->flags, vhu__le16(VHU__AVAIL_NO_CALL));
}

bool vhu_driver_ring_enable_calls(vhu_driver_ring *ring)
{
    if (ring->event_idx)
        vhu__store_relaxed_u16(ring->used_event, vhu__le16(ring->used_idx));
    else
        vhu__store_relaxed_u16(&ring->avail->flags, 0);
    vhu__full_fence();
    return vhu__load_acquire_u16(&ring->used->idx) != vhu__le16(ring->used_idx);
}

/* --- another device --- */

int vhu_driver_ring_replay(vhu_driver_ring *ring)
{
    uint16_t end = (uint16_t)ring->layout.num;
    int there = ring->error[0] ? VHU_EBROKEN_RING : look(ring);

    if (there < 0)
        return there;
    if (there > 0)
        return VHU_ESTATE;
    ring->avail_idx = ring->published = ring->used_idx;
    for (uint16_t head = ring->slots[end].newer; head != end; head = ring->slots[head].newer)
        offer(ring, head);
    vhu_driver_ring_publish(ring);
    return 0;
}
