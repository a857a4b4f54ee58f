/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The beginning of a pipe: who transfers handles, and that each side's process is the one at the
 * other end. docs/windows-transport.md, "The beginning".
 */
#ifndef VHU_HANDSHAKE_H
#define VHU_HANDSHAKE_H

#include <vmm_vhost/stream.h>

#include "handle_pass.h"
#include "pipe.h"
#include "pipe_frame.h"

typedef enum vhu__handshake_state {
    VHU__HANDSHAKE_HELLO, /* the peer's is awaited */
    VHU__HANDSHAKE_PROOF, /* the peer's is awaited */
    VHU__HANDSHAKE_DONE
} vhu__handshake_state;

typedef struct vhu__handshake {
    vhu__handshake_state state;
    bool is_server;
    bool check_client;
    bool transfers;
    bool proof_due; /* ours is to be sent */
    uint32_t caps;
    HANDLE process; /* the peer's, if somebody gave it */
    /* Ours, while the peer may have it and has not answered; of the side that transfers alone. */
    HANDLE proof;
    uint64_t proof_value;
    uint8_t nonce[VHU__FRAME_NONCE];
    uint8_t peer_nonce[VHU__FRAME_NONCE];
} vhu__handshake;

/* VHU_EINVAL, or VHU_EPERM if the process may not be used as it has to be. */
int vhu__handshake_check_options(const vhu_pipe_options *options);

/*
 * Begin, with the first frame. A server checks its client if `flags` have VHU_CHECK_PEER. Options
 * are those of a stream, checked before, or NULL.
 */
int vhu__handshake_begin(vhu__handshake *hs, vhu__pipe *pipe, bool is_server, unsigned flags,
                         const vhu_pipe_options *options);

/* Go on: 0 when it is done and *pass is made; VHU_EAGAIN; or why it has failed. Never blocks. */
int vhu__handshake_turn(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass);

/* What a BYE says, as an error. */
int vhu__handshake_refused(const uint8_t *reason);

/* Before the pass, which is needed unless it was never turned. */
void vhu__handshake_release(vhu__handshake *hs, const vhu__pass *pass);

#endif
