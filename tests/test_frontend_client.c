/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's end of the back channel: what it sends, and what becomes of it. */
#include <string.h>

#include "support/fake_frontend.h"
#include "util.h"

enum { MAX_DONE = 256 };

/* What `done` was told. */
typedef struct told {
    uint32_t request;
    int status;
} told;

static struct {
    vhu_frontend_client *client;
    vhu_conn *conn; /* the client's */
    peer peer;
    vhu_frontend_server *server; /* instead of a peer */
    vhu_conn *server_conn;
    fake_frontend fake;
    told told[MAX_DONE];
    size_t num_told;
    bool keep; /* the handle that comes */
    vhu_handle kept;
    unsigned again; /* requests to send out of `done` */
} t;

static message m;

static void done(void *arg, uint32_t request, int status, vhu_handle *handle)
{
    assert_ptr_equal(arg, &t);
    t.told[t.num_told++ % MAX_DONE] = (told){request, status};
    assert_int_equal(*handle != VHU_NO_HANDLE,
                     status == 0 && request == VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP);
    if (t.keep && *handle != VHU_NO_HANDLE) {
        handles_close(&t.kept, 1);
        t.kept = *handle;
        *handle = VHU_NO_HANDLE;
    }
    if (t.again > 0) {
        t.again--;
        vhu_frontend_client_config_changed(t.client);
    }
}

static void make_client(vhu_conn *conn, int timeout_ms)
{
    const vhu_frontend_client_options options = {.size = sizeof(options),
                                                 .timeout_ms = timeout_ms,
                                                 .features = CHANNEL_FEATURES,
                                                 .protocol_features = CHANNEL_PROTOCOL,
                                                 .done = done,
                                                 .arg = &t};

    t.conn = conn;
    t.kept = VHU_NO_HANDLE;
    assert_int_equal(vhu_frontend_client_new(&t.client, &conn, &options), 0);
    assert_null(conn);
    assert_ptr_equal(vhu_frontend_client_conn(t.client), t.conn);
}

static void open_with_peer(int kind)
{
    vhu_conn *conn;

    memset(&t, 0, sizeof(t));
    pair_open(&t.peer, &conn, kind, NULL);
    make_client(conn, 0);
}

static void open_with_server(int kind)
{
    const vhu_frontend_server_options options = {.size = sizeof(options),
                                                 .features = CHANNEL_FEATURES,
                                                 .protocol_features = CHANNEL_PROTOCOL};
    vhu_conn *other;
    peer p;

    memset(&t, 0, sizeof(t));
    fake_frontend_init(&t.fake);
    pair_open(&p, &other, kind, NULL);
    t.server_conn = other;
    assert_int_equal(
        vhu_frontend_server_new(&t.server, &other, &fake_frontend_ops, &t.fake, &options), 0);
    make_client(peer_to_conn(&p), 0);
}

static void close_both(void)
{
    vhu_frontend_client_free(t.client);
    vhu_frontend_server_free(t.server);
    if (t.server)
        fake_frontend_release(&t.fake);
    peer_close(&t.peer);
    handles_close(&t.kept, 1);
}

static int send_spec(const backend_spec *spec)
{
    vhu_handle handle = VHU_NO_HANDLE;
    int r;

    handles_open(&handle, spec->handles);
    r = backend_request_send(spec, t.client, handle);
    handles_close(&handle, spec->handles);
    return r;
}

/* Both ends, until nothing is under way. */
static int finish(void)
{
    int r = VHU_EAGAIN;

    for (int i = 0; i < 1000 && r == VHU_EAGAIN; i++) {
        if (t.server) {
            vhu_conn_wait(t.server_conn, 0);
            vhu_frontend_server_serve(t.server);
        }
        vhu_conn_wait(t.conn, 0);
        r = vhu_frontend_client_finish(t.client);
    }
    return r;
}

