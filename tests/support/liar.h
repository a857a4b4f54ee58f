/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A back-end that keeps to the protocol but for one lie: it passes messages on between its
 * front-ends, one after another, and the disk of probe_rig.h.
 */
#ifndef TEST_LIAR_H
#define TEST_LIAR_H

#include <uv.h>
#include <vmm_vhost/protocol.h>

#include "support/probe_rig.h"

/* That a stream passes at once. */
enum { LIAR_MAX_HANDLES = 32 };

enum lie_kind {
    LIE_NONE,
    /* Requests that are not passed on. */
    LIE_ACKNOWLEDGE, /* as done, if an acknowledgement is asked for */
    LIE_REFUSE,      /* the same */
    LIE_ALWAYS_ACKNOWLEDGE,
    LIE_SILENT,
    LIE_WAIT, /* for the payload of a header that says it is too long */
    /* Requests that are passed on with a change. */
    LIE_KEEP_HANDLES,
    LIE_NO_OFFSET,
    /* Replies. */
    LIE_NEED_REPLY,
    LIE_LONGER,
    LIE_TWICE,
    LIE_OTHER_CODE,
    LIE_EVERY_OTHER, /* a bit changes each time */
    LIE_ONE_MORE,    /* in its second number */
    LIE_MANY_HANDLES,
    LIE_AT_MOST_256 /* bytes of configuration */
};

/*
 * Have the probe meet one at SOCKET. It begins when the probe has been started: what libuv closes
 * for that, unseen by ThreadSanitizer, is nothing that the liar can have been given then.
 */
void liar_meet(enum lie_kind kind, uint32_t request, struct probed *probed,
               const char *const *args);

#endif
