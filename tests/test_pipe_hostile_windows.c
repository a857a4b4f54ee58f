/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: who is at the other end of a pipe may say anything. Each ends in an error that tells. */
#include <string.h>
#include <vmm_vhost/error.h>

#include "pipe_stream.h"
#include "support/raw_pipe.h"
#include "support/sys.h"
#include "util.h"

/* --- frames that are none, or come at the wrong time --- */

/* Heads alone: what they announce is not waited for. */
static void check_head(raw_pipe *raw, const void *arg)
{
    raw_write(raw, arg, VHU__FRAME_HEAD);
    raw_refusal(raw, VHU_EINVALID_MESSAGE, 0);
}

#define HEAD(type, owner, handles, low, high)                                                      \
    {                                                                                              \
        'V', 'U', 'W', '1', type, owner, handles, 0, low, high                                     \
    }

static void test_heads(void **state)
{
    static const uint8_t never[][VHU__FRAME_HEAD] = {
        {0},
        {'V', 'U', 'W', '2', 1, 0, 0, 0, 48},
        HEAD(0, 0, 0, 4, 0),
        HEAD(6, 0, 0, 4, 0),
        HEAD(1, 0, 0, 47, 0),
        HEAD(1, 0, 0, 1, 1),
        HEAD(1, 1, 1, 48, 0),
        HEAD(2, 1, 2, 0, 0),
        HEAD(3, 0, 1, 12, 0),
        HEAD(3, 1, 33, 12, 0),
        {'V', 'U', 'W', '1', 3, 0, 0, 0, 13, 0, 1},
        {'V', 'U', 'W', '1', 3, 0, 0, 0, 255, 255, 255, 255},
        {'V', 'U', 'W', '1', 1, 0, 0, 0, 48, 0, 0, 0, 1},
    };
    static const uint8_t hello[VHU__FRAME_HEAD] = HEAD(1, 0, 0, 48, 0);
    static const uint8_t proof[VHU__FRAME_HEAD] = HEAD(2, 1, 1, 0, 0);
    static const uint8_t message[VHU__FRAME_HEAD] = HEAD(3, 0, 0, 0, 255);
    static const uint8_t taken[VHU__FRAME_HEAD] = HEAD(5, 0, 0, 4, 0);

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(never); i++) {
        raw_for_roles(RAW_BOTH, RAW_SILENT, check_head, never[i]);
        raw_for_roles(RAW_BOTH, RAW_MET, check_head, never[i]);
    }
    raw_for_roles(RAW_BOTH, RAW_SILENT, check_head, proof);
    raw_for_roles(RAW_BOTH, RAW_SILENT, check_head, message);
    raw_for_roles(RAW_BOTH, RAW_SILENT, check_head, taken);
    raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_head, hello);
    raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_head, message);
    raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_head, taken);
}

/* Whole frames, once they have met. */
static void check_frame(raw_pipe *raw, const void *arg)
{
    raw_send(raw, arg);
    raw_refusal(raw, VHU_EINVALID_MESSAGE, 0);
}

static void check_greeting_again(raw_pipe *raw, const void *arg)
{
    raw_frame frame = raw_hello(raw);

    (void)arg;
    check_frame(raw, &frame);
}

static void check_proof_again(raw_pipe *raw, const void *arg)
{
    raw_frame frame = raw_proof(raw, 0x40);

    (void)arg;
    check_frame(raw, &frame);
}

static void test_beginning_again(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_GREETED, check_greeting_again, NULL);
    raw_for_roles(RAW_BOTH, RAW_MET, check_greeting_again, NULL);
    raw_for_roles(RAW_BOTH, RAW_MET, check_proof_again, NULL);
}

/* More than was given; and nothing, which could go on for ever. */
static void test_taken(void **state)
{
    const raw_frame none = raw_number(VHU__FRAME_TYPE_TAKEN, 0);
    const raw_frame one = raw_number(VHU__FRAME_TYPE_TAKEN, 1);
    const raw_frame many = raw_number(VHU__FRAME_TYPE_TAKEN, UINT32_MAX);

    (void)state;
    raw_for_roles(RAW_BOTH, RAW_MET, check_frame, &none);
    raw_for_roles(RAW_BOTH, RAW_MET, check_frame, &one);
    raw_for_roles(RAW_BOTH, RAW_MET, check_frame, &many);
}

/* --- hello --- */

typedef struct greeting {
    uint16_t version_min;
    uint16_t version_max;
    uint32_t caps;
    int error;
    uint32_t reason;
} greeting;

static void greet(raw_pipe *raw, const vhu__hello *hello, int error, uint32_t reason)
{
    raw_frame frame = raw_hello(raw);

    vhu__hello_store(frame.content, hello);
    raw_send(raw, &frame);
    raw_refusal(raw, error, reason);
}

static void check_greeting(raw_pipe *raw, const void *arg)
{
    const greeting *row = arg;
    const vhu__hello hello = {
        row->version_min, row->version_max, row->caps, GetCurrentProcessId(), {0}};

    greet(raw, &hello, row->error, row->reason);
}

