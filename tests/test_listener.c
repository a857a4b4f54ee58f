/* SPDX-License-Identifier: BSD-3-Clause */
/* Listening and connecting, as it is on every system. */
#include <string.h>
#include <uv.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/wait.h>

#include "conn.h"
#include "support/pair.h"
#include "support/sys.h"
#include "wire.h"

static sys_address address;

static int setup(void **state)
{
    sys_address_new(&address);
    return leakcheck_setup(state);
}

static int teardown(void **state)
{
    sys_address_clear(&address);
    return leakcheck_teardown(state);
}

static vhu_listener *listen_with(const vhu_listener_options *options)
{
    vhu_listener *listener;

    assert_int_equal(vhu_listener_new(&listener, address.text, options), 0);
    return listener;
}

/* Connected, and nobody has said anything yet. */
static void connect_to(vhu_listener *listener, unsigned flags, vhu_conn *ends[2])
{
    assert_int_equal(vhu_connect(&ends[0], address.text, flags, NULL), 0);
    assert_int_equal(vhu_listener_wait(listener, -1), 0);
    assert_int_equal(vhu_listener_accept(listener, &ends[1]), 0);
}

static void free_both(vhu_conn *ends[2])
{
    vhu_conn_free(ends[0]);
    vhu_conn_free(ends[1]);
}

static void connect_once(vhu_listener *listener, unsigned flags)
{
    vhu_conn *ends[2];

    assert_int_equal(vhu_listener_accept(listener, &ends[1]), VHU_EAGAIN);
    assert_int_equal(vhu_listener_wait(listener, 0), VHU_ETIMEDOUT);
    connect_to(listener, flags, ends);
    for (int i = 0; i < 2; i++)
        assert_false(sys_handle_is_inherited(vhu_conn_wait_handle(ends[i])));
    conns_meet(ends[0], ends[1]);
    free_both(ends);
}

/* Clients come one after the other; our own user's are not turned away. */
static void test_one_by_one(void **state)
{
    const vhu_listener_options options = {.size = sizeof(options), .flags = VHU_CHECK_PEER};

    (void)state;
    for (int checked = 0; checked < 2; checked++) {
        vhu_listener *listener = listen_with(checked ? &options : NULL);

        assert_false(sys_handle_is_inherited(vhu_listener_wait_handle(listener)));
        for (int i = 0; i < 3; i++) {
            connect_once(listener, 0);
            connect_once(listener, VHU_CHECK_PEER);
        }
        vhu_listener_free(listener);
    }
    vhu_listener_free(NULL);
}

/* Many at a time, each with its own. */
static void test_many(void **state)
{
    enum { COUNT = 80 };
    vhu_listener *listener = listen_with(NULL);
    vhu_conn *ends[COUNT][2];

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        connect_to(listener, 0, ends[i]);
    for (size_t i = 0; i < COUNT; i++)
        conns_meet(ends[i][0], ends[i][1]);
    /* Whether the listener is there or not. */
    vhu_listener_free(listener);
    for (size_t i = 0; i < COUNT; i++) {
        conns_meet(ends[i][1], ends[i][0]);
        free_both(ends[i]);
    }
}

/* The same for streams by themselves. */
static void test_streams(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    vhu_stream *streams[2];
    vhu_conn *ends[2];

    (void)state;
    assert_int_equal(vhu_listener_accept_stream(listener, &streams[1]), VHU_EAGAIN);
    assert_int_equal(vhu_stream_connect(&streams[0], address.text, 0, NULL), 0);
    assert_int_equal(vhu_listener_wait(listener, -1), 0);
    assert_int_equal(vhu_listener_accept_stream(listener, &streams[1]), 0);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(vhu_conn_from_stream(&ends[i], &streams[i], NULL), 0);
    conns_meet(ends[0], ends[1]);
    free_both(ends);
    vhu_listener_free(listener);
}

static void listen_in_thread(void *arg)
{
    *(vhu_listener **)arg = listen_with(NULL);
}

/* Whoever began to listen may have ended when somebody comes. */
static void test_made_by_another_thread(void **state)
{
    vhu_listener *listener;
    uv_thread_t thread;

    (void)state;
    assert_int_equal(uv_thread_create(&thread, listen_in_thread, &listener), 0);
    assert_int_equal(uv_thread_join(&thread), 0);
    for (int i = 0; i < 8; i++) {
        vhu_conn *ends[2];
        int r;

        assert_int_equal(vhu_connect(&ends[0], address.text, 0, NULL), 0);
        do {
            assert_int_equal(vhu_listener_wait(listener, 10000), 0);
            r = vhu_listener_accept(listener, &ends[1]);
        } while (r == VHU_EAGAIN);
        assert_int_equal(r, 0);
        conns_meet(ends[0], ends[1]);
        free_both(ends);
    }
    vhu_listener_free(listener);
}

