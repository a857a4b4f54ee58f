/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end's server on a loop, with ops of the test's own, and its front-end. */
#ifndef TEST_UV_SERVER_FIXTURE_H
#define TEST_UV_SERVER_FIXTURE_H

#include <vmm_vhost/uv.h>

#include "support/frontend.h"
#include "support/test_loop.h"

enum { FLOOD_END = 3000000 };

typedef struct bench {
    test_loop loop;
    vhu_backend_server *server;
    vhu_uv_server *uv;
    frontend front; /* its connection alone */
    unsigned bases; /* SET_VRING_BASE messages */
    bool flooded;
    unsigned flood; /* messages of it that were sent */
    int base_result;
    bool close_in_op;
    bool close_in_closed;
    unsigned closed;
    int reason;
    bool done;
} bench;

extern const vhu_backend_ops bench_ops;

/* Connected by a pair of streams, which are taken, or by one of its own; nobody serves yet. */
bench *bench_new_on(vhu_stream *pair[2], int timeout_ms);
bench *bench_new(int timeout_ms);
/* Serve on this loop. */
void bench_start_on(bench *b, test_loop *loop);
/* A bench that serves on its own. */
bench *bench_started(int timeout_ms);
void bench_free(bench *b);

/* Stop serving. */
void bench_close(bench *b);

#define bench_until(b, condition) test_loop_until(&(b)->loop, condition)

/* Have so much waiting that serving never gets to its end. */
void bench_refill(bench *b);

void bench_send_base(bench *b, uint32_t flags);
void bench_expect_ack(bench *b, uint64_t expected);

/* Serve some requests until their sender leaves; frees the bench. */
void bench_serves(bench *b);
/* What becomes of a connection on which these bytes come and, if they are no header, the end. */
void bench_ends(const vhu_msg_header *header, size_t bytes, int reason);

#endif
