/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers that follow later, peers that do not read them, and peers that stop in mid-message. */
#include <string.h>

#include "support/rig.h"
#include "support/scripted.h"

static rig r;
static scripted script;
static message m;

/* A server behind the script. */
static void open_scripted(const vhu_conn_options *options)
{
    vhu_conn *conn;

    scripted_open(&script, &conn, 0, options);
    rig_open_on(&r, conn, NULL);
}

/* Requests as they should be, to come one behind the other. */
static void script_requests(uint32_t code, int n)
{
    request_build(request_spec_of(code), 0, &m);
    for (int i = 0; i < n; i++)
        scripted_add(&script, &m);
}

/* As far as it goes. */
static void serve(void)
{
    assert_int_equal(vhu_backend_server_serve(r.server), VHU_EAGAIN);
}

/* --- pending ops --- */

static void request_pending(const request_spec *spec)
{
    r.fake.result[spec->op] = VHU_EPENDING;
    request_build(spec, VHU_FLAG_NEED_REPLY, &m);
    assert_int_equal(rig_send(&r, &m), VHU_EAGAIN);
}

/* Each request's op can be pending: its reply is held back, and nothing else is received. */
static void test_every_op_pending(void **state)
{
    (void)state;
    for (size_t i = 0; i < 3 * REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i / 3];
        const int status = i % 3 == 0 ? VHU_EIO : 0;

        rig_open(&r, PAIR_STREAM, NULL);
        r.fake.take = i % 3 == 2;
        rig_negotiate_for(&r, spec);
        /* To be asked for what is offered is not the request itself. */
        if (spec->op == FAKE_get_features || spec->op == FAKE_get_protocol_features) {
            rig_close(&r);
            continue;
        }
        request_pending(spec);
        r.fake.result[spec->op] = 0;
        assert_int_equal(vhu_conn_wait_events(r.conn) & VHU_WAIT_READ, 0);
        assert_int_equal(vhu_conn_wait(r.conn, -1), VHU_EPENDING);
        request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), 0, &m);
        assert_int_equal(rig_send(&r, &m), VHU_EAGAIN);
        rig_expect_silence(&r);
        assert_int_equal(vhu_backend_server_complete(r.server, VHU_EPENDING), VHU_ESTATE);
        assert_int_equal(vhu_backend_server_complete(r.server, status), status);
        assert_int_equal(vhu_backend_server_complete(r.server, 0), VHU_ESTATE);
        if (status == 0) {
            rig_serve(&r);
            rig_expect_reply(&r, spec->code, spec->reply_size < 0 ? 8 : (uint32_t)spec->reply_size,
                             spec->reply_handles);
            rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
            rig_expect_alive(&r);
        } else {
            assert_int_equal(vhu_conn_is_open(r.conn), spec->failure != SPEC_CLOSE);
        }
        rig_close(&r);
    }
}

/* What has been served before goes out, what comes behind waits in read-ahead. */
static void test_burst_around_pending(void **state)
{
    (void)state;
    open_scripted(NULL);
    script_requests(VHU_REQ_GET_FEATURES, 2);
    script_requests(VHU_REQ_GET_VRING_BASE, 1);
    script_requests(VHU_REQ_GET_FEATURES, 1);
    r.fake.result[FAKE_get_vring_base] = VHU_EPENDING;
    serve();
    assert_int_equal(script.out_len, 40);
    assert_int_equal(script.recvs, 1);
    /* Nothing can be done, so that there is nothing to call the server for. */
    assert_false(vhu_conn_pending(r.conn));
    assert_int_equal(vhu_conn_wait_events(r.conn), 0);
    assert_int_equal(vhu_backend_server_complete(r.server, 0), 0);
    assert_true(vhu_conn_pending(r.conn));
    serve();
    assert_int_equal(script.out_len, 80);
    assert_int_equal(script.sends, 2);
    rig_close(&r);
}

/* Step by step: an answer does not wait for another one that is pending. */
static void test_flush_before_pending(void **state)
{
    (void)state;
    open_scripted(NULL);
    script_requests(VHU_REQ_GET_FEATURES, 1);
    script_requests(VHU_REQ_SET_VRING_NUM, 1);
    r.fake.result[FAKE_set_vring_num] = VHU_EPENDING;
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(script.out_len, 0);
        assert_int_equal(vhu_backend_server_recv_header(r.server, NULL), 0);
        assert_int_equal(vhu_backend_server_process_message(r.server), 0);
    }
    assert_int_equal(script.out_len, 20);
    rig_close(&r);
}

