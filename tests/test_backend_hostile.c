/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests as they should not be. What each refusal looks like follows from the request's row: the
 * connection goes on where the reply can say so, and else it is closed.
 */
#include <string.h>

#include "support/rig.h"

static rig r;
static message m;

/* --- what a refusal looks like --- */

static void expect_inflight_failure(const request_spec *spec)
{
    vhu_inflight_area area;
    uint32_t size = m.header.size == 20 ? 20 : 24;

    rig_expect_reply(&r, spec->code, size, 0);
    memset(&area, 0, sizeof(area));
    memcpy(&area, r.reply.payload, size);
    assert_int_equal(area.mmap_size, 0);
}

static void expect_session_failure(const request_spec *spec)
{
    int64_t id;

    rig_expect_reply(&r, spec->code, m.header.size < 8 ? 8 : m.header.size, 0);
    memcpy(&id, r.reply.payload, sizeof(id));
    assert_true(id < 0);
}

/* Whether the connection goes on. */
static bool expect_failure_reply(const request_spec *spec, spec_failure failure)
{
    switch (failure) {
    case SPEC_ACK:
        if (!(m.header.flags & VHU_FLAG_NEED_REPLY))
            return false;
        assert_int_not_equal(rig_expect_u64(&r, spec->code), 0);
        return true;
    case SPEC_CLOSE:
        return false;
    case SPEC_STATUS:
        assert_int_not_equal(rig_expect_u64(&r, spec->code), 0);
        return true;
    case SPEC_STATE: {
        uint64_t value = rig_expect_u64(&r, spec->code);

        assert_int_not_equal(value & 0xff, 0);
        assert_int_equal(value & ~UINT64_C(0xff), 0x100);
        return true;
    }
    case SPEC_EMPTY:
    case SPEC_NO_HANDLE:
        rig_expect_reply(&r, spec->code, 0, 0);
        return true;
    case SPEC_INFLIGHT:
        expect_inflight_failure(spec);
        return true;
    case SPEC_SESSION:
        expect_session_failure(spec);
        return true;
    }
    return false;
}

static void expect_refused(const request_spec *spec, spec_failure failure)
{
    const uint64_t features = vhu_backend_server_features(r.server);
    const uint64_t protocol_features = vhu_backend_server_protocol_features(r.server);

    assert_string_not_equal(vhu_conn_last_error(r.conn), "");
    if (!expect_failure_reply(spec, failure)) {
        rig_expect_closed(&r);
        return;
    }
    rig_expect_alive(&r);
    assert_int_equal(vhu_backend_server_features(r.server), features);
    assert_int_equal(vhu_backend_server_protocol_features(r.server), protocol_features);
}

/* Send `m`; its op is not called, and it is refused. */
static void refuse(const request_spec *spec, int code, spec_failure failure)
{
    unsigned before = r.fake.total;
    int result = rig_send(&r, &m);

    assert_int_equal(r.fake.total, before);
    assert_int_equal(result, vhu_conn_is_open(r.conn) ? VHU_EAGAIN : code);
    expect_refused(spec, failure);
}

/* --- each request, wrong in each way --- */

typedef struct variant {
    const char *name;
    /* Spoil the message; false: this request cannot be wrong in this way. */
    bool (*spoil)(const request_spec *spec);
    bool ungated;
} variant;

static bool spoil_short(const request_spec *spec)
{
    m.header.size = spec->shorter;
    return spec->size > 0;
}

static bool spoil_empty(const request_spec *spec)
{
    m.header.size = 0;
    return spec->size > 0;
}

static bool spoil_long(const request_spec *spec)
{
    m.header.size = spec->longer;
    return spec->longer > 0;
}

static bool spoil_longest(const request_spec *spec)
{
    m.header.size = VHU_MAX_PAYLOAD;
    return spec->longer > 0;
}

static bool spoil_over(const request_spec *spec)
{
    m.num_handles = spec->handles_max + 1;
    return true;
}

static bool spoil_far_over(const request_spec *spec)
{
    (void)spec;
    m.num_handles = 9;
    return true;
}

