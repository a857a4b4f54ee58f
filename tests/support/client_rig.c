/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/client_rig.h"

#include <string.h>

#include "os.h"

enum { PATIENCE = 100000 };

/* A stream whose wait serves the other end; one rig at a time. */
static client_rig *serving;

static int serve_instead(void *self, unsigned events, int timeout_ms)
{
    (void)self;
    (void)timeout_ms;
    assert_int_not_equal(events, 0);
    rig_serve(&serving->back);
    return 0;
}

static void take_serving(client_rig *r, vhu_conn **conn, peer *p)
{
    vhu_transport transport = *vhu_stream_transport(p->stream);

    transport.wait = serve_instead;
    transport.recv_wait = NULL;
    serving = r;
    assert_int_equal(vhu_conn_new(conn, &transport, p->stream, NULL), 0);
    p->stream = NULL;
}

static void open_client(client_rig *r, vhu_conn *conn)
{
    r->conn = conn;
    assert_int_equal(vhu_backend_client_new(&r->client, &conn, NULL), 0);
    assert_null(conn);
    assert_ptr_equal(vhu_backend_client_conn(r->client), r->conn);
}

void client_rig_open(client_rig *r, int kind, int mode, const vhu_backend_ops *ops)
{
    vhu_conn *conn;
    vhu_conn *other;
    peer p;

    memset(r, 0, sizeof(*r));
    r->handles_before = leakcheck_count();
    r->blocking = mode == RIG_BLOCKING;
    pair_open(&p, &other, kind, NULL);
    if (p.stream && r->blocking)
        take_serving(r, &conn, &p);
    else
        conn = peer_to_conn(&p);
    rig_open_on(&r->back, other, ops);
    r->back.fake.take = true;
    open_client(r, conn);
}

void client_rig_open_peer(client_rig *r, int kind)
{
    vhu_conn *conn;

    memset(r, 0, sizeof(*r));
    r->handles_before = leakcheck_count();
    pair_open(&r->peer, &conn, kind, NULL);
    open_client(r, conn);
}

void client_rig_close(client_rig *r)
{
    vhu_backend_client_free(r->client);
    peer_close(&r->peer);
    if (r->back.server) {
        vhu_backend_server_free(r->back.server);
        fake_backend_release(&r->back.fake);
    }
    assert_int_equal(leakcheck_count(), r->handles_before);
}

/* --- calls --- */

int client_rig_finish(client_rig *r)
{
    int result;

    for (int i = 0; i < PATIENCE; i++) {
        if (r->back.server)
            rig_serve(&r->back);
        result = vhu_backend_client_finish(r->client);
        if (result != VHU_EAGAIN)
            return result;
    }
    fail_msg("it never ends");
    return result;
}

int client_rig_call(client_rig *r, call *c)
{
    int result;

    if (r->blocking)
        return call_send(c, r->client);
    vhu_backend_client_begin(r->client);
    result = call_send(c, r->client);
    if (result != VHU_EPENDING) {
        vhu_backend_client_finish(r->client);
        return result;
    }
    return client_rig_finish(r);
}

/* --- the peer --- */

void client_rig_expect_request(client_rig *r, uint32_t request, uint32_t flags, message *m)
{
    assert_true(peer_recv(&r->peer, m));
    assert_int_equal(m->header.request, request);
    assert_int_equal(m->header.flags, flags);
    message_close_handles(m);
}

void client_rig_expect_no_request(client_rig *r)
{
    message m;

    assert_false(peer_recv(&r->peer, &m));
}

void client_rig_reply(client_rig *r, const message *m)
{
    message copy = *m;

    handles_open(copy.handles, copy.num_handles);
    peer_send_message(&r->peer, &copy);
    message_close_handles(&copy);
}

int client_rig_exchange(client_rig *r, call *c, const message *reply)
{
    message m;
    int result;

    vhu_backend_client_begin(r->client);
    result = call_send(c, r->client);
    if (result == VHU_EPENDING) {
        assert_true(peer_recv(&r->peer, &m));
        assert_int_equal(m.header.request, c->code);
        message_close_handles(&m);
        if (reply)
            client_rig_reply(r, reply);
        return client_rig_finish(r);
    }
    vhu_backend_client_finish(r->client);
    return result;
}

static void negotiate_with_peer(client_rig *r, uint64_t features, uint64_t protocol_features)
{
    const uint64_t offers[] = {features, protocol_features};
    static const uint32_t gets[] = {VHU_REQ_GET_FEATURES, VHU_REQ_GET_PROTOCOL_FEATURES};
    uint64_t got;
    message m;

    for (size_t i = 0; i < 2; i++) {
        vhu_backend_client_begin(r->client);
        assert_int_equal(i == 0 ? vhu_backend_client_get_features(r->client, &got)
                                : vhu_backend_client_get_protocol_features(r->client, &got),
                         VHU_EPENDING);
        client_rig_expect_request(r, gets[i], 0x1, &m);
        reply_build(request_spec_of(gets[i]), &m);
        memcpy(m.payload, &offers[i], 8);
        client_rig_reply(r, &m);
        assert_int_equal(client_rig_finish(r), 0);
    }
    assert_int_equal(vhu_backend_client_set_features(r->client, features), 0);
    client_rig_expect_request(r, VHU_REQ_SET_FEATURES, 0x1, &m);
    assert_int_equal(vhu_backend_client_set_protocol_features(r->client, protocol_features), 0);
    client_rig_expect_request(r, VHU_REQ_SET_PROTOCOL_FEATURES, 0x1, &m);
}

static void negotiate_with_server(client_rig *r, uint64_t features, uint64_t mask)
{
    static const uint32_t gets[] = {VHU_REQ_GET_FEATURES, VHU_REQ_GET_PROTOCOL_FEATURES};
    call c;

    for (size_t i = 0; i < 2; i++) {
        call_open(&c, gets[i]);
        assert_int_equal(client_rig_call(r, &c), 0);
        call_close(&c);
    }
    assert_int_equal(vhu_backend_client_set_features(r->client, features), 0);
    assert_int_equal(vhu_backend_client_set_protocol_features(r->client, mask), 0);
    rig_serve(&r->back);
    assert_int_equal(vhu_backend_server_features(r->back.server), features);
    assert_int_equal(vhu_backend_server_protocol_features(r->back.server),
                     vhu_backend_client_protocol_features(r->client));
}

void client_rig_negotiate_without(client_rig *r, uint64_t protocol_features)
{
    /* With Xen's memory there would be other functions for it. */
    const uint64_t known = (VHU_BIT(VHU_PF_END) - 1) & ~VHU_BIT(VHU_PF_XEN_MMAP);

    if (r->back.server)
        negotiate_with_server(r, CLIENT_FEATURES, known & ~protocol_features);
    else
        negotiate_with_peer(r, CLIENT_FEATURES, known & ~protocol_features);
    assert_int_equal(vhu_backend_client_features(r->client), CLIENT_FEATURES);
}

void client_rig_expect_closed(client_rig *r, const char *text)
{
    uint64_t features;

    assert_false(vhu_conn_is_open(r->conn));
    if (!strstr(vhu_conn_last_error(r->conn), text))
        fail_msg("\"%s\" does not say \"%s\"", vhu_conn_last_error(r->conn), text);
    assert_int_equal(vhu_backend_client_get_features(r->client, &features), VHU_EDISCONNECT);
    assert_int_equal(vhu_backend_client_finish(r->client), VHU_EDISCONNECT);
}
