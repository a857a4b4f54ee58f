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

/* A table of descriptors and where in it a walk has come to. Kept in registers: never pass its
 * address to a function that is not inlined. */
typedef struct cursor {
    const volatile uint64_t *table; /* NULL: not in one piece here, or not aligned */
    uint64_t guest_addr;            /* of an indirect table */
    uint32_t count;
    uint32_t left; /* descriptors to come at the most; more make a loop */
    uint32_t next;
    bool indirect;
} cursor;

/* --- descriptors --- */

static inline vhu__desc unpack(uint64_t addr, uint64_t rest)
{
    rest = vhu__le64(rest);
    return (vhu__desc){.addr = vhu__le64(addr),
                       .len = (uint32_t)rest,
                       .flags = (uint16_t)(rest >> 32),
                       .next = (uint16_t)(rest >> 48)};
}

static bool break_outside(vhu_queue *queue, uint64_t addr, uint32_t len)
{
    return vhu__queue_break(queue, "%" PRIu32 " bytes at 0x%" PRIx64 " lie outside of memory", len,
                            addr);
}

/* Copy a descriptor of a table whose bytes are anywhere. */
static bool copy_desc(vhu_queue *queue, uint64_t addr, vhu__desc *desc)
{
    union {
        uint64_t words[2];
        uint8_t bytes[16];
    } raw;

    for (uint32_t i = 0; i < sizeof(raw); i++) {
        if (!vhu__window_has(&queue->window, addr + i, 1) &&
            vhu__memory_look(queue->memory, &queue->window, addr + i, 1) == 0)
            return break_outside(queue, addr, sizeof(raw));
        raw.bytes[i] = *(const volatile uint8_t *)vhu__window_at(&queue->window, addr + i);
    }
    *desc = unpack(raw.words[0], raw.words[1]);
    return true;
}

static bool break_walk(vhu_queue *queue, const cursor c)
{
    const char *table = c.indirect ? "indirect table" : "ring";

    if (c.next >= c.count)
        return vhu__queue_break(queue, "next descriptor is %" PRIu32 ", the %s has %" PRIu32,
                                c.next, table, c.count);
    return vhu__queue_break(queue, "descriptors form a loop: more than the %" PRIu32 " of the %s",
                            c.count, table);
}

VHU__ALWAYS_INLINE bool load_desc(vhu_queue *queue, cursor *c, vhu__desc *desc)
{
    if (vhu__unlikely(c->next >= c->count || c->left == 0))
        return break_walk(queue, *c);
    c->left--;
    if (vhu__likely(c->table != NULL)) {
        *desc = unpack(c->table[2 * c->next], c->table[2 * c->next + 1]);
        return true;
    }
    vhu__desc copy;
    bool ok = copy_desc(queue, c->guest_addr + sizeof(copy) * (uint64_t)c->next, &copy);

    *desc = copy;
    return ok;
}

static bool break_indirect(vhu_queue *queue, const vhu__desc desc, bool nested)
{
    if (!queue->indirect)
        return vhu__queue_break(queue, "indirect descriptor, but the feature was not negotiated");
    if (nested)
        return vhu__queue_break(queue, "indirect descriptor inside an indirect table");
    if (desc.flags & VHU__DESC_NEXT)
        return vhu__queue_break(queue, "indirect descriptor with a next one (flags 0x%x)",
                                (unsigned)desc.flags);
    return vhu__queue_break(
        queue, "indirect table of %" PRIu32 " bytes: not 1 to %u descriptors of 16 bytes", desc.len,
        VHU_MAX_RING_SIZE);
}

/* Make the cursor walk the table that `desc` points to. Its WRITE flag is to be ignored. */
VHU__ALWAYS_INLINE bool enter_indirect(vhu_queue *queue, cursor *c, const vhu__desc *desc)
{
    uint32_t count = desc->len / (uint32_t)sizeof(vhu__desc);

    if (vhu__unlikely(!queue->indirect || c->indirect || (desc->flags & VHU__DESC_NEXT) ||
                      desc->len % sizeof(vhu__desc) != 0 || count - 1 >= VHU_MAX_RING_SIZE))
        return break_indirect(queue, *desc, c->indirect);
    *c = (cursor){.guest_addr = desc->addr, .count = count, .left = count, .indirect = true};
    if (vhu__likely(vhu__window_has(&queue->window, desc->addr, desc->len)) ||
        vhu__memory_look(queue->memory, &queue->window, desc->addr, desc->len) == desc->len) {
        void *table = vhu__window_at(&queue->window, desc->addr);

        if (vhu__likely((uintptr_t)table % sizeof(uint64_t) == 0))
            c->table = table;
        return true;
    }
    return desc->addr + desc->len > desc->addr || break_outside(queue, desc->addr, desc->len);
}

