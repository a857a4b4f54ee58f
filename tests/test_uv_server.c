/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end's server on a loop: its turns, deadlines, held back replies, and its end. */
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmm_vhost/uv.h>

#include "support/frontend.h"

enum { FLOOD_END = 3000000 };

typedef struct bench {
    uv_loop_t loop;
    uv_prepare_t prepare;
    uv_timer_t timer;
    unsigned turns; /* of the loop */
    unsigned ticks; /* of the timer */
    vhu_conn *conn;
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

/* --- a device --- */

static void on_done(void *arg)
{
    ((bench *)arg)->done = true;
}

static void close_uv(bench *b)
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

/* Have so much waiting that serving never gets to its end. */
static void refill(bench *b)
{
    struct {
        vhu_msg_header header;
        vhu_vring_state state;
    } messages[512];
    const size_t n = sizeof(messages) / sizeof(messages[0]);

    if (!b->flooded || b->flood - b->bases > 4 * n || b->bases > FLOOD_END)
        return;
    for (size_t i = 0; i < n; i++) {
        messages[i].header =
            (vhu_msg_header){VHU_REQ_SET_VRING_BASE, VHU_VERSION_1, sizeof(vhu_vring_state)};
        messages[i].state = (vhu_vring_state){0, 1};
    }
    while (b->flood - b->bases <= 4 * n) {
        assert_int_equal(send(b->front.fd, messages, sizeof(messages), MSG_DONTWAIT),
                         sizeof(messages));
        b->flood += (unsigned)n;
    }
}

static int set_vring_base(void *self, uint32_t ring, uint32_t base)
{
    bench *b = self;

    (void)ring;
    (void)base;
    b->bases++;
    refill(b);
    if (b->close_in_op && b->uv)
        close_uv(b);
    return b->base_result;
}

static const vhu_backend_ops ops = {
    .size = sizeof(ops), .get_features = get_features, .set_vring_base = set_vring_base};

static void on_closed(void *arg, int error)
{
    bench *b = arg;

    b->closed++;
    b->reason = error;
    if (b->close_in_closed)
        close_uv(b);
}

/* --- the loop --- */

static void on_prepare(uv_prepare_t *prepare)
{
    ((bench *)prepare->data)->turns++;
}

static void on_tick(uv_timer_t *timer)
{
    ((bench *)timer->data)->ticks++;
}

/* Run a loop, then wait until it has something to do or there is a reply. */
static void turn(void *arg)
{
    bench *b = arg;

    uv_run(&b->loop, UV_RUN_NOWAIT);
    frontend_wait_loop(&b->front, uv_backend_fd(&b->loop), uv_backend_timeout(&b->loop));
}

/* Nobody waits for what has happened already. */
#define until(b, condition)                                                                        \
    do {                                                                                           \
        uv_run(&(b)->loop, UV_RUN_NOWAIT);                                                         \
        while (!(condition))                                                                       \
            turn(b);                                                                               \
    } while (0)

/* Let some milliseconds pass: how often the loop turned. */
static unsigned pause_turns(bench *b, unsigned ms)
{
    unsigned turns = b->turns;

    b->ticks = 0;
    uv_update_time(&b->loop);
    uv_timer_start(&b->timer, on_tick, ms, 0);
    until(b, b->ticks > 0);
    return b->turns - turns;
}

/* --- life --- */

static bench *bench_new(int type, int timeout_ms)
{
    const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = timeout_ms};
    bench *b = calloc(1, sizeof(*b));
    vhu_conn *conn;
    int ends[2];

    assert_non_null(b);
    assert_int_equal(uv_loop_init(&b->loop), 0);
    uv_prepare_init(&b->loop, &b->prepare);
    uv_timer_init(&b->loop, &b->timer);
    b->prepare.data = b->timer.data = b;
    uv_prepare_start(&b->prepare, on_prepare);
    uv_unref((uv_handle_t *)&b->prepare);
    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(vhu_conn_adopt(&conn, &ends[0], &options), 0);
    b->conn = conn;
    b->front = (frontend){.fd = ends[1], .channel = -1, .turn = turn, .turn_arg = b};
    assert_int_equal(vhu_backend_server_new(&b->server, &conn, &ops, b, NULL), 0);
    return b;
}

