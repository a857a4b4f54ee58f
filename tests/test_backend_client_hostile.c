/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Replies as they should not be, for each request that is answered: every one ends in a clear error
 * within its time limit, the connection closed where it has lost its step, and no handle left.
 */
#include <string.h>

#include "conn.h"
#include "support/client_rig.h"
#include "wire.h"

static client_rig r;
static call c;
static message m;

static void open_for(const request_spec *spec, int kind)
{
    client_rig_open_peer(&r, kind);
    client_rig_negotiate_without(&r, 0);
    call_open(&c, spec->code);
}

static void close_all(void)
{
    call_close(&c);
    client_rig_close(&r);
}

/* It settles whether there are acknowledgements, and asks for none. */
static bool is_answered(const request_spec *spec)
{
    return spec->code != VHU_REQ_SET_PROTOCOL_FEATURES;
}

/* Change a right reply: what comes of it. Without a result the case is not one for this request. */
typedef struct wrong {
    const char *name;
    bool (*change)(const request_spec *spec, message *reply);
    int result;
    const char *error;
} wrong;

static bool any_size(const request_spec *spec)
{
    return spec->code == VHU_REQ_SET_LOG_BASE || spec->code == VHU_REQ_CREATE_CRYPTO_SESSION;
}

static bool leave(const request_spec *spec, message *reply)
{
    (void)spec;
    (void)reply;
    return true;
}

static bool shorten(const request_spec *spec, message *reply)
{
    if (reply->header.size == 0 || any_size(spec))
        return false;
    reply->header.size--;
    return true;
}

static bool cut_to_7(const request_spec *spec, message *reply)
{
    (void)spec;
    if (reply->header.size < 8 || spec->code == VHU_REQ_SET_LOG_BASE)
        return false;
    reply->header.size = 7;
    return true;
}

static bool lengthen(const request_spec *spec, message *reply)
{
    reply->header.size++;
    return !any_size(spec);
}

static bool empty(const request_spec *spec, message *reply)
{
    if (reply->header.size == 0 || spec->code == VHU_REQ_GET_CONFIG)
        return false;
    reply->header.size = 0;
    return true;
}

static bool fill_up(const request_spec *spec, message *reply)
{
    reply->header.size = VHU_MAX_PAYLOAD;
    return !any_size(spec);
}

static bool overflow(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->header.size = VHU_MAX_PAYLOAD + 1;
    return true;
}

static bool add_handle(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->num_handles++;
    return true;
}

static bool add_many(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->num_handles = 20;
    return true;
}

/* Of some it means that there is none. */
static bool drop_handle(const request_spec *spec, message *reply)
{
    if (reply->num_handles == 0 || spec->failure == SPEC_NO_HANDLE)
        return false;
    reply->num_handles = 0;
    return true;
}

static bool other_code(const request_spec *spec, message *reply)
{
    reply->header.request = spec->code == VHU_REQ_GET_FEATURES ? VHU_REQ_SET_OWNER : spec->code - 1;
    return true;
}

static bool private_code(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->header.request = 1006;
    return true;
}

static bool no_reply_bit(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->header.flags &= ~(uint32_t)VHU_FLAG_REPLY;
    return true;
}

static bool version_2(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->header.flags = 0x2 | VHU_FLAG_REPLY;
    return true;
}

static bool failure(const request_spec *spec, message *reply)
{
    return reply_build_failure(spec, reply);
}

static bool failure_with_handle(const request_spec *spec, message *reply)
{
    /* Of an in-flight area it is closed unseen: no size, no area. */
    if (!reply_build_failure(spec, reply) || spec->failure == SPEC_NO_HANDLE ||
        spec->failure == SPEC_INFLIGHT)
        return false;
    reply->num_handles = 1;
    return true;
}

/* QEMU's back-end library leaves this set in some; it is not looked at. */
static bool need_reply_left(const request_spec *spec, message *reply)
{
    (void)spec;
    reply->header.flags |= VHU_FLAG_NEED_REPLY;
    return true;
}

