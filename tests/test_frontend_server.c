/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's end of the back channel: requests as they should be, and as they should not. */
#include <stdio.h>
#include <string.h>

#include "support/fake_frontend.h"
#include "util.h"

typedef struct channel {
    peer peer;
    vhu_conn *conn;
    vhu_frontend_server *server;
    fake_frontend fake;
    message reply;
    char warning[100]; /* the last one */
} channel;

static channel ch;
static message m;

static void log_line(void *arg, vhu_log_level level, const char *text)
{
    channel *c = arg;

    if (level == VHU_LOG_WARNING)
        snprintf(c->warning, sizeof(c->warning), "%s", text);
}

static void open_with(int kind, const vhu_frontend_ops *ops, uint64_t features,
                      uint64_t protocol_features)
{
    const vhu_frontend_server_options options = {.size = sizeof(options),
                                                 .max_rings = 8,
                                                 .features = features,
                                                 .protocol_features = protocol_features};
    const vhu_conn_options conn_options = {
        .size = sizeof(conn_options), .log = log_line, .log_arg = &ch};
    vhu_conn *conn;

    memset(&ch, 0, sizeof(ch));
    pair_open(&ch.peer, &ch.conn, kind, &conn_options);
    fake_frontend_init(&ch.fake);
    conn = ch.conn;
    assert_int_equal(vhu_frontend_server_new(&ch.server, &conn, ops, &ch.fake, &options), 0);
    assert_null(conn);
    assert_ptr_equal(vhu_frontend_server_conn(ch.server), ch.conn);
}

static void open_all(int kind)
{
    open_with(kind, &fake_frontend_ops, CHANNEL_FEATURES, CHANNEL_PROTOCOL);
}

static void close_channel(void)
{
    vhu_frontend_server_free(ch.server);
    peer_close(&ch.peer);
    fake_frontend_release(&ch.fake);
    message_close_handles(&ch.reply);
}

static int serve(void)
{
    int result;

    vhu_conn_wait(ch.conn, 0);
    do {
        result = vhu_frontend_server_serve(ch.server);
    } while (result == VHU_EAGAIN && vhu_conn_wait(ch.conn, 0) == 0);
    return result;
}

static int send_it(const message *request)
{
    message copy = *request;

    handles_open(copy.handles, copy.num_handles);
    peer_send_message(&ch.peer, &copy);
    message_close_handles(&copy);
    return serve();
}

static void expect_silence(void)
{
    assert_false(peer_recv(&ch.peer, &ch.reply));
    assert_true(vhu_conn_is_open(ch.conn));
}

/* Exactly one reply: a status, and maybe a handle. */
static uint64_t expect_status(uint32_t request, size_t num_handles)
{
    uint64_t value;

    assert_true(peer_recv(&ch.peer, &ch.reply));
    assert_int_equal(ch.reply.header.request, request);
    assert_int_equal(ch.reply.header.flags, 0x5);
    assert_int_equal(ch.reply.header.size, 8);
    assert_int_equal(ch.reply.num_handles, num_handles);
    memcpy(&value, ch.reply.payload, 8);
    message_close_handles(&ch.reply);
    expect_silence();
    return value;
}

static void expect_closed(void)
{
    assert_false(vhu_conn_is_open(ch.conn));
    assert_false(peer_recv(&ch.peer, &ch.reply));
    assert_true(peer_sees_end(&ch.peer));
    assert_int_equal(vhu_frontend_server_serve(ch.server), VHU_EDISCONNECT);
}

/* What is wrong is refused in words where that was asked for, and else ends the channel. */
static void expect_refused(const message *request, bool own_reply)
{
    unsigned calls = ch.fake.calls;
    int result = send_it(request);

    assert_string_not_equal(vhu_conn_last_error(ch.conn), "");
    if (own_reply || (request->header.flags & VHU_FLAG_NEED_REPLY)) {
        assert_int_equal(result, VHU_EAGAIN);
        assert_int_not_equal(expect_status(request->header.request, 0), 0);
    } else {
        assert_true(result < 0 && result != VHU_EAGAIN);
        expect_closed();
    }
    assert_int_equal(ch.fake.calls, calls);
}

