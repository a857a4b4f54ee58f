/* SPDX-License-Identifier: BSD-3-Clause */
/* Many requests under way at once, and more than fit. */
#include <string.h>

#include "conn.h"
#include "support/client_rig.h"
#include "support/fake_frontend.h"
#include "support/sys.h"
#include "util.h"

static client_rig r;

/* All requests, so ordered that none takes from another what it needs. */
static const uint32_t *order(void)
{
    static const uint32_t last[] = {VHU_REQ_POSTCOPY_LISTEN, VHU_REQ_POSTCOPY_END,
                                    VHU_REQ_SET_FEATURES, VHU_REQ_SET_PROTOCOL_FEATURES};
    static uint32_t codes[REQUEST_SPECS];
    size_t n = 0;

    for (uint32_t code = 1; code <= REQUEST_SPECS; code++) {
        bool late = false;

        for (size_t i = 0; i < VHU__COUNT(last); i++)
            late = late || code == last[i];
        if (!late)
            codes[n++] = code;
    }
    memcpy(codes + n, last, sizeof(last));
    return codes;
}

static void test_all_at_once(void **state)
{
    static call calls[REQUEST_SPECS];

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (int ack = 0; ack < 2; ack++) {
            client_rig_open(&r, kind, RIG_BEGUN, NULL);
            client_rig_negotiate_without(&r, 0);
            vhu_backend_client_set_ack(r.client, ack);
            vhu_backend_client_begin(r.client);
            for (size_t i = 0; i < REQUEST_SPECS; i++) {
                call_open(&calls[i], order()[i]);
                assert_int_equal(call_send(&calls[i], r.client), VHU_EPENDING);
            }
            assert_int_equal(client_rig_finish(&r), 0);
            for (size_t i = 0; i < REQUEST_SPECS; i++) {
                assert_true(r.back.fake.calls[request_spec_of(order()[i])->op] > 0);
                if (calls[i].code == VHU_REQ_GET_STATUS)
                    assert_int_equal(calls[i].number, 0xf);
                assert_int_equal(calls[i].result != VHU_NO_HANDLE,
                                 request_spec_of(calls[i].code)->reply_handles > 0);
                call_close(&calls[i]);
            }
            assert_int_equal(vhu_backend_client_finish(r.client), 0);
            client_rig_close(&r);
        }
    }
}

/* The first failure is told; what comes after it is done all the same. */
static void test_one_fails(void **state)
{
    uint64_t slots = 0;
    uint32_t base = 0;

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
    client_rig_negotiate_without(&r, 0);
    r.back.fake.result[FAKE_set_owner] = VHU_EIO;
    r.back.fake.result[FAKE_get_config] = VHU_EIO;
    for (int again = 0; again < 2; again++) {
        uint8_t config[4];

        vhu_backend_client_begin(r.client);
        vhu_backend_client_get_max_mem_slots(r.client, &slots);
        assert_int_equal(vhu_backend_client_set_owner(r.client), VHU_EPENDING);
        assert_int_equal(vhu_backend_client_get_config(r.client, 0, config, 4), VHU_EPENDING);
        assert_int_equal(vhu_backend_client_get_vring_base(r.client, 1, &base), VHU_EPENDING);
        assert_int_equal(client_rig_finish(&r), VHU_EREFUSED);
        assert_int_equal(slots, 509);
        assert_int_equal(base, 0x1234);
        assert_int_equal(vhu_backend_client_finish(r.client), 0);
    }
    client_rig_close(&r);
}

static void test_max_calls(void **state)
{
    (void)state;
    for (int ack = 0; ack < 2; ack++) {
        client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
        client_rig_negotiate_without(&r, 0);
        vhu_backend_client_set_ack(r.client, ack);
        for (unsigned round = 1; round <= 3; round++) {
            vhu_backend_client_begin(r.client);
            for (unsigned i = 0; i < VHU_MAX_CALLS; i++)
                assert_int_equal(vhu_backend_client_set_vring_num(r.client, i, 256), VHU_EPENDING);
            assert_int_equal(vhu_backend_client_set_vring_num(r.client, 0, 256), VHU_EOVERFLOW);
            assert_int_equal(client_rig_finish(&r), 0);
            assert_int_equal(r.back.fake.calls[FAKE_set_vring_num], round * VHU_MAX_CALLS);
        }
        client_rig_close(&r);
    }
}

