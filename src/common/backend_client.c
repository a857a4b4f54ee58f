/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's end: life, waiting, negotiation. The requests are in backend_requests.c. */
#include "backend_client_internal.h"

#include <stdlib.h>
#include <vmm_vhost/wait.h>

#include "os.h"

int vhu_backend_client_new(vhu_backend_client **out, vhu_conn **conn,
                           const vhu_backend_client_options *options)
{
    vhu_backend_client_options o = {.size = sizeof(o)};
    vhu_backend_client *client;

    if (options && !vhu__copy_sized(&o, sizeof(o), options))
        return VHU_EINVAL;
    client = calloc(1, sizeof(*client));
    if (!client)
        return VHU_ENOMEM;
    vhu__rpc_init(&client->rpc, conn, o.timeout_ms);
    *out = client;
    return 0;
}

void vhu_backend_client_free(vhu_backend_client *client)
{
    if (!client)
        return;
    vhu__rpc_release(&client->rpc);
    free(client);
}

vhu_conn *vhu_backend_client_conn(const vhu_backend_client *client)
{
    return client->rpc.conn;
}

void vhu_backend_client_set_ack(vhu_backend_client *client, bool ack)
{
    client->rpc.ack = ack;
}

void vhu_backend_client_set_timeout(vhu_backend_client *client, int timeout_ms)
{
    vhu__rpc_set_timeout(&client->rpc, timeout_ms);
}

void vhu_backend_client_attach(vhu_backend_client *client, vhu_frontend_server *server)
{
    client->channel = server;
}

uint64_t vhu_backend_client_features(const vhu_backend_client *client)
{
    return client->rpc.features;
}

uint64_t vhu_backend_client_protocol_features(const vhu_backend_client *client)
{
    return client->rpc.protocol_features;
}

void vhu_backend_client_begin(vhu_backend_client *client)
{
    client->begun = true;
}

int vhu_backend_client_finish(vhu_backend_client *client)
{
    int r = vhu__rpc_finish(&client->rpc);

    if (r != VHU_EAGAIN)
        client->begun = false;
    return r;
}

int vhu_backend_client_deadline_ms(const vhu_backend_client *client)
{
    return vhu__rpc_deadline_ms(&client->rpc);
}

/* The attached channel, if it can be waited for and something may be done about it now. */
static vhu_conn *served_channel(const vhu_backend_client *client)
{
    vhu_conn *channel = client->channel ? vhu_frontend_server_conn(client->channel) : NULL;

    if (!channel || vhu_conn_wait_handle(channel) == VHU_NO_HANDLE)
        return NULL;
    /* While one of its ops is what waits here, or has yet to complete, it takes nothing. */
    return vhu_conn_wait_events(channel) ? channel : NULL;
}

/*
 * Its ops may send requests of their own and wait for them, though the caller's are only begun:
 * what they get is stored on their stack.
 */
int vhu__backend_client_serve_channel(vhu_backend_client *client)
{
    bool begun = client->begun;
    int r;

    client->begun = false;
    r = vhu_frontend_server_serve(client->channel);
    client->begun = begun;
    return r;
}

static int wait_for_both(vhu_backend_client *client, vhu_conn *channel, int limit_ms)
{
    vhu_conn *conn = client->rpc.conn;
    /* Where one alone is told, that is the channel: its owner looks at the connection anyway. */
    vhu_wait waits[] = {
        {.handle = vhu_conn_wait_handle(channel), .events = vhu_conn_wait_events(channel)},
        {.handle = vhu_conn_wait_handle(conn), .events = vhu_conn_wait_events(conn)},
    };
    int r = vhu_wait_any(waits, VHU__COUNT(waits), limit_ms);

    if (waits[1].ready)
        vhu__conn_waited(conn);
    /* If the channel's own limit has passed, it finds out like this. */
    if (waits[0].ready || r == VHU_ETIMEDOUT)
        vhu__backend_client_serve_channel(client);
    return r;
}

static int wait_from(vhu_backend_client *client, uint64_t now, int timeout_ms)
{
    vhu_conn *conn = client->rpc.conn;
    vhu_conn *channel = served_channel(client);
    bool both = channel && vhu_conn_wait_handle(conn) != VHU_NO_HANDLE;
    uint64_t own = vhu__rpc_deadline(&client->rpc);
    bool own_first;
    int r;

    if (!vhu_conn_is_open(conn) || vhu_conn_pending(conn))
        return 0;
    if (channel && vhu_conn_pending(channel)) {
        vhu__backend_client_serve_channel(client);
        return 0;
    }
    if (both)
        own = vhu__earlier(own, vhu__conn_deadline(channel));
    own_first = own != 0 && (timeout_ms < 0 || own <= now + (uint64_t)timeout_ms);
    if (own_first)
        timeout_ms = vhu__ms_until(own, now);
    r = both ? wait_for_both(client, channel, timeout_ms)
             : vhu__conn_wait_from(conn, now, timeout_ms);
    /* A limit that is not the caller's shows when its owner goes on. */
    return r == VHU_ETIMEDOUT && own_first ? 0 : r;
}

int vhu_backend_client_wait(vhu_backend_client *client, int timeout_ms)
{
    return wait_from(client, os_now_ms(), timeout_ms);
}

int vhu__backend_client_call(vhu_backend_client *client, const vhu__request *request,
                             const vhu__message *message)
{
    bool begun = client->begun;
    int status = VHU_EPENDING;
    uint64_t now;
    int r = vhu__rpc_send(&client->rpc, request, message, begun ? NULL : &status);

    if (r < 0 || begun)
        return r < 0 ? r : VHU_EPENDING;
    if (status != VHU_EPENDING)
        return status;
    /* To look for the reply to what has just been sent would be in vain. */
    if (vhu__rpc_awaits_reply(&client->rpc))
        r = VHU_EAGAIN;
    else
        r = vhu__rpc_turn(&client->rpc);
    now = client->rpc.sent;
    /* An op of the attached channel may send requests, too, and wait for these in here. */
    while (r == VHU_EAGAIN && status == VHU_EPENDING) {
        r = wait_from(client, now, -1);
        if (r < 0) {
            /* Where the results go is about to vanish, so the reply must never come. */
            r = vhu__rpc_poison(&client->rpc, r == VHU_EAGAIN ? VHU_ESTATE : r);
            break;
        }
        r = vhu__rpc_turn(&client->rpc);
        if (r == VHU_EAGAIN)
            now = os_now_ms();
    }
    /* Its own outcome counts, and a handle with it, even if the connection has ended behind it. */
    return status == VHU_EPENDING ? r : status;
}

int vhu__backend_client_post(vhu_backend_client *client, const vhu__request *request,
                             const vhu__message *message)
{
    int status = VHU_EPENDING;
    int r = vhu__rpc_send(&client->rpc, request, message, &status);

    if (r == 0 && status == VHU_EPENDING)
        vhu__rpc_let_go(&client->rpc);
    return r;
}