static void test_greetings(void **state)
{
    static const greeting both[] = {
        {0, 0, 3, VHU_ENOSYS, VHU__BYE_VERSION},
        {2, 0xffff, 3, VHU_ENOSYS, VHU__BYE_VERSION},
        {1, 0, 3, VHU_EINVALID_MESSAGE, 0},
        {1, 1, 0, VHU_ENOSYS, VHU__BYE_TRANSFER},
        {1, 1, VHU__CAP_BROKER, VHU_ENOSYS, VHU__BYE_TRANSFER},
    };
    static const greeting insists = {1, 1, VHU__CAP_WILL_TRANSFER, VHU_ENOSYS, VHU__BYE_TRANSFER};
    static const greeting refrains = {1, 1, VHU__CAP_ACCEPT_TRANSFER, VHU_ENOSYS,
                                      VHU__BYE_TRANSFER};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(both); i++)
        raw_for_roles(RAW_BOTH, RAW_SILENT, check_greeting, &both[i]);
    raw_for_roles(RAW_TRANSFERRER, RAW_SILENT, check_greeting, &insists);
    raw_for_roles(RAW_OTHER_SIDE, RAW_SILENT, check_greeting, &refrains);
}

/* It is the pipe that is asked, and the PID has to be the same. */
static void check_false_pid(raw_pipe *raw, const void *arg)
{
    const vhu__hello hello = {1, 1, VHU__CAP_ACCEPT_TRANSFER, *(const DWORD *)arg, {0}};

    greet(raw, &hello, VHU_EPERM, VHU__BYE_PROOF);
}

static void test_false_pid(void **state)
{
    const DWORD pids[] = {0, 4, GetCurrentProcessId() + 1, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(pids); i++)
        raw_for_roles(RAW_TRANSFERRER, RAW_SILENT, check_false_pid, &pids[i]);
}

/* Who hears a later version speak of more goes on. */
static void check_long_hello(raw_pipe *raw, const void *arg)
{
    raw_frame frame = raw_hello(raw);

    (void)arg;
    frame.head.len = VHU__FRAME_HELLO_MAX;
    frame.content[2] = 9;
    memset(frame.content + VHU__FRAME_HELLO, 0xff, VHU__FRAME_HELLO_MAX - VHU__FRAME_HELLO);
    raw_send(raw, &frame);
    raw_recv(raw, &frame);
    assert_int_equal(raw_turn(raw, NULL), VHU_EAGAIN);
}

static void test_long_hello(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_SILENT, check_long_hello, NULL);
}

/* --- bye --- */

typedef struct farewell {
    uint32_t reason;
    int error;
    bool hangs_up;
} farewell;

static void check_bye(raw_pipe *raw, const void *arg)
{
    const farewell *row = arg;
    raw_frame frame = raw_number(VHU__FRAME_TYPE_BYE, row->reason);

    raw_send(raw, &frame);
    if (row->hangs_up)
        raw_hang_up(raw);
    assert_int_equal(raw_end(raw), row->error);
}

/* Right behind a hello, so that there is something to be sent to who has gone. */
static void check_hello_and_bye(raw_pipe *raw, const void *arg)
{
    raw_frame frame = raw_hello(raw);

    raw_send(raw, &frame);
    check_bye(raw, arg);
}

static void test_bye(void **state)
{
    static const farewell rows[] = {
        {0, VHU_EDISCONNECT, false},
        {VHU__BYE_VERSION, VHU_ENOSYS, false},
        {VHU__BYE_TRANSFER, VHU_ENOSYS, true},
        {VHU__BYE_PERMISSION, VHU_EPERM, false},
        {VHU__BYE_PERMISSION, VHU_EPERM, true},
        {VHU__BYE_PROOF, VHU_EPERM, true},
        {5, VHU_EDISCONNECT, true},
        {UINT32_MAX, VHU_EDISCONNECT, false},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        raw_for_roles(RAW_BOTH, RAW_SILENT, check_bye, &rows[i]);
        raw_for_roles(RAW_BOTH, RAW_SILENT, check_hello_and_bye, &rows[i]);
        raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_bye, &rows[i]);
        raw_for_roles(RAW_BOTH, RAW_MET, check_bye, &rows[i]);
    }
}

/* --- time --- */

/* Whatever it says, it says in pieces. */
static void send_slowly(raw_pipe *raw, const raw_frame *frame)
{
    uint8_t bytes[sizeof(*frame)];
    uint8_t *content = vhu__frame_store(bytes, &frame->head, frame->values);
    const size_t size = vhu__frame_size(&frame->head);

    memcpy(content, frame->content, frame->head.len);
    for (size_t i = 0; i < size; i++) {
        assert_int_equal(raw_turn(raw, NULL), VHU_EAGAIN);
        raw_write(raw, bytes + i, 1);
    }
}