static bool spoil_flooded(const request_spec *spec)
{
    (void)spec;
    m.num_handles = 32;
    return true;
}

static bool spoil_under(const request_spec *spec)
{
    m.num_handles = 0;
    return spec->handles_min > 0;
}

static bool spoil_gate(const request_spec *spec)
{
    return spec->protocol_gate != SPEC_NO_GATE || spec->virtio_gate != SPEC_NO_GATE;
}

static const variant variants[] = {
    {"short", spoil_short, false},       {"empty", spoil_empty, false},
    {"long", spoil_long, false},         {"longest", spoil_longest, false},
    {"over-handled", spoil_over, false}, {"far over-handled", spoil_far_over, false},
    {"flooded", spoil_flooded, false},   {"under-handled", spoil_under, false},
    {"ungated", spoil_gate, true},
};

static void test_refusals(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t v = 0; v < sizeof(variants) / sizeof(variants[0]); v++) {
            for (size_t i = 0; i < 2 * REQUEST_SPECS; i++) {
                const request_spec *spec = &request_specs[i / 2];

                request_build(spec, i % 2 ? VHU_FLAG_NEED_REPLY : 0, &m);
                if (!variants[v].spoil(spec))
                    continue;
                rig_open(&r, kind, NULL);
                if (variants[v].ungated)
                    rig_negotiate_without(&r, spec);
                else
                    rig_negotiate_for(&r, spec);
                refuse(spec, VHU_EINVALID_MESSAGE, spec->failure);
                rig_close(&r);
            }
        }
    }
}

/* Whatever an op leaves, and whatever it gave before it failed, is closed; the answer says so. */
static void test_failing_ops(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < 2 * REQUEST_SPECS; i++) {
            const request_spec *spec = &request_specs[i / 2];
            int result;

            rig_open(&r, kind, NULL);
            rig_negotiate_for(&r, spec);
            r.fake.result[spec->op] = VHU_EIO;
            request_build(spec, i % 2 ? VHU_FLAG_NEED_REPLY : 0, &m);
            result = rig_send(&r, &m);
            r.fake.result[spec->op] = 0;
            assert_int_equal(result, vhu_conn_is_open(r.conn) ? VHU_EAGAIN : VHU_EIO);
            expect_refused(spec, spec->failure);
            rig_close(&r);
        }
    }
}

/* VHU_EAGAIN would tell the caller to wait for bytes that have come already. */
static void test_op_cannot_say_again(void **state)
{
    (void)state;
    rig_open(&r, PAIR_STREAM, NULL);
    rig_negotiate_for(&r, NULL);
    r.fake.result[FAKE_set_owner] = VHU_EAGAIN;
    request_build(request_spec_of(VHU_REQ_SET_OWNER), VHU_FLAG_NEED_REPLY, &m);
    peer_send_message(&r.peer, &m);
    assert_int_equal(vhu_backend_server_recv_header(r.server, NULL), 0);
    assert_int_equal(vhu_backend_server_process_message(r.server), VHU_EIO);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_SET_OWNER), 0);
    rig_expect_alive(&r);
    rig_close(&r);
}

/* Without an op a request is refused; to two of them the server answers itself. */
static void test_missing_ops(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i / 2];
        const vhu_backend_ops ops = fake_backend_ops_without(spec->op);
        const uint64_t reply_ack = VHU_BIT(VHU_PF_REPLY_ACK);
        int result;

        if (spec->protocol_gate != SPEC_NO_GATE || spec->virtio_gate != SPEC_NO_GATE ||
            spec->op == FAKE_set_owner || spec->op == FAKE_get_protocol_features ||
            spec->op == FAKE_set_protocol_features)
            continue;
        rig_open(&r, PAIR_STREAM, &ops);
        rig_request(&r, VHU_REQ_SET_PROTOCOL_FEATURES, 0, &reply_ack, 8, 0);
        request_build(spec, i % 2 ? VHU_FLAG_NEED_REPLY : 0, &m);
        if (spec->code == VHU_REQ_SET_LOG_BASE)
            m.header.size = 8, m.num_handles = 0;
        result = rig_send(&r, &m);
        assert_int_equal(result, vhu_conn_is_open(r.conn) ? VHU_EAGAIN : VHU_ENOSYS);
        assert_string_not_equal(vhu_conn_last_error(r.conn), "");
        if (spec->failure == SPEC_CLOSE && spec->code != VHU_REQ_SET_LOG_BASE)
            rig_expect_closed(&r);
        else if (m.header.flags & VHU_FLAG_NEED_REPLY)
            assert_int_not_equal(rig_expect_u64(&r, spec->code), 0);
        else
            rig_expect_closed(&r);
        rig_close(&r);
    }
}

