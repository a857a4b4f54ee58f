/* SPDX-License-Identifier: BSD-3-Clause */
/* The block device on the library's device kit: rings and workers on one side, blk.h on the other.
 */
#ifndef BLK_DEVICE_H
#define BLK_DEVICE_H

#include "blk.h"
#include "disk.h"
#include "engine.h"
#include "program.h"

struct blk_device {
    struct program program; /* first: see struct program */
    struct disk disk;
    struct blk blk;
    const struct engine_ops *engine;
    struct blk_worker *workers;
    struct blk_ring *rings;
};

/* After the members above the line of workers are set. 0 or -1; blk_device_free() either way. */
int blk_device_prepare(struct blk_device *device);
void blk_device_free(struct blk_device *device);

int blk_device_worker_start(void *self, unsigned index, uv_loop_t *loop);
void blk_device_worker_stop(void *self, unsigned index);

extern const vhu_device_ops blk_device_ops;

/* The sum over all workers, which must have ended. */
struct blk_counters blk_device_counters(const struct blk_device *device);

#endif
