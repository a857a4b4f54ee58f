/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting, which may receive what it waits for: whoever waited is told all the same. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "conn.h"
#include "support/pair.h"
#include "util.h"

static message m;

static void build(uint32_t size, size_t handles)
{
    memset(&m, 0, sizeof(m));
    m.header = (vhu_msg_header){VHU_REQ_SET_OWNER, VHU_VERSION_1, size};
    m.num_handles = handles;
}

static void send_it(peer *p)
{
    message copy = m;

    handles_open(copy.handles, copy.num_handles);
    peer_send_message(p, &copy);
    message_close_handles(&copy);
}

/* The whole of a message; its handles are closed. */
static void expect_message(vhu_conn *conn)
{
    vhu_handle handles[VHU_MAX_HANDLES];
    const uint8_t *payload;
    vhu_msg_header header;
    size_t n;

    assert_int_equal(vhu__conn_recv_header(conn, &header), 0);
    assert_memory_equal(&header, &m.header, sizeof(header));
    assert_int_equal(vhu__conn_recv_payload(conn, &payload), 0);
    assert_memory_equal(payload, m.payload, header.size);
    n = vhu__conn_take_handles(conn, handles, VHU_MAX_HANDLES);
    assert_int_equal(n, m.num_handles);
    handles_close(handles, n);
    vhu__conn_consume(conn);
}

static int recv_header(vhu_conn *conn)
{
    vhu_msg_header header;

    return vhu__conn_recv_header(conn, &header);
}

static void test_messages(void **state)
{
    static const int kinds[] = {PAIR_STREAM, PAIR_SEQPACKET};
    static const int limits[] = {-1, 0, 1000, 900, 60000};

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        vhu_conn *conn;
        peer p;

        pair_open(&p, &conn, kinds[k], NULL);
        for (size_t i = 0; i < VHU__COUNT(limits); i++) {
            for (uint32_t size = 0; size <= 4000; size += 2000) {
                build(size, i % 3);
                send_it(&p);
                assert_int_equal(vhu_conn_wait(conn, limits[i]), 0);
                expect_message(conn);
                assert_int_equal(recv_header(conn), VHU_EAGAIN);
                assert_int_equal(vhu_conn_wait(conn, limits[i] == 0 ? 0 : 1), VHU_ETIMEDOUT);
            }
        }
        vhu_conn_free(conn);
        peer_close(&p);
    }
}

/* Received while waiting, and then nobody wants it. */
static void test_unwanted(void **state)
{
    vhu_conn *conn;
    peer p;

    (void)state;
    pair_open(&p, &conn, PAIR_STREAM, NULL);
    build(8, 3);
    send_it(&p);
    assert_int_equal(vhu_conn_wait(conn, -1), 0);
    assert_true(vhu_conn_pending(conn));
    vhu_conn_free(conn);
    peer_close(&p);
}

/* Byte by byte: each wait ends with the next byte. */
static void test_bytes(void **state)
{
    uint8_t bytes[20];
    vhu_conn *conn;
    peer p;

    (void)state;
    pair_open(&p, &conn, PAIR_STREAM, NULL);
    build(8, 0);
    message_bytes(&m, bytes);
    for (size_t i = 0; i < sizeof(bytes); i++) {
        assert_int_equal(recv_header(conn), i < 12 ? VHU_EAGAIN : 0);
        assert_false(vhu_conn_pending(conn));
        peer_send(&p, bytes + i, 1, NULL, 0);
        assert_int_equal(vhu_conn_wait(conn, -1), 0);
    }
    expect_message(conn);
    vhu_conn_free(conn);
    peer_close(&p);
}

