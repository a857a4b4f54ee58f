/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk_driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

enum {
    BUFS = 3,        /* header, data, status */
    SLICE_MS = 200,  /* how long to sleep before looking whether the back-end is there */
    HEADER_ROOM = 32 /* header and status */
};

/* In guest memory: header, status, data. */
struct slot {
    struct blk_driver_request request; /* first: it is what the caller has */
    uint8_t *header;
    uint64_t addr;
};

struct blk_driver {
    vhu_remote *remote;
    struct blk_driver_options options;
    vhu_driver_ring *ring;
    vhu_event *kick;
    vhu_event *call;
    uint32_t num_free;
    struct slot **free;
    struct slot *slots;
    char error[160];
};

/* --- memory --- */

static uint64_t slot_bytes(const struct blk_driver_options *options)
{
    return HEADER_ROOM + (uint64_t)options->max_len;
}

/* Where the requests begin: behind the ring. */
static uint64_t place(const struct blk_driver_options *options, vhu_driver_ring_config *config)
{
    /* Without indirect descriptors a request takes three of the ring's. */
    *config = (vhu_driver_ring_config){
        .size = sizeof *config, .layout.num = options->depth * 4, .table_len = BUFS};
    return vhu_driver_ring_place(config, options->memory);
}

uint64_t blk_driver_bytes(const struct blk_driver_options *options)
{
    vhu_driver_ring_config config;

    return place(options, &config) - options->memory + options->depth * slot_bytes(options);
}

static int make_slots(struct blk_driver *driver, uint64_t addr)
{
    const struct blk_driver_options *o = &driver->options;

    driver->slots = calloc(o->depth, sizeof *driver->slots);
    driver->free = calloc(o->depth, sizeof(struct slot *));
    if (!driver->slots || !driver->free)
        return VHU_ENOMEM;
    for (uint32_t i = 0; i < o->depth; ++i) {
        struct slot *slot = &driver->slots[i];

        slot->addr = addr + i * slot_bytes(o);
        slot->header = vhu_memory_at(vhu_remote_memory(driver->remote), slot->addr, slot_bytes(o));
        if (!slot->header)
            return VHU_EFAULT;
        slot->request.data = slot->header + HEADER_ROOM;
        driver->free[driver->num_free++] = slot;
    }
    return 0;
}

static int make_ring(struct blk_driver *driver, vhu_driver_ring_config *config)
{
    int r;

    config->memory = vhu_remote_memory(driver->remote);
    config->features = vhu_remote_features(driver->remote);
    r = vhu_driver_ring_new(&driver->ring, config);
    if (r == 0)
        r = vhu_remote_set_ring(driver->remote, driver->options.ring, &config->layout,
                                vhu_driver_ring_base(driver->ring));
    if (r == 0) {
        driver->kick = vhu_remote_event(driver->remote, driver->options.ring, VHU_VRING_KICK);
        driver->call = vhu_remote_event(driver->remote, driver->options.ring, VHU_VRING_CALL);
    }
    return r;
}

int blk_driver_new(struct blk_driver **out, vhu_remote *remote,
                   const struct blk_driver_options *options)
{
    struct blk_driver *driver = calloc(1, sizeof *driver);
    vhu_driver_ring_config config;
    uint64_t end;
    int r;

    if (!driver)
        return VHU_ENOMEM;
    driver->remote = remote;
    driver->options = *options;
    end = place(options, &config);
    r = make_ring(driver, &config);
    if (r == 0)
        r = make_slots(driver, end);
    if (r < 0) {
        blk_driver_free(driver);
        return r;
    }
    *out = driver;
    return 0;
}

void blk_driver_free(struct blk_driver *driver)
{
    if (!driver)
        return;
    vhu_driver_ring_free(driver->ring);
    free(driver->free);
    free(driver->slots);
    free(driver);
}

