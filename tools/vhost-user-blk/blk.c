/* SPDX-License-Identifier: BSD-3-Clause */
#include "blk.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <vmm_vhost/error.h>

/* What a bounced transfer moves at once. */
enum { BOUNCE_SIZE = 128 * 1024, BOUNCE_ALIGN = 4096 };

/* --- the device --- */

static void set_config(struct blk *blk, unsigned offset, unsigned bytes, uint64_t value)
{
    store_le(blk->config + offset, bytes, value);
}

static unsigned log2_of(uint32_t power)
{
    unsigned n = 0;

    while (power >>= 1)
        ++n;
    return n;
}

/*
 * CONFIG_WCE is not offered: front-ends do not repeat the cache mode when they connect again or
 * migrate, and a guest that has turned the cache off would run with it.
 */
static uint64_t offered(const struct disk *disk, unsigned num_queues)
{
    uint64_t features = VHU_BIT(BLK_F_SEG_MAX) | VHU_BIT(BLK_F_BLK_SIZE) | VHU_BIT(BLK_F_TOPOLOGY) |
                        VHU_BIT(BLK_F_FLUSH);

    if (num_queues > 1)
        features |= VHU_BIT(BLK_F_MQ);
    if (disk->read_only)
        return features | VHU_BIT(BLK_F_RO);
    if (disk->can_discard)
        features |= VHU_BIT(BLK_F_DISCARD);
    return features | VHU_BIT(BLK_F_WRITE_ZEROES);
}

void blk_init(struct blk *blk, const struct disk *disk, const char *serial, unsigned num_queues)
{
    const uint32_t per_block = disk->physical_block / disk->logical_block;
    const size_t serial_len = strlen(serial);

    memset(blk, 0, sizeof *blk);
    blk->disk = disk;
    blk->features = offered(disk, num_queues);
    memcpy(blk->serial, serial, serial_len < BLK_ID_SIZE ? serial_len : BLK_ID_SIZE);

    set_config(blk, BLK_CONFIG_CAPACITY, 8, disk->size / BLK_SECTOR);
    set_config(blk, BLK_CONFIG_SEG_MAX, 4, BLK_MAX_DATA);
    set_config(blk, BLK_CONFIG_BLK_SIZE, 4, disk->logical_block);
    set_config(blk, BLK_CONFIG_PHYSICAL_BLOCK_EXP, 1, log2_of(per_block));
    set_config(blk, BLK_CONFIG_MIN_IO_SIZE, 2, per_block);
    set_config(blk, BLK_CONFIG_WRITEBACK, 1, 1);
    set_config(blk, BLK_CONFIG_NUM_QUEUES, 2, num_queues);
    if (blk->features & VHU_BIT(BLK_F_DISCARD)) {
        set_config(blk, BLK_CONFIG_MAX_DISCARD_SECTORS, 4, BLK_MAX_DISCARD);
        set_config(blk, BLK_CONFIG_MAX_DISCARD_SEG, 4, BLK_MAX_SEGMENTS);
        set_config(blk, BLK_CONFIG_DISCARD_SECTOR_ALIGNMENT, 4, disk->physical_block / BLK_SECTOR);
    }
    if (blk->features & VHU_BIT(BLK_F_WRITE_ZEROES)) {
        set_config(blk, BLK_CONFIG_MAX_WRITE_ZEROES_SECTORS, 4, BLK_MAX_ZEROES);
        set_config(blk, BLK_CONFIG_MAX_WRITE_ZEROES_SEG, 4, BLK_MAX_SEGMENTS);
        set_config(blk, BLK_CONFIG_WRITE_ZEROES_MAY_UNMAP, 1, disk->can_discard);
    }
}

int blk_get_config(const struct blk *blk, uint32_t offset, void *buf, uint32_t len)
{
    if (offset > BLK_CONFIG_SIZE)
        return VHU_EINVAL;

    const uint32_t known = len < BLK_CONFIG_SIZE - offset ? len : BLK_CONFIG_SIZE - offset;
    memcpy(buf, blk->config + offset, known);
    memset((uint8_t *)buf + known, 0, len - known);
    return 0;
}

void blk_counters_add(struct blk_counters *sum, const struct blk_counters *more)
{
#define BLK_COUNTER_ADD(name) sum->name += more->name;
    BLK_COUNTERS(BLK_COUNTER_ADD)
#undef BLK_COUNTER_ADD
}