static void bench_start(bench *b)
{
    assert_int_equal(vhu_uv_server_start(&b->uv, &b->loop, b->server, on_closed, b), 0);
}

static bench *bench_started(int timeout_ms)
{
    bench *b = bench_new(SOCK_STREAM, timeout_ms);

    bench_start(b);
    return b;
}

static void bench_free(bench *b)
{
    if (b->uv)
        close_uv(b);
    vhu_backend_server_free(b->server);
    uv_close((uv_handle_t *)&b->prepare, NULL);
    uv_close((uv_handle_t *)&b->timer, NULL);
    assert_int_equal(uv_run(&b->loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&b->loop), 0);
    assert_true(b->done);
    frontend_hang_up(&b->front);
    free(b);
}

static void send_base(bench *b, uint32_t flags)
{
    const vhu_vring_state state = {0, 1};

    frontend_send(&b->front, VHU_REQ_SET_VRING_BASE, flags, &state, sizeof(state), NULL, 0);
}

static void expect_ack(bench *b, uint64_t expected)
{
    uint64_t status;

    assert_int_equal(frontend_recv(&b->front, VHU_REQ_SET_VRING_BASE, &status, sizeof(status)), 8);
    assert_int_equal(status, expected);
}

/* --- tests --- */

static void test_serves(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        bench *b = bench_new(i ? SOCK_SEQPACKET : SOCK_STREAM, 0);

        bench_start(b);
        for (int n = 0; n < 10; n++)
            assert_true(frontend_get(&b->front, VHU_REQ_GET_FEATURES) &
                        VHU_BIT(VHU_F_PROTOCOL_FEATURES));
        send_base(b, 0);
        until(b, b->bases == 1);
        frontend_hang_up(&b->front);
        until(b, b->closed);
        assert_int_equal(b->closed, 1);
        assert_int_equal(b->reason, VHU_ECLIENT_EXIT);
        bench_free(b);
    }
}

/* What is in read-ahead when serving begins would wake no loop. */
static void test_read_ahead(void **state)
{
    bench *b = bench_new(SOCK_STREAM, 0);

    (void)state;
    for (int i = 0; i < 3; i++)
        send_base(b, 0);
    assert_int_equal(vhu_backend_server_recv_header(b->server, NULL), 0);
    assert_int_equal(vhu_backend_server_process_message(b->server), 0);
    assert_int_equal(b->bases, 1);
    bench_start(b);
    assert_int_equal(b->bases, 1);
    until(b, b->bases == 3);
    bench_free(b);
}

