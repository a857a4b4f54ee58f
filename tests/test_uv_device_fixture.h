/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device on a loop, with worker threads. The loop and the front-end's requests are the test's
 * thread, which runs the loop while it waits for a reply; drivers may have threads of their own.
 */
#ifndef TEST_UV_DEVICE_FIXTURE_H
#define TEST_UV_DEVICE_FIXTURE_H

#include <vmm_vhost/uv.h>

#include "support/echo_device.h"
#include "support/frontend.h"
#include "support/sys.h"
#include "support/test_loop.h"

enum { UV_KIT_WORKERS = 4 };

typedef struct uv_kit {
    echo_device echo; /* first: it is the device's `self` */
    test_loop loop;
    vhu_uv_device *device; /* NULL: closed */
    frontend front;
    uint64_t features;   /* besides FRONTEND_FEATURES; with ACCESS_PLATFORM turns answer misses */
    sys_address address; /* what it listens on */
    uv_async_t nudge;    /* wakes the loop from a driver */
    unsigned connected;
    unsigned disconnected;
    int ended; /* why, the last time */
    bool closed;
    void (*on_connected)(struct uv_kit *k);
    void (*on_disconnected)(struct uv_kit *k);
    /* Workers. */
    bool postcopy; /* it is offered */
    unsigned workers;
    unsigned failing; /* worker_start of this one fails; 0: of none, else number + 1 */
    atomic_uint started;
    atomic_uint stopped;
    uv_async_t wake[UV_KIT_WORKERS];
    bool ticking; /* a timer on each worker's loop counts */
    uv_timer_t ticker[UV_KIT_WORKERS];
    atomic_uint ticks;
} uv_kit;

typedef struct uv_kit_options {
    unsigned workers;
    uint32_t rings;
    unsigned spin_us;
    size_t regions; /* 0: one */
    size_t spare;   /* of these, without rings */
    bool inband;
} uv_kit_options;

/* A loop, and options for a device on it; no device yet. */
uv_kit *uv_kit_bare(const uv_kit_options *options);
int uv_kit_make(uv_kit *k, const uv_kit_options *options);
/* A device that listens, and a front-end connected to it. */
void uv_kit_listen(uv_kit *k, const uv_kit_options *options, int timeout_ms);
uv_kit *uv_kit_new(const uv_kit_options *options, int timeout_ms);
uv_kit *uv_kit_featured(const uv_kit_options *options, uint64_t features);
/* The same with rings running. */
uv_kit *uv_kit_started(const uv_kit_options *options);
/* Closes what is open, runs the loop to its end, and checks all that was counted. */
void uv_kit_free(uv_kit *k);

vhu_stream *uv_kit_dial(const uv_kit *k);
/* The device serves another front-end, which no listener has accepted. */
void uv_kit_pair(uv_kit *k, uint32_t rings);
void uv_kit_close(uv_kit *k);

#define uv_kit_until(k, condition) test_loop_until(&(k)->loop, (uv_kit_answer(k), (condition)))
void uv_kit_answer(uv_kit *k);

/* There comes a pause in which nobody turns: all sleep. */
void uv_kit_expect_sleep(uv_kit *k);
/* Have every worker turn, as a device does whose work ends on another thread. */
void uv_kit_wake(uv_kit *k);
void uv_kit_release(uv_kit *k);

/* Do requests on a ring from this thread. */
void uv_kit_requests(uv_kit *k, uint32_t ring, uint32_t n);

/* --- drivers on threads --- */

typedef struct uv_driver {
    uv_kit *kit;
    frontend_ring *ring;
    uint64_t n; /* requests; 0: until stop */
    uint32_t depth;
    uv_thread_t thread;
    atomic_bool stop;
    atomic_bool ended;
} uv_driver;

void uv_driver_start(uv_driver *d, uv_kit *k, uint32_t ring, uint64_t n, uint32_t depth);
/* Runs the loop until it has ended; fails if it met an error. */
void uv_driver_join(uv_driver *d);

#endif
