/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Input and output by io_uring: what was submitted in a turn begins with one system call, and what
 * has finished is found in memory. The ring's descriptor wakes a worker that sleeps on its loop.
 */
#include "engine.h"

#include <errno.h>
#include <liburing.h>
#include <stddef.h>
#include <stdlib.h>

_Static_assert(sizeof(struct iovec) == sizeof(vhu_buf) &&
                   offsetof(struct iovec, iov_base) == offsetof(vhu_buf, base) &&
                   offsetof(struct iovec, iov_len) == offsetof(vhu_buf, len),
               "a vhu_buf is an iovec");

enum { PROBE_DEPTH = 256, REAP_BATCH = 64 };

/* A single buffer's length is 32 bits wide in the ring; what is left is submitted again. */
#define MAX_LEN ((size_t)1 << 30)

struct uring {
    struct engine base;
    struct io_uring ring;
    uv_poll_t wake;
};

static int make_ring(struct io_uring *ring, unsigned depth)
{
    /*
     * Completions that interrupt nobody: a worker that is awake looks for them itself.
     * DEFER_TASKRUN would batch them still better, but does not wake those who wait on the ring's
     * descriptor. Older kernels refuse flags that they do not know.
     */
    static const unsigned flags[] = {
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        IORING_SETUP_COOP_TASKRUN | IORING_SETUP_TASKRUN_FLAG,
        0,
    };
    int rc = -EINVAL;

    for (size_t i = 0; i < sizeof flags / sizeof flags[0] && rc == -EINVAL; ++i)
        rc = io_uring_queue_init(depth, ring, flags[i]);
    return rc;
}

static int uring_probe(void)
{
    static const int needed[] = {IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV,
                                 IORING_OP_FSYNC};
    struct io_uring ring;
    int rc = make_ring(&ring, PROBE_DEPTH);

    if (rc)
        return rc;
    struct io_uring_probe *probe = io_uring_get_probe_ring(&ring);
    rc = probe ? 0 : -ENOSYS;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0] && !rc; ++i)
        if (!io_uring_opcode_supported(probe, needed[i]))
            rc = -ENOSYS;
    io_uring_free_probe(probe);
    io_uring_queue_exit(&ring);
    return rc;
}

static void wake_closed(uv_handle_t *handle)
{
    struct uring *uring = handle->data;

    io_uring_queue_exit(&uring->ring);
    free(uring);
}

/* Only to wake the worker: it polls in every turn. */
static void on_wake(uv_poll_t *handle, int status, int events)
{
    (void)handle;
    (void)status;
    (void)events;
}

static int uring_start(struct engine **out, const struct disk *disk, uv_loop_t *loop,
                       unsigned depth, engine_done_fn done)
{
    struct uring *uring = calloc(1, sizeof *uring);
    int rc;

    if (!uring)
        return -ENOMEM;
    uring->base = (struct engine){&engine_uring, disk, loop, done};
    rc = make_ring(&uring->ring, depth);
    if (rc)
        goto fail;
    rc = io_uring_register_files(&uring->ring, &disk->file, 1);
    if (rc)
        goto fail_ring;
    io_uring_register_ring_fd(&uring->ring); /* saves a look-up for each call, where it works */
    rc = uv_poll_init(loop, &uring->wake, uring->ring.ring_fd);
    if (rc)
        goto fail_ring;
    uring->wake.data = uring;
    rc = uv_poll_start(&uring->wake, UV_READABLE, on_wake);
    if (rc) {
        uv_close((uv_handle_t *)&uring->wake, wake_closed);
        return rc;
    }
    *out = &uring->base;
    return 0;

fail_ring:
    io_uring_queue_exit(&uring->ring);
fail:
    free(uring);
    return rc;
}

static void prepare_transfer(struct io_uring_sqe *sqe, const struct engine_request *request)
{
    const bool write = request->op == ENGINE_WRITE;

    if (request->num_bufs == 1) {
        const vhu_buf *buf = request->bufs;
        const unsigned len = (unsigned)(buf->len < MAX_LEN ? buf->len : MAX_LEN);
        io_uring_prep_rw(write ? IORING_OP_WRITE : IORING_OP_READ, sqe, 0, buf->base, len,
                         request->offset);
    } else {
        io_uring_prep_rw(write ? IORING_OP_WRITEV : IORING_OP_READV, sqe, 0, request->bufs,
                         request->num_bufs, request->offset);
    }
}

static void uring_submit(struct engine *engine, struct engine_request *request)
{
    struct uring *uring = (struct uring *)engine;

    request->engine = engine;
    if (request->op >= ENGINE_DISCARD) {
        engine_submit_blocking(engine, request);
        return;
    }
    /* There is always a free one: no more than `depth` are out. */
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (request->op == ENGINE_FLUSH)
        io_uring_prep_fsync(sqe, 0, IORING_FSYNC_DATASYNC);
    else
        prepare_transfer(sqe, request);
    io_uring_sqe_set_flags(sqe, IOSQE_FIXED_FILE);
    io_uring_sqe_set_data(sqe, request);
}

/* The kernel has completions that it will only show on a call. */
static bool needs_call(struct io_uring *ring)
{
    return IO_URING_READ_ONCE(*ring->sq.kflags) & (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW);
}

static bool uring_poll(struct engine *engine)
{
    struct uring *uring = (struct uring *)engine;
    struct io_uring *ring = &uring->ring;
    struct io_uring_cqe *cqes[REAP_BATCH];
    bool any = false;
    unsigned n;

    /* What a call leaves unsubmitted goes with the next turn's. */
    if (io_uring_sq_ready(ring) > 0) {
        io_uring_submit_and_get_events(ring);
        any = true;
    } else if (needs_call(ring)) {
        io_uring_get_events(ring);
    }
    while ((n = io_uring_peek_batch_cqe(ring, cqes, REAP_BATCH)) > 0) {
        for (unsigned i = 0; i < n; ++i)
            engine->done(io_uring_cqe_get_data(cqes[i]), cqes[i]->res);
        io_uring_cq_advance(ring, n);
        any = true;
    }
    return any;
}

static void uring_free(struct engine *engine)
{
    struct uring *uring = (struct uring *)engine;

    uv_close((uv_handle_t *)&uring->wake, wake_closed);
}

const struct engine_ops engine_uring = {.name = "io_uring",
                                        .probe = uring_probe,
                                        .start = uring_start,
                                        .submit = uring_submit,
                                        .poll = uring_poll,
                                        .free = uring_free};
