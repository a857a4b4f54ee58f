/* SPDX-License-Identifier: BSD-3-Clause */
/* What a worker of vhost-user-blk has: a loop, an engine, a lane; on a real file. */
#ifndef TEST_BLK_RIG_H
#define TEST_BLK_RIG_H

#include "support/leakcheck.h"

#include <blk.h>

enum { RIG_FILE = 1 << 20, RIG_DEPTH = 64, RIG_DATA = 64 * 1024 };

/* How the file is opened. */
enum { RIG_DIRECT = 1, RIG_READ_ONLY = 2 };

struct rig {
    char path[64];
    struct disk disk;
    struct blk blk;
    uv_loop_t loop;
    struct blk_lane lane;
    struct blk_request *requests;
    unsigned done;
    uint8_t header[BLK_HEADER_SIZE];
    uint8_t status[RIG_DEPTH];
    uint8_t *data; /* page-aligned, with some bytes to spare */
    void *memory;
};

/* A name for a file that is not there. */
void rig_name(char path[64], const char *folder);

/* Run a case with every engine that this machine has; a file it cannot open is said to be so. */
void rig_for_engines(void (*run)(struct rig *rig), const char *folder, unsigned how);

/* Begin request number `index`, data in two parts if there are many; end so many of them. */
void rig_start(struct rig *rig, unsigned index, uint32_t type, uint64_t sector, vhu_buf data);
void rig_finish(struct rig *rig, unsigned num);

/* One request from beginning to end: its status. */
int rig_request(struct rig *rig, uint32_t type, uint64_t sector, void *data, size_t len);
int rig_segment(struct rig *rig, uint32_t type, uint64_t sector, uint32_t count, uint32_t flags);

/* Bytes that are not all alike. */
void rig_fill(uint8_t *data, size_t len, unsigned seed);

/* A case: DISCARD and WRITE_ZEROES. */
void rig_try_ranges(struct rig *rig);

/* For the group: what libuv opens with its first loop and keeps. */
int rig_open_shared(void **state);

#endif
