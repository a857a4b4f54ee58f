/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/test_loop.h"

#include "support/leakcheck.h"

enum { SHORT_MS = 5 };

static void on_prepare(uv_prepare_t *prepare)
{
    ((test_loop *)prepare->data)->turns++;
}

static void on_limit(uv_timer_t *timer)
{
    (void)timer; /* the loop is awake */
}

static void on_tick(uv_timer_t *timer)
{
    ((test_loop *)timer->data)->ticks++;
}

int test_loop_setup(void **state)
{
    uv_loop_t loop;

    (void)state;
    return uv_loop_init(&loop) == 0 ? uv_loop_close(&loop) : -1;
}

void test_loop_open(test_loop *loop)
{
    *loop = (test_loop){.turns = 0};
    assert_int_equal(uv_loop_init(&loop->uv), 0);
    uv_prepare_init(&loop->uv, &loop->prepare);
    uv_timer_init(&loop->uv, &loop->limit);
    uv_timer_init(&loop->uv, &loop->timer);
    loop->prepare.data = loop->timer.data = loop;
    uv_prepare_start(&loop->prepare, on_prepare);
    uv_timer_start(&loop->limit, on_limit, SHORT_MS, SHORT_MS);
}

void test_loop_close(test_loop *loop)
{
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->limit, NULL);
    uv_close((uv_handle_t *)&loop->timer, NULL);
    assert_int_equal(uv_run(&loop->uv, UV_RUN_DEFAULT), 0);
    assert_int_equal(uv_loop_close(&loop->uv), 0);
}

void test_loop_turn(test_loop *loop)
{
    uv_run(&loop->uv, UV_RUN_ONCE);
}

void test_loop_tick(test_loop *loop, unsigned ms, unsigned repeat_ms)
{
    loop->ticks = 0;
    uv_update_time(&loop->uv);
    uv_timer_start(&loop->timer, on_tick, ms, repeat_ms);
}

uint64_t test_loop_pause(test_loop *loop, unsigned ms)
{
    uint64_t turns = loop->turns;

    test_loop_tick(loop, ms, 0);
    test_loop_until(loop, loop->ticks > 0);
    return loop->turns - turns;
}
