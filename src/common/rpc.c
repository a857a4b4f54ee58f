/* SPDX-License-Identifier: BSD-3-Clause */
#include "rpc.h"

#include <string.h>

#include "handles.h"
#include "os.h"
#include "wire.h"

enum { DEFAULT_TIMEOUT_MS = 10000 };

void vhu__rpc_init(vhu__rpc *rpc, vhu_conn **conn, int timeout_ms)
{
    rpc->conn = *conn;
    *conn = NULL;
    rpc->ack = true;
    vhu__rpc_set_timeout(rpc, timeout_ms);
}

void vhu__rpc_release(vhu__rpc *rpc)
{
    vhu_conn_free(rpc->conn);
    rpc->conn = NULL;
}

void vhu__rpc_set_timeout(vhu__rpc *rpc, int timeout_ms)
{
    rpc->timeout_ms = timeout_ms ? timeout_ms : DEFAULT_TIMEOUT_MS;
}

int vhu__rpc_refuse(vhu__rpc *rpc, const char *name, int code, const char *why)
{
    return vhu__conn_fail(rpc->conn, code, "%s: %s", name, why);
}

/* Where calls are, the oldest first; behind those under way comes the next one. */
static uint32_t place_of(const vhu__rpc *rpc, uint32_t i)
{
    return (rpc->first + i) % VHU_MAX_CALLS;
}

static const vhu__call *call_at(const vhu__rpc *rpc, uint32_t i)
{
    return &rpc->calls[place_of(rpc, i)];
}

/* --- sending --- */

/* What can be said against a request before it is sent. */
static int check(vhu__rpc *rpc, const vhu__request *request, const vhu__message *m,
                 const char *name)
{
    if (request) {
        if (request->protocol_gate != VHU__NO_GATE && !vhu__rpc_has(rpc, request->protocol_gate))
            return vhu__rpc_refuse(rpc, name, VHU_ENOSYS, "its protocol feature is missing");
        if (request->virtio_gate != VHU__NO_GATE &&
            !(rpc->features & VHU_BIT(request->virtio_gate)))
            return vhu__rpc_refuse(rpc, name, VHU_ENOSYS, "its feature is missing");
        if (m->num_handles > 0 && request->handles_gate != VHU__NO_GATE &&
            !vhu__rpc_has(rpc, request->handles_gate))
            return vhu__rpc_refuse(rpc, name, VHU_ENOSYS, "the feature for handles is missing");
    }
    if (m->len > VHU_MAX_PAYLOAD || m->num_handles > VHU_MAX_HANDLES)
        return vhu__rpc_refuse(rpc, name, VHU_EOVERFLOW, "too long, or too many handles");
    for (size_t i = 0; i < m->num_handles; i++) {
        if (m->handles[i] == VHU_NO_HANDLE)
            return vhu__rpc_refuse(rpc, name, VHU_EINVAL, "a handle is missing");
    }
    if (rpc->num_calls == VHU_MAX_CALLS)
        return vhu__rpc_refuse(rpc, name, VHU_EOVERFLOW, "too many requests are under way");
    return 0;
}

static int put(vhu__rpc *rpc, const vhu__message *m, bool need_reply)
{
    uint8_t bytes[VHU__WIRE_MESSAGE_MAX];
    const vhu_msg_header header = {
        .request = m->code,
        .flags = VHU_VERSION_1 | (need_reply ? (uint32_t)VHU_FLAG_NEED_REPLY : 0),
        .size = m->len,
    };

    vhu__wire_store_header(bytes, &header);
    if (m->len > 0)
        memcpy(bytes + VHU__WIRE_HEADER, m->payload, m->len);
    return vhu__conn_send_lent(rpc->conn, bytes, VHU__WIRE_HEADER + m->len, m->handles,
                               m->num_handles);
}

