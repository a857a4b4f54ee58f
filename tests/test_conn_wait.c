/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting, which may receive what it waits for: whoever waited is told all the same. */
#include <string.h>
#include <uv.h>

#include "conn.h"
#include "support/pair.h"
#include "support/sys.h"
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
    static const int limits[] = {-1, 0, 1000, 900, 60000};

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        vhu_conn *conn;
        peer p;

        if (!pair_kinds[kind].waits)
            continue;
        pair_open(&p, &conn, kind, NULL);
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

/* Whether a wait receives what it waits for. */
static bool receives(const peer *p)
{
    void *self;

    return peer_transport(p, &self)->recv_wait != NULL;
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
    assert_int_equal(vhu_conn_pending(conn), receives(&p));
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
    if (!pair_has_pieces(PAIR_STREAM))
        skip();
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
        size_t bytes; /* zeroes, before the peer leaves */
        int result;
        int of_message;
        bool open; /* nothing is wrong before its owner looks */
        bool message_open;
    } ends[] = {
        {0, VHU_ECLIENT_EXIT, VHU_ECLIENT_EXIT, false, false},
        {5, VHU_EDISCONNECT, VHU_EINVALID_MESSAGE, true, false},
        {12, VHU_EINVALID_MESSAGE, VHU_EINVALID_MESSAGE, true, true}, /* version 0 */
        {13, VHU_EINVALID_MESSAGE, VHU_EINVALID_MESSAGE, true, false},
    };
    static const uint8_t zeroes[13];

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(ends) * (size_t)pair_num_kinds(); i++) {
        const int kind = (int)(i / VHU__COUNT(ends));
        const size_t k = i % VHU__COUNT(ends);
        int result;
        bool open;
        vhu_conn *conn;
        peer p;

        if (!pair_kinds[kind].waits)
            continue;
        pair_open(&p, &conn, kind, NULL);
        open = !receives(&p) || (p.messages ? ends[k].message_open : ends[k].open);
        if (ends[k].bytes)
            peer_send(&p, zeroes, ends[k].bytes, NULL, 0);
        peer_close(&p);
        assert_int_equal(vhu_conn_wait(conn, -1), 0);
        assert_int_equal(vhu_conn_is_open(conn), open);
        result = recv_header(conn);
        while (result == VHU_EAGAIN)
            result = recv_header(conn);
        assert_int_equal(result, p.messages ? ends[k].of_message : ends[k].result);
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
    if (!pair_has_pieces(PAIR_STREAM))
        skip();
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

/* On a thread of its own, where nothing can be asserted. */
static void send_later(void *arg)
{
    static const uint8_t bytes[12] = {VHU_REQ_SET_OWNER, 0, 0, 0, VHU_VERSION_1};
    void *self;
    const vhu_transport *transport = peer_transport(arg, &self);

    sys_sleep_ms(2);
    transport->send(self, bytes, sizeof(bytes), NULL, 0);
}

/* What comes later ends the wait. */
static void test_later(void **state)
{
    static const int limits[] = {-1, 100000};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(limits) * (size_t)pair_num_kinds(); i++) {
        const int kind = (int)(i / VHU__COUNT(limits));
        uv_thread_t thread;
        vhu_conn *conn;
        peer p;

        if (!pair_kinds[kind].waits)
            continue;
        pair_open(&p, &conn, kind, NULL);
        assert_int_equal(vhu_conn_wait(conn, 1), VHU_ETIMEDOUT);
        assert_int_equal(uv_thread_create(&thread, send_later, &p), 0);
        assert_int_equal(vhu_conn_wait(conn, limits[i % VHU__COUNT(limits)]), 0);
        assert_int_equal(uv_thread_join(&thread), 0);
        build(0, 0);
        expect_message(conn);
        vhu_conn_free(conn);
        peer_close(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_messages), leakcheck_test(test_unwanted),
        leakcheck_test(test_bytes),    leakcheck_test(test_ends),
        leakcheck_test(test_later),    leakcheck_test(test_too_many_handles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