static void check_slow_frames(raw_pipe *raw, const void *arg)
{
    uint8_t content[RAW_PROOF];
    raw_frame frame = raw_hello(raw);
    uint64_t values[2];
    size_t n;

    (void)arg;
    send_slowly(raw, &frame);
    raw_recv(raw, &frame);
    assert_true(vhu__hello_load(&raw->hello, frame.content, frame.head.len));
    raw_drop_proof(raw);
    raw_proof_content(raw, content);
    frame = raw_proof(raw, raw_give(raw, raw_proof_new(content)));
    send_slowly(raw, &frame);
    if (!raw->role.transfers) {
        HANDLE proof;

        raw_recv(raw, &frame);
        proof = raw_take(raw, frame.values[0]);
        vhu_handle_close(&proof);
    }
    values[0] = raw_give(raw, sys_handle_new());
    values[1] = raw_give(raw, sys_handle_new());
    frame = raw_message(raw, values, 2);
    send_slowly(raw, &frame);
    assert_int_equal(raw_turn(raw, &n), frame.head.len);
    assert_int_equal(n, 2);
}

static void test_slow_frames(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_SILENT, check_slow_frames, NULL);
}

/* Who says nothing any more, in the middle of a frame or not, and whoever waits in between. */
static void test_silence(void **state)
{
    (void)state;
    for (size_t i = 0; i < RAW_ROLES * 4; i++) {
        raw_pipe raw;

        raw_open(&raw, raw_roles[i / 4], 1 + (int)(i % 2) * 20);
        if (i % 4 >= 2)
            raw_write(&raw, "VUW1\1\0\0\0\60\0\0\0\0\0\0\0VUW1", i % 4 == 2 ? 16 : 3);
        assert_int_equal(raw_end(&raw), VHU_ETIMEDOUT);
        raw_close(&raw);
    }
}

/* --- the end --- */

static void check_hang_up(raw_pipe *raw, const void *arg)
{
    (void)arg;
    raw_hang_up(raw);
    assert_int_equal(raw_end(raw), VHU_EDISCONNECT);
}

/* In the middle of a frame with handles, which cannot be known of then. */
static void check_cut_frame(raw_pipe *raw, const void *arg)
{
    uint64_t value = raw_give(raw, sys_handle_new());
    raw_frame frame = raw_message(raw, &value, 1);
    uint8_t bytes[sizeof(frame)];
    HANDLE event = (HANDLE)(uintptr_t)value;

    vhu__frame_store(bytes, &frame.head, frame.values);
    raw_write(raw, bytes, *(const size_t *)arg);
    check_hang_up(raw, NULL);
    vhu_handle_close(&event);
}

static void test_hang_up(void **state)
{
    static const size_t cuts[] = {3, 16, 20, 30};

    (void)state;
    raw_for_roles(RAW_BOTH, RAW_SILENT, check_hang_up, NULL);
    raw_for_roles(RAW_BOTH, RAW_GREETED, check_hang_up, NULL);
    raw_for_roles(RAW_BOTH, RAW_MET, check_hang_up, NULL);
    for (size_t i = 0; i < VHU__COUNT(cuts); i++)
        raw_for_roles(RAW_BOTH, RAW_MET, check_cut_frame, &cuts[i]);
}

/* What was said last is heard, though nothing could be answered any more. */
static void check_last_message(raw_pipe *raw, const void *arg)
{
    const vhu_transport *transport = vhu_stream_transport(raw->stream);
    raw_frame frame = raw_message(raw, NULL, 0);

    (void)arg;
    raw_send(raw, &frame);
    raw_hang_up(raw);
    while (transport->send(raw->stream, "x", 1, NULL, 0) > 0)
        ;
    assert_int_equal(raw_turn(raw, NULL), frame.head.len);
    assert_int_equal(raw_end(raw), VHU_EDISCONNECT);
}

static void test_last_message(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_MET, check_last_message, NULL);
}

/* --- nothing at all --- */

/* Only Windows shows a write of no bytes: as a read of none, which is no end. */
static void check_empty_writes(raw_pipe *raw, const void *arg)
{
    raw_frame frame = raw_message(raw, NULL, 0);
    int r;

    (void)arg;
    for (int i = 0; i < 100; i++) {
        raw_write(raw, "", 0);
        assert_int_equal(raw_turn(raw, NULL), VHU_EAGAIN);
    }
    raw_send(raw, &frame);
    while ((r = raw_turn(raw, NULL)) == VHU_EAGAIN)
        assert_int_equal(vhu_stream_transport(raw->stream)->wait(raw->stream, VHU_WAIT_READ, -1),
                         0);
    assert_int_equal(r, frame.head.len);
}

static void test_empty_writes(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_MET, check_empty_writes, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_heads),        leakcheck_test(test_beginning_again),
        leakcheck_test(test_taken),        leakcheck_test(test_greetings),
        leakcheck_test(test_false_pid),    leakcheck_test(test_long_hello),
        leakcheck_test(test_bye),          leakcheck_test(test_slow_frames),
        leakcheck_test(test_silence),      leakcheck_test(test_hang_up),
        leakcheck_test(test_last_message), leakcheck_test(test_empty_writes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
