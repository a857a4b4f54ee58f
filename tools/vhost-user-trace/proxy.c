/* SPDX-License-Identifier: BSD-3-Clause */
#include "proxy.h"

#include <stdlib.h>

/* How often it is tried whether somebody listens now; and whether somebody can be accepted now. */
enum { RETRY_MS = 20, ACCEPT_MS = 500 };

/* A front-end's connection: its main channel, and the back channels that came with it. */
struct session {
    struct link_owner owner; /* first: links lead here */
    struct proxy *proxy;
    struct session *next;
    unsigned number;
    unsigned back_channels;
    struct link *links;
    vhu_stream *front; /* until the back-end is there */
    uint64_t began_ms;
    uv_timer_t retry;
    bool told;
};

static struct session *session_of(struct link_owner *owner)
{
    return (struct session *)owner;
}

/* Told as of its main channel. */
static void announce(const struct session *session, const char *text, const char *what, int error)
{
    const struct channel main_channel = {.connection = session->number};

    trace_event(session->proxy->trace, &main_channel, "%s%s%s%s", text, what, error ? ": " : "",
                error ? vhu_strerror(error) : "");
}

/* --- the end --- */

static void on_session_closed(uv_handle_t *handle)
{
    struct session *session = handle->data;
    struct proxy *proxy = session->proxy;
    struct session **at = &proxy->sessions;

    while (*at != session)
        at = &(*at)->next;
    *at = session->next;
    free(session);
    if (!proxy->sessions && proxy->idle)
        proxy->idle(proxy->arg);
}

static void end_session(struct session *session)
{
    vhu_stream_free(session->front);
    session->front = NULL;
    uv_close((uv_handle_t *)&session->retry, on_session_closed);
}

static void on_link_ended(struct link_owner *owner, struct link *link)
{
    struct session *session = session_of(owner);
    struct link **at = &session->links;

    while (*at != link)
        at = &(*at)->next;
    *at = link->next;
    link_free(link);
    if (!session->links)
        end_session(session);
}

/* --- channels --- */

static bool add_link(struct session *session, unsigned number, vhu_stream *ends[2])
{
    struct link *link;
    const int rc =
        link_new(&link, &session->owner, session->proxy->loop, session->number, number, ends);

    if (rc) {
        announce(session, "cannot go on", "", rc);
        return false;
    }
    link->next = session->links;
    session->links = link;
    return true;
}

/* The back-end gets an end of a channel of ours, and the other end is joined with the front-end's.
 */
static void on_back_channel(struct link_owner *owner, const struct link *link, vhu_handle *handle)
{
    struct session *session = session_of(owner);
    vhu_stream *ends[2] = {NULL, NULL};
    vhu_handle peer = VHU_NO_HANDLE;
    int rc = sys_is_stream(*handle) ? 0 : VHU_ENOSYS;

    if (!rc)
        rc = vhu_stream_open_channel(&ends[BACK], &peer, link->ends[BACK].stream);
    if (!rc)
        rc = vhu_stream_adopt_channel(&ends[FRONT], handle, link->ends[FRONT].stream);
    if (rc) {
        vhu_stream_free(ends[BACK]);
        vhu_handle_close(&peer);
        announce(session, "the back channel is passed on without being traced", "", rc);
        return;
    }
    *handle = peer;
    add_link(session, ++session->back_channels, ends);
}

/* --- the beginning --- */

static void try_to_connect(struct session *session);

static void on_retry(uv_timer_t *timer)
{
    try_to_connect(timer->data);
}

static void retry_or_give_up(struct session *session, int error)
{
    struct proxy *proxy = session->proxy;
    const uint64_t waited = uv_now(proxy->loop) - session->began_ms;

    if (waited >= proxy->wait_ms) {
        announce(session, "given up, no back-end at ", proxy->connect, error);
        end_session(session);
        return;
    }
    if (!session->told)
        announce(session, "waiting for a back-end at ", proxy->connect, error);
    session->told = true;
    uv_timer_start(&session->retry, on_retry, RETRY_MS, 0);
}

static void try_to_connect(struct session *session)
{
    vhu_stream *ends[2] = {NULL, NULL};
    const int rc = vhu_stream_connect(&ends[BACK], session->proxy->connect, 0, NULL);

    if (rc) {
        retry_or_give_up(session, rc);
        return;
    }
    ends[FRONT] = session->front;
    session->front = NULL;
    announce(session, "connected with ", session->proxy->connect, 0);
    if (!add_link(session, 0, ends))
        end_session(session);
}

static void new_session(struct proxy *proxy, vhu_stream *front)
{
    struct session *session = calloc(1, sizeof *session);

    if (!session) {
        vhu_stream_free(front);
        return;
    }
    session->owner = (struct link_owner){
        .trace = proxy->trace, .back_channel = on_back_channel, .ended = on_link_ended};
    session->proxy = proxy;
    session->number = ++proxy->trace->connections;
    session->front = front;
    session->began_ms = uv_now(proxy->loop);
    session->next = proxy->sessions;
    proxy->sessions = session;
    uv_timer_init(proxy->loop, &session->retry);
    session->retry.data = session;
    try_to_connect(session);
}

static void accept_all(void *arg);

static void on_accept_retry(uv_timer_t *timer)
{
    accept_all(timer->data);
}

static void accept_all(void *arg)
{
    struct proxy *proxy = arg;
    vhu_stream *front;
    int rc;

    while ((rc = vhu_listener_accept_stream(proxy->listener, &front)) == 0)
        new_session(proxy, front);
    vhu_uv_watch_set(proxy->listening, rc == VHU_EAGAIN ? VHU_WAIT_READ : 0);
    if (rc == VHU_EAGAIN)
        return;
    trace_event(proxy->trace, NULL, "a front-end has to wait: %s", vhu_strerror(rc));
    uv_timer_start(&proxy->retry, on_accept_retry, ACCEPT_MS, 0);
}

int proxy_start(struct proxy *proxy, vhu_listener **listener)
{
    const int rc =
        vhu_uv_watch_new(&proxy->listening, proxy->loop, vhu_listener_wait_handle(*listener),
                         VHU_WAIT_READ, accept_all, proxy);

    if (rc)
        return rc;
    proxy->listener = *listener;
    *listener = NULL;
    uv_timer_init(proxy->loop, &proxy->retry);
    proxy->retry.data = proxy;
    return 0;
}

void proxy_stop_listening(struct proxy *proxy)
{
    if (!proxy->listener)
        return;
    vhu_uv_watch_close(proxy->listening);
    uv_close((uv_handle_t *)&proxy->retry, NULL);
    vhu_listener_free(proxy->listener);
    proxy->listener = NULL;
}

void proxy_stop(struct proxy *proxy)
{
    proxy_stop_listening(proxy);
    for (struct session *session = proxy->sessions; session; session = session->next) {
        if (!session->links && !uv_is_closing((uv_handle_t *)&session->retry))
            end_session(session);
        for (struct link *link = session->links; link; link = link->next)
            link_close(link);
    }
}

bool proxy_is_idle(const struct proxy *proxy)
{
    return !proxy->sessions;
}
