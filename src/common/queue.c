/* SPDX-License-Identifier: BSD-3-Clause */
#include "queue_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Features that would change what is in the ring or when to call, and are not implemented. */
enum { F_NOTIFY_ON_EMPTY = 24, F_NOTIFICATION_DATA = 38 };
#define UNKNOWN_FEATURES (VHU_BIT(F_NOTIFY_ON_EMPTY) | VHU_BIT(F_NOTIFICATION_DATA))

/* --- no ring: stopped, or broken, so that the layouts need not ask --- */

static int none_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    (void)chains;
    (void)n;
    return queue->running ? VHU_EBROKEN_RING : VHU_ESTATE;
}

static void none_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    (void)chains;
    queue->in_use -= n < queue->in_use ? n : queue->in_use;
}

/* For what was completed before the ring broke. */
static bool none_needs_call(vhu_queue *queue)
{
    bool needs = queue->uncalled > 0;

    queue->uncalled = 0;
    return needs;
}

static bool none(vhu_queue *queue)
{
    (void)queue;
    return false;
}

static void none_disable_kicks(vhu_queue *queue)
{
    (void)queue;
}

static const vhu__queue_ops none_ops = {
    .take = none_take,
    .complete = none_complete,
    .needs_call = none_needs_call,
    .has_avail = none,
    .disable_kicks = none_disable_kicks,
    .enable_kicks = none,
};

bool vhu__queue_break(vhu_queue *queue, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(queue->error, sizeof(queue->error), format, args);
    va_end(args);
    queue->ops = none_ops;
    queue->order.complete = none_complete;
    return false;
}

/* --- life --- */

int vhu_queue_new(vhu_queue **out)
{
    *out = calloc(1, sizeof(**out));
    if (!*out)
        return VHU_ENOMEM;
    (*out)->ops = none_ops;
    (*out)->layout = &vhu__split_layout;
    return 0;
}

void vhu_queue_free(vhu_queue *queue)
{
    if (queue)
        vhu_queue_stop(queue);
    free(queue);
}

int vhu__queue_set_hooks(vhu_queue *queue, const vhu__queue_hooks *hooks)
{
    if (queue->running)
        return VHU_ESTATE;
    queue->hooks = hooks ? *hooks : (vhu__queue_hooks){0};
    queue->tracked = queue->hooks.self || queue->log.self;
    return 0;
}

int vhu__queue_set_log(vhu_queue *queue, const vhu__queue_log *log)
{
    if (queue->running)
        return VHU_ESTATE;
    queue->log = log ? *log : (vhu__queue_log){0};
    queue->tracked = queue->hooks.self || queue->log.self;
    return 0;
}

int vhu__queue_set_iotlb(vhu_queue *queue, vhu__iotlb *iotlb)
{
    if (queue->running)
        return VHU_ESTATE;
    queue->platform = iotlb;
    return 0;
}

const vhu__fault *vhu__queue_fault(const vhu_queue *queue)
{
    return queue->fault.len > 0 ? &queue->fault : NULL;
}

static void *locate_part(vhu_queue *queue, const vhu__queue_part *part)
{
    return queue->iotlb ? vhu__iommu_locate(queue, part)
                        : vhu_memory_at_user(queue->memory, part->addr, part->len);
}

int vhu__queue_locate(vhu_queue *queue, const vhu__queue_part *parts, void **at)
{
    for (size_t i = 0; i < VHU__QUEUE_PARTS; i++) {
        at[i] = locate_part(queue, &parts[i]);
        if (!at[i])
            return vhu__queue_fault(queue) ? VHU_EAGAIN : VHU_EFAULT;
        /* Where it is here decides what the processor sees; the region need not keep alignment. */
        if (((uintptr_t)at[i] | parts[i].addr) % parts[i].align != 0)
            return VHU_EINVAL;
    }
    return 0;
}