/* While an op is pending the peer may still be slow to read what it was sent before. */
static void test_output_while_pending(void **state)
{
    (void)state;
    open_scripted(NULL);
    script.out_room = 7;
    script_requests(VHU_REQ_GET_FEATURES, 1);
    script_requests(VHU_REQ_SET_VRING_NUM, 1);
    r.fake.result[FAKE_set_vring_num] = VHU_EPENDING;
    serve();
    assert_int_equal(script.out_len, 7);
    assert_int_equal(vhu_conn_wait_events(r.conn), VHU_WAIT_WRITE);
    script.out_room = SIZE_MAX;
    serve();
    assert_int_equal(script.out_len, 20);
    assert_int_equal(vhu_conn_wait_events(r.conn), 0);
    rig_close(&r);
}

/* The server goes, or the peer: nothing of the pending request is left. */
static void test_end_while_pending(void **state)
{
    static const uint32_t codes[] = {VHU_REQ_SET_MEM_TABLE, VHU_REQ_POSTCOPY_ADVISE,
                                     VHU_REQ_SET_DEVICE_STATE_FD, VHU_REQ_SET_BACKEND_REQ_FD};

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < 3 * sizeof(codes) / sizeof(codes[0]); i++) {
            const request_spec *spec = request_spec_of(codes[i / 3]);

            rig_open(&r, kind, NULL);
            rig_negotiate_for(&r, spec);
            request_pending(spec);
            if (i % 3 > 0)
                peer_close(&r.peer);
            if (i % 3 > 1) {
                vhu_backend_server_complete(r.server, 0);
                assert_true(rig_serve(&r) < VHU_EPENDING);
                assert_false(vhu_conn_is_open(r.conn));
            }
            rig_close(&r);
        }
    }
}

/* --- peers that do not read --- */

static size_t count_replies(uint32_t request, uint32_t size)
{
    size_t n = 0;

    for (size_t at = 0; at < script.out_len; at += 12 + size, n++) {
        vhu_msg_header header;

        memcpy(&header, script.out + at, sizeof(header));
        assert_int_equal(header.request, request);
        assert_int_equal(header.flags, 5);
        assert_int_equal(header.size, size);
    }
    return n;
}

/* Large answers to small questions: nothing is lost, and what waits is bounded. */
static void test_backpressure(void **state)
{
    enum { COUNT = 30 };
    unsigned before;

    (void)state;
    open_scripted(NULL);
    request_build(request_spec_of(VHU_REQ_SET_PROTOCOL_FEATURES), 0, &m);
    m.payload[2] = 0x40; /* SHMEM */
    scripted_add(&script, &m);
    script.out_room = 0;
    script_requests(VHU_REQ_GET_SHMEM_CONFIG, COUNT);
    serve();
    before = r.fake.calls[FAKE_get_shmem_config];
    assert_true(before > 0 && before < COUNT);
    assert_int_equal(vhu_conn_wait_events(r.conn), VHU_WAIT_WRITE);
    assert_false(vhu_conn_pending(r.conn));
    serve();
    assert_int_equal(r.fake.calls[FAKE_get_shmem_config], before);
    /* It reads a little: more is served, and so on. */
    while (r.fake.calls[FAKE_get_shmem_config] < COUNT) {
        script.out_room = 1000;
        serve();
    }
    script.out_room = SIZE_MAX;
    serve();
    assert_int_equal(count_replies(VHU_REQ_GET_SHMEM_CONFIG, 2056), COUNT);
    assert_int_equal(vhu_conn_wait_events(r.conn), VHU_WAIT_READ);
    assert_int_equal(vhu_conn_deadline_ms(r.conn), -1);
    rig_close(&r);
}

/* The same with handles, of which fewer can wait; each goes alone with its reply. */
static void test_backpressure_of_handles(void **state)
{
    enum { COUNT = 200 };

    (void)state;
    for (int blocked = 0; blocked < 2; blocked++) {
        open_scripted(NULL);
        request_build(request_spec_of(VHU_REQ_SET_PROTOCOL_FEATURES), 0, &m);
        m.payload[2] = 0x4; /* SHARED_OBJECT */
        scripted_add(&script, &m);
        script_requests(VHU_REQ_GET_SHARED_OBJECT, COUNT);
        script.out_room = blocked ? 0 : SIZE_MAX;
        serve();
        if (blocked)
            assert_true(r.fake.calls[FAKE_get_shared_object] < 65);
        script.out_room = SIZE_MAX;
        serve();
        assert_int_equal(count_replies(VHU_REQ_GET_SHARED_OBJECT, 0), COUNT);
        assert_int_equal(script.handles_sent, COUNT);
        assert_true(script.handles_alone);
        rig_close(&r);
    }
}

