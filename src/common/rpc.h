/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What clients of either role share: the checks that a request's row asks for, requests out, their
 * replies in, in order and in time. A reply that breaks the protocol, or none in time, closes the
 * connection.
 */
#ifndef VHU_RPC_H
#define VHU_RPC_H

#include "conn.h"
#include "requests.h"

/* A reply as it came. `handles` are closed afterwards, but for those set to VHU_NO_HANDLE. */
typedef struct vhu__reply {
    uint32_t size;
    const uint8_t *payload;
    vhu_handle *handles;
    size_t num_handles;
} vhu__reply;

typedef struct vhu__call vhu__call;

/*
 * Check the reply and store what is in it. 0, VHU_EREFUSED, or VHU_EINVALID_MESSAGE if it breaks
 * the protocol.
 */
typedef int vhu__take(const vhu__call *call, const vhu__reply *reply);

/* `take` for an acknowledgement. */
vhu__take vhu__take_ack;

/* Whether to ask for an acknowledgement where a request has no reply of its own. */
typedef enum vhu__ask { VHU__ASK_IF_WANTED, VHU__ASK_ALWAYS, VHU__ASK_NEVER } vhu__ask;

/* A request as its function makes it. */
typedef struct vhu__message {
    uint32_t code;
    const void *payload;
    uint32_t len;
    const vhu_handle *handles; /* stay the caller's */
    size_t num_handles;
    vhu__ask ask;
    vhu__take *take; /* NULL: it has no reply but an acknowledgement */
    void *out;       /* where `take` stores */
    void *also;
    uint32_t count;
    uint64_t *settles; /* becomes `value` when it is done, and not if it is refused; or NULL */
    uint64_t value;
} vhu__message;

/* A request under way. */
struct vhu__call {
    uint32_t code;
    const char *name;
    uint32_t asked;  /* bytes of the request's payload */
    vhu__take *take; /* NULL: there will be no reply, it is done when it is sent */
    void *out;
    void *also;
    uint32_t count;
    uint64_t *settles;
    uint64_t value;
    int *status;       /* where the outcome goes; NULL: to `done`, or into `failure` */
    uint64_t deadline; /* 0: none */
};

typedef struct vhu__rpc {
    vhu_conn *conn;
    int timeout_ms;
    uint64_t sent; /* when the last request was */
    bool ack;      /* wanted */
    /* What was negotiated. */
    uint64_t features;
    uint64_t protocol_features;
    void (*done)(void *arg, uint32_t request, int status, vhu_handle *handle);
    void *done_arg;
    int failure; /* the first one that nobody has been told yet */
    uint32_t first;
    uint32_t num_calls;
    vhu__call calls[VHU_MAX_CALLS];
} vhu__rpc;

/* *conn is taken. `timeout_ms` as in the clients' options. */
void vhu__rpc_init(vhu__rpc *rpc, vhu_conn **conn, int timeout_ms);
void vhu__rpc_release(vhu__rpc *rpc);

void vhu__rpc_set_timeout(vhu__rpc *rpc, int timeout_ms);

static inline bool vhu__rpc_has(const vhu__rpc *rpc, unsigned feature)
{
    return (rpc->protocol_features & VHU_BIT(feature)) != 0;
}

/* Refuse a call before anything is sent: sets the last error and returns `code`. */
int vhu__rpc_refuse(vhu__rpc *rpc, const char *name, int code, const char *why);

/*
 * Send a request; `request` NULL: a private one. 0, or why it was not sent. With `status`, what has
 * no reply is done at once if all of it has gone out, whatever is under way before it.
 */
int vhu__rpc_send(vhu__rpc *rpc, const vhu__request *request, const vhu__message *m, int *status);

/* Nobody waits for the request that was sent last, which is not done yet. */
void vhu__rpc_let_go(vhu__rpc *rpc);

/* Whether what was sent last has a reply to come. */
bool vhu__rpc_awaits_reply(const vhu__rpc *rpc);

/* Whether a request of this code is under way. */
bool vhu__rpc_is_under_way(const vhu__rpc *rpc, uint32_t code);

/*
 * Take the replies that are here. VHU_EAGAIN: some are to come, or requests are queued still. 0:
 * nothing is under way. Otherwise all have failed with this, and the connection is closed.
 */
int vhu__rpc_turn(vhu__rpc *rpc);

/*
 * The same, for a caller that has waited: with nothing under way the peer may have left. Returns,
 * and forgets, the first failure if all are done.
 */
int vhu__rpc_finish(vhu__rpc *rpc);

/* The connection is of no use any more: whatever is under way has failed. Returns `code`. */
int vhu__rpc_poison(vhu__rpc *rpc, int code);

/* When the first time limit is up, the connection's own included; 0: none. */
uint64_t vhu__rpc_deadline(const vhu__rpc *rpc);

/* The same in milliseconds from now; -1: none. */
int vhu__rpc_deadline_ms(const vhu__rpc *rpc);

#endif
