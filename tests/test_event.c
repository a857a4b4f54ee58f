/* SPDX-License-Identifier: BSD-3-Clause */
/* Built once for each way in which this system makes events. */
#include <uv.h>
#include <vmm_vhost/error.h>

#include "support/sys.h"
#include "test_event_kinds.h"
#include "util.h"

/* --- our own --- */

static void test_new(void **state)
{
    vhu_event *event = NULL;

    (void)state;
    assert_int_equal(vhu_event_new(&event), 0);
    assert_true(sys_handle_is_open(vhu_event_wait_handle(event)));
    assert_false(sys_handle_is_inherited(vhu_event_wait_handle(event)));
    assert_int_equal(vhu_event_clear(event), VHU_EAGAIN);
    assert_int_equal(vhu_event_wait(event, 0), VHU_ETIMEDOUT);
    assert_int_equal(vhu_event_wait(event, 10), VHU_ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(vhu_event_signal(event), 0);
    assert_int_equal(vhu_event_wait(event, -1), 0);
    assert_int_equal(vhu_event_clear(event), 0);
    assert_int_equal(vhu_event_clear(event), VHU_EAGAIN);
    assert_int_equal(vhu_event_wait(event, 0), VHU_ETIMEDOUT);
    vhu_event_free(event);
    vhu_event_free(NULL);
}

static void test_dup(void **state)
{
    vhu_event *event = NULL, *peer_signals = NULL, *peer_waits = NULL;
    vhu_handle handle = VHU_NO_HANDLE;

    (void)state;
    assert_int_equal(vhu_event_new(&event), 0);
    assert_int_equal(vhu_event_dup_signal(event, &handle), 0);
    assert_false(sys_handle_is_inherited(handle));
    assert_int_equal(vhu_event_adopt_signal(&peer_signals, &handle), 0);
    assert_int_equal(vhu_event_dup_wait(event, &handle), 0);
    assert_false(sys_handle_is_inherited(handle));
    assert_int_equal(vhu_event_adopt_wait(&peer_waits, &handle), 0);
    assert_int_equal(vhu_event_signal(peer_signals), 0);
    assert_int_equal(vhu_event_clear(event), 0);
    assert_int_equal(vhu_event_signal(event), 0);
    assert_int_equal(vhu_event_wait(peer_waits, 0), 0);
    assert_int_equal(vhu_event_clear(peer_waits), 0);
    assert_int_equal(vhu_event_clear(event), VHU_EAGAIN);
    vhu_event_free(peer_waits);
    vhu_event_free(peer_signals);
    vhu_event_free(event);
}

/* --- a peer's --- */

static void test_adopted(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_event_kinds; i++) {
        vhu_event *waiter = NULL, *signaller = NULL;
        vhu_handle handle = VHU_NO_HANDLE;

        adopt_both(&event_kinds[i], &waiter, &signaller);
        assert_int_equal(vhu_event_clear(waiter), VHU_EAGAIN);
        assert_int_equal(vhu_event_wait(waiter, 0), VHU_ETIMEDOUT);
        for (int turn = 0; turn < 3; turn++) {
            assert_int_equal(vhu_event_signal(signaller), 0);
            assert_int_equal(vhu_event_signal(signaller), 0);
            assert_int_equal(vhu_event_wait(waiter, 0), 0);
            assert_int_equal(vhu_event_clear(waiter), 0);
            assert_int_equal(vhu_event_clear(waiter), VHU_EAGAIN);
        }
        /* Each has only the one end. */
        assert_int_equal(vhu_event_signal(waiter), VHU_ESTATE);
        assert_int_equal(vhu_event_dup_signal(waiter, &handle), VHU_ESTATE);
        assert_int_equal(vhu_event_clear(signaller), VHU_ESTATE);
        assert_int_equal(vhu_event_wait(signaller, 0), VHU_ESTATE);
        assert_int_equal(vhu_event_dup_wait(signaller, &handle), VHU_ESTATE);
        assert_int_equal(vhu_event_wait_handle(signaller), VHU_NO_HANDLE);
        assert_int_equal(handle, VHU_NO_HANDLE);
        vhu_event_free(signaller);
        assert_int_equal(vhu_event_clear(waiter),
                         event_kinds[i].closes ? VHU_EDISCONNECT : VHU_EAGAIN);
        vhu_event_free(waiter);
    }
}

