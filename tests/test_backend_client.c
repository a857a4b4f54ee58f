/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request of the back-end's client: what it sends, and what comes back from our server. */
#include <string.h>

#include "support/client_rig.h"
#include "support/scripted.h"
#include "support/sys.h"
#include "util.h"

static client_rig r;
static call c;

/* --- what is sent --- */

/* What a front-end is free to send there, this one leaves zero. */
static void clear_unused(message *m)
{
    if (m->header.request == VHU_REQ_GET_VRING_BASE || m->header.request == VHU_REQ_VRING_KICK)
        memset(m->payload + 4, 0, 4);
}

static uint32_t expected_flags(const request_spec *spec, bool ack)
{
    if (spec->reply_size != SPEC_NO_REPLY || spec->code == VHU_REQ_SET_PROTOCOL_FEATURES)
        return 0x1;
    return ack || spec->code == VHU_REQ_POSTCOPY_LISTEN ? 0x9 : 0x1;
}

static void expect_message(const request_spec *spec, int kind, bool ack)
{
    static message expected;
    static message m;

    client_rig_open_peer(&r, kind);
    client_rig_negotiate_without(&r, 0);
    vhu_backend_client_set_ack(r.client, ack);
    call_open(&c, spec->code);
    vhu_backend_client_begin(r.client);
    assert_int_equal(call_send(&c, r.client), VHU_EPENDING);
    assert_true(peer_recv(&r.peer, &m));
    request_build(spec, 0, &expected);
    clear_unused(&expected);
    assert_int_equal(m.header.request, spec->code);
    assert_int_equal(m.header.flags, expected_flags(spec, ack));
    assert_int_equal(m.header.size, expected.header.size);
    assert_memory_equal(m.payload, expected.payload, m.header.size);
    assert_int_equal(m.num_handles, spec->handles);
    if (m.num_handles > 0)
        assert_true(sys_handles_same(m.handles[0], c.handle));
    message_close_handles(&m);
    call_close(&c);
    client_rig_close(&r);
}

/* Each goes out in one piece. */
static void test_messages(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (pair_has_pieces(kind))
            continue;
        for (size_t i = 0; i < 2 * REQUEST_SPECS; i++)
            expect_message(&request_specs[i / 2], kind, i % 2);
    }
}

/* Bytes that go out one by one, or not at once: the same message, its handles with the first. */
static void test_partial_sends(void **state)
{
    static const struct {
        size_t step;
        bool stalls;
    } ways[] = {{0, false}, {1, false}, {7, false}, {0, true}, {5, true}};
    static scripted s;
    static message m;

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(ways); i++) {
        vhu_backend_client *client;
        uint8_t bytes[20];
        vhu_conn *conn;

        scripted_open(&s, &conn, 0, NULL);
        assert_int_equal(vhu_backend_client_new(&client, &conn, NULL), 0);
        s.out_step = ways[i].step;
        s.out_stalls = ways[i].stalls;
        vhu_backend_client_begin(client);
        for (int n = 0; n < 3; n++) {
            call_open(&c, VHU_REQ_SET_VRING_CALL);
            assert_int_equal(call_send(&c, client), VHU_EPENDING);
            call_close(&c);
        }
        for (int n = 0; n < 100 && s.out_len < 60; n++)
            vhu_backend_client_finish(client);
        assert_int_equal(s.out_len, 60);
        assert_int_equal(s.handles_sent, 3);
        request_build(request_spec_of(VHU_REQ_SET_VRING_CALL), 0, &m);
        message_bytes(&m, bytes);
        for (size_t n = 0; n < 3; n++)
            assert_memory_equal(s.out + 20 * n, bytes, 20);
        vhu_backend_client_free(client);
    }
}

/* --- every request against our own server --- */

static void expect_number(uint64_t number)
{
    assert_int_equal(c.number, number);
}

static void expect_from_fake(void)
{
    switch (c.code) {
    case VHU_REQ_GET_FEATURES:
        expect_number(r.back.fake.features | VHU_BIT(VHU_F_PROTOCOL_FEATURES));
        break;
    case VHU_REQ_GET_PROTOCOL_FEATURES:
        assert_true(c.number & VHU_BIT(VHU_PF_REPLY_ACK));
        break;
    case VHU_REQ_GET_QUEUE_NUM:
        expect_number(7);
        break;
    case VHU_REQ_GET_MAX_MEM_SLOTS:
        expect_number(509);
        break;
    case VHU_REQ_GET_STATUS:
        expect_number(0xf);
        break;
    default:
        call_expect_results(&c);
        break;
    }
}

