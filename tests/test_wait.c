/* SPDX-License-Identifier: BSD-3-Clause */
#include <uv.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/wait.h>

#include "support/leakcheck.h"

/* As many events as can be waited for, and what waits for them. */
typedef struct group {
    vhu_event *events[VHU_MAX_WAITS];
    vhu_wait waits[VHU_MAX_WAITS];
} group;

static void group_open(group *g)
{
    for (size_t i = 0; i < VHU_MAX_WAITS; i++) {
        assert_int_equal(vhu_event_new(&g->events[i]), 0);
        g->waits[i] = (vhu_wait){vhu_event_wait_handle(g->events[i]), VHU_WAIT_READ, true};
    }
}

static void group_close(group *g)
{
    for (size_t i = 0; i < VHU_MAX_WAITS; i++)
        vhu_event_free(g->events[i]);
}

static size_t count_ready(const group *g)
{
    size_t n = 0;

    for (size_t i = 0; i < VHU_MAX_WAITS; i++)
        n += g->waits[i].ready;
    return n;
}

static void test_nothing(void **state)
{
    vhu_wait none[2] = {{VHU_NO_HANDLE, VHU_WAIT_READ, true}, {VHU_NO_HANDLE, 0, true}};
    vhu_wait too_many[VHU_MAX_WAITS + 1] = {0};
    group g;

    (void)state;
    group_open(&g);
    assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, 0), VHU_ETIMEDOUT);
    assert_int_equal(count_ready(&g), 0);
    assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, 10), VHU_ETIMEDOUT);
    assert_int_equal(vhu_wait_any(none, 2, 10), VHU_ETIMEDOUT);
    assert_false(none[0].ready || none[1].ready);
    assert_int_equal(vhu_wait_any(NULL, 0, 0), VHU_ETIMEDOUT);
    assert_int_equal(vhu_wait_any(too_many, VHU_MAX_WAITS + 1, 0), VHU_EINVAL);
    group_close(&g);
}

static void test_one(void **state)
{
    group g;

    (void)state;
    group_open(&g);
    for (size_t i = 0; i < VHU_MAX_WAITS; i++) {
        assert_int_equal(vhu_event_signal(g.events[i]), 0);
        assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, -1), 0);
        assert_true(g.waits[i].ready);
        assert_int_equal(count_ready(&g), 1);
        vhu_event_clear(g.events[i]);
    }
    group_close(&g);
}

/* Those that are passed over keep their places. */
static void test_gaps(void **state)
{
    group g;

    (void)state;
    group_open(&g);
    for (size_t i = 0; i < VHU_MAX_WAITS; i++) {
        if (i % 3 != 2)
            g.waits[i].handle = VHU_NO_HANDLE;
    }
    for (size_t i = 0; i < VHU_MAX_WAITS; i++) {
        bool waited = i % 3 == 2;

        assert_int_equal(vhu_event_signal(g.events[i]), 0);
        assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, 0), waited ? 0 : VHU_ETIMEDOUT);
        assert_int_equal(g.waits[i].ready, waited);
        assert_int_equal(count_ready(&g), waited);
        vhu_event_clear(g.events[i]);
    }
    group_close(&g);
}

/* All are told, at once or one after another. */
static void test_all(void **state)
{
    bool told[VHU_MAX_WAITS] = {false};
    size_t left = VHU_MAX_WAITS;
    group g;

    (void)state;
    group_open(&g);
    for (size_t i = 0; i < VHU_MAX_WAITS; i++)
        assert_int_equal(vhu_event_signal(g.events[i]), 0);
    while (left > 0) {
        assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, 0), 0);
        assert_true(count_ready(&g) > 0);
        for (size_t i = 0; i < VHU_MAX_WAITS; i++) {
            if (!g.waits[i].ready)
                continue;
            assert_false(told[i]);
            told[i] = true;
            left--;
            vhu_event_clear(g.events[i]);
        }
    }
    assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, 0), VHU_ETIMEDOUT);
    group_close(&g);
}

static void signal_last(void *arg)
{
    group *g = arg;

    vhu_event_signal(g->events[VHU_MAX_WAITS - 1]);
}

static void test_wakes(void **state)
{
    uv_thread_t thread;
    group g;

    (void)state;
    group_open(&g);
    assert_int_equal(uv_thread_create(&thread, signal_last, &g), 0);
    assert_int_equal(vhu_wait_any(g.waits, VHU_MAX_WAITS, -1), 0);
    assert_true(g.waits[VHU_MAX_WAITS - 1].ready);
    uv_thread_join(&thread);
    group_close(&g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_nothing), leakcheck_test(test_one),   leakcheck_test(test_gaps),
        leakcheck_test(test_all),     leakcheck_test(test_wakes),
    };

    return cmocka_run_group_tests_name("wait", tests, NULL, NULL);
}
