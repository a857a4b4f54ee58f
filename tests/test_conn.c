/* SPDX-License-Identifier: BSD-3-Clause */
/* Framing, on a transport that does as it is told. */
#include <string.h>

#include "conn.h"
#include "support/scripted.h"
#include "wire.h"

static scripted script;
static message m;
static vhu_conn *conn;

static void build(uint32_t request, uint32_t size)
{
    memset(&m, 0, sizeof(m));
    m.header = (vhu_msg_header){request, VHU_VERSION_1, size};
    for (uint32_t i = 0; i < size; i++)
        m.payload[i] = (uint8_t)(request + i);
}

static void expect_message(uint32_t request, uint32_t size)
{
    vhu_msg_header header;
    const uint8_t *payload = NULL;

    build(request, size);
    assert_int_equal(vhu__conn_recv_header(conn, &header), 0);
    assert_memory_equal(&header, &m.header, sizeof(header));
    assert_int_equal(vhu__conn_recv_payload(conn, &payload), 0);
    assert_memory_equal(payload, m.payload, size);
    vhu__conn_consume(conn);
}

static int receive(void)
{
    vhu_msg_header header;
    const uint8_t *payload;
    int r = vhu__conn_recv_header(conn, &header);

    return r < 0 ? r : vhu__conn_recv_payload(conn, &payload);
}

/* Messages of all sizes, in pieces of all sizes, through a buffer that wraps many times. */
static void test_sizes_and_pieces(void **state)
{
    static const size_t steps[] = {0, 1, 2, 11, 12, 13, 4119, 4120, 4121};
    static const uint32_t sizes[] = {0, 1, 8, 4107, VHU_MAX_PAYLOAD, 100, 4000, 0, 3000};

    (void)state;
    for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++) {
        scripted_open(&script, &conn, 0, NULL);
        script.in_step = steps[s];
        for (uint32_t i = 0; i < 27; i++) {
            build(i, sizes[i % 9] / (i < 9 ? 1 : 2));
            scripted_add(&script, &m);
        }
        for (uint32_t i = 0; i < 27; i++)
            expect_message(i, sizes[i % 9] / (i < 9 ? 1 : 2));
        assert_int_equal(receive(), VHU_EAGAIN);
        script.in_end = VHU_EDISCONNECT;
        assert_int_equal(receive(), VHU_ECLIENT_EXIT);
        assert_false(vhu_conn_is_open(conn));
        assert_int_equal(receive(), VHU_EDISCONNECT);
        vhu_conn_free(conn);
        assert_int_equal(script.shutdowns, 1);
        assert_int_equal(script.closes, 1);
    }
}

static void test_end_at_every_byte(void **state)
{
    (void)state;
    build(1, 20);
    for (size_t n = 0; n < 32; n++) {
        for (size_t step = 0; step < 8; step += 7) {
            scripted_open(&script, &conn, 0, NULL);
            scripted_add(&script, &m);
            script.in_len = n;
            script.in_step = step;
            script.in_end = VHU_EDISCONNECT;
            assert_int_equal(receive(), n == 0 ? VHU_ECLIENT_EXIT : VHU_EDISCONNECT);
            assert_string_not_equal(vhu_conn_last_error(conn), n == 0 ? "x" : "");
            vhu_conn_free(conn);
        }
    }
}

static void test_limits(void **state)
{
    static const vhu_msg_header bad[] = {
        {1, 0, 0}, {1, 2, 0}, {1, 3, 0}, {1, 1, VHU_MAX_PAYLOAD + 1}, {1, 1, UINT32_MAX}};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        scripted_open(&script, &conn, 0, NULL);
        memcpy(script.in, &bad[i], sizeof(bad[i]));
        script.in_len = sizeof(bad[i]);
        assert_int_equal(receive(), VHU_EINVALID_MESSAGE);
        assert_false(vhu_conn_is_open(conn));
        assert_false(vhu_conn_pending(conn));
        assert_int_equal(vhu_conn_wait_events(conn), 0);
        assert_int_equal(vhu_conn_wait(conn, -1), VHU_EDISCONNECT);
        assert_string_not_equal(vhu_conn_last_error(conn), "");
        vhu_conn_free(conn);
    }
}

/* A transport of messages gives one at a time, as long as its header says. */
static void test_message_mode(void **state)
{
    (void)state;
    for (int difference = -12; difference <= 12; difference += 4) {
        scripted_open(&script, &conn, VHU_TRANSPORT_MESSAGES, NULL);
        build(3, 8);
        scripted_add(&script, &m);
        script.in_len = (size_t)(20 + difference);
        if (difference == 0)
            expect_message(3, 8);
        else
            assert_int_equal(receive(), VHU_EINVALID_MESSAGE);
        vhu_conn_free(conn);
    }
}

