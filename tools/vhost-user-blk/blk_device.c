/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_device.h"

#include <stdlib.h>
#include <string.h>

enum {
    DEPTH = 256,     /* requests a worker can have in hand; more stay in the rings */
    TAKE_BATCH = 64, /* requests taken from a ring before others have their turn */
    DONE_BATCH = 64  /* requests given back at once */
};

/* A ring, while it runs: on its worker. */
struct blk_ring {
    vhu_ring *ring;
    struct blk_worker *worker;
    struct blk_ring *next_done;
    bool write_through;
    bool has_done; /* in the worker's list */
    uint32_t num_done;
    vhu_chain done[DONE_BATCH];
};

struct blk_worker {
    struct blk_lane lane;
    struct blk_device *device;
    struct blk_ring *done; /* rings that have requests to give back, or a call to make */
    bool has_complained;
    uint32_t num_free;
    struct blk_request *free[DEPTH];
    struct blk_request *pool;
};

/* --- set-up --- */

int blk_device_prepare(struct blk_device *device)
{
    const struct program_settings *settings = &device->program.settings;

    device->workers = calloc(settings->workers, sizeof *device->workers);
    device->rings = calloc(settings->num_queues, sizeof *device->rings);
    return device->workers && device->rings ? 0 : -1;
}

void blk_device_free(struct blk_device *device)
{
    free(device->workers);
    free(device->rings);
    device->workers = NULL;
    device->rings = NULL;
}

struct blk_counters blk_device_counters(const struct blk_device *device)
{
    struct blk_counters sum = {0};

    for (unsigned i = 0; i < device->program.settings.workers; ++i)
        blk_counters_add(&sum, &device->workers[i].lane.counters);
    return sum;
}

static void request_done(struct blk_request *request);

int blk_device_worker_start(void *self, unsigned index, uv_loop_t *loop)
{
    struct blk_device *device = self;
    struct blk_worker *worker = &device->workers[index];
    int rc;

    worker->device = device;
    worker->lane.blk = &device->blk;
    worker->lane.done = request_done;
    worker->pool = malloc(DEPTH * sizeof *worker->pool);
    if (!worker->pool)
        return VHU_ENOMEM;
    for (worker->num_free = 0; worker->num_free < DEPTH; ++worker->num_free)
        worker->free[worker->num_free] = &worker->pool[worker->num_free];

    rc = device->engine->start(&worker->lane.engine, &device->disk, loop, DEPTH, blk_io_done);
    if (!rc)
        return 0;
    program_say(&device->program, "worker %u: %s: %s", index, device->engine->name, strerror(-rc));
    free(worker->pool);
    worker->pool = NULL;
    return VHU_EOS;
}

void blk_device_worker_stop(void *self, unsigned index)
{
    struct blk_device *device = self;
    struct blk_worker *worker = &device->workers[index];

    device->engine->free(worker->lane.engine);
    worker->lane.engine = NULL;
    free(worker->pool);
    worker->pool = NULL;
}

/* --- requests --- */

static void give_back(struct blk_ring *ring)
{
    if (ring->num_done == 0)
        return;
    vhu_ring_complete(ring->ring, ring->done, ring->num_done);
    ring->num_done = 0;
}

static void complain(struct blk_worker *worker, const struct blk_request *request)
{
    if (worker->has_complained)
        return;
    worker->has_complained = true;
    program_say(&worker->device->program, "disk error: %s (further ones are only counted)",
                strerror(request->error));
}

static void request_done(struct blk_request *request)
{
    struct blk_ring *ring = request->owner;
    struct blk_worker *worker = ring->worker;

    if (request->error)
        complain(worker, request);
    if (ring->num_done == DONE_BATCH)
        give_back(ring);
    ring->done[ring->num_done++] = request->chain;
    worker->free[worker->num_free++] = request;
    if (!ring->has_done) {
        ring->has_done = true;
        ring->next_done = worker->done;
        worker->done = ring;
    }
}

static void ring_started(void *self, vhu_ring *vring)
{
    struct blk_device *device = self;
    struct blk_ring *ring = &device->rings[vhu_ring_index(vring)];

    ring->ring = vring;
    ring->worker = &device->workers[vhu_ring_worker(vring)];
    /* A driver that does not flush relies on writes that stay (5.2.6.2). */
    ring->write_through = !(vhu_ring_features(vring) & VHU_BIT(BLK_F_FLUSH));
    vhu_ring_set_data(vring, ring);
}

static void handle_ring(void *self, vhu_ring *vring)
{
    struct blk_ring *ring = vhu_ring_data(vring);
    struct blk_worker *worker = ring->worker;
    struct blk_request *requests[TAKE_BATCH];
    vhu_chain chains[TAKE_BATCH];
    const uint32_t room = worker->num_free < TAKE_BATCH ? worker->num_free : TAKE_BATCH;

    (void)self;
    for (uint32_t i = 0; i < room; ++i) {
        requests[i] = worker->free[worker->num_free - 1 - i];
        chains[i] = (vhu_chain){.bufs = requests[i]->bufs, .capacity = BLK_BUFS};
    }
    const uint32_t taken = vhu_ring_take(vring, chains, room);
    worker->num_free -= taken;
    for (uint32_t i = 0; i < taken && i < room; ++i) {
        requests[i]->chain = chains[i];
        requests[i]->owner = ring;
        blk_start(&worker->lane, requests[i], ring->write_through);
    }
}

/* Once for all rings: submit what they asked for, then show them what has been done. */
static bool poll_worker(void *self, unsigned index)
{
    struct blk_device *device = self;
    struct blk_worker *worker = &device->workers[index];
    bool any = device->engine->poll(worker->lane.engine);

    while (worker->done) {
        struct blk_ring *ring = worker->done;
        worker->done = ring->next_done;
        ring->has_done = false;
        give_back(ring);
        vhu_ring_flush(ring->ring);
        any = true;
    }
    return any;
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    const struct blk_device *device = self;

    return blk_get_config(&device->blk, offset, buf, len);
}

const vhu_device_ops blk_device_ops = {.size = sizeof blk_device_ops,
                                       .get_config = get_config,
                                       .ring_started = ring_started,
                                       .handle_ring = handle_ring,
                                       .poll = poll_worker};
