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
#include <vmm_vhost/stream.h>

#include "support/leakcheck.h"

enum { PEER_MAX_HANDLES = 64 };

/* One message, as the peer sends or has received it. */
typedef struct message {
    vhu_msg_header header;
    uint8_t payload[VHU_MAX_PAYLOAD + 64];
    size_t num_handles;
    vhu_handle handles[PEER_MAX_HANDLES];
} message;

/* The other end, past all framing; one of both, or none once it was closed. */
typedef struct peer {
    vhu_stream *stream;
    vhu_conn *conn; /* what is under it: of a pair through memory, and of peer_under() */
    bool messages;  /* whole ones only */
} peer;

/* The last is not everywhere. */
enum { PAIR_STREAM, PAIR_MEMORY_STREAM, PAIR_MEMORY_MESSAGES, PAIR_SEQPACKET, PAIR_KINDS };

typedef struct pair_kind {
    const char *name;
    bool waits; /* there is a wait handle */
} pair_kind;

extern const pair_kind pair_kinds[PAIR_KINDS];

/* How many of them this system has. */
int pair_num_kinds(void);

void pair_open(peer *p, vhu_conn **conn, int kind, const vhu_conn_options *options);

/* Whether messages can come in pieces, or several at once. */
bool pair_has_pieces(int kind);

/* How the peer's end is used: functions, and their `self`. */
const vhu_transport *peer_transport(const peer *p, void **self);

/* Speak past a connection, which stays the caller's. */
peer peer_under(vhu_conn *conn);

/* Any bytes; the handles are duplicated. */
void peer_send(peer *p, const void *bytes, size_t len, const vhu_handle *handles, size_t n);

/* Whole messages one behind the other: at once where that is possible. */
void peer_send_burst(peer *p, const void *bytes, size_t len);
void peer_send_message(peer *p, const message *m);

/* Receive one whole message: false if there is none, or the connection has ended. */
bool peer_recv(peer *p, message *m);

/* Whether the other side has closed; nothing may be left unread. */
bool peer_sees_end(peer *p);
void peer_close(peer *p);

/* The peer's end as a connection; the peer has none any more. */
vhu_conn *peer_to_conn(peer *p);

/*
 * Send a message each way, turning both ends of a connection that is new: streams that were
 * connected, accepted or adopted prove themselves at first.
 */
void conns_meet(vhu_conn *a, vhu_conn *b);

/* The message as bytes; returns how many. */
size_t message_bytes(const message *m, uint8_t *out);
void message_close_handles(message *m);

/* `n` handles to send, of one thing that does nothing; closed by handles_close. */
void handles_open(vhu_handle *handles, size_t n);
void handles_close(vhu_handle *handles, size_t n);

#endif