static void test_errors_of_transport(void **state)
{
    (void)state;
    scripted_open(&script, &conn, 0, NULL);
    script.in_end = VHU_EIO;
    assert_int_equal(receive(), VHU_EIO);
    assert_false(vhu_conn_is_open(conn));
    vhu_conn_free(conn);

    scripted_open(&script, &conn, 0, NULL);
    script.in_end = 0;
    assert_int_equal(receive(), VHU_ECLIENT_EXIT);
    vhu_conn_free(conn);

    build(1, 0);
    for (int error = 0; error < 2; error++) {
        uint8_t bytes[12];

        scripted_open(&script, &conn, 0, NULL);
        script.out_error = error ? VHU_EDISCONNECT : VHU_EIO;
        message_bytes(&m, bytes);
        assert_int_equal(vhu__conn_send(conn, bytes, 12, NULL, 0), script.out_error);
        assert_false(vhu_conn_is_open(conn));
        assert_int_equal(vhu__conn_send(conn, bytes, 12, NULL, 0), VHU_EDISCONNECT);
        vhu_conn_free(conn);
    }
}

/* Handles belong to the message that holds the last byte they came with. */
static void test_handles_by_position(void **state)
{
    vhu_handle out[8];

    (void)state;
    for (size_t at = 0; at < 60; at++) {
        scripted_open(&script, &conn, 0, NULL);
        build(1, 8);
        for (int i = 0; i < 3; i++)
            scripted_add(&script, &m);
        script.attached = 2;
        script.attach_at = at;
        handles_open(script.attach, 2);
        for (size_t i = 0; i < 3; i++) {
            assert_int_equal(receive(), 0);
            assert_int_equal(vhu__conn_take_handles(conn, out, 8), at / 20 == i ? 2 : 0);
            vhu__conn_consume(conn);
        }
        handles_close(out, 2);
        handles_close(script.attach, 2);
        vhu_conn_free(conn);
    }
}

/* What is queued or not taken is closed with the connection. */
static void test_handles_are_closed(void **state)
{
    vhu_handle handles[3];
    uint8_t bytes[12];

    (void)state;
    scripted_open(&script, &conn, 0, NULL);
    build(1, 0);
    scripted_add(&script, &m);
    script.attached = 8;
    handles_open(script.attach, 8);
    assert_int_equal(receive(), 0);
    script.out_room = 0;
    message_bytes(&m, bytes);
    handles_open(handles, 3);
    assert_int_equal(vhu__conn_send(conn, bytes, 12, handles, 3), 0);
    assert_int_equal(handles[0], VHU_NO_HANDLE);
    vhu_conn_free(conn);
    handles_close(script.attach, 8);

    scripted_open(&script, &conn, 0, NULL);
    vhu__conn_close(conn);
    handles_open(handles, 3);
    assert_int_equal(vhu__conn_send(conn, bytes, 12, handles, 3), VHU_EDISCONNECT);
    assert_int_equal(handles[2], VHU_NO_HANDLE);
    vhu_conn_free(conn);
}

/* Order is kept, whatever fits into one call; a message with handles goes alone. */
static void test_output(void **state)
{
    static uint8_t bytes[sizeof(m)];
    vhu_handle handle[1];

    (void)state;
    for (size_t step = 0; step < 20; step++) {
        scripted_open(&script, &conn, 0, NULL);
        script.out_step = step;
        script.out_room = 0;
        for (uint32_t i = 0; i < 6; i++) {
            size_t len;

            build(i, 8);
            len = message_bytes(&m, bytes);
            if (i % 3 == 1)
                handles_open(handle, 1);
            assert_int_equal(vhu__conn_send(conn, bytes, len, handle, i % 3 == 1), 0);
        }
        assert_int_equal(vhu__conn_flush(conn), VHU_EAGAIN);
        assert_int_equal(vhu_conn_wait_events(conn), VHU_WAIT_READ | VHU_WAIT_WRITE);
        script.out_room = SIZE_MAX;
        script.sends = 0;
        assert_int_equal(vhu__conn_flush(conn), 0);
        assert_int_equal(script.handles_sent, 2);
        assert_true(script.handles_alone);
        if (step == 0)
            assert_int_equal(script.sends, 5);
        for (uint32_t i = 0; i < 6; i++) {
            build(i, 8);
            message_bytes(&m, bytes);
            assert_memory_equal(script.out + 20 * i, bytes, 20);
        }
        assert_int_equal(script.out_len, 120);
        vhu_conn_free(conn);
    }
}