/* --- values that make no sense --- */

typedef struct bad_value {
    uint32_t request;
    size_t at;
    uint64_t value;
    size_t width;
} bad_value;

static const bad_value bad_values[] = {
    {VHU_REQ_SET_FEATURES, 0, 1u << 1, 8},
    {VHU_REQ_SET_FEATURES, 0, UINT64_MAX, 8},
    {VHU_REQ_SET_PROTOCOL_FEATURES, 0, UINT64_MAX, 8},
    {VHU_REQ_SET_PROTOCOL_FEATURES, 0, VHU_BIT(VHU_PF_XEN_MMAP), 8},
    {VHU_REQ_SET_PROTOCOL_FEATURES, 0, VHU_BIT(VHU_PF_GPA_ADDRESSES), 8},
    {VHU_REQ_SET_PROTOCOL_FEATURES, 0, VHU_BIT(63), 8},
    {VHU_REQ_SET_PROTOCOL_FEATURES, 0, VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS), 8},
    {VHU_REQ_SET_MEM_TABLE, 0, 9, 4},
    {VHU_REQ_SET_MEM_TABLE, 0, 2, 4},
    {VHU_REQ_SET_MEM_TABLE, 0, 0, 4}, /* with a handle */
    {VHU_REQ_SET_MEM_TABLE, 0, UINT32_MAX, 4},
    {VHU_REQ_SET_MEM_TABLE, 16, 0, 8},
    {VHU_REQ_SET_MEM_TABLE, 16, UINT64_MAX, 8},
    {VHU_REQ_SET_LOG_BASE, 0, 0, 8},
    {VHU_REQ_SET_LOG_BASE, 8, UINT64_MAX, 8},
    {VHU_REQ_SET_VRING_NUM, 0, 256, 4},
    {VHU_REQ_SET_VRING_NUM, 0, UINT32_MAX, 4},
    {VHU_REQ_SET_VRING_NUM, 4, 0, 4},
    {VHU_REQ_SET_VRING_NUM, 4, 32769, 4},
    {VHU_REQ_SET_VRING_ADDR, 0, 256, 4},
    {VHU_REQ_SET_VRING_ADDR, 4, 2, 4},
    {VHU_REQ_SET_VRING_ADDR, 8, 0x1008, 8},
    {VHU_REQ_SET_VRING_ADDR, 16, 0x2002, 8},
    {VHU_REQ_SET_VRING_ADDR, 24, 0x3001, 8},
    {VHU_REQ_SET_VRING_BASE, 0, 256, 4},
    {VHU_REQ_GET_VRING_BASE, 0, 256, 4},
    {VHU_REQ_SET_VRING_KICK, 0, 0x100, 8}, /* no handle, it says */
    {VHU_REQ_SET_VRING_CALL, 0, 0x200, 8},
    {VHU_REQ_SET_VRING_ERR, 0, VHU_BIT(63), 8},
    {VHU_REQ_SET_VRING_ENABLE, 0, 256, 4},
    {VHU_REQ_SET_VRING_ENABLE, 4, 2, 4},
    {VHU_REQ_NET_SET_MTU, 0, 67, 8},
    {VHU_REQ_NET_SET_MTU, 0, 65536, 8},
    {VHU_REQ_IOTLB_MSG, 8, 0, 8},
    {VHU_REQ_IOTLB_MSG, 24, 0, 1},
    {VHU_REQ_IOTLB_MSG, 24, 4, 1},
    {VHU_REQ_IOTLB_MSG, 25, 0, 1},
    {VHU_REQ_IOTLB_MSG, 25, 5, 1},
    {VHU_REQ_SET_VRING_ENDIAN, 0, 256, 4},
    {VHU_REQ_SET_VRING_ENDIAN, 4, 2, 4},
    {VHU_REQ_GET_CONFIG, 0, 4096, 4},
    {VHU_REQ_GET_CONFIG, 0, UINT32_MAX, 4},
    {VHU_REQ_GET_CONFIG, 4, UINT32_MAX, 4},
    {VHU_REQ_SET_CONFIG, 4, 7, 4},
    {VHU_REQ_SET_CONFIG, 4, UINT32_MAX - 11, 4},
    {VHU_REQ_SET_CONFIG, 8, 0x80, 4},
    {VHU_REQ_VRING_KICK, 0, 256, 4},
    {VHU_REQ_ADD_MEM_REG, 16, 0, 8},
    {VHU_REQ_REM_MEM_REG, 8, UINT64_MAX, 8},
    {VHU_REQ_SET_DEVICE_STATE_FD, 0, 2, 4},
    {VHU_REQ_SET_DEVICE_STATE_FD, 4, 1, 4},
};