/* --- as it should be --- */

static void test_right(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < BACKEND_SPECS; i++) {
            for (unsigned way = 0; way < 8; way++) {
                const backend_spec *spec = &backend_specs[i];
                uint32_t ask = way & 1 ? VHU_FLAG_NEED_REPLY : 0;

                open_all(kind);
                ch.fake.take = way & 2;
                ch.fake.result = way & 4 ? VHU_EIO : 0;
                backend_request_build(spec, ask, &m);
                send_it(&m);
                assert_int_equal(ch.fake.calls, 1);
                fake_frontend_expect(&ch.fake, spec);
                if (spec->own_reply)
                    assert_int_equal(expect_status(spec->code, ch.fake.result == 0) == 0,
                                     ch.fake.result == 0);
                else if (ask)
                    assert_int_equal(expect_status(spec->code, 0) == 0, ch.fake.result == 0);
                else if (ch.fake.result == 0)
                    expect_silence();
                else
                    expect_closed();
                close_channel();
            }
        }
    }
}

static void test_not_found(void **state)
{
    (void)state;
    open_all(PAIR_STREAM);
    ch.fake.not_found = true;
    backend_request_build(&backend_specs[VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP - 1], 0, &m);
    send_it(&m);
    expect_status(VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, 0);
    close_channel();
}

/* --- as it should not be --- */

static void test_sizes_and_handles(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKEND_SPECS; i++) {
        const backend_spec *spec = &backend_specs[i];
        const struct {
            int size;
            size_t handles;
        } wrongs[] = {
            {-1, spec->handles},
            {1, spec->handles},
            {2000, spec->handles},
            {0, spec->handles_max + 1},
            {0, 9},
            {0, 20},
            {0, spec->handles_min == 0 ? 1 : 0},
        };

        for (size_t w = 0; w < VHU__COUNT(wrongs); w++) {
            for (uint32_t flags = 0; flags <= VHU_FLAG_NEED_REPLY; flags += VHU_FLAG_NEED_REPLY) {
                if (wrongs[w].size < 0 && spec->size == 0)
                    continue;
                open_all(PAIR_STREAM);
                backend_request_build(spec, flags, &m);
                m.header.size = (uint32_t)((int)m.header.size + wrongs[w].size);
                m.num_handles = wrongs[w].handles;
                expect_refused(&m, spec->own_reply);
                close_channel();
            }
        }
    }
}

static void test_gates(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKEND_SPECS; i++) {
        const backend_spec *spec = &backend_specs[i];
        uint64_t without[] = {spec->protocol_gate == SPEC_NO_GATE ? 0
                                                                  : VHU_BIT(spec->protocol_gate),
                              spec->handles ? VHU_BIT(VHU_PF_BACKEND_SEND_FD) : 0};

        for (size_t w = 0; w < 2; w++) {
            uint64_t features = CHANNEL_FEATURES;

            if (without[w] == 0 && (w > 0 || spec->virtio_gate == SPEC_NO_GATE))
                continue;
            if (without[w] == 0)
                features = 0;
            open_with(PAIR_STREAM, &fake_frontend_ops, features, CHANNEL_PROTOCOL & ~without[w]);
            backend_request_build(spec, VHU_FLAG_NEED_REPLY, &m);
            expect_refused(&m, spec->own_reply);
            /* What is negotiated later holds for the next. */
            vhu_frontend_server_set_features(ch.server, CHANNEL_FEATURES, CHANNEL_PROTOCOL);
            send_it(&m);
            assert_int_equal(expect_status(spec->code, spec->own_reply), 0);
            close_channel();
        }
    }
}

/* Without a handle BACKEND_SEND_FD does not matter: the notifier is taken back. */
static void test_no_notifier(void **state)
{
    const uint64_t area[] = {7 | 0x100, 0, 0};

    (void)state;
    open_with(PAIR_STREAM, &fake_frontend_ops, 0,
              VHU_BIT(VHU_PF_HOST_NOTIFIER) | VHU_BIT(VHU_PF_REPLY_ACK));
    backend_request_build(&backend_specs[2], VHU_FLAG_NEED_REPLY, &m);
    memcpy(m.payload, area, sizeof(area));
    m.num_handles = 0;
    send_it(&m);
    assert_int_equal(expect_status(m.header.request, 0), 0);
    assert_int_equal(ch.fake.ring, 7);
    assert_int_equal(ch.fake.num_handles, 0);
    m.num_handles = 1;
    expect_refused(&m, false);
    close_channel();
}

