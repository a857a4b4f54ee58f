/* SPDX-License-Identifier: BSD-3-Clause */
/* Streams by themselves, channels beside them, and connections made of either. */
#include <string.h>
#include <vmm_vhost/stream.h>
#include <vmm_vhost/wait.h>

#include "conn.h"
#include "handles.h"
#include "support/pair.h"
#include "support/sys.h"
#include "wire.h"

enum { SIZE = VHU__WIRE_HEADER + 8 };

static const vhu_msg_header header = {VHU_REQ_SET_VRING_CALL, VHU_VERSION_1, 8};

/* --- what a transport does --- */

static int send_some(vhu_stream *stream, const vhu_handle *handles, size_t n)
{
    uint8_t bytes[SIZE] = {0};

    vhu__wire_store_header(bytes, &header);
    return vhu_stream_transport(stream)->send(stream, bytes, sizeof(bytes), handles, n);
}

static int recv_some(vhu_stream *stream, vhu_handle *handles, size_t *n)
{
    uint8_t bytes[VHU__WIRE_MESSAGE_MAX] = {0};
    vhu_msg_header got;
    int r = vhu_stream_transport(stream)->recv(stream, bytes, sizeof(bytes), handles, n);

    if (r > 0) {
        vhu__wire_load_header(&got, bytes);
        assert_memory_equal(&got, &header, sizeof(header));
    }
    return r;
}

static int recv_none(vhu_stream *stream)
{
    vhu_handle handles[VHU__HANDLES_PER_RECV];
    size_t n = VHU__HANDLES_PER_RECV;
    int r = recv_some(stream, handles, &n);

    if (r > 0)
        assert_int_equal(n, 0);
    return r;
}

static int wait_for(vhu_stream *stream, unsigned events, int timeout_ms)
{
    return vhu_stream_transport(stream)->wait(stream, events, timeout_ms);
}

/* A message each way, with and without handles. */
static void expect_connected(vhu_stream *a, vhu_stream *b)
{
    vhu_stream *const ends[2] = {a, b};
    vhu_handle handles[VHU_MAX_HANDLES];

    handles_open(handles, VHU_MAX_HANDLES);
    for (size_t i = 0; i < 4; i++) {
        const size_t count = i / 2 * VHU_MAX_HANDLES;
        vhu_handle got[VHU__HANDLES_PER_RECV];
        size_t n = VHU__HANDLES_PER_RECV;

        assert_int_equal(send_some(ends[i % 2], handles, count), SIZE);
        assert_int_equal(recv_some(ends[!(i % 2)], got, &n), SIZE);
        assert_int_equal(n, count);
        for (size_t k = 0; k < n; k++) {
            assert_true(sys_handles_same(got[k], handles[k]));
            assert_false(sys_handle_is_inherited(got[k]));
        }
        handles_close(got, n);
        assert_int_equal(recv_none(ends[!(i % 2)]), VHU_EAGAIN);
    }
    handles_close(handles, VHU_MAX_HANDLES);
}

static void open_pair(vhu_stream *ends[2])
{
    assert_int_equal(vhu_stream_pair(ends), 0);
}

static void free_pair(vhu_stream *ends[2])
{
    vhu_stream_free(ends[0]);
    vhu_stream_free(ends[1]);
}

static void test_pair(void **state)
{
    vhu_stream *ends[2];

    (void)state;
    open_pair(ends);
    expect_connected(ends[0], ends[1]);
    expect_connected(ends[1], ends[0]);
    free_pair(ends);
    vhu_stream_free(NULL);
}

/* The other end sees it, behind what was sent before; and what nobody has read goes with it. */
static void test_end(void **state)
{
    vhu_handle handle[1];

    (void)state;
    handles_open(handle, 1);
    for (int shut = 0; shut < 2; shut++) {
        vhu_stream *ends[2];

        open_pair(ends);
        assert_int_equal(send_some(ends[0], NULL, 0), SIZE);
        if (shut)
            vhu_stream_transport(ends[0])->shutdown(ends[0]);
        else
            vhu_stream_transport(ends[0])->close(ends[0]);
        assert_int_equal(wait_for(ends[1], VHU_WAIT_READ, -1), 0);
        assert_int_equal(recv_none(ends[1]), SIZE);
        assert_int_equal(wait_for(ends[1], VHU_WAIT_READ, -1), 0);
        assert_int_equal(recv_none(ends[1]), VHU_EDISCONNECT);
        assert_int_equal(send_some(ends[1], handle, 1), VHU_EDISCONNECT);
        if (shut) {
            const vhu_handle wait = vhu_stream_transport(ends[0])->wait_handle(ends[0]);

            assert_true(sys_handle_is_open(wait));
            vhu_stream_free(ends[0]);
        }
        vhu_stream_free(ends[1]);
    }
    handles_close(handle, 1);
}

