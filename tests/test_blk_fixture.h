/* SPDX-License-Identifier: BSD-3-Clause */
/* A block device of vhost-user-blk with one request, on an engine that does as it is told. */
#ifndef TEST_BLK_FIXTURE_H
#define TEST_BLK_FIXTURE_H

#include "support/leakcheck.h"

#include <blk.h>

enum { DISK_SIZE = 64 * 1024, SECTORS = DISK_SIZE / BLK_SECTOR, MAX_PARTS = 6, MAX_OPS = 8 };

/* Answers of the engine other than a count or an error. */
#define FULL INT64_MAX

struct op {
    enum engine_op op;
    uint64_t offset;
    uint64_t len;
    uint32_t num_bufs;
};

struct fake {
    struct engine engine;
    struct engine_ops kind;
    uint8_t disk[DISK_SIZE];
    const int64_t *answers;
    struct engine_request *pending;
    struct op ops[MAX_OPS];
    unsigned num_ops;
};

/* A device with one request, whose parts lie in the two areas as a driver may lay them out. */
struct fixture {
    struct fake fake;
    struct disk disk;
    struct blk blk;
    struct blk_lane lane;
    struct blk_request request;
    unsigned done;
    uint8_t in[DISK_SIZE + 64];
    uint8_t out[DISK_SIZE + 64];
};

extern const int64_t fixture_all_full[MAX_OPS];

struct fixture *fixture_new(void);

/* After the disk was changed. */
void fixture_make_blk(struct fixture *fixture);

/* Before each request: known bytes everywhere, nothing counted. */
void fixture_reset(struct fixture *fixture);

void fixture_put_header(struct fixture *fixture, uint32_t type, uint64_t sector);

/*
 * Hand the request over, laid out in descriptors of these lengths, and have the engine work until
 * it is done.
 */
void fixture_run(struct fixture *fixture, const uint32_t *in, const uint32_t *out,
                 const int64_t *answers, bool write_through);

/* The status that the driver finds; -1: it has left no room for one. */
int fixture_status(const struct fixture *fixture);

#endif
