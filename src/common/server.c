/* SPDX-License-Identifier: BSD-3-Clause */
#include "server.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "handles.h"

/* What a refusal says in a status: any value but zero does. */
#define STATUS_FAILED 1u

/* Of the reply to SET_DEVICE_STATE_FD. */
#define STATE_NO_HANDLE 0x100u

/* Messages that are served in one go: a flood shall not keep its loop from everything else. */
enum { SERVE_AT_ONCE = 256 };

void vhu__server_init(vhu__server *server, const vhu__role *role, vhu_conn **conn,
                      uint32_t max_rings)
{
    server->role = role;
    server->conn = *conn;
    *conn = NULL;
    server->max_rings = max_rings ? max_rings : VHU_MAX_RINGS;
    server->state = VHU__IDLE;
    server->reply_handle = VHU_NO_HANDLE;
    for (size_t i = 0; i < VHU_MAX_HANDLES; i++)
        server->handles[i] = VHU_NO_HANDLE;
}

void vhu__server_release(vhu__server *server)
{
    vhu__close_all(server->handles, VHU_MAX_HANDLES);
    vhu_handle_close(&server->reply_handle);
    vhu_conn_free(server->conn);
    server->conn = NULL;
}

int vhu__server_refuse(vhu__server *server, int code, const char *format, ...)
{
    char text[128];
    va_list args;

    server->refused = true;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (server->request)
        return vhu__conn_fail(server->conn, code, "%s: %s", server->request->name, text);
    return vhu__conn_fail(server->conn, code, "request %u: %s", server->header.request, text);
}

/* --- help for handlers --- */

int vhu__server_check_ring(vhu__server *server, uint32_t ring)
{
    if (ring < server->max_rings)
        return 0;
    return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "ring %u of %u", ring,
                              server->max_rings);
}

int vhu__server_check_handles(vhu__server *server, size_t expected)
{
    if (server->num_handles == expected)
        return 0;
    return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "%zu handles, not %zu",
                              server->num_handles, expected);
}

int vhu__server_check_size(vhu__server *server, uint32_t expected)
{
    if (server->header.size == expected)
        return 0;
    return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "a payload of %u bytes, not of %u",
                              server->header.size, expected);
}

int vhu__server_load_vring(vhu__server *server, vhu_vring_state **vring)
{
    *vring = &server->args.vring;
    vhu__wire_load_vring_state(*vring, server->payload);
    return vhu__server_check_ring(server, (*vring)->index);
}

int vhu__server_check_ring_handle(vhu__server *server, uint64_t value, uint32_t *ring)
{
    int r;

    *ring = (uint32_t)(value & VHU__WIRE_RING_MASK);
    r = vhu__server_check_ring(server, *ring);
    if (r < 0)
        return r;
    if (value & ~(uint64_t)(VHU__WIRE_RING_MASK | VHU__WIRE_NO_HANDLE))
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "reserved bits are set");
    return vhu__server_check_handles(server, value & VHU__WIRE_NO_HANDLE ? 0 : 1);
}

bool vhu__has_op(const void *ops, size_t op)
{
    void (*function)(void);

    memcpy(&function, (const char *)ops + op, sizeof(function));
    return function != NULL;
}

int vhu__server_private(vhu__server *server, vhu__private_op *op, void *self)
{
    size_t n = server->num_handles;

    if (!op)
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "unknown");
    if (n > VHU_MAX_HANDLES)
        return vhu__server_check_handles(server, VHU_MAX_HANDLES);
    return op(self, server->header.request, server->payload, server->header.size, server->handles,
              n);
}

/* --- the one exit --- */

static bool asked_for_ack(const vhu__server *server)
{
    return (server->header.flags & VHU_FLAG_NEED_REPLY) &&
           vhu__server_has(server, VHU_PF_REPLY_ACK);
}

static vhu__reply_kind reply_kind(const vhu__server *server)
{
    vhu__reply_kind kind = server->request ? server->request->reply : VHU__REPLY_ACK;

    if (kind == VHU__REPLY_LOG && !vhu__server_has(server, VHU_PF_LOG_SHMFD))
        return VHU__REPLY_ACK;
    if (kind == VHU__REPLY_MEMORY && !server->reply_regions)
        return VHU__REPLY_ACK;
    return kind;
}

int vhu__server_unsupported(vhu__server *server)
{
    return vhu__server_refuse(server, VHU_ENOSYS, "not supported here");
}

int vhu__server_pass_over(vhu__server *server)
{
    if (reply_kind(server) != VHU__REPLY_ACK || asked_for_ack(server))
        return vhu__server_unsupported(server);
    if (server->request)
        vhu__conn_warn(server->conn, "%s: not supported here, passed over", server->request->name);
    else
        vhu__conn_warn(server->conn, "request %u: unknown, passed over", server->header.request);
    return 0;
}

