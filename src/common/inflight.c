/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The order of the stores is what counts: at any point this process may be gone. The next one sees
 * all that came before, so the compiler alone has to keep the order: what is in the area is
 * volatile, and the used index, which is not, is fenced.
 */
#include "inflight.h"

#include <stdlib.h>
#include <vmm_vhost/shm.h>

#include "atomic.h"
#include "os.h"

/* A version of 0 says that no ring has used the area yet. */
enum { VERSION = 1 };

/* Each ring's part begins at a multiple of this. */
enum { ALIGNMENT = 64 };

/* In the host's byte order, all of it. */
typedef struct entry {
    uint8_t out; /* the request with this head: 0 or 1 */
    uint8_t pad[5];
    uint16_t next;    /* head that was completed before this one */
    uint64_t counter; /* says in which order requests were taken */
} entry;

typedef struct region {
    uint64_t features; /* none are defined */
    uint16_t version;
    uint16_t num;             /* entries */
    uint16_t last_batch_head; /* completed last: begin of the list */
    uint16_t used_idx;        /* up to which `out` is right */
    entry entries[];
} region;

_Static_assert(sizeof(entry) == 16 && sizeof(region) == 16, "in-flight area");

/* A ring's record. The ring's thread has it while the ring runs. */
typedef struct record {
    volatile region *region;
    uint16_t num;
    uint16_t last_batch_head;
    uint64_t counter;
    uint16_t *out; /* heads that were out when the ring started */
} record;

struct vhu__inflight {
    os_map map;
    uint16_t num_records;
    record records[];
};

static size_t region_bytes(uint16_t num)
{
    return sizeof(region) + sizeof(entry) * num;
}

static uint64_t stride(uint16_t num)
{
    return (region_bytes(num) + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Bytes of all parts; 0 if there are no such rings. */
static uint64_t area_bytes(const vhu_inflight_area *area)
{
    if (area->num_queues > VHU_MAX_RINGS || area->queue_size > VHU_MAX_RING_SIZE)
        return 0;
    return area->queue_size > 0 ? area->num_queues * stride(area->queue_size) : 0;
}

/* --- what somebody has left --- */

static int check(const region *r, uint16_t num)
{
    if (r->version > VERSION || r->features != 0)
        return VHU_ENOSYS;
    if (r->version == 0)
        return 0;
    if (r->num != num || r->last_batch_head >= num)
        return VHU_EINVAL;
    for (uint32_t i = 0; i < num; i++) {
        if (r->entries[i].out > 1 || r->entries[i].next >= num)
            return VHU_EINVAL;
    }
    return 0;
}

/* A copy that does not change any more, checked. */
static int copy_region(const record *rec, region **out)
{
    region *copy = malloc(region_bytes(rec->num));
    int r;

    if (!copy)
        return VHU_ENOMEM;
    *copy = *rec->region;
    for (uint32_t i = 0; i < rec->num; i++)
        copy->entries[i] = rec->region->entries[i];
    r = check(copy, rec->num);
    if (r < 0)
        free(copy);
    else
        *out = copy;
    return r;
}

static uint32_t count_out(const region *r, uint32_t num)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < num; i++)
        n += r->entries[i].out;
    return n;
}

/*
 * Requests that the driver was shown last may still be marked: the difference of the indices says
 * how many, and they are the first of the list.
 */
static int settle(region *r, uint16_t used_idx)
{
    uint16_t batch = (uint16_t)(used_idx - r->used_idx);
    uint16_t head = r->last_batch_head;

    if (batch > r->num)
        return VHU_EINVAL;
    for (; batch > 0; batch--) {
        r->entries[head].out = 0;
        head = r->entries[head].next;
    }
    return 0;
}

/* What is out, to be sorted by age. */
typedef struct request {
    uint64_t counter;
    uint16_t head;
} request;

static int compare(const void *a, const void *b)
{
    const request *x = a;
    const request *y = b;

    if (x->counter != y->counter)
        return x->counter < y->counter ? -1 : 1;
    return x->head < y->head ? -1 : 1;
}

