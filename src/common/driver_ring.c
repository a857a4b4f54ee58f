/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's side of a ring, whatever its layout. What it needs to know is kept here, never in
 * shared memory.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "atomic.h"
#include "driver_ring_internal.h"

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

/* A split ring's parts are large enough for a packed one, too. */
uint64_t vhu_driver_ring_place(vhu_driver_ring_config *config, uint64_t addr)
{
    vhu_ring_layout *l = &config->layout;

    if (take_space(&addr, 16, vhu__desc_bytes(l->num), &l->desc) &&
        take_space(&addr, 4, vhu__avail_bytes(l->num), &l->avail) &&
        take_space(&addr, 4, vhu__used_bytes(l->num), &l->used) &&
        take_space(&addr, 16, table_bytes(config), &config->tables))
        return addr;
    return 0;
}

static const vhu__driver_layout *choose(const vhu_driver_ring_config *c)
{
    if (c->features & VHU_BIT(VHU_F_RING_PACKED))
        return &vhu__driver_packed;
    return c->layout.big_endian && !(c->features & VHU_BIT(VHU_F_VERSION_1)) ? &vhu__driver_split_be
                                                                             : &vhu__driver_split;
}

static int check_config(const vhu_driver_ring_config *c)
{
    const vhu__driver_layout *ops = choose(c);
    const vhu_ring_layout *l = &c->layout;

    if (!c->memory || l->num == 0 || l->num > VHU_MAX_RING_SIZE ||
        (ops != &vhu__driver_packed && !vhu__is_power_of_2(l->num)))
        return VHU_EINVAL;
    if (l->desc % ops->align[0] != 0 || l->avail % ops->align[1] != 0 ||
        l->used % ops->align[2] != 0 || c->tables % 16 != 0)
        return VHU_EINVAL;
    return c->table_len <= VHU_MAX_RING_SIZE ? 0 : VHU_EINVAL;
}

/* Find the parts of the ring and clear them. */
static int map_parts(vhu_driver_ring *ring, const vhu_driver_ring_config *c)
{
    const vhu_ring_layout *l = &c->layout;
    const uint64_t addr[3] = {l->desc, l->avail, l->used};
    bool indirect = (c->features & VHU_BIT(VHU_F_RING_INDIRECT_DESC)) && c->table_len > 0;
    void *parts[3];

    if (indirect)
        ring->tables = vhu_memory_at(c->memory, c->tables, table_bytes(c));
    if (indirect && !ring->tables)
        return VHU_EFAULT;
    for (size_t i = 0; i < VHU__COUNT(parts); i++) {
        parts[i] = vhu_memory_at(c->memory, addr[i], ring->ops->bytes[i](l->num));
        if (!parts[i])
            return VHU_EFAULT;
    }
    for (size_t i = 0; i < VHU__COUNT(parts); i++)
        memset(parts[i], 0, (size_t)ring->ops->bytes[i](l->num));
    return ring->ops->start(ring, parts);
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
    ring->ops = choose(&c);
    ring->layout = c.layout;
    r = map_parts(ring, &c);
    if (r < 0) {
        vhu_driver_ring_free(ring);
        return r;
    }
    ring->tables_addr = c.tables;
    ring->table_len = ring->tables ? c.table_len : 0;
    ring->room = c.layout.num;
    ring->in_order = (c.features & VHU_BIT(VHU_F_IN_ORDER)) != 0;
    ring->event_idx = (c.features & VHU_BIT(VHU_F_RING_EVENT_IDX)) != 0;
    ring->free_last = (uint16_t)(c.layout.num - 1);
    for (uint32_t i = 0; i < c.layout.num; i++)
        ring->slots[i].next = (uint16_t)(i + 1);
    link_slots(ring, (uint16_t)c.layout.num, (uint16_t)c.layout.num);
    *out = ring;
    return 0;
}