/* Over a real socket, with a peer that starts to read when nothing goes any more. */
static void test_backpressure_of_socket(void **state)
{
    enum { COUNT = 600 };

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        unsigned replies = 0;

        rig_open(&r, kind, NULL);
        rig_negotiate_for(&r, NULL);
        request_build(request_spec_of(VHU_REQ_GET_SHMEM_CONFIG), 0, &m);
        for (int sent = 0; sent < COUNT;) {
            /* A part, so that the peer's own writes do not block. */
            for (int i = 0; i < 100; i++, sent++)
                peer_send_message(&r.peer, &m);
            for (int i = 0; i < 1000 && replies < (unsigned)sent; i++) {
                assert_int_equal(rig_serve(&r), VHU_EAGAIN);
                if (i < 2)
                    continue;
                while (peer_recv(&r.peer, &r.reply)) {
                    assert_int_equal(r.reply.header.size, 2056);
                    replies++;
                }
            }
        }
        assert_int_equal(replies, COUNT);
        rig_expect_alive(&r);
        rig_close(&r);
    }
}

/* Byte by byte out, with stalls between. */
static void test_partial_sends(void **state)
{
    (void)state;
    open_scripted(NULL);
    script.out_step = 1;
    script.out_stalls = true;
    script.in_step = 1;
    script.in_stalls = true;
    script_requests(VHU_REQ_GET_VRING_BASE, 5);
    while (script.out_len < 100)
        serve();
    assert_int_equal(count_replies(VHU_REQ_GET_VRING_BASE, 8), 5);
    assert_int_equal(r.fake.calls[FAKE_get_vring_base], 5);
    rig_close(&r);
}

/* --- deadlines --- */

static void serve_until_closed(int code)
{
    int result = VHU_EAGAIN;

    while (result == VHU_EAGAIN) {
        assert_true(vhu_conn_deadline_ms(r.conn) >= 0);
        vhu_conn_wait(r.conn, -1); /* through a script there is no waiting */
        result = vhu_backend_server_serve(r.server);
    }
    assert_int_equal(result, code);
    assert_false(vhu_conn_is_open(r.conn));
    assert_int_equal(vhu_conn_deadline_ms(r.conn), -1);
    assert_string_not_equal(vhu_conn_last_error(r.conn), "");
}

static void stop_after(int kind, size_t len)
{
    const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = 5};
    static uint8_t bytes[sizeof(m)];
    vhu_handle handle[1];

    rig_open_with(&r, kind, &options, NULL);
    assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    assert_int_equal(vhu_conn_deadline_ms(r.conn), -1); /* idle peers have no limit */
    request_build(request_spec_of(VHU_REQ_SET_VRING_CALL), 0, &m);
    message_bytes(&m, bytes);
    handles_open(handle, 1);
    peer_send(&r.peer, bytes, len, handle, 1);
    handles_close(handle, 1);
    assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    serve_until_closed(VHU_ETIMEDOUT);
    assert_true(peer_sees_end(&r.peer));
    rig_close(&r);
}

/* Silent in the header, and in the payload, with a handle: closed. */
static void test_silence_in_mid_message(void **state)
{
    static const size_t lengths[] = {1, 11, 12, 19};

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < 4 && pair_has_pieces(kind); i++)
            stop_after(kind, lengths[i]);
    }
}

/* A whole message ends the limit. */
static void test_deadline_ends(void **state)
{
    static uint8_t bytes[sizeof(m)];
    size_t len;

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (!pair_has_pieces(kind))
            continue;
        rig_open(&r, kind, NULL);
        request_build(request_spec_of(VHU_REQ_GET_VRING_BASE), 0, &m);
        len = message_bytes(&m, bytes);
        peer_send(&r.peer, bytes, 13, NULL, 0);
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
        assert_in_range(vhu_conn_deadline_ms(r.conn), 0, 10000);
        peer_send(&r.peer, bytes + 13, len - 13, NULL, 0);
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
        assert_int_equal(vhu_conn_deadline_ms(r.conn), -1);
        rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
        rig_close(&r);
    }
}

/* The peer asks and asks, and never reads: also while an op is pending. */
static void test_peer_does_not_read(void **state)
{
    (void)state;
    for (int pending = 0; pending < 2; pending++) {
        const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = 5};

        open_scripted(&options);
        script.out_room = 0;
        script_requests(VHU_REQ_GET_FEATURES, 1);
        script_requests(VHU_REQ_GET_VRING_BASE, 1);
        r.fake.result[FAKE_get_vring_base] = pending ? VHU_EPENDING : 0;
        serve();
        serve_until_closed(VHU_ETIMEDOUT);
        assert_int_equal(script.shutdowns, 1);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_every_op_pending),        leakcheck_test(test_burst_around_pending),
        leakcheck_test(test_flush_before_pending),    leakcheck_test(test_output_while_pending),
        leakcheck_test(test_end_while_pending),       leakcheck_test(test_backpressure),
        leakcheck_test(test_backpressure_of_handles), leakcheck_test(test_backpressure_of_socket),
        leakcheck_test(test_partial_sends),           leakcheck_test(test_silence_in_mid_message),
        leakcheck_test(test_deadline_ends),           leakcheck_test(test_peer_does_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