static void expect_told(size_t i, uint32_t request, int status)
{
    assert_true(i < t.num_told);
    assert_int_equal(t.told[i].request, request);
    assert_int_equal(t.told[i].status, status);
}

/* --- what is sent --- */

static void expect_message(const backend_spec *spec, int kind, bool ack)
{
    static message expected;
    const bool answered = ack || spec->own_reply;

    open_with_peer(kind);
    vhu_frontend_client_set_ack(t.client, ack);
    assert_int_equal(send_spec(spec), 0);
    assert_true(peer_recv(&t.peer, &m));
    backend_request_build(spec, 0, &expected);
    assert_int_equal(m.header.request, spec->code);
    assert_int_equal(m.header.flags, ack && !spec->own_reply ? 0x9 : 0x1);
    assert_int_equal(m.header.size, spec->size);
    assert_memory_equal(m.payload, expected.payload, spec->size);
    assert_int_equal(m.num_handles, spec->handles);
    message_close_handles(&m);
    assert_int_equal(t.num_told, 0);
    assert_int_equal(vhu_frontend_client_finish(t.client), answered ? VHU_EAGAIN : 0);
    assert_int_equal(t.num_told, answered ? 0 : 1);
    close_both();
}

/* Each goes out in one piece. */
static void test_messages(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        if (pair_has_pieces(kind))
            continue;
        for (size_t i = 0; i < 2 * BACKEND_SPECS; i++)
            expect_message(&backend_specs[i / 2], kind, i % 2);
    }
}

static void test_gates(void **state)
{
    (void)state;
    for (size_t i = 0; i < BACKEND_SPECS; i++) {
        const backend_spec *spec = &backend_specs[i];
        uint64_t without = spec->protocol_gate == SPEC_NO_GATE ? 0 : VHU_BIT(spec->protocol_gate);

        open_with_peer(PAIR_STREAM);
        vhu_frontend_client_set_features(t.client, without ? CHANNEL_FEATURES : 0,
                                         CHANNEL_PROTOCOL & ~without);
        assert_int_equal(send_spec(spec), VHU_ENOSYS);
        vhu_frontend_client_set_features(t.client, CHANNEL_FEATURES,
                                         CHANNEL_PROTOCOL & ~VHU_BIT(VHU_PF_BACKEND_SEND_FD));
        assert_int_equal(send_spec(spec), spec->handles ? VHU_ENOSYS : 0);
        vhu_frontend_client_set_features(t.client, CHANNEL_FEATURES, CHANNEL_PROTOCOL);
        assert_int_equal(send_spec(spec), 0);
        assert_int_equal(t.num_told, 0);
        close_both();
    }
}

static void test_arguments(void **state)
{
    const vhu_shmem_request shmem = {.len = 1};
    vhu_frontend_client_options options = {.size = 1};
    vhu_frontend_client *client;
    vhu_handle none = VHU_NO_HANDLE;
    vhu_conn *conns[2];

    (void)state;
    open_with_peer(PAIR_STREAM);
    assert_int_equal(vhu_frontend_client_vring_host_notifier(t.client, 256, 1, 0, none),
                     VHU_EINVAL);
    assert_int_equal(vhu_frontend_client_shmem_map(t.client, &shmem, none), VHU_EINVAL);
    assert_int_equal(vhu_frontend_client_private_request(t.client, 10, NULL, 0, NULL, 0),
                     VHU_EINVAL);
    assert_false(peer_recv(&t.peer, &m));
    /* No notifier any more: a message without a handle. */
    assert_int_equal(vhu_frontend_client_vring_host_notifier(t.client, 255, 0, 0, none), 0);
    assert_true(peer_recv(&t.peer, &m));
    assert_int_equal(m.payload[0], 0xff);
    assert_int_equal(m.payload[1], 0x01);
    assert_int_equal(m.num_handles, 0);
    close_both();
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    assert_int_equal(vhu_frontend_client_new(&client, &conns[0], &options), VHU_EINVAL);
    assert_int_equal(vhu_frontend_client_new(&client, &conns[0], NULL), 0);
    vhu_frontend_client_free(client);
    vhu_frontend_client_free(NULL);
    vhu_conn_free(conns[1]);
}