/* What is there comes from inside to outside: layout, tracking, order. */
static int choose_ops(vhu_queue *queue, uint64_t features)
{
    int r = 0;

    queue->ops = queue->layout->ops;
    if (queue->tracked)
        r = vhu__tracked_start(queue);
    if (r < 0)
        return r;
    return features & VHU_BIT(VHU_F_IN_ORDER) ? vhu__queue_order_start(queue) : 0;
}

/* A driver before 1.0 writes in the guest's byte order. */
static const vhu__queue_layout *choose_layout(const vhu_queue_config *c)
{
    if (c->features & VHU_BIT(VHU_F_RING_PACKED))
        return &vhu__packed_layout;
    return c->big_endian && !(c->features & VHU_BIT(VHU_F_VERSION_1)) ? &vhu__split_be_layout
                                                                      : &vhu__split_layout;
}

int vhu_queue_start(vhu_queue *queue, const vhu_queue_config *config)
{
    const vhu__queue_layout *layout;
    vhu_queue_config c;
    bool platform;
    int r;

    if (!vhu__copy_sized(&c, sizeof(c), config) || !c.memory)
        return VHU_EINVAL;
    if (queue->running)
        return VHU_ESTATE;
    platform = (c.features & VHU_BIT(VHU_F_ACCESS_PLATFORM)) != 0;
    if ((c.features & UNKNOWN_FEATURES) || (platform && !queue->platform))
        return VHU_ENOSYS;
    queue->error[0] = '\0';
    layout = choose_layout(&c);
    queue->big_endian = layout == &vhu__split_be_layout;
    queue->memory = platform ? vhu__memory_none() : c.memory;
    queue->window = (vhu__window){0};
    queue->iotlb = platform ? queue->platform : NULL;
    queue->behind = platform ? c.memory : NULL;
    queue->fault = (vhu__fault){0};
    r = layout->start(queue, &c);
    if (r < 0) {
        queue->memory = queue->behind = NULL;
        return r;
    }
    queue->layout = layout;
    queue->num = c.num;
    queue->in_use = 0;
    queue->indirect_from = c.features & VHU_BIT(VHU_F_RING_INDIRECT_DESC) ? queue->desc : NULL;
    queue->event_idx = (c.features & VHU_BIT(VHU_F_RING_EVENT_IDX)) != 0;
    queue->called = false;
    queue->uncalled = 0;
    r = choose_ops(queue, c.features);
    if (r < 0) {
        vhu_queue_stop(queue);
        return r;
    }
    queue->running = true;
    return 0;
}

void vhu_queue_stop(vhu_queue *queue)
{
    queue->ops = none_ops;
    queue->running = false;
    queue->in_use = 0;
    queue->num_again = 0;
    queue->uncalled = 0;
    queue->memory = queue->behind = NULL;
    vhu__kept_stop(queue);
    vhu__queue_order_stop(queue);
}

bool vhu_queue_is_running(const vhu_queue *queue)
{
    return queue->running;
}

uint32_t vhu_queue_base(const vhu_queue *queue)
{
    return queue->layout->base(queue);
}

uint32_t vhu__queue_num_again(const vhu_queue *queue)
{
    return queue->num_again;
}

uint32_t vhu_queue_in_use(const vhu_queue *queue)
{
    return queue->in_use - queue->order.num_early;
}

const char *vhu_queue_error(const vhu_queue *queue)
{
    return queue->error;
}

/* --- the layout's --- */

int vhu_queue_take(vhu_queue *queue, vhu_chain *chains, uint32_t n)
{
    return queue->ops.take(queue, chains, n);
}

void vhu_queue_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n)
{
    queue->ops.complete(queue, chains, n);
}

bool vhu_queue_needs_call(vhu_queue *queue)
{
    return queue->ops.needs_call(queue);
}

bool vhu_queue_has_avail(vhu_queue *queue)
{
    return queue->ops.has_avail(queue);
}

void vhu_queue_disable_kicks(vhu_queue *queue)
{
    queue->ops.disable_kicks(queue);
}

bool vhu_queue_enable_kicks(vhu_queue *queue)
{
    return queue->ops.enable_kicks(queue);
}
