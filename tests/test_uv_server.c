/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end's server on a loop: its turns, deadlines, held back replies, and its end. */
#include "test_uv_server_fixture.h"

/* --- tests --- */

static void test_serves(void **state)
{
    (void)state;
    bench_serves(bench_new(0));
}

/* What is in read-ahead when serving begins would wake no loop. */
static void test_read_ahead(void **state)
{
    bench *b = bench_new(0);

    (void)state;
    for (int i = 0; i < 3; i++)
        bench_send_base(b, 0);
    assert_int_equal(vhu_backend_server_recv_header(b->server, NULL), 0);
    assert_int_equal(vhu_backend_server_process_message(b->server), 0);
    assert_int_equal(b->bases, 1);
    bench_start_on(b, &b->loop);
    assert_int_equal(b->bases, 1);
    bench_until(b, b->bases == 3);
    bench_free(b);
}

static void never_closed(void *arg, int error)
{
    (void)arg;
    fail_msg("closed: %s", vhu_strerror(error));
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
    assert_int_equal(vhu_backend_server_new(&server, &pair[0], &bench_ops, NULL, NULL), 0);
    assert_int_equal(vhu_uv_server_start(&uv, &loop, server, never_closed, NULL), VHU_EINVAL);
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
    bench *other = bench_new(0);

    (void)state;
    bench_start_on(other, &b->loop);
    b->flooded = true;
    bench_refill(b);
    test_loop_tick(&b->loop, 1, 1);
    bench_until(b, b->loop.ticks > 10 || b->bases > FLOOD_END);
    frontend_hang_up(&other->front);
    bench_until(b, other->closed || b->bases > FLOOD_END);
    assert_true(b->bases < FLOOD_END);
    assert_int_equal(other->reason, VHU_ECLIENT_EXIT);
    b->flooded = false;
    bench_until(b, b->bases == b->flood);
    bench_close(other);
    bench_until(b, other->done);
    bench_free(other);
    bench_free(b);
}

/* Many questions before the first answer is read: all are answered. */
static void test_slow_reader(void **state)
{
    bench *b = bench_started(0);
    unsigned sent = 0;
    uint64_t features;

    (void)state;
    /* Until neither side can send any more. */
    for (unsigned stuck = 0; stuck < 5; stuck++) {
        while (frontend_try_send(&b->front, VHU_REQ_GET_FEATURES, NULL, 0)) {
            sent++;
            stuck = 0;
        }
        test_loop_pause(&b->loop, 2);
    }
    for (unsigned i = 0; i < sent; i++)
        assert_int_equal(frontend_recv(&b->front, VHU_REQ_GET_FEATURES, &features, 8), 8);
    assert_true(frontend_is_silent(&b->front));
    assert_false(b->closed);
    bench_free(b);
}

/* --- deadlines --- */

/* Who says nothing has all the time there is. */
static void test_says_nothing(void **state)
{
    bench *b = bench_started(20);

    (void)state;
    test_loop_pause(&b->loop, 30);
    assert_false(b->closed);
    bench_send_base(b, 0);
    bench_until(b, b->bases == 1);
    test_loop_pause(&b->loop, 30);
    assert_false(b->closed);
    bench_free(b);
}

/* Whoever never reads the replies is left alone. */
static void test_reads_nothing(void **state)
{
    bench *b = bench_started(20);

    (void)state;
    while (!b->closed) {
        while (frontend_try_send(&b->front, VHU_REQ_GET_FEATURES, NULL, 0))
            ;
        test_loop_turn(&b->loop);
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

        for (int i = 0; i < 2; i++)
            frontend_send(&b->front, VHU_REQ_GET_FEATURES, 0, NULL, 0, NULL, 0);
        /* The first; the other stays where it is. */
        bench_until(b, !frontend_is_silent(&b->front));
        for (int i = 0; i < extra; i++)
            bench_send_base(b, 0);
        frontend_hang_up(&b->front);
        bench_until(b, b->closed);
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
        bench_send_base(b, VHU_FLAG_NEED_REPLY);
        bench_send_base(b, VHU_FLAG_NEED_REPLY);
        frontend_send(&b->front, VHU_REQ_GET_FEATURES, 0, NULL, 0, NULL, 0);
        bench_until(b, b->bases == 1);
        /* Nothing is done meanwhile, nor is the loop kept awake. */
        assert_true(test_loop_pause(&b->loop, 10) < 10);
        assert_int_equal(b->bases, 1);
        assert_true(frontend_is_silent(&b->front));
        b->base_result = 0;
        assert_int_equal(vhu_backend_server_complete(b->server, i ? VHU_EIO : 0), i ? VHU_EIO : 0);
        vhu_uv_server_continue(b->uv);
        bench_expect_ack(b, (uint64_t)i);
        bench_expect_ack(b, 0);
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
    bench_send_base(b, 0);
    bench_until(b, b->bases == 1);
    frontend_hang_up(&b->front);
    assert_true(test_loop_pause(&b->loop, 10) < 10);
    assert_int_equal(vhu_backend_server_complete(b->server, 0), 0);
    vhu_uv_server_continue(b->uv);
    bench_until(b, b->closed);
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
        {sizeof(vhu_msg_header), 2, VHU_EINVALID_MESSAGE},
        {sizeof(vhu_msg_header), VHU_VERSION_1, VHU_EINVALID_MESSAGE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const vhu_msg_header header = {999, cases[i].flags, 0};

        bench_ends(&header, cases[i].bytes, cases[i].reason);
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
    bench_send_base(b, 0);
    bench_send_base(b, 0);
    bench_until(b, b->done);
    assert_int_equal(b->closed, 0);
    bench_free(b);
    b = bench_started(0);
    b->base_result = VHU_EPENDING;
    bench_send_base(b, 0);
    bench_until(b, b->bases == 1);
    bench_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_serves),        leakcheck_test(test_read_ahead),
        leakcheck_test(test_refuses),       leakcheck_test(test_flood),
        leakcheck_test(test_slow_reader),   leakcheck_test(test_says_nothing),
        leakcheck_test(test_reads_nothing), leakcheck_test(test_leaves_unread),
        leakcheck_test(test_pending),       leakcheck_test(test_leaves_pending),
        leakcheck_test(test_reasons),       leakcheck_test(test_close),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
