/* SPDX-License-Identifier: BSD-3-Clause */
/* Chains of descriptors: what few requests come through, and what breaks the ring. */
#include "queue_chain.h"

#include <inttypes.h>

/* --- faults --- */

bool vhu__break_outside(vhu_queue *queue, uint64_t addr, uint32_t len)
{
    return vhu__queue_break(queue, "%" PRIu32 " bytes at 0x%" PRIx64 " lie outside of memory", len,
                            addr);
}

/* The table's name, and how many descriptors it has. */
static const char *table_name(const vhu_queue *queue, const volatile vhu__desc *table)
{
    return table == queue->desc ? "ring" : "table";
}

static uint32_t table_size(const vhu_queue *queue, const volatile vhu__desc *table, uint32_t count)
{
    return vhu__table_size(queue, (vhu__cursor){.table = table, .count = count});
}

bool vhu__break_loop(vhu_queue *queue, const volatile vhu__desc *table, uint32_t count)
{
    if (queue->layout == &vhu__packed_layout && table == queue->desc)
        return vhu__queue_break(
            queue, "request of more than the %" PRIu32 " descriptors that are not out", count);
    return vhu__queue_break(queue, "descriptors form a loop: more than the %" PRIu32 " of the %s",
                            table_size(queue, table, count), table_name(queue, table));
}

vhu__cursor vhu__break_indirect(vhu_queue *queue, const volatile vhu__desc *table, uint64_t addr,
                                uint32_t len, uint32_t flags)
{
    const char *why = "its address wraps round, or its table is the ring's own";

    if (!queue->indirect_from)
        why = "the feature was not negotiated";
    else if (table != queue->desc)
        why = "it is in an indirect table itself";
    else if (flags & VHU__DESC_NEXT)
        why = "it has a next descriptor, too";
    else if (len % sizeof(vhu__desc) != 0 || len == 0)
        why = "its length is no number of descriptors";
    else if (len / sizeof(vhu__desc) > VHU_MAX_RING_SIZE)
        why = "its table has more than 32768 descriptors";
    vhu__queue_break(queue,
                     "indirect descriptor (%" PRIu32 " bytes at 0x%" PRIx64 ", flags 0x%x): %s",
                     len, addr, (unsigned)flags, why);
    queue->pieces.count = 0;
    return (vhu__cursor){0};
}

bool vhu__break_order(vhu_queue *queue)
{
    return vhu__queue_break(queue, "readable descriptor after a writable one");
}

bool vhu__break_long(vhu_queue *queue, uint64_t len)
{
    return vhu__queue_break(queue, "request of %" PRIu64 " bytes, more than 2^32", len);
}

/* --- slow paths --- */

uint64_t vhu__look(vhu_queue *queue, uint64_t addr, uint32_t len, uint32_t flags)
{
    if (queue->iotlb)
        return vhu__iommu_look(queue, addr, len,
                               flags & VHU__DESC_WRITE ? VHU_IOTLB_WO : VHU_IOTLB_RO);
    return vhu__memory_look(queue->memory, &queue->window, addr, len);
}

/* Nothing is there: a fault, unless its translation is still to come. */
static bool is_nowhere(vhu_queue *queue, uint64_t addr, uint32_t len)
{
    return queue->fault.len == 0 && vhu__break_outside(queue, addr, len);
}

static vhu__item copy_be_desc(const vhu__desc *from)
{
    return (vhu__item){.addr = vhu__be64(from->addr),
                       .len = vhu__be32(from->len),
                       .flags = vhu__be16(from->flags),
                       .next = vhu__be16(from->next)};
}

/* A descriptor, wherever its bytes are. */
static bool copy_pieces(vhu_queue *queue, uint64_t addr, vhu__item *out)
{
    union {
        vhu__desc desc;
        uint8_t bytes[sizeof(vhu__desc)];
    } raw;

    for (uint32_t i = 0; i < sizeof(raw);) {
        uint64_t here = vhu__look(queue, addr + i, (uint32_t)sizeof(raw) - i, 0);

        if (here == 0)
            return is_nowhere(queue, addr, sizeof(raw));
        for (; here > 0; here--, i++)
            raw.bytes[i] = *(const volatile uint8_t *)vhu__window_at(&queue->window, addr + i);
    }
    *out = queue->big_endian ? copy_be_desc(&raw.desc) : vhu__copy_desc(&raw.desc);
    return true;
}

/* The table in pieces is in one after all, as often as not. */
vhu__cursor vhu__enter_translated(vhu_queue *queue)
{
    const uint32_t len = queue->pieces.count * (uint32_t)sizeof(vhu__desc);
    const void *table;

    if (vhu__look(queue, queue->pieces.addr, len, 0) != len)
        return (vhu__cursor){0};
    table = vhu__window_at(&queue->window, queue->pieces.addr);
    if ((uintptr_t)table % sizeof(uint64_t) != 0 || table == queue->desc)
        return (vhu__cursor){0};
    return (vhu__cursor){.table = table, .count = queue->pieces.count};
}

bool vhu__load_slowly(vhu_queue *queue, const volatile vhu__desc *table, uint32_t count,
                      uint32_t next, vhu__item *out)
{
    uint32_t size = table_size(queue, table, count);

    if (next >= size)
        return vhu__queue_break(queue, "descriptor %" PRIu32 " is asked for, the %s has %" PRIu32,
                                next, table_name(queue, table), size);
    return copy_pieces(queue, queue->pieces.addr + sizeof(vhu__desc) * (uint64_t)next, out);
}

bool vhu__put_slowly(vhu_queue *queue, const vhu_chain *chain, vhu__sink *to, uint64_t addr,
                     uint32_t len)
{
    const vhu_buf *begin = to->next;

    while (len > 0) {
        uint64_t here = vhu__look(queue, addr, len, to->flags);

        if (here == 0)
            return is_nowhere(queue, addr, len);
        if (vhu__filled(to, chain) == chain->capacity)
            return vhu__queue_break(queue, "request of more than %" PRIu32 " buffers",
                                    chain->capacity);
        *to->next++ = (vhu_buf){vhu__window_at(&queue->window, addr), (size_t)here};
        addr += here;
        len -= (uint32_t)here;
    }
    vhu__set_table_end(to, chain, to->table_end - 1 + (uint32_t)(to->next - begin));
    return true;
}
