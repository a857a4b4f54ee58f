/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <stdlib.h>
#include <string.h>

enum {
    HEADER = sizeof(vhu_msg_header),
    /* Far more than any message of the specification: what says more than this is no header. */
    MAX_PAYLOAD = 1 << 16,
    FIRST_ROOM = HEADER + 4096,
    /* Messages in one turn of the loop, for the sake of other connections. */
    MESSAGES_PER_TURN = 64
};

enum step { GO_ON, WAIT };

static void close_handles(struct flow *flow)
{
    for (size_t i = 0; i < flow->num_handles; ++i)
        vhu_handle_close(&flow->handles[i]);
    flow->num_handles = 0;
}

/* --- the end --- */

static void close_ends(struct link *link)
{
    for (unsigned side = FRONT; side <= BACK; ++side) {
        struct end *end = &link->ends[side];
        vhu_uv_watch_close(end->watch);
        end->watch = NULL;
        vhu_stream_free(end->stream);
        end->stream = NULL;
        close_handles(&link->flows[side]);
    }
}

void link_free(struct link *link)
{
    if (!link)
        return;
    for (unsigned side = FRONT; side <= BACK; ++side)
        free(link->flows[side].buf);
    free(link);
}

static void on_farewell(uv_handle_t *handle)
{
    struct link *link = handle->data;

    link->owner->ended(link->owner, link);
}

void link_close(struct link *link)
{
    if (link->closed)
        return;
    link->closed = true;
    close_ends(link);
    uv_close((uv_handle_t *)&link->farewell, on_farewell);
    channel_end(link->owner->trace, &link->channel);
}

static void give_up(struct link *link, int error)
{
    trace_event(link->owner->trace, &link->channel, "given up: %s", vhu_strerror(error));
    link_close(link);
}

/* Nothing goes from `side` to the other any more. */
static void finish_flow(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];
    const struct flow *back = &link->flows[!side];

    flow->done = true;
    close_handles(flow);
    if (back->done)
        link_close(link);
}

/* `side` has closed, and what it sent before has been passed on. */
static void pass_end_on(struct link *link, unsigned side)
{
    struct trace *trace = link->owner->trace;
    const bool gone = sys_is_gone(link->ends[side].stream);

    trace_event(trace, &link->channel, "%s by the %s%s", gone ? "closed" : "shut down",
                trace_side(side), link->flows[side].have > 0 ? ", inside a message" : "");
    if (gone) {
        link_close(link);
        return;
    }
    /* It may still want to read: the other side sees no more than it would without us. */
    sys_shutdown_write(link->ends[!side].stream);
    finish_flow(link, side);
}

/* `side` has sent what the other does not take any more. What the other sent comes through still.
 */
static void receiver_left(struct link *link, unsigned side, int error)
{
    trace_event(link->owner->trace, &link->channel, "the %s no longer receives: %s",
                trace_side(!side), vhu_strerror(error));
    sys_shutdown_read(link->ends[side].stream);
    finish_flow(link, side);
}

/* --- a message --- */

static void look_at_handles(struct flow *flow, size_t from)
{
    for (size_t i = from; i < flow->num_handles; ++i, ++flow->num_infos)
        if (flow->num_infos < TRACE_MAX_INFOS)
            sys_look_at(flow->handles[i], &flow->infos[flow->num_infos]);
}

static void lose_framing(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];
    const vhu_msg_header *h = &flow->header;

    flow->raw = true;
    trace_event(link->owner->trace, &link->channel,
                "no header from the %s (request %u, flags 0x%x, size %u): from here on its bytes "
                "are passed on without being understood",
                trace_side(side), (unsigned)h->request, (unsigned)h->flags, (unsigned)h->size);
}

/* The header is here: how much follows? */
static int read_header(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];

    memcpy(&flow->header, flow->buf, HEADER);
    flow->headed = true;
    flow->need = HEADER + (size_t)flow->header.size;
    if ((flow->header.flags & VHU_VERSION_MASK) != VHU_VERSION_1 ||
        flow->header.size > MAX_PAYLOAD || (flow->whole && flow->have != flow->need)) {
        lose_framing(link, side);
        return 0;
    }
    if (flow->need <= flow->room)
        return 0;
    uint8_t *grown = realloc(flow->buf, flow->need);
    if (!grown)
        return VHU_ENOMEM;
    flow->buf = grown;
    flow->room = flow->need;
    return 0;
}

