/* SPDX-License-Identifier: BSD-3-Clause */
#include "link.h"

#include <string.h>
#include <uv.h>

int64_t link_now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

/* --- open and close --- */

static const vhu_transport *transport_of(const struct link *link)
{
    return vhu_stream_transport(link->stream);
}

int link_open(struct link *link)
{
    int r;

    link_close(link);
    r = vhu_stream_connect(&link->stream, link->address, 0, NULL);
    if (r == 0)
        link->takes_bytes = !(transport_of(link)->flags & VHU_TRANSPORT_MESSAGES);
    return r;
}

void link_close(struct link *link)
{
    vhu_handle_close(&link->handle);
    vhu_stream_free(link->stream);
    link->stream = NULL;
}

static enum answer give_up(struct link *link, enum answer answer)
{
    link_close(link);
    return answer;
}

/* --- messages --- */

/* What a failure of the stream comes to; ANSWERED: nothing yet, but now something may be done. */
static enum answer wait_for(struct link *link, int error, unsigned events, int64_t deadline)
{
    const int64_t left = deadline - link_now_ms();

    if (error == VHU_EINVALID_MESSAGE)
        return give_up(link, GARBLED);
    if (error != VHU_EAGAIN)
        return give_up(link, CLOSED);
    if (left <= 0 || transport_of(link)->wait(link->stream, events, (int)left) == VHU_ETIMEDOUT)
        return give_up(link, SILENT);
    return ANSWERED;
}

enum answer link_send(struct link *link, const void *bytes, size_t len, const vhu_handle *handles,
                      size_t num_handles)
{
    const int64_t deadline = link_now_ms() + link->timeout_ms;
    enum answer answer = link->stream ? ANSWERED : CLOSED;
    size_t done = 0;

    while (answer == ANSWERED && done < len) {
        const int n = transport_of(link)->send(link->stream, (const char *)bytes + done, len - done,
                                               handles, done ? 0 : num_handles);
        if (n > 0)
            done += (size_t)n;
        else
            answer = wait_for(link, n, VHU_WAIT_WRITE, deadline);
    }
    return answer;
}

static void take_handles(struct link *link, struct reply *reply, vhu_handle *handles, size_t num)
{
    for (size_t i = 0; i < num; ++i) {
        if (reply->num_handles++ == 0) {
            link->handle = handles[i];
            handles[i] = VHU_NO_HANDLE;
        }
        vhu_handle_close(&handles[i]);
    }
}

/* What has come of a message. */
struct incoming {
    uint8_t bytes[sizeof(vhu_msg_header) + VHU_MAX_PAYLOAD];
    size_t len;
};

/*
 * Receive until `want` bytes are there. Bytes of a message behind are not taken; where messages
 * come whole, what is not there at once never will be.
 */
static enum answer receive_until(struct link *link, struct reply *reply, struct incoming *in,
                                 size_t want, int64_t deadline)
{
    enum answer answer = ANSWERED;

    while (answer == ANSWERED && in->len < want) {
        vhu_handle handles[VHU_MAX_HANDLES];
        size_t num = VHU_MAX_HANDLES;
        const size_t end = link->takes_bytes ? want : sizeof in->bytes;
        if (!link->takes_bytes && in->len > 0)
            return give_up(link, GARBLED);
        const int n = transport_of(link)->recv(link->stream, in->bytes + in->len, end - in->len,
                                               handles, &num);
        if (n > 0) {
            in->len += (size_t)n;
            take_handles(link, reply, handles, num);
        } else {
            answer = wait_for(link, n, VHU_WAIT_READ, deadline);
        }
    }
    return answer;
}

enum answer link_receive(struct link *link, struct reply *reply)
{
    const int64_t deadline = link_now_ms() + link->timeout_ms;
    struct incoming in = {.len = 0};

    memset(reply, 0, sizeof *reply);
    if (!link->stream)
        return CLOSED;
    vhu_handle_close(&link->handle);
    enum answer answer = receive_until(link, reply, &in, sizeof reply->header, deadline);
    if (answer != ANSWERED)
        return answer;
    memcpy(&reply->header, in.bytes, sizeof reply->header);
    if (reply->header.size > sizeof reply->payload)
        return give_up(link, GARBLED);
    const size_t whole = sizeof reply->header + reply->header.size;
    answer = receive_until(link, reply, &in, whole, deadline);
    if (answer != ANSWERED)
        return answer;
    memcpy(reply->payload, in.bytes + sizeof reply->header, reply->header.size);
    return in.len == whole ? ANSWERED : give_up(link, GARBLED);
}

bool link_wait_for_end(const struct link *link, vhu_stream *channel)
{
    const vhu_transport *transport = vhu_stream_transport(channel);
    const int64_t deadline = link_now_ms() + link->timeout_ms;
    struct incoming in;
    int64_t left;

    while ((left = deadline - link_now_ms()) > 0) {
        size_t num = 0;
        const int n = transport->recv(channel, in.bytes, sizeof in.bytes, NULL, &num);
        if (n < 0 && n != VHU_EAGAIN)
            return n == VHU_EDISCONNECT;
        transport->wait(channel, VHU_WAIT_READ, (int)left);
    }
    return false;
}

/* --- the library's client --- */

int link_client(struct link *link, vhu_backend_client **out)
{
    const vhu_conn_options options = {.size = sizeof options, .timeout_ms = link->timeout_ms};
    const vhu_backend_client_options client_options = {.size = sizeof client_options,
                                                       .timeout_ms = link->timeout_ms};
    vhu_transport borrowed = *transport_of(link);
    vhu_conn *conn;
    int r;

    borrowed.shutdown = NULL;
    borrowed.close = NULL;
    r = vhu_conn_new(&conn, &borrowed, link->stream, &options);
    if (r)
        return r;
    r = vhu_backend_client_new(out, &conn, &client_options);
    vhu_conn_free(conn);
    return r;
}