static void test_values(void **state)
{
    static const struct {
        uint32_t code;
        size_t at;
        uint64_t value;
        size_t len;
        bool right;
    } cases[] = {
        {VHU_BACKEND_REQ_IOTLB_MSG, 25, VHU_IOTLB_UPDATE, 1, false},
        {VHU_BACKEND_REQ_IOTLB_MSG, 25, VHU_IOTLB_INVALIDATE, 1, false},
        {VHU_BACKEND_REQ_IOTLB_MSG, 25, VHU_IOTLB_ACCESS_FAIL, 1, true},
        {VHU_BACKEND_REQ_IOTLB_MSG, 25, 9, 1, false},
        {VHU_BACKEND_REQ_VRING_CALL, 0, 7, 4, true},
        {VHU_BACKEND_REQ_VRING_CALL, 0, 8, 4, false},
        {VHU_BACKEND_REQ_VRING_ERR, 0, UINT32_MAX, 4, false},
        {VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 0, 8, 8, false},
        {VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 0, 0x101, 8, false}, /* none, and one */
        {VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 0, 0x201, 8, false},
        {VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 8, 0, 8, false},
        {VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, 16, UINT64_MAX, 8, false},
        {VHU_BACKEND_REQ_SHMEM_MAP, 0, 255, 1, true},
        {VHU_BACKEND_REQ_SHMEM_MAP, 8, UINT64_MAX, 8, false},
        {VHU_BACKEND_REQ_SHMEM_MAP, 16, UINT64_MAX, 8, false},
        {VHU_BACKEND_REQ_SHMEM_MAP, 24, 0, 8, false},
        {VHU_BACKEND_REQ_SHMEM_MAP, 32, 0, 8, true},
        {VHU_BACKEND_REQ_SHMEM_MAP, 32, 2, 8, false},
        {VHU_BACKEND_REQ_SHMEM_UNMAP, 16, UINT64_MAX, 8, false},
        {VHU_BACKEND_REQ_SHMEM_UNMAP, 24, 0, 8, false},
    };
    const uint64_t one = 1;

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        open_all(PAIR_STREAM);
        backend_request_build(&backend_specs[cases[i].code - 1], VHU_FLAG_NEED_REPLY, &m);
        if (cases[i].code == VHU_BACKEND_REQ_IOTLB_MSG)
            memcpy(m.payload + 8, &one, sizeof(one)); /* so that nothing but its type is wrong */
        memcpy(m.payload + cases[i].at, &cases[i].value, cases[i].len);
        if (cases[i].right) {
            send_it(&m);
            assert_int_equal(expect_status(cases[i].code, 0), 0);
        } else {
            expect_refused(&m, false);
        }
        close_channel();
    }
}

static void test_unsupported(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKEND_SPECS; i++) {
        vhu_frontend_ops ops = fake_frontend_ops;

        memset((char *)&ops + backend_specs[i].op, 0, sizeof(ops.config_changed));
        open_with(PAIR_STREAM, &ops, CHANNEL_FEATURES, CHANNEL_PROTOCOL);
        backend_request_build(&backend_specs[i], VHU_FLAG_NEED_REPLY, &m);
        expect_refused(&m, backend_specs[i].own_reply);
        close_channel();
    }
}