int vhu__rpc_send(vhu__rpc *rpc, const vhu__request *request, const vhu__message *m, int *status)
{
    const char *name = request ? request->name : "private request";
    vhu__call *call = &rpc->calls[place_of(rpc, rpc->num_calls)];
    bool wanted = m->ask == VHU__ASK_ALWAYS || (m->ask == VHU__ASK_IF_WANTED && rpc->ack);
    bool ack = !m->take && wanted && vhu__rpc_has(rpc, VHU_PF_REPLY_ACK);
    vhu__take *take = ack ? vhu__take_ack : m->take;
    int r;

    if (!vhu_conn_is_open(rpc->conn))
        return VHU_EDISCONNECT;
    r = check(rpc, request, m, name);
    if (r < 0)
        return r;
    r = put(rpc, m, ack);
    if (r < 0)
        return vhu_conn_is_open(rpc->conn) ? vhu__rpc_refuse(rpc, name, r, vhu_strerror(r)) : r;
    if (!take && status && !vhu__conn_has_queued(rpc->conn)) {
        if (m->settles)
            *m->settles = m->value;
        *status = 0;
        return 0;
    }
    rpc->sent = os_now_ms();
    *call =
        (vhu__call){.code = m->code,
                    .name = name,
                    .asked = m->len,
                    .take = take,
                    .out = m->out,
                    .also = m->also,
                    .count = m->count,
                    .settles = m->settles,
                    .value = m->value,
                    .status = status,
                    .deadline = rpc->timeout_ms > 0 ? rpc->sent + (uint64_t)rpc->timeout_ms : 0};
    rpc->num_calls++;
    return 0;
}

void vhu__rpc_let_go(vhu__rpc *rpc)
{
    rpc->calls[place_of(rpc, rpc->num_calls - 1)].status = NULL;
}

/* --- outcomes --- */

/* The oldest call has ended. Whoever is told may send the next one. */
static void conclude(vhu__rpc *rpc, int status, vhu_handle *handle)
{
    const vhu__call call = rpc->calls[rpc->first];
    vhu_handle none = VHU_NO_HANDLE;

    rpc->first = place_of(rpc, 1);
    rpc->num_calls--;
    if (status == 0 && call.settles)
        *call.settles = call.value;
    if (call.status)
        *call.status = status;
    else if (rpc->done)
        rpc->done(rpc->done_arg, call.code, status, status == 0 && handle ? handle : &none);
    else if (rpc->failure == 0)
        rpc->failure = status;
}

int vhu__rpc_poison(vhu__rpc *rpc, int code)
{
    vhu__conn_close(rpc->conn);
    /* The connection has no words for an end between messages; here a reply is missing. */
    if (code == VHU_ECLIENT_EXIT && rpc->num_calls > 0)
        vhu__conn_fail(rpc->conn, code, "%s: the peer has gone", rpc->calls[rpc->first].name);
    while (rpc->num_calls > 0)
        conclude(rpc, code, NULL);
    rpc->failure = 0;
    return code;
}

/* --- replies --- */

static int judge(vhu__rpc *rpc, const vhu__call *call, const vhu_msg_header *header,
                 const vhu__reply *reply)
{
    vhu_conn *conn = rpc->conn;
    int r;

    /* Some back-ends leave need_reply set. */
    if (!(header->flags & VHU_FLAG_REPLY))
        return vhu__conn_fail(conn, VHU_EINVALID_MESSAGE,
                              "reply to %s: flags 0x%x are not a reply's", call->name,
                              header->flags);
    if (header->request != call->code)
        return vhu__conn_fail(conn, VHU_EINVALID_MESSAGE, "reply to %s: it is one to request %u",
                              call->name, header->request);
    r = call->take(call, reply);
    if (r == VHU_EINVALID_MESSAGE)
        return vhu__conn_fail(conn, r,
                              "reply to %s: %u bytes and %zu handles, or what they say, are wrong",
                              call->name, reply->size, reply->num_handles);
    if (r < 0)
        vhu__conn_fail(conn, r, "%s: the peer refused it", call->name);
    return r;
}

/* How many calls without a reply there are before the first that has one. */
static uint32_t count_unanswered(const vhu__rpc *rpc)
{
    uint32_t n = 0;

    while (n < rpc->num_calls && !call_at(rpc, n)->take)
        n++;
    return n;
}

