/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Two streams whose bytes and handles go from one to the other, unchanged. Of each direction one
 * message is held at most; while it cannot be sent on, nothing more is received, so that the sender
 * feels what the receiver does.
 */
#ifndef TRACE_LINK_H
#define TRACE_LINK_H

#include "trace.h"

#include <vmm_vhost/uv.h>

/* What a stream passes at once. */
enum { LINK_MAX_HANDLES = 32 };

struct link;

/* What a link asks of its owner. */
struct link_owner {
    struct trace *trace;
    struct negotiated negotiated;
    /* A handle of SET_BACKEND_REQ_FD is about to be passed on: may be replaced. */
    void (*back_channel)(struct link_owner *owner, const struct link *link, vhu_handle *handle);
    /* It has ended, both streams are closed, it may be freed. */
    void (*ended)(struct link_owner *owner, struct link *link);
};

/* One direction. */
struct flow {
    uint8_t *buf;
    size_t room;
    size_t have;     /* bytes in buf */
    size_t need;     /* bytes until something is whole: the header, the message */
    size_t sent;     /* of those in buf */
    bool whole;      /* each receive gives a whole message */
    bool headed;     /* the header is known */
    bool raw;        /* framing is lost: bytes go on as they come */
    bool dry;        /* nothing more to receive now */
    bool ended;      /* the sender has */
    bool blocked;    /* the receiver is to read first */
    bool interposed; /* its back channel goes through us */
    bool done;       /* nothing will go this way any more */
    vhu_msg_header header;
    uint64_t received_ns;
    uint64_t sent_ns;
    vhu_handle handles[LINK_MAX_HANDLES]; /* that have not been sent on */
    size_t num_handles;
    struct handle_info infos[TRACE_MAX_INFOS];
    size_t num_infos; /* handles of this message, more than infos perhaps */
};

struct end {
    struct link *link;
    vhu_stream *stream;
    const vhu_transport *transport;
    vhu_uv_watch *watch;
};

struct link {
    struct link *next; /* for the owner */
    struct link_owner *owner;
    struct channel channel;
    struct end ends[2];
    struct flow flows[2]; /* by the side that sends */
    uv_idle_t farewell;   /* does nothing but to be closed, which the loop tells */
    bool closed;
};

/* Both streams are taken, in any case. 0 or VHU_E*. */
int link_new(struct link **out, struct link_owner *owner, uv_loop_t *loop, unsigned connection,
             unsigned number, vhu_stream *ends[2]);
/* End it now; owner->ended follows from the loop. */
void link_close(struct link *link);
void link_free(struct link *link);

#endif