/*
 * A back-end that reads nothing: what does not fit is refused, and nothing of what was accepted is
 * lost. Replies are as long as the requests, so that both directions fill up.
 */
static void test_full(void **state)
{
    static uint8_t configs[VHU_MAX_CALLS][VHU_MAX_CONFIG];

    (void)state;
    for (int i = 0; i < 2 * pair_num_kinds(); i++) {
        unsigned accepted = 0;
        int kind = i % pair_num_kinds();
        int result;

        client_rig_open(&r, kind, RIG_BEGUN, NULL);
        if (i >= pair_num_kinds() && pair_kinds[kind].waits) {
            sys_stream_make_small(vhu_conn_wait_handle(r.conn));
            sys_stream_make_small(vhu_conn_wait_handle(r.back.conn));
        }
        client_rig_negotiate_without(&r, 0);
        r.back.fake.calls[FAKE_get_config] = 0;
        vhu_backend_client_begin(r.client);
        do {
            result = vhu_backend_client_get_config(r.client, 0, configs[accepted % VHU_MAX_CALLS],
                                                   VHU_MAX_CONFIG);
            accepted += result == VHU_EPENDING;
        } while (result == VHU_EPENDING);
        assert_int_equal(result, VHU_EOVERFLOW);
        assert_in_range(accepted, 3, VHU_MAX_CALLS);
        assert_true(vhu_conn_is_open(r.conn));
        assert_int_equal(client_rig_finish(&r), 0);
        assert_int_equal(r.back.fake.calls[FAKE_get_config], accepted);
        assert_int_equal(configs[accepted - 1][255], 255);
        client_rig_close(&r);
    }
}

/*
 * Requests that are answered at length, and behind them long ones: the back-end stops reading
 * before it has taken the latter, and goes on only because its answers are received meanwhile.
 */
static void test_full_both_ways(void **state)
{
    static uint8_t config[VHU_MAX_CONFIG];
    static vhu_shmem_config shmem;
    unsigned accepted = 0;
    unsigned room = VHU_MAX_CALLS - 50;

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
    client_rig_negotiate_without(&r, 0);
    sys_stream_make_small(vhu_conn_wait_handle(r.back.conn));
    if (sys_stream_make_small(vhu_conn_wait_handle(r.conn)))
        room--;
    vhu_backend_client_begin(r.client);
    for (int i = 0; i < 50; i++)
        assert_int_equal(vhu_backend_client_get_shmem_config(r.client, &shmem), VHU_EPENDING);
    while (vhu__conn_flush(r.conn) == VHU_EAGAIN)
        rig_serve(&r.back);
    rig_serve(&r.back);
    assert_true(r.back.fake.calls[FAKE_get_shmem_config] < 50);
    while (vhu_backend_client_get_config(r.client, 0, config, sizeof(config)) == VHU_EPENDING)
        accepted++;
    assert_in_range(accepted, 2, room);
    assert_int_equal(client_rig_finish(&r), 0);
    assert_int_equal(r.back.fake.calls[FAKE_get_shmem_config], 50);
    assert_int_equal(r.back.fake.calls[FAKE_get_config], accepted);
    client_rig_close(&r);
}

/* A request that waits by itself, and for nothing but to be sent, waits for that. */
static void test_full_blocking(void **state)
{
    static const uint8_t config[VHU_MAX_CONFIG];

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BLOCKING, NULL);
    client_rig_negotiate_without(&r, 0);
    vhu_backend_client_set_ack(r.client, false);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(vhu_backend_client_set_config(r.client, 0, config, sizeof(config), 0), 0);
    rig_serve(&r.back);
    assert_int_equal(r.back.fake.calls[FAKE_set_config], 1000);
    client_rig_close(&r);
}

