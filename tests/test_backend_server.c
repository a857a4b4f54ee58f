/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request as it should be, over every kind of transport, in every way it can arrive. */
#include <string.h>

#include "support/rig.h"
#include "support/scripted.h"
#include "support/sys.h"

static rig r;
static scripted script;

/* What a served request is answered with. */
static void expect_success(const request_spec *spec, uint32_t flags)
{
    if (spec->reply_size != SPEC_NO_REPLY)
        rig_expect_reply(&r, spec->code, (uint32_t)spec->reply_size, spec->reply_handles);
    else if (flags & VHU_FLAG_NEED_REPLY)
        assert_int_equal(rig_expect_u64(&r, spec->code), 0);
    rig_expect_alive(&r);
}

static void expect_called(const request_spec *spec, unsigned before)
{
    assert_int_equal(r.fake.calls[spec->op], before + 1);
    if (spec->op != FAKE_get_features && spec->op != FAKE_get_protocol_features)
        assert_int_equal(r.fake.last, spec->op);
}

static void test_right(void **state)
{
    static message m;

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < REQUEST_SPECS; i++) {
            for (uint32_t flags = 0; flags <= VHU_FLAG_NEED_REPLY; flags += VHU_FLAG_NEED_REPLY) {
                const request_spec *spec = &request_specs[i];
                unsigned before;

                rig_open(&r, kind, NULL);
                rig_negotiate_for(&r, spec);
                before = r.fake.calls[spec->op];
                request_build(spec, flags, &m);
                assert_int_equal(rig_send(&r, &m), VHU_EAGAIN);
                expect_called(spec, before);
                expect_success(spec, flags);
                rig_close(&r);
            }
        }
    }
}

static void test_handles_may_be_taken(void **state)
{
    static message m;

    (void)state;
    for (size_t i = 0; i < REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i];

        if (spec->handles == 0)
            continue;
        rig_open(&r, PAIR_STREAM, NULL);
        r.fake.take = true;
        rig_negotiate_for(&r, spec);
        request_build(spec, VHU_FLAG_NEED_REPLY, &m);
        assert_int_equal(rig_send(&r, &m), VHU_EAGAIN);
        assert_int_equal(r.fake.num_handles, 1);
        assert_int_equal(r.fake.num_taken + (r.fake.channel != NULL), 1);
        rig_close(&r);
    }
}

/* The reply bit in a request is odd but harmless; other bits are refused unless asked for. */
static void test_flags(void **state)
{
    const vhu_conn_options lenient = {.size = sizeof(lenient), .lenient_flags = true};
    vhu_conn *conn;

    (void)state;
    rig_open(&r, PAIR_STREAM, NULL);
    assert_int_equal(rig_request(&r, VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(r.fake.calls[FAKE_set_owner], 1);
    assert_int_equal(rig_request(&r, VHU_REQ_SET_OWNER, 0x10, NULL, 0, 0), VHU_EINVALID_MESSAGE);
    assert_int_equal(r.fake.calls[FAKE_set_owner], 1);
    rig_expect_closed(&r);
    rig_close(&r);

    rig_open(&r, PAIR_STREAM, NULL);
    rig_negotiate_for(&r, NULL);
    assert_int_equal(rig_request(&r, VHU_REQ_SET_OWNER, 0x80000008u, NULL, 0, 0), VHU_EAGAIN);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_SET_OWNER), 0);
    assert_int_equal(r.fake.calls[FAKE_set_owner], 0);
    rig_expect_alive(&r);
    rig_close(&r);

    scripted_open(&script, &conn, 0, &lenient);
    rig_open_on(&r, conn, NULL);
    scripted_add(&script, &(message){.header = {VHU_REQ_SET_OWNER, 0xfffffff1u, 0}});
    assert_int_equal(vhu_backend_server_serve(r.server), VHU_EAGAIN);
    assert_int_equal(r.fake.calls[FAKE_set_owner], 1);
    rig_close(&r);
}

