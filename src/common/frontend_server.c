/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's end of the back channel: public face, and a handler for each back-end request. */
#include <stdlib.h>
#include <vmm_vhost/frontend.h>

#include "server.h"

struct vhu_frontend_server {
    vhu__server base; /* first: handlers get there from it */
    vhu_frontend_ops ops;
    void *self;
};

typedef struct vhu_frontend_server frontend;

/* --- handlers --- */

static int refuse(frontend *f, const char *why)
{
    return vhu__server_refuse(&f->base, VHU_EINVALID_MESSAGE, "%s", why);
}

static int iotlb_msg(frontend *f)
{
    vhu_iotlb_msg *msg = &f->base.args.iotlb;
    const char *why;

    if (!vhu__wire_load_iotlb(msg, f->base.payload, &why))
        return refuse(f, why);
    if (msg->type != VHU_IOTLB_MISS && msg->type != VHU_IOTLB_ACCESS_FAIL)
        return refuse(f, "neither a miss nor a failed access");
    return f->ops.iotlb_msg(f->self, msg);
}

static int config_changed(frontend *f)
{
    return f->ops.config_changed(f->self);
}

static int vring_host_notifier(frontend *f)
{
    vhu__wire_area area;
    const char *why;
    uint32_t ring;
    int r;

    if (!vhu__wire_load_area(&area, f->base.payload, &why))
        return refuse(f, why);
    r = vhu__server_check_ring_handle(&f->base, area.ring, &ring);
    if (r < 0)
        return r;
    return f->ops.vring_host_notifier(f->self, ring, area.size, area.offset, f->base.handles);
}

static int notify(frontend *f, int (*op)(void *self, uint32_t ring))
{
    vhu_vring_state *vring;
    int r = vhu__server_load_vring(&f->base, &vring);

    return r < 0 ? r : op(f->self, vring->index);
}

static int vring_call(frontend *f)
{
    return notify(f, f->ops.vring_call);
}

static int vring_err(frontend *f)
{
    return notify(f, f->ops.vring_err);
}

static int shared_object_add(frontend *f)
{
    return f->ops.shared_object_add(f->self, f->base.payload);
}

static int shared_object_remove(frontend *f)
{
    return f->ops.shared_object_remove(f->self, f->base.payload);
}

static int shared_object_lookup(frontend *f)
{
    return f->ops.shared_object_lookup(f->self, f->base.payload, &f->base.reply_handle);
}

static int load_shmem(frontend *f, vhu_shmem_request **request)
{
    const char *why;

    *request = &f->base.args.shmem_request;
    if (vhu__wire_load_shmem_request(*request, f->base.payload, &why))
        return 0;
    return refuse(f, why);
}

static int shmem_map(frontend *f)
{
    vhu_shmem_request *request;
    int r = load_shmem(f, &request);

    return r < 0 ? r : f->ops.shmem_map(f->self, request, f->base.handles);
}

static int shmem_unmap(frontend *f)
{
    vhu_shmem_request *request;
    int r = load_shmem(f, &request);

    return r < 0 ? r : f->ops.shmem_unmap(f->self, request);
}

static const struct {
    int (*handle)(frontend *f);
    size_t op;
} handlers[] = {
#define HANDLER(code, name) [VHU_BACKEND_REQ_##code] = {name, offsetof(vhu_frontend_ops, name)}
    HANDLER(IOTLB_MSG, iotlb_msg),
    HANDLER(CONFIG_CHANGE_MSG, config_changed),
    HANDLER(VRING_HOST_NOTIFIER_MSG, vring_host_notifier),
    HANDLER(VRING_CALL, vring_call),
    HANDLER(VRING_ERR, vring_err),
    HANDLER(SHARED_OBJECT_ADD, shared_object_add),
    HANDLER(SHARED_OBJECT_REMOVE, shared_object_remove),
    HANDLER(SHARED_OBJECT_LOOKUP, shared_object_lookup),
    HANDLER(SHMEM_MAP, shmem_map),
    HANDLER(SHMEM_UNMAP, shmem_unmap),
#undef HANDLER
};

static int call_op(frontend *f)
{
    uint32_t code = f->base.header.request;

    if (!f->base.request && f->ops.private_request)
        return vhu__server_private(&f->base, f->ops.private_request, f->self);
    if (!f->base.request || !vhu__has_op(&f->ops, handlers[code].op))
        return VHU_ENOSYS;
    return handlers[code].handle(f);
}

/* A back-end may try what this end has never heard of, and the rest must not suffer from it. */
static int dispatch(vhu__server *server)
{
    int r = call_op((frontend *)server);

    return r == VHU_ENOSYS ? vhu__server_pass_over(server) : r;
}

static const vhu__role role = {vhu__backend_request, dispatch, NULL};

/* --- public face --- */

int vhu_frontend_server_new(vhu_frontend_server **out, vhu_conn **conn, const vhu_frontend_ops *ops,
                            void *self, const vhu_frontend_server_options *options)
{
    vhu_frontend_server_options o = {.size = sizeof(o)};
    vhu_frontend_server *server = calloc(1, sizeof(*server));

    if (!server)
        return VHU_ENOMEM;
    if (!vhu__copy_sized(&server->ops, sizeof(server->ops), ops) ||
        (options && !vhu__copy_sized(&o, sizeof(o), options)) || o.max_rings > VHU_MAX_RINGS) {
        free(server);
        return VHU_EINVAL;
    }
    vhu__server_init(&server->base, &role, conn, o.max_rings);
    server->self = self;
    vhu_frontend_server_set_features(server, o.features, o.protocol_features);
    *out = server;
    return 0;
}

void vhu_frontend_server_free(vhu_frontend_server *server)
{
    if (!server)
        return;
    vhu__server_release(&server->base);
    free(server);
}

void vhu_frontend_server_set_features(vhu_frontend_server *server, uint64_t features,
                                      uint64_t protocol_features)
{
    server->base.features = features;
    server->base.protocol_features = protocol_features;
}

int vhu_frontend_server_recv_header(vhu_frontend_server *server, vhu_msg_header *header)
{
    return vhu__server_recv_header(&server->base, header);
}

bool vhu_frontend_server_needs_wait_for_payload(vhu_frontend_server *server)
{
    return vhu__server_needs_wait(&server->base);
}

int vhu_frontend_server_process_message(vhu_frontend_server *server)
{
    return vhu__server_process(&server->base);
}

int vhu_frontend_server_serve(vhu_frontend_server *server)
{
    return vhu__server_serve(&server->base);
}

int vhu_frontend_server_complete(vhu_frontend_server *server, int status)
{
    return vhu__server_complete(&server->base, status);
}

vhu_conn *vhu_frontend_server_conn(const vhu_frontend_server *server)
{
    return server->base.conn;
}