static void run_all(int kind, int mode, bool ack)
{
    for (size_t i = 0; i < REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i];
        unsigned before;
        int result;

        client_rig_open(&r, kind, mode, NULL);
        client_rig_negotiate_without(&r, 0);
        vhu_backend_client_set_ack(r.client, ack);
        before = r.back.fake.calls[spec->op];
        call_open(&c, spec->code);
        result = client_rig_call(&r, &c);
        if (result != 0)
            fail_msg("%s, %s: %s", spec->name, pair_kinds[kind].name, vhu_error_name(result));
        rig_serve(&r.back);
        assert_int_equal(r.back.fake.calls[spec->op], before + 1);
        assert_int_equal(r.back.fake.num_handles, spec->handles);
        if (r.back.fake.num_taken > 0)
            assert_true(sys_handles_same(r.back.fake.taken[0], c.handle));
        expect_from_fake();
        assert_true(vhu_conn_is_open(r.conn));
        call_close(&c);
        client_rig_close(&r);
    }
}

static void test_every_request(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (int mode = RIG_BEGUN; mode <= RIG_BLOCKING; mode++) {
            if (mode == RIG_BLOCKING && !pair_kinds[kind].waits)
                continue;
            run_all(kind, mode, true);
            run_all(kind, mode, false);
        }
    }
}

/* The op fails: who can say so says it, and the others close. */
static void test_every_refusal(void **state)
{
    (void)state;
    for (int ack = 0; ack < 2; ack++) {
        for (size_t i = 0; i < REQUEST_SPECS; i++) {
            const request_spec *spec = &request_specs[i];
            bool asked = expected_flags(spec, ack) == 0x9;
            int result;

            client_rig_open(&r, PAIR_STREAM, RIG_BLOCKING, NULL);
            client_rig_negotiate_without(&r, 0);
            vhu_backend_client_set_ack(r.client, ack);
            r.back.fake.result[spec->op] = VHU_EIO;
            call_open(&c, spec->code);
            result = client_rig_call(&r, &c);
            if (spec->failure == SPEC_ACK && !asked) {
                /* It was sent, and nothing more is known until the end shows. */
                assert_int_equal(result, 0);
                rig_serve(&r.back);
                vhu_backend_client_wait(r.client, 0);
                result = vhu_backend_client_finish(r.client);
            }
            if (spec->failure == SPEC_CLOSE || (spec->failure == SPEC_ACK && !asked))
                assert_int_equal(result, VHU_ECLIENT_EXIT);
            else
                assert_int_equal(result, VHU_EREFUSED);
            assert_int_equal(vhu_conn_is_open(r.conn), result == VHU_EREFUSED);
            assert_int_equal(c.result, VHU_NO_HANDLE);
            call_close(&c);
            client_rig_close(&r);
        }
    }
}

/* --- what is not sent --- */

static void test_gates(void **state)
{
    (void)state;
    for (size_t i = 0; i < REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i];
        uint64_t without = spec->protocol_gate == SPEC_NO_GATE ? 0 : VHU_BIT(spec->protocol_gate);
        bool gated = without != 0 || spec->virtio_gate != SPEC_NO_GATE;

        if (!gated)
            continue;
        client_rig_open_peer(&r, PAIR_STREAM);
        client_rig_negotiate_without(&r, without);
        if (spec->virtio_gate != SPEC_NO_GATE) {
            message m;

            vhu_backend_client_set_ack(r.client, false);
            assert_int_equal(vhu_backend_client_set_features(r.client, 0), 0);
            client_rig_expect_request(&r, VHU_REQ_SET_FEATURES, 0x1, &m);
        }
        call_open(&c, spec->code);
        assert_int_equal(call_send(&c, r.client), VHU_ENOSYS);
        assert_non_null(strstr(vhu_conn_last_error(r.conn), spec->name));
        vhu_backend_client_begin(r.client);
        assert_int_equal(call_send(&c, r.client), VHU_ENOSYS);
        assert_int_equal(vhu_backend_client_finish(r.client), 0);
        client_rig_expect_no_request(&r);
        assert_true(vhu_conn_is_open(r.conn));
        call_close(&c);
        client_rig_close(&r);
    }
}

