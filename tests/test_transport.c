/* SPDX-License-Identifier: BSD-3-Clause */
/* Every kind of connected pair carries messages and handles, and ends as it should. */
#include <string.h>

#include "conn.h"
#include "os.h"
#include "support/pair.h"
#include "support/sys.h"
#include "wire.h"

static message m;
static message got;
static peer p;
static vhu_conn *conn;

static void build(uint32_t size, size_t handles)
{
    memset(&m, 0, sizeof(m));
    m.header = (vhu_msg_header){9, VHU_VERSION_1, size};
    m.num_handles = handles;
    handles_open(m.handles, handles);
    for (uint32_t i = 0; i < size; i++)
        m.payload[i] = (uint8_t)(i * 7);
}

static int receive(message *out)
{
    const uint8_t *payload;
    int r;

    memset(out, 0, sizeof(*out));
    r = vhu__conn_recv_header(conn, &out->header);
    if (r == 0)
        r = vhu__conn_recv_payload(conn, &payload);
    if (r < 0)
        return r;
    memcpy(out->payload, payload, out->header.size);
    out->num_handles = vhu__conn_take_handles(conn, out->handles, PEER_MAX_HANDLES);
    vhu__conn_consume(conn);
    return 0;
}

/* As a loop does: before it has waited, a connection need not see what has come since. */
static int wait_and_receive(message *out)
{
    vhu_conn_wait(conn, 0);
    return receive(out);
}

static void expect_same(void)
{
    assert_memory_equal(&got.header, &m.header, sizeof(m.header));
    assert_memory_equal(got.payload, m.payload, m.header.size);
    assert_int_equal(got.num_handles, m.num_handles);
    for (size_t i = 0; i < m.num_handles; i++) {
        assert_true(sys_handles_same(got.handles[i], m.handles[i]));
        assert_false(sys_handle_is_inherited(got.handles[i]));
    }
    message_close_handles(&got);
}

static void test_both_ways(void **state)
{
    static const uint32_t sizes[] = {0, 1, 2056, VHU_MAX_PAYLOAD};
    static const size_t handles[] = {0, 1, 8, 32};
    static uint8_t bytes[VHU__WIRE_MESSAGE_MAX];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        pair_open(&p, &conn, kind, NULL);
        for (size_t i = 0; i < 16; i++) {
            size_t len;

            build(sizes[i / 4], handles[i % 4]);
            assert_int_equal(wait_and_receive(&got), VHU_EAGAIN);
            peer_send_message(&p, &m);
            assert_int_equal(wait_and_receive(&got), 0);
            expect_same();
            len = message_bytes(&m, bytes);
            {
                vhu_handle copies[PEER_MAX_HANDLES];

                for (size_t k = 0; k < m.num_handles; k++)
                    assert_int_equal(os_handle_dup(m.handles[k], &copies[k]), 0);
                assert_int_equal(vhu__conn_send(conn, bytes, len, copies, m.num_handles), 0);
            }
            assert_true(peer_recv(&p, &got));
            expect_same();
            message_close_handles(&m);
        }
        peer_close(&p);
        assert_int_equal(wait_and_receive(&got), VHU_ECLIENT_EXIT);
        vhu_conn_free(conn);
    }
}

/* The peer sees the end, whether the connection is closed or freed; what was sent before comes. */
static void test_end(void **state)
{
    static uint8_t bytes[VHU__WIRE_MESSAGE_MAX];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (int freed = 0; freed < 2; freed++) {
            pair_open(&p, &conn, kind, NULL);
            build(8, 0);
            assert_int_equal(vhu__conn_send(conn, bytes, message_bytes(&m, bytes), NULL, 0), 0);
            if (freed)
                vhu_conn_free(conn);
            else
                vhu__conn_close(conn);
            assert_true(peer_recv(&p, &got));
            expect_same();
            assert_true(peer_sees_end(&p));
            if (!freed)
                vhu_conn_free(conn);
            peer_close(&p);
        }
    }
}

/* Unread messages with handles on both ends go with the connection. */
static void test_unread(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        pair_open(&p, &conn, kind, NULL);
        build(8, 4);
        for (int i = 0; i < 3; i++)
            peer_send_message(&p, &m);
        message_close_handles(&m);
        assert_int_equal(wait_and_receive(&got), 0);
        message_close_handles(&got);
        vhu_conn_free(conn);
        peer_close(&p);
    }
}

/* Where messages are kept apart: what is shorter or longer than its header says. */
static void test_lengths(void **state)
{
    static uint8_t bytes[VHU__WIRE_MESSAGE_MAX];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t len = 1; len < 24 && !pair_has_pieces(kind); len++) {
            pair_open(&p, &conn, kind, NULL);
            build(8, 0);
            message_bytes(&m, bytes);
            peer_send(&p, bytes, len, NULL, 0);
            assert_int_equal(wait_and_receive(&got), len == 20 ? 0 : VHU_EINVALID_MESSAGE);
            vhu_conn_free(conn);
            peer_close(&p);
        }
    }
}