/* Who sends without reading what he is sent: the queue has an end. */
static void test_output_is_bounded(void **state)
{
    static uint8_t bytes[VHU__WIRE_MESSAGE_MAX];
    unsigned n = 0;
    int r;

    (void)state;
    scripted_open(&script, &conn, 0, NULL);
    script.out_room = 0;
    build(1, VHU_MAX_PAYLOAD);
    message_bytes(&m, bytes);
    do {
        r = vhu__conn_send(conn, bytes, sizeof(bytes), NULL, 0);
        n++;
    } while (r == 0 && n < 100);
    assert_int_equal(r, VHU_EOVERFLOW);
    assert_true(n > 1);
    assert_false(vhu_conn_is_open(conn));
    vhu_conn_free(conn);
}

/* What had been queued when the connection is freed is sent, as far as that goes. */
static void test_farewell(void **state)
{
    uint8_t bytes[12];

    (void)state;
    scripted_open(&script, &conn, 0, NULL);
    script.out_room = 0;
    build(1, 0);
    message_bytes(&m, bytes);
    assert_int_equal(vhu__conn_send(conn, bytes, 12, NULL, 0), 0);
    script.out_room = SIZE_MAX;
    vhu_conn_free(conn);
    assert_int_equal(script.out_len, 12);
}

static void count_lines(void *arg, vhu_log_level level, const char *text)
{
    assert_int_equal(level, VHU_LOG_ERROR);
    assert_null(strchr(text, '\n'));
    ++*(int *)arg;
}

static void test_log(void **state)
{
    int lines = 0;
    const vhu_conn_options options = {
        .size = sizeof(options), .log = count_lines, .log_arg = &lines};

    (void)state;
    scripted_open(&script, &conn, 0, &options);
    assert_string_equal(vhu_conn_last_error(conn), "");
    build(1, 0);
    m.header.flags = 0;
    scripted_add(&script, &m);
    assert_int_equal(receive(), VHU_EINVALID_MESSAGE);
    assert_int_equal(lines, 1);
    vhu_conn_free(conn);
}

static void test_arguments(void **state)
{
    vhu_transport transport = {.size = sizeof(transport)};
    struct {
        vhu_conn_options options;
        char newer[8];
    } newer = {.options = {.size = sizeof(newer)}};
    vhu_conn_options options = {.size = 4};
    vhu_conn *conns[2];

    (void)state;
    assert_int_equal(vhu_conn_new(&conn, &transport, NULL, NULL), VHU_EINVAL);
    transport.size = 8;
    assert_int_equal(vhu_conn_new(&conn, &transport, NULL, NULL), VHU_EINVAL);
    assert_int_equal(vhu_conn_pair(conns, &options), VHU_EINVAL);
    assert_int_equal(vhu_conn_memory_pair(conns, 0, &options), VHU_EINVAL);
    assert_int_equal(vhu_conn_memory_pair(conns, 2, NULL), VHU_EINVAL);
    /* Of a later version: what is not known here must be zero. */
    assert_int_equal(vhu_conn_pair(conns, &newer.options), 0);
    vhu_conn_free(conns[0]);
    vhu_conn_free(conns[1]);
    newer.newer[7] = 1;
    assert_int_equal(vhu_conn_pair(conns, &newer.options), VHU_EINVAL);
    vhu_conn_free(NULL);
}

/* No limit means none. */
static void test_no_deadline(void **state)
{
    const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = -1};

    (void)state;
    scripted_open(&script, &conn, 0, &options);
    build(1, 8);
    scripted_add(&script, &m);
    script.in_len = 13;
    assert_int_equal(receive(), VHU_EAGAIN);
    assert_int_equal(vhu_conn_deadline_ms(conn), -1);
    vhu_conn_free(conn);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_sizes_and_pieces),
        leakcheck_test(test_end_at_every_byte),
        leakcheck_test(test_limits),
        leakcheck_test(test_message_mode),
        leakcheck_test(test_errors_of_transport),
        leakcheck_test(test_handles_by_position),
        leakcheck_test(test_handles_are_closed),
        leakcheck_test(test_output),
        leakcheck_test(test_output_is_bounded),
        leakcheck_test(test_farewell),
        leakcheck_test(test_log),
        leakcheck_test(test_arguments),
        leakcheck_test(test_no_deadline),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
