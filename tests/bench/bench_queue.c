/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The descriptor path alone: take, complete and the question for a call, in one thread, against a
 * floor written by hand, which is measured in the same round.
 *
 * The driver's side is one store per turn, for both: the requests stand in the ring for good.
 * "each": one request per turn; "all": 32 of them.
 *
 *   bench_queue                                          the table
 *   bench_queue --instructions CASE each|all vhu|floor N   N requests and no clock, for callgrind:
 *                            the difference between two N, divided, is what a request costs
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <vmm_vhost/queue.h>

#include "atomic.h"
#include "support/driver_ring.h"
#include "util.h"

#define RING_SIZE 256u
#define BATCH 32u
#define MAX_BUFS 16u
#define ROUNDS 15u
#define REQUESTS_PER_ROUND 200000u
#define REGION_SIZE (UINT64_C(1) << 20)

typedef struct bench_case {
    const char *name;
    uint32_t descriptors;
    bool indirect;
    size_t regions;
} bench_case;

static const bench_case cases[] = {
    {"1", 1, false, 1},         {"3", 3, false, 1},         {"8", 8, false, 1},
    {"3-indirect", 3, true, 1}, {"8-indirect", 8, true, 1}, {"3-regions", 3, false, 8},
};

/* --- the floor: what a back-end that knows its ring cannot do without --- */

typedef struct floor_request {
    vhu_buf bufs[MAX_BUFS];
    uint32_t out, in;
    uint16_t head;
    uint32_t written;
} floor_request;

typedef struct floor_window {
    uint64_t guest_addr, size;
    uint8_t *base;
} floor_window;

typedef struct floor_ring {
    const vhu__desc *desc;
    const vhu__avail *avail;
    vhu__used *used;
    uint32_t num;
    uint16_t avail_idx, used_idx, called_idx;
    floor_window hit;
    size_t num_regions;
    floor_window regions[DRIVER_MAX_REGIONS];
} floor_ring;

static inline bool floor_has(const floor_window *w, uint64_t addr, uint64_t len)
{
    uint64_t offset = addr - w->guest_addr;

    return offset < w->size && len <= w->size - offset;
}

static bool floor_search(const floor_ring *ring, floor_window *w, uint64_t addr, uint64_t len)
{
    for (size_t i = 0; i < ring->num_regions; i++) {
        if (floor_has(&ring->regions[i], addr, len)) {
            *w = ring->regions[i];
            return true;
        }
    }
    return false;
}

static inline bool floor_walk(const floor_ring *ring, floor_request *request, floor_window *w)
{
    const vhu__desc *table = ring->desc, *d;
    uint32_t count = ring->num, i = request->head, n = 0, out = 0;

    for (;;) {
        if (i >= count || n >= MAX_BUFS)
            return false;
        d = &table[i];
        if (vhu__unlikely(!floor_has(w, d->addr, d->len)) &&
            !floor_search(ring, w, d->addr, d->len))
            return false;
        if (d->flags & VHU__DESC_INDIRECT) {
            table = (const vhu__desc *)(const void *)(w->base + (d->addr - w->guest_addr));
            count = d->len / (uint32_t)sizeof(*d);
            i = 0;
            continue;
        }
        request->bufs[n++] = (vhu_buf){w->base + (d->addr - w->guest_addr), d->len};
        if (!(d->flags & VHU__DESC_WRITE))
            out = n;
        if (!(d->flags & VHU__DESC_NEXT))
            break;
        i = d->next;
    }
    request->out = out;
    request->in = n - out;
    return true;
}

static uint32_t floor_take(floor_ring *ring, floor_request *requests, uint32_t n)
{
    const vhu__avail *ring_avail = ring->avail;
    uint16_t idx = ring->avail_idx;
    uint16_t avail = (uint16_t)(vhu__load_acquire_u16(&ring_avail->idx) - idx);
    uint32_t mask = ring->num - 1, i;
    floor_window w = ring->hit;

    if (n > avail)
        n = avail;
    for (i = 0; i < n; i++, idx++) {
        requests[i].head = ring_avail->ring[idx & mask];
        if (!floor_walk(ring, &requests[i], &w))
            break;
    }
    ring->hit = w;
    ring->avail_idx = idx;
    return i;
}

