/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/liar.h"

#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/wait.h>

struct liar {
    enum lie_kind kind;
    uint32_t request; /* that it lies about */
    struct probe_listener at;
    unsigned replies; /* to it */
    vhu_handle kept;
};

struct passed {
    vhu_msg_header header;
    uint8_t payload[VHU_MAX_PAYLOAD];
    vhu_handle handles[LIAR_MAX_HANDLES];
    size_t num_handles;
};

/* --- messages --- */

/*
 * Until `want` bytes are there, or where messages come whole, all there are; only in the midst of
 * a message is the rest waited for. 0, VHU_EAGAIN, or the end.
 */
static int take_until(vhu_stream *from, uint8_t *bytes, size_t room, size_t *len, size_t want,
                      struct passed *m)
{
    const vhu_transport *transport = vhu_stream_transport(from);
    const bool whole = transport->flags & VHU_TRANSPORT_MESSAGES;

    while (*len < want) {
        size_t num = LIAR_MAX_HANDLES - m->num_handles;
        const int n = transport->recv(from, bytes + *len, (whole ? room : want) - *len,
                                      m->handles + m->num_handles, &num);
        if (n == VHU_EAGAIN && *len > 0 &&
            transport->wait(from, VHU_WAIT_READ, PROGRAM_PATIENCE_MS) == 0)
            continue;
        if (n < 0)
            return n;
        m->num_handles += num;
        *len += (size_t)n;
    }
    return 0;
}

/* Whole, or a header whose payload is too long. */
static int take(vhu_stream *from, struct passed *m)
{
    uint8_t bytes[sizeof m->header + sizeof m->payload];
    size_t len = 0;
    int r;

    m->num_handles = 0;
    r = take_until(from, bytes, sizeof bytes, &len, sizeof m->header, m);
    if (r < 0)
        return r;
    memcpy(&m->header, bytes, sizeof m->header);
    if (m->header.size > sizeof m->payload)
        return 0;
    r = take_until(from, bytes, sizeof bytes, &len, sizeof m->header + m->header.size, m);
    memcpy(m->payload, bytes + sizeof m->header, m->header.size);
    return r;
}

static void drop_handles(struct passed *m)
{
    while (m->num_handles > 0)
        vhu_handle_close(&m->handles[--m->num_handles]);
}

/* Whoever does not take it any more shows that otherwise. */
static void give(vhu_stream *to, const struct passed *m)
{
    const size_t size = m->header.size > sizeof m->payload ? 0 : m->header.size;
    uint8_t bytes[sizeof m->header + sizeof m->payload];

    memcpy(bytes, &m->header, sizeof m->header);
    memcpy(bytes + sizeof m->header, m->payload, size);
    probe_send(to, bytes, sizeof m->header + size, m->handles, m->num_handles);
}

/* --- lies --- */

static void answer(vhu_stream *front, uint32_t request, uint64_t value)
{
    struct passed reply = {.header = {request, VHU_VERSION_1 | VHU_FLAG_REPLY, sizeof value}};

    memcpy(reply.payload, &value, sizeof value);
    give(front, &reply);
}

/* Whether the request goes on. */
static bool lie_about_request(struct liar *liar, vhu_stream *front, struct passed *m)
{
    const bool asks = (m->header.flags & VHU_FLAG_NEED_REPLY) != 0;
    const uint32_t zero = 0;

    if (m->header.request != liar->request)
        return true;
    switch (liar->kind) {
    case LIE_ACKNOWLEDGE:
    case LIE_REFUSE:
        if (asks)
            answer(front, m->header.request, liar->kind == LIE_REFUSE);
        return !asks;
    case LIE_ALWAYS_ACKNOWLEDGE:
        answer(front, m->header.request, 0);
        return false;
    case LIE_SILENT:
        return false;
    case LIE_WAIT:
        return m->header.size <= sizeof m->payload;
    case LIE_KEEP_HANDLES:
        if (m->num_handles > 0)
            liar->kept = m->handles[--m->num_handles];
        return true;
    case LIE_NO_OFFSET:
        memcpy(m->payload, &zero, sizeof zero);
        return true;
    default:
        return true;
    }
}

