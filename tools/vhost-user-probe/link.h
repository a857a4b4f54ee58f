/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A connection to a back-end by hand: any bytes can be sent, and replies are seen as they are. The
 * library's client runs on the same connection, as long as nothing else is sent on it.
 */
#ifndef PROBE_LINK_H
#define PROBE_LINK_H

#include <vmm_vhost/backend_client.h>

struct link {
    const char *address;
    int timeout_ms; /* for each reply */
    int fd;         /* -1: closed */
};

/* How a request went. */
enum answer {
    ANSWERED,
    CLOSED, /* by the peer; so is the link */
    SILENT, /* until the time limit; the link is closed, since a late reply would confuse */
    GARBLED /* what came is no message; the link is closed */
};

/* A reply as it came. Its handles were looked at and closed. */
struct reply {
    vhu_msg_header header;
    uint8_t payload[VHU_MAX_PAYLOAD];
    size_t num_handles;
    uint64_t handle_size; /* bytes of the file behind the first handle */
};

/* 0, or errno. */
int link_open(struct link *link);
void link_close(struct link *link);

/* The library's client on an open link, which must outlive it. 0 or VHU_E*. */
int link_client(struct link *link, vhu_backend_client **out);

/* Send bytes with handles, which stay the caller's; and take one reply. */
enum answer link_send(struct link *link, const void *bytes, size_t len, const int *handles,
                      size_t num_handles);
enum answer link_receive(struct link *link, struct reply *reply);

/* Milliseconds of a clock that only goes forward. */
int64_t link_now_ms(void);

/* Wait until fd has something to read or its other end is closed: whether that came in time. */
bool link_wait_other(const struct link *link, int fd);

#endif
