/* SPDX-License-Identifier: BSD-3-Clause */
/* The area: made, mapped, and handed out to rings, whose layout knows what is in their part. */
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/shm.h>

#include "atomic.h"
#include "inflight_internal.h"
#include "os.h"

/* Each ring's part begins at a multiple of this. */
enum { ALIGNMENT = 64 };

struct vhu__inflight {
    vhu_inflight_area area;
    vhu_handle handle;
    const vhu__record_layout *layout; /* of what is mapped */
    os_map map;
    void *base;
    uint16_t num_records;
    vhu__record records[];
};

static const vhu__record_layout *layout_of(bool packed)
{
    return packed ? &vhu__packed_record : &vhu__split_record;
}

static uint64_t stride(const vhu__record_layout *layout, uint16_t num)
{
    return (layout->bytes(num) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Bytes of all parts; 0 if there are no such rings. */
static uint64_t area_bytes(const vhu_inflight_area *area, const vhu__record_layout *layout)
{
    if (area->num_queues > VHU_MAX_RINGS || area->queue_size > VHU_MAX_RING_SIZE)
        return 0;
    return area->queue_size > 0 ? area->num_queues * stride(layout, area->queue_size) : 0;
}

/* --- records --- */

static int check_head(const vhu__record *rec, const vhu__record_head *head)
{
    if (head->version > VHU__RECORD_VERSION || head->features != 0)
        return VHU_ENOSYS;
    return head->version == 0 || head->num == rec->num ? 0 : VHU_EINVAL;
}

/* A copy that does not change any more, checked. */
static int copy_record(const vhu__record *rec, void **out)
{
    const uint64_t bytes = rec->layout->bytes(rec->num);
    const volatile uint64_t *from = rec->region;
    uint8_t *copy = malloc(bytes);
    const vhu__record_head *head = (const void *)copy;
    int r;

    if (!copy)
        return VHU_ENOMEM;
    for (uint64_t i = 0; i < bytes; i += sizeof(*from)) {
        const uint64_t word = *from++;

        memcpy(copy + i, &word, sizeof(word));
    }
    r = check_head(rec, head);
    if (r == 0 && head->version > 0)
        r = rec->layout->check(rec, copy);
    if (r < 0)
        free(copy);
    else
        *out = copy;
    return r;
}

typedef struct request {
    uint64_t counter;
    uint16_t entry;
} request;

/* Two runs, the first `half` of `n` and the rest, as one. */
static void merge(const request *from, uint32_t half, uint32_t n, request *to)
{
    uint32_t a = 0, b = half;

    for (uint32_t i = 0; i < n; i++) {
        if (b == n || (a < half && from[a].counter <= from[b].counter))
            to[i] = from[a++];
        else
            to[i] = from[b++];
    }
}

/*
 * By age; where the result is. Somebody else has chosen the numbers, and there are systems whose
 * qsort() can be made to take the square of how many they are.
 */
static const request *sort(request *from, request *to, uint32_t n)
{
    for (uint32_t width = 1; width < n; width *= 2) {
        request *sorted = to;

        for (uint32_t i = 0; i < n; i += 2 * width) {
            const uint32_t left = n - i;

            merge(from + i, left < width ? left : width, left < 2 * width ? left : 2 * width,
                  to + i);
        }
        to = from;
        from = sorted;
    }
    return from;
}

int vhu__record_list(vhu__record *rec, const void *copy, uint32_t n)
{
    request *requests;
    const request *sorted;
    uint32_t at = 0;

    if (n == 0)
        return 0;
    requests = calloc(2 * (size_t)n, sizeof(*requests));
    rec->out = malloc(n * sizeof(*rec->out));
    if (!requests || !rec->out) {
        free(requests);
        return VHU_ENOMEM;
    }
    for (uint32_t i = 0; i < rec->num && at < n; i++) {
        requests[at].entry = (uint16_t)i;
        at += rec->layout->is_out(copy, i, &requests[at].counter);
    }
    sorted = sort(requests, requests + n, n);
    for (uint32_t i = 0; i < n; i++)
        rec->out[i] = sorted[i].entry;
    rec->counter = sorted[n - 1].counter + 1;
    free(requests);
    return 0;
}

static int on_starting(void *self, vhu_queue *queue)
{
    vhu__record *rec = self;
    void *copy;
    int r;

    if (queue->num > rec->num)
        return VHU_EINVAL;
    free(rec->out);
    rec->out = NULL;
    rec->counter = 0;
    rec->last_batch_head = 0;
    r = copy_record(rec, &copy);
    if (r < 0)
        return r;
    if (((const vhu__record_head *)copy)->version == 0)
        rec->layout->begin(rec, queue);
    else
        r = rec->layout->recover(rec, queue, copy);
    free(copy);
    rec->queue = queue;
    queue->again = rec->out;
    return r;
}

/* --- the area --- */

int vhu__inflight_create(vhu_inflight_area *area, bool packed, vhu_handle *handle)
{
    uint64_t bytes = area_bytes(area, layout_of(packed));
    vhu_shm *shm;
    int r;

    if (bytes == 0)
        return VHU_EINVAL;
    r = vhu_shm_new(&shm, bytes);
    if (r < 0)
        return r;
    r = os_handle_dup(vhu_shm_handle(shm), handle);
    vhu_shm_free(shm);
    if (r < 0)
        return r;
    area->mmap_size = bytes;
    area->mmap_offset = 0;
    return 0;
}

static void forget_records(vhu__inflight *inflight)
{
    for (uint16_t i = 0; i < inflight->num_records; i++)
        free(inflight->records[i].out);
    os_unmap(&inflight->map);
    inflight->num_records = 0;
    inflight->layout = NULL;
}

/* Have this layout's records in the place of those that there are; if that fails, none. */
static int map_records(vhu__inflight *inflight, const vhu__record_layout *layout)
{
    const vhu_inflight_area *area = &inflight->area;
    uint64_t bytes = area_bytes(area, layout);
    int r;

    forget_records(inflight);
    if (bytes == 0 || bytes > area->mmap_size)
        return VHU_EINVAL;
    r = os_map_shared(&inflight->map, inflight->handle, area->mmap_offset, bytes, &inflight->base);
    if (r < 0)
        return r;
    if ((uintptr_t)inflight->base % sizeof(uint64_t) != 0)
        return VHU_EINVAL;
    for (uint16_t i = 0; i < area->num_queues; i++)
        inflight->records[i] = (vhu__record){.layout = layout,
                                             .region = (uint8_t *)inflight->base +
                                                       i * stride(layout, area->queue_size),
                                             .num = area->queue_size};
    inflight->num_records = area->num_queues;
    inflight->layout = layout;
    return 0;
}

int vhu__inflight_open(vhu__inflight **out, const vhu_inflight_area *area, bool packed,
                       vhu_handle *handle)
{
    vhu__inflight *inflight =
        calloc(1, sizeof(*inflight) + area->num_queues * sizeof(inflight->records[0]));
    int r;

    if (!inflight)
        return VHU_ENOMEM;
    inflight->area = *area;
    inflight->handle = *handle;
    r = map_records(inflight, layout_of(packed));
    if (r < 0) {
        inflight->handle = VHU_NO_HANDLE;
        vhu__inflight_close(inflight);
        return r;
    }
    *handle = VHU_NO_HANDLE;
    *out = inflight;
    return 0;
}

void vhu__inflight_choose(vhu__inflight *inflight, bool packed)
{
    if (inflight && inflight->layout != layout_of(packed))
        (void)map_records(inflight, layout_of(packed));
}

int vhu__inflight_check(const vhu__inflight *inflight)
{
    void *copy;
    int r = 0;

    for (uint16_t i = 0; r == 0 && i < inflight->num_records; i++) {
        r = copy_record(&inflight->records[i], &copy);
        if (r == 0)
            free(copy);
    }
    return r;
}

void vhu__inflight_close(vhu__inflight *inflight)
{
    if (!inflight)
        return;
    forget_records(inflight);
    vhu_handle_close(&inflight->handle);
    free(inflight);
}

/* Nothing is left of a layout either: the rings that come may have another one. */
void vhu__inflight_clear(vhu__inflight *inflight)
{
    if (!inflight || !inflight->layout)
        return;
    for (uint16_t i = 0; i < inflight->num_records; i++)
        ((volatile vhu__record_head *)inflight->records[i].region)->version = 0;
    vhu__program_order();
    memset(inflight->base, 0, area_bytes(&inflight->area, inflight->layout));
}

/* --- rings --- */

void vhu__inflight_end(vhu__inflight *inflight, uint32_t ring)
{
    vhu__record *rec;
    uint64_t counter;

    if (!inflight || ring >= inflight->num_records)
        return;
    rec = &inflight->records[ring];
    for (uint32_t i = 0; i < rec->num; i++) {
        if (rec->layout->is_out(rec->region, i, &counter))
            return;
    }
    ((volatile vhu__record_head *)rec->region)->version = 0;
}

bool vhu__inflight_holds(const vhu__inflight *inflight, uint32_t num)
{
    return inflight->layout && num <= inflight->area.queue_size;
}

int vhu__inflight_track(vhu__inflight *inflight, uint32_t ring, vhu_queue *queue)
{
    vhu__queue_hooks hooks;

    if (!inflight || ring >= inflight->num_records)
        return vhu__queue_set_hooks(queue, NULL);
    hooks = (vhu__queue_hooks){.self = &inflight->records[ring],
                               .starting = on_starting,
                               .taken = inflight->layout->taken,
                               .completing = inflight->layout->completing,
                               .completed = inflight->layout->completed};
    return vhu__queue_set_hooks(queue, &hooks);
}
