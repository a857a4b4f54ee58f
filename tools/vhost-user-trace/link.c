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

void link_free(struct link *link)
{
    if (!link)
        return;
    for (unsigned side = FRONT; side <= BACK; ++side) {
        close_handles(&link->flows[side]);
        free(link->flows[side].buf);
        vhu_handle_close(&link->ends[side].handle);
    }
    free(link);
}

static void on_poll_closed(uv_handle_t *handle)
{
    struct link *link = handle->data;

    if (--link->closing == 0)
        link->owner->ended(link->owner, link);
}

void link_close(struct link *link)
{
    if (link->closed)
        return;
    link->closed = true;
    for (unsigned side = FRONT; side <= BACK; ++side) {
        uv_close((uv_handle_t *)&link->ends[side].poll, on_poll_closed);
        vhu_handle_close(&link->ends[side].handle);
        close_handles(&link->flows[side]);
    }
    channel_end(link->owner->trace, &link->channel);
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
    const bool gone = sys_is_gone(link->ends[side].handle);

    trace_event(trace, &link->channel, "%s by the %s%s", gone ? "closed" : "shut down",
                trace_side(side), link->flows[side].have > 0 ? ", inside a message" : "");
    if (gone) {
        link_close(link);
        return;
    }
    /* It may still want to read: the other side sees no more than it would without us. */
    sys_shutdown_write(link->ends[!side].handle);
    finish_flow(link, side);
}

/* `side` has sent what the other does not take any more. What the other sent comes through still.
 */
static void receiver_left(struct link *link, unsigned side, int error)
{
    trace_event(link->owner->trace, &link->channel, "the %s no longer receives: %s",
                trace_side(!side), uv_strerror(error));
    sys_shutdown_read(link->ends[side].handle);
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
    if ((flow->header.flags & VHU_VERSION_MASK) != VHU_VERSION_1 ||
        flow->header.size > MAX_PAYLOAD) {
        lose_framing(link, side);
        return 0;
    }
    flow->need = HEADER + flow->header.size;
    if (flow->need <= flow->room)
        return 0;
    uint8_t *grown = realloc(flow->buf, flow->need);
    if (!grown)
        return UV_ENOMEM;
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

static int receive(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];
    const size_t handles = flow->num_handles;
    bool lost = false;
    int n;

    /* Header and payload apart: only so is it sure to whose bytes a descriptor belongs. */
    n = sys_recv(link->ends[side].handle, flow->buf + flow->have,
                 (flow->raw ? flow->room : flow->need) - flow->have, flow->handles,
                 &flow->num_handles, &lost);
    flow->dry = n == UV_EAGAIN;
    if (flow->dry)
        return 0;
    look_at_handles(flow, handles);
    if (lost)
        trace_event(link->owner->trace, &link->channel,
                    "descriptors from the %s were lost: this process may not open that many",
                    trace_side(side));
    if (n <= 0 || lost) {
        flow->ended = true;
        return lost ? UV_EMFILE : 0;
    }
    flow->have += (size_t)n;
    flow->received_ns = uv_hrtime();
    if (!flow->headed && flow->have == HEADER)
        return read_header(link, side);
    return 0;
}

/* All that may be sent now is sent, or the receiver is to read first. */
static int send_on(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];

    if (side == FRONT && link->channel.number == 0 && flow->num_handles > 0 && flow->headed &&
        !flow->raw && flow->header.request == VHU_REQ_SET_BACKEND_REQ_FD &&
        !(flow->header.flags & VHU_FLAG_REPLY) && !flow->interposed) {
        flow->interposed = true;
        link->owner->back_channel(link->owner, &flow->handles[0]);
    }

    flow->sent_ns = uv_hrtime();
    const int n = sys_send(link->ends[!side].handle, flow->buf + flow->sent,
                           flow->have - flow->sent, flow->handles, flow->num_handles);
    flow->blocked = n == UV_EAGAIN;
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
        pass_end_on(link, side);
        return WAIT;
    }
    return flow->dry ? WAIT : GO_ON;
}

static enum step turn(struct link *link, unsigned side)
{
    struct flow *flow = &link->flows[side];
    int rc;

    if (!flow->ended && !flow->blocked && flow->have < (flow->raw ? flow->room : flow->need)) {
        rc = receive(link, side);
        if (rc < 0) {
            trace_event(link->owner->trace, &link->channel, "given up: %s", uv_strerror(rc));
            link_close(link);
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

static void on_event(uv_poll_t *poll, int status, int events);

static void watch(struct link *link, unsigned side)
{
    struct end *end = &link->ends[side];
    const struct flow *from = &link->flows[side];
    const struct flow *to = &link->flows[!side];
    int events = 0;

    if (!from->done && !from->ended && !from->blocked)
        events |= UV_READABLE;
    if (!to->done && to->blocked)
        events |= UV_WRITABLE;
    if (events == end->events)
        return;
    end->events = events;
    if (events)
        uv_poll_start(&end->poll, events, on_event);
    else
        uv_poll_stop(&end->poll);
}

static void pump(struct link *link, unsigned side)
{
    const struct flow *flow = &link->flows[side];

    /* What could be sent must not be left lying: no event would come for it. */
    for (int i = 0; !link->closed && !flow->done; ++i)
        if ((i >= MESSAGES_PER_TURN && !may_send(flow)) || turn(link, side) == WAIT)
            break;
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct link *link = poll->data;
    const unsigned side = poll == &link->ends[BACK].poll;

    /* libuv stops on an error of the socket; receiving and sending will say which. */
    if (status < 0) {
        link->ends[side].events = 0;
        events = UV_READABLE | UV_WRITABLE;
    }
    if ((events & UV_WRITABLE) && link->flows[!side].blocked)
        pump(link, !side);
    if (events & UV_READABLE)
        pump(link, side);
    if (link->closed)
        return;
    watch(link, FRONT);
    watch(link, BACK);
}

static void on_half_link_closed(uv_handle_t *handle)
{
    link_free(handle->data);
}

struct link *link_new(struct link_owner *owner, uv_loop_t *loop, unsigned connection,
                      unsigned number, vhu_handle ends[2], int *error)
{
    struct link *link = calloc(1, sizeof *link);
    int rc = link ? 0 : UV_ENOMEM;

    for (unsigned side = FRONT; link && side <= BACK; ++side) {
        struct flow *flow = &link->flows[side];
        link->ends[side].handle = ends[side];
        ends[side] = VHU_NO_HANDLE;
        flow->room = FIRST_ROOM;
        flow->buf = malloc(flow->room);
        if (!flow->buf)
            rc = UV_ENOMEM;
        begin_message(flow);
    }
    for (unsigned side = FRONT; !rc && side <= BACK; ++side) {
        rc = uv_poll_init(loop, &link->ends[side].poll, link->ends[side].handle);
        link->ends[side].poll.data = link;
        if (!rc)
            ++link->closing;
    }
    if (rc) {
        *error = rc;
        vhu_handle_close(&ends[FRONT]);
        vhu_handle_close(&ends[BACK]);
        if (link && link->closing > 0)
            uv_close((uv_handle_t *)&link->ends[FRONT].poll, on_half_link_closed);
        else
            link_free(link);
        return NULL;
    }
    link->owner = owner;
    channel_init(&link->channel, connection, number, &owner->negotiated);
    watch(link, FRONT);
    watch(link, BACK);
    return link;
}
