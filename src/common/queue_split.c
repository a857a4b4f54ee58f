/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split virtqueues, device side. A descriptor is copied once, then checked, then used, so it does
 * not matter that the guest can write to it all the time.
 *
 * What the specification leaves open is decided like this: a buffer of length 0 is no buffer and
 * its address is not looked at; an indirect table may lie in several regions, since the guest does
 * not know where regions meet, and need not be aligned; it may have more entries than the ring.
 */
#include "queue_internal.h"

#include <inttypes.h>

#include "atomic.h"
#include "endian.h"

/* Bytes of one request (virtio 1.x, "The Virtqueue Descriptor Table"). */
#define MAX_CHAIN_LEN (UINT64_C(1) << 32)

/*
 * The table of descriptors that a walk is in, and the next one. Passed by value, to stay in
 * registers. A table that does not lie in one piece here, or is not aligned, has no descriptors as
 * far as this goes; queue->pieces has them.
 */
typedef struct cursor {
    const volatile vhu__desc *table;
    uint32_t count;
    uint32_t next;
} cursor;

/* A descriptor's copy, in the host's byte order and as wide as registers are. */
typedef struct desc {
    uint64_t addr;
    uint32_t len;
    uint32_t flags;
    uint32_t next;
} desc;

/* --- descriptors --- */

static bool break_outside(vhu_queue *queue, uint64_t addr, uint32_t len)
{
    return vhu__queue_break(queue, "%" PRIu32 " bytes at 0x%" PRIx64 " lie outside of memory", len,
                            addr);
}

VHU__ALWAYS_INLINE desc copy(const volatile vhu__desc *from)
{
    return (desc){.addr = vhu__le64(from->addr),
                  .len = vhu__le32(from->len),
                  .flags = vhu__le16(from->flags),
                  .next = vhu__le16(from->next)};
}

/* The same, wherever its bytes are. */
static bool copy_pieces(vhu_queue *queue, uint64_t addr, desc *out)
{
    union {
        vhu__desc desc;
        uint8_t bytes[sizeof(vhu__desc)];
    } raw;

    for (uint32_t i = 0; i < sizeof(raw); i++) {
        if (vhu__memory_look(queue->memory, &queue->window, addr + i, 1) == 0)
            return break_outside(queue, addr, sizeof(raw));
        raw.bytes[i] = *(const volatile uint8_t *)vhu__window_at(&queue->window, addr + i);
    }
    *out = copy(&raw.desc);
    return true;
}

static inline bool in_indirect(const vhu_queue *queue, cursor c)
{
    return c.table != queue->desc;
}

/* Descriptors of the table that the walk is in. */
static inline uint32_t table_size(const vhu_queue *queue, cursor c)
{
    return c.table ? c.count : queue->pieces.count;
}

static bool break_loop(vhu_queue *queue, cursor c)
{
    return vhu__queue_break(queue, "descriptors form a loop: more than the %" PRIu32 " of the %s",
                            table_size(queue, c), in_indirect(queue, c) ? "table" : "ring");
}

/* For a descriptor that is not simply in the table. */
static bool load_slowly(vhu_queue *queue, cursor c, desc *out)
{
    if (c.next >= table_size(queue, c))
        return vhu__queue_break(queue, "descriptor %" PRIu32 " is asked for, the %s has %" PRIu32,
                                c.next, in_indirect(queue, c) ? "table" : "ring",
                                table_size(queue, c));
    return copy_pieces(queue, queue->pieces.addr + sizeof(vhu__desc) * (uint64_t)c.next, out);
}

VHU__ALWAYS_INLINE bool load_desc(vhu_queue *queue, cursor c, desc *out)
{
    desc slow; /* so that *out can be in registers */

    if (vhu__likely(c.next < c.count)) {
        *out = copy(&c.table[c.next]);
        return true;
    }
    if (!load_slowly(queue, c, &slow))
        return false;
    *out = slow;
    return true;
}

