/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting on sockets in non-blocking mode, and through signals. */
#include <fcntl.h>
#include <signal.h>
#include <sys/time.h>
#include <uv.h>

#include "conn.h"
#include "support/pair.h"
#include "support/sys.h"

static vhu_conn *conn;
static peer p;

/* On a thread of its own, where nothing can be asserted. */
static void send_later(void *arg)
{
    static const uint8_t bytes[12] = {VHU_REQ_SET_OWNER, 0, 0, 0, VHU_VERSION_1};
    void *self;
    const vhu_transport *transport = peer_transport(&p, &self);

    (void)arg;
    sys_sleep_ms(2);
    transport->send(self, bytes, sizeof(bytes), NULL, 0);
}

static void wait_for_later(int timeout_ms)
{
    uv_thread_t thread;
    vhu_msg_header header;

    assert_int_equal(uv_thread_create(&thread, send_later, NULL), 0);
    assert_int_equal(vhu_conn_wait(conn, timeout_ms), 0);
    assert_int_equal(uv_thread_join(&thread), 0);
    assert_int_equal(vhu__conn_recv_header(conn, &header), 0);
    assert_int_equal(header.request, VHU_REQ_SET_OWNER);
}

/* A descriptor in non-blocking mode, as an inherited one may be: waited for all the same. */
static void test_nonblocking(void **state)
{
    (void)state;
    for (int limit = -1; limit <= 100000; limit += 100001) {
        pair_open(&p, &conn, PAIR_STREAM, NULL);
        assert_int_equal(fcntl(vhu_conn_wait_handle(conn), F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(vhu_conn_wait(conn, 1), VHU_ETIMEDOUT);
        wait_for_later(limit);
        vhu_conn_free(conn);
        peer_close(&p);
    }
}

static void on_signal(int number)
{
    (void)number;
}

/* Signals cut no wait short. */
static void test_signals(void **state)
{
    const struct itimerval often = {{0, 300}, {0, 300}};
    const struct itimerval never = {{0, 0}, {0, 0}};
    struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;

    (void)state;
    pair_open(&p, &conn, PAIR_STREAM, NULL);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(vhu_conn_wait(conn, 5), VHU_ETIMEDOUT);
    wait_for_later(-1);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    sigaction(SIGALRM, &before, NULL);
    vhu_conn_free(conn);
    peer_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_nonblocking),
        leakcheck_test(test_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
