/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end's server with a fake device, and the peer that speaks to it. */
#ifndef TEST_RIG_H
#define TEST_RIG_H

#include "support/fake_backend.h"
#include "support/pair.h"
#include "support/requests_spec.h"

typedef struct rig {
    int handles_before;
    peer peer;
    vhu_conn *conn;
    vhu_backend_server *server;
    fake_backend fake;
    message reply;
} rig;

/* Connect over a pair of this kind, with the fake's ops or others; or with options. */
void rig_open(rig *r, int kind, const vhu_backend_ops *ops);
void rig_open_with(rig *r, int kind, const vhu_conn_options *conn_options,
                   const vhu_backend_server_options *options);

/* The same over a connection that is made already. */
void rig_open_on(rig *r, vhu_conn *conn, const vhu_backend_ops *ops);

/* Close all of it, and check that no handle is left. */
void rig_close(rig *r);

/* Acknowledge virtio features and protocol features; no replies. */
void rig_negotiate(rig *r, uint64_t features, uint64_t protocol_features);

/* All that a request with this gate needs, or all but that. */
void rig_negotiate_for(rig *r, const request_spec *spec);
void rig_negotiate_without(rig *r, const request_spec *spec);

/* Serve until nothing more has come. */
int rig_serve(rig *r);

/* Send, with handles of the rig's own making, and serve: the result of serving. */
int rig_send(rig *r, const message *m);
int rig_request(rig *r, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                size_t num_handles);

/* Exactly one reply has come, well formed, to `request`, of `size` bytes: it is in r->reply. */
void rig_expect_reply(rig *r, uint32_t request, uint32_t size, size_t num_handles);
uint64_t rig_expect_u64(rig *r, uint32_t request);
void rig_expect_silence(rig *r);
void rig_expect_closed(rig *r);

/* The connection goes on, in step: another request gets its answer. */
void rig_expect_alive(rig *r);

#endif
