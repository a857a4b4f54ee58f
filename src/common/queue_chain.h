/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * From descriptors to the buffers of a request, whatever the layout of the ring that they are in. A
 * descriptor is copied once, then checked, then used, so it does not matter that the guest can
 * write to it all the time.
 *
 * What the specification leaves open is decided like this: a buffer of length 0 is no buffer and
 * its address is not looked at; an indirect table may lie in several regions, since the guest does
 * not know where regions meet, and need not be aligned; it may have more entries than the ring.
 *
 * What every request comes through is inline, and no structure of it is handed to anything that is
 * not, so that all of it stays in registers.
 */
#ifndef VHU_QUEUE_CHAIN_H
#define VHU_QUEUE_CHAIN_H

#include "endian.h"
#include "queue_internal.h"

/* --- descriptors --- */

/*
 * The table of descriptors that a walk is in, and the next one. A table that does not lie in one
 * piece here, or is not aligned, has no descriptors as far as this goes; queue->pieces has them.
 */
typedef struct vhu__cursor {
    const volatile vhu__desc *table;
    uint32_t count;
    uint32_t next;
} vhu__cursor;

/* A descriptor's copy, in the host's byte order and as wide as registers are. */
typedef struct vhu__item {
    uint64_t addr;
    uint32_t len;
    uint32_t flags;
    uint32_t next;
} vhu__item;

/* The slow paths, and what breaks the ring. */
bool vhu__break_outside(vhu_queue *queue, uint64_t addr, uint32_t len);
bool vhu__break_loop(vhu_queue *queue, const volatile vhu__desc *table, uint32_t count);
vhu__cursor vhu__break_indirect(vhu_queue *queue, const volatile vhu__desc *table, uint64_t addr,
                                uint32_t len, uint32_t flags);
vhu__cursor vhu__enter_translated(vhu_queue *queue);
/* How many bytes of a buffer are in one piece, for which vhu__window_at() is right then. */
uint64_t vhu__look(vhu_queue *queue, uint64_t addr, uint32_t len, uint32_t flags);
bool vhu__load_slowly(vhu_queue *queue, const volatile vhu__desc *table, uint32_t count,
                      uint32_t next, vhu__item *out);

/* Descriptors of the table that the walk is in. */
static inline uint32_t vhu__table_size(const vhu_queue *queue, vhu__cursor c)
{
    return c.table ? c.count : queue->pieces.count;
}

VHU__ALWAYS_INLINE vhu__item vhu__copy_desc(const volatile vhu__desc *from)
{
    return (vhu__item){.addr = vhu__le64(from->addr),
                       .len = vhu__le32(from->len),
                       .flags = vhu__le16(from->flags),
                       .next = vhu__le16(from->next)};
}

VHU__ALWAYS_INLINE vhu__item vhu__copy_packed(const volatile vhu__packed_desc *from)
{
    return (vhu__item){.addr = vhu__le64(from->addr),
                       .len = vhu__le32(from->len),
                       .flags = vhu__le16(from->flags),
                       .next = vhu__le16(from->id)};
}

VHU__ALWAYS_INLINE bool vhu__load_desc(vhu_queue *queue, vhu__cursor c, vhu__item *out)
{
    vhu__item slow; /* so that *out can be in registers */

    if (vhu__likely(c.next < c.count)) {
        *out = vhu__copy_desc(&c.table[c.next]);
        return true;
    }
    if (!vhu__load_slowly(queue, c.table, c.count, c.next, &slow))
        return false;
    *out = slow;
    return true;
}

/* Whether all of a buffer is in one region, which is then the window. */
VHU__ALWAYS_INLINE bool vhu__in_window(vhu_queue *queue, uint64_t addr, uint32_t len)
{
    return vhu__likely(vhu__window_has(&queue->window, addr, len)) ||
           (len > 0 && vhu__memory_look(queue->memory, &queue->window, addr, len) == len);
}

/*
 * The table that `d` points to; its WRITE flag is to be ignored. A table of size 0 if the ring
 * broke.
 */
VHU__ALWAYS_INLINE vhu__cursor vhu__enter_indirect(vhu_queue *queue, vhu__cursor c, vhu__item d)
{
    /* 16 bytes each. What is left over goes to the top, and makes a wrong length a huge one. */
    uint32_t count = d.len >> 4 | d.len << 28;
    const volatile void *table;

    if (vhu__unlikely(c.table != queue->indirect_from || (d.flags & VHU__DESC_NEXT) ||
                      count - 1 >= VHU_MAX_RING_SIZE))
        return vhu__break_indirect(queue, c.table, d.addr, d.len, d.flags);
    if (vhu__in_window(queue, d.addr, d.len)) {
        table = vhu__window_at(&queue->window, d.addr);
        /* The ring's own would pass for the ring, and could be entered for ever. */
        if (vhu__unlikely(table == queue->desc))
            return vhu__break_indirect(queue, c.table, d.addr, d.len, d.flags);
        if (vhu__likely((uintptr_t)table % sizeof(uint64_t) == 0))
            return (vhu__cursor){.table = table, .count = count};
    }
    if (d.addr + d.len < d.addr)
        return vhu__break_indirect(queue, c.table, d.addr, d.len, d.flags);
    queue->pieces.addr = d.addr;
    queue->pieces.count = count;
    if (vhu__unlikely(queue->iotlb))
        return vhu__enter_translated(queue);
    return (vhu__cursor){0};
}

