/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The descriptor path alone: take, complete and the question for a call, in one thread, against a
 * floor written by hand, which is measured in the same round.
 *
 * The driver's side is one store per turn, for both: the requests stand in the ring for good. Of a
 * packed ring, where they do not, it is a copy of their descriptors.
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

#include "bench/floor.h"

#define RING_SIZE 256u
#define BATCH 32u
#define MAX_BUFS FLOOR_MAX_BUFS
#define ROUNDS 15u
#define REQUESTS_PER_ROUND 200000u
#define REGION_SIZE (UINT64_C(1) << 20)

typedef struct bench_case {
    const char *name;
    uint32_t descriptors;
    bool indirect;
    size_t regions;
    bool packed;
} bench_case;

static const bench_case cases[] = {
    {"1", 1, false, 1, false},
    {"3", 3, false, 1, false},
    {"8", 8, false, 1, false},
    {"3-indirect", 3, true, 1, false},
    {"8-indirect", 8, true, 1, false},
    {"3-regions", 3, false, 8, false},
    {"packed-1", 1, false, 1, true},
    {"packed-3", 3, false, 1, true},
    {"packed-8", 8, false, 1, true},
    {"packed-3-indirect", 3, true, 1, true},
    {"packed-8-indirect", 8, true, 1, true},
};

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
    /* Packed: the whole ring, as it is made available in laps of both kinds. */
    vhu__packed_desc laps[2][RING_SIZE];
    uint32_t span; /* of a request */
} bench;

static void check(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "bench_queue: %s\n", what);
        exit(1);
    }
}

/* Take them out of the ring again. */
static void fill_laps(bench *b)
{
    driver_ring *ring = &b->driver;

    driver_ring_publish(ring);
    for (uint32_t i = 0; i < ring->num; i++) {
        b->laps[0][i] = b->laps[1][i] = ring->packed[i];
        b->laps[0][i].flags ^= VHU__PACKED_MARKS;
    }
    driver_ring_set_index(ring, (uint16_t)VHU__POS_START);
    *ring->driver_event = (vhu__packed_event){VHU__POS_WRAP, VHU__EVENT_DESC};
}

/* Fill the whole available ring with requests; the device meets them round and round. */
static void fill(bench *b, const bench_case *c)
{
    uint32_t requests = RING_SIZE / b->span;
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
    if (c->packed) {
        fill_laps(b);
        return;
    }
    for (uint32_t i = requests; i < RING_SIZE; i++)
        b->driver.avail->ring[i] = b->driver.avail->ring[i % requests];
    *driver_ring_used_event(&b->driver) = 0x8000;
}

