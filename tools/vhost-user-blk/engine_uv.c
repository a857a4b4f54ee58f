/* SPDX-License-Identifier: BSD-3-Clause */
/* Input and output by libuv's file calls: everywhere, at the price of a thread for each call. */
#include "engine.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

_Static_assert(sizeof(uv_buf_t) == sizeof(vhu_buf) &&
                   offsetof(uv_buf_t, base) == offsetof(vhu_buf, base) &&
                   offsetof(uv_buf_t, len) == offsetof(vhu_buf, len),
               "a vhu_buf is a uv_buf_t");

static int uv_probe(void)
{
    return 0;
}

static int uv_start(struct engine **out, const struct disk *disk, uv_loop_t *loop, unsigned depth,
                    engine_done_fn done)
{
    struct engine *engine = malloc(sizeof *engine);

    (void)depth;
    if (!engine)
        return -ENOMEM;
    *engine = (struct engine){&engine_uv, disk, loop, done};
    *out = engine;
    return 0;
}

static void file_call_ended(uv_fs_t *fs)
{
    struct engine_request *request = fs->data;
    const int64_t result = fs->result;

    uv_fs_req_cleanup(fs);
    request->engine->done(request, result);
}

static void uv_submit(struct engine *engine, struct engine_request *request)
{
    uv_fs_t *fs = &request->uv.fs;
    const uv_buf_t *bufs = (const uv_buf_t *)request->bufs;
    const int fd = engine->disk->fd;
    const int64_t offset = (int64_t)request->offset;
    int rc = 0;

    request->engine = engine;
    fs->data = request;
    switch (request->op) {
    case ENGINE_READ:
        rc = uv_fs_read(engine->loop, fs, fd, bufs, request->num_bufs, offset, file_call_ended);
        break;
    case ENGINE_WRITE:
        rc = uv_fs_write(engine->loop, fs, fd, bufs, request->num_bufs, offset, file_call_ended);
        break;
    case ENGINE_FLUSH:
        rc = uv_fs_fdatasync(engine->loop, fs, fd, file_call_ended);
        break;
    case ENGINE_DISCARD:
    case ENGINE_ZERO:
    case ENGINE_ZERO_UNMAP:
        engine_submit_blocking(engine, request);
        break;
    }
    if (rc)
        engine_fail(engine, request, rc);
}

/* All happens in callbacks of the loop. */
static bool uv_poll_nothing(struct engine *engine)
{
    (void)engine;
    return false;
}

static void uv_free(struct engine *engine)
{
    free(engine);
}

const struct engine_ops engine_uv = {"uv", uv_probe, uv_start, uv_submit, uv_poll_nothing, uv_free};
