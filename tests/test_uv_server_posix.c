/* SPDX-License-Identifier: BSD-3-Clause */
/* A server on a loop by what only sockets can do: packets, and messages that come in pieces. */
#include <sys/socket.h>

#include "test_uv_server_fixture.h"

static void test_seqpacket(void **state)
{
    vhu_stream *pair[2];
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(vhu_stream_adopt(&pair[i], &ends[i], NULL), 0);
    bench_serves(bench_new_on(pair, 0));
}

/* --- deadlines --- */

static const struct {
    vhu_msg_header header;
    vhu_vring_state state;
} message = {{VHU_REQ_SET_VRING_BASE, VHU_VERSION_1, sizeof(vhu_vring_state)}, {0, 1}};

static void test_half_a_message(void **state)
{
    static const size_t sizes[] = {1, 4, 11, 12, 13, 19};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        bench *b = bench_started(20);

        bench_send_base(b, 0);
        frontend_send_bytes(&b->front, &message, sizes[i]);
        bench_until(b, b->closed);
        assert_int_equal(b->reason, VHU_ETIMEDOUT);
        assert_int_equal(b->bases, 1);
        bench_free(b);
    }
}

static void test_byte_by_byte(void **state)
{
    (void)state;
    for (int n = 0; n < 3; n++) {
        bench *b = bench_started(10000);

        for (size_t i = 0; i < sizeof(message); i++) {
            frontend_send_bytes(&b->front, (const char *)&message + i, 1);
            uv_run(&b->loop.uv, UV_RUN_NOWAIT);
        }
        bench_until(b, b->bases == 1);
        bench_free(b);
    }
}

static void test_ends_in_a_header(void **state)
{
    (void)state;
    bench_ends(&message.header, 5, VHU_EDISCONNECT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_seqpacket),
        leakcheck_test(test_half_a_message),
        leakcheck_test(test_byte_by_byte),
        leakcheck_test(test_ends_in_a_header),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