static void begin_message(struct flow *flow)
{
    flow->have = flow->sent = 0;
    flow->need = HEADER;
    flow->headed = flow->interposed = false;
    flow->num_infos = 0;
}

static void record(struct link *link, unsigned side)
{
    const struct flow *flow = &link->flows[side];
    const struct record r = {.channel = &link->channel,
                             .from = side,
                             .received_ns = flow->received_ns,
                             .sent_ns = flow->sent_ns,
                             .header = flow->header,
                             .payload = flow->buf + HEADER,
                             .len = flow->have - HEADER,
                             .num_handles = flow->num_infos,
                             .infos = flow->infos};

    trace_message(link->owner->trace, &r);
}

/* --- receiving and sending on --- */

/* How far the buffer is to be filled: all of it where messages come whole. */
static size_t limit_of(const struct flow *flow)
{
    /* Header and payload apart: only so is it sure to whose bytes a descriptor belongs. */
    return flow->raw || flow->whole ? flow->room : flow->need;
}

static bool wants_more(const struct flow *flow)
{
    if (flow->ended || flow->blocked)
        return false;
    return flow->whole ? flow->have == 0 : flow->have < limit_of(flow);
}

static int receive(struct link *link, unsigned side)
{
    const struct end *from = &link->ends[side];
    struct flow *flow = &link->flows[side];
    const size_t handles = flow->num_handles;
    size_t num = LINK_MAX_HANDLES - handles;
    const int n = from->transport->recv(from->stream, flow->buf + flow->have,
                                        limit_of(flow) - flow->have, flow->handles + handles, &num);

    flow->dry = n == VHU_EAGAIN;
    if (n == VHU_EINVALID_MESSAGE)
        trace_event(link->owner->trace, &link->channel,
                    "the %s has sent what cannot be passed on, such as too many descriptors, or "
                    "more than this process may open",
                    trace_side(side));
    if (n < 0) {
        flow->ended = !flow->dry;
        return n == VHU_EINVALID_MESSAGE ? n : 0;
    }
    flow->num_handles += num;
    look_at_handles(flow, handles);
    flow->have += (size_t)n;
    flow->received_ns = uv_hrtime();
    if (!flow->headed && (flow->whole || flow->have == HEADER))
        return read_header(link, side);
    return 0;
}

/* All that may be sent now is sent, or the receiver is to read first. */
static int send_on(struct link *link, unsigned side)
{
    const struct end *to = &link->ends[!side];
    struct flow *flow = &link->flows[side];

    if (side == FRONT && link->channel.number == 0 && flow->num_handles > 0 && flow->headed &&
        !flow->raw && flow->header.request == VHU_REQ_SET_BACKEND_REQ_FD &&
        !(flow->header.flags & VHU_FLAG_REPLY) && !flow->interposed) {
        flow->interposed = true;
        link->owner->back_channel(link->owner, link, &flow->handles[0]);
    }

    flow->sent_ns = uv_hrtime();
    const int n = to->transport->send(to->stream, flow->buf + flow->sent, flow->have - flow->sent,
                                      flow->handles, flow->num_handles);
    flow->blocked = n == VHU_EAGAIN;
    if (flow->blocked)
        return 0;
    if (n < 0)
        return n;
    close_handles(flow);
    flow->sent += (size_t)n;
    return 0;
}

/* What is in buf goes on if it is whole, or if its sender makes a pause, as he did. */
static bool may_send(const struct flow *flow)
{
    if (flow->sent == flow->have)
        return false;
    return flow->raw || flow->ended || flow->have == flow->need || (flow->dry && flow->headed);
}

/* A stream of messages may still have the last one, which would be lost if it were closed now. */
static bool is_sending(const struct end *to)
{
    return (to->transport->flags & VHU_TRANSPORT_MESSAGES) &&
           to->transport->wait(to->stream, VHU_WAIT_WRITE, 0) == VHU_ETIMEDOUT;
}