static const wrong wrongs[] = {
    {"right", leave, 0, NULL},
    {"need_reply left", need_reply_left, 0, NULL},
    {"failure", failure, VHU_EREFUSED, NULL},
    {"failure with a handle", failure_with_handle, VHU_EINVALID_MESSAGE, "reply to "},
    {"a byte short", shorten, VHU_EINVALID_MESSAGE, "reply to "},
    {"seven bytes", cut_to_7, VHU_EINVALID_MESSAGE, "reply to "},
    {"a byte long", lengthen, VHU_EINVALID_MESSAGE, "reply to "},
    {"empty", empty, VHU_EINVALID_MESSAGE, "reply to "},
    {"as long as can be", fill_up, VHU_EINVALID_MESSAGE, "reply to "},
    {"over the limit", overflow, VHU_EINVALID_MESSAGE, "over the limit"},
    {"a handle too many", add_handle, VHU_EINVALID_MESSAGE, "reply to "},
    {"many handles", add_many, VHU_EINVALID_MESSAGE, "reply to "},
    {"a handle missing", drop_handle, VHU_EINVALID_MESSAGE, "reply to "},
    {"another code", other_code, VHU_EINVALID_MESSAGE, "it is one to request"},
    {"a private code", private_code, VHU_EINVALID_MESSAGE, "it is one to request 1006"},
    {"not a reply", no_reply_bit, VHU_EINVALID_MESSAGE, "not a reply's"},
    {"version 2", version_2, VHU_EINVALID_MESSAGE, "protocol version 1"},
};

/* A refusal keeps the connection in step: another request gets its answer. */
static void expect_alive(void)
{
    static call other;
    static message reply;

    call_open(&other, VHU_REQ_GET_STATUS);
    reply_build(request_spec_of(other.code), &reply);
    assert_int_equal(client_rig_exchange(&r, &other, &reply), 0);
    call_expect_results(&other);
    call_close(&other);
}

static void try_wrong(const request_spec *spec, const wrong *w, int kind)
{
    int result;

    reply_build(spec, &m);
    if (!w->change(spec, &m))
        return;
    open_for(spec, kind);
    result = client_rig_exchange(&r, &c, &m);
    if (result != w->result)
        fail_msg("%s, %s: %s", spec->name, w->name, vhu_error_name(result));
    if (result == 0)
        call_expect_results(&c);
    else
        assert_int_equal(c.result, VHU_NO_HANDLE);
    if (w->error)
        client_rig_expect_closed(&r, w->error);
    else if (spec->code != VHU_REQ_SET_PROTOCOL_FEATURES)
        expect_alive();
    if (result == VHU_EREFUSED)
        assert_non_null(strstr(vhu_conn_last_error(r.conn), "refused"));
    close_all();
}

static void test_wrong_replies(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < REQUEST_SPECS; i++) {
            for (size_t w = 0; w < VHU__COUNT(wrongs); w++) {
                if (is_answered(&request_specs[i]))
                    try_wrong(&request_specs[i], &wrongs[w], kind);
            }
        }
    }
}

