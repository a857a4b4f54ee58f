/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's end of the back channel: every back-end request as a function that only sends. */
#include <stdlib.h>
#include <vmm_vhost/frontend.h>

#include "rpc.h"
#include "wire.h"

struct vhu_frontend_client {
    vhu__rpc rpc;
};

typedef struct vhu_frontend_client client;

/* --- life --- */

int vhu_frontend_client_new(client **out, vhu_conn **conn,
                            const vhu_frontend_client_options *options)
{
    vhu_frontend_client_options o = {.size = sizeof(o)};
    client *c;

    if (options && !vhu__copy_sized(&o, sizeof(o), options))
        return VHU_EINVAL;
    c = calloc(1, sizeof(*c));
    if (!c)
        return VHU_ENOMEM;
    vhu__rpc_init(&c->rpc, conn, o.timeout_ms);
    vhu_frontend_client_set_features(c, o.features, o.protocol_features);
    c->rpc.done = o.done;
    c->rpc.done_arg = o.arg;
    *out = c;
    return 0;
}

void vhu_frontend_client_free(client *c)
{
    if (!c)
        return;
    vhu__rpc_release(&c->rpc);
    free(c);
}

void vhu_frontend_client_set_features(client *c, uint64_t features, uint64_t protocol_features)
{
    c->rpc.features = features;
    c->rpc.protocol_features = protocol_features;
}

void vhu_frontend_client_set_ack(client *c, bool ack)
{
    c->rpc.ack = ack;
}

int vhu_frontend_client_finish(client *c)
{
    int r = vhu__rpc_finish(&c->rpc);

    /* A refusal has been told to `done`, if anybody wants to know. */
    return r == VHU_EREFUSED ? 0 : r;
}

int vhu_frontend_client_deadline_ms(const client *c)
{
    return vhu__rpc_deadline_ms(&c->rpc);
}

vhu_conn *vhu_frontend_client_conn(const client *c)
{
    return c->rpc.conn;
}

/* --- requests --- */

static int send_message(client *c, const vhu__message *m)
{
    return vhu__rpc_send(&c->rpc, vhu__backend_request(m->code), m, NULL);
}

static int send_payload(client *c, uint32_t code, const void *payload, uint32_t len)
{
    return send_message(c, &(vhu__message){.code = code, .payload = payload, .len = len});
}

static int send_vring(client *c, uint32_t code, uint32_t ring)
{
    const vhu_vring_state state = {.index = ring};

    return send_payload(c, code, &state, sizeof(state));
}

int vhu_frontend_client_iotlb_msg(client *c, const vhu_iotlb_msg *msg)
{
    return send_payload(c, VHU_BACKEND_REQ_IOTLB_MSG, msg, sizeof(*msg));
}

int vhu_frontend_client_config_changed(client *c)
{
    return send_payload(c, VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, NULL, 0);
}

int vhu_frontend_client_vring_host_notifier(client *c, uint32_t ring, uint64_t size,
                                            uint64_t offset, vhu_handle handle)
{
    bool none = handle == VHU_NO_HANDLE;
    const vhu__wire_area area = {
        .ring = ring | (none ? (uint64_t)VHU__WIRE_NO_HANDLE : 0), .size = size, .offset = offset};

    if (ring >= VHU_MAX_RINGS)
        return vhu__rpc_refuse(&c->rpc, "VRING_HOST_NOTIFIER_MSG", VHU_EINVAL,
                               "the ring is not below 256");
    return send_message(c, &(vhu__message){.code = VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG,
                                           .payload = &area,
                                           .len = sizeof(area),
                                           .handles = &handle,
                                           .num_handles = none ? 0 : 1});
}

int vhu_frontend_client_vring_call(client *c, uint32_t ring)
{
    return send_vring(c, VHU_BACKEND_REQ_VRING_CALL, ring);
}

int vhu_frontend_client_vring_err(client *c, uint32_t ring)
{
    return send_vring(c, VHU_BACKEND_REQ_VRING_ERR, ring);
}

int vhu_frontend_client_shared_object_add(client *c, const uint8_t uuid[16])
{
    return send_payload(c, VHU_BACKEND_REQ_SHARED_OBJECT_ADD, uuid, 16);
}

int vhu_frontend_client_shared_object_remove(client *c, const uint8_t uuid[16])
{
    return send_payload(c, VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE, uuid, 16);
}

/* The handle goes from the reply to `done`. */
static int take_object(const vhu__call *call, const vhu__reply *reply)
{
    bool found;

    (void)call;
    if (reply->size != 8)
        return VHU_EINVALID_MESSAGE;
    found = vhu__wire_load_u64(reply->payload) == 0;
    if (reply->num_handles > (found ? 1u : 0u))
        return VHU_EINVALID_MESSAGE;
    return reply->num_handles == 1 ? 0 : VHU_EREFUSED;
}

int vhu_frontend_client_shared_object_lookup(client *c, const uint8_t uuid[16])
{
    return send_message(c, &(vhu__message){.code = VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP,
                                           .payload = uuid,
                                           .len = 16,
                                           .take = take_object});
}

int vhu_frontend_client_shmem_map(client *c, const vhu_shmem_request *request, vhu_handle handle)
{
    return send_message(c, &(vhu__message){.code = VHU_BACKEND_REQ_SHMEM_MAP,
                                           .payload = request,
                                           .len = sizeof(*request),
                                           .handles = &handle,
                                           .num_handles = 1});
}

int vhu_frontend_client_shmem_unmap(client *c, const vhu_shmem_request *request)
{
    return send_payload(c, VHU_BACKEND_REQ_SHMEM_UNMAP, request, sizeof(*request));
}

int vhu_frontend_client_private_request(client *c, uint32_t request, const void *payload,
                                        uint32_t len, const vhu_handle *handles, size_t num_handles)
{
    if (vhu__backend_request(request))
        return vhu__rpc_refuse(&c->rpc, vhu_backend_request_name(request), VHU_EINVAL,
                               "it is not private");
    return send_message(c, &(vhu__message){.code = request,
                                           .payload = payload,
                                           .len = len,
                                           .handles = handles,
                                           .num_handles = num_handles});
}
