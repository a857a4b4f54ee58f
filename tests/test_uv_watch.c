/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/event.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/stream.h>
#include <vmm_vhost/uv.h>

#include "support/leakcheck.h"
#include "support/sys.h"

/* An event that a loop watches. */
typedef struct watched {
    vhu_event *event;
    vhu_uv_watch *watch;
    uv_loop_t *loop;
    unsigned calls; /* of `ready` */
    unsigned last;  /* the call that stops the loop */
    bool closes;    /* `ready` closes the watch and the event */
} watched;

static void watched_close(watched *w)
{
    vhu_uv_watch_close(w->watch);
    vhu_event_free(w->event);
    w->watch = NULL;
    w->event = NULL;
}

static void on_ready(void *arg)
{
    watched *w = arg;

    w->calls++;
    vhu_event_clear(w->event);
    if (w->closes)
        watched_close(w);
    if (w->calls == w->last)
        uv_stop(w->loop);
}

static void watched_open(watched *w, uv_loop_t *loop, unsigned events)
{
    *w = (watched){.loop = loop};
    assert_int_equal(vhu_event_new(&w->event), 0);
    assert_int_equal(
        vhu_uv_watch_new(&w->watch, loop, vhu_event_wait_handle(w->event), events, on_ready, w), 0);
}

/* Signal, and run until `ready` was called for it. */
static void signal_and_run(watched *w)
{
    w->last = w->calls + 1;
    assert_int_equal(vhu_event_signal(w->event), 0);
    while (w->calls < w->last)
        uv_run(w->loop, UV_RUN_ONCE);
}

static void loop_close(uv_loop_t *loop)
{
    assert_int_equal(uv_run(loop, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(loop), 0);
}

static void test_ready(void **state)
{
    uv_loop_t loop;
    watched a, b;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    watched_open(&a, &loop, VHU_WAIT_READ);
    watched_open(&b, &loop, VHU_WAIT_READ);
    for (unsigned i = 1; i <= 100; i++) {
        signal_and_run(&a);
        assert_int_equal(a.calls, i);
    }
    assert_int_equal(b.calls, 0);
    watched_close(&a);
    signal_and_run(&b);
    watched_close(&b);
    loop_close(&loop);
    assert_int_equal(a.calls, 100);
    assert_int_equal(b.calls, 1);
}

static void test_signalled_before(void **state)
{
    uv_loop_t loop;
    watched w = {.loop = &loop, .last = 1};

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(vhu_event_new(&w.event), 0);
    assert_int_equal(vhu_event_signal(w.event), 0);
    assert_int_equal(vhu_uv_watch_new(&w.watch, &loop, vhu_event_wait_handle(w.event),
                                      VHU_WAIT_READ, on_ready, &w),
                     0);
    uv_run(&loop, UV_RUN_DEFAULT);
    assert_int_equal(w.calls, 1);
    watched_close(&w);
    loop_close(&loop);
}

/* Without events nothing is told, nothing is lost, and the loop does not live for it. */
static void test_no_events(void **state)
{
    uv_loop_t loop;
    watched w, other;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    watched_open(&w, &loop, 0);
    watched_open(&other, &loop, 0);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(vhu_uv_watch_set(w.watch, 0), 0);
        assert_false(uv_loop_alive(&loop));
        assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(vhu_event_signal(w.event), 0);
        /* By the time that the other's has come through, this one's may have, too. */
        assert_int_equal(vhu_uv_watch_set(other.watch, VHU_WAIT_READ), 0);
        assert_true(uv_loop_alive(&loop));
        signal_and_run(&other);
        assert_int_equal(vhu_uv_watch_set(other.watch, 0), 0);
        assert_int_equal(w.calls, i);
        assert_int_equal(vhu_uv_watch_set(w.watch, VHU_WAIT_READ), 0);
        w.last = i + 1;
        while (w.calls < w.last)
            uv_run(&loop, UV_RUN_ONCE);
        assert_int_equal(w.calls, i + 1);
    }
    watched_close(&w);
    watched_close(&other);
    loop_close(&loop);
}

/* From `ready`, and with a signal on its way: `ready` is not called after that. */
static void test_close(void **state)
{
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    vhu_uv_watch_close(NULL);
    for (int i = 0; i < 300; i++) {
        watched a, b;

        watched_open(&a, &loop, VHU_WAIT_READ);
        watched_open(&b, &loop, VHU_WAIT_READ);
        a.closes = true;
        assert_int_equal(vhu_event_signal(b.event), 0);
        signal_and_run(&a);
        assert_null(a.watch);
        b.calls = 0;
        vhu_event_signal(b.event);
        watched_close(&b);
        assert_int_equal(uv_run(&loop, UV_RUN_DEFAULT), 0);
        assert_int_equal(a.calls, 1);
        assert_int_equal(b.calls, 0);
    }
    loop_close(&loop);
}

/* Another watch of the same handle, at once: no signal goes to the one that is closed. */
static void test_again(void **state)
{
    uv_loop_t loop;
    watched w;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    watched_open(&w, &loop, VHU_WAIT_READ);
    for (int i = 0; i < 2000; i++) {
        vhu_uv_watch_close(w.watch);
        assert_int_equal(vhu_uv_watch_new(&w.watch, &loop, vhu_event_wait_handle(w.event),
                                          VHU_WAIT_READ, on_ready, &w),
                         0);
        signal_and_run(&w);
    }
    watched_close(&w);
    loop_close(&loop);
}

