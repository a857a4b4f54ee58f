/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to a back-end by hand: any message can be sent, and replies are seen as they are.
 * The library's client runs on the same connection, as long as nothing else is sent on it.
 */
#ifndef PROBE_LINK_H
#define PROBE_LINK_H

#include <vmm_vhost/backend_client.h>
#include <vmm_vhost/stream.h>

struct link {
    const char *address;
    int timeout_ms;     /* for each reply */
    vhu_stream *stream; /* NULL: closed */
    bool takes_bytes;   /* and not just whole messages; as of the last connection */
    vhu_handle handle;  /* the first that came with the last reply, until the next */
};

/* How a request went. */
enum answer {
    ANSWERED,
    CLOSED, /* by the peer; so is the link */
    SILENT, /* until the time limit; the link is closed, since a late reply would confuse */
    GARBLED /* what came is no message, or has too many handles; the link is closed */
};

/* A reply as it came. */
struct reply {
    vhu_msg_header header;
    uint8_t payload[VHU_MAX_PAYLOAD];
    size_t num_handles;
};

/* 0 or VHU_E*. */
int link_open(struct link *link);
void link_close(struct link *link);

/* The library's client on an open link, which must outlive it. 0 or VHU_E*. */
int link_client(struct link *link, vhu_backend_client **out);

/* Send bytes with handles, which stay the caller's; and take one reply. */
enum answer link_send(struct link *link, const void *bytes, size_t len, const vhu_handle *handles,
                      size_t num_handles);
enum answer link_receive(struct link *link, struct reply *reply);

/* Wait until the other end of a channel is closed: whether that came in time. */
bool link_wait_for_end(const struct link *link, vhu_stream *channel);

/* Milliseconds of a clock that only goes forward. */
int64_t link_now_ms(void);

#endif