/* Take the reply to the first call that has one. Who sends it has read those before it, too. */
static int take_reply(vhu__rpc *rpc)
{
    uint32_t before = count_unanswered(rpc);
    vhu_handle handles[VHU_MAX_HANDLES];
    vhu__reply reply = {.handles = handles};
    vhu_msg_header header;
    int r = vhu__conn_recv_header(rpc->conn, &header);

    if (r == 0)
        r = vhu__conn_recv_payload(rpc->conn, &reply.payload);
    if (r < 0)
        return r;
    handles[0] = VHU_NO_HANDLE;
    reply.size = header.size;
    reply.num_handles = vhu__conn_take_handles(rpc->conn, handles, VHU_MAX_HANDLES);
    r = judge(rpc, call_at(rpc, before), &header, &reply);
    vhu__conn_consume(rpc->conn);
    if (r != VHU_EINVALID_MESSAGE) {
        while (before-- > 0)
            conclude(rpc, 0, NULL);
        conclude(rpc, r, &handles[0]);
        r = 0;
    }
    vhu__close_all(handles,
                   reply.num_handles < VHU_MAX_HANDLES ? reply.num_handles : VHU_MAX_HANDLES);
    return r;
}

static int unasked(vhu__rpc *rpc)
{
    return vhu__rpc_poison(
        rpc, vhu__conn_fail(rpc->conn, VHU_EINVALID_MESSAGE, "a reply that nothing asked for"));
}

/* Time limits may have changed from call to call: any of them may be up. */
static int starved(vhu__rpc *rpc)
{
    uint64_t now = os_now_ms();

    for (uint32_t i = 0; i < rpc->num_calls; i++) {
        const vhu__call *call = call_at(rpc, i);

        if (vhu__ms_until(call->deadline, now) == 0)
            return vhu__rpc_poison(
                rpc, vhu__conn_fail(rpc->conn, VHU_ETIMEDOUT, "%s: %s in time", call->name,
                                    call->take ? "no reply" : "the peer does not read it"));
    }
    return VHU_EAGAIN;
}

bool vhu__rpc_awaits_reply(const vhu__rpc *rpc)
{
    return rpc->num_calls > 0 && call_at(rpc, rpc->num_calls - 1)->take;
}

bool vhu__rpc_is_under_way(const vhu__rpc *rpc, uint32_t code)
{
    for (uint32_t i = 0; i < rpc->num_calls; i++) {
        if (call_at(rpc, i)->code == code)
            return true;
    }
    return false;
}

/* Conclude a call, if one has ended. */
static int advance(vhu__rpc *rpc)
{
    int r;

    if (call_at(rpc, 0)->take)
        return take_reply(rpc);
    r = vhu__conn_flush(rpc->conn);
    if (r == 0)
        conclude(rpc, 0, NULL);
    /* A peer that does not read may have to be rid of its replies first. */
    else if (r == VHU_EAGAIN && count_unanswered(rpc) < rpc->num_calls)
        r = take_reply(rpc);
    return r;
}

int vhu__rpc_turn(vhu__rpc *rpc)
{
    int r = 0;

    while (r == 0 && rpc->num_calls > 0)
        r = advance(rpc);
    if (r == 0 && vhu_conn_pending(rpc->conn))
        return unasked(rpc);
    if (r == 0)
        r = vhu__conn_flush(rpc->conn);
    if (r == VHU_EAGAIN)
        return starved(rpc);
    return r < 0 ? vhu__rpc_poison(rpc, r) : 0;
}

int vhu__rpc_finish(vhu__rpc *rpc)
{
    bool idle = rpc->num_calls == 0 && rpc->failure == 0;
    vhu_msg_header header;
    int r = vhu__rpc_turn(rpc);

    if (r == 0 && idle) {
        r = vhu__conn_recv_header(rpc->conn, &header);
        if (r == 0)
            return unasked(rpc);
        return r == VHU_EAGAIN ? 0 : vhu__rpc_poison(rpc, r);
    }
    if (r == 0) {
        r = rpc->failure;
        rpc->failure = 0;
    }
    return r;
}

/* --- time --- */

uint64_t vhu__rpc_deadline(const vhu__rpc *rpc)
{
    uint64_t first = vhu__conn_deadline(rpc->conn);

    for (uint32_t i = 0; i < rpc->num_calls; i++)
        first = vhu__earlier(first, call_at(rpc, i)->deadline);
    return first;
}

int vhu__rpc_deadline_ms(const vhu__rpc *rpc)
{
    return vhu__ms_until(vhu__rpc_deadline(rpc), os_now_ms());
}

int vhu__take_ack(const vhu__call *call, const vhu__reply *reply)
{
    (void)call;
    if (reply->size != 8 || reply->num_handles != 0)
        return VHU_EINVALID_MESSAGE;
    return vhu__wire_load_u64(reply->payload) == 0 ? 0 : VHU_EREFUSED;
}
