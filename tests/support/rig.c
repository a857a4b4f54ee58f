/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/rig.h"

#include <string.h>

static const uint64_t all_protocol_features =
    (VHU_BIT(VHU_PF_END) - 1) & ~VHU_BIT(VHU_PF_XEN_MMAP) &
    ~VHU_BIT(VHU_PF_GET_VRING_BASE_INFLIGHT) & ~VHU_BIT(VHU_PF_GPA_ADDRESSES);

static const uint64_t all_features = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_ACCESS_PLATFORM) |
                                     VHU_BIT(VHU_F_LOG_ALL) | VHU_BIT(VHU_F_PROTOCOL_FEATURES);

static void start(rig *r, const vhu_backend_ops *ops, const vhu_backend_server_options *options)
{
    vhu_conn *conn = r->conn;

    fake_backend_init(&r->fake);
    assert_int_equal(
        vhu_backend_server_new(&r->server, &conn, ops ? ops : &fake_backend_ops, &r->fake, options),
        0);
    assert_null(conn);
}

void rig_open(rig *r, int kind, const vhu_backend_ops *ops)
{
    memset(r, 0, sizeof(*r));
    r->handles_before = leakcheck_count();
    pair_open(&r->peer, &r->conn, kind, NULL);
    start(r, ops, NULL);
}

void rig_open_with(rig *r, int kind, const vhu_conn_options *conn_options,
                   const vhu_backend_server_options *options)
{
    memset(r, 0, sizeof(*r));
    r->handles_before = leakcheck_count();
    pair_open(&r->peer, &r->conn, kind, conn_options);
    start(r, NULL, options);
}

void rig_open_on(rig *r, vhu_conn *conn, const vhu_backend_ops *ops)
{
    memset(r, 0, sizeof(*r));
    r->handles_before = leakcheck_count();
    r->conn = conn;
    start(r, ops, NULL);
}

void rig_close(rig *r)
{
    vhu_backend_server_free(r->server);
    peer_close(&r->peer);
    fake_backend_release(&r->fake);
    message_close_handles(&r->reply);
    assert_int_equal(leakcheck_count(), r->handles_before);
}

/* --- requests --- */

/* What a request's handle has to be: a stream for the back channel, else anything. */
static void open_handles(message *m)
{
    vhu_stream *stream;

    if (m->num_handles == 0)
        return;
    if (m->header.request != VHU_REQ_SET_BACKEND_REQ_FD) {
        handles_open(m->handles, m->num_handles);
        return;
    }
    assert_int_equal(vhu_stream_open_channel(&stream, &m->handles[0], NULL), 0);
    vhu_stream_free(stream);
    handles_open(m->handles + 1, m->num_handles - 1);
}

int rig_serve(rig *r)
{
    int result;

    /* As a loop does: before it has waited, a connection need not see what has come since. */
    vhu_conn_wait(r->conn, 0);
    do {
        result = vhu_backend_server_serve(r->server);
    } while (result == VHU_EAGAIN && vhu_conn_wait(r->conn, 0) == 0);
    return result;
}

int rig_send(rig *r, const message *m)
{
    message copy = *m;

    open_handles(&copy);
    peer_send_message(&r->peer, &copy);
    message_close_handles(&copy);
    return rig_serve(r);
}

int rig_request(rig *r, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                size_t num_handles)
{
    static message m;

    memset(&m, 0, sizeof(m));
    m.header = (vhu_msg_header){request, VHU_VERSION_1 | flags, size};
    m.num_handles = num_handles;
    if (size > 0)
        memcpy(m.payload, payload, size);
    return rig_send(r, &m);
}

/* --- negotiation --- */

void rig_negotiate(rig *r, uint64_t features, uint64_t protocol_features)
{
    assert_int_equal(rig_request(r, VHU_REQ_SET_PROTOCOL_FEATURES, 0, &protocol_features, 8, 0),
                     VHU_EAGAIN);
    assert_int_equal(rig_request(r, VHU_REQ_SET_FEATURES, 0, &features, 8, 0), VHU_EAGAIN);
    assert_int_equal(vhu_backend_server_features(r->server), features);
    assert_int_equal(vhu_backend_server_protocol_features(r->server), protocol_features);
    rig_expect_silence(r);
}

void rig_negotiate_for(rig *r, const request_spec *spec)
{
    (void)spec;
    rig_negotiate(r, all_features, all_protocol_features);
}

void rig_negotiate_without(rig *r, const request_spec *spec)
{
    uint64_t features = all_features;
    uint64_t protocol_features = all_protocol_features;

    if (spec->virtio_gate != SPEC_NO_GATE)
        features &= ~VHU_BIT(spec->virtio_gate);
    if (spec->protocol_gate != SPEC_NO_GATE)
        protocol_features &= ~VHU_BIT(spec->protocol_gate);
    if (spec->protocol_gate == VHU_PF_BACKEND_REQ)
        protocol_features &= ~VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS);
    rig_negotiate(r, features, protocol_features);
}

/* --- replies --- */

void rig_expect_silence(rig *r)
{
    message m;

    assert_false(peer_recv(&r->peer, &m));
    assert_true(vhu_conn_is_open(r->conn));
}

void rig_expect_reply(rig *r, uint32_t request, uint32_t size, size_t num_handles)
{
    message_close_handles(&r->reply);
    assert_true(peer_recv(&r->peer, &r->reply));
    assert_int_equal(r->reply.header.request, request);
    assert_int_equal(r->reply.header.flags, 0x5);
    assert_int_equal(r->reply.header.size, size);
    assert_int_equal(r->reply.num_handles, num_handles);
}

uint64_t rig_expect_u64(rig *r, uint32_t request)
{
    uint64_t value;

    rig_expect_reply(r, request, sizeof(value), 0);
    memcpy(&value, r->reply.payload, sizeof(value));
    return value;
}

void rig_expect_closed(rig *r)
{
    message m;

    assert_false(vhu_conn_is_open(r->conn));
    assert_false(peer_recv(&r->peer, &m));
    assert_true(peer_sees_end(&r->peer));
    assert_int_equal(vhu_backend_server_serve(r->server), VHU_EDISCONNECT);
}

void rig_expect_alive(rig *r)
{
    rig_expect_silence(r);
    assert_int_equal(rig_request(r, VHU_REQ_GET_FEATURES, 0, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(rig_expect_u64(r, VHU_REQ_GET_FEATURES),
                     r->fake.features | VHU_BIT(VHU_F_PROTOCOL_FEATURES));
    rig_expect_silence(r);
}