int blk_driver_capacity(vhu_remote *remote, uint64_t *sectors)
{
    uint8_t config[8];
    const int r = vhu_remote_get_config(remote, BLK_CONFIG_CAPACITY, config, sizeof config);

    if (r == 0)
        *sectors = load_le64(config);
    return r;
}

const char *blk_driver_error(const struct blk_driver *driver)
{
    return driver->error;
}

/* --- many at once --- */

struct blk_driver_request *blk_driver_get(struct blk_driver *driver)
{
    return driver->num_free > 0 ? &driver->free[--driver->num_free]->request : NULL;
}

void blk_driver_put(struct blk_driver *driver, struct blk_driver_request *request)
{
    driver->free[driver->num_free++] = (struct slot *)request;
}

/* Which way the data go. */
static bool reads(uint32_t type)
{
    return type == BLK_T_IN || type == BLK_T_GET_ID;
}

int blk_driver_submit(struct blk_driver *driver, struct blk_driver_request *request)
{
    struct slot *slot = (struct slot *)request;
    const vhu_guest_buf header = {slot->addr, BLK_HEADER_SIZE};
    const vhu_guest_buf status = {slot->addr + BLK_HEADER_SIZE, 1};
    const vhu_guest_buf data = {slot->addr + HEADER_ROOM, request->len};
    vhu_guest_buf bufs[BUFS] = {header};
    const uint32_t has_data = request->len > 0;
    const uint32_t readable = reads(request->type) ? 1 : 1 + has_data;

    if (request->len > driver->options.max_len)
        return VHU_EINVAL;
    if (has_data)
        bufs[1] = data;
    bufs[1 + has_data] = status;
    memset(slot->header, 0, HEADER_ROOM);
    store_le(slot->header + BLK_HEADER_TYPE, 4, request->type);
    store_le(slot->header + BLK_HEADER_SECTOR, 8, request->sector);
    slot->header[BLK_HEADER_SIZE] = 0xff;
    return vhu_driver_ring_add(driver->ring, bufs, readable, 2 + has_data - readable, slot);
}

void blk_driver_kick(struct blk_driver *driver)
{
    if (vhu_driver_ring_publish(driver->ring))
        vhu_event_signal(driver->kick);
}

int blk_driver_reap(struct blk_driver *driver, struct blk_driver_request **done, uint32_t n)
{
    vhu_driver_used used[16];
    int got;

    if (n > sizeof used / sizeof used[0])
        n = sizeof used / sizeof used[0];
    got = vhu_driver_ring_collect(driver->ring, used, n);
    if (got < 0)
        snprintf(driver->error, sizeof driver->error, "%s", vhu_driver_ring_error(driver->ring));
    for (int i = 0; i < got; ++i) {
        struct slot *slot = used[i].token;

        slot->request.status = slot->header[BLK_HEADER_SIZE];
        done[i] = &slot->request;
    }
    return got;
}

static int64_t now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

/* A back-end may be gone, or call without end for nothing: neither may hold us longer than said. */
int blk_driver_wait(struct blk_driver *driver, int timeout_ms)
{
    const int64_t end = now_ms() + timeout_ms;

    while (!vhu_driver_ring_enable_calls(driver->ring)) {
        const int64_t left = timeout_ms < 0 ? SLICE_MS : end - now_ms();
        int r = VHU_ETIMEDOUT;

        if (left > 0)
            r = vhu_event_wait(driver->call, left < SLICE_MS ? (int)left : SLICE_MS);
        vhu_event_clear(driver->call);
        if (r == VHU_ETIMEDOUT) {
            r = vhu_remote_serve(driver->remote);
            if (r == 0 && left <= 0)
                r = VHU_ETIMEDOUT;
        }
        if (r < 0) {
            snprintf(driver->error, sizeof driver->error, "%s", vhu_strerror(r));
            return r;
        }
    }
    vhu_driver_ring_disable_calls(driver->ring);
    return 0;
}

