/* SPDX-License-Identifier: BSD-3-Clause */
/* A ring that somebody keeps a record of, or a log of what it writes, or both. */
#include "queue_chain.h"

/* --- what was out when the ring started comes first --- */

static bool again_has_avail(vhu_queue *queue)
{
    (void)queue;
    return true;
}

static bool again_enable_kicks(vhu_queue *queue)
{
    queue->layout->ops.enable_kicks(queue);
    return true;
}

static int take_again(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    uint32_t i;

    if (n > queue->num_again)
        n = queue->num_again;
    for (i = 0; i < n; i++) {
        if (!queue->layout->take_again(queue, &chains[i], queue->again[i]))
            break;
    }
    queue->again += i;
    queue->num_again -= i;
    queue->in_use += i;
    if (queue->num_again == 0) {
        queue->ops.has_avail = queue->layout->ops.has_avail;
        queue->ops.enable_kicks = queue->layout->ops.enable_kicks;
    }
    return queue->error[0] != '\0' && i == 0 ? VHU_EBROKEN_RING : (int)i;
}

static int refuse_start(vhu_queue *queue, int error)
{
    if (error == VHU_EINVAL)
        vhu__queue_break(queue, "the record of what is out is damaged, or that of another ring");
    else if (error == VHU_ENOSYS)
        vhu__queue_break(queue, "the record of what is out is of a kind that is not known");
    return error;
}

int vhu__tracked_start(vhu_queue *queue)
{
    int n = 0;

    queue->ops.take = vhu__tracked_take;
    queue->ops.complete = vhu__tracked_complete;
    if (queue->hooks.starting)
        n = queue->hooks.starting(queue->hooks.self, queue);
    if (n < 0)
        return refuse_start(queue, n);
    if (n == 0)
        return 0;
    queue->num_again = (uint32_t)n;
    queue->again_pos = queue->used_idx;
    queue->ops.has_avail = again_has_avail;
    queue->ops.enable_kicks = again_enable_kicks;
    return 0;
}

/* --- take and complete --- */

int vhu__tracked_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    int taken;

    if (vhu__unlikely(queue->num_again > 0))
        return take_again(queue, chains, n);
    taken = queue->layout->ops.take(queue, chains, n);
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
        uint32_t here = (uint32_t)vhu__look(queue, d.addr, len, d.flags);

        if (here == 0)
            return queue->fault.len == 0 && vhu__break_outside(queue, d.addr, d.len);
        queue->log.dirty(queue->log.self, vhu__window_at(&queue->window, d.addr), here);
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
    for (uint32_t i = 0; queue->log.dirty && i < n; i++) {
        if (queue->layout->report_dirty(queue, &chains[i]))
            continue;
        if (queue->error[0] != '\0') {
            vhu_queue_complete(queue, chains, n); /* to the broken ring */
            return;
        }
        queue->log.dirty(queue->log.self, NULL, 0);
        /* Nothing waits for this one. */
        queue->fault = (vhu__fault){0};
    }
    for (uint32_t i = 0; queue->layout->forget && i < n; i++)
        queue->layout->forget(queue, &chains[i]);
    queue->layout->fill(queue, chains, n);
    if (hooks->completing)
        hooks->completing(hooks->self, chains, n);
    queue->layout->publish(queue, chains, n);
    if (hooks->completed)
        hooks->completed(hooks->self, chains, n, queue->used_idx);
}