/* Whether all of a buffer is in one region, which is then the window. */
VHU__ALWAYS_INLINE bool in_window(vhu_queue *queue, uint64_t addr, uint32_t len)
{
    return vhu__likely(vhu__window_has(&queue->window, addr, len)) ||
           (len > 0 && vhu__memory_look(queue->memory, &queue->window, addr, len) == len);
}

static cursor break_indirect(vhu_queue *queue, cursor c, desc d)
{
    const char *why = "its address wraps round, or its table is the ring's own";

    if (!queue->indirect_from)
        why = "the feature was not negotiated";
    else if (in_indirect(queue, c))
        why = "it is in an indirect table itself";
    else if (d.flags & VHU__DESC_NEXT)
        why = "it has a next descriptor, too";
    else if (d.len % sizeof(vhu__desc) != 0 || d.len == 0)
        why = "its length is no number of descriptors";
    else if (d.len / sizeof(vhu__desc) > VHU_MAX_RING_SIZE)
        why = "its table has more than 32768 descriptors";
    vhu__queue_break(queue,
                     "indirect descriptor (%" PRIu32 " bytes at 0x%" PRIx64 ", flags 0x%x): %s",
                     d.len, d.addr, (unsigned)d.flags, why);
    queue->pieces.count = 0;
    return (cursor){0};
}

/*
 * The table that `d` points to; its WRITE flag is to be ignored. A table of size 0 if the ring
 * broke.
 */
VHU__ALWAYS_INLINE cursor enter_indirect(vhu_queue *queue, cursor c, desc d)
{
    /* 16 bytes each. What is left over goes to the top, and makes a wrong length a huge one. */
    uint32_t count = d.len >> 4 | d.len << 28;
    const volatile void *table;

    if (vhu__unlikely(c.table != queue->indirect_from || (d.flags & VHU__DESC_NEXT) ||
                      count - 1 >= VHU_MAX_RING_SIZE))
        return break_indirect(queue, c, d);
    if (in_window(queue, d.addr, d.len)) {
        table = vhu__window_at(&queue->window, d.addr);
        /* The ring's own would pass for the ring, and could be entered for ever. */
        if (vhu__unlikely(table == queue->desc))
            return break_indirect(queue, c, d);
        if (vhu__likely((uintptr_t)table % sizeof(uint64_t) == 0))
            return (cursor){.table = table, .count = count};
    }
    if (d.addr + d.len < d.addr)
        return break_indirect(queue, c, d);
    queue->pieces.addr = d.addr;
    queue->pieces.count = count;
    return (cursor){0};
}

/* --- take --- */

/*
 * Where the buffers of a request go. One entry is taken for each descriptor, so one bound does for
 * both the room and the length of the table; what takes more entries or none moves the latter.
 */
typedef struct sink {
    vhu_buf *next;
    vhu_buf *stop;      /* where the room ends, or before, where the table's descriptors would */
    uint32_t table_end; /* the latter as a number */
} sink;

static inline void set_table_end(sink *to, const vhu_chain *chain, uint32_t table_end)
{
    to->table_end = table_end;
    to->stop = chain->bufs + (chain->capacity < table_end ? chain->capacity : table_end);
}

static inline uint32_t filled(const sink *to, const vhu_chain *chain)
{
    return (uint32_t)(to->next - chain->bufs);
}

/* What comes now is writable, or nothing. */
static inline void end_readable(vhu_chain *chain, const sink *to, uint64_t len)
{
    chain->num_readable = filled(to, chain);
    chain->readable_len = len;
}

