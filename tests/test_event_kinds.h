/* SPDX-License-Identifier: BSD-3-Clause */
/* What a peer may send as an event, on each system. */
#ifndef TEST_EVENT_KINDS_H
#define TEST_EVENT_KINDS_H

#include <vmm_vhost/event.h>

#include "support/leakcheck.h"

typedef struct event_kind {
    const char *name;
    int (*make)(vhu_handle ends[2]); /* [0] is to wait, [1] to signal; 0 or -1 */
    bool closes;                     /* the other end sees it */
    void (*fill)(vhu_handle end);    /* by other means than signals; or NULL */
} event_kind;

extern const event_kind event_kinds[];
extern const size_t num_event_kinds;

/* Both ends of a new one, as events. */
void adopt_both(const event_kind *kind, vhu_event **waiter, vhu_event **signaller);

/* That it is no event. The handle is closed. */
typedef int adopt_fn(vhu_event **out, vhu_handle *handle);
void refuse(adopt_fn *adopt, vhu_handle handle);

#endif