static void test_unread(void **state)
{
    vhu_stream *ends[2];
    vhu_handle handles[2];

    (void)state;
    open_pair(ends);
    handles_open(handles, 2);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_some(ends[i % 2], handles, 2), SIZE);
    handles_close(handles, 2);
    free_pair(ends);
}

/* Who has gone can be told nothing any more; what he said last is heard, or goes with the end. */
static void test_last_words(void **state)
{
    vhu_handle handle[1];

    (void)state;
    handles_open(handle, 1);
    for (int heard = 0; heard < 2; heard++) {
        vhu_stream *ends[2];
        vhu_handle got[VHU__HANDLES_PER_RECV];
        size_t n = VHU__HANDLES_PER_RECV;

        open_pair(ends);
        assert_int_equal(send_some(ends[0], handle, 1), SIZE);
        vhu_stream_free(ends[0]);
        assert_int_equal(send_some(ends[1], NULL, 0), VHU_EDISCONNECT);
        if (heard) {
            assert_int_equal(recv_some(ends[1], got, &n), SIZE);
            assert_int_equal(n, 1);
            handles_close(got, n);
            assert_int_equal(recv_none(ends[1]), VHU_EDISCONNECT);
        }
        vhu_stream_free(ends[1]);
    }
    handles_close(handle, 1);
}

/* --- waiting --- */

static int wait_by_handle(vhu_stream *stream, unsigned events, int timeout_ms)
{
    const vhu_transport *transport = vhu_stream_transport(stream);
    vhu_wait waits[] = {{.handle = VHU_NO_HANDLE, .events = VHU_WAIT_READ},
                        {.handle = transport->wait_handle(stream), .events = events}};
    int r;

    if (transport->arm)
        transport->arm(stream, events);
    r = vhu_wait_any(waits, 2, timeout_ms);
    assert_false(waits[0].ready);
    assert_int_equal(waits[1].ready, r == 0);
    return r;
}

/* By the transport's own function, and by its handle: the same, each time anew. */
static void test_waiting(void **state)
{
    static int (*const waits[])(vhu_stream *, unsigned, int) = {wait_for, wait_by_handle};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        vhu_stream *ends[2];
        int r;

        open_pair(ends);
        assert_int_equal(waits[i](ends[1], VHU_WAIT_READ, 0), VHU_ETIMEDOUT);
        assert_int_equal(waits[i](ends[1], VHU_WAIT_READ, 1), VHU_ETIMEDOUT);
        assert_int_equal(waits[i](ends[1], VHU_WAIT_WRITE, 0), 0);
        assert_int_equal(waits[i](ends[1], VHU_WAIT_READ | VHU_WAIT_WRITE, 0), 0);
        assert_int_equal(send_some(ends[0], NULL, 0), SIZE);
        for (int again = 0; again < 2; again++)
            assert_int_equal(waits[i](ends[1], VHU_WAIT_READ, -1), 0);
        assert_int_equal(recv_none(ends[1]), SIZE);
        assert_int_equal(waits[i](ends[1], VHU_WAIT_READ, 0), VHU_ETIMEDOUT);
        /* No more room, until the other end reads. */
        do
            r = send_some(ends[0], NULL, 0);
        while (r > 0);
        assert_int_equal(r, VHU_EAGAIN);
        assert_int_equal(waits[i](ends[0], VHU_WAIT_WRITE, 0), VHU_ETIMEDOUT);
        assert_int_equal(waits[i](ends[0], VHU_WAIT_READ, 0), VHU_ETIMEDOUT);
        while (recv_none(ends[1]) > 0)
            ;
        assert_int_equal(waits[i](ends[0], VHU_WAIT_WRITE, -1), 0);
        assert_int_equal(send_some(ends[0], NULL, 0), SIZE);
        free_pair(ends);
    }
}

/* --- channels --- */

/* Pass the handle over a stream, as a front-end does with its back channel. */
static void pass(vhu_stream *from, vhu_stream *to, vhu_handle *handle)
{
    vhu_handle got[VHU__HANDLES_PER_RECV];
    size_t n = VHU__HANDLES_PER_RECV;

    assert_int_equal(send_some(from, handle, 1), SIZE);
    vhu_handle_close(handle);
    assert_int_equal(recv_some(to, got, &n), SIZE);
    assert_int_equal(n, 1);
    *handle = got[0];
}

static void test_channel(void **state)
{
    (void)state;
    for (int opener = 0; opener < 2; opener++) {
        vhu_stream *ends[2];
        vhu_stream *channel[2];
        vhu_handle handle;

        open_pair(ends);
        assert_int_equal(vhu_stream_open_channel(&channel[0], &handle, ends[opener]), 0);
        assert_false(sys_handle_is_inherited(handle));
        pass(ends[opener], ends[!opener], &handle);
        assert_int_equal(vhu_stream_adopt_channel(&channel[1], &handle, ends[!opener]), 0);
        assert_true(handle == VHU_NO_HANDLE);
        expect_connected(channel[0], channel[1]);
        /* It may outlive what it was opened beside. */
        free_pair(ends);
        expect_connected(channel[1], channel[0]);
        vhu_stream_free(channel[0]);
        assert_int_equal(recv_none(channel[1]), VHU_EDISCONNECT);
        vhu_stream_free(channel[1]);
    }
}