/* What is not known here, with nobody waiting for an answer, hurts nothing. */
static void test_passed_over(void **state)
{
    static const struct {
        uint32_t code;
        int result; /* of the op; 0: there is none */
        const char *log;
    } cases[] = {
        {1006, 0, "request 1006: unknown, passed over"},
        {1006, VHU_ENOSYS, "request 1006: unknown, passed over"},
        {VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0,
         "CONFIG_CHANGE_MSG: not supported here, passed over"},
        {VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_ENOSYS,
         "CONFIG_CHANGE_MSG: not supported here, passed over"},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        vhu_frontend_ops ops = fake_frontend_ops;

        if (cases[i].result == 0) {
            ops.private_request = NULL;
            ops.config_changed = NULL;
        }
        open_with(PAIR_STREAM, &ops, CHANNEL_FEATURES, CHANNEL_PROTOCOL);
        ch.fake.result = cases[i].result;
        memset(&m, 0, sizeof(m));
        m.header = (vhu_msg_header){cases[i].code, VHU_VERSION_1, 0};
        m.num_handles = cases[i].code == 1006 ? 2 : 0;
        assert_int_equal(send_it(&m), VHU_EAGAIN);
        expect_silence();
        assert_string_equal(ch.warning, cases[i].log);
        assert_string_equal(vhu_conn_last_error(ch.conn), "");
        ch.fake.result = 0;
        backend_request_build(&backend_specs[0], VHU_FLAG_NEED_REPLY, &m);
        send_it(&m);
        assert_int_equal(expect_status(VHU_BACKEND_REQ_IOTLB_MSG, 0), 0);
        close_channel();
    }
}

static void test_private(void **state)
{
    static const uint32_t codes[] = {0, 11, 12, 1000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(codes); i++) {
        for (int with = 0; with < 2; with++) {
            vhu_frontend_ops ops = fake_frontend_ops;

            if (!with)
                ops.private_request = NULL;
            open_with(PAIR_STREAM, &ops, 0, VHU_BIT(VHU_PF_REPLY_ACK));
            memset(&m, 0, sizeof(m));
            m.header = (vhu_msg_header){codes[i], VHU_VERSION_1 | VHU_FLAG_NEED_REPLY, 5};
            memcpy(m.payload, "hello", 5);
            m.num_handles = 3;
            if (!with) {
                expect_refused(&m, false);
            } else {
                send_it(&m);
                assert_int_equal(expect_status(codes[i], 0), 0);
                assert_int_equal(ch.fake.last, codes[i]);
                assert_int_equal(ch.fake.len, 5);
                assert_memory_equal(ch.fake.bytes, "hello", 5);
                assert_int_equal(ch.fake.num_handles, 3);
                m.num_handles = 9;
                expect_refused(&m, false);
            }
            close_channel();
        }
    }
}

static void test_without_reply_ack(void **state)
{
    (void)state;
    open_with(PAIR_STREAM, &fake_frontend_ops, 0, VHU_BIT(VHU_PF_CONFIG));
    backend_request_build(&backend_specs[1], VHU_FLAG_NEED_REPLY, &m);
    assert_int_equal(send_it(&m), VHU_EAGAIN);
    expect_silence();
    ch.fake.result = VHU_EIO;
    send_it(&m);
    expect_closed();
    close_channel();
}

/* --- ops that take their time --- */

static void test_pending(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKEND_SPECS; i++) {
        const backend_spec *spec = &backend_specs[i];

        open_all(PAIR_STREAM);
        assert_int_equal(vhu_frontend_server_complete(ch.server, 0), VHU_ESTATE);
        ch.fake.result = VHU_EPENDING;
        backend_request_build(spec, VHU_FLAG_NEED_REPLY, &m);
        send_it(&m);
        /* The next one waits. */
        send_it(&m);
        assert_int_equal(ch.fake.calls, 1);
        expect_silence();
        assert_int_equal(vhu_frontend_server_complete(ch.server, 0), 0);
        assert_int_equal(expect_status(spec->code, spec->own_reply), 0);
        serve();
        assert_int_equal(ch.fake.calls, 2);
        assert_int_equal(vhu_frontend_server_complete(ch.server, VHU_EIO), VHU_EIO);
        assert_int_not_equal(expect_status(spec->code, 0), 0);
        close_channel();
    }
}

/* Whatever an op does, its server does not serve it again, nor anything else, before it returns. */
static void come_by(void *arg)
{
    channel *c = arg;
    unsigned calls = c->fake.calls;

    assert_int_equal(vhu_frontend_server_serve(c->server), VHU_EAGAIN);
    assert_int_equal(vhu_frontend_server_recv_header(c->server, NULL), VHU_EAGAIN);
    assert_int_equal(vhu_frontend_server_process_message(c->server), VHU_ESTATE);
    assert_int_equal(vhu_frontend_server_complete(c->server, 0), VHU_ESTATE);
    assert_false(vhu_frontend_server_needs_wait_for_payload(c->server));
    assert_false(vhu_conn_pending(c->conn));
    assert_int_equal(vhu_conn_wait_events(c->conn) & VHU_WAIT_READ, 0);
    assert_int_equal(c->fake.calls, calls);
}