static void test_arguments(void **state)
{
    static uint8_t big[VHU_MAX_PAYLOAD + 1];
    vhu_mem_region regions[9] = {{0, 0x1000, 0, 0}};
    vhu_handle none[9];
    vhu_handle closed;
    vhu_handle gone;
    int64_t id;
    vhu_backend_client *client;

    (void)state;
    for (size_t i = 0; i < 9; i++)
        none[i] = VHU_NO_HANDLE;
    client_rig_open_peer(&r, PAIR_STREAM);
    client_rig_negotiate_without(&r, 0);
    client = r.client;
    handles_open(&closed, 1);
    gone = closed;
    handles_close(&closed, 1);
    assert_int_equal(vhu_backend_client_set_mem_table(client, regions, 9, none), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_mem_table(client, regions, 1, none), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_add_mem_reg(client, regions, VHU_NO_HANDLE), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_log_fd(client, VHU_NO_HANDLE), VHU_EINVAL);
    assert_string_equal(vhu_conn_last_error(r.conn), "SET_LOG_FD: a handle is missing");
    assert_int_equal(vhu_backend_client_set_log_fd(client, gone), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_vring_num(client, 0, 0), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_vring_num(client, 0, 32769), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_vring_event(client, 256, VHU_VRING_CALL, VHU_NO_HANDLE),
                     VHU_EINVAL);
    assert_int_equal(
        vhu_backend_client_set_vring_event(client, 0, (vhu_vring_event)3, VHU_NO_HANDLE),
        VHU_EINVAL);
    assert_int_equal(vhu_backend_client_get_config(client, 4096, big, 1), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_get_config(client, UINT32_MAX, big, 2), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_config(client, 1, big, 4096, 0), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_create_crypto_session(client, big, sizeof(big), &id),
                     VHU_EOVERFLOW);
    assert_int_equal(vhu_backend_client_private_request(client, 1006, big, sizeof(big), NULL, 0),
                     VHU_EOVERFLOW);
    assert_int_equal(vhu_backend_client_private_request(client, 1006, NULL, 0, none, 9),
                     VHU_EOVERFLOW);
    assert_int_equal(vhu_backend_client_private_request(client, 1, NULL, 0, NULL, 0), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_mem_mapped(client), VHU_ESTATE);
    client_rig_expect_no_request(&r);
    assert_true(vhu_conn_is_open(r.conn));
    client_rig_close(&r);
}

static void test_new_refuses(void **state)
{
    vhu_backend_client_options options = {.size = 1};
    vhu_backend_client *client;
    vhu_conn *conns[2];

    (void)state;
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    assert_int_equal(vhu_backend_client_new(&client, &conns[0], &options), VHU_EINVAL);
    assert_non_null(conns[0]);
    vhu_conn_free(conns[0]);
    vhu_conn_free(conns[1]);
    vhu_backend_client_free(NULL);
}

/* --- negotiation --- */

static void test_masks(void **state)
{
    uint64_t features;

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BLOCKING, NULL);
    assert_int_equal(vhu_backend_client_get_protocol_features(r.client, &features), VHU_ENOSYS);
    assert_int_equal(vhu_backend_client_set_protocol_features(r.client, 1), VHU_ENOSYS);
    assert_int_equal(vhu_backend_client_get_features(r.client, &features), 0);
    r.back.fake.protocol_features = VHU_BIT(VHU_PF_MQ);
    assert_int_equal(vhu_backend_client_get_protocol_features(r.client, &features), 0);
    assert_int_equal(features, VHU_BIT(VHU_PF_MQ) | VHU_BIT(VHU_PF_REPLY_ACK));
    assert_int_equal(vhu_backend_client_set_protocol_features(r.client, UINT64_MAX), 0);
    assert_int_equal(vhu_backend_client_protocol_features(r.client), features);
    assert_int_equal(vhu_backend_client_set_features(r.client, UINT64_MAX), 0);
    assert_int_equal(vhu_backend_client_features(r.client), CLIENT_FEATURES | VHU_BIT(0));
    assert_int_equal(r.back.fake.value, CLIENT_FEATURES | VHU_BIT(0));
    /* What was refused is not remembered. */
    r.back.fake.result[FAKE_set_features] = VHU_EINVAL;
    assert_int_equal(vhu_backend_client_set_features(r.client, VHU_BIT(0)), VHU_EREFUSED);
    assert_int_equal(vhu_backend_client_features(r.client), CLIENT_FEATURES | VHU_BIT(0));
    client_rig_close(&r);
}

/* Without REPLY_ACK nothing is asked for, and nothing waited for. */
static void test_no_reply_ack(void **state)
{
    (void)state;
    for (size_t i = 0; i < REQUEST_SPECS; i++) {
        const request_spec *spec = &request_specs[i];
        static message m;

        if (spec->reply_size != SPEC_NO_REPLY)
            continue;
        client_rig_open_peer(&r, PAIR_STREAM);
        client_rig_negotiate_without(&r, VHU_BIT(VHU_PF_REPLY_ACK));
        call_open(&c, spec->code);
        assert_int_equal(call_send(&c, r.client), 0);
        client_rig_expect_request(&r, spec->code, 0x1, &m);
        call_close(&c);
        client_rig_close(&r);
    }
}