/* The next descriptor of a chain that holds a buffer. */
VHU__ALWAYS_INLINE bool next_desc(vhu_queue *queue, cursor *c, vhu__desc *desc)
{
    if (!load_desc(queue, c, desc))
        return false;
    if (desc->flags & VHU__DESC_INDIRECT) {
        if (!enter_indirect(queue, c, desc) || !load_desc(queue, c, desc))
            return false;
        if (vhu__unlikely(desc->flags & VHU__DESC_INDIRECT))
            return break_indirect(queue, *desc, true);
    }
    c->next = desc->next;
    return true;
}

static inline cursor first_desc(const vhu_queue *queue, uint32_t head)
{
    return (cursor){.table = queue->desc, .count = queue->num, .left = queue->num, .next = head};
}

/* --- take --- */

/*
 * Append a buffer that is not simply in the window: in several regions, in another one, empty, or
 * too much. The new number of entries, 0 if the ring broke: never so for no buffer.
 */
static bool append_slowly(vhu_queue *queue, const vhu_chain *chain, uint32_t *n, uint64_t addr,
                          uint32_t len)
{
    while (len > 0) {
        uint64_t here = vhu__memory_look(queue->memory, &queue->window, addr, len);

        if (here == 0)
            return break_outside(queue, addr, len);
        if (*n == chain->capacity)
            return vhu__queue_break(queue, "request of more than %" PRIu32 " buffers",
                                    chain->capacity);
        chain->bufs[(*n)++] = (vhu_buf){vhu__window_at(&queue->window, addr), (size_t)here};
        addr += here;
        len -= (uint32_t)here;
    }
    return true;
}

