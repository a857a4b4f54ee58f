/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: handles that stay signalled until they are reset, as those of streams and listeners. */
#include <vmm_vhost/uv.h>

#include <windows.h>

#include "support/leakcheck.h"

typedef struct watched {
    HANDLE event;
    vhu_uv_watch *watch;
    unsigned calls;
    unsigned last; /* the call that resets it */
} watched;

static void on_ready(void *arg)
{
    watched *w = arg;

    if (++w->calls == w->last)
        ResetEvent(w->event);
}

static void watched_open(watched *w, uv_loop_t *loop, unsigned last)
{
    *w = (watched){.event = CreateEventW(NULL, TRUE, FALSE, NULL), .last = last};
    assert_int_equal(vhu_uv_watch_new(&w->watch, loop, w->event, VHU_WAIT_READ, on_ready, w), 0);
}

static void watched_close(watched *w)
{
    vhu_uv_watch_close(w->watch);
    CloseHandle(w->event);
}

static void run_until_reset(watched *w, uv_loop_t *loop)
{
    SetEvent(w->event);
    while (w->calls < w->last)
        uv_run(loop, UV_RUN_ONCE);
}

static void test_stays_signalled(void **state)
{
    uv_loop_t loop;
    watched w, other;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    watched_open(&w, &loop, 5);
    watched_open(&other, &loop, 50);
    run_until_reset(&w, &loop);
    run_until_reset(&other, &loop);
    assert_int_equal(w.calls, 5);
    /* Told while there are events alone. */
    w.last = 10;
    vhu_uv_watch_set(w.watch, 0);
    SetEvent(w.event);
    other.last = 100;
    run_until_reset(&other, &loop);
    assert_int_equal(w.calls, 5);
    vhu_uv_watch_set(w.watch, VHU_WAIT_READ);
    run_until_reset(&w, &loop);
    assert_int_equal(w.calls, 10);
    watched_close(&w);
    watched_close(&other);
    assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* The process, its thread, its tokens: what a mistaken caller may have. */
static void test_pseudo_handles(void **state)
{
    uv_loop_t loop;
    vhu_uv_watch *watch = NULL;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (intptr_t i = 1; i <= 6; i++)
        assert_int_equal(vhu_uv_watch_new(&watch, &loop, (HANDLE)-i, VHU_WAIT_READ, on_ready, NULL),
                         VHU_EINVAL);
    assert_null(watch);
    assert_int_equal(uv_loop_close(&loop), 0);
}

/* libuv opens handles with its first loop, for good. */
static int first_loop(void **state)
{
    uv_loop_t loop;

    (void)state;
    return uv_loop_init(&loop) == 0 ? uv_loop_close(&loop) : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_stays_signalled),
        leakcheck_test(test_pseudo_handles),
    };

    return cmocka_run_group_tests_name("uv_watch_windows", tests, first_loop, NULL);
}
