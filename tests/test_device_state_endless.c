/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's state without an end, from somebody who may be quicker than the device. */
#include <uv.h>

#include "os.h"
#include "test_device_fixture.h"

enum { PIECES = 1000, FEW_PIECES = 100 };

static unsigned pieces;

static int save_nothing(void *self, uint64_t offset, void *buf, size_t len)
{
    (void)self;
    (void)offset;
    (void)buf;
    (void)len;
    return 0;
}

static int load_anything(void *self, uint64_t offset, const void *buf, size_t len)
{
    (void)self;
    (void)offset;
    (void)buf;
    (void)len;
    return ++pieces > PIECES ? VHU_EOVERFLOW : 0;
}

static void writer_thread(void *arg)
{
    static uint8_t bytes[65536];
    os_pipe *pipe = arg;
    int n;

    do {
        vhu_wait wait = {os_pipe_wait_handle(pipe), VHU_WAIT_WRITE, false};

        n = os_pipe_write(pipe, bytes, sizeof(bytes));
        if (n == VHU_EAGAIN)
            vhu_wait_any(&wait, 1, -1);
    } while (n > 0 || n == VHU_EAGAIN);
    os_pipe_free(pipe);
}

/* Whoever serves it has a turn to itself again and again, and the device has the last word. */
static void test_endless(void **state)
{
    const vhu_device_state load = {VHU_STATE_LOAD, VHU_STATE_STOPPED};
    vhu_device_ops ops = echo_ops;
    const kit_options options = {.rings = 1, .ops = &ops};
    uv_thread_t thread;
    vhu_handle peer;
    uint64_t answer;
    os_pipe *pipe;
    kit *k;

    (void)state;
    ops.save_state = save_nothing;
    ops.load_state = load_anything;
    k = kit_new(&options);
    frontend_handshake(&k->front, FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_DEVICE_STATE));
    assert_int_equal(os_pipe_new(&pipe, &peer, VHU_WAIT_WRITE), 0);
    frontend_send(&k->front, VHU_REQ_SET_DEVICE_STATE_FD, 0, &load, sizeof(load), &peer, 1);
    assert_int_equal(frontend_recv(&k->front, VHU_REQ_SET_DEVICE_STATE_FD, &answer, 8), 8);
    assert_int_equal(answer & 0xff, 0);
    vhu_handle_close(&peer);
    assert_int_equal(uv_thread_create(&thread, writer_thread, pipe), 0);
    while (pieces < FEW_PIECES)
        kit_turn(k);
    /* It has not come to its end by now, and is not said to be. */
    assert_int_not_equal(frontend_get(&k->front, VHU_REQ_CHECK_DEVICE_STATE), 0);
    assert_int_equal(uv_thread_join(&thread), 0);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_endless)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
