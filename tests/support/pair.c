/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/pair.h"

#include <string.h>

#include "conn_internal.h"
#include "os.h"
#include "support/sys.h"

enum { PATIENCE = 10000 };

const pair_kind pair_kinds[PAIR_KINDS] = {
    [PAIR_STREAM] = {"stream", true},
    [PAIR_MEMORY_STREAM] = {"memory stream", false},
    [PAIR_MEMORY_MESSAGES] = {"memory messages", false},
    [PAIR_SEQPACKET] = {"SEQPACKET", true},
};

int pair_num_kinds(void)
{
    return sys_has_seqpacket ? PAIR_KINDS : PAIR_SEQPACKET;
}

const vhu_transport *peer_transport(const peer *p, void **self)
{
    *self = p->conn ? p->conn->self : p->stream;
    return p->conn ? &p->conn->transport : vhu_stream_transport(p->stream);
}

static bool keeps_messages(const peer *p)
{
    void *self;

    return peer_transport(p, &self)->flags & VHU_TRANSPORT_MESSAGES;
}

peer peer_under(vhu_conn *conn)
{
    peer p = {.conn = conn};

    p.messages = keeps_messages(&p);
    return p;
}

static void open_streams(peer *p, vhu_conn **conn, int kind, const vhu_conn_options *options)
{
    vhu_stream *streams[2];
    int r = kind == PAIR_SEQPACKET ? sys_seqpacket_pair(streams) : vhu_stream_pair(streams);

    assert_int_equal(r, 0);
    assert_int_equal(vhu_conn_from_stream(conn, &streams[0], options), 0);
    assert_null(streams[0]);
    p->stream = streams[1];
}

static void open_memory(peer *p, vhu_conn **conn, int kind, const vhu_conn_options *options)
{
    vhu_conn *conns[2];
    unsigned mode = kind == PAIR_MEMORY_STREAM ? VHU_MEMORY_STREAM : VHU_MEMORY_MESSAGES;

    assert_int_equal(vhu_conn_memory_pair(conns, mode, options), 0);
    *conn = conns[0];
    p->conn = conns[1];
}

void pair_open(peer *p, vhu_conn **conn, int kind, const vhu_conn_options *options)
{
    memset(p, 0, sizeof(*p));
    if (pair_kinds[kind].waits)
        open_streams(p, conn, kind, options);
    else
        open_memory(p, conn, kind, options);
    p->messages = keeps_messages(p);
}

bool pair_has_pieces(int kind)
{
    vhu_conn *conn;
    peer p;

    pair_open(&p, &conn, kind, NULL);
    vhu_conn_free(conn);
    peer_close(&p);
    return !p.messages;
}

/* --- sending --- */

void peer_send(peer *p, const void *bytes, size_t len, const vhu_handle *handles, size_t n)
{
    void *self;
    const vhu_transport *transport = peer_transport(p, &self);
    const uint8_t *next = bytes;

    while (len > 0) {
        int sent = transport->send(self, next, len, handles, n);

        if (sent == VHU_EAGAIN && transport->wait) {
            assert_int_equal(transport->wait(self, VHU_WAIT_WRITE, -1), 0);
            continue;
        }
        assert_in_range(sent, p->messages ? len : 1, len);
        next += sent;
        len -= (size_t)sent;
        n = 0;
    }
}

void peer_send_burst(peer *p, const void *bytes, size_t len)
{
    const uint8_t *next = bytes;

    while (len > 0) {
        size_t n = p->messages ? vhu__message_len(next) : len;

        peer_send(p, next, n, NULL, 0);
        next += n;
        len -= n;
    }
}

size_t message_bytes(const message *m, uint8_t *out)
{
    vhu__wire_store_header(out, &m->header);
    memcpy(out + VHU__WIRE_HEADER, m->payload, m->header.size);
    return VHU__WIRE_HEADER + m->header.size;
}

void peer_send_message(peer *p, const message *m)
{
    uint8_t bytes[VHU__WIRE_HEADER + sizeof(m->payload)];
    size_t len = message_bytes(m, bytes);

    peer_send(p, bytes, len, m->handles, m->num_handles);
}

/* --- receiving --- */

/* One receive, with room for the handles in the message. */
static int receive(peer *p, void *bytes, size_t room, message *m)
{
    void *self;
    const vhu_transport *transport = peer_transport(p, &self);
    size_t n = PEER_MAX_HANDLES - m->num_handles;
    int r = transport->recv(self, bytes, room, m->handles + m->num_handles, &n);

    if (r > 0)
        m->num_handles += n;
    return r;
}

bool peer_recv(peer *p, message *m)
{
    uint8_t bytes[VHU__WIRE_HEADER + sizeof(m->payload)];
    size_t have = 0;
    size_t need = VHU__WIRE_HEADER;

    memset(m, 0, sizeof(*m));
    while (have < need) {
        size_t room = p->messages ? sizeof(bytes) : need - have;
        int n = receive(p, bytes + have, room, m);

        if (n <= 0)
            return false;
        have += (size_t)n;
        if (have >= VHU__WIRE_HEADER) {
            vhu__wire_load_header(&m->header, bytes);
            need = VHU__WIRE_HEADER + m->header.size;
            assert_true(need <= sizeof(bytes));
        }
    }
    assert_int_equal(have, need);
    memcpy(m->payload, bytes + VHU__WIRE_HEADER, m->header.size);
    return true;
}

bool peer_sees_end(peer *p)
{
    uint8_t bytes[VHU__WIRE_MESSAGE_MAX];
    message m = {.num_handles = 0};

    return receive(p, bytes, sizeof(bytes), &m) == VHU_EDISCONNECT;
}

void peer_close(peer *p)
{
    vhu_stream_free(p->stream);
    vhu_conn_free(p->conn);
    p->stream = NULL;
    p->conn = NULL;
}

vhu_conn *peer_to_conn(peer *p)
{
    vhu_conn *conn = p->conn;

    p->conn = NULL;
    if (!conn)
        assert_int_equal(vhu_conn_from_stream(&conn, &p->stream, NULL), 0);
    return conn;
}

void message_close_handles(message *m)
{
    handles_close(m->handles, m->num_handles);
    m->num_handles = 0;
}

/* --- new connections --- */

static void meet(vhu_conn *from, vhu_conn *to)
{
    const vhu_msg_header header = {VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0};
    vhu_msg_header got;
    const uint8_t *payload;
    uint8_t bytes[VHU__WIRE_HEADER];
    int r = VHU_EAGAIN;

    vhu__wire_store_header(bytes, &header);
    assert_int_equal(vhu__conn_send(from, bytes, sizeof(bytes), NULL, 0), 0);
    for (int i = 0; i < PATIENCE && r == VHU_EAGAIN; i++) {
        assert_int_equal(vhu__conn_recv_header(from, &got), VHU_EAGAIN);
        vhu_conn_wait(to, 1);
        r = vhu__conn_recv_header(to, &got);
    }
    assert_int_equal(r, 0);
    assert_memory_equal(&got, &header, sizeof(header));
    assert_int_equal(vhu__conn_recv_payload(to, &payload), 0);
    vhu__conn_consume(to);
}

void conns_meet(vhu_conn *a, vhu_conn *b)
{
    meet(a, b);
    meet(b, a);
}

/* --- handles --- */

void handles_open(vhu_handle *handles, size_t n)
{
    vhu_handle first = sys_handle_new();

    assert_true(first != VHU_NO_HANDLE);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(os_handle_dup(first, &handles[i]), 0);
    vhu_handle_close(&first);
}

void handles_close(vhu_handle *handles, size_t n)
{
    vhu__close_all(handles, n);
}
