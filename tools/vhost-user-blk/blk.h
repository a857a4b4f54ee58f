/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A virtio block device (virtio 1.3, 5.2): its configuration, and what becomes of a request.
 * Knows descriptor chains and engines, but no ring: blk_start() takes a chain, and the lane's
 * `done` gives it back with `written` set.
 */
#ifndef BLK_H
#define BLK_H

#include "bufs.h"
#include "disk.h"
#include "engine.h"
#include "virtio_blk.h"

#include <vmm_vhost/queue.h>

enum {
    BLK_MAX_DATA = 126, /* data segments in a request, as offered: 128 with header and status */
    /* And some, for buffers that lie in more than one region of guest memory. */
    BLK_BUFS = BLK_MAX_DATA + 2 + 32,
    BLK_MAX_SEGMENTS = 16,     /* ranges in one DISCARD or WRITE_ZEROES */
    BLK_MAX_DISCARD = 1 << 21, /* sectors in a range: 1 GiB */
    BLK_MAX_ZEROES = 1 << 17   /* 64 MiB: they may have to be written */
};

/* X(name) */
#define BLK_COUNTERS(X)                                                                            \
    X(requests)                                                                                    \
    X(reads)                                                                                       \
    X(writes)                                                                                      \
    X(flushes)                                                                                     \
    X(discards)                                                                                    \
    X(zeroes)                                                                                      \
    X(errors)                                                                                      \
    X(bytes_read)                                                                                  \
    X(bytes_written)

/* Requests by kind are those that succeeded. */
struct blk_counters {
#define BLK_COUNTER_MEMBER(name) uint64_t name;
    BLK_COUNTERS(BLK_COUNTER_MEMBER)
#undef BLK_COUNTER_MEMBER
};

/* The device; constant once made. */
struct blk {
    const struct disk *disk;
    uint64_t features;
    uint8_t config[BLK_CONFIG_SIZE];
    char serial[BLK_ID_SIZE]; /* ended by a NUL only if it is shorter */
};

struct blk_request;

/* The part of it that belongs to one worker. */
struct blk_lane {
    const struct blk *blk;
    struct engine *engine; /* its `done` is blk_io_done */
    void (*done)(struct blk_request *request);
    struct blk_counters counters;
};

struct blk_segment {
    uint64_t offset; /* bytes */
    uint64_t len;
    bool unmap;
};

struct blk_request {
    struct engine_request io;
    vhu_chain chain; /* chain.bufs == bufs */
    struct blk_lane *lane;
    void *owner; /* of the caller: the ring */
    int error;   /* when done: errno of the operation that failed, or 0 */

    const struct blk_kind *kind;
    uint8_t *status;      /* in guest memory */
    bool flush;           /* a flush is left to do */
    struct bufs data;     /* what is left to transfer */
    uint64_t left;        /* bytes in it */
    uint64_t offset;      /* of it */
    uint64_t transferred; /* bytes */
    void *bounce_memory;  /* for data that the disk cannot take from where they lie, or NULL */
    vhu_buf bounce;       /* in it, aligned */
    uint32_t segment;
    uint32_t num_segments;
    struct blk_segment segments[BLK_MAX_SEGMENTS];
    vhu_buf bufs[BLK_BUFS];
};

/* `serial`: at most BLK_ID_SIZE characters. */
void blk_init(struct blk *blk, const struct disk *disk, const char *serial, unsigned num_queues);

/* 0, or VHU_EINVAL if the range begins behind the configuration; what lies behind it is zero. */
int blk_get_config(const struct blk *blk, uint32_t offset, void *buf, uint32_t len);

/*
 * Begin a request whose chain is set. `write_through`: the driver does not know of a cache, so a
 * write must be on the disk when it is done. lane->done may be called before this returns.
 */
void blk_start(struct blk_lane *lane, struct blk_request *request, bool write_through);

/* What the engine calls. */
void blk_io_done(struct engine_request *io, int64_t result);

void blk_counters_add(struct blk_counters *sum, const struct blk_counters *more);

#endif