/* Append a buffer that is in several regions, empty, nowhere, or one too many. */
static bool append_slowly(vhu_queue *queue, const vhu_chain *chain, cursor c, sink *to, desc d)
{
    const vhu_buf *begin = to->next;

    if (filled(to, chain) == to->table_end)
        return break_loop(queue, c);
    while (d.len > 0) {
        uint64_t here = vhu__memory_look(queue->memory, &queue->window, d.addr, d.len);

        if (here == 0)
            return break_outside(queue, d.addr, d.len);
        if (filled(to, chain) == chain->capacity)
            return vhu__queue_break(queue, "request of more than %" PRIu32 " buffers",
                                    chain->capacity);
        *to->next++ = (vhu_buf){vhu__window_at(&queue->window, d.addr), (size_t)here};
        d.addr += here;
        d.len -= (uint32_t)here;
    }
    set_table_end(to, chain, to->table_end - 1 + (uint32_t)(to->next - begin));
    return true;
}

VHU__ALWAYS_INLINE bool take_chain(vhu_queue *queue, vhu_chain *chain, uint32_t head)
{
    cursor c = {.table = queue->desc, .count = queue->num, .next = head};
    sink to = {.next = chain->bufs};
    uint64_t len = 0;   /* cannot wrap: at most 65536 times 32 bits */
    uint32_t flags = 0; /* of the descriptor before */

    set_table_end(&to, chain, queue->num);
    do {
        desc d;

        if (!load_desc(queue, c, &d))
            return false;
        if (d.flags & VHU__DESC_INDIRECT) {
            c = enter_indirect(queue, c, d);
            if (table_size(queue, c) == 0)
                return false;
            set_table_end(&to, chain, filled(&to, chain) + table_size(queue, c));
            flags |= VHU__DESC_NEXT;
            continue;
        }
        c.next = d.next;
        if ((d.flags ^ flags) & VHU__DESC_WRITE) {
            if (vhu__unlikely(flags & VHU__DESC_WRITE))
                return vhu__queue_break(queue, "readable descriptor after a writable one");
            end_readable(chain, &to, len);
        }
        flags = d.flags;
        len += d.len;
        if (vhu__likely(to.next != to.stop && in_window(queue, d.addr, d.len))) {
            *to.next++ = (vhu_buf){vhu__window_at(&queue->window, d.addr), d.len};
        } else {
            sink slow = to;

            if (!append_slowly(queue, chain, c, &slow, d))
                return false;
            to = slow;
        }
    } while (flags & VHU__DESC_NEXT);

    if (vhu__unlikely(len >> 32 != 0) && len > MAX_CHAIN_LEN)
        return vhu__queue_break(queue, "request of %" PRIu64 " bytes, more than 2^32", len);
    if (!(flags & VHU__DESC_WRITE))
        end_readable(chain, &to, len);
    chain->num_writable = filled(&to, chain) - chain->num_readable;
    chain->writable_len = len - chain->readable_len;
    chain->head = head;
    chain->written = 0;
    return true;
}

static bool break_avail(vhu_queue *queue, uint16_t idx, uint32_t avail)
{
    if (avail > queue->num)
        return vhu__queue_break(
            queue, "available index %u is %" PRIu32 " ahead of %u, the ring has %" PRIu32,
            (unsigned)idx, avail, (unsigned)queue->avail_idx, queue->num);
    return vhu__queue_break(
        queue, "%" PRIu32 " requests are out and %" PRIu32 " more available, the ring has %" PRIu32,
        queue->in_use, avail, queue->num);
}

static int plain_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    const vhu__avail *avail = queue->avail;
    uint16_t idx = vhu__le16(vhu__load_acquire_u16(&avail->idx));
    uint32_t ready = (uint16_t)(idx - queue->avail_idx);
    uint32_t mask = queue->num - 1;
    uint32_t i;

    /* What is available and what is out are different descriptors. */
    if (vhu__unlikely(ready > queue->num - queue->in_use)) {
        break_avail(queue, idx, ready);
        return VHU_EBROKEN_RING;
    }
    if (n > ready)
        n = ready;
    for (i = 0; i < n; i++) {
        const uint16_t *entry = &avail->ring[(queue->avail_idx + i) & mask];

        if (!take_chain(queue, &chains[i], vhu__le16(vhu__load_relaxed_u16(entry))))
            break;
    }
    queue->avail_idx = (uint16_t)(queue->avail_idx + i);
    queue->in_use += i;
    return i < n && i == 0 ? VHU_EBROKEN_RING : (int)i;
}

