/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* In the order of preference. */
static const struct engine_ops *const engines[] = {
#ifdef WITH_IO_URING
    &engine_uring,
#endif
    &engine_uv,
};

const struct engine_ops *engine_choose(const char *name, char *error, size_t len)
{
    const bool any = strcmp(name, "auto") == 0;

    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; ++i) {
        if (!any && strcmp(name, engines[i]->name) != 0)
            continue;
        const int rc = engines[i]->probe();
        if (!rc)
            return engines[i];
        snprintf(error, len, "%s cannot be used here: %s", engines[i]->name, strerror(-rc));
        if (!any)
            return NULL;
    }
    if (!any)
        snprintf(error, len, "this program was built without %s", name);
    return NULL;
}

static void run_blocking(uv_work_t *work)
{
    struct engine_request *request = work->data;
    const struct disk *disk = request->engine->disk;

    if (request->op == ENGINE_DISCARD)
        request->result = disk_discard(disk, request->offset, request->len);
    else
        request->result =
            disk_zero(disk, request->offset, request->len, request->op == ENGINE_ZERO_UNMAP);
}

static void run_nothing(uv_work_t *work)
{
    (void)work;
}

static void work_ended(uv_work_t *work, int status)
{
    struct engine_request *request = work->data;

    request->engine->done(request, status ? status : request->result);
}

static void submit_work(struct engine *engine, struct engine_request *request, uv_work_cb run)
{
    request->engine = engine;
    request->uv.work.data = request;
    /* Fails only without a function to run. */
    uv_queue_work(engine->loop, &request->uv.work, run, work_ended);
}

void engine_submit_blocking(struct engine *engine, struct engine_request *request)
{
    submit_work(engine, request, run_blocking);
}

void engine_fail(struct engine *engine, struct engine_request *request, int error)
{
    request->result = error;
    submit_work(engine, request, run_nothing);
}