/* To wait takes nothing back, and to clear takes what has come since then, too. */
static void test_wait_leaves_it(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_event_kinds; i++) {
        vhu_event *waiter = NULL, *signaller = NULL;

        adopt_both(&event_kinds[i], &waiter, &signaller);
        assert_int_equal(vhu_event_signal(signaller), 0);
        for (int turn = 0; turn < 3; turn++)
            assert_int_equal(vhu_event_wait(waiter, turn - 1), 0);
        assert_int_equal(vhu_event_signal(signaller), 0);
        assert_int_equal(vhu_event_wait(waiter, -1), 0);
        assert_int_equal(vhu_event_clear(waiter), 0);
        assert_int_equal(vhu_event_clear(waiter), VHU_EAGAIN);
        assert_int_equal(vhu_event_wait(waiter, 0), VHU_ETIMEDOUT);
        vhu_event_free(signaller);
        vhu_event_free(waiter);
    }
}

/* A peer that never clears, and fills it up before: still signalled, and nobody waits. */
static void test_full(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_event_kinds; i++) {
        vhu_event *waiter = NULL, *signaller = NULL;
        vhu_handle handle = VHU_NO_HANDLE;
        int rounds = 1;

        adopt_both(&event_kinds[i], &waiter, &signaller);
        assert_int_equal(vhu_event_dup_signal(signaller, &handle), 0);
        if (event_kinds[i].fill)
            event_kinds[i].fill(handle);
        for (int k = 0; k < 100000; k++)
            assert_int_equal(vhu_event_signal(signaller), 0);
        /* All of a pipe may be more than one clear takes; it stays signalled for the rest. */
        while (vhu_event_clear(waiter) == 0 && rounds < 1000)
            rounds++;
        assert_in_range(rounds, 1, 100);
        assert_int_equal(vhu_event_wait(waiter, 0), VHU_ETIMEDOUT);
        vhu_handle_close(&handle);
        vhu_event_free(signaller);
        vhu_event_free(waiter);
    }
}

/* --- what is no event --- */

static void test_refused(void **state)
{
    (void)state;
    refuse(vhu_event_adopt_wait, VHU_NO_HANDLE);
    refuse(vhu_event_adopt_signal, VHU_NO_HANDLE);
    refuse(vhu_event_adopt_wait, sys_odd_handle_new());
    refuse(vhu_event_adopt_signal, sys_odd_handle_new());
}

/* --- threads --- */

enum { SIGNALS = 20000 };

typedef struct worker {
    vhu_event *event;
    uv_thread_t thread;
    bool failed;
} worker;

static void signal_many(void *arg)
{
    worker *w = arg;

    for (int i = 0; i < SIGNALS && !w->failed; i++)
        w->failed = vhu_event_signal(w->event) != 0;
}

/* Two that clear the same one: none may block, each may find nothing. */
static void clear_many(void *arg)
{
    worker *w = arg;

    for (int i = 0; i < SIGNALS && !w->failed; i++) {
        int r = vhu_event_clear(w->event);

        w->failed = r != 0 && r != VHU_EAGAIN;
    }
}

static void test_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_event_kinds; i++) {
        vhu_event *waiter = NULL, *signaller = NULL;
        worker workers[4] = {0};

        adopt_both(&event_kinds[i], &waiter, &signaller);
        for (int t = 0; t < 4; t++) {
            workers[t].event = t % 2 ? signaller : waiter;
            assert_int_equal(
                uv_thread_create(&workers[t].thread, t % 2 ? signal_many : clear_many, &workers[t]),
                0);
        }
        for (int t = 0; t < 4; t++) {
            uv_thread_join(&workers[t].thread);
            assert_false(workers[t].failed);
        }
        vhu_event_free(signaller);
        vhu_event_free(waiter);
    }
}

/* Each waits for the other's signal before it gives its own: none may get lost. */
static void answer(void *arg)
{
    vhu_event **events = arg;

    for (int i = 0; i < SIGNALS; i++) {
        vhu_event_wait(events[0], -1);
        vhu_event_clear(events[0]);
        vhu_event_signal(events[1]);
    }
}

static void test_turns(void **state)
{
    vhu_event *events[2];
    uv_thread_t thread;

    (void)state;
    for (int i = 0; i < 2; i++)
        assert_int_equal(vhu_event_new(&events[i]), 0);
    assert_int_equal(uv_thread_create(&thread, answer, events), 0);
    for (int i = 0; i < SIGNALS; i++) {
        assert_int_equal(vhu_event_signal(events[0]), 0);
        assert_int_equal(vhu_event_wait(events[1], -1), 0);
        assert_int_equal(vhu_event_clear(events[1]), 0);
        assert_int_equal(vhu_event_clear(events[1]), VHU_EAGAIN);
    }
    uv_thread_join(&thread);
    for (int i = 0; i < 2; i++)
        vhu_event_free(events[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_new),     leakcheck_test(test_dup),
        leakcheck_test(test_adopted), leakcheck_test(test_wait_leaves_it),
        leakcheck_test(test_full),    leakcheck_test(test_refused),
        leakcheck_test(test_threads), leakcheck_test(test_turns),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