/* The wait handle is one for loops: level-triggered, and quiet while there is nobody. */
static void test_wait_handle(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    vhu_wait wait = {.handle = vhu_listener_wait_handle(listener), .events = VHU_WAIT_READ};
    vhu_conn *ends[2];

    (void)state;
    assert_int_equal(vhu_wait_any(&wait, 1, 0), VHU_ETIMEDOUT);
    assert_false(wait.ready);
    assert_int_equal(vhu_connect(&ends[0], address.text, 0, NULL), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vhu_wait_any(&wait, 1, -1), 0);
        assert_true(wait.ready);
    }
    assert_int_equal(vhu_listener_accept(listener, &ends[1]), 0);
    assert_int_equal(vhu_wait_any(&wait, 1, 0), VHU_ETIMEDOUT);
    free_both(ends);
    vhu_listener_free(listener);
}

static void test_addresses(void **state)
{
    vhu_listener_options options = {.size = sizeof(options), .flags = 0x80};
    char longest[300];
    vhu_listener *listener;
    vhu_conn *conn;

    (void)state;
    for (size_t i = 0; sys_bad_addresses[i]; i++) {
        assert_int_equal(vhu_listener_new(&listener, sys_bad_addresses[i], NULL), VHU_EINVAL);
        assert_int_equal(vhu_connect(&conn, sys_bad_addresses[i], 0, NULL), VHU_EINVAL);
    }
    memset(longest, 'a', sizeof(longest));
    memcpy(longest, address.text, strlen(address.text));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(vhu_listener_new(&listener, longest, NULL), VHU_EINVAL);
    assert_int_equal(vhu_connect(&conn, longest, 0, NULL), VHU_EINVAL);
    assert_int_equal(vhu_listener_new(&listener, address.text, &options), VHU_EINVAL);
    options = (vhu_listener_options){.size = 4};
    assert_int_equal(vhu_listener_new(&listener, address.text, &options), VHU_EINVAL);
    assert_int_equal(vhu_connect(&conn, address.text, 0x80, NULL), VHU_EINVAL);
    assert_int_equal(vhu_connect(&conn, address.text, 0, NULL), VHU_ENOENT);
}

/* An address has one listener, and is free again when that has gone. */
static void test_in_use(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    vhu_listener *other;
    vhu_conn *conn;

    (void)state;
    assert_int_equal(vhu_listener_new(&other, address.text, NULL), VHU_EADDRINUSE);
    /* The attempt may have been a connection: it is gone again. */
    while (vhu_listener_accept(listener, &conn) == 0)
        vhu_conn_free(conn);
    connect_once(listener, 0);
    vhu_listener_free(listener);
    assert_int_equal(vhu_connect(&conn, address.text, 0, NULL), VHU_ENOENT);
    listener = listen_with(NULL);
    connect_once(listener, 0);
    vhu_listener_free(listener);
}

/* A listener that accepts nobody has room for so many, and goes on when it accepts them. */
static void test_full_queue(void **state)
{
    enum { MANY = 64 };
    vhu_listener *listener = listen_with(NULL);
    vhu_conn *conns[MANY];
    vhu_conn *ends[MANY];
    size_t accepted = 0;
    size_t n = 0;
    int r = 0;

    (void)state;
    while (n < MANY && (r = vhu_connect(&conns[n], address.text, 0, NULL)) == 0)
        n++;
    assert_int_equal(r, VHU_EAGAIN);
    assert_true(n > 0);
    while (accepted < MANY && vhu_listener_accept(listener, &ends[accepted]) == 0)
        accepted++;
    assert_int_equal(accepted, n);
    for (size_t i = 0; i < n; i++) {
        conns_meet(conns[i], ends[i]);
        vhu_conn_free(conns[i]);
        vhu_conn_free(ends[i]);
    }
    connect_once(listener, 0);
    vhu_listener_free(listener);
}

/* Who was not accepted before the listener went sees the end. */
static void test_free_while_somebody_waits(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    vhu_msg_header header;
    vhu_conn *conn;
    int r;

    (void)state;
    assert_int_equal(vhu_connect(&conn, address.text, 0, NULL), 0);
    vhu_listener_free(listener);
    do {
        vhu_conn_wait(conn, -1);
        r = vhu__conn_recv_header(conn, &header);
    } while (r == VHU_EAGAIN);
    assert_true(r == VHU_ECLIENT_EXIT || r == VHU_EDISCONNECT);
    assert_false(vhu_conn_is_open(conn));
    vhu_conn_free(conn);
}