static void floor_complete(floor_ring *ring, const floor_request *requests, uint32_t n)
{
    vhu__used *used = ring->used;
    uint16_t idx = ring->used_idx;
    uint32_t mask = ring->num - 1;

    for (uint32_t i = 0; i < n; i++)
        used->ring[idx++ & mask] = (vhu__used_elem){requests[i].head, requests[i].written};
    ring->used_idx = idx;
    vhu__store_release_u16(&used->idx, idx);
}

static bool floor_needs_call(floor_ring *ring)
{
    uint16_t old = ring->called_idx, new = ring->used_idx;

    vhu__full_fence();
    ring->called_idx = new;
    return (uint16_t)(new - vhu__load_relaxed_u16(&ring->avail->ring[ring->num]) - 1) <
           (uint16_t)(new - old);
}

/* --- what both run on --- */

typedef struct bench {
    driver_memory memory;
    driver_ring driver;
    vhu_memory *device;
    vhu_queue *queue;
    vhu_chain chains[BATCH];
    vhu_buf bufs[BATCH][MAX_BUFS];
    floor_ring floor;
    floor_request requests[BATCH];
    uint64_t calls;
} bench;

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_queue: %s\n", what);
        exit(1);
    }
}

/* Fill the whole available ring with requests; the device meets them round and round. */
static void fill(bench *b, const bench_case *c)
{
    uint32_t requests = RING_SIZE / (c->indirect ? 1 : c->descriptors);
    uint32_t turn = 0;

    for (uint32_t i = 0; i < requests; i++) {
        driver_buf bufs[MAX_BUFS];

        for (uint32_t d = 0; d < c->descriptors; d++, turn++) {
            const vhu_mem_region *r = &b->memory.regions[turn % c->regions];

            bufs[d] = (driver_buf){.addr = r->guest_addr + REGION_SIZE / 2 + 512u * (turn % 64),
                                   .len = 512,
                                   .writable = d > 0};
        }
        check((c->indirect ? driver_ring_add_indirect(&b->driver, bufs, c->descriptors)
                           : driver_ring_add(&b->driver, bufs, c->descriptors)) >= 0,
              "no room in the ring");
    }
    for (uint32_t i = requests; i < RING_SIZE; i++)
        b->driver.avail->ring[i] = b->driver.avail->ring[i % requests];
    *driver_ring_used_event(&b->driver) = 0x8000;
}

static bench *bench_new(const bench_case *c)
{
    const uint64_t features = VHU_QUEUE_FEATURES;
    bench *b = calloc(1, sizeof(*b));
    vhu_queue_config config = {.size = sizeof(config), .features = features, .num = RING_SIZE};

    check(b != NULL, "out of memory");
    check(driver_memory_init(&b->memory, REGION_SIZE, c->regions, REGION_SIZE) == 0, "no memory");
    check(driver_ring_init(&b->driver, &b->memory, DRIVER_GUEST_BASE, RING_SIZE, features) == 0,
          "no ring");
    fill(b, c);
    check(vhu_memory_new(&b->device) == 0 && driver_memory_share(&b->memory, b->device) == 0,
          "cannot share memory");
    config.memory = b->device;
    config.addr = driver_ring_addr(&b->driver);
    check(vhu_queue_new(&b->queue) == 0 && vhu_queue_start(b->queue, &config) == 0,
          "cannot start the ring");
    for (uint32_t i = 0; i < BATCH; i++) {
        b->chains[i].bufs = b->bufs[i];
        b->chains[i].capacity = MAX_BUFS;
    }
    b->floor = (floor_ring){.num = RING_SIZE,
                            .desc = b->driver.desc,
                            .avail = b->driver.avail,
                            .used = b->driver.used,
                            .num_regions = c->regions};
    for (size_t i = 0; i < c->regions; i++) {
        const vhu_mem_region *r = &b->memory.regions[i];

        b->floor.regions[i] =
            (floor_window){r->guest_addr, r->size, b->memory.base + r->mmap_offset};
    }
    return b;
}

static void bench_free(bench *b)
{
    vhu_queue_free(b->queue);
    vhu_memory_free(b->device);
    driver_memory_destroy(&b->memory);
    free(b);
}

static void run_vhu(bench *b, uint32_t requests, uint32_t batch)
{
    uint16_t idx = (uint16_t)vhu_queue_base(b->queue);

    for (uint32_t done = 0; done < requests; done += batch) {
        idx = (uint16_t)(idx + batch);
        vhu__store_release_u16(&b->driver.avail->idx, idx);
        check(vhu_queue_take(b->queue, b->chains, batch) == (int)batch, "nothing to take");
        for (uint32_t i = 0; i < batch; i++)
            b->chains[i].written = 1;
        vhu_queue_complete(b->queue, b->chains, batch);
        b->calls += vhu_queue_needs_call(b->queue);
    }
}

