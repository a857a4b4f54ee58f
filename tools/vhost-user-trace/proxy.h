/* SPDX-License-Identifier: BSD-3-Clause */
/* Who comes to one address is connected with the other one. */
#ifndef TRACE_PROXY_H
#define TRACE_PROXY_H

#include "link.h"

struct session;

struct proxy {
    uv_loop_t *loop;
    struct trace *trace;
    const char *connect;
    unsigned wait_ms; /* for somebody to listen there */
    vhu_listener *listener;
    vhu_uv_watch *listening;
    uv_timer_t retry; /* after accepting has failed for want of something */
    struct session *sessions;
    void (*idle)(void *arg); /* the last session has ended */
    void *arg;
};

/* The listener is taken on success. 0 or VHU_E*. */
int proxy_start(struct proxy *proxy, vhu_listener **listener);
/* Nobody is accepted any more. */
void proxy_stop_listening(struct proxy *proxy);
/* And nobody is served. */
void proxy_stop(struct proxy *proxy);
bool proxy_is_idle(const struct proxy *proxy);

#endif
