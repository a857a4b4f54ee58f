/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring that somebody keeps a record of. */
#include "queue_chain.h"

int vhu__tracked_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    int taken = queue->layout->ops.take(queue, chains, n);

    for (int i = 0; i < taken; i++) {
        if (queue->layout->keep)
            queue->layout->keep(queue, &chains[i]);
        if (queue->hooks.taken)
            queue->hooks.taken(queue->hooks.self, &chains[i]);
    }
    return taken;
}

bool vhu__report_dirty(vhu_queue *queue, vhu__item d, uint32_t *written)
{
    while ((d.flags & VHU__DESC_WRITE) && d.len > 0 && *written > 0) {
        uint32_t len = d.len < *written ? d.len : *written;
        uint32_t here = (uint32_t)vhu__memory_look(queue->memory, &queue->window, d.addr, len);

        if (here == 0)
            return vhu__break_outside(queue, d.addr, d.len);
        queue->hooks.dirty(queue->hooks.self, d.addr, here);
        d.addr += here;
        d.len -= here;
        *written -= here;
    }
    return true;
}

void vhu__tracked_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    const vhu__queue_hooks *hooks = &queue->hooks;

    if (n > queue->in_use)
        n = queue->in_use;
    if (n == 0)
        return;
    for (uint32_t i = 0; hooks->dirty && i < n; i++) {
        if (!queue->layout->report_dirty(queue, &chains[i])) {
            vhu_queue_complete(queue, chains, n); /* to the broken ring */
            return;
        }
    }
    queue->layout->fill(queue, chains, n);
    if (hooks->completing)
        hooks->completing(hooks->self, chains, n);
    queue->layout->publish(queue, chains, n);
    if (hooks->completed)
        hooks->completed(hooks->self, chains, n, queue->used_idx);
}