static vhu__failure_kind failure_kind(const vhu__server *server)
{
    vhu__reply_kind kind = reply_kind(server);

    if (kind == VHU__REPLY_LOG || kind == VHU__REPLY_MEMORY)
        return VHU__FAIL_CLOSE;
    return server->request ? server->request->failure : VHU__FAIL_ACK;
}

static int send_reply(vhu__server *server, size_t size)
{
    vhu_msg_header header = {.request = server->header.request,
                             .flags = VHU_VERSION_1 | VHU_FLAG_REPLY,
                             .size = (uint32_t)size};
    size_t num_handles = server->reply_handle == VHU_NO_HANDLE ? 0 : 1;

    vhu__wire_store_header(server->reply, &header);
    return vhu__conn_send(server->conn, server->reply, VHU__WIRE_HEADER + size,
                          &server->reply_handle, num_handles);
}

static int send_u64(vhu__server *server, uint64_t value)
{
    vhu__wire_store_u64(vhu__server_reply(server), value);
    return send_reply(server, 8);
}

/* The request's parameters again, with the session's number in front. */
static int send_session(vhu__server *server, int64_t session)
{
    uint32_t size = server->header.size;

    memcpy(vhu__server_reply(server), server->payload, size);
    vhu__wire_store_u64(vhu__server_reply(server), (uint64_t)session);
    return send_reply(server, size < 8 ? 8 : size);
}

/* In the size of the question: peers differ in it, and insist. */
static int send_inflight(vhu__server *server, const vhu_inflight_area *area)
{
    size_t size =
        server->header.size == VHU__WIRE_INFLIGHT ? VHU__WIRE_INFLIGHT : VHU__WIRE_INFLIGHT_PADDED;

    vhu__wire_store_inflight(vhu__server_reply(server), area, size);
    return send_reply(server, size);
}

static int reply_success(vhu__server *server)
{
    uint8_t *out = vhu__server_reply(server);
    const vhu__args *args = &server->args;

    switch (reply_kind(server)) {
    case VHU__REPLY_ACK:
        return asked_for_ack(server) ? send_u64(server, 0) : 0;
    case VHU__REPLY_U64:
        return send_u64(server, args->u64);
    case VHU__REPLY_STATUS:
        return send_u64(server, 0);
    case VHU__REPLY_VRING:
        vhu__wire_store_vring_state(out, &args->vring);
        return send_reply(server, sizeof(args->vring));
    case VHU__REPLY_LOG:
    case VHU__REPLY_HANDLE:
        return send_reply(server, 0);
    case VHU__REPLY_CONFIG: /* the op has put the bytes behind it */
        vhu__wire_store_config(out, &args->config);
        return send_reply(server, VHU__WIRE_CONFIG_HEADER + args->config.size);
    case VHU__REPLY_SESSION:
        return send_session(server, args->session);
    case VHU__REPLY_INFLIGHT:
        return send_inflight(server, &args->inflight);
    case VHU__REPLY_STATE:
        return send_u64(server, server->reply_handle == VHU_NO_HANDLE ? STATE_NO_HANDLE : 0);
    case VHU__REPLY_SHMEM:
        return send_reply(server, vhu__wire_store_shmem(out, &args->shmem));
    case VHU__REPLY_MEMORY:
        if (server->header.request == VHU_REQ_SET_MEM_TABLE)
            return send_reply(server,
                              vhu__wire_store_table(out, args->table.region, args->table.n));
        vhu__wire_store_region(out, &args->table.region[0]);
        return send_reply(server, VHU__WIRE_REGION);
    }
    return VHU_EINVAL;
}

/* 0: the peer has been told, the connection goes on. */
static int reply_failure(vhu__server *server)
{
    vhu_handle_close(&server->reply_handle);
    switch (failure_kind(server)) {
    case VHU__FAIL_ACK:
        return asked_for_ack(server) ? send_u64(server, STATUS_FAILED) : VHU_EDISCONNECT;
    case VHU__FAIL_CLOSE:
        return VHU_EDISCONNECT;
    case VHU__FAIL_STATUS:
        return send_u64(server, reply_kind(server) == VHU__REPLY_STATE
                                    ? STATUS_FAILED | STATE_NO_HANDLE
                                    : STATUS_FAILED);
    case VHU__FAIL_EMPTY:
    case VHU__FAIL_NO_HANDLE:
        return send_reply(server, 0);
    case VHU__FAIL_INFLIGHT:
        return send_inflight(server, &(vhu_inflight_area){.mmap_size = 0});
    case VHU__FAIL_SESSION:
        return send_session(server, -1);
    }
    return VHU_EDISCONNECT;
}

