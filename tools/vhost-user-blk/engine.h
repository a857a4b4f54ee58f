/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What does the disk's input and output: one engine for each worker, on the worker's thread and
 * loop. A request is one operation; it ends in engine->done, never inside engine_submit().
 */
#ifndef ENGINE_H
#define ENGINE_H

#include "disk.h"

#include <uv.h>
#include <vmm_vhost/types.h>

enum engine_op {
    ENGINE_READ,    /* at `offset` into `bufs`; the result is a count, 0 at the file's end */
    ENGINE_WRITE,   /* at `offset` from `bufs`; the result is a count */
    ENGINE_FLUSH,   /* all that has been written; the result is 0 */
    ENGINE_DISCARD, /* `len` bytes at `offset`; the result is 0 */
    ENGINE_ZERO,
    ENGINE_ZERO_UNMAP
};

/* Embedded in the request of the engine's user, who fills the upper part. */
struct engine_request {
    enum engine_op op;
    uint32_t num_bufs;
    vhu_buf *bufs; /* must stay until done */
    uint64_t offset;
    uint64_t len;

    struct engine *engine;
    int64_t result;
    uv_work_t work;
};

/* `result`: a count, or -errno. */
typedef void (*engine_done_fn)(struct engine_request *request, int64_t result);

struct engine_ops {
    const char *name;
    bool one_buf; /* reads and writes take but one buffer */
    /* 0 if it can be used here, or -errno. */
    int (*probe)(void);
    int (*start)(struct engine **out, const struct disk *disk, uv_loop_t *loop, unsigned depth,
                 engine_done_fn done);
    /* At most `depth` requests may be out. What is submitted may wait for poll(). */
    void (*submit)(struct engine *engine, struct engine_request *request);
    /* Begin what was submitted, end what has finished, wait for nothing; true if there was any. */
    bool (*poll)(struct engine *engine);
    /* No request is out. Its handles close in their own time, on the loop. */
    void (*free)(struct engine *engine);
};

/* The head of every engine. */
struct engine {
    const struct engine_ops *ops;
    const struct disk *disk;
    uv_loop_t *loop;
    engine_done_fn done;
};

/*
 * The port's: those that were built, in the order of preference, up to NULL; and the names of all,
 * for a row of options.
 */
extern const struct engine_ops *const engine_table[];
extern const char engine_names[];

/*
 * By name, or the first that can be used here if `name` is "auto". NULL with the reason in `error`
 * if it cannot be used.
 */
const struct engine_ops *engine_choose(const char *name, char *error, size_t len);

/* For engines: on the threads of libuv. */
void engine_submit_blocking(struct engine *engine, struct engine_request *request);

extern const struct engine_ops engine_uv;
extern const struct engine_ops engine_uring;      /* only if it was built */
extern const struct engine_ops engine_overlapped; /* only on Windows */

#endif