/* --- kinds of requests --- */

/*
 * Look at what follows the header: `in` is what the driver sent, `out` what it can take. Returns
 * BLK_S_OK to go on with what the request says is left to do, or the status to fail with.
 */
typedef uint8_t (*blk_parse_fn)(struct blk_request *request, uint64_t sector, struct bufs *in,
                                struct bufs *out);

struct blk_kind {
    blk_parse_fn parse;
    uint64_t feature; /* without it the device does not know the request */
    bool writes;      /* refused by a read-only disk */
    bool unmaps;      /* segments are discarded, not zeroed */
    enum engine_op op;
    size_t counter; /* of struct blk_counters, by offset */
    size_t bytes_counter;
};

static uint64_t in_len(const struct blk_request *request)
{
    return request->chain.readable_len - BLK_HEADER_SIZE;
}

static uint64_t out_len(const struct blk_request *request)
{
    return request->chain.writable_len - 1;
}

/* Whether so many sectors from this one on are blocks of the disk. */
static bool is_range(const struct disk *disk, uint64_t sector, uint64_t sectors)
{
    const uint64_t capacity = disk->size / BLK_SECTOR;
    const uint64_t mask = disk->logical_block / BLK_SECTOR - 1;

    return ((sector | sectors) & mask) == 0 && sector <= capacity && sectors <= capacity - sector;
}

static uint8_t parse_transfer(struct blk_request *request, uint64_t sector, const struct bufs *data,
                              uint64_t len)
{
    if (len % BLK_SECTOR || !is_range(request->lane->blk->disk, sector, len / BLK_SECTOR))
        return BLK_S_IOERR;
    request->data = *data;
    request->left = len;
    request->offset = sector * BLK_SECTOR;
    return BLK_S_OK;
}

/* Data in the wrong direction cannot be what was meant. */
static uint8_t parse_read(struct blk_request *request, uint64_t sector, struct bufs *in,
                          struct bufs *out)
{
    (void)in;
    return in_len(request) ? BLK_S_IOERR : parse_transfer(request, sector, out, out_len(request));
}

static uint8_t parse_write(struct blk_request *request, uint64_t sector, struct bufs *in,
                           struct bufs *out)
{
    (void)out;
    return out_len(request) ? BLK_S_IOERR : parse_transfer(request, sector, in, in_len(request));
}

static uint8_t parse_flush(struct blk_request *request, uint64_t sector, struct bufs *in,
                           struct bufs *out)
{
    (void)sector;
    (void)in;
    (void)out;
    request->flush = true;
    return BLK_S_OK;
}

static uint8_t parse_get_id(struct blk_request *request, uint64_t sector, struct bufs *in,
                            struct bufs *out)
{
    (void)sector;
    (void)in;
    return bufs_write(out, request->lane->blk->serial, BLK_ID_SIZE) ? BLK_S_OK : BLK_S_IOERR;
}

/* All segments are checked before the first is carried out. */
static uint8_t parse_segments(struct blk_request *request, uint64_t sector, struct bufs *in,
                              struct bufs *out)
{
    const bool discard = request->kind->unmaps;
    const uint32_t known_flags = discard ? 0 : BLK_SEGMENT_UNMAP;
    const uint32_t max_sectors = discard ? BLK_MAX_DISCARD : BLK_MAX_ZEROES;
    const uint64_t len = in_len(request);
    uint8_t raw[BLK_MAX_SEGMENTS * BLK_SEGMENT_SIZE];
    uint8_t status = BLK_S_OK;

    (void)sector;
    (void)out;
    if (len == 0 || len > sizeof raw || len % BLK_SEGMENT_SIZE || out_len(request))
        return BLK_S_IOERR;
    bufs_read(in, raw, (size_t)len);
    request->num_segments = (uint32_t)(len / BLK_SEGMENT_SIZE);
    for (uint32_t i = 0; i < request->num_segments; ++i) {
        const uint8_t *segment = raw + i * BLK_SEGMENT_SIZE;
        const uint64_t first = load_le64(segment);
        const uint32_t count = load_le32(segment + BLK_SEGMENT_COUNT);
        const uint32_t flags = load_le32(segment + BLK_SEGMENT_FLAGS);
        if (flags & ~known_flags)
            return BLK_S_UNSUPP;
        if (count > max_sectors || !is_range(request->lane->blk->disk, first, count))
            status = BLK_S_IOERR;
        request->segments[i] = (struct blk_segment){
            first * BLK_SECTOR, (uint64_t)count * BLK_SECTOR, (flags & BLK_SEGMENT_UNMAP) != 0};
    }
    return status;
}