int blk_driver_replay(struct blk_driver *driver)
{
    const int r = vhu_driver_ring_replay(driver->ring);

    return r < 0 ? r
                 : vhu_remote_set_ring_base(driver->remote, driver->options.ring,
                                            vhu_driver_ring_base(driver->ring));
}

/* --- one at a time --- */

static int outcome(struct blk_driver *driver, int status)
{
    if (status == BLK_S_OK)
        return 0;
    snprintf(driver->error, sizeof driver->error, "the device answered with status %d%s", status,
             status == BLK_S_IOERR    ? ": I/O error"
             : status == BLK_S_UNSUPP ? ": unsupported"
                                      : "");
    return VHU_EREFUSED;
}

/* One request from beginning to end; what is in `data` goes out with it and comes back. */
static int run(struct blk_driver *driver, uint32_t type, uint64_t sector, void *in, const void *out,
               uint32_t len)
{
    struct blk_driver_request *request = blk_driver_get(driver);
    struct blk_driver_request *done;
    int r;

    if (!request)
        return VHU_EAGAIN;
    request->type = type;
    request->sector = sector;
    request->len = len;
    if (out)
        memcpy(request->data, out, len);
    r = blk_driver_submit(driver, request);
    if (r < 0) {
        blk_driver_put(driver, request);
        return r;
    }
    blk_driver_kick(driver);
    do {
        r = blk_driver_wait(driver, -1);
        if (r == 0)
            r = blk_driver_reap(driver, &done, 1);
    } while (r == 0);
    if (r < 0)
        return r;
    r = outcome(driver, request->status);
    if (r == 0 && in)
        memcpy(in, request->data, len);
    blk_driver_put(driver, request);
    return r;
}

static int transfer(struct blk_driver *driver, uint32_t type, uint64_t sector, uint8_t *in,
                    const uint8_t *out, uint64_t len)
{
    int r = len % BLK_SECTOR == 0 ? 0 : VHU_EINVAL;

    for (uint64_t done = 0; r == 0 && done < len;) {
        const uint64_t max = driver->options.max_len;
        const uint32_t n = (uint32_t)(len - done < max ? len - done : max);

        r = run(driver, type, sector + done / BLK_SECTOR, in ? in + done : NULL,
                out ? out + done : NULL, n);
        done += n;
    }
    return r;
}

int blk_driver_read(struct blk_driver *driver, uint64_t sector, void *buf, uint64_t len)
{
    return transfer(driver, BLK_T_IN, sector, buf, NULL, len);
}

int blk_driver_write(struct blk_driver *driver, uint64_t sector, const void *buf, uint64_t len)
{
    return transfer(driver, BLK_T_OUT, sector, NULL, buf, len);
}

int blk_driver_flush(struct blk_driver *driver)
{
    return run(driver, BLK_T_FLUSH, 0, NULL, NULL, 0);
}

static int run_segment(struct blk_driver *driver, uint32_t type, uint64_t sector, uint32_t sectors)
{
    uint8_t segment[BLK_SEGMENT_SIZE] = {0};

    store_le(segment, 8, sector);
    store_le(segment + BLK_SEGMENT_COUNT, 4, sectors);
    return run(driver, type, 0, NULL, segment, sizeof segment);
}

int blk_driver_discard(struct blk_driver *driver, uint64_t sector, uint32_t sectors)
{
    return run_segment(driver, BLK_T_DISCARD, sector, sectors);
}

int blk_driver_write_zeroes(struct blk_driver *driver, uint64_t sector, uint32_t sectors)
{
    return run_segment(driver, BLK_T_WRITE_ZEROES, sector, sectors);
}

int blk_driver_get_id(struct blk_driver *driver, char id[BLK_ID_SIZE + 1])
{
    id[BLK_ID_SIZE] = '\0';
    return run(driver, BLK_T_GET_ID, 0, id, NULL, BLK_ID_SIZE);
}