/* --- private requests --- */

static void test_private_requests(void **state)
{
    static const char text[] = "private";
    vhu_handle handles[8];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        int mode = pair_kinds[kind].waits ? RIG_BLOCKING : RIG_BEGUN;

        for (size_t n = 0; n <= 8; n += 8) {
            int result;

            client_rig_open(&r, kind, mode, NULL);
            client_rig_negotiate_without(&r, 0);
            handles_open(handles, n);
            for (int refuse = 0; refuse < 2; refuse++) {
                r.back.fake.result[FAKE_private_request] = refuse ? VHU_ENOSYS : 0;
                if (mode == RIG_BEGUN)
                    vhu_backend_client_begin(r.client);
                result = vhu_backend_client_private_request(r.client, 1006, text, sizeof(text),
                                                            handles, n);
                if (mode == RIG_BEGUN)
                    result = client_rig_finish(&r);
                assert_int_equal(result, refuse ? VHU_EREFUSED : 0);
                assert_int_equal(r.back.fake.value, 1006);
                assert_int_equal(r.back.fake.len, sizeof(text));
                assert_memory_equal(r.back.fake.bytes, text, sizeof(text));
                assert_int_equal(r.back.fake.num_handles, n);
            }
            handles_close(handles, n);
            client_rig_close(&r);
        }
    }
}

/* --- waiting --- */

/* Where nobody can wait the request is given up, since its results have nowhere to go. */
static void test_blocking_without_wait(void **state)
{
    uint64_t status;

    (void)state;
    client_rig_open(&r, PAIR_MEMORY_STREAM, RIG_BEGUN, NULL);
    assert_int_equal(vhu_backend_client_get_features(r.client, &status), VHU_ESTATE);
    client_rig_expect_closed(&r, "");
    client_rig_close(&r);
}

/* With nothing under way: the peer is there, and then it is not. */
static void test_idle(void **state)
{
    (void)state;
    client_rig_open_peer(&r, PAIR_STREAM);
    assert_int_equal(vhu_backend_client_finish(r.client), 0);
    assert_int_equal(vhu_backend_client_wait(r.client, 0), VHU_ETIMEDOUT);
    assert_int_equal(vhu_backend_client_deadline_ms(r.client), -1);
    peer_close(&r.peer);
    assert_int_equal(vhu_backend_client_wait(r.client, -1), 0);
    assert_int_equal(vhu_backend_client_finish(r.client), VHU_ECLIENT_EXIT);
    client_rig_expect_closed(&r, "");
    client_rig_close(&r);
}

/* Behind what somebody waits for comes one more: his is the result, with its handle, all the same.
 */
static void test_one_too_many(void **state)
{
    const request_spec *spec = request_spec_of(VHU_REQ_SET_DEVICE_STATE_FD);
    uint8_t bytes[2 * 20];
    message m;

    (void)state;
    client_rig_open_peer(&r, PAIR_STREAM);
    client_rig_negotiate_without(&r, 0);
    call_open(&c, spec->code);
    if (!r.peer.messages) {
        reply_build(spec, &m);
        memset(m.payload, 0, 8);
        m.num_handles = 1;
        message_bytes(&m, bytes);
        message_bytes(&m, bytes + 20);
        handles_open(m.handles, 1);
        peer_send(&r.peer, bytes, 12, m.handles, 1);
        message_close_handles(&m);
        peer_send(&r.peer, bytes + 12, sizeof(bytes) - 12, NULL, 0);
        assert_int_equal(call_send(&c, r.client), 0);
        assert_int_not_equal(c.result, VHU_NO_HANDLE);
        client_rig_expect_closed(&r, "nothing asked for");
    }
    call_close(&c);
    client_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_messages),
        leakcheck_test(test_partial_sends),
        leakcheck_test(test_every_request),
        leakcheck_test(test_every_refusal),
        leakcheck_test(test_gates),
        leakcheck_test(test_arguments),
        leakcheck_test(test_new_refuses),
        leakcheck_test(test_masks),
        leakcheck_test(test_no_reply_ack),
        leakcheck_test(test_private_requests),
        leakcheck_test(test_blocking_without_wait),
        leakcheck_test(test_idle),
        leakcheck_test(test_one_too_many),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
