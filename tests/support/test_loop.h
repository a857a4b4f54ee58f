/* SPDX-License-Identifier: BSD-3-Clause */
/* A libuv loop that a test turns by hand. Whoever sends replies on this thread runs on it. */
#ifndef TEST_LOOP_H
#define TEST_LOOP_H

#include <stdint.h>
#include <uv.h>

typedef struct test_loop {
    uv_loop_t uv;
    uv_prepare_t prepare;
    uv_timer_t limit; /* of a turn's sleep */
    uv_timer_t timer;
    uint64_t turns;
    unsigned ticks; /* of the timer */
} test_loop;

/* For the group: libuv opens handles with its first loop, for good. */
int test_loop_setup(void **state);

void test_loop_open(test_loop *loop);
/* Runs it to its end: nothing else may be left on it. */
void test_loop_close(test_loop *loop);

/*
 * One turn: sleep until there is something to do, but never long, since what somebody waits for may
 * have happened already.
 */
void test_loop_turn(test_loop *loop);

#define test_loop_until(loop, condition)                                                           \
    do {                                                                                           \
        uv_run(&(loop)->uv, UV_RUN_NOWAIT);                                                        \
        while (!(condition))                                                                       \
            test_loop_turn(loop);                                                                  \
    } while (0)

/* Tick after some milliseconds, and then as often as `repeat_ms` says. */
void test_loop_tick(test_loop *loop, unsigned ms, unsigned repeat_ms);

/* Let time pass: how often the loop turned. */
uint64_t test_loop_pause(test_loop *loop, unsigned ms);

#endif