/* What only some requests' replies can say. */
static void test_wrong_contents(void **state)
{
    static const struct {
        uint32_t code;
        uint32_t size; /* 0: as it is */
        size_t handles;
        size_t at;
        uint64_t value; /* 8 bytes there */
        int result;
    } cases[] = {
        {VHU_REQ_GET_VRING_BASE, 0, 0, 0, 3, VHU_EINVALID_MESSAGE}, /* another ring */
        {VHU_REQ_GET_CONFIG, 12, 0, 0, 0, VHU_EREFUSED},            /* header only */
        {VHU_REQ_GET_CONFIG, 11, 0, 0, 0, VHU_EINVALID_MESSAGE},
        {VHU_REQ_GET_CONFIG, 0, 0, 0, 4, VHU_EREFUSED}, /* of no bytes, it says */
        {VHU_REQ_GET_CONFIG, 0, 0, 0, UINT64_C(8) << 32, VHU_EINVALID_MESSAGE}, /* other bytes */
        {VHU_REQ_GET_CONFIG, 0, 0, 0, 4 | UINT64_C(7) << 32, VHU_EINVALID_MESSAGE},
        {VHU_REQ_SET_DEVICE_STATE_FD, 0, 1, 0, 0x100, VHU_EINVALID_MESSAGE}, /* none, and one */
        {VHU_REQ_SET_DEVICE_STATE_FD, 0, 0, 0, 0x000, VHU_EINVALID_MESSAGE}, /* one, and none */
        {VHU_REQ_SET_DEVICE_STATE_FD, 0, 0, 0, 0x0ff, VHU_EREFUSED},
        {VHU_REQ_GET_INFLIGHT_FD, 20, 1, 0, 0, VHU_EREFUSED}, /* no size */
        {VHU_REQ_GET_INFLIGHT_FD, 22, 1, 0, 1, VHU_EINVALID_MESSAGE},
        {VHU_REQ_CREATE_CRYPTO_SESSION, 0, 0, 0, UINT64_MAX - 76, VHU_EREFUSED},
        {VHU_REQ_SET_OWNER, 0, 0, 0, UINT64_MAX, VHU_EREFUSED}, /* as an error number */
        {VHU_REQ_SET_OWNER, 0, 0, 0, UINT64_C(1) << 32, VHU_EREFUSED},
        {VHU_REQ_CHECK_DEVICE_STATE, 0, 0, 0, UINT64_C(1) << 63, VHU_EREFUSED},
        {VHU_REQ_POSTCOPY_ADVISE, 8, 1, 0, 0, VHU_EINVALID_MESSAGE},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        int result;

        open_for(request_spec_of(cases[i].code), PAIR_STREAM);
        reply_build(request_spec_of(cases[i].code), &m);
        if (cases[i].size)
            m.header.size = cases[i].size;
        m.num_handles = cases[i].handles;
        memcpy(m.payload + cases[i].at, &cases[i].value, 8);
        result = client_rig_exchange(&r, &c, &m);
        if (result != cases[i].result)
            fail_msg("case %u: %s", (unsigned)i, vhu_error_name(result));
        assert_int_equal(c.result, VHU_NO_HANDLE);
        assert_int_equal(vhu_conn_is_open(r.conn), result == VHU_EREFUSED);
        close_all();
    }
}

/* --- the peer dies --- */

static void send_part(const message *reply, size_t len)
{
    uint8_t bytes[VHU__WIRE_HEADER + sizeof(reply->payload)];
    message copy = *reply;

    message_bytes(reply, bytes);
    handles_open(copy.handles, copy.num_handles);
    peer_send(&r.peer, bytes, len, copy.handles, copy.num_handles);
    message_close_handles(&copy);
}

static void die_after(int kind, const request_spec *spec, size_t len)
{
    const size_t whole = VHU__WIRE_HEADER + m.header.size;
    message request;

    open_for(spec, kind);
    vhu_backend_client_begin(r.client);
    assert_int_equal(call_send(&c, r.client), VHU_EPENDING);
    assert_true(peer_recv(&r.peer, &request));
    message_close_handles(&request);
    send_part(&m, len);
    peer_close(&r.peer);
    assert_int_equal(client_rig_finish(&r), len == 0       ? VHU_ECLIENT_EXIT
                                            : len == whole ? 0
                                                           : VHU_EDISCONNECT);
    if (len == whole)
        call_expect_results(&c);
    else
        client_rig_expect_closed(&r, len == 0 ? "" : "in the middle of a message");
    close_all();
}

static void test_death_at_every_byte(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (!pair_has_pieces(kind))
            continue;
        for (size_t i = 0; i < REQUEST_SPECS; i++) {
            if (!is_answered(&request_specs[i]))
                continue;
            reply_build(&request_specs[i], &m);
            for (size_t len = 0; len <= VHU__WIRE_HEADER + m.header.size; len++)
                die_after(kind, &request_specs[i], len);
        }
    }
}

/* It has left already, or leaves without reading. */
static void test_death_before(void **state)
{
    (void)state;
    for (size_t i = 0; i < REQUEST_SPECS; i++) {
        int result;

        open_for(&request_specs[i], PAIR_STREAM);
        peer_close(&r.peer);
        result = call_send(&c, r.client);
        assert_int_equal(result, VHU_EDISCONNECT);
        client_rig_expect_closed(&r, "");
        close_all();
    }
}