static void send_bytewise(int kind, const request_spec *spec)
{
    static message m;
    static uint8_t bytes[sizeof(m)];
    vhu_handle handles[1];
    unsigned before;
    size_t len;

    rig_open(&r, kind, NULL);
    rig_negotiate_for(&r, spec);
    before = r.fake.calls[spec->op];
    request_build(spec, VHU_FLAG_NEED_REPLY, &m);
    len = message_bytes(&m, bytes);
    handles_open(handles, 1);
    for (size_t k = 0; k < len; k++) {
        assert_int_equal(r.fake.calls[spec->op], before);
        peer_send(&r.peer, bytes + k, 1, handles, k == 0 ? spec->handles : 0);
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    }
    handles_close(handles, 1);
    expect_called(spec, before);
    expect_success(spec, VHU_FLAG_NEED_REPLY);
    rig_close(&r);
}

static void test_one_byte_at_a_time(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (!pair_has_pieces(kind))
            continue;
        for (size_t i = 0; i < REQUEST_SPECS; i++) {
            /* A device may look at the handle, so that the back channel needs a stream. */
            if (request_specs[i].code != VHU_REQ_SET_BACKEND_REQ_FD)
                send_bytewise(kind, &request_specs[i]);
        }
    }
}

/* Many requests in one write: each is served, and the replies go out in one send. */
static void test_burst(void **state)
{
    static message m;
    vhu_conn *conn;
    unsigned expected = 0;
    size_t len = 0;

    (void)state;
    scripted_open(&script, &conn, 0, NULL);
    rig_open_on(&r, conn, NULL);
    for (int round = 0; round < 40; round++) {
        request_build(request_spec_of(VHU_REQ_GET_FEATURES), 0, &m);
        scripted_add(&script, &m);
        request_build(request_spec_of(VHU_REQ_SET_VRING_BASE), 0, &m);
        scripted_add(&script, &m);
        request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), VHU_FLAG_NEED_REPLY, &m);
        scripted_add(&script, &m);
        expected += 2;
        len += 2 * 20;
    }
    assert_int_equal(vhu_backend_server_serve(r.server), VHU_EAGAIN);
    assert_int_equal(script.out_len, len);
    assert_int_equal(script.sends, 1);
    assert_int_equal(script.recvs, 2);
    assert_int_equal(r.fake.calls[FAKE_get_features], expected / 2);
    assert_int_equal(r.fake.calls[FAKE_set_vring_base], expected / 2);
    rig_close(&r);
    assert_int_equal(script.closes, 1);
}

/* A burst cut at every place: whatever arrives together is served together, and all of it once. */
static void test_burst_in_two_pieces(void **state)
{
    static message m;
    size_t total = 0;

    (void)state;
    for (size_t cut = 1; cut == 1 || cut < total; cut++) {
        vhu_conn *conn;

        scripted_open(&script, &conn, 0, NULL);
        rig_open_on(&r, conn, NULL);
        for (int i = 0; i < 3; i++) {
            request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), 0, &m);
            scripted_add(&script, &m);
        }
        total = script.in_len;
        script.in_len = cut;
        assert_int_equal(vhu_backend_server_serve(r.server), VHU_EAGAIN);
        assert_int_equal(r.fake.calls[FAKE_get_vring_base], cut / 20);
        assert_int_equal(script.out_len, cut / 20 * 20);
        script.in_len = total;
        assert_int_equal(vhu_backend_server_serve(r.server), VHU_EAGAIN);
        assert_int_equal(r.fake.calls[FAKE_get_vring_base], 3);
        assert_int_equal(script.out_len, 60);
        rig_close(&r);
    }
}