/* --- against our own server --- */

static void test_every_request(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < BACKEND_SPECS; i++) {
            for (int refuse = 0; refuse < 2; refuse++) {
                const backend_spec *spec = &backend_specs[i];

                open_with_server(kind);
                t.fake.result = refuse ? VHU_EIO : 0;
                t.fake.take = true;
                t.keep = i % 2;
                assert_int_equal(send_spec(spec), 0);
                assert_int_equal(finish(), 0);
                fake_frontend_expect(&t.fake, spec);
                assert_int_equal(t.num_told, 1);
                expect_told(0, spec->code, refuse ? VHU_EREFUSED : 0);
                close_both();
            }
        }
    }
}

static void test_all_at_once(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (int ack = 0; ack < 2; ack++) {
            open_with_server(kind);
            vhu_frontend_client_set_ack(t.client, ack);
            for (size_t i = 0; i < 3 * BACKEND_SPECS; i++)
                assert_int_equal(send_spec(&backend_specs[i % BACKEND_SPECS]), 0);
            assert_int_equal(finish(), 0);
            assert_int_equal(t.num_told, 3 * BACKEND_SPECS);
            for (size_t i = 0; i < t.num_told; i++)
                expect_told(i, backend_specs[i % BACKEND_SPECS].code, 0);
            /* What is not answered may not have been read yet. */
            vhu_conn_wait(t.server_conn, 0);
            vhu_frontend_server_serve(t.server);
            assert_int_equal(t.fake.calls, 3 * BACKEND_SPECS);
            close_both();
        }
    }
}

static void test_not_found(void **state)
{
    (void)state;
    open_with_server(PAIR_STREAM);
    t.fake.not_found = true;
    send_spec(&backend_specs[7]);
    assert_int_equal(finish(), 0);
    expect_told(0, VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, VHU_EREFUSED);
    close_both();
}

/* `done` may ask for more. */
static void test_again(void **state)
{
    (void)state;
    for (int ack = 0; ack < 2; ack++) {
        open_with_server(PAIR_STREAM);
        vhu_frontend_client_set_ack(t.client, ack);
        t.again = 5;
        send_spec(&backend_specs[1]);
        assert_int_equal(finish(), 0);
        assert_int_equal(t.num_told, 6);
        vhu_frontend_server_serve(t.server);
        close_both();
    }
}

static void test_private(void **state)
{
    vhu_handle handles[2];

    (void)state;
    open_with_server(PAIR_STREAM);
    handles_open(handles, 2);
    assert_int_equal(vhu_frontend_client_private_request(t.client, 1234, "abc", 3, handles, 2), 0);
    handles_close(handles, 2);
    assert_int_equal(finish(), 0);
    expect_told(0, 1234, 0);
    assert_int_equal(t.fake.len, 3);
    assert_int_equal(t.fake.num_handles, 2);
    close_both();
}

static void test_max_calls(void **state)
{
    (void)state;
    for (int ack = 0; ack < 2; ack++) {
        open_with_server(PAIR_STREAM);
        vhu_frontend_client_set_ack(t.client, ack);
        for (unsigned i = 0; i < VHU_MAX_CALLS; i++)
            assert_int_equal(vhu_frontend_client_vring_call(t.client, i), 0);
        assert_int_equal(vhu_frontend_client_vring_call(t.client, 0), VHU_EOVERFLOW);
        assert_int_equal(finish(), 0);
        assert_int_equal(t.num_told, VHU_MAX_CALLS);
        assert_int_equal(vhu_frontend_client_vring_call(t.client, 0), 0);
        assert_int_equal(finish(), 0);
        close_both();
    }
}

/* --- replies as they should not be --- */