void vhu_driver_ring_free(vhu_driver_ring *ring)
{
    if (ring)
        free(ring->copies);
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

uint32_t vhu_driver_ring_base(const vhu_driver_ring *ring)
{
    return ring->ops->base(ring);
}

int vhu__driver_break(vhu_driver_ring *ring, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(ring->error, sizeof(ring->error), format, args);
    va_end(args);
    return VHU_EBROKEN_RING;
}

/* --- adding --- */

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

static unsigned desc_flags(bool writable, bool last)
{
    return (writable ? VHU__DESC_WRITE : 0u) | (last ? 0u : VHU__DESC_NEXT);
}

static void fill_chain(vhu_driver_ring *ring, uint16_t head, const vhu_guest_buf *bufs,
                       uint32_t num_readable, uint32_t n)
{
    uint16_t at = head;

    for (uint32_t i = 0; i < n; i++) {
        uint16_t next = ring->slots[at].next;

        ring->ops->set(ring, at, &bufs[i], desc_flags(i >= num_readable, i + 1 == n), next);
        at = next;
    }
}

static void fill_table(vhu_driver_ring *ring, uint16_t head, const vhu_guest_buf *bufs,
                       uint32_t num_readable, uint32_t n)
{
    size_t first = (size_t)head * ring->table_len;
    const vhu_guest_buf table = {ring->tables_addr + first * sizeof(vhu__desc),
                                 n * sizeof(vhu__desc)};

    for (uint32_t i = 0; i < n; i++)
        ring->tables[first + i] =
            ring->ops->table_desc(&bufs[i], desc_flags(i >= num_readable, i + 1 == n), i + 1);
    ring->ops->set(ring, head, &table, VHU__DESC_INDIRECT, 0);
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
    ring->ops->offer(ring, head);
    return 0;
}

bool vhu_driver_ring_publish(vhu_driver_ring *ring)
{
    return ring->published != ring->avail_idx && ring->ops->publish(ring);
}

/* --- collecting --- */

/* What a used entry says, if it can be true. */
static int look(vhu_driver_ring *ring, uint32_t *id, uint32_t *len)
{
    int r = ring->ops->look(ring, id, len);
    uint32_t at = ring->used_idx;

    if (r <= 0)
        return r;
    if (ring->ops == &vhu__driver_packed)
        at &= VHU__POS_IDX;
    if (*id >= ring->layout.num || ring->slots[*id].count == 0)
        return vhu__driver_break(ring, "used entry %u names %u, which is not in use", at, *id);
    if (*len > ring->slots[*id].writable)
        return vhu__driver_break(ring, "used entry %u tells of %u bytes written, of %u", at, *len,
                                 ring->slots[*id].writable);
    return r;
}

/*
 * The same if they come in order: an entry may stand for all requests up to the one that it names,
 * of which all but that one are written to the end.
 */
static int look_in_order(vhu_driver_ring *ring, uint32_t *id, uint32_t *len)
{
    int r;

    if (!ring->in_batch) {
        r = look(ring, &ring->batch_id, &ring->batch_len);
        if (r <= 0)
            return r;
    } else if (!ring->ops->more(ring)) {
        return vhu__driver_break(ring, "used requests end before %u, which was named",
                                 ring->batch_id);
    }
    *id = ring->slots[ring->layout.num].newer;
    ring->in_batch = *id != ring->batch_id;
    *len = ring->in_batch ? ring->slots[*id].writable : ring->batch_len;
    return 1;
}

/* In order, a split ring's descriptors are to be used one after another, round the table. */
static void free_slots(vhu_driver_ring *ring, uint16_t first, uint16_t last)
{
    if (!ring->in_order) {
        ring->slots[last].next = ring->free;
        ring->free = first;
    } else {
        if (ring->room == 0)
            ring->free = first;
        else
            ring->slots[ring->free_last].next = first;
        ring->free_last = last;
    }
}

static void take_back(vhu_driver_ring *ring, uint16_t id)
{
    vhu__driver_slot *s = &ring->slots[id];
    uint16_t last = id;

    for (uint32_t i = 1; i < s->count; i++)
        last = ring->slots[last].next;
    free_slots(ring, id, last);
    ring->ops->pass(ring, s->count);
    ring->room += s->count;
    s->count = 0;
    link_slots(ring, s->older, s->newer);
    ring->in_use--;
}

int vhu_driver_ring_collect(vhu_driver_ring *ring, vhu_driver_used *used, uint32_t n)
{
    uint32_t done = 0;
    int r = ring->error[0] ? VHU_EBROKEN_RING : 0;

    while (r >= 0 && done < n) {
        uint32_t id = 0, len = 0;

        r = ring->in_order ? look_in_order(ring, &id, &len) : look(ring, &id, &len);
        if (r <= 0)
            break;
        used[done++] = (vhu_driver_used){.token = ring->slots[id].token, .len = len};
        take_back(ring, (uint16_t)id);
    }
    return done > 0 || r >= 0 ? (int)done : r;
}

void vhu_driver_ring_disable_calls(vhu_driver_ring *ring)
{
    ring->ops->enable_calls(ring, false);
}

bool vhu_driver_ring_enable_calls(vhu_driver_ring *ring)
{
    ring->ops->enable_calls(ring, true);
    vhu__full_fence();
    return ring->in_batch || ring->ops->has_used(ring);
}

/* --- another device --- */

int vhu_driver_ring_replay(vhu_driver_ring *ring)
{
    uint16_t end = (uint16_t)ring->layout.num;
    uint32_t id, len;
    int r = ring->error[0] ? VHU_EBROKEN_RING : ring->ops->look(ring, &id, &len);

    if (r < 0)
        return r;
    if (r > 0 || ring->in_batch)
        return VHU_ESTATE;
    ring->ops->rewind(ring);
    for (uint16_t head = ring->slots[end].newer; head != end; head = ring->slots[head].newer)
        ring->ops->offer(ring, head);
    vhu_driver_ring_publish(ring);
    return 0;
}