static void send_in_halves(int kind, bool with_payload, bool served_between)
{
    static message m;
    static uint8_t bytes[sizeof(m)];
    vhu_handle handle[1];
    size_t len;

    rig_open(&r, kind, NULL);
    r.fake.take = true;
    request_build(request_spec_of(VHU_REQ_SET_VRING_CALL), 0, &m);
    len = message_bytes(&m, bytes);
    handles_open(handle, 1);
    peer_send(&r.peer, bytes, 12, handle, !with_payload);
    if (served_between)
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    peer_send(&r.peer, bytes + 12, len - 12, handle, with_payload);
    /* The next message has none of it. */
    request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), 0, &m);
    peer_send_message(&r.peer, &m);
    assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    assert_int_equal(r.fake.num_taken, 1);
    assert_true(sys_handles_same(r.fake.taken[0], handle[0]));
    rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
    handles_close(handle, 1);
    rig_close(&r);
}

/* Header and payload apart, the handle with either: what a stream glues together stays together. */
static void test_handles_with_either_half(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (int i = 0; i < 4 && pair_has_pieces(kind); i++)
            send_in_halves(kind, i / 2, i % 2);
    }
}

/* Rings' handles back to back: each message gets its own, in order. */
static void test_handles_of_neighbours(void **state)
{
    static message m;
    enum { COUNT = 12 };

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        vhu_handle handles[COUNT];

        rig_open(&r, kind, NULL);
        r.fake.take = true;
        for (int i = 0; i < COUNT; i++) {
            handles_open(&handles[i], 1);
            request_build(request_spec_of(i % 2 ? VHU_REQ_SET_VRING_NUM : VHU_REQ_SET_VRING_KICK),
                          0, &m);
            m.num_handles = i % 2 ? 0 : 1;
            m.handles[0] = handles[i];
            peer_send_message(&r.peer, &m);
        }
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
        assert_int_equal(r.fake.num_taken, COUNT / 2);
        for (int i = 0; i < COUNT; i += 2)
            assert_true(sys_handles_same(r.fake.taken[i / 2], handles[i]));
        assert_int_equal(r.fake.calls[FAKE_set_vring_num], COUNT / 2);
        handles_close(handles, COUNT);
        rig_close(&r);
    }
}

/* What has come can be waited for, where anything can. */
static void expect_ready(int kind)
{
    assert_int_equal(vhu_conn_wait(r.conn, -1), pair_kinds[kind].waits ? 0 : VHU_EAGAIN);
}

/* The three steps by hand; in one piece there is nothing to wait for, and waiting does not end. */
static void test_three_steps(void **state)
{
    static message m;
    vhu_msg_header header;

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        rig_open(&r, kind, NULL);
        assert_int_equal(vhu_backend_server_process_message(r.server), VHU_ESTATE);
        assert_false(vhu_backend_server_needs_wait_for_payload(r.server));
        assert_int_equal(vhu_backend_server_recv_header(r.server, &header), VHU_EAGAIN);
        request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), 0, &m);
        peer_send_message(&r.peer, &m);
        expect_ready(kind);
        assert_int_equal(vhu_backend_server_recv_header(r.server, NULL), 0);
        assert_false(vhu_backend_server_needs_wait_for_payload(r.server));
        assert_true(vhu_conn_pending(r.conn));
        assert_int_equal(vhu_conn_wait(r.conn, -1), 0);
        assert_int_equal(vhu_backend_server_process_message(r.server), 0);
        assert_int_equal(vhu_backend_server_process_message(r.server), VHU_ESTATE);
        assert_false(vhu_conn_pending(r.conn));
        rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
        assert_int_equal(vhu_conn_wait(r.conn, 0),
                         pair_kinds[kind].waits ? VHU_ETIMEDOUT : VHU_EAGAIN);
        peer_close(&r.peer);
        assert_int_equal(vhu_backend_server_recv_header(r.server, NULL), VHU_ECLIENT_EXIT);
        assert_int_equal(vhu_backend_server_recv_header(r.server, NULL), VHU_EDISCONNECT);
        rig_close(&r);
    }
}

