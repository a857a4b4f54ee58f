/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_uv_server_fixture.h"

#include <stdlib.h>

enum { FLOOD_PIECE = 512 };

/* --- a device --- */

static void on_done(void *arg)
{
    ((bench *)arg)->done = true;
}

void bench_close(bench *b)
{
    vhu_uv_server_close(b->uv, on_done, b);
    b->uv = NULL;
}

static int get_features(void *self, uint64_t *features)
{
    (void)self;
    *features = VHU_BIT(VHU_F_VERSION_1);
    return 0;
}

/* Many messages in one go, where that can be: a short receive is taken for the last for now. */
static int send_bases(bench *b)
{
    struct {
        vhu_msg_header header;
        vhu_vring_state state;
    } messages[FLOOD_PIECE];
    const vhu_transport *transport = vhu_stream_transport(b->front.stream);
    const unsigned n = transport->flags & VHU_TRANSPORT_MESSAGES ? 1 : FLOOD_PIECE;
    const size_t bytes = n * sizeof(messages[0]);
    int r;

    for (unsigned i = 0; i < n; i++) {
        messages[i].header =
            (vhu_msg_header){VHU_REQ_SET_VRING_BASE, VHU_VERSION_1, sizeof(vhu_vring_state)};
        messages[i].state = (vhu_vring_state){0, 1};
    }
    r = transport->send(b->front.stream, messages, bytes, NULL, 0);
    if (r < 0)
        return r;
    assert_int_equal(r, bytes);
    b->flood += n;
    return 0;
}

void bench_refill(bench *b)
{
    int r = 0;

    while (r == 0 && b->flooded && b->flood - b->bases <= 4 * FLOOD_PIECE && b->bases < FLOOD_END)
        r = send_bases(b);
}

static int set_vring_base(void *self, uint32_t ring, uint32_t base)
{
    bench *b = self;

    (void)ring;
    (void)base;
    b->bases++;
    bench_refill(b);
    if (b->close_in_op && b->uv)
        bench_close(b);
    return b->base_result;
}

const vhu_backend_ops bench_ops = {
    .size = sizeof(bench_ops), .get_features = get_features, .set_vring_base = set_vring_base};

static void on_closed(void *arg, int error)
{
    bench *b = arg;

    b->closed++;
    b->reason = error;
    if (b->close_in_closed)
        bench_close(b);
}

/* --- life --- */

static void turn(void *arg)
{
    test_loop_turn(&((bench *)arg)->loop);
}

bench *bench_new_on(vhu_stream *pair[2], int timeout_ms)
{
    const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = timeout_ms};
    bench *b = calloc(1, sizeof(*b));
    vhu_conn *conn;

    assert_non_null(b);
    test_loop_open(&b->loop);
    assert_int_equal(vhu_conn_from_stream(&conn, &pair[0], &options), 0);
    assert_int_equal(vhu_backend_server_new(&b->server, &conn, &bench_ops, b, NULL), 0);
    b->front = (frontend){.stream = pair[1], .turn = turn, .turn_arg = b};
    return b;
}

bench *bench_new(int timeout_ms)
{
    vhu_stream *pair[2];

    assert_int_equal(vhu_stream_pair(pair), 0);
    return bench_new_on(pair, timeout_ms);
}

void bench_start_on(bench *b, test_loop *loop)
{
    assert_int_equal(vhu_uv_server_start(&b->uv, &loop->uv, b->server, on_closed, b), 0);
}

bench *bench_started(int timeout_ms)
{
    bench *b = bench_new(timeout_ms);

    bench_start_on(b, &b->loop);
    return b;
}

void bench_free(bench *b)
{
    if (b->uv)
        bench_close(b);
    vhu_backend_server_free(b->server);
    test_loop_close(&b->loop);
    assert_true(b->done);
    frontend_hang_up(&b->front);
    free(b);
}

/* --- messages --- */

void bench_send_base(bench *b, uint32_t flags)
{
    const vhu_vring_state state = {0, 1};

    frontend_send(&b->front, VHU_REQ_SET_VRING_BASE, flags, &state, sizeof(state), NULL, 0);
}

void bench_expect_ack(bench *b, uint64_t expected)
{
    uint64_t status;

    assert_int_equal(frontend_recv(&b->front, VHU_REQ_SET_VRING_BASE, &status, sizeof(status)), 8);
    assert_int_equal(status, expected);
}

/* --- whole lives --- */

void bench_serves(bench *b)
{
    bench_start_on(b, &b->loop);
    for (int n = 0; n < 10; n++)
        assert_true(frontend_get(&b->front, VHU_REQ_GET_FEATURES) &
                    VHU_BIT(VHU_F_PROTOCOL_FEATURES));
    bench_send_base(b, 0);
    bench_until(b, b->bases == 1);
    frontend_hang_up(&b->front);
    bench_until(b, b->closed);
    assert_int_equal(b->closed, 1);
    assert_int_equal(b->reason, VHU_ECLIENT_EXIT);
    bench_free(b);
}

void bench_ends(const vhu_msg_header *header, size_t bytes, int reason)
{
    bench *b = bench_started(0);

    b->close_in_closed = true;
    if (bytes > 0)
        frontend_send_bytes(&b->front, header, bytes);
    if (bytes < sizeof(*header))
        frontend_hang_up(&b->front);
    bench_until(b, b->closed);
    assert_int_equal(b->reason, reason);
    assert_null(b->uv);
    bench_until(b, b->done);
    bench_free(b);
}
