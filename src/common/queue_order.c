/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IN_ORDER: requests are shown to the driver in the order in which they were taken, in whatever
 * order the device does them. What comes early waits in a table, at its place in the ring.
 */
#include <stdlib.h>

#include "queue_internal.h"

static uint32_t behind(const vhu_queue *queue, uint32_t place, uint32_t span)
{
    return place + span < queue->num ? place + span : place + span - queue->num;
}

/* A split ring does not say places, but any will do that are in this order. */
static int ordered_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    vhu__queue_order *order = &queue->order;
    int taken = order->take(queue, chains, n);

    for (int i = 0; i < taken; i++) {
        if (queue->layout != &vhu__packed_layout) {
            chains[i].place = (uint16_t)order->next;
            chains[i].span = 1;
        }
        order->next = behind(queue, chains[i].place, chains[i].span);
    }
    return taken;
}

/* The oldest go at once; the others as soon as those before them have come. */
static void ordered_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    vhu__queue_order *order = &queue->order;
    uint32_t out = queue->in_use - order->num_early;
    uint32_t i = 0;

    if (n > out)
        n = out;
    while (i < n && chains[i].place == order->oldest)
        order->oldest = behind(queue, order->oldest, chains[i++].span);
    order->complete(queue, chains, i);
    for (; i < n; i++) {
        order->early[chains[i].place] = chains[i];
        order->num_early++;
    }
    while (order->num_early > 0 && order->early[order->oldest].span > 0) {
        vhu_chain *chain = &order->early[order->oldest];

        order->oldest = behind(queue, order->oldest, chain->span);
        order->num_early--;
        order->complete(queue, chain, 1);
        chain->span = 0;
    }
}

/* Of what is taken first, which is what was out when the ring started. */
static uint32_t first_place(const vhu_queue *queue)
{
    if (queue->layout != &vhu__packed_layout)
        return 0;
    return (queue->num_again > 0 ? queue->again_pos : queue->avail_idx) & VHU__POS_IDX;
}

int vhu__queue_order_start(vhu_queue *queue)
{
    vhu__queue_order *order = &queue->order;

    order->early = calloc(queue->num, sizeof(*order->early));
    if (!order->early)
        return VHU_ENOMEM;
    order->num_early = 0;
    order->oldest = order->next = first_place(queue);
    order->take = queue->ops.take;
    order->complete = queue->ops.complete;
    queue->ops.take = ordered_take;
    queue->ops.complete = ordered_complete;
    return 0;
}

void vhu__queue_order_stop(vhu_queue *queue)
{
    free(queue->order.early);
    queue->order = (vhu__queue_order){0};
}