/* The same for a message in two pieces. */
static void test_three_steps_in_pieces(void **state)
{
    static message m;
    static uint8_t bytes[sizeof(m)];
    vhu_msg_header header;

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        size_t len;

        if (!pair_has_pieces(kind))
            continue;
        rig_open(&r, kind, NULL);
        request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), 0, &m);
        len = message_bytes(&m, bytes);
        peer_send(&r.peer, bytes, 12, NULL, 0);
        for (int again = 0; again < 2; again++) {
            memset(&header, 0, sizeof(header));
            assert_int_equal(vhu_backend_server_recv_header(r.server, &header), 0);
            assert_memory_equal(&header, &m.header, sizeof(header));
        }
        assert_true(vhu_backend_server_needs_wait_for_payload(r.server));
        assert_false(vhu_conn_pending(r.conn));
        assert_int_equal(vhu_backend_server_process_message(r.server), VHU_EAGAIN);
        peer_send(&r.peer, bytes + 12, len - 12, NULL, 0);
        expect_ready(kind);
        assert_int_equal(vhu_backend_server_process_message(r.server), 0);
        rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
        rig_close(&r);
    }
}

/* The loop of backend.h, for each kind that can wait. */
static void test_documented_loop(void **state)
{
    static message m;

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        int result = 0;

        if (!pair_kinds[kind].waits)
            continue;
        rig_open(&r, kind, NULL);
        for (int i = 0; i < 3; i++) {
            request_build(request_spec_of(VHU_REQ_SET_VRING_BASE), 0, &m);
            peer_send_message(&r.peer, &m);
        }
        peer_close(&r.peer);
        for (;;) {
            result = vhu_backend_server_recv_header(r.server, NULL);
            if (result == 0) {
                if (vhu_backend_server_needs_wait_for_payload(r.server))
                    vhu_conn_wait(r.conn, -1);
                result = vhu_backend_server_process_message(r.server);
            }
            if (result == VHU_EAGAIN)
                vhu_conn_wait(r.conn, -1);
            else if (!vhu_conn_is_open(r.conn))
                break;
        }
        assert_int_equal(result, VHU_ECLIENT_EXIT);
        assert_int_equal(r.fake.calls[FAKE_set_vring_base], 3);
        rig_close(&r);
    }
}

static void test_new_and_free(void **state)
{
    vhu_backend_ops ops = fake_backend_ops;
    vhu_backend_server_options options = {.size = sizeof(options), .max_rings = 257};
    vhu_conn *conns[2];
    vhu_conn *conn;

    (void)state;
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    conn = conns[0];
    assert_int_equal(vhu_backend_server_new(&r.server, &conn, &ops, NULL, &options), VHU_EINVAL);
    assert_ptr_equal(conn, conns[0]);
    ops.size = sizeof(ops.size) - 1; /* not even its own size */
    assert_int_equal(vhu_backend_server_new(&r.server, &conn, &ops, NULL, NULL), VHU_EINVAL);
    assert_ptr_equal(conn, conns[0]);
    assert_int_equal(vhu_backend_server_new(&r.server, &conn, &fake_backend_ops, NULL, NULL), 0);
    assert_null(conn);
    assert_ptr_equal(vhu_backend_server_conn(r.server), conns[0]);
    assert_int_equal(vhu_backend_server_features(r.server), 0);
    vhu_backend_server_free(r.server);
    vhu_backend_server_free(NULL);
    vhu_conn_free(conns[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_right),
        leakcheck_test(test_handles_may_be_taken),
        leakcheck_test(test_flags),
        leakcheck_test(test_one_byte_at_a_time),
        leakcheck_test(test_burst),
        leakcheck_test(test_burst_in_two_pieces),
        leakcheck_test(test_handles_with_either_half),
        leakcheck_test(test_handles_of_neighbours),
        leakcheck_test(test_three_steps),
        leakcheck_test(test_three_steps_in_pieces),
        leakcheck_test(test_documented_loop),
        leakcheck_test(test_new_and_free),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