/* What ends the connection during a wait is the result of what is called next, once. */
static void test_ends(void **state)
{
    static const struct {
        int kind;
        size_t bytes; /* zeroes, before the peer leaves */
        int result;
        bool open; /* nothing is wrong before its owner looks */
    } ends[] = {
        {PAIR_STREAM, 0, VHU_ECLIENT_EXIT, false},
        {PAIR_STREAM, 5, VHU_EDISCONNECT, true},
        {PAIR_STREAM, 12, VHU_EINVALID_MESSAGE, true}, /* version 0 */
        {PAIR_SEQPACKET, 0, VHU_ECLIENT_EXIT, false},
        {PAIR_SEQPACKET, 5, VHU_EINVALID_MESSAGE, false},
        {PAIR_SEQPACKET, 13, VHU_EINVALID_MESSAGE, false},
    };
    static const uint8_t zeroes[13];

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(ends); i++) {
        int result;
        vhu_conn *conn;
        peer p;

        pair_open(&p, &conn, ends[i].kind, NULL);
        if (ends[i].bytes)
            peer_send(&p, zeroes, ends[i].bytes, NULL, 0);
        peer_close(&p);
        assert_int_equal(vhu_conn_wait(conn, -1), 0);
        assert_int_equal(vhu_conn_is_open(conn), ends[i].open);
        result = recv_header(conn);
        while (result == VHU_EAGAIN)
            result = recv_header(conn);
        assert_int_equal(result, ends[i].result);
        assert_int_equal(recv_header(conn), VHU_EDISCONNECT);
        assert_int_equal(vhu__conn_flush(conn), VHU_EDISCONNECT);
        assert_int_equal(vhu_conn_wait(conn, -1), VHU_EDISCONNECT);
        vhu_conn_free(conn);
    }
}

/* More handles than a message may have come while somebody waits. */
static void test_too_many_handles(void **state)
{
    vhu_handle handles[32];
    vhu_conn *conn;
    peer p;

    (void)state;
    pair_open(&p, &conn, PAIR_STREAM, NULL);
    handles_open(handles, 32);
    for (int i = 0; i < 3; i++) {
        peer_send(&p, "\1", 1, handles, 32);
        assert_int_equal(vhu_conn_wait(conn, -1), 0);
    }
    handles_close(handles, 32);
    assert_int_equal(recv_header(conn), VHU_EINVALID_MESSAGE);
    vhu_conn_free(conn);
    peer_close(&p);
}

/* A descriptor in non-blocking mode, as an inherited one may be: waited for all the same. */
static void *send_later(void *arg)
{
    peer *p = arg;
    const uint8_t bytes[12] = {VHU_REQ_SET_OWNER, 0, 0, 0, 1};

    usleep(2000);
    return send(p->fd, bytes, sizeof(bytes), 0) == 12 ? NULL : p;
}

static void test_nonblocking(void **state)
{
    (void)state;
    for (int limit = -1; limit <= 100000; limit += 100001) {
        pthread_t thread;
        void *failed;
        vhu_conn *conn;
        peer p;

        pair_open(&p, &conn, PAIR_STREAM, NULL);
        assert_int_equal(fcntl(vhu_conn_wait_handle(conn), F_SETFL, O_NONBLOCK), 0);
        assert_int_equal(vhu_conn_wait(conn, 1), VHU_ETIMEDOUT);
        assert_int_equal(pthread_create(&thread, NULL, send_later, &p), 0);
        assert_int_equal(vhu_conn_wait(conn, limit), 0);
        assert_int_equal(pthread_join(thread, &failed), 0);
        assert_null(failed);
        build(0, 0);
        expect_message(conn);
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
    pthread_t thread;
    void *failed;
    vhu_conn *conn;
    peer p;

    (void)state;
    pair_open(&p, &conn, PAIR_STREAM, NULL);
    assert_int_equal(sigaction(SIGALRM, &action, &before), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &often, NULL), 0);
    assert_int_equal(vhu_conn_wait(conn, 5), VHU_ETIMEDOUT);
    assert_int_equal(pthread_create(&thread, NULL, send_later, &p), 0);
    assert_int_equal(vhu_conn_wait(conn, -1), 0);
    assert_int_equal(setitimer(ITIMER_REAL, &never, NULL), 0);
    assert_int_equal(pthread_join(thread, &failed), 0);
    build(0, 0);
    if (!failed)
        expect_message(conn);
    sigaction(SIGALRM, &before, NULL);
    vhu_conn_free(conn);
    peer_close(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_messages),    leakcheck_test(test_unwanted),
        leakcheck_test(test_bytes),       leakcheck_test(test_ends),
        leakcheck_test(test_nonblocking), leakcheck_test(test_too_many_handles),
        leakcheck_test(test_signals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
