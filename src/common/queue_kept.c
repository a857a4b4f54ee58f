/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a tracked packed ring keeps of the requests that are out: their descriptors, each in a slot,
 * as the ring may not have them any more. Places do not tell requests apart: while one is out, the
 * driver may come round to its place again. So free slots are a list, and a request is named by its
 * first one. Only of a ring in order the place is wanted, and is nobody else's.
 */
#include <stdlib.h>

#include "queue_chain.h"

int vhu__kept_start(vhu_queue *queue, uint32_t num, bool in_order)
{
    vhu__kept *kept = calloc(num, sizeof(*kept));
    uint16_t *slot_of = in_order ? calloc(num, sizeof(*slot_of)) : NULL;

    if (!kept || (in_order && !slot_of)) {
        free(kept);
        free(slot_of);
        return VHU_ENOMEM;
    }
    for (uint32_t i = 0; i < num; i++)
        kept[i].next = (uint16_t)(i + 1);
    queue->kept = kept;
    queue->slot_of = slot_of;
    queue->free_slot = 0;
    return 0;
}

void vhu__kept_stop(vhu_queue *queue)
{
    free(queue->kept);
    free(queue->slot_of);
    queue->kept = NULL;
    queue->slot_of = NULL;
}

void vhu__kept_name(vhu_queue *queue, vhu_chain *chain, uint16_t slot)
{
    if (queue->slot_of)
        queue->slot_of[chain->place] = slot;
    else
        chain->place = slot;
}

uint16_t vhu__kept_slot(const vhu_queue *queue, const vhu_chain *chain)
{
    return queue->slot_of ? queue->slot_of[chain->place] : chain->place;
}

void vhu__kept_add(vhu_queue *queue, vhu_chain *chain)
{
    const uint16_t first = queue->free_slot;
    uint32_t idx = chain->place;
    uint16_t last = first;

    for (uint32_t i = 0; i < chain->span; i++) {
        last = queue->free_slot;
        queue->kept[last].desc = queue->packed[idx];
        queue->free_slot = queue->kept[last].next;
        idx = idx + 1 < queue->num ? idx + 1 : 0;
    }
    queue->kept[first].last = last;
    queue->kept[first].span = chain->span;
    vhu__kept_name(queue, chain, first);
}

void vhu__kept_remove(vhu_queue *queue, const vhu_chain *chain)
{
    const uint16_t first = vhu__kept_slot(queue, chain);

    queue->kept[queue->kept[first].last].next = queue->free_slot;
    queue->free_slot = first;
}

/* --- the log --- */

static bool report_table(vhu_queue *queue, vhu__item d, uint32_t *written)
{
    vhu__cursor c = {.table = queue->desc};
    uint32_t n;

    c = vhu__enter_indirect(queue, c, d);
    n = vhu__table_size(queue, c);
    for (; *written > 0 && c.next < n; c.next++) {
        if (!vhu__load_desc(queue, c, &d))
            return false;
        d.flags = d.next;
        if (!vhu__report_dirty(queue, d, written))
            return false;
    }
    return n > 0;
}

bool vhu__kept_report_dirty(vhu_queue *queue, const vhu_chain *chain)
{
    uint32_t written = chain->written;
    uint32_t slot = vhu__kept_slot(queue, chain);

    for (uint32_t i = 0; i < chain->span && written > 0; i++) {
        vhu__item d = vhu__copy_packed(&queue->kept[slot].desc);

        if (!(d.flags & VHU__DESC_INDIRECT ? report_table(queue, d, &written)
                                           : vhu__report_dirty(queue, d, &written)))
            return false;
        slot = queue->kept[slot].next;
    }
    return true;
}