static void test_bad_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2 * sizeof(bad_values) / sizeof(bad_values[0]); i++) {
        const bad_value *bad = &bad_values[i / 2];
        const request_spec *spec = request_spec_of(bad->request);

        rig_open(&r, PAIR_STREAM, NULL);
        rig_negotiate_for(&r, spec);
        request_build(spec, i % 2 ? VHU_FLAG_NEED_REPLY : 0, &m);
        memcpy(m.payload + bad->at, &bad->value, bad->width);
        refuse(spec, VHU_EINVALID_MESSAGE, spec->failure);
        rig_close(&r);
    }
}

/* Codes that nobody knows, with and without handles, and those of crosvm. */
static void test_unknown(void **state)
{
    static const uint32_t codes[] = {0, 45, 46, 255, 999, 1006, 1007, 0x7fffffff, UINT32_MAX};
    const vhu_backend_ops ops = fake_backend_ops_without(FAKE_private_request);

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            for (size_t handles = 0; handles < 10; handles += 3) {
                rig_open(&r, kind, &ops);
                rig_negotiate_for(&r, NULL);
                assert_int_equal(rig_request(&r, codes[i], VHU_FLAG_NEED_REPLY, "junk", 4, handles),
                                 VHU_EAGAIN);
                assert_int_not_equal(rig_expect_u64(&r, codes[i]), 0);
                rig_expect_alive(&r);
                assert_int_equal(rig_request(&r, codes[i], 0, "junk", 4, handles),
                                 VHU_EINVALID_MESSAGE);
                rig_expect_closed(&r);
                rig_close(&r);
            }
        }
    }
}

/* --- framing --- */

static void test_lost_framing(void **state)
{
    static const vhu_msg_header bad[] = {
        {VHU_REQ_SET_OWNER, VHU_FLAG_NEED_REPLY, 0},
        {VHU_REQ_SET_OWNER, 0x2 | VHU_FLAG_NEED_REPLY, 0},
        {VHU_REQ_SET_OWNER, 0x3 | VHU_FLAG_NEED_REPLY, 0},
        {VHU_REQ_SET_OWNER, 0x9, VHU_MAX_PAYLOAD + 1},
        {VHU_REQ_SET_OWNER, 0x9, UINT32_MAX},
        {VHU_REQ_SET_OWNER, 0x9, UINT32_MAX - 11},
    };

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
            vhu_handle handle[1];

            rig_open(&r, kind, NULL);
            rig_negotiate_for(&r, NULL);
            handles_open(handle, 1);
            peer_send(&r.peer, &bad[i], sizeof(bad[i]), handle, 1);
            handles_close(handle, 1);
            assert_int_equal(rig_serve(&r), VHU_EINVALID_MESSAGE);
            rig_expect_closed(&r);
            assert_int_equal(r.fake.calls[FAKE_set_owner], 0);
            rig_close(&r);
        }
    }
}