#define COUNTER(name) offsetof(struct blk_counters, name)
#define NO_COUNTER SIZE_MAX

/* By request type; those without `parse` do not exist. */
static const struct blk_kind kinds[] = {
    [BLK_T_IN] = {parse_read, 0, false, false, ENGINE_READ, COUNTER(reads), COUNTER(bytes_read)},
    [BLK_T_OUT] = {parse_write, 0, true, false, ENGINE_WRITE, COUNTER(writes),
                   COUNTER(bytes_written)},
    [BLK_T_FLUSH] = {parse_flush, 0, false, false, ENGINE_FLUSH, COUNTER(flushes), NO_COUNTER},
    [BLK_T_GET_ID] = {parse_get_id, 0, false, false, ENGINE_READ, NO_COUNTER, NO_COUNTER},
    [BLK_T_DISCARD] = {parse_segments, VHU_BIT(BLK_F_DISCARD), true, true, ENGINE_DISCARD,
                       COUNTER(discards), NO_COUNTER},
    [BLK_T_WRITE_ZEROES] = {parse_segments, VHU_BIT(BLK_F_WRITE_ZEROES), true, false, ENGINE_ZERO,
                            COUNTER(zeroes), NO_COUNTER},
};

static const struct blk_kind *find_kind(uint32_t type)
{
    const struct blk_kind *kind = type < sizeof kinds / sizeof kinds[0] ? &kinds[type] : NULL;

    return kind && kind->parse ? kind : NULL;
}

/* --- carrying out --- */

static void count(struct blk_counters *counters, size_t counter, uint64_t n)
{
    if (counter != NO_COUNTER)
        *(uint64_t *)(void *)((uint8_t *)counters + counter) += n;
}

static void finish(struct blk_request *request, uint8_t status)
{
    struct blk_lane *lane = request->lane;
    const uint64_t written = request->chain.writable_len;

    if (status == BLK_S_OK) {
        count(&lane->counters, request->kind->counter, 1);
        count(&lane->counters, request->kind->bytes_counter, request->transferred);
    } else {
        ++lane->counters.errors;
    }
    if (request->status)
        *request->status = status;
    /* The status is the last byte there is: all up to it counts as written. */
    request->chain.written = written < UINT32_MAX ? (uint32_t)written : UINT32_MAX;
    free(request->bounce_memory);
    request->bounce_memory = NULL;
    lane->done(request);
}

static void fail(struct blk_request *request, int64_t error)
{
    request->error = (int)-error;
    finish(request, BLK_S_IOERR);
}

static void submit(struct blk_request *request)
{
    struct engine *engine = request->lane->engine;

    engine->ops->submit(engine, &request->io);
}

static size_t bounce_len(const struct blk_request *request)
{
    return request->left < BOUNCE_SIZE ? (size_t)request->left : BOUNCE_SIZE;
}

/* From now on the request's data go by way of memory of our own. */
static bool bounce(struct blk_request *request)
{
    const size_t align = BOUNCE_ALIGN;

    request->bounce_memory = malloc(bounce_len(request) + align);
    if (request->bounce_memory)
        request->bounce.base =
            (uint8_t *)request->bounce_memory + (align - (uintptr_t)request->bounce_memory % align);
    return request->bounce_memory != NULL;
}

static void submit_transfer(struct blk_request *request)
{
    struct engine_request *io = &request->io;

    io->op = request->kind->op;
    io->offset = request->offset;
    io->bufs = request->data.at;
    io->num_bufs = request->data.num;
    if (request->bounce_memory) {
        request->bounce.len = bounce_len(request);
        if (io->op == ENGINE_WRITE)
            bufs_read(&request->data, request->bounce.base, request->bounce.len);
        io->bufs = &request->bounce;
        io->num_bufs = 1;
    }
    submit(request);
}

