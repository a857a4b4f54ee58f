/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One row for each request: what its message looks like, when it is allowed, how it is answered.
 * Data only: servers, clients, tools, tests and docs read the same table.
 */
#ifndef VHU_REQUESTS_H
#define VHU_REQUESTS_H

#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

/* What a request is answered with. */
typedef enum vhu__reply_kind {
    VHU__REPLY_ACK,     /* a status, if the sender asked for one */
    VHU__REPLY_U64,     /* a number */
    VHU__REPLY_STATUS,  /* a u64 status, asked for or not; maybe a handle */
    VHU__REPLY_VRING,   /* vring state */
    VHU__REPLY_LOG,     /* nothing inside, with LOG_SHMFD; else as ACK */
    VHU__REPLY_CONFIG,  /* configuration header and bytes */
    VHU__REPLY_SESSION, /* the request's parameters with the session's id */
    VHU__REPLY_HANDLE,  /* nothing inside, and a handle if it succeeded */
    VHU__REPLY_INFLIGHT,
    VHU__REPLY_STATE, /* a u64 of error and NOFD bits, maybe a handle */
    VHU__REPLY_SHMEM, /* shared memory configuration */
    VHU__REPLY_MEMORY /* as ACK; in postcopy the request's regions with our addresses */
} vhu__reply_kind;

/* How a failure is said in the reply. */
typedef enum vhu__failure_kind {
    VHU__FAIL_ACK,       /* non-zero status, if one was asked for; else by closing */
    VHU__FAIL_CLOSE,     /* not at all: by closing */
    VHU__FAIL_STATUS,    /* non-zero u64 */
    VHU__FAIL_EMPTY,     /* payload of no bytes */
    VHU__FAIL_NO_HANDLE, /* no handle */
    VHU__FAIL_INFLIGHT,  /* mmap_size 0 */
    VHU__FAIL_SESSION    /* id < 0 */
} vhu__failure_kind;

#define VHU__NO_GATE 0xff

typedef struct vhu__request {
    uint32_t code;
    const char *name;
    uint16_t size_min; /* bytes of payload; more than size_max is refused */
    uint16_t size_max;
    uint8_t handles_min;
    uint8_t handles_max;
    uint8_t protocol_gate; /* protocol feature bit that must have been negotiated */
    uint8_t virtio_gate;   /* or: virtio feature bit that must have been acknowledged */
    uint8_t handles_gate;  /* protocol feature bit that a message with handles needs, too */
    vhu__reply_kind reply;
    vhu__failure_kind failure;
} vhu__request;

/* A front-end's request, and a back-end's. NULL: the code is unknown. */
const vhu__request *vhu__frontend_request(uint32_t code);
const vhu__request *vhu__backend_request(uint32_t code);

#endif