static int tracked_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    int taken = plain_take(queue, chains, n);

    for (int i = 0; queue->hooks.taken && i < taken; i++)
        queue->hooks.taken(queue->hooks.self, (uint16_t)chains[i].head);
    return taken;
}

/* --- complete --- */

/* Tell the hook what of a chain's memory the device wrote. */
static bool report_dirty(vhu_queue *queue, const vhu_chain *chain)
{
    cursor c = {.table = queue->desc, .count = queue->num, .next = chain->head};
    uint32_t written = chain->written;
    uint32_t left = c.count;
    desc d;

    while (written > 0) {
        if (left-- == 0)
            return break_loop(queue, c);
        if (!load_desc(queue, c, &d))
            return false;
        if (d.flags & VHU__DESC_INDIRECT) {
            c = enter_indirect(queue, c, d);
            left = table_size(queue, c);
            if (left == 0)
                return false;
            continue;
        }
        while ((d.flags & VHU__DESC_WRITE) && d.len > 0 && written > 0) {
            uint32_t len = d.len < written ? d.len : written;
            uint32_t here = (uint32_t)vhu__memory_look(queue->memory, &queue->window, d.addr, len);

            if (here == 0)
                return break_outside(queue, d.addr, d.len);
            queue->hooks.dirty(queue->hooks.self, d.addr, here);
            d.addr += here;
            d.len -= here;
            written -= here;
        }
        if (!(d.flags & VHU__DESC_NEXT))
            break;
        c.next = d.next;
    }
    return true;
}

static void report_used(const vhu_queue *queue, const void *at, uint64_t len)
{
    if (queue->tracked && queue->hooks.used_dirty)
        queue->hooks.used_dirty(
            queue->hooks.self, (uint64_t)((const uint8_t *)at - (const uint8_t *)queue->used), len);
}

/* Fill used entries, still unseen: how many. */
VHU__ALWAYS_INLINE uint32_t fill(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    vhu__used *used = queue->used;
    uint32_t mask = queue->num - 1;
    uint32_t idx = queue->used_idx;

    if (vhu__unlikely(n > queue->in_use))
        n = queue->in_use;
    for (const vhu_chain *end = chains + n; chains != end; chains++, idx++) {
        /* One store each: the two copied as one would wait for the two that came before. */
        volatile vhu__used_elem *elem = &used->ring[idx & mask];

        elem->id = vhu__le32(chains->head);
        elem->len = vhu__le32(chains->written);
    }
    return n;
}

VHU__ALWAYS_INLINE void publish(vhu_queue *queue, uint32_t n)
{
    queue->used_idx = (uint16_t)(queue->used_idx + n);
    queue->in_use -= n;
    queue->uncalled += n;
    vhu__store_release_u16(&queue->used->idx, vhu__le16(queue->used_idx));
}

static void plain_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    publish(queue, fill(queue, chains, n));
}

static void tracked_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    const vhu__queue_hooks *hooks = &queue->hooks;
    uint32_t mask = queue->num - 1;

    for (uint32_t i = 0; hooks->dirty && i < n; i++) {
        if (!report_dirty(queue, &chains[i])) {
            vhu_queue_complete(queue, chains, n); /* to the broken ring */
            return;
        }
    }
    n = fill(queue, chains, n);
    for (uint32_t i = 0; i < n; i++)
        report_used(queue, &queue->used->ring[(queue->used_idx + i) & mask],
                    sizeof(vhu__used_elem));
    if (hooks->completing)
        hooks->completing(hooks->self, chains, n);
    publish(queue, n);
    report_used(queue, &queue->used->idx, sizeof(queue->used->idx));
    if (hooks->completed)
        hooks->completed(hooks->self, chains, n, queue->used_idx);
}

/* --- kick and call --- */