static void test_refuses(void **state)
{
    vhu_conn *pair[2];
    vhu_backend_server *server;
    vhu_uv_server *uv = NULL;
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(vhu_conn_memory_pair(pair, VHU_MEMORY_STREAM, NULL), 0);
    assert_int_equal(vhu_backend_server_new(&server, &pair[0], &ops, NULL, NULL), 0);
    assert_int_equal(vhu_uv_server_start(&uv, &loop, server, on_closed, NULL), VHU_EINVAL);
    assert_null(uv);
    vhu_backend_server_free(server);
    vhu_conn_free(pair[1]);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* --- floods --- */

/* Neither a timer nor another connection on the loop waits for the end of a flood. */
static void test_flood(void **state)
{
    bench *b = bench_started(0);
    bench *other = bench_new(SOCK_STREAM, 0);

    (void)state;
    assert_int_equal(vhu_uv_server_start(&other->uv, &b->loop, other->server, on_closed, other), 0);
    b->flooded = true;
    refill(b);
    uv_timer_start(&b->timer, on_tick, 1, 1);
    until(b, b->ticks > 10 || b->bases > FLOOD_END);
    frontend_hang_up(&other->front);
    until(b, other->closed || b->bases > FLOOD_END);
    assert_true(b->bases < FLOOD_END);
    assert_int_equal(other->reason, VHU_ECLIENT_EXIT);
    b->flooded = false;
    until(b, b->bases == b->flood);
    close_uv(other);
    until(b, other->done);
    bench_free(other);
    bench_free(b);
}

/* Many questions before the first answer is read: all are answered. */
static void test_slow_reader(void **state)
{
    const vhu_msg_header header = {VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0};
    bench *b = bench_started(0);
    unsigned sent = 0;
    uint64_t features;

    (void)state;
    /* Until neither side can send any more. */
    for (unsigned stuck = 0; stuck < 5; stuck++) {
        while (send(b->front.fd, &header, sizeof(header), MSG_DONTWAIT) == sizeof(header)) {
            sent++;
            stuck = 0;
        }
        pause_turns(b, 2);
    }
    for (unsigned i = 0; i < sent; i++)
        assert_int_equal(frontend_recv(&b->front, VHU_REQ_GET_FEATURES, &features, 8), 8);
    assert_true(frontend_is_silent(&b->front));
    assert_false(b->closed);
    bench_free(b);
}

/* --- deadlines --- */

static void test_half_a_message(void **state)
{
    static const size_t sizes[] = {1, 4, 11, 12, 13, 19};
    const struct {
        vhu_msg_header header;
        vhu_vring_state state;
    } message = {{VHU_REQ_SET_VRING_BASE, VHU_VERSION_1, sizeof(vhu_vring_state)}, {0, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        bench *b = bench_started(20);

        /* Who says nothing has all the time there is. */
        pause_turns(b, 30);
        assert_false(b->closed);
        send_base(b, 0);
        assert_int_equal(send(b->front.fd, &message, sizes[i], 0), sizes[i]);
        until(b, b->closed);
        assert_int_equal(b->reason, VHU_ETIMEDOUT);
        assert_int_equal(b->bases, 1);
        bench_free(b);
    }
    /* And a message that comes byte by byte is one. */
    for (int n = 0; n < 3; n++) {
        bench *b = bench_started(10000);

        for (size_t i = 0; i < sizeof(message); i++) {
            assert_int_equal(send(b->front.fd, (const char *)&message + i, 1, 0), 1);
            uv_run(&b->loop, UV_RUN_NOWAIT);
        }
        until(b, b->bases == 1);
        bench_free(b);
    }
}

/* Whoever never reads the replies is left alone. */
static void test_reads_nothing(void **state)
{
    const vhu_msg_header header = {VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0};
    bench *b = bench_started(20);

    (void)state;
    while (!b->closed) {
        while (send(b->front.fd, &header, sizeof(header), MSG_DONTWAIT | MSG_NOSIGNAL) > 0)
            ;
        turn(b);
    }
    assert_int_equal(b->reason, VHU_ETIMEDOUT);
    bench_free(b);
}

/* A peer that leaves replies unread makes an error of its end; what it sent last is served. */
static void test_leaves_unread(void **state)
{
    (void)state;
    for (int extra = 0; extra < 4; extra++) {
        bench *b = bench_started(0);

        frontend_send(&b->front, VHU_REQ_GET_FEATURES, 0, NULL, 0, NULL, 0);
        until(b, !frontend_is_silent(&b->front));
        for (int i = 0; i < extra; i++)
            send_base(b, 0);
        frontend_hang_up(&b->front);
        until(b, b->closed);
        assert_int_equal(b->bases, extra);
        bench_free(b);
    }
}

/* --- held back --- */

static void test_pending(void **state)
{
    bench *b = bench_started(0);
    uint64_t features;

    (void)state;
    frontend_set(&b->front, VHU_REQ_SET_PROTOCOL_FEATURES, VHU_BIT(VHU_PF_REPLY_ACK));
    for (int i = 0; i < 2; i++) {
        b->base_result = VHU_EPENDING;
        b->bases = 0;
        send_base(b, VHU_FLAG_NEED_REPLY);
        send_base(b, VHU_FLAG_NEED_REPLY);
        frontend_send(&b->front, VHU_REQ_GET_FEATURES, 0, NULL, 0, NULL, 0);
        until(b, b->bases == 1);
        /* Nothing is done meanwhile, nor is the loop kept awake. */
        assert_true(pause_turns(b, 10) < 10);
        assert_int_equal(b->bases, 1);
        assert_true(frontend_is_silent(&b->front));
        b->base_result = 0;
        assert_int_equal(vhu_backend_server_complete(b->server, i ? VHU_EIO : 0), i ? VHU_EIO : 0);
        vhu_uv_server_continue(b->uv);
        expect_ack(b, (uint64_t)i);
        expect_ack(b, 0);
        assert_int_equal(frontend_recv(&b->front, VHU_REQ_GET_FEATURES, &features, 8), 8);
    }
    bench_free(b);
}

/* The peer goes meanwhile: no spinning, and it is noticed afterwards. */
static void test_leaves_pending(void **state)
{
    bench *b = bench_started(0);

    (void)state;
    b->base_result = VHU_EPENDING;
    send_base(b, 0);
    until(b, b->bases == 1);
    frontend_hang_up(&b->front);
    assert_true(pause_turns(b, 10) < 10);
    assert_int_equal(vhu_backend_server_complete(b->server, 0), 0);
    vhu_uv_server_continue(b->uv);
    until(b, b->closed);
    assert_int_equal(b->reason, VHU_ECLIENT_EXIT);
    vhu_uv_server_continue(b->uv);
    assert_int_equal(b->closed, 1);
    bench_free(b);
}

/* --- the end --- */

static void test_reasons(void **state)
{
    static const struct {
        size_t bytes; /* of a header */
        uint32_t flags;
        int reason;
    } cases[] = {
        {0, VHU_VERSION_1, VHU_ECLIENT_EXIT},
        {5, VHU_VERSION_1, VHU_EDISCONNECT},
        {sizeof(vhu_msg_header), 2, VHU_EINVALID_MESSAGE},
        {sizeof(vhu_msg_header), VHU_VERSION_1, VHU_EINVALID_MESSAGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const vhu_msg_header header = {999, cases[i].flags, 0};
        bench *b = bench_started(0);

        b->close_in_closed = true;
        assert_int_equal(send(b->front.fd, &header, cases[i].bytes, 0), cases[i].bytes);
        if (cases[i].bytes < sizeof(header))
            frontend_hang_up(&b->front);
        until(b, b->closed);
        assert_int_equal(b->reason, cases[i].reason);
        assert_null(b->uv);
        until(b, b->done);
        bench_free(b);
    }
}

static void test_close(void **state)
{
    bench *b = bench_started(0);

    (void)state;
    /* At once; in an op; with a reply held back. */
    bench_free(b);
    b = bench_started(0);
    b->close_in_op = true;
    send_base(b, 0);
    send_base(b, 0);
    until(b, b->done);
    assert_int_equal(b->closed, 0);
    bench_free(b);
    b = bench_started(0);
    b->base_result = VHU_EPENDING;
    send_base(b, 0);
    until(b, b->bases == 1);
    bench_free(b);
}

static int setup(void **state)
{
    uv_loop_t loop;

    /* libuv opens two descriptors with its first loop, for good. */
    (void)state;
    return uv_loop_init(&loop) == 0 ? uv_loop_close(&loop) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_serves),        leakcheck_test(test_read_ahead),
        leakcheck_test(test_refuses),       leakcheck_test(test_flood),
        leakcheck_test(test_slow_reader),   leakcheck_test(test_half_a_message),
        leakcheck_test(test_reads_nothing), leakcheck_test(test_leaves_unread),
        leakcheck_test(test_pending),       leakcheck_test(test_leaves_pending),
        leakcheck_test(test_reasons),       leakcheck_test(test_close),
    };

    return cmocka_run_group_tests(tests, setup, NULL);
}