static int finish(vhu__server *server, int status)
{
    int r;

    vhu__conn_hold(server->conn, false);
    if (server->role->settle)
        server->role->settle(server, status);
    r = status < 0 ? reply_failure(server) : reply_success(server);
    vhu__close_all(server->handles, VHU_MAX_HANDLES);
    vhu_handle_close(&server->reply_handle);
    server->state = VHU__IDLE;
    vhu__conn_consume(server->conn);
    if (r < 0)
        vhu__conn_close(server->conn);
    /* To the caller VHU_EAGAIN says that bytes are missing, and nothing else. */
    if (status == VHU_EAGAIN)
        return VHU_EIO;
    return status < 0 ? status : r;
}

/* --- the three steps --- */

int vhu__server_recv_header(vhu__server *server, vhu_msg_header *header)
{
    int r;

    if (server->state == VHU__PENDING || server->state == VHU__IN_OP) {
        r = vhu__conn_flush(server->conn);
        return r < 0 ? r : VHU_EAGAIN;
    }
    r = vhu__conn_recv_header(server->conn, &server->header);
    if (r < 0)
        return r;
    server->state = VHU__HEADER;
    server->request = server->role->find(server->header.request);
    if (header)
        *header = server->header;
    return 0;
}

bool vhu__server_needs_wait(const vhu__server *server)
{
    return server->state == VHU__HEADER && vhu_conn_is_open(server->conn) &&
           !vhu__conn_has_payload(server->conn);
}

/* What can be said against a request by its row alone. */
static int check(vhu__server *server)
{
    const vhu__request *request = server->request;
    uint32_t size = server->header.size;
    uint32_t known = VHU_VERSION_MASK | VHU_FLAG_REPLY | VHU_FLAG_NEED_REPLY;

    if ((server->header.flags & ~known) && !vhu__conn_lenient(server->conn))
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "reserved flags 0x%x",
                                  server->header.flags & ~known);
    if (!request)
        return 0;
    if (size < request->size_min || size > request->size_max)
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE,
                                  "a payload of %u bytes, not of %u to %u", size, request->size_min,
                                  request->size_max);
    if (server->num_handles < request->handles_min || server->num_handles > request->handles_max)
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "%zu handles, not %u to %u",
                                  server->num_handles, request->handles_min, request->handles_max);
    if (request->protocol_gate != VHU__NO_GATE &&
        !vhu__server_has(server, (vhu_protocol_feature)request->protocol_gate))
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "without the protocol feature %s",
                                  vhu_protocol_feature_name(request->protocol_gate));
    if (server->num_handles > 0 && request->handles_gate != VHU__NO_GATE &&
        !vhu__server_has(server, (vhu_protocol_feature)request->handles_gate))
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE,
                                  "handles without the protocol feature %s",
                                  vhu_protocol_feature_name(request->handles_gate));
    if (request->virtio_gate != VHU__NO_GATE && !(server->features & VHU_BIT(request->virtio_gate)))
        return vhu__server_refuse(server, VHU_EINVALID_MESSAGE, "without the feature bit %u",
                                  request->virtio_gate);
    return 0;
}

int vhu__server_process(vhu__server *server)
{
    int r;

    if (server->state != VHU__HEADER)
        return VHU_ESTATE;
    r = vhu__conn_recv_payload(server->conn, &server->payload);
    if (r < 0) {
        if (r != VHU_EAGAIN)
            server->state = VHU__IDLE;
        return r;
    }
    server->num_handles = vhu__conn_take_handles(server->conn, server->handles, VHU_MAX_HANDLES);
    server->reply_regions = false;
    server->refused = false;
    server->state = VHU__IN_OP;
    vhu__conn_hold(server->conn, true);
    r = check(server);
    if (r == 0)
        r = server->role->dispatch(server);
    if (r < 0 && r != VHU_EPENDING && !server->refused)
        vhu__server_refuse(server, r, "%s", vhu_strerror(r));
    if (r != VHU_EPENDING)
        return finish(server, r);
    server->state = VHU__PENDING;
    /* Who waits for an earlier reply shall not wait for this one. */
    r = vhu__conn_flush(server->conn);
    return r == VHU_EAGAIN ? 0 : r;
}

int vhu__server_complete(vhu__server *server, int status)
{
    if (server->state != VHU__PENDING || status == VHU_EPENDING)
        return VHU_ESTATE;
    if (status < 0)
        vhu__server_refuse(server, status, "%s", vhu_strerror(status));
    return finish(server, status);
}

int vhu__server_serve(vhu__server *server)
{
    for (int i = 0; i < SERVE_AT_ONCE; i++) {
        int r = vhu__server_recv_header(server, NULL);

        if (r == 0)
            r = vhu__server_process(server);
        if (r == VHU_EAGAIN || (r < 0 && !vhu_conn_is_open(server->conn)))
            return r;
    }
    return 0;
}