/* What is told is the end, and not what a request before it was refused for. */
static void test_words_of_the_end(void **state)
{
    static const uint8_t refusal[20] = {
        VHU_REQ_SET_VRING_NUM, 0, 0, 0, 0x5, 0, 0, 0, 8, 0, 0, 0, 1};
    uint32_t base;

    (void)state;
    open_for(&request_specs[VHU_REQ_SET_VRING_NUM - 1], PAIR_STREAM);
    vhu_backend_client_begin(r.client);
    assert_int_equal(vhu_backend_client_set_vring_num(r.client, 0, 256), VHU_EPENDING);
    peer_send(&r.peer, refusal, sizeof(refusal), NULL, 0);
    while (vhu_backend_client_finish(r.client) == VHU_EAGAIN)
        vhu_backend_client_wait(r.client, -1);
    assert_non_null(strstr(vhu_conn_last_error(r.conn), "SET_VRING_NUM"));
    vhu_backend_client_begin(r.client);
    assert_int_equal(vhu_backend_client_get_vring_base(r.client, 0, &base), VHU_EPENDING);
    peer_close(&r.peer);
    while (vhu_backend_client_finish(r.client) == VHU_EAGAIN)
        vhu_backend_client_wait(r.client, -1);
    assert_non_null(strstr(vhu_conn_last_error(r.conn), "GET_VRING_BASE: the peer has gone"));
    close_all();
}

/* --- time --- */

static void test_silence(void **state)
{
    (void)state;
    for (size_t i = 0; i < REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i];
        size_t part = i % 3 == 0 ? 0 : VHU__WIRE_HEADER;
        message request;

        if (!is_answered(spec))
            continue;
        open_for(spec, PAIR_STREAM);
        vhu_backend_client_set_timeout(r.client, 1);
        vhu_backend_client_begin(r.client);
        assert_int_equal(call_send(&c, r.client), VHU_EPENDING);
        reply_build(spec, &m);
        send_part(&m, m.header.size && !r.peer.messages ? part : 0);
        while (vhu_backend_client_finish(r.client) == VHU_EAGAIN)
            assert_int_equal(vhu_backend_client_wait(r.client, -1), 0);
        client_rig_expect_closed(&r, "no reply in time");
        assert_non_null(strstr(vhu_conn_last_error(r.conn), spec->name));
        /* Too late. */
        assert_true(peer_recv(&r.peer, &request));
        message_close_handles(&request);
        assert_true(peer_sees_end(&r.peer));
        close_all();
    }
}

/* The same for a request that waits by itself. */
static void test_silence_blocking(void **state)
{
    uint64_t status = 7;

    (void)state;
    open_for(request_spec_of(VHU_REQ_GET_STATUS), PAIR_STREAM);
    vhu_backend_client_set_timeout(r.client, 1);
    assert_int_equal(vhu_backend_client_get_status(r.client, &status), VHU_ETIMEDOUT);
    assert_int_equal(status, 7);
    client_rig_expect_closed(&r, "GET_STATUS: no reply in time");
    close_all();
}

/* A limit is that of its request, whatever the limits of those before it. */
static void test_limit_of_each(void **state)
{
    uint64_t status[2];

    (void)state;
    open_for(request_spec_of(VHU_REQ_GET_STATUS), PAIR_STREAM);
    vhu_backend_client_begin(r.client);
    vhu_backend_client_set_timeout(r.client, -1);
    assert_int_equal(vhu_backend_client_get_status(r.client, &status[0]), VHU_EPENDING);
    assert_int_equal(vhu_backend_client_deadline_ms(r.client), -1);
    vhu_backend_client_set_timeout(r.client, 0);
    assert_int_equal(vhu_backend_client_get_status(r.client, &status[0]), VHU_EPENDING);
    assert_true(vhu_backend_client_deadline_ms(r.client) > 1);
    vhu_backend_client_set_timeout(r.client, 1);
    assert_int_equal(vhu_backend_client_set_owner(r.client), VHU_EPENDING);
    assert_in_range(vhu_backend_client_deadline_ms(r.client), 0, 1);
    while (vhu_backend_client_finish(r.client) == VHU_EAGAIN)
        assert_int_equal(vhu_backend_client_wait(r.client, -1), 0);
    client_rig_expect_closed(&r, "SET_OWNER: no reply in time");
    assert_int_equal(vhu_backend_client_deadline_ms(r.client), -1);
    close_all();
}