static bool take_chain(vhu_queue *queue, vhu_chain *chain, uint32_t head)
{
    vhu_buf *const bufs = chain->bufs;
    const uint32_t capacity = chain->capacity;
    cursor c = first_desc(queue, head);
    vhu__desc desc;
    uint64_t len = 0, readable_len = 0; /* cannot wrap: at most 65536 times 32 bits */
    uint32_t n = 0, num_readable = 0;
    bool writable = false;

    do {
        if (!next_desc(queue, &c, &desc))
            return false;
        if ((desc.flags & VHU__DESC_WRITE) && !writable) {
            writable = true;
            num_readable = n;
            readable_len = len;
        } else if (vhu__unlikely(!(desc.flags & VHU__DESC_WRITE) && writable)) {
            return vhu__queue_break(queue, "readable descriptor after a writable one");
        }
        if (vhu__likely(n < capacity && vhu__window_has(&queue->window, desc.addr, desc.len))) {
            bufs[n++] = (vhu_buf){vhu__window_at(&queue->window, desc.addr), desc.len};
        } else {
            uint32_t more = n;

            if (!append_slowly(queue, chain, &more, desc.addr, desc.len))
                return false;
            n = more;
        }
        len += desc.len;
    } while (desc.flags & VHU__DESC_NEXT);

    if (vhu__unlikely(len > MAX_CHAIN_LEN))
        return vhu__queue_break(queue, "request of %" PRIu64 " bytes, more than 2^32", len);
    if (!writable) {
        num_readable = n;
        readable_len = len;
    }
    chain->num_readable = num_readable;
    chain->num_writable = n - num_readable;
    chain->head = head;
    chain->written = 0;
    chain->readable_len = readable_len;
    chain->writable_len = len - readable_len;
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

VHU__ALWAYS_INLINE int take(vhu_queue *queue, vhu_chain *chains, uint32_t n, bool tracked)
{
    uint16_t idx = vhu__le16(vhu__load_acquire_u16(&queue->avail->idx));
    uint32_t avail = (uint16_t)(idx - queue->avail_idx);
    uint32_t mask = queue->num - 1;
    uint32_t i;

    /* What is available and what is out are different descriptors. */
    if (vhu__unlikely(avail > queue->num - queue->in_use)) {
        break_avail(queue, idx, avail);
        return VHU_EBROKEN_RING;
    }
    if (n > avail)
        n = avail;
    for (i = 0; i < n; i++) {
        const uint16_t *entry = &queue->avail->ring[queue->avail_idx & mask];
        uint16_t head = vhu__le16(vhu__load_relaxed_u16(entry));

        if (vhu__unlikely(head >= queue->num)) {
            vhu__queue_break(queue, "head is descriptor %u, the ring has %" PRIu32, (unsigned)head,
                             queue->num);
            break;
        }
        if (!take_chain(queue, &chains[i], head))
            break;
        queue->avail_idx++;
        queue->in_use++;
        if (tracked && queue->hooks.taken)
            queue->hooks.taken(queue->hooks.self, head);
    }
    return i == 0 && n > 0 ? VHU_EBROKEN_RING : (int)i;
}

/* --- complete --- */

/* Tell the hook what of a chain's memory the device wrote. */
static bool report_dirty(vhu_queue *queue, const vhu_chain *chain)
{
    cursor c = first_desc(queue, chain->head);
    uint32_t written = chain->written;
    vhu__desc desc = {.flags = VHU__DESC_NEXT};

    while (written > 0 && (desc.flags & VHU__DESC_NEXT)) {
        if (!next_desc(queue, &c, &desc))
            return false;
        if (!(desc.flags & VHU__DESC_WRITE))
            continue;
        while (desc.len > 0 && written > 0) {
            uint32_t len = desc.len < written ? desc.len : written;
            uint32_t here =
                (uint32_t)vhu__memory_look(queue->memory, &queue->window, desc.addr, len);

            if (here == 0)
                return break_outside(queue, desc.addr, desc.len);
            queue->hooks.dirty(queue->hooks.self, desc.addr, here);
            desc.addr += here;
            desc.len -= here;
            written -= here;
        }
    }
    return true;
}

static bool report_before(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    for (uint32_t i = 0; queue->hooks.dirty && i < n; i++) {
        if (!report_dirty(queue, &chains[i]))
            return false;
    }
    if (queue->hooks.completing)
        queue->hooks.completing(queue->hooks.self, chains, n);
    return true;
}

static void report_used(const vhu_queue *queue, const void *at, uint64_t len)
{
    if (queue->tracked && queue->hooks.used_dirty)
        queue->hooks.used_dirty(
            queue->hooks.self, (uint64_t)((const uint8_t *)at - (const uint8_t *)queue->used), len);
}

VHU__ALWAYS_INLINE void complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n,
                                 bool tracked)
{
    uint32_t mask = queue->num - 1;
    uint16_t idx = queue->used_idx;

    if (vhu__unlikely(n > queue->in_use))
        n = queue->in_use;
    queue->in_use -= n;
    if (tracked && !report_before(queue, chains, n))
        return;
    for (uint32_t i = 0; i < n; i++) {
        vhu__used_elem *elem = &queue->used->ring[idx++ & mask];

        elem->id = vhu__le32(chains[i].head);
        elem->len = vhu__le32(chains[i].written);
        if (tracked)
            report_used(queue, elem, sizeof(*elem));
    }
    queue->used_idx = idx;
    queue->uncalled += n;
    vhu__store_release_u16(&queue->used->idx, vhu__le16(idx));
    if (tracked) {
        report_used(queue, &queue->used->idx, sizeof(queue->used->idx));
        if (queue->hooks.completed)
            queue->hooks.completed(queue->hooks.self, chains, n, idx);
    }
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

static int plain_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    return take(queue, chains, n, false);
}

static int tracked_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    return take(queue, chains, n, true);
}

static void plain_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    complete(queue, chains, n, false);
}

static void tracked_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    complete(queue, chains, n, true);
}

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
    queue->avail = at[1];
    queue->used = at[2];
    queue->used_event = &queue->avail->ring[config->num];
    queue->avail_event = (uint16_t *)&queue->used->ring[config->num];
    queue->avail_idx = (uint16_t)config->base;
    queue->used_idx = vhu__le16(vhu__load_relaxed_u16(&queue->used->idx));
    queue->ops = queue->tracked ? &tracked_ops : &plain_ops;
    return 0;
}