/* More handles than a message can have, thirty with each byte: the connection is over. */
static void test_too_many_handles(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (!pair_has_pieces(kind))
            continue;
        rig_open(&r, kind, NULL);
        for (int i = 0; i < 3; i++) {
            vhu_handle handles[30];

            handles_open(handles, 30);
            peer_send(&r.peer, &"\5\0\0"[i], 1, handles, 30);
            handles_close(handles, 30);
        }
        assert_int_equal(rig_serve(&r), VHU_EINVALID_MESSAGE);
        rig_expect_closed(&r);
        rig_close(&r);
    }
}

/* What was answered before the connection had to be closed reaches the peer. */
static void test_answers_before_the_end(void **state)
{
    static const uint32_t flags_after[] = {VHU_VERSION_1, 0};

    (void)state;
    for (int i = 0; i < 2 * pair_num_kinds(); i++) {
        const vhu_msg_header good = {VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0};
        const vhu_msg_header bad = {999, flags_after[i % 2], 0};
        uint8_t bytes[24];

        rig_open(&r, i / 2, NULL);
        memcpy(bytes, &good, 12);
        memcpy(bytes + 12, &bad, 12);
        peer_send_burst(&r.peer, bytes, sizeof(bytes));
        r.fake.result[FAKE_private_request] = VHU_ENOSYS;
        assert_int_equal(rig_serve(&r), i % 2 == 0 ? VHU_ENOSYS : VHU_EINVALID_MESSAGE);
        rig_expect_u64(&r, VHU_REQ_GET_FEATURES);
        rig_expect_closed(&r);
        rig_close(&r);
    }
}

/* --- a peer that dies --- */

static void die_after(int kind, const uint8_t *bytes, size_t len, size_t handles)
{
    vhu_handle handle[1];
    int expected = len == 0 ? VHU_ECLIENT_EXIT : VHU_EDISCONNECT;

    rig_open(&r, kind, NULL);
    /* A piece of a message is no message. */
    if (len > 0 && r.peer.messages)
        expected = VHU_EINVALID_MESSAGE;
    handles_open(handle, 1);
    if (len > 0)
        peer_send(&r.peer, bytes, len, handle, handles);
    handles_close(handle, 1);
    if (len % 2 == 0 || r.peer.messages)
        peer_close(&r.peer);
    else
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    peer_close(&r.peer);
    assert_int_equal(rig_serve(&r), expected);
    assert_false(vhu_conn_is_open(r.conn));
    assert_int_equal(r.fake.total, 0);
    rig_close(&r);
}

static void test_peer_dies_at_every_byte(void **state)
{
    static const uint32_t codes[] = {VHU_REQ_SET_MEM_TABLE, VHU_REQ_SET_VRING_KICK,
                                     VHU_REQ_SET_LOG_FD};
    static uint8_t bytes[sizeof(m)];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
            size_t len;

            request_build(request_spec_of(codes[i]), 0, &m);
            len = message_bytes(&m, bytes);
            for (size_t n = 0; n < len; n++)
                die_after(kind, bytes, n, 1);
        }
    }
}

/* Behind whole messages, with replies that nobody reads any more. */
static void test_peer_dies_with_replies_unread(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        int result;

        rig_open(&r, kind, NULL);
        request_build(request_spec_of(VHU_REQ_GET_FEATURES), 0, &m);
        peer_send_message(&r.peer, &m);
        assert_int_equal(rig_serve(&r), VHU_EAGAIN);
        peer_send_message(&r.peer, &m);
        peer_close(&r.peer);
        result = rig_serve(&r);
        assert_true(result == VHU_ECLIENT_EXIT || result == VHU_EDISCONNECT);
        assert_false(vhu_conn_is_open(r.conn));
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_refusals),
        leakcheck_test(test_failing_ops),
        leakcheck_test(test_op_cannot_say_again),
        leakcheck_test(test_missing_ops),
        leakcheck_test(test_bad_values),
        leakcheck_test(test_unknown),
        leakcheck_test(test_lost_framing),
        leakcheck_test(test_too_many_handles),
        leakcheck_test(test_answers_before_the_end),
        leakcheck_test(test_peer_dies_at_every_byte),
        leakcheck_test(test_peer_dies_with_replies_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