static void reply(uint32_t request, uint32_t flags, uint32_t size, uint64_t value, size_t handles)
{
    memset(&m, 0, sizeof(m));
    m.header = (vhu_msg_header){request, flags, size};
    memcpy(m.payload, &value, 8);
    m.num_handles = handles;
    handles_open(m.handles, handles);
    peer_send_message(&t.peer, &m);
    message_close_handles(&m);
}

static void test_replies(void **state)
{
    static const struct {
        uint32_t flags;
        int code; /* more than that of the request */
        uint32_t size;
        uint64_t value;
        size_t handles; /* more than the request's reply has */
        int result;
    } cases[] = {
        {0x5, 0, 8, 0, 0, 0},
        {0xd, 0, 8, 0, 0, 0},
        {0x5, 0, 8, 1, 0, VHU_EREFUSED},
        {0x5, 0, 8, UINT64_MAX, 0, VHU_EREFUSED},
        {0x5, 0, 7, 0, 0, VHU_EINVALID_MESSAGE},
        {0x5, 0, 9, 0, 0, VHU_EINVALID_MESSAGE},
        {0x5, 0, 0, 0, 0, VHU_EINVALID_MESSAGE},
        {0x5, 0, 4108, 0, 0, VHU_EINVALID_MESSAGE},
        {0x5, 0, 4109, 0, 0, VHU_EINVALID_MESSAGE},
        {0x5, 0, 8, 0, 1, VHU_EINVALID_MESSAGE},
        {0x5, 0, 8, 1, 1, VHU_EINVALID_MESSAGE},
        {0x5, 0, 8, 0, 15, VHU_EINVALID_MESSAGE},
        {0x5, 1, 8, 0, 0, VHU_EINVALID_MESSAGE},
        {0x1, 0, 8, 0, 0, VHU_EINVALID_MESSAGE},
        {0x6, 0, 8, 0, 0, VHU_EINVALID_MESSAGE},
    };

    (void)state;
    for (size_t i = 0; i < BACKEND_SPECS; i++) {
        for (size_t k = 0; k < VHU__COUNT(cases); k++) {
            const backend_spec *spec = &backend_specs[i];
            bool fatal = cases[k].result == VHU_EINVALID_MESSAGE;
            size_t own = spec->own_reply && cases[k].value == 0 ? 1 : 0;

            open_with_peer(PAIR_STREAM);
            assert_int_equal(send_spec(spec), 0);
            assert_int_equal(vhu_frontend_client_finish(t.client), VHU_EAGAIN);
            reply(spec->code + (uint32_t)cases[k].code, cases[k].flags, cases[k].size,
                  cases[k].value, own + cases[k].handles);
            assert_int_equal(finish(), fatal ? cases[k].result : 0);
            assert_int_equal(t.num_told, 1);
            expect_told(0, spec->code, cases[k].result);
            assert_int_equal(vhu_conn_is_open(t.conn), !fatal);
            if (fatal) {
                assert_string_not_equal(vhu_conn_last_error(t.conn), "");
                assert_int_equal(send_spec(spec), VHU_EDISCONNECT);
                assert_int_equal(vhu_frontend_client_finish(t.client), VHU_EDISCONNECT);
            }
            close_both();
        }
    }
}

static void test_unasked(void **state)
{
    (void)state;
    open_with_peer(PAIR_STREAM);
    assert_int_equal(vhu_frontend_client_finish(t.client), 0);
    reply(VHU_BACKEND_REQ_VRING_CALL, 0x5, 8, 0, 1);
    assert_int_equal(vhu_conn_wait(t.conn, -1), 0);
    assert_int_equal(vhu_frontend_client_finish(t.client), VHU_EINVALID_MESSAGE);
    assert_false(vhu_conn_is_open(t.conn));
    close_both();
}

