/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A transport that does what a script says: how many bytes each call moves, where handles come,
 * when it stalls. It counts calls.
 */
#ifndef TEST_SCRIPTED_H
#define TEST_SCRIPTED_H

#include <stdint.h>

#include <vmm_vhost/conn.h>

#include "support/pair.h"

typedef struct scripted {
    /* What will be received. */
    uint8_t in[1 << 16];
    size_t in_len;
    size_t in_done;
    size_t in_step;  /* bytes in one call; 0: no limit */
    bool in_stalls;  /* every other call finds nothing */
    int in_end;      /* what follows the bytes: VHU_EAGAIN, VHU_EDISCONNECT ... */
    size_t attached; /* handles, with the byte at `attach_at`; the call ends behind that byte */
    size_t attach_at;
    vhu_handle attach[PEER_MAX_HANDLES];

    /* What was sent. */
    uint8_t out[1 << 16];
    size_t out_len;
    size_t out_step;
    size_t out_room; /* bytes until the peer has to read; SIZE_MAX: no limit */
    bool out_stalls;
    int out_error; /* instead of sending */
    size_t handles_sent;
    bool handles_alone; /* all handles went with a call of their own message */

    unsigned recvs;
    unsigned sends;
    unsigned shutdowns;
    unsigned closes;
    bool stall_in;
    bool stall_out;
} scripted;

/* `flags`: VHU_TRANSPORT_*. */
void scripted_open(scripted *s, vhu_conn **conn, unsigned flags, const vhu_conn_options *options);
void scripted_add(scripted *s, const message *m);

#endif