static void run_floor(bench *b, uint32_t requests, uint32_t batch)
{
    uint16_t idx = b->floor.avail_idx;

    for (uint32_t done = 0; done < requests; done += batch) {
        idx = (uint16_t)(idx + batch);
        vhu__store_release_u16(&b->driver.avail->idx, idx);
        check(floor_take(&b->floor, b->requests, batch) == batch, "nothing to take");
        for (uint32_t i = 0; i < batch; i++)
            b->requests[i].written = 1;
        floor_complete(&b->floor, b->requests, batch);
        b->calls += floor_needs_call(&b->floor);
    }
}

/* --- measuring --- */

static uint64_t mallocs;

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *old, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *old, size_t size);

void *__wrap_malloc(size_t size)
{
    mallocs++;
    return __real_malloc(size);
}

void *__wrap_calloc(size_t n, size_t size)
{
    mallocs++;
    return __real_calloc(n, size);
}

void *__wrap_realloc(void *old, size_t size)
{
    mallocs++;
    return __real_realloc(old, size);
}

typedef void run_fn(bench *b, uint32_t requests, uint32_t batch);

/* Nanoseconds per request. */
static double measure(run_fn *run, bench *b, uint32_t batch)
{
    struct timespec begin, end;

    clock_gettime(CLOCK_MONOTONIC, &begin);
    run(b, REQUESTS_PER_ROUND, batch);
    clock_gettime(CLOCK_MONOTONIC, &end);
    return ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) /
           REQUESTS_PER_ROUND;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double median(double *values)
{
    qsort(values, ROUNDS, sizeof(*values), compare);
    return values[ROUNDS / 2];
}

static void measure_case(const bench_case *c)
{
    static const uint32_t batches[] = {1, BATCH};
    bench *b = bench_new(c);
    uint64_t mallocs_before;

    printf("%-12s", c->name);
    for (size_t mode = 0; mode < VHU__COUNT(batches); mode++) {
        double floor_ns[ROUNDS], vhu_ns[ROUNDS], ratio[ROUNDS];

        for (size_t i = 0; i < ROUNDS; i++) {
            floor_ns[i] = measure(run_floor, b, batches[mode]);
            vhu_ns[i] = measure(run_vhu, b, batches[mode]);
            ratio[i] = vhu_ns[i] / floor_ns[i];
        }
        printf(" %10.1f %6.1f", median(floor_ns), median(vhu_ns));
        /* The median sorts. */
        printf(" %6.2f", median(ratio));
        printf(" [%.2f-%.2f]", ratio[1], ratio[ROUNDS - 2]);
    }
    mallocs_before = mallocs;
    run_vhu(b, REQUESTS_PER_ROUND, BATCH);
    printf(" %8.2f\n", (double)(mallocs - mallocs_before) / REQUESTS_PER_ROUND);
    bench_free(b);
}

static int count_instructions(char **args)
{
    uint32_t batch = strcmp(args[1], "all") == 0 ? BATCH : 1;
    run_fn *run = strcmp(args[2], "floor") == 0 ? run_floor : run_vhu;

    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        if (strcmp(cases[i].name, args[0]) == 0) {
            bench *b = bench_new(&cases[i]);

            run(b, (uint32_t)strtoul(args[3], NULL, 10), batch);
            bench_free(b);
            return 0;
        }
    }
    fprintf(stderr, "bench_queue: no case %s\n", args[0]);
    return 2;
}

int main(int argc, char **argv)
{
    if (argc == 6 && strcmp(argv[1], "--instructions") == 0)
        return count_instructions(argv + 2);
    if (argc != 1) {
        fprintf(stderr, "usage: %s [--instructions CASE each|all vhu|floor N]\n", argv[0]);
        return 2;
    }
    printf("ns per request; medians of %u rounds, ratio with its spread\n", ROUNDS);
    printf("%-12s %-31s   %-31s\n", "", "  each: floor    vhu  ratio",
           "   all: floor    vhu  ratio");
    for (size_t i = 0; i < VHU__COUNT(cases); i++)
        measure_case(&cases[i]);
    return 0;
}
