/* SPDX-License-Identifier: BSD-3-Clause */
/* A VMM's end of the back channel that records, and the requests as the specification has them. */
#ifndef TEST_FAKE_FRONTEND_H
#define TEST_FAKE_FRONTEND_H

#include <vmm_vhost/frontend.h>

#include "support/pair.h"
#include "support/requests_spec.h"

#define CHANNEL_FEATURES VHU_BIT(VHU_F_ACCESS_PLATFORM)
#define CHANNEL_PROTOCOL (VHU_BIT(VHU_PF_END) - 1)

enum { BACKEND_SPECS = 10 };

typedef struct backend_spec {
    uint32_t code;
    const char *name;
    size_t op; /* in vhu_frontend_ops */
    uint32_t size;
    uint32_t handles; /* of a right message */
    uint32_t handles_min;
    uint32_t handles_max;
    int protocol_gate;
    int virtio_gate;
    bool own_reply;
} backend_spec;

extern const backend_spec backend_specs[BACKEND_SPECS];

/* A right message, as request_build(). */
void backend_request_build(const backend_spec *spec, uint32_t flags, message *m);

/* The same through the client. */
int backend_request_send(const backend_spec *spec, vhu_frontend_client *client, vhu_handle handle);

typedef struct fake_frontend {
    int result;                /* of every op */
    bool take;                 /* the handles that come */
    bool not_found;            /* look nothing up */
    void (*within)(void *arg); /* called by every op */
    void *within_arg;

    unsigned calls;
    uint32_t last; /* request */
    uint32_t ring;
    uint64_t size;
    uint64_t offset;
    uint8_t bytes[64];
    uint32_t len;
    vhu_iotlb_msg iotlb;
    vhu_shmem_request shmem;
    size_t num_handles;
    vhu_handle taken[VHU_MAX_HANDLES];
} fake_frontend;

void fake_frontend_init(fake_frontend *f);
void fake_frontend_release(fake_frontend *f);

extern const vhu_frontend_ops fake_frontend_ops;

/* What the op saw is what backend_request_build() says. */
void fake_frontend_expect(const fake_frontend *f, const backend_spec *spec);

#endif