/* Copies of the event's handle, as many as a stream passes at once. */
static void add_handles(const struct liar *liar, struct passed *m)
{
    while (m->num_handles < LIAR_MAX_HANDLES &&
           vhu_event_dup_wait(liar->at.stop, &m->handles[m->num_handles]) == 0)
        ++m->num_handles;
}

static void lie_about_reply(struct liar *liar, vhu_stream *front, struct passed *m)
{
    if (m->header.request == liar->request) {
        switch (liar->kind) {
        case LIE_NEED_REPLY:
            m->header.flags |= VHU_FLAG_NEED_REPLY;
            break;
        case LIE_LONGER:
            m->header.size += 4;
            break;
        case LIE_TWICE:
            give(front, m);
            break;
        case LIE_OTHER_CODE:
            ++m->header.request;
            break;
        case LIE_EVERY_OTHER:
            m->payload[0] ^= (uint8_t)(liar->replies++ & 1);
            break;
        case LIE_ONE_MORE:
            ++m->payload[4];
            break;
        case LIE_MANY_HANDLES:
            add_handles(liar, m);
            break;
        case LIE_AT_MOST_256:
            if (m->header.size > sizeof(vhu_config_header) + 256)
                m->header.size = sizeof(vhu_config_header) + 256;
            break;
        default:
            break;
        }
    }
    give(front, m);
}

/* --- passing on --- */

/* Until one of them may have something. */
static bool wait_for_either(vhu_stream *streams[2])
{
    vhu_wait waits[2];

    for (int i = 0; i < 2; ++i) {
        const vhu_transport *transport = vhu_stream_transport(streams[i]);
        if (transport->arm)
            transport->arm(streams[i], VHU_WAIT_READ);
        waits[i] =
            (vhu_wait){.handle = transport->wait_handle(streams[i]), .events = VHU_WAIT_READ};
    }
    return vhu_wait_any(waits, 2, PROGRAM_PATIENCE_MS) == 0;
}

/* What has come from one of them; false: the end. */
static bool pass_on(struct liar *liar, vhu_stream *streams[2], int from)
{
    struct passed m = {.num_handles = 0};
    const int r = take(streams[from], &m);

    if (r == 0 && from == 1)
        lie_about_reply(liar, streams[0], &m);
    else if (r == 0 && lie_about_request(liar, streams[0], &m))
        give(streams[1], &m);
    drop_handles(&m);
    return r == 0 || r == VHU_EAGAIN;
}

static void serve(struct liar *liar, vhu_stream *front, vhu_stream *back)
{
    vhu_stream *streams[2] = {front, back};

    while (wait_for_either(streams) && pass_on(liar, streams, 1) && pass_on(liar, streams, 0))
        ;
}

static void serve_all(void *arg)
{
    struct liar *liar = arg;
    vhu_stream *front;

    while ((front = probe_accept(&liar->at)) != NULL) {
        vhu_stream *back = probe_disk_connect();
        serve(liar, front, back);
        vhu_stream_free(back);
        vhu_stream_free(front);
    }
}

void liar_meet(enum lie_kind kind, uint32_t request, struct probed *probed, const char *const *args)
{
    struct liar liar = {.kind = kind, .request = request, .kept = VHU_NO_HANDLE};
    uv_thread_t thread;

    probe_listen(&liar.at);
    probe_start(probed, args);
    assert_int_equal(uv_thread_create(&thread, serve_all, &liar), 0);
    probe_end(probed);
    probe_stop(&liar.at);
    uv_thread_join(&thread);
    probe_listener_free(&liar.at);
    vhu_handle_close(&liar.kept);
}