static enum step after_sending(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];

    if (flow->sent < flow->have)
        return flow->blocked ? WAIT : GO_ON;
    if (flow->raw) {
        link->owner->trace->raw_bytes += flow->have;
        flow->have = flow->sent = flow->num_infos = 0;
    } else if (flow->have == flow->need) {
        record(link, side);
        begin_message(flow);
    } else if (flow->ended) {
        if (flow->headed)
            record(link, side);
    }
    if (flow->ended) {
        flow->blocked = is_sending(&link->ends[!side]);
        if (!flow->blocked)
            pass_end_on(link, side);
        return WAIT;
    }
    return flow->dry ? WAIT : GO_ON;
}

static enum step turn(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];
    int rc;

    if (wants_more(flow)) {
        rc = receive(link, side);
        if (rc < 0) {
            give_up(link, rc);
            return WAIT;
        }
    }
    if (may_send(flow)) {
        flow->blocked = false;
        rc = send_on(link, side);
        if (rc < 0) {
            receiver_left(link, side, rc);
            return WAIT;
        }
        return after_sending(link, side);
    }
    if (flow->ended)
        return after_sending(link, side);
    return flow->dry ? WAIT : GO_ON;
}

/* --- the loop --- */

static void watch(struct link *link, unsigned side)
{
    const struct end *end = &link->ends[side];
    const struct flow *from = &link->flows[side];
    const struct flow *to = &link->flows[!side];
    unsigned events = 0;

    if (link->closed)
        return;
    if (!from->done && !from->ended && !from->blocked)
        events |= VHU_WAIT_READ;
    if (!to->done && to->blocked)
        events |= VHU_WAIT_WRITE;
    if (events && end->transport->arm)
        end->transport->arm(end->stream, events);
    const int rc = vhu_uv_watch_set(end->watch, events);
    if (rc)
        give_up(link, rc);
}

static void pump(struct link *link, unsigned side)
{
    const struct flow *flow = &link->flows[side];

    /* What could be sent must not be left lying: no event would come for it. */
    for (int i = 0; !link->closed && !flow->done; ++i)
        if ((i >= MESSAGES_PER_TURN && !may_send(flow)) || turn(link, side) == WAIT)
            break;
}

static void on_ready(void *arg)
{
    const struct end *end = arg;
    struct link *link = end->link;
    const unsigned side = end == &link->ends[BACK];

    if (link->flows[!side].blocked)
        pump(link, !side);
    pump(link, side);
    watch(link, FRONT);
    watch(link, BACK);
}

static int prepare_flow(struct flow *flow, const vhu_transport *transport)
{
    flow->whole = (transport->flags & VHU_TRANSPORT_MESSAGES) != 0;
    flow->room = flow->whole ? HEADER + MAX_PAYLOAD : FIRST_ROOM;
    flow->buf = malloc(flow->room);
    begin_message(flow);
    return flow->buf ? 0 : VHU_ENOMEM;
}

static int prepare_end(struct link *link, unsigned side, uv_loop_t *loop)
{
    struct end *end = &link->ends[side];
    int rc;

    end->link = link;
    end->transport = vhu_stream_transport(end->stream);
    rc = prepare_flow(&link->flows[side], end->transport);
    if (!rc)
        rc = vhu_uv_watch_new(&end->watch, loop, end->transport->wait_handle(end->stream), 0,
                              on_ready, end);
    return rc;
}

int link_new(struct link **out, struct link_owner *owner, uv_loop_t *loop, unsigned connection,
             unsigned number, vhu_stream *ends[2])
{
    struct link *link = calloc(1, sizeof *link);
    int rc = 0;

    if (!link) {
        vhu_stream_free(ends[FRONT]);
        vhu_stream_free(ends[BACK]);
        return VHU_ENOMEM;
    }
    link->ends[FRONT].stream = ends[FRONT];
    link->ends[BACK].stream = ends[BACK];
    for (unsigned side = FRONT; !rc && side <= BACK; ++side)
        rc = prepare_end(link, side, loop);
    if (rc) {
        close_ends(link);
        link_free(link);
        return rc;
    }
    uv_idle_init(loop, &link->farewell);
    link->farewell.data = link;
    link->owner = owner;
    channel_init(&link->channel, connection, number, &owner->negotiated);
    *out = link;
    watch(link, FRONT);
    watch(link, BACK);
    return 0;
}
