/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end's client, between its public face and its requests. */
#ifndef VHU_BACKEND_CLIENT_INTERNAL_H
#define VHU_BACKEND_CLIENT_INTERNAL_H

#include <vmm_vhost/backend_client.h>
#include <vmm_vhost/frontend.h>

#include "rpc.h"

struct vhu_backend_client {
    vhu__rpc rpc;
    vhu_frontend_server *channel;
    bool begun; /* calls are not waited for */
    /*
     * 0: not in postcopy; else the code of the memory request that mem_mapped has to end, or
     * POSTCOPY_LISTEN if there is none.
     */
    uint64_t postcopy;
    uint64_t offered;
    uint64_t offered_protocol;
};

/* One for each kind of reply; `out` and `also` of the call are what its comment says. */
vhu__take vhu__take_u64;
vhu__take vhu__take_offer;
vhu__take vhu__take_any;
vhu__take vhu__take_base;
vhu__take vhu__take_config;
vhu__take vhu__take_session;
vhu__take vhu__take_handle;
vhu__take vhu__take_shmem;
vhu__take vhu__take_inflight;
vhu__take vhu__take_state;
vhu__take vhu__take_table;
vhu__take vhu__take_region;

/* Serve the attached channel, as vhu_frontend_server_serve(). */
int vhu__backend_client_serve_channel(vhu_backend_client *client);

/* Send, and wait for the outcome unless calls are only begun. `request` NULL: a private one. */
int vhu__backend_client_call(vhu_backend_client *client, const vhu__request *request,
                             const vhu__message *message);

/* Send what has no reply, and wait for nothing, not even for room. */
int vhu__backend_client_post(vhu_backend_client *client, const vhu__request *request,
                             const vhu__message *message);

#endif