/* Far too long; a pipe would not even send it. */
static void test_too_long(void **state)
{
    static const int kinds[] = {PAIR_MEMORY_MESSAGES, PAIR_SEQPACKET};
    static uint8_t bytes[64 * 1024];

    (void)state;
    for (size_t i = 0; i < 2 && kinds[i] < pair_num_kinds(); i++) {
        for (size_t len = 4121; len <= sizeof(bytes); len = len * 2 + 13) {
            pair_open(&p, &conn, kinds[i], NULL);
            build((uint32_t)VHU_MAX_PAYLOAD, 1);
            m.header.size = (uint32_t)len - 12;
            memcpy(bytes, &m.header, 12);
            peer_send(&p, bytes, len, m.handles, 1);
            message_close_handles(&m);
            assert_int_equal(wait_and_receive(&got), VHU_EINVALID_MESSAGE);
            vhu_conn_free(conn);
            peer_close(&p);
        }
    }
}

/* Two messages in one are none. */
static void test_two_at_once(void **state)
{
    uint8_t bytes[24];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (pair_has_pieces(kind))
            continue;
        pair_open(&p, &conn, kind, NULL);
        build(0, 0);
        message_bytes(&m, bytes);
        message_bytes(&m, bytes + 12);
        peer_send(&p, bytes, sizeof(bytes), NULL, 0);
        assert_int_equal(wait_and_receive(&got), VHU_EINVALID_MESSAGE);
        vhu_conn_free(conn);
        peer_close(&p);
    }
}

static void test_waiting(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        pair_open(&p, &conn, kind, NULL);
        assert_int_equal(vhu_conn_wait_handle(conn) != VHU_NO_HANDLE, pair_kinds[kind].waits);
        if (pair_kinds[kind].waits)
            assert_false(sys_handle_is_inherited(vhu_conn_wait_handle(conn)));
        assert_int_equal(vhu_conn_wait_events(conn), VHU_WAIT_READ);
        assert_int_equal(vhu_conn_wait(conn, 0),
                         pair_kinds[kind].waits ? VHU_ETIMEDOUT : VHU_EAGAIN);
        build(8, 0);
        peer_send_message(&p, &m);
        if (pair_kinds[kind].waits)
            assert_int_equal(vhu_conn_wait(conn, -1), 0);
        assert_int_equal(receive(&got), 0);
        peer_close(&p);
        /* The end wakes, too. */
        if (pair_kinds[kind].waits)
            assert_int_equal(vhu_conn_wait(conn, -1), 0);
        vhu__conn_close(conn);
        assert_int_equal(vhu_conn_wait_handle(conn), VHU_NO_HANDLE);
        vhu_conn_free(conn);
    }
}

/* Memory holds a bounded amount, too: then sending waits, and nothing is lost. */
static void test_memory_is_bounded(void **state)
{
    static uint8_t bytes[VHU__WIRE_MESSAGE_MAX];

    (void)state;
    for (int kind = PAIR_MEMORY_STREAM; kind <= PAIR_MEMORY_MESSAGES; kind++) {
        unsigned sent = 0;
        unsigned received = 0;

        pair_open(&p, &conn, kind, NULL);
        build(VHU_MAX_PAYLOAD, 0);
        message_bytes(&m, bytes);
        while (vhu_conn_wait_events(conn) == VHU_WAIT_READ && sent < 1000) {
            assert_int_equal(vhu__conn_send(conn, bytes, sizeof(bytes), NULL, 0), 0);
            sent++;
        }
        assert_true(sent < 1000);
        while (peer_recv(&p, &got)) {
            expect_same();
            received++;
            vhu__conn_flush(conn);
        }
        assert_int_equal(sent, received);
        vhu_conn_free(conn);
        peer_close(&p);
    }
}

static void test_system_pair(void **state)
{
    vhu_conn *conns[2];
    static uint8_t bytes[64];

    (void)state;
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    build(8, 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vhu__conn_send(conns[!i], bytes, message_bytes(&m, bytes), NULL, 0), 0);
        conn = conns[i];
        assert_int_equal(wait_and_receive(&got), 0);
        expect_same();
    }
    vhu_conn_free(conns[0]);
    assert_int_equal(wait_and_receive(&got), VHU_ECLIENT_EXIT);
    vhu_conn_free(conns[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_both_ways),   leakcheck_test(test_end),
        leakcheck_test(test_unread),      leakcheck_test(test_lengths),
        leakcheck_test(test_too_long),    leakcheck_test(test_two_at_once),
        leakcheck_test(test_waiting),     leakcheck_test(test_memory_is_bounded),
        leakcheck_test(test_system_pair),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
