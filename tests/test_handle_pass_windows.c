/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: handles that were passed and that nobody reads, pulls or wants. */
#include <string.h>
#include <vmm_vhost/error.h>

#include "pipe_stream.h"
#include "support/raw_pipe.h"
#include "support/sys.h"
#include "util.h"

/* --- who does not read, or does not take --- */

static int send_handle(raw_pipe *raw, HANDLE handle)
{
    static const uint8_t bytes[4096];

    return vhu_stream_transport(raw->stream)->send(raw->stream, bytes, sizeof(bytes), &handle, 1);
}

/* As long as there is room, and one frame more. How many were sent. */
static int send_all(raw_pipe *raw)
{
    HANDLE event = sys_handle_new();
    int before = leakcheck_count();
    int sent = 0;
    int r;

    while ((r = send_handle(raw, event)) > 0)
        sent++;
    assert_int_equal(r, VHU_EAGAIN);
    assert_true(sent > 1);
    /* Each is pushed; or exported, with one that shows what it is. */
    assert_int_equal(leakcheck_count(), before + sent * (raw->role.transfers ? 1 : 2));
    vhu_handle_close(&event);
    return sent;
}

static void free_stream(raw_pipe *raw)
{
    vhu_stream_free(raw->stream);
    raw->stream = NULL;
}

/* Take what has arrived whole: how many. */
static int take_all(raw_pipe *raw)
{
    enum { SIZE = VHU__FRAME_HEAD + 8 + 4096 };
    static uint8_t bytes[2 * 65536];
    size_t all = 0;
    DWORD n;
    int taken = 0;

    while (ReadFile(raw->pipe, bytes + all, (DWORD)(sizeof(bytes) - all), &n, NULL))
        all += n;
    for (size_t at = 0; at + SIZE <= all; at += SIZE, taken++) {
        HANDLE event = (HANDLE)(uintptr_t)vhu__frame_load_value(bytes + at, 0);

        assert_true(sys_handle_is_open(event));
        vhu_handle_close(&event);
    }
    return taken;
}

/* The frame that is on its way when this side closes takes its handle back; no other does. */
static void check_never_read(raw_pipe *raw, const void *arg)
{
    int sent = send_all(raw);

    (void)arg;
    free_stream(raw);
    assert_int_equal(take_all(raw), sent - 1);
}

/* What is to be pulled stays here, and is closed when nobody is left to do that. */
static void check_never_pulled(raw_pipe *raw, const void *arg)
{
    (void)arg;
    send_all(raw);
    raw_hang_up(raw);
}

static void test_never_read(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_MET, check_never_read, NULL);
    raw_for_roles(RAW_OTHER_SIDE, RAW_MET, check_never_pulled, NULL);
}

/* Whoever stops receiving closes what has come, much or little. */
static void check_unreceived(raw_pipe *raw, const void *arg)
{
    raw_frame frame;

    for (size_t i = 0; i < *(const size_t *)arg; i++) {
        uint64_t value = raw_give(raw, sys_handle_new());

        frame = raw_message(raw, &value, 1);
        raw_send(raw, &frame);
    }
}

static void test_unreceived(void **state)
{
    static const size_t counts[] = {1, 1000};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(counts); i++)
        raw_for_roles(RAW_BOTH, RAW_MET, check_unreceived, &counts[i]);
}

/* An export that was closed and is something else by now is nothing of the stream's. */
static void check_reused_value(raw_pipe *raw, const void *arg)
{
    HANDLE event = sys_handle_new();
    HANDLE other;
    HANDLE value;

    (void)arg;
    assert_true(send_handle(raw, event) > 0);
    value = raw->stream->pass.exports[0].handle;
    vhu_handle_close(&value);
    other = sys_odd_handle_new();
    raw_hang_up(raw);
    free_stream(raw);
    assert_true(sys_handle_is_open(other));
    vhu_handle_close(&other);
    vhu_handle_close(&event);
}

static void test_reused_value(void **state)
{
    (void)state;
    raw_for_roles(RAW_OTHER_SIDE, RAW_MET, check_reused_value, NULL);
}

/* --- a pass by itself --- */

static HANDLE open_self(void)
{
    return OpenProcess(PROCESS_DUP_HANDLE | SYNCHRONIZE, FALSE, GetCurrentProcessId());
}

/* What cannot be passed spoils the rest, and leaves nothing anywhere. */
static void test_export(void **state)
{
    (void)state;
    for (int transfers = 0; transfers < 2; transfers++) {
        vhu_handle handles[] = {sys_handle_new(), sys_handle_new(), sys_odd_handle_new()};
        int before = leakcheck_count();
        uint64_t values[3];
        vhu__pass pass;

        vhu__pass_inside(&pass, transfers);
        assert_int_equal(vhu__pass_export(&pass, handles, 3, values), VHU_EINVAL);
        assert_int_equal(leakcheck_count(), before);
        assert_int_equal(vhu__pass_export(&pass, handles, 2, values), 0);
        vhu__pass_withdraw(&pass, values, 2);
        assert_int_equal(leakcheck_count(), before);
        vhu_handle_close(&handles[1]);
        handles[1] = GetCurrentProcess();
        assert_int_equal(vhu__pass_export(&pass, handles, 2, values), VHU_EINVAL);
        handles[1] = VHU_NO_HANDLE;
        assert_int_equal(vhu__pass_export(&pass, handles, 2, values), VHU_EINVAL);
        vhu__pass_release(&pass, false);
        vhu_handle_close(&handles[0]);
        vhu_handle_close(&handles[2]);
    }
}

/* Many, told to be taken in other portions than they were given in. */
static void test_taken(void **state)
{
    const vhu_handle event = sys_handle_new();
    uint64_t values[100];
    vhu_handle closed = event;
    vhu__pass pass;

    (void)state;
    vhu__pass_inside(&pass, false);
    for (size_t i = 0; i < VHU__COUNT(values); i++) {
        HANDLE pulled;

        assert_int_equal(vhu__pass_export(&pass, &event, 1, &values[i]), 0);
        if (i % 2 == 0)
            continue;
        pulled = (HANDLE)(uintptr_t)values[i / 2];
        vhu_handle_close(&pulled);
        assert_true(vhu__pass_taken(&pass, 1));
    }
    assert_int_equal(pass.num_exports, VHU__COUNT(values) / 2);
    assert_false(vhu__pass_taken(&pass, VHU__COUNT(values) / 2 + 1));
    assert_false(vhu__pass_taken(&pass, 0));
    vhu__pass_release(&pass, true);
    vhu_handle_close(&closed);
}

/* A channel's pass is one of its own. */
static void test_copy(void **state)
{
    vhu__pass pass = {.transfers = true, .process = open_self()};
    vhu__pass copy;
    vhu_handle event = sys_handle_new();
    uint64_t value;

    (void)state;
    assert_int_equal(vhu__pass_copy(&copy, &pass), 0);
    vhu__pass_release(&pass, false);
    assert_int_equal(vhu__pass_export(&copy, &event, 1, &value), 0);
    vhu__pass_withdraw(&copy, &value, 1);
    vhu__pass_release(&copy, false);
    vhu_handle_close(&event);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_never_read),   leakcheck_test(test_unreceived),
        leakcheck_test(test_reused_value), leakcheck_test(test_export),
        leakcheck_test(test_taken),        leakcheck_test(test_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
