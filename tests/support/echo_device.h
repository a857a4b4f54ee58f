/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device for the requests of frontend.h: it answers each, now or later or when it is told to, and
 * checks that they come in order, none lost, none twice.
 */
#ifndef TEST_ECHO_DEVICE_H
#define TEST_ECHO_DEVICE_H

#include <stdatomic.h>
#include <vmm_vhost/device.h>

#include "support/frontend.h"

enum { ECHO_SLOTS = 64, ECHO_CONFIG = 16 };

/* Its worker's, but for the atomic members. */
typedef struct echo_ring {
    vhu_ring *ring; /* NULL: parked */
    uint64_t next_seq;
    uint32_t first; /* the oldest that is out, and how many are */
    uint32_t out;
    vhu_chain chains[ECHO_SLOTS];
    vhu_buf bufs[ECHO_SLOTS][4];
    atomic_uint started;
    atomic_uint parked;
    atomic_uint turns; /* of handle_ring */
    atomic_uint taken;
    atomic_uint completed;
} echo_ring;

typedef struct echo_device {
    unsigned workers;
    /* Any thread. */
    atomic_bool hold;     /* what was taken stays out */
    atomic_bool later;    /* completed in poll, not in handle_ring */
    atomic_bool own_time; /* poll takes, handle_ring does not */
    atomic_bool reverse;  /* the last that came is the first that is done */
    atomic_uint room;     /* how many of a ring may be out */
    atomic_uint polls;
    atomic_uint errors;
    bool no_flush; /* in complete: poll flushes */
    /* The connection's thread's. */
    uint64_t features;
    int features_result;
    unsigned set_features;
    uint8_t config[ECHO_CONFIG];
    echo_ring rings[FRONTEND_RINGS];
} echo_device;

extern const vhu_device_ops echo_ops;

void echo_init(echo_device *echo, unsigned workers);

/* Before another front-end's first request. */
void echo_forget(echo_device *echo);

#endif
