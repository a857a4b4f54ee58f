/* SPDX-License-Identifier: BSD-3-Clause */
/* Every request of the back-end's client, with the arguments that request_build() has for it. */
#ifndef TEST_CLIENT_CALLS_H
#define TEST_CLIENT_CALLS_H

#include <vmm_vhost/backend_client.h>

#include "support/requests_spec.h"

/* What a request is given, and where its results go; all of it must outlive the request. */
typedef struct call {
    uint32_t code;
    vhu_handle handle; /* that it is given */
    vhu_mem_region region;
    vhu_inflight_area inflight;

    uint64_t number; /* of GET_FEATURES and its like */
    uint32_t base;
    uint8_t config[8];
    int64_t session;
    vhu_shmem_config shmem;
    vhu_handle result; /* a handle that came back */
} call;

/* Opens what is given; call_close closes that and what came back. */
void call_open(call *c, uint32_t code);
void call_close(call *c);

int call_send(call *c, vhu_backend_client *client);

/* A reply that the request accepts; of handles only the number is set. Without one: an ack of 0. */
void reply_build(const request_spec *spec, message *m);

/* One that says that the back-end has failed; false if no reply can say so. */
bool reply_build_failure(const request_spec *spec, message *m);

/* The results are those of reply_build(); `same` is the handle that it carried. */
void call_expect_results(const call *c);

#endif
