/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine.h"

#include <stdio.h>
#include <string.h>

const struct engine_ops *engine_choose(const char *name, char *error, size_t len)
{
    const bool any = strcmp(name, "auto") == 0;

    for (size_t i = 0; engine_table[i]; ++i) {
        if (!any && strcmp(name, engine_table[i]->name) != 0)
            continue;
        const int rc = engine_table[i]->probe();
        if (!rc)
            return engine_table[i];
        snprintf(error, len, "%s cannot be used here: %s", engine_table[i]->name, strerror(-rc));
        if (!any)
            return NULL;
    }
    if (!any)
        snprintf(error, len, "this program was built without %s", name);
    return NULL;
}

static int64_t run(const struct disk *disk, const struct engine_request *request)
{
    switch (request->op) {
    case ENGINE_READ:
        return disk_read(disk, request->bufs, request->num_bufs, request->offset);
    case ENGINE_WRITE:
        return disk_write(disk, request->bufs, request->num_bufs, request->offset);
    case ENGINE_FLUSH:
        return disk_flush(disk);
    case ENGINE_DISCARD:
        return disk_discard(disk, request->offset, request->len);
    case ENGINE_ZERO:
    case ENGINE_ZERO_UNMAP:
        break;
    }
    return disk_zero(disk, request->offset, request->len, request->op == ENGINE_ZERO_UNMAP);
}

static void run_blocking(uv_work_t *work)
{
    struct engine_request *request = work->data;

    request->result = run(request->engine->disk, request);
}

static void work_ended(uv_work_t *work, int status)
{
    struct engine_request *request = work->data;

    (void)status; /* nobody cancels it */
    request->engine->done(request, request->result);
}

void engine_submit_blocking(struct engine *engine, struct engine_request *request)
{
    request->engine = engine;
    request->work.data = request;
    /* Fails only without a function to run. */
    uv_queue_work(engine->loop, &request->work, run_blocking, work_ended);
}
