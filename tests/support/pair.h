/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Connected pairs of every kind of transport: a connection under test, and a peer that a test has
 * in its hand, byte by byte where the transport allows that.
 */
#ifndef TEST_PAIR_H
#define TEST_PAIR_H

#include <stdint.h>

#include <vmm_vhost/conn.h>
#include <vmm_vhost/protocol.h>

#include "support/leakcheck.h"

enum { PEER_MAX_HANDLES = 64 };

/* One message, as the peer sends or has received it. */
typedef struct message {
    vhu_msg_header header;
    uint8_t payload[VHU_MAX_PAYLOAD + 64];
    size_t num_handles;
    vhu_handle handles[PEER_MAX_HANDLES];
} message;

typedef struct peer {
    int fd;         /* of a socket, in blocking mode; or -1 */
    vhu_conn *conn; /* of a pair through memory */
    bool messages;
} peer;

typedef struct pair_kind {
    const char *name;
    bool messages; /* whole ones only */
    bool waits;    /* there is a wait handle */
    bool bytes;    /* the peer can send any bytes */
} pair_kind;

enum { PAIR_STREAM, PAIR_SEQPACKET, PAIR_MEMORY_STREAM, PAIR_MEMORY_MESSAGES, PAIR_KINDS };

extern const pair_kind pair_kinds[PAIR_KINDS];

void pair_open(peer *p, vhu_conn **conn, int kind, const vhu_conn_options *options);

/* The handles are duplicated. */
void peer_send(peer *p, const void *bytes, size_t len, const vhu_handle *handles, size_t n);
void peer_send_message(peer *p, const message *m);

/* Receive one whole message: false if there is none, or the connection has ended. */
bool peer_recv(peer *p, message *m);

/* Whether the other side has closed; nothing may be left unread. */
bool peer_sees_end(peer *p);
void peer_close(peer *p);

/* The message as bytes; returns how many. */
size_t message_bytes(const message *m, uint8_t *out);
void message_close_handles(message *m);

/* `n` handles to send; some pipe's, which is closed by handles_close. */
void handles_open(vhu_handle *handles, size_t n);
void handles_close(vhu_handle *handles, size_t n);

/* Whether both are of the same file. */
bool handles_same(vhu_handle a, vhu_handle b);

#endif
