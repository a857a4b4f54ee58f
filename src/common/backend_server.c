/* SPDX-License-Identifier: BSD-3-Clause */
#include "backend_server.h"

#include <stdlib.h>

static const vhu__role role = {vhu__frontend_request, vhu__backend_dispatch, vhu__backend_settle};

int vhu_backend_server_new(vhu_backend_server **out, vhu_conn **conn, const vhu_backend_ops *ops,
                           void *self, const vhu_backend_server_options *options)
{
    vhu_backend_server_options o = {.size = sizeof(o)};
    vhu_backend_server *server = calloc(1, sizeof(*server));

    if (!server)
        return VHU_ENOMEM;
    if (!vhu__copy_sized(&server->ops, sizeof(server->ops), ops) ||
        (options && !vhu__copy_sized(&o, sizeof(o), options)) || o.max_rings > VHU_MAX_RINGS) {
        free(server);
        return VHU_EINVAL;
    }
    vhu__server_init(&server->base, &role, conn, o.max_rings);
    server->self = self;
    server->mapping_acked = true;
    *out = server;
    return 0;
}

void vhu_backend_server_free(vhu_backend_server *server)
{
    if (!server)
        return;
    vhu__server_release(&server->base);
    vhu_conn_free(server->channel);
    free(server);
}

int vhu_backend_server_recv_header(vhu_backend_server *server, vhu_msg_header *header)
{
    return vhu__server_recv_header(&server->base, header);
}

bool vhu_backend_server_needs_wait_for_payload(vhu_backend_server *server)
{
    return vhu__server_needs_wait(&server->base);
}

int vhu_backend_server_process_message(vhu_backend_server *server)
{
    return vhu__server_process(&server->base);
}

int vhu_backend_server_serve(vhu_backend_server *server)
{
    return vhu__server_serve(&server->base);
}

int vhu_backend_server_complete(vhu_backend_server *server, int status)
{
    return vhu__server_complete(&server->base, status);
}

vhu_conn *vhu_backend_server_conn(const vhu_backend_server *server)
{
    return server->base.conn;
}

uint64_t vhu_backend_server_features(const vhu_backend_server *server)
{
    return server->base.features;
}

uint64_t vhu_backend_server_protocol_features(const vhu_backend_server *server)
{
    return server->base.protocol_features;
}
