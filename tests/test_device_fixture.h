/* SPDX-License-Identifier: BSD-3-Clause */
/* A device of the kit and its front-end on one thread, with workers that turn when they are told.
 */
#ifndef TEST_DEVICE_FIXTURE_H
#define TEST_DEVICE_FIXTURE_H

#include "support/echo_device.h"
#include "support/frontend.h"

enum { KIT_WORKERS = 2, KIT_WAITS = VHU_DEVICE_LIFE + 1 };

typedef struct kit {
    unsigned workers; /* 0: no executor */
    vhu_device *device;
    vhu_backend_server *server; /* NULL: nobody is connected */
    echo_device echo;
    frontend front;
    int ended; /* what the connection ended with */
    unsigned left;
    bool manual; /* the workers turn in kit_work() alone */
    /* Of the executor. */
    unsigned wakes[KIT_WORKERS];
    unsigned notified;
    int watch_result;
    vhu_handle watched[FRONTEND_RINGS]; /* VHU_NO_HANDLE: not */
    unsigned unwatched[FRONTEND_RINGS];
    vhu_wait also[KIT_WAITS];
    unsigned logged; /* warnings and errors */
    char last_log[200];
} kit;

typedef struct kit_options {
    unsigned workers;
    uint32_t rings;
    size_t regions; /* 0: one */
    bool serve_disabled;
    uint64_t features; /* besides FRONTEND_FEATURES */
    uint32_t size;     /* descriptors of a ring; 0: 16 */
    uint64_t withhold;
    bool sealed_memory;
    bool host_notifiers;
    bool inband;
    bool cross_endian;
    const vhu_device_ops *ops; /* NULL: echo_ops; their `self` is the kit's echo */
    const vhu_shmem_config *shmem;
} kit_options;

/* A front-end is connected, and has said nothing yet. */
kit *kit_new(const kit_options *options);
/* All that a front-end does until its rings run. */
kit *kit_started(const kit_options *options);
/* Checks that the device and the drivers saw nothing wrong. */
void kit_free(kit *k);

/* Another front-end, with the same memory. */
void kit_connect(kit *k);

/* One turn of the connection, of a worker, or of all: until there is nothing to do. */
void kit_serve(kit *k);
void kit_work(kit *k, unsigned worker);
void kit_turn(void *k);

/* Do `n` requests on a ring, or as many as fit, and check them. */
void kit_requests(kit *k, uint32_t ring, uint32_t n);
/* Take back what is done by now, turn, and check that it was `n`. */
void kit_reap(kit *k, uint32_t ring, uint32_t n);
bool kit_runs(const kit *k, uint32_t ring);
/* What the connection's thread has been told to wait for, too. */
vhu_wait kit_also(const kit *k, vhu_device_wait which);

/* Run a test on no executor, and on one and two workers. */
void kit_each(void (*test)(const kit_options *options), kit_options options);

#endif