static void test_within_op(void **state)
{
    message copy;

    (void)state;
    open_all(PAIR_STREAM);
    ch.fake.within = come_by;
    ch.fake.within_arg = &ch;
    backend_request_build(&backend_specs[3], VHU_FLAG_NEED_REPLY, &m);
    copy = m;
    peer_send_message(&ch.peer, &copy);
    peer_send_message(&ch.peer, &copy);
    serve();
    assert_int_equal(ch.fake.calls, 2);
    for (int i = 0; i < 2; i++)
        assert_true(peer_recv(&ch.peer, &ch.reply));
    expect_silence();
    close_channel();
}

/* --- the three steps, and the end --- */

static void test_steps(void **state)
{
    vhu_msg_header header;
    uint8_t bytes[12 + 8];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        /* In two pieces where that is possible. */
        size_t first = pair_has_pieces(kind) ? 12 : sizeof(bytes);

        open_all(kind);
        backend_request_build(&backend_specs[3], VHU_FLAG_NEED_REPLY, &m);
        message_bytes(&m, bytes);
        assert_int_equal(vhu_frontend_server_recv_header(ch.server, &header), VHU_EAGAIN);
        peer_send(&ch.peer, bytes, first, NULL, 0);
        vhu_conn_wait(ch.conn, -1);
        assert_int_equal(vhu_frontend_server_recv_header(ch.server, &header), 0);
        assert_int_equal(header.request, VHU_BACKEND_REQ_VRING_CALL);
        assert_int_equal(vhu_frontend_server_needs_wait_for_payload(ch.server), first == 12);
        if (first == 12)
            assert_int_equal(vhu_frontend_server_process_message(ch.server), VHU_EAGAIN);
        peer_send(&ch.peer, bytes + first, sizeof(bytes) - first, NULL, 0);
        vhu_conn_wait(ch.conn, -1);
        assert_int_equal(vhu_frontend_server_process_message(ch.server), 0);
        assert_int_equal(expect_status(VHU_BACKEND_REQ_VRING_CALL, 0), 0);
        peer_close(&ch.peer);
        vhu_conn_wait(ch.conn, -1);
        assert_int_equal(vhu_frontend_server_serve(ch.server), VHU_ECLIENT_EXIT);
        close_channel();
    }
}

static void test_new_refuses(void **state)
{
    vhu_frontend_server_options options = {.size = sizeof(options), .max_rings = 257};
    vhu_frontend_ops ops = fake_frontend_ops;
    vhu_frontend_server *server;
    vhu_conn *conns[2];

    (void)state;
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    assert_int_equal(vhu_frontend_server_new(&server, &conns[0], &ops, NULL, &options), VHU_EINVAL);
    options.max_rings = 256;
    ops.size = 1;
    assert_int_equal(vhu_frontend_server_new(&server, &conns[0], &ops, NULL, &options), VHU_EINVAL);
    assert_non_null(conns[0]);
    ops.size = sizeof(ops);
    assert_int_equal(vhu_frontend_server_new(&server, &conns[0], &ops, NULL, NULL), 0);
    vhu_frontend_server_free(server);
    vhu_frontend_server_free(NULL);
    vhu_conn_free(conns[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_right),
        leakcheck_test(test_not_found),
        leakcheck_test(test_sizes_and_handles),
        leakcheck_test(test_gates),
        leakcheck_test(test_no_notifier),
        leakcheck_test(test_values),
        leakcheck_test(test_unsupported),
        leakcheck_test(test_passed_over),
        leakcheck_test(test_private),
        leakcheck_test(test_without_reply_ack),
        leakcheck_test(test_pending),
        leakcheck_test(test_within_op),
        leakcheck_test(test_steps),
        leakcheck_test(test_new_refuses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