static void submit_segment(struct blk_request *request)
{
    const struct blk_segment *segment = &request->segments[request->segment++];

    request->io.op = segment->unmap ? ENGINE_ZERO_UNMAP : request->kind->op;
    request->io.offset = segment->offset;
    request->io.len = segment->len;
    submit(request);
}

/* An engine that takes but one buffer needs it as one. */
static bool is_scattered(const struct blk_request *request)
{
    return request->lane->engine->ops->one_buf && request->data.num > 1 && !request->bounce_memory;
}

/* Do the next thing that is left to do. */
static void step(struct blk_request *request)
{
    while (request->segment < request->num_segments && request->segments[request->segment].len == 0)
        ++request->segment;

    if (request->left > 0) {
        if (is_scattered(request) && !bounce(request))
            fail(request, -ENOMEM);
        else
            submit_transfer(request);
    } else if (request->segment < request->num_segments) {
        submit_segment(request);
    } else if (request->flush) {
        request->flush = false;
        request->io.op = ENGINE_FLUSH;
        submit(request);
    } else {
        finish(request, BLK_S_OK);
    }
}

static bool is_transfer(const struct engine_request *io)
{
    return io->op == ENGINE_READ || io->op == ENGINE_WRITE;
}

/*
 * A disk without page cache refuses buffers that do not begin or end where it likes. Drivers
 * seldom have such, so nothing is checked beforehand.
 */
static bool wants_bounce(const struct blk_request *request, int64_t result)
{
    return result == -EINVAL && is_transfer(&request->io) && request->lane->blk->disk->direct &&
           !request->bounce_memory;
}

static void transferred(struct blk_request *request, size_t len)
{
    if (request->bounce_memory && request->io.op == ENGINE_READ)
        bufs_write(&request->data, request->bounce.base, len);
    bufs_skip(&request->data, len);
    request->left -= len;
    request->offset += len;
    request->transferred += len;
}

void blk_io_done(struct engine_request *io, int64_t result)
{
    struct blk_request *request =
        (struct blk_request *)(void *)((uint8_t *)io - offsetof(struct blk_request, io));

    if (result == -EINTR || result == -EAGAIN) {
        submit(request);
        return;
    }
    if (wants_bounce(request, result)) {
        if (!bounce(request)) {
            fail(request, -ENOMEM);
            return;
        }
    } else if (result < 0) {
        fail(request, result);
        return;
    } else if (is_transfer(io)) {
        if (result == 0) { /* the file has become shorter, or takes no more */
            fail(request, -EIO);
            return;
        }
        transferred(request, (size_t)result);
    }
    step(request);
}

/* Sort out what was asked for: BLK_S_OK to go on with it, or the status to fail with. */
static uint8_t parse(struct blk_request *request, struct bufs *in, struct bufs *out)
{
    const struct blk *blk = request->lane->blk;
    uint8_t header[BLK_HEADER_SIZE];

    if (bufs_read(in, header, sizeof header) < sizeof header)
        return BLK_S_IOERR;
    bufs_skip(in, sizeof header);
    request->kind = find_kind(load_le32(header + BLK_HEADER_TYPE));
    if (!request->kind)
        return BLK_S_UNSUPP;
    if (request->kind->writes && blk->disk->read_only)
        return BLK_S_IOERR;
    if (request->kind->feature & ~blk->features)
        return BLK_S_UNSUPP;
    return request->kind->parse(request, load_le64(header + BLK_HEADER_SECTOR), in, out);
}

void blk_start(struct blk_lane *lane, struct blk_request *request, bool write_through)
{
    const vhu_chain *chain = &request->chain;
    struct bufs in = {chain->bufs, chain->num_readable};
    struct bufs out = {chain->bufs + chain->num_readable, chain->num_writable};
    uint8_t status;

    ++lane->counters.requests;
    request->lane = lane;
    request->error = 0;
    request->kind = NULL;
    request->flush = false;
    request->left = 0;
    request->transferred = 0;
    request->bounce_memory = NULL;
    request->segment = 0;
    request->num_segments = 0;

    /* Without room for a status there is nothing that could be told, so nothing is done. */
    request->status = bufs_drop_last(&out);
    status = request->status ? parse(request, &in, &out) : BLK_S_IOERR;
    if (status != BLK_S_OK) {
        finish(request, status);
        return;
    }
    request->flush |= write_through && request->kind->writes;
    step(request);
}