static bool split_needs_call(vhu_queue *queue)
{
    uint64_t uncalled = queue->uncalled;
    uint16_t event;

    if (uncalled == 0)
        return false;
    queue->uncalled = 0;
    /* The used index must be visible before we look what the driver waits for: it does the same
     * the other way round, so that one of the two sees the other. */
    vhu__full_fence();
    if (!queue->event_idx)
        return !(vhu__le16(vhu__load_relaxed_u16(&queue->avail->flags)) & VHU__AVAIL_NO_CALL);
    if (!queue->called) {
        queue->called = true;
        return true;
    }
    /* Whether the index that it waits for is among the last `uncalled`; not cut to 16 bits, in
     * case all of them were used since. */
    event = vhu__le16(vhu__load_relaxed_u16(queue->used_event));
    return (uint16_t)(queue->used_idx - event - 1) < uncalled;
}

static bool split_has_avail(vhu_queue *queue)
{
    return vhu__le16(vhu__load_acquire_u16(&queue->avail->idx)) != queue->avail_idx;
}

static void store_used(vhu_queue *queue, uint16_t *at, uint16_t value)
{
    vhu__store_relaxed_u16(at, vhu__le16(value));
    report_used(queue, at, sizeof(*at));
}

/* With event words there is nothing to do: the one that stands there is passed once at the most. */
static void split_disable_kicks(vhu_queue *queue)
{
    if (!queue->event_idx)
        store_used(queue, &queue->used->flags, VHU__USED_NO_KICK);
}

static bool split_enable_kicks(vhu_queue *queue)
{
    if (queue->event_idx)
        store_used(queue, queue->avail_event, queue->avail_idx);
    else
        store_used(queue, &queue->used->flags, 0);
    /* The counterpart of the driver's fence between its index and this word. */
    vhu__full_fence();
    return split_has_avail(queue);
}

/* --- start --- */

#define OPS(take_fn, complete_fn)                                                                  \
    {                                                                                              \
        .take = (take_fn), .complete = (complete_fn), .needs_call = split_needs_call,              \
        .has_avail = split_has_avail, .disable_kicks = split_disable_kicks,                        \
        .enable_kicks = split_enable_kicks                                                         \
    }

static const vhu__queue_ops plain_ops = OPS(plain_take, plain_complete);
static const vhu__queue_ops tracked_ops = OPS(tracked_take, tracked_complete);

int vhu__queue_split_start(vhu_queue *queue, const vhu_queue_config *config)
{
    const struct {
        uint64_t addr, len;
        uint32_t align;
    } parts[] = {
        {config->addr.desc, vhu__desc_bytes(config->num), 16},
        {config->addr.avail, vhu__avail_bytes(config->num), 2},
        {config->addr.used, vhu__used_bytes(config->num), 4},
    };
    void *at[VHU__COUNT(parts)];

    if (config->num > VHU_MAX_RING_SIZE || !vhu__is_power_of_2(config->num) ||
        config->base > UINT16_MAX)
        return VHU_EINVAL;
    for (size_t i = 0; i < VHU__COUNT(parts); i++) {
        at[i] = vhu_memory_at_user(config->memory, parts[i].addr, parts[i].len);
        if (!at[i])
            return VHU_EFAULT;
        /* Where it is here decides what the processor sees; the region need not keep alignment. */
        if (((uintptr_t)at[i] | parts[i].addr) % parts[i].align != 0)
            return VHU_EINVAL;
    }
    queue->desc = at[0];
    queue->indirect_from =
        config->features & VHU_BIT(VHU_F_RING_INDIRECT_DESC) ? queue->desc : NULL;
    queue->avail = at[1];
    queue->used = at[2];
    queue->used_event = &queue->avail->ring[config->num];
    queue->avail_event = (uint16_t *)&queue->used->ring[config->num];
    queue->avail_idx = (uint16_t)config->base;
    queue->used_idx = vhu__le16(vhu__load_relaxed_u16(&queue->used->idx));
    queue->ops = queue->tracked ? &tracked_ops : &plain_ops;
    return 0;
}