/* The oldest first. */
static int list_out(record *rec, const region *r, uint32_t n)
{
    request *requests = malloc(n * sizeof(*requests));
    uint32_t at = 0;

    rec->out = malloc(n * sizeof(*rec->out));
    if (!requests || !rec->out) {
        free(requests);
        return VHU_ENOMEM;
    }
    for (uint16_t i = 0; i < r->num; i++) {
        if (r->entries[i].out)
            requests[at++] = (request){r->entries[i].counter, i};
    }
    qsort(requests, n, sizeof(*requests), compare);
    for (uint32_t i = 0; i < n; i++)
        rec->out[i] = requests[i].head;
    rec->counter = requests[n - 1].counter + 1;
    free(requests);
    return 0;
}

/* --- when a ring starts --- */

static void begin(record *rec, uint16_t used_idx)
{
    volatile region *to = rec->region;

    for (uint32_t i = 0; i < rec->num; i++)
        to->entries[i].out = 0;
    to->num = rec->num;
    to->last_batch_head = 0;
    to->used_idx = used_idx;
    to->version = VERSION;
}

/* Make the area say what the settled copy does. */
static void write_back(record *rec, const region *from, uint16_t used_idx)
{
    volatile region *to = rec->region;

    for (uint32_t i = 0; i < rec->num; i++) {
        if (!from->entries[i].out)
            to->entries[i].out = 0;
    }
    to->used_idx = used_idx;
}

/* How many are out. */
static int recover(record *rec, region *copy, uint32_t num, uint16_t used_idx)
{
    uint32_t n = count_out(copy, rec->num);
    int r;

    /* If nothing is out, the ring may be another one by now, with other indices. */
    if (n > 0) {
        r = settle(copy, used_idx);
        if (r < 0)
            return r;
        n = count_out(copy, num);
        if (n < count_out(copy, rec->num))
            return VHU_EINVAL;
    }
    r = n > 0 ? list_out(rec, copy, n) : 0;
    if (r < 0)
        return r;
    write_back(rec, copy, used_idx);
    rec->last_batch_head = copy->last_batch_head;
    return (int)n;
}

static int on_starting(void *self, uint32_t num, uint16_t used_idx, const uint16_t **heads)
{
    record *rec = self;
    region *copy;
    int r;

    if (num > rec->num)
        return VHU_EINVAL;
    free(rec->out);
    rec->out = NULL;
    rec->counter = 0;
    rec->last_batch_head = 0;
    r = copy_region(rec, &copy);
    if (r < 0)
        return r;
    if (copy->version == 0)
        begin(rec, used_idx);
    else
        r = recover(rec, copy, num, used_idx);
    free(copy);
    *heads = rec->out;
    return r;
}

/* --- while it runs --- */

static void on_taken(void *self, const vhu_chain *chain)
{
    record *rec = self;
    volatile entry *e = &rec->region->entries[chain->head];

    e->counter = rec->counter++;
    e->out = 1;
}

static void on_completing(void *self, const vhu_chain *chains, uint32_t n)
{
    record *rec = self;

    for (uint32_t i = 0; i < n; i++) {
        uint16_t head = (uint16_t)chains[i].head;

        rec->region->entries[head].next = rec->last_batch_head;
        rec->region->last_batch_head = rec->last_batch_head = head;
    }
    vhu__program_order();
}

static void on_completed(void *self, const vhu_chain *chains, uint32_t n, uint16_t used_idx)
{
    record *rec = self;

    vhu__program_order();
    for (uint32_t i = 0; i < n; i++)
        rec->region->entries[chains[i].head].out = 0;
    rec->region->used_idx = used_idx;
}

bool vhu__inflight_holds(const vhu__inflight *inflight, uint32_t num)
{
    return inflight->num_records == 0 || num <= inflight->records[0].num;
}

int vhu__inflight_track(vhu__inflight *inflight, uint32_t ring, vhu_queue *queue)
{
    vhu__queue_hooks hooks = {.starting = on_starting,
                              .taken = on_taken,
                              .completing = on_completing,
                              .completed = on_completed};

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
        record *rec = &inflight->records[i];

        rec->num = area->queue_size;
        rec->region = (volatile region *)((uint8_t *)base + i * stride(rec->num));
    }
    return 0;
}

static int check_records(const vhu__inflight *inflight)
{
    region *copy;
    int r = 0;

    for (uint16_t i = 0; r == 0 && i < inflight->num_records; i++) {
        r = copy_region(&inflight->records[i], &copy);
        if (r == 0)
            free(copy);
    }
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
        inflight->records[i].region->version = 0;
}