/* --- buffers --- */

/*
 * Where the buffers of a request go. One entry is taken for each descriptor, so one bound does for
 * both the room and the length of the table; what takes more entries or none moves the latter.
 */
typedef struct vhu__sink {
    vhu_buf *next;
    vhu_buf *stop;      /* where the room ends, or before, where the table's descriptors would */
    uint32_t table_end; /* the latter as a number */
    uint32_t flags;     /* on slow paths: of the descriptor */
} vhu__sink;

/* A request on its way from descriptors to buffers. */
typedef struct vhu__walk {
    vhu__sink to;
    uint64_t len;   /* cannot wrap: at most 65536 times 32 bits */
    uint32_t flags; /* of the descriptor before */
} vhu__walk;

/* A buffer that is in several regions, empty, or nowhere, or for which there is no room. */
bool vhu__put_slowly(vhu_queue *queue, const vhu_chain *chain, vhu__sink *to, uint64_t addr,
                     uint32_t len);
bool vhu__break_order(vhu_queue *queue);
bool vhu__break_long(vhu_queue *queue, uint64_t len);

static inline void vhu__set_table_end(vhu__sink *to, const vhu_chain *chain, uint32_t table_end)
{
    to->table_end = table_end;
    to->stop = chain->bufs + (chain->capacity < table_end ? chain->capacity : table_end);
}

static inline uint32_t vhu__filled(const vhu__sink *to, const vhu_chain *chain)
{
    return (uint32_t)(to->next - chain->bufs);
}

/* What comes now is writable, or nothing. */
static inline void vhu__end_readable(vhu_chain *chain, const vhu__walk *walk)
{
    chain->num_readable = vhu__filled(&walk->to, chain);
    chain->readable_len = walk->len;
}

/* Begin with a table of so many descriptors. */
VHU__ALWAYS_INLINE vhu__walk vhu__walk_begin(const vhu_chain *chain, uint32_t table_size)
{
    vhu__walk walk = {.to.next = chain->bufs};

    vhu__set_table_end(&walk.to, chain, table_size);
    return walk;
}

/* Go on with an indirect table. */
VHU__ALWAYS_INLINE void vhu__walk_enter(vhu__walk *walk, const vhu_chain *chain,
                                        uint32_t table_size)
{
    vhu__set_table_end(&walk->to, chain, vhu__filled(&walk->to, chain) + table_size);
}

/* Add the buffer of a descriptor from the table at `c`. */
VHU__ALWAYS_INLINE bool vhu__walk_add(vhu_queue *queue, vhu_chain *chain, vhu__cursor c,
                                      vhu__walk *walk, vhu__item d)
{
    if ((d.flags ^ walk->flags) & VHU__DESC_WRITE) {
        if (vhu__unlikely(walk->flags & VHU__DESC_WRITE))
            return vhu__break_order(queue);
        vhu__end_readable(chain, walk);
    }
    walk->flags = d.flags;
    walk->len += d.len;
    if (vhu__likely(walk->to.next != walk->to.stop && vhu__in_window(queue, d.addr, d.len))) {
        *walk->to.next++ = (vhu_buf){vhu__window_at(&queue->window, d.addr), d.len};
    } else {
        vhu__sink slow = walk->to; /* so that the walk can be in registers */

        if (vhu__filled(&slow, chain) == slow.table_end)
            return vhu__break_loop(queue, c.table, c.count);
        slow.flags = d.flags;
        if (!vhu__put_slowly(queue, chain, &slow, d.addr, d.len))
            return false;
        walk->to = slow;
    }
    return true;
}

/* There are no more: what remains to be filled in of `chain`. */
VHU__ALWAYS_INLINE bool vhu__walk_end(vhu_queue *queue, vhu_chain *chain, const vhu__walk *walk,
                                      uint32_t head)
{
    /* Bytes of one request (virtio 1.x, "The Virtqueue Descriptor Table"). */
    if (vhu__unlikely(walk->len >> 32 != 0) && walk->len > UINT64_C(1) << 32)
        return vhu__break_long(queue, walk->len);
    if (!(walk->flags & VHU__DESC_WRITE))
        vhu__end_readable(chain, walk);
    chain->num_writable = vhu__filled(&walk->to, chain) - chain->num_readable;
    chain->writable_len = walk->len - chain->readable_len;
    chain->head = head;
    chain->written = 0;
    return true;
}

/* --- for a ring with a log --- */

/* Tell what of *written bytes went to the buffer of a descriptor; the rest is left in *written. */
bool vhu__report_dirty(vhu_queue *queue, vhu__item d, uint32_t *written);

#endif