/* --- replies that nothing asked for --- */

static void test_unasked(void **state)
{
    (void)state;
    for (int twice = 0; twice < 2; twice++) {
        uint8_t bytes[2 * 20];
        uint64_t status;
        int result;

        open_for(request_spec_of(VHU_REQ_GET_STATUS), PAIR_STREAM);
        reply_build(request_spec_of(VHU_REQ_GET_STATUS), &m);
        message_bytes(&m, bytes);
        message_bytes(&m, bytes + 20);
        vhu_backend_client_begin(r.client);
        if (twice)
            assert_int_equal(vhu_backend_client_get_status(r.client, &status), VHU_EPENDING);
        peer_send_burst(&r.peer, bytes, twice ? 40 : 20);
        result = client_rig_finish(&r);
        /* Behind a right reply it shows at once, alone perhaps only after waiting. */
        if (result == 0 && (!twice || r.peer.messages))
            result = client_rig_finish(&r);
        assert_int_equal(result, VHU_EINVALID_MESSAGE);
        client_rig_expect_closed(&r, "nothing asked for");
        close_all();
    }
}

/* A duplicate that comes later is taken for the next reply, and is of another code, mostly. */
static void test_late_duplicate(void **state)
{
    static call other;

    (void)state;
    open_for(request_spec_of(VHU_REQ_GET_STATUS), PAIR_STREAM);
    reply_build(request_spec_of(VHU_REQ_GET_STATUS), &m);
    assert_int_equal(client_rig_exchange(&r, &c, &m), 0);
    client_rig_reply(&r, &m);
    call_open(&other, VHU_REQ_GET_QUEUE_NUM);
    assert_int_equal(client_rig_exchange(&r, &other, NULL), VHU_EINVALID_MESSAGE);
    client_rig_expect_closed(&r, "reply to GET_QUEUE_NUM: it is one to request 40");
    call_close(&other);
    close_all();
}

/* A request with no reply, before REPLY_ACK is negotiated, must not get one. */
static void test_ack_without_negotiation(void **state)
{
    (void)state;
    client_rig_open_peer(&r, PAIR_STREAM);
    call_open(&c, VHU_REQ_SET_OWNER);
    assert_int_equal(client_rig_exchange(&r, &c, NULL), 0);
    reply_build(request_spec_of(VHU_REQ_SET_OWNER), &m);
    client_rig_reply(&r, &m);
    while (vhu_backend_client_finish(r.client) == 0)
        continue;
    client_rig_expect_closed(&r, "nothing asked for");
    close_all();
}

/* All that is under way fails with the first reply that is wrong. */
static void test_poison(void **state)
{
    uint64_t status[3] = {1, 2, 3};

    (void)state;
    open_for(request_spec_of(VHU_REQ_GET_STATUS), PAIR_STREAM);
    vhu_backend_client_begin(r.client);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(vhu_backend_client_get_status(r.client, &status[i]), VHU_EPENDING);
    reply_build(request_spec_of(VHU_REQ_GET_STATUS), &m);
    client_rig_reply(&r, &m);
    m.header.size = 4;
    client_rig_reply(&r, &m);
    assert_int_equal(client_rig_finish(&r), VHU_EINVALID_MESSAGE);
    assert_int_equal(status[0], 0x1122334455667788);
    assert_int_equal(status[1], 2);
    assert_int_equal(status[2], 3);
    client_rig_expect_closed(&r, "reply to GET_STATUS");
    close_all();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_replies),
        leakcheck_test(test_wrong_contents),
        leakcheck_test(test_death_at_every_byte),
        leakcheck_test(test_death_before),
        leakcheck_test(test_words_of_the_end),
        leakcheck_test(test_silence),
        leakcheck_test(test_silence_blocking),
        leakcheck_test(test_limit_of_each),
        leakcheck_test(test_unasked),
        leakcheck_test(test_late_duplicate),
        leakcheck_test(test_ack_without_negotiation),
        leakcheck_test(test_poison),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