/* More than a system may be able to wait for with one call. */
static void test_many(void **state)
{
    enum { MANY = 150 };
    static watched all[MANY];
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    for (size_t i = 0; i < MANY; i++)
        watched_open(&all[i], &loop, VHU_WAIT_READ);
    for (size_t i = 0; i < MANY; i++)
        assert_int_equal(vhu_event_signal(all[i].event), 0);
    for (size_t i = 0; i < MANY; i++) {
        while (all[i].calls == 0)
            uv_run(&loop, UV_RUN_ONCE);
    }
    for (size_t i = MANY; i-- > 0;)
        signal_and_run(&all[i]);
    for (size_t i = 0; i < MANY; i++)
        watched_close(&all[i]);
    loop_close(&loop);
}

/* --- with another thread --- */

enum { TURNS = 5000 };

typedef struct peer {
    vhu_event *signal, *answer;
} peer;

static void signal_and_wait(void *arg)
{
    const peer *p = arg;

    for (int i = 0; i < TURNS; i++) {
        vhu_event_signal(p->signal);
        vhu_event_wait(p->answer, -1);
        vhu_event_clear(p->answer);
    }
}

/* No signal is lost, though the watch is stopped and started all the time. */
static void test_threads(void **state)
{
    uv_loop_t loop;
    watched w;
    peer p;
    uv_thread_t thread;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    watched_open(&w, &loop, VHU_WAIT_READ);
    p.signal = w.event;
    assert_int_equal(vhu_event_new(&p.answer), 0);
    assert_int_equal(uv_thread_create(&thread, signal_and_wait, &p), 0);
    for (unsigned i = 1; i <= TURNS; i++) {
        w.last = i;
        while (w.calls < i) {
            if (i % 2) {
                vhu_uv_watch_set(w.watch, 0);
                uv_run(&loop, UV_RUN_NOWAIT);
                vhu_uv_watch_set(w.watch, VHU_WAIT_READ);
            }
            uv_run(&loop, UV_RUN_ONCE);
        }
        assert_int_equal(w.calls, i);
        vhu_event_signal(p.answer);
    }
    uv_thread_join(&thread);
    watched_close(&w);
    vhu_event_free(p.answer);
    loop_close(&loop);
}

/* --- a stream --- */

typedef struct receiver {
    vhu_stream *stream;
    vhu_uv_watch *watch;
    unsigned calls, messages;
} receiver;

static void receive(void *arg)
{
    receiver *rx = arg;
    const vhu_transport *t = vhu_stream_transport(rx->stream);
    vhu_msg_header header;
    size_t n;
    int r;

    rx->calls++;
    do {
        n = 0;
        r = t->recv(rx->stream, &header, sizeof(header), NULL, &n);
        rx->messages += r == sizeof(header);
    } while (r > 0);
    if (t->arm)
        t->arm(rx->stream, VHU_WAIT_READ);
}

static void test_stream(void **state)
{
    const vhu_msg_header header = {.request = 1, .flags = 1, .size = 0};
    const vhu_transport *t;
    vhu_stream *pair[2];
    receiver rx = {0};
    uv_loop_t loop;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    assert_int_equal(vhu_stream_pair(pair), 0);
    t = vhu_stream_transport(pair[0]);
    rx.stream = pair[0];
    if (t->arm)
        t->arm(pair[0], VHU_WAIT_READ);
    assert_int_equal(
        vhu_uv_watch_new(&rx.watch, &loop, t->wait_handle(pair[0]), VHU_WAIT_READ, receive, &rx),
        0);
    for (unsigned i = 1; i <= 200; i++) {
        assert_int_equal(t->send(pair[1], &header, sizeof(header), NULL, 0), sizeof(header));
        while (rx.messages < i)
            uv_run(&loop, UV_RUN_ONCE);
    }
    /* It does not spin when there is nothing; Windows may call once for what is received already.
     */
    rx.calls = 0;
    for (int i = 0; i < 1000; i++)
        uv_run(&loop, UV_RUN_NOWAIT);
    assert_in_range(rx.calls, 0, 1);
    vhu_uv_watch_close(rx.watch);
    vhu_stream_free(pair[0]);
    vhu_stream_free(pair[1]);
    loop_close(&loop);
}

static void test_refused(void **state)
{
    vhu_handle closed = sys_handle_new();
    const vhu_handle handles[] = {VHU_NO_HANDLE, closed};
    uv_loop_t loop;
    vhu_uv_watch *watch = NULL;

    (void)state;
    assert_int_equal(uv_loop_init(&loop), 0);
    vhu_handle_close(&closed);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(vhu_uv_watch_new(&watch, &loop, handles[i], VHU_WAIT_READ, on_ready, NULL),
                         VHU_EINVAL);
    assert_null(watch);
    loop_close(&loop);
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
        leakcheck_test(test_ready),     leakcheck_test(test_signalled_before),
        leakcheck_test(test_no_events), leakcheck_test(test_close),
        leakcheck_test(test_again),     leakcheck_test(test_many),
        leakcheck_test(test_threads),   leakcheck_test(test_stream),
        leakcheck_test(test_refused),
    };

    return cmocka_run_group_tests_name("uv_watch", tests, first_loop, NULL);
}