static void die_after(int kind, size_t part)
{
    const uint8_t bytes[20] = {VHU_BACKEND_REQ_VRING_CALL, 0, 0, 0, 5, 0, 0, 0, 8};
    int expected = part == 0 ? VHU_ECLIENT_EXIT : VHU_EDISCONNECT;

    open_with_peer(kind);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(vhu_frontend_client_vring_call(t.client, i), 0);
    /* Left unread they would make the end a reset. */
    for (unsigned i = 0; i < 3; i++)
        assert_true(peer_recv(&t.peer, &m));
    peer_send(&t.peer, bytes, 20, NULL, 0);
    peer_send(&t.peer, bytes, part, NULL, 0);
    peer_close(&t.peer);
    assert_int_equal(finish(), expected);
    assert_int_equal(t.num_told, 3);
    expect_told(0, VHU_BACKEND_REQ_VRING_CALL, 0);
    expect_told(1, VHU_BACKEND_REQ_VRING_CALL, expected);
    expect_told(2, VHU_BACKEND_REQ_VRING_CALL, expected);
    assert_int_equal(vhu_frontend_client_finish(t.client), VHU_EDISCONNECT);
    close_both();
}

/* It dies with some under way: all of them are told, in order. */
static void test_death(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        const size_t parts = pair_has_pieces(kind) ? 20 : 1;

        for (size_t part = 0; part < parts; part++)
            die_after(kind, part);
    }
}

static void test_idle_death(void **state)
{
    (void)state;
    open_with_peer(PAIR_STREAM);
    peer_close(&t.peer);
    assert_int_equal(vhu_frontend_client_finish(t.client), VHU_ECLIENT_EXIT);
    assert_int_equal(t.num_told, 0);
    close_both();
}

static void test_silence(void **state)
{
    vhu_conn *conn;
    int r;

    (void)state;
    memset(&t, 0, sizeof(t));
    pair_open(&t.peer, &conn, PAIR_STREAM, NULL);
    make_client(conn, 1);
    assert_int_equal(vhu_frontend_client_deadline_ms(t.client), -1);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(send_spec(&backend_specs[7]), 0);
    assert_in_range(vhu_frontend_client_deadline_ms(t.client), 0, 1);
    while ((r = vhu_frontend_client_finish(t.client)) == VHU_EAGAIN)
        vhu_conn_wait(t.conn, vhu_frontend_client_deadline_ms(t.client));
    assert_int_equal(r, VHU_ETIMEDOUT);
    assert_int_equal(t.num_told, 2);
    expect_told(1, VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, VHU_ETIMEDOUT);
    assert_non_null(strstr(vhu_conn_last_error(t.conn), "SHARED_OBJECT_LOOKUP"));
    close_both();
}

/* A front-end that does not read: nothing blocks, and what does not fit is refused. */
static void test_full(void **state)
{
    unsigned accepted = 0;
    int r;

    (void)state;
    open_with_server(PAIR_STREAM);
    vhu_frontend_client_set_ack(t.client, false);
    do {
        r = vhu_frontend_client_vring_call(t.client, 0);
        accepted += r == 0;
        vhu_frontend_client_finish(t.client);
    } while (r == 0);
    assert_int_equal(r, VHU_EOVERFLOW);
    assert_true(vhu_conn_is_open(t.conn));
    assert_true(t.num_told < accepted);
    assert_int_equal(finish(), 0);
    assert_int_equal(t.num_told, accepted);
    while (vhu_conn_wait(t.server_conn, 0) == 0)
        vhu_frontend_server_serve(t.server);
    assert_int_equal(t.fake.calls, accepted);
    close_both();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_messages),    leakcheck_test(test_gates),
        leakcheck_test(test_arguments),   leakcheck_test(test_every_request),
        leakcheck_test(test_all_at_once), leakcheck_test(test_not_found),
        leakcheck_test(test_again),       leakcheck_test(test_private),
        leakcheck_test(test_max_calls),   leakcheck_test(test_replies),
        leakcheck_test(test_unasked),     leakcheck_test(test_death),
        leakcheck_test(test_idle_death),  leakcheck_test(test_silence),
        leakcheck_test(test_full),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
