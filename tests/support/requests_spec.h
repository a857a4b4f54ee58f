/* SPDX-License-Identifier: BSD-3-Clause */
/* The requests as the specification has them, apart from the library's own table. */
#ifndef TEST_REQUESTS_SPEC_H
#define TEST_REQUESTS_SPEC_H

#include "support/fake_backend.h"
#include "support/pair.h"

/* What a refusal looks like to the front-end. */
typedef enum spec_failure {
    SPEC_ACK,       /* non-zero if asked for, else the end */
    SPEC_CLOSE,     /* the end */
    SPEC_STATUS,    /* non-zero */
    SPEC_STATE,     /* error and NOFD bits */
    SPEC_EMPTY,     /* no payload */
    SPEC_NO_HANDLE, /* no handle */
    SPEC_INFLIGHT,  /* no size */
    SPEC_SESSION    /* negative number */
} spec_failure;

enum { SPEC_NO_GATE = -1, SPEC_NO_REPLY = -1 };

typedef struct request_spec {
    uint32_t code;
    const char *name;
    fake_op op;
    uint32_t size;    /* of a right payload */
    uint32_t shorter; /* a size that is too short; 0: none is */
    uint32_t longer;  /* one that is too long; 0: none is */
    uint32_t handles_min;
    uint32_t handles; /* of a right message */
    uint32_t handles_max;
    int protocol_gate;
    int virtio_gate;
    int reply_size; /* SPEC_NO_REPLY: acknowledged if asked for */
    uint32_t reply_handles;
    spec_failure failure;
} request_spec;

enum { REQUEST_SPECS = 44 };

extern const request_spec request_specs[REQUEST_SPECS];

const request_spec *request_spec_of(uint32_t code);

/* A right message, but for its handles, of which only the number is set. */
void request_build(const request_spec *spec, uint32_t flags, message *m);

#endif
