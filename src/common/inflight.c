/* SPDX-License-Identifier: BSD-3-Clause */
/* The area: made, mapped, and handed out to rings, whose layout knows what is in their part. */
#include <stdlib.h>
#include <vmm_vhost/shm.h>

#include "inflight_internal.h"
#include "os.h"

/* Each ring's part begins at a multiple of this. */
enum { ALIGNMENT = 64 };

struct vhu__inflight {
    os_map map;
    uint16_t num_records;
    vhu__record records[];
};

static uint64_t stride(uint16_t num)
{
    return (vhu__split_record.bytes(num) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Bytes of all parts; 0 if there are no such rings. */
static uint64_t area_bytes(const vhu_inflight_area *area)
{
    if (area->num_queues > VHU_MAX_RINGS || area->queue_size > VHU_MAX_RING_SIZE)
        return 0;
    return area->queue_size > 0 ? area->num_queues * stride(area->queue_size) : 0;
}

/* --- what records share --- */

int vhu__record_check_head(const vhu__record *rec, const vhu__record_head *head)
{
    if (head->version > VHU__RECORD_VERSION || head->features != 0)
        return VHU_ENOSYS;
    return head->version == 0 || head->num == rec->num ? 0 : VHU_EINVAL;
}

static int compare(const void *a, const void *b)
{
    const vhu__record_request *x = a;
    const vhu__record_request *y = b;

    if (x->counter != y->counter)
        return x->counter < y->counter ? -1 : 1;
    return x->entry < y->entry ? -1 : 1;
}

int vhu__record_list(vhu__record *rec, vhu__record_request *requests, uint32_t n)
{
    rec->out = malloc(n * sizeof(*rec->out));
    if (!rec->out)
        return VHU_ENOMEM;
    qsort(requests, n, sizeof(*requests), compare);
    for (uint32_t i = 0; i < n; i++)
        rec->out[i] = requests[i].entry;
    rec->counter = requests[n - 1].counter + 1;
    return 0;
}

/* --- rings --- */

bool vhu__inflight_holds(const vhu__inflight *inflight, uint32_t num)
{
    return inflight->num_records == 0 || num <= inflight->records[0].num;
}

int vhu__inflight_track(vhu__inflight *inflight, uint32_t ring, vhu_queue *queue)
{
    vhu__queue_hooks hooks = vhu__split_record.hooks;

    if (!inflight || ring >= inflight->num_records)
        return vhu__queue_set_hooks(queue, NULL);
    hooks.self = &inflight->records[ring];
    return vhu__queue_set_hooks(queue, &hooks);
}

/* --- the area --- */

int vhu__inflight_create(vhu_inflight_area *area, vhu_handle *handle)
{
    uint64_t bytes = area_bytes(area);
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

static int map_records(vhu__inflight *inflight, const vhu_inflight_area *area, vhu_handle handle)
{
    uint64_t bytes = area_bytes(area);
    void *base;
    int r;

    if (bytes == 0 || bytes > area->mmap_size)
        return VHU_EINVAL;
    r = os_map_shared(&inflight->map, handle, area->mmap_offset, bytes, &base);
    if (r < 0)
        return r;
    if ((uintptr_t)base % sizeof(uint64_t) != 0)
        return VHU_EINVAL;
    inflight->num_records = area->num_queues;
    for (uint16_t i = 0; i < area->num_queues; i++) {
        vhu__record *rec = &inflight->records[i];

        rec->num = area->queue_size;
        rec->region = (uint8_t *)base + i * stride(rec->num);
    }
    return 0;
}

static int check_records(const vhu__inflight *inflight)
{
    int r = 0;

    for (uint16_t i = 0; r == 0 && i < inflight->num_records; i++)
        r = vhu__split_record.check(&inflight->records[i]);
    return r;
}

int vhu__inflight_open(vhu__inflight **out, const vhu_inflight_area *area, vhu_handle *handle)
{
    vhu__inflight *inflight =
        calloc(1, sizeof(*inflight) + area->num_queues * sizeof(inflight->records[0]));
    int r;

    if (!inflight)
        return VHU_ENOMEM;
    r = map_records(inflight, area, *handle);
    if (r == 0)
        r = check_records(inflight);
    if (r < 0) {
        vhu__inflight_close(inflight);
        return r;
    }
    vhu_handle_close(handle);
    *out = inflight;
    return 0;
}

void vhu__inflight_close(vhu__inflight *inflight)
{
    if (!inflight)
        return;
    for (uint16_t i = 0; i < inflight->num_records; i++)
        free(inflight->records[i].out);
    os_unmap(&inflight->map);
    free(inflight);
}

void vhu__inflight_clear(vhu__inflight *inflight)
{
    for (uint16_t i = 0; inflight && i < inflight->num_records; i++)
        ((volatile vhu__record_head *)inflight->records[i].region)->version = 0;
}