/* Both ends are here. */
static void test_channel_beside_nothing(void **state)
{
    vhu_stream *channel[2];
    vhu_handle handle;

    (void)state;
    assert_int_equal(vhu_stream_open_channel(&channel[0], &handle, NULL), 0);
    assert_int_equal(vhu_stream_adopt_channel(&channel[1], &handle, NULL), 0);
    expect_connected(channel[0], channel[1]);
    free_pair(channel);
}

/* The other end is never adopted. */
static void test_channel_that_nobody_wants(void **state)
{
    vhu_stream *channel;
    vhu_handle handle;

    (void)state;
    assert_int_equal(vhu_stream_open_channel(&channel, &handle, NULL), 0);
    vhu_handle_close(&handle);
    assert_int_equal(wait_for(channel, VHU_WAIT_READ, -1), 0);
    assert_int_equal(recv_none(channel), VHU_EDISCONNECT);
    vhu_stream_free(channel);
}

/* --- connections --- */

static void free_conns(vhu_conn *conns[2])
{
    vhu_conn_free(conns[0]);
    vhu_conn_free(conns[1]);
}

static void test_conn_from_stream(void **state)
{
    const vhu_conn_options wrong = {.size = 4};
    vhu_stream *ends[2];
    vhu_conn *conns[2];

    (void)state;
    open_pair(ends);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vhu_conn_from_stream(&conns[i], &ends[i], &wrong), VHU_EINVAL);
        assert_non_null(ends[i]);
        assert_int_equal(vhu_conn_from_stream(&conns[i], &ends[i], NULL), 0);
        assert_null(ends[i]);
    }
    conns_meet(conns[0], conns[1]);
    free_conns(conns);
}

static void expect_channel_beside(const vhu_conn *opener, const vhu_conn *adopter)
{
    const vhu_conn_options wrong = {.size = 4};
    vhu_handle handle = VHU_NO_HANDLE;
    vhu_handle odd = sys_odd_handle_new();
    vhu_conn *channel[2];

    assert_int_equal(vhu_conn_open_channel(&channel[0], &handle, opener, &wrong), VHU_EINVAL);
    assert_true(handle == VHU_NO_HANDLE);
    assert_int_equal(vhu_conn_open_channel(&channel[0], &handle, opener, NULL), 0);
    assert_int_equal(vhu_conn_adopt_channel(&channel[1], &odd, adopter, NULL), VHU_EINVAL);
    assert_true(sys_handle_is_open(odd));
    vhu_handle_close(&odd);
    assert_int_equal(vhu_conn_adopt_channel(&channel[1], &handle, adopter, NULL), 0);
    assert_true(handle == VHU_NO_HANDLE);
    conns_meet(channel[0], channel[1]);
    free_conns(channel);
}

/* Beside any connection; one through memory has both ends here. */
static void test_conn_channel(void **state)
{
    vhu_conn *conns[2];

    (void)state;
    expect_channel_beside(NULL, NULL);
    assert_int_equal(vhu_conn_memory_pair(conns, VHU_MEMORY_MESSAGES, NULL), 0);
    expect_channel_beside(conns[0], conns[1]);
    free_conns(conns);
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    expect_channel_beside(conns[0], conns[1]);
    expect_channel_beside(conns[1], conns[0]);
    free_conns(conns);
}

/* Callers of before there were options for pipes have something else in that place. */
static void test_older_options(void **state)
{
    const vhu_pipe_options pipe = {.size = sizeof(pipe), .transfer = 99};
    vhu_conn_options options = {.size = offsetof(vhu_conn_options, pipe), .pipe = &pipe};
    vhu_conn *conns[2];

    (void)state;
    assert_null(vhu__conn_pipe(NULL));
    assert_null(vhu__conn_pipe(&options));
    assert_int_equal(vhu_conn_pair(conns, &options), 0);
    conns_meet(conns[0], conns[1]);
    free_conns(conns);
    options.size = sizeof(options);
    assert_ptr_equal(vhu__conn_pipe(&options), &pipe);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_pair),
        leakcheck_test(test_end),
        leakcheck_test(test_unread),
        leakcheck_test(test_last_words),
        leakcheck_test(test_waiting),
        leakcheck_test(test_channel),
        leakcheck_test(test_channel_beside_nothing),
        leakcheck_test(test_channel_that_nobody_wants),
        leakcheck_test(test_conn_from_stream),
        leakcheck_test(test_conn_channel),
        leakcheck_test(test_older_options),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
