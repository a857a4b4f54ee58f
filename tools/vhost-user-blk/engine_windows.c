/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Input and output by overlapped operations, on the one handle of the file. What has finished is
 * found in memory; an event, which all operations share, wakes a worker that sleeps on its loop.
 * Beginning an operation resets the event, so it says nothing about any one of them: but whoever
 * begins one is awake, and polls before it sleeps.
 */
#include "disk_windows.h"
#include "engine.h"

#include <errno.h>
#include <stdlib.h>
#include <vmm_vhost/uv.h>

/* One operation's bytes are 32 bits wide; what is left is submitted again. */
#define MAX_LEN ((size_t)1 << 30)

struct operation {
    OVERLAPPED system;
    struct engine_request *request;
    DWORD refused; /* it has not even begun: why; 0: it has */
};

struct overlapped {
    struct engine base;
    HANDLE ended;
    vhu_uv_watch *wake;
    struct operation *operations;
    struct operation **free; /* all but the first num_out are free */
    struct operation **out;
    unsigned num_free;
    unsigned num_out;
};

static int overlapped_probe(void)
{
    return 0;
}

static void release(struct overlapped *o)
{
    vhu_uv_watch_close(o->wake);
    if (o->ended)
        CloseHandle(o->ended);
    free(o->operations);
    free(o->free);
    free(o->out);
    free(o);
}

/* Only to wake the worker: it polls in every turn. */
static void on_wake(void *arg)
{
    (void)arg;
}

static int overlapped_start(struct engine **out, const struct disk *disk, uv_loop_t *loop,
                            unsigned depth, engine_done_fn done)
{
    struct overlapped *o = calloc(1, sizeof *o);

    if (!o)
        return -ENOMEM;
    o->base = (struct engine){&engine_overlapped, disk, loop, done};
    o->ended = CreateEventW(NULL, FALSE, FALSE, NULL);
    o->operations = calloc(depth, sizeof *o->operations);
    o->free = calloc(depth, sizeof(struct operation *));
    o->out = calloc(depth, sizeof(struct operation *));
    if (!o->ended || !o->operations || !o->free || !o->out ||
        vhu_uv_watch_new(&o->wake, loop, o->ended, VHU_WAIT_READ, on_wake, o) < 0) {
        release(o);
        return -ENOMEM;
    }
    while (o->num_free < depth) {
        o->free[o->num_free] = &o->operations[o->num_free];
        ++o->num_free;
    }
    *out = &o->base;
    return 0;
}

static void begin(struct overlapped *o, struct engine_request *request)
{
    /* There is always a free one: no more than `depth` are out. */
    struct operation *operation = o->free[--o->num_free];
    const vhu_buf *buf = request->bufs;
    const DWORD len = (DWORD)(buf->len < MAX_LEN ? buf->len : MAX_LEN);
    const HANDLE file = o->base.disk->file;
    BOOL ok;

    o->out[o->num_out++] = operation;
    operation->request = request;
    operation->system = disk_windows_operation(request->offset, o->ended);
    ok = request->op == ENGINE_WRITE ? WriteFile(file, buf->base, len, NULL, &operation->system)
                                     : ReadFile(file, buf->base, len, NULL, &operation->system);
    operation->refused = ok || GetLastError() == ERROR_IO_PENDING ? 0 : GetLastError();
}

static void overlapped_submit(struct engine *engine, struct engine_request *request)
{
    request->engine = engine;
    /* Windows has no flush that does not wait. */
    if (request->op >= ENGINE_FLUSH)
        engine_submit_blocking(engine, request);
    else
        begin((struct overlapped *)engine, request);
}

/* Whether it has ended, and how. */
static bool take_result(const struct overlapped *o, struct operation *operation, int64_t *result)
{
    DWORD bytes = 0;
    DWORD error = operation->refused;

    if (!error && !HasOverlappedIoCompleted(&operation->system))
        return false;
    if (!error && !GetOverlappedResult(o->base.disk->file, &operation->system, &bytes, FALSE))
        error = GetLastError();
    *result = error ? disk_windows_error(error) : (int64_t)bytes;
    return true;
}

static bool overlapped_poll(struct engine *engine)
{
    struct overlapped *o = (struct overlapped *)engine;
    bool any = false;

    for (unsigned i = 0; i < o->num_out;) {
        struct operation *operation = o->out[i];
        int64_t result;

        if (!take_result(o, operation, &result)) {
            ++i;
            continue;
        }
        /* Before `done`, which may submit another one. */
        o->out[i] = o->out[--o->num_out];
        o->free[o->num_free++] = operation;
        engine->done(operation->request, result);
        any = true;
    }
    return any;
}

static void overlapped_free(struct engine *engine)
{
    release((struct overlapped *)engine);
}

const struct engine_ops engine_overlapped = {.name = "overlapped",
                                             .one_buf = true,
                                             .probe = overlapped_probe,
                                             .start = overlapped_start,
                                             .submit = overlapped_submit,
                                             .poll = overlapped_poll,
                                             .free = overlapped_free};

const char engine_names[] = "auto|overlapped|uv";

const struct engine_ops *const engine_table[] = {&engine_overlapped, &engine_uv, NULL};
