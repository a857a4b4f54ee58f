/* SPDX-License-Identifier: BSD-3-Clause */
/* A back-end's client, and at the other end either our own server or a peer in the test's hand. */
#ifndef TEST_CLIENT_RIG_H
#define TEST_CLIENT_RIG_H

#include "support/client_calls.h"
#include "support/rig.h"

#define CLIENT_FEATURES                                                                            \
    (VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_ACCESS_PLATFORM) | VHU_BIT(VHU_F_LOG_ALL) |          \
     VHU_BIT(VHU_F_PROTOCOL_FEATURES))

/* How requests are waited for: begun and finished, or by themselves, the server in between. */
enum { RIG_BEGUN, RIG_BLOCKING };

typedef struct client_rig {
    int handles_before;
    bool blocking;
    vhu_backend_client *client;
    vhu_conn *conn; /* the client's */
    rig back;       /* its server, if there is one */
    peer peer;      /* else this */
} client_rig;

/* With our own server. Only pairs that wait can block. */
void client_rig_open(client_rig *r, int kind, int mode, const vhu_backend_ops *ops);
/* With a peer. */
void client_rig_open_peer(client_rig *r, int kind);
/* Closes all, and checks that no handle is left. */
void client_rig_close(client_rig *r);

/* Negotiate all that both can do but for these protocol features. With a server, or a peer. */
void client_rig_negotiate_without(client_rig *r, uint64_t protocol_features);

/* Send and see it done. */
int client_rig_call(client_rig *r, call *c);

/* See what was begun done: the result of finish. */
int client_rig_finish(client_rig *r);

/* The peer's end: the next request has come; its handles are closed. */
void client_rig_expect_request(client_rig *r, uint32_t request, uint32_t flags, message *m);
void client_rig_expect_no_request(client_rig *r);

/* Send a reply with handles of the rig's own making. */
void client_rig_reply(client_rig *r, const message *m);

/* Begin a request, have the peer take it and answer `reply` (NULL: nothing), and finish. */
int client_rig_exchange(client_rig *r, call *c, const message *reply);

/* The connection is closed, and says why; nothing more can be asked. */
void client_rig_expect_closed(client_rig *r, const char *text);

#endif