static bench *bench_new(const bench_case *c)
{
    const uint64_t withheld =
        VHU_BIT(VHU_F_IN_ORDER) | (c->packed ? 0 : VHU_BIT(VHU_F_RING_PACKED));
    const uint64_t features = VHU_QUEUE_FEATURES & ~withheld;
    bench *b = calloc(1, sizeof(*b));
    vhu_queue_config config = {.size = sizeof(config), .features = features};

    check(b != NULL, "out of memory");
    b->span = c->indirect ? 1 : c->descriptors;
    config.num = c->packed ? RING_SIZE / b->span * b->span : RING_SIZE;
    check(driver_memory_init(&b->memory, REGION_SIZE, c->regions, REGION_SIZE) == 0, "no memory");
    check(driver_ring_init(&b->driver, &b->memory, DRIVER_GUEST_BASE, config.num, features) == 0,
          "no ring");
    config.base = driver_ring_base(&b->driver);
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
    b->floor = (floor_ring){.num = config.num,
                            .packed = b->driver.packed,
                            .event = b->driver.driver_event,
                            .avail_wrap = true,
                            .used_wrap = true,
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

static void check_taken(int taken, uint32_t batch)
{
    check(taken == (int)batch, "nothing to take");
}

static void serve_vhu(bench *b, uint32_t batch)
{
    check_taken(vhu_queue_take(b->queue, b->chains, batch), batch);
    for (uint32_t i = 0; i < batch; i++)
        b->chains[i].written = 1;
    vhu_queue_complete(b->queue, b->chains, batch);
    b->calls += vhu_queue_needs_call(b->queue);
}

static void run_vhu(bench *b, uint32_t requests, uint32_t batch)
{
    uint16_t idx = (uint16_t)vhu_queue_base(b->queue);

    for (uint32_t done = 0; done < requests; done += batch) {
        idx = (uint16_t)(idx + batch);
        vhu__store_release_u16(&b->driver.avail->idx, idx);
        serve_vhu(b, batch);
    }
}

static void run_floor(bench *b, uint32_t requests, uint32_t batch)
{
    uint16_t idx = b->floor.avail_idx;

    for (uint32_t done = 0; done < requests; done += batch) {
        idx = (uint16_t)(idx + batch);
        vhu__store_release_u16(&b->driver.avail->idx, idx);
        check_taken((int)floor_take(&b->floor, b->requests, batch), batch);
        for (uint32_t i = 0; i < batch; i++)
            b->requests[i].written = 1;
        floor_complete(&b->floor, b->requests, batch);
        b->calls += floor_needs_call(&b->floor);
    }
}

/* Make descriptors available, but not over the end: the position behind them. */
static uint32_t copy_lap(bench *b, uint32_t pos, uint32_t n)
{
    uint32_t idx = pos & VHU__POS_IDX;

    memcpy(&b->driver.packed[idx], &b->laps[pos >> 15][idx], n * sizeof(vhu__packed_desc));
    return vhu__pos_add(pos, n, b->driver.num);
}

static uint32_t offer_packed(bench *b, uint32_t pos, uint32_t batch)
{
    uint32_t n = batch * b->span;
    uint32_t left = b->driver.num - (pos & VHU__POS_IDX);

    if (n > left) {
        pos = copy_lap(b, pos, left);
        n -= left;
    }
    return copy_lap(b, pos, n);
}

static void run_vhu_packed(bench *b, uint32_t requests, uint32_t batch)
{
    uint32_t pos = vhu_queue_base(b->queue) & UINT16_MAX;

    for (uint32_t done = 0; done < requests; done += batch) {
        pos = offer_packed(b, pos, batch);
        serve_vhu(b, batch);
    }
}

static void run_floor_packed(bench *b, uint32_t requests, uint32_t batch)
{
    uint32_t pos = b->floor.avail_idx | (b->floor.avail_wrap ? (uint32_t)VHU__POS_WRAP : 0);

    for (uint32_t done = 0; done < requests; done += batch) {
        pos = offer_packed(b, pos, batch);
        check_taken((int)floor_take_packed(&b->floor, b->requests, batch), batch);
        for (uint32_t i = 0; i < batch; i++)
            b->requests[i].written = 1;
        floor_complete_packed(&b->floor, b->requests, batch);
        b->calls += floor_needs_call_packed(&b->floor);
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

static run_fn *const runs[2][2] = {{run_floor, run_vhu}, {run_floor_packed, run_vhu_packed}};

static void measure_case(const bench_case *c)
{
    run_fn *const *run = runs[c->packed];
    static const uint32_t batches[] = {1, BATCH};
    bench *b = bench_new(c);
    uint64_t mallocs_before;

    printf("%-18s", c->name);
    for (size_t mode = 0; mode < VHU__COUNT(batches); mode++) {
        double floor_ns[ROUNDS], vhu_ns[ROUNDS], ratio[ROUNDS];

        for (size_t i = 0; i < ROUNDS; i++) {
            floor_ns[i] = measure(run[0], b, batches[mode]);
            vhu_ns[i] = measure(run[1], b, batches[mode]);
            ratio[i] = vhu_ns[i] / floor_ns[i];
        }
        printf(" %10.1f %6.1f", median(floor_ns), median(vhu_ns));
        /* The median sorts. */
        printf(" %6.2f", median(ratio));
        printf(" [%.2f-%.2f]", ratio[1], ratio[ROUNDS - 2]);
    }
    mallocs_before = mallocs;
    run[1](b, REQUESTS_PER_ROUND, BATCH);
    printf(" %8.2f\n", (double)(mallocs - mallocs_before) / REQUESTS_PER_ROUND);
    bench_free(b);
}

static int count_instructions(char **args)
{
    uint32_t batch = strcmp(args[1], "all") == 0 ? BATCH : 1;
    bool vhu = strcmp(args[2], "floor") != 0;

    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        if (strcmp(cases[i].name, args[0]) == 0) {
            bench *b = bench_new(&cases[i]);

            runs[cases[i].packed][vhu](b, (uint32_t)strtoul(args[3], NULL, 10), batch);
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
    printf("%-18s %-31s   %-31s\n", "", "  each: floor    vhu  ratio",
           "   all: floor    vhu  ratio");
    for (size_t i = 0; i < VHU__COUNT(cases); i++)
        measure_case(&cases[i]);
    return 0;
}