/* Handles of requests that wait to be sent are the connection's own by then. */
static void test_full_of_handles(void **state)
{
    static const uint8_t config[4000];
    vhu_handle handle;
    unsigned accepted = 0;
    int result;

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
    client_rig_negotiate_without(&r, 0);
    r.back.fake.take = false;
    vhu_backend_client_set_ack(r.client, false);
    vhu_backend_client_begin(r.client);
    do {
        result = vhu_backend_client_set_config(r.client, 0, config, sizeof(config), 0);
        /* What was sent is done. */
        vhu_backend_client_finish(r.client);
        vhu_backend_client_begin(r.client);
    } while (result == VHU_EPENDING);
    assert_int_equal(result, VHU_EOVERFLOW);
    do {
        handles_open(&handle, 1);
        result = vhu_backend_client_set_vring_event(r.client, 1, VHU_VRING_ERR, handle);
        handles_close(&handle, 1);
        accepted += result == VHU_EPENDING;
    } while (result == VHU_EPENDING);
    assert_int_equal(result, VHU_EOVERFLOW);
    assert_in_range(accepted, 1, VHU_MAX_CALLS);
    assert_int_equal(client_rig_finish(&r), 0);
    rig_serve(&r.back);
    assert_int_equal(r.back.fake.calls[FAKE_set_vring_event], accepted);
    client_rig_close(&r);
}

/* The front-end gives up while much is under way. */
static void test_free_under_way(void **state)
{
    static call calls[REQUEST_SPECS];

    (void)state;
    for (int served = 0; served < 2; served++) {
        client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
        client_rig_negotiate_without(&r, 0);
        vhu_backend_client_begin(r.client);
        for (size_t i = 0; i < REQUEST_SPECS; i++) {
            call_open(&calls[i], order()[i]);
            assert_int_equal(call_send(&calls[i], r.client), VHU_EPENDING);
        }
        if (served)
            rig_serve(&r.back);
        for (size_t i = 0; i < REQUEST_SPECS; i++)
            call_close(&calls[i]);
        client_rig_close(&r);
    }
}

static void tell(void *arg)
{
    int *result = arg;

    *result = vhu_backend_client_set_vring_num(r.client, 0, 256);
}

/* What an op of the channel tells is not kept until what its caller has begun is answered. */
static void test_told_in_between(void **state)
{
    const vhu_frontend_server_options options = {.size = sizeof(options),
                                                 .protocol_features = VHU_BIT(VHU_PF_CONFIG)};
    const vhu_msg_header change = {VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_VERSION_1, 0};
    int result = VHU_EPENDING;
    fake_frontend fake;
    vhu_frontend_server *server;
    uint64_t status;
    vhu_conn *conn;
    peer channel;

    (void)state;
    client_rig_open_peer(&r, PAIR_STREAM);
    client_rig_negotiate_without(&r, VHU_BIT(VHU_PF_REPLY_ACK));
    fake_frontend_init(&fake);
    fake.within = tell;
    fake.within_arg = &result;
    pair_open(&channel, &conn, PAIR_STREAM, NULL);
    assert_int_equal(vhu_frontend_server_new(&server, &conn, &fake_frontend_ops, &fake, &options),
                     0);
    vhu_backend_client_attach(r.client, server);
    vhu_backend_client_begin(r.client);
    assert_int_equal(vhu_backend_client_get_status(r.client, &status), VHU_EPENDING);
    /* If it were, then no longer than this. */
    vhu_backend_client_set_timeout(r.client, 1);
    peer_send(&channel, &change, sizeof(change), NULL, 0);
    while (fake.calls == 0)
        assert_int_equal(vhu_backend_client_wait(r.client, -1), 0);
    assert_int_equal(result, 0);
    assert_int_equal(vhu_backend_client_finish(r.client), VHU_EAGAIN);
    vhu_frontend_server_free(server);
    fake_frontend_release(&fake);
    peer_close(&channel);
    client_rig_close(&r);
}

/* --- what the client remembers --- */