/* Who left before he was accepted leaves nothing behind; he may be accepted still. */
static void test_client_that_left(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    vhu_msg_header header;
    vhu_conn *conn;
    int r;

    (void)state;
    assert_int_equal(vhu_connect(&conn, address.text, 0, NULL), 0);
    vhu_conn_free(conn);
    r = vhu_listener_accept(listener, &conn);
    if (r == 0) {
        while ((r = vhu__conn_recv_header(conn, &header)) == VHU_EAGAIN)
            vhu_conn_wait(conn, -1);
        assert_false(vhu_conn_is_open(conn));
        vhu_conn_free(conn);
    } else {
        assert_int_equal(r, VHU_EAGAIN);
    }
    connect_once(listener, 0);
    vhu_listener_free(listener);
}

/* What is no end of a stream is no connection, and no listener either. */
static void test_wrong_handles(void **state)
{
    vhu_handle handles[] = {VHU_NO_HANDLE, sys_handle_new(), sys_odd_handle_new()};
    vhu_listener *listener;
    vhu_stream *stream;
    vhu_handle end;
    vhu_conn *conn;

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const vhu_handle before = handles[i];

        assert_int_equal(vhu_conn_adopt(&conn, &handles[i], NULL), VHU_EINVAL);
        assert_int_equal(vhu_conn_adopt_channel(&conn, &handles[i], NULL, NULL), VHU_EINVAL);
        assert_int_equal(vhu_stream_adopt(&stream, &handles[i], NULL), VHU_EINVAL);
        assert_int_equal(vhu_stream_adopt_channel(&stream, &handles[i], NULL), VHU_EINVAL);
        assert_int_equal(vhu_listener_adopt(&listener, &handles[i], NULL), VHU_EINVAL);
        assert_true(handles[i] == before);
    }
    handles_close(handles, 3);
    /* Nor is a connected one a listener. */
    assert_int_equal(vhu_stream_open_channel(&stream, &end, NULL), 0);
    assert_int_equal(vhu_listener_adopt(&listener, &end, NULL), VHU_EINVAL);
    assert_true(sys_handle_is_open(end));
    vhu_handle_close(&end);
    vhu_stream_free(stream);
}

static void count_lines(void *arg, vhu_log_level level, const char *text)
{
    (void)level;
    (void)text;
    ++*(int *)arg;
}

/* Options are copied, and each accepted connection has them. */
static void test_connection_options(void **state)
{
    enum { LONG_TIME = 1000000000 };
    static uint8_t bytes[VHU__WIRE_MESSAGE_MAX];
    int lines = 0;
    vhu_conn_options connection = {
        .size = sizeof(connection), .timeout_ms = LONG_TIME, .log = count_lines, .log_arg = &lines};
    const vhu_listener_options options = {.size = sizeof(options), .connection = &connection};
    const vhu_msg_header long_one = {1, VHU_VERSION_1, VHU_MAX_PAYLOAD};
    const vhu_msg_header bad = {1, 0, 0};
    vhu_listener *listener = listen_with(&options);
    vhu_msg_header header;
    vhu_conn *ends[2];

    (void)state;
    memset(&connection, 0xff, sizeof(connection));
    connect_to(listener, 0, ends);
    conns_meet(ends[0], ends[1]);
    /* Who does not read has that long. */
    vhu__wire_store_header(bytes, &long_one);
    while (!(vhu_conn_wait_events(ends[1]) & VHU_WAIT_WRITE))
        assert_int_equal(vhu__conn_send(ends[1], bytes, sizeof(bytes), NULL, 0), 0);
    assert_in_range(vhu_conn_deadline_ms(ends[1]), 10001, LONG_TIME);
    vhu__wire_store_header(bytes, &bad);
    assert_int_equal(vhu__conn_send(ends[0], bytes, VHU__WIRE_HEADER, NULL, 0), 0);
    while (vhu__conn_recv_header(ends[1], &header) == VHU_EAGAIN)
        vhu_conn_wait(ends[1], 1);
    assert_int_equal(lines, 1);
    free_both(ends);
    vhu_listener_free(listener);
}

#define listener_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        listener_test(test_one_by_one),
        listener_test(test_many),
        listener_test(test_streams),
        listener_test(test_made_by_another_thread),
        listener_test(test_wait_handle),
        listener_test(test_addresses),
        listener_test(test_in_use),
        listener_test(test_full_queue),
        listener_test(test_free_while_somebody_waits),
        listener_test(test_client_that_left),
        listener_test(test_wrong_handles),
        listener_test(test_connection_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