/* Features count when they are acknowledged or, without that, when they are sent. */
static void test_features_refused(void **state)
{
    const uint64_t fewer = VHU_BIT(VHU_F_PROTOCOL_FEATURES);

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
    client_rig_negotiate_without(&r, 0);
    for (int ack = 0; ack < 2; ack++) {
        vhu_backend_client_set_ack(r.client, ack);
        vhu_backend_client_begin(r.client);
        assert_int_equal(vhu_backend_client_set_features(r.client, fewer), VHU_EPENDING);
        assert_int_equal(vhu_backend_client_features(r.client), CLIENT_FEATURES);
        assert_int_equal(client_rig_finish(&r), 0);
        assert_int_equal(vhu_backend_client_features(r.client), fewer);
        vhu_backend_client_begin(r.client);
        vhu_backend_client_set_features(r.client, CLIENT_FEATURES);
        assert_int_equal(client_rig_finish(&r), 0);
    }
    r.back.fake.result[FAKE_set_features] = VHU_EINVAL;
    vhu_backend_client_begin(r.client);
    assert_int_equal(vhu_backend_client_set_features(r.client, fewer), VHU_EPENDING);
    assert_int_equal(client_rig_finish(&r), VHU_EREFUSED);
    assert_int_equal(vhu_backend_client_features(r.client), CLIENT_FEATURES);
    client_rig_close(&r);
}

static int begin_and_finish(int (*request)(vhu_backend_client *client))
{
    vhu_backend_client_begin(r.client);
    assert_int_equal(request(r.client), VHU_EPENDING);
    return client_rig_finish(&r);
}

static void add_memory(int expected)
{
    call memory;

    call_open(&memory, VHU_REQ_ADD_MEM_REG);
    assert_int_equal(client_rig_call(&r, &memory), expected);
    call_close(&memory);
}

/* Whether memory is answered with addresses goes by what the back-end has agreed to. */
static void test_postcopy_refused(void **state)
{
    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
    client_rig_negotiate_without(&r, 0);
    assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
    r.back.fake.result[FAKE_postcopy_listen] = VHU_EIO;
    assert_int_equal(begin_and_finish(vhu_backend_client_postcopy_listen), VHU_EREFUSED);
    add_memory(0);
    assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
    r.back.fake.result[FAKE_postcopy_listen] = 0;
    assert_int_equal(begin_and_finish(vhu_backend_client_postcopy_listen), 0);
    add_memory(0);
    r.back.fake.result[FAKE_postcopy_end] = VHU_EIO;
    assert_int_equal(begin_and_finish(vhu_backend_client_postcopy_end), VHU_EREFUSED);
    assert_int_equal(begin_and_finish(vhu_backend_client_mem_mapped), 0);
    assert_int_equal(r.back.fake.calls[FAKE_postcopy_mapped], 1);
    add_memory(0);
    r.back.fake.result[FAKE_postcopy_end] = 0;
    assert_int_equal(begin_and_finish(vhu_backend_client_postcopy_end), 0);
    assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
    add_memory(0);
    client_rig_close(&r);
}

/* While that is not known the answer to a memory request cannot be told, and the end of one. */
static void test_postcopy_under_way(void **state)
{
    static int (*const turns[])(vhu_backend_client *) = {vhu_backend_client_postcopy_listen,
                                                         vhu_backend_client_postcopy_end};
    call memory;

    (void)state;
    client_rig_open(&r, PAIR_STREAM, RIG_BEGUN, NULL);
    client_rig_negotiate_without(&r, 0);
    for (size_t i = 0; i < VHU__COUNT(turns); i++) {
        call_open(&memory, VHU_REQ_SET_MEM_TABLE);
        vhu_backend_client_begin(r.client);
        assert_int_equal(turns[i](r.client), VHU_EPENDING);
        assert_int_equal(call_send(&memory, r.client), VHU_ESTATE);
        assert_int_equal(client_rig_finish(&r), 0);
        vhu_backend_client_begin(r.client);
        assert_int_equal(call_send(&memory, r.client), VHU_EPENDING);
        assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
        assert_int_equal(client_rig_finish(&r), 0);
        call_close(&memory);
    }
    client_rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_all_at_once),      leakcheck_test(test_one_fails),
        leakcheck_test(test_max_calls),        leakcheck_test(test_full),
        leakcheck_test(test_full_both_ways),   leakcheck_test(test_full_blocking),
        leakcheck_test(test_full_of_handles),  leakcheck_test(test_free_under_way),
        leakcheck_test(test_told_in_between),  leakcheck_test(test_features_refused),
        leakcheck_test(test_postcopy_refused), leakcheck_test(test_postcopy_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
