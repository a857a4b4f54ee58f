/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A small VMM: it sends a front-end's requests over a stream, has guest memory and the drivers of
 * some rings in it. Requests belong to the test's thread; a ring may be given to another.
 */
#ifndef TEST_FRONTEND_H
#define TEST_FRONTEND_H

#include <stdatomic.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/stream.h>

#include "support/driver_ring.h"
#include "support/leakcheck.h"

#define FRONTEND_FEATURES                                                                          \
    (VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_RING_INDIRECT_DESC) |                                \
     VHU_BIT(VHU_F_RING_EVENT_IDX) | VHU_BIT(VHU_F_PROTOCOL_FEATURES))
#define FRONTEND_PROTOCOL                                                                          \
    (VHU_BIT(VHU_PF_MQ) | VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS) |        \
     VHU_BIT(VHU_PF_RESET_DEVICE) | VHU_BIT(VHU_PF_BACKEND_REQ))

enum {
    FRONTEND_RINGS = 8,
    FRONTEND_SLOT = 32,
    FRONTEND_MESSAGE = sizeof(vhu_msg_header) + VHU_MAX_PAYLOAD
};

/* What a request carries, and what the device answers behind it. */
typedef struct frontend_slot {
    uint64_t seq;
    uint64_t ring;
    uint64_t answer; /* ~seq */
    uint64_t again;  /* seq + ring */
} frontend_slot;

/* A message that has come, or its beginning. */
typedef struct frontend_message {
    size_t have;
    size_t num_handles; /* that came and were not taken: one at the most */
    vhu_handle handle;
    uint8_t bytes[FRONTEND_MESSAGE];
} frontend_message;

/* One driver. Whoever drives it keeps `error`, since only the test's thread may assert. */
typedef struct frontend_ring {
    uint32_t index;
    driver_ring driver;
    uint64_t data; /* guest address of a slot for each head */
    uint64_t submitted;
    uint64_t reaped;
    bool in_order;    /* expect the answers in the order of the requests */
    uint64_t *seq_of; /* by head; UINT64_MAX: not out */
    vhu_event *kick;
    vhu_event *call;
    vhu_event *err;
    vhu_event *poke; /* another thread has put something into next_call or next_kick */
    _Atomic(vhu_event *) next_call; /* or NULL */
    _Atomic(vhu_event *) next_kick;
    const char *error; /* what went wrong first */
} frontend_ring;

/* How misses are answered, and what has come. */
typedef struct frontend_iommu {
    bool silent;     /* not at all */
    uint64_t page;   /* bytes of a translation, a power of 2; 0: 4096 */
    uint8_t perm;    /* what is allowed at the most; 0: what was asked for */
    unsigned misses; /* IOTLB_MISS */
    unsigned fails;  /* ACCESS_FAIL */
    vhu_iotlb_msg last;
    frontend_message message;
} frontend_iommu;

typedef struct frontend {
    vhu_stream *stream;  /* NULL: hung up */
    vhu_stream *channel; /* our end of the back-end's channel, or NULL */
    bool acks;           /* REPLY_ACK was negotiated: ask for and expect it */
    frontend_message reply;
    /* The device's side, if it runs on this thread: called while there is nothing to receive. */
    void (*turn)(void *arg);
    void *turn_arg;
    driver_memory memory;
    frontend_iommu iommu;
    uint64_t features; /* with ACCESS_PLATFORM, drivers' addresses are not the guest's */
    uint32_t num_rings;
    frontend_ring *rings;
} frontend;

/*
 * Memory of `regions` regions, and rings of `size` descriptors in all but the last `spare` of them,
 * in turn; nothing is sent. `stream` is taken.
 */
void frontend_open(frontend *f, vhu_stream *stream, size_t regions, size_t spare, uint32_t rings,
                   uint32_t size, uint64_t features);
void frontend_close(frontend *f);

/* Leave: close the connection and nothing else. And come again, on another one. */
void frontend_hang_up(frontend *f);
void frontend_call_again(frontend *f, vhu_stream *stream);

/* --- messages --- */

void frontend_send(frontend *f, uint32_t request, uint32_t flags, const void *payload,
                   uint32_t size, const vhu_handle *handles, size_t n);
/* The same, if there is room for it now: false if there is not, or the connection has ended. */
bool frontend_try_send(frontend *f, uint32_t request, const void *payload, uint32_t size);
/* Any bytes; a stream of messages takes only whole ones. */
void frontend_send_bytes(frontend *f, const void *bytes, size_t len);
/* The size of the reply's payload, -1 if the connection has ended. */
int frontend_recv(frontend *f, uint32_t request, void *payload, uint32_t size);
/* Send, with acknowledgement if that was negotiated: its value, 0 without, -1 at the end. */
int64_t frontend_request(frontend *f, uint32_t request, const void *payload, uint32_t size,
                         const vhu_handle *handles, size_t n);
/* GET_INFLIGHT_FD: *handle is VHU_NO_HANDLE if none came. SET_INFLIGHT_FD: it stays ours. */
void frontend_get_area(frontend *f, vhu_inflight_area *area, vhu_handle *handle);
int64_t frontend_set_area(frontend *f, const vhu_inflight_area *area, vhu_handle handle);
/* The header of what came on the channel, which has no payload. */
vhu_msg_header frontend_recv_channel(frontend *f);
/* The same, of `size` bytes, and its handle, VHU_NO_HANDLE if it has none. */
vhu_msg_header frontend_take_channel(frontend *f, void *payload, uint32_t size, vhu_handle *handle);
/*
 * Behind an IOMMU: answer what has come on the channel; how many messages. An I/O virtual address
 * is the guest's, which the device does not know.
 */
unsigned frontend_answer(frontend *f);
/* IOTLB_MSG: an update to what the guest has there, or an invalidation. */
int64_t frontend_iotlb(frontend *f, uint8_t type, uint64_t iova, uint64_t size, uint8_t perm);
/* VRING_CALL or VRING_ERR, which carry a ring's number: the request, 0 if there is none now. */
uint32_t frontend_recv_inband(frontend *f, uint32_t *ring);
/* No reply is there now. One that is there is received. */
bool frontend_is_silent(frontend *f);

uint64_t frontend_get(frontend *f, uint32_t request);
int64_t frontend_set(frontend *f, uint32_t request, uint64_t value);
int64_t frontend_vring(frontend *f, uint32_t request, uint32_t ring, uint32_t num);
int64_t frontend_addr(frontend *f, uint32_t ring);
/* With VHU_VRING_F_* and where the used ring is in the log. */
int64_t frontend_log_addr(frontend *f, uint32_t ring, uint32_t flags, uint64_t log);
/* What the device needs of an event, or none (NULL); or any handle. They stay ours. */
int64_t frontend_event(frontend *f, uint32_t request, uint32_t ring, vhu_event *event);
int64_t frontend_event_handle(frontend *f, uint32_t request, uint32_t ring, vhu_handle handle);
int64_t frontend_table(frontend *f, size_t first, size_t n);
int64_t frontend_region(frontend *f, uint32_t request, size_t region);
uint32_t frontend_base(frontend *f, uint32_t ring);

/* --- sequences --- */

/* As QEMU begins, up to and with SET_PROTOCOL_FEATURES and the events per ring. */
void frontend_handshake(frontend *f, uint64_t protocol_features);
/* SET_FEATURES and the first `n` regions, by slots or, without that feature, as a table. */
void frontend_share(frontend *f, size_t n);
void frontend_start_ring(frontend *f, uint32_t ring, uint32_t base);
/* ENABLE 0, GET_VRING_BASE. */
uint32_t frontend_stop_ring(frontend *f, uint32_t ring);
/* All of it, all rings and regions. */
void frontend_start(frontend *f);
void frontend_channel(frontend *f);

/* --- drivers --- */

/* Add up to `n` requests and kick if asked to: how many. */
uint32_t frontend_submit(frontend_ring *r, uint32_t n);
/* Take back what was used and check it: how many. */
uint32_t frontend_reap(frontend_ring *r);
/*
 * Ask for a call and sleep until it comes, looking at nothing else. False, and `error`, if it does
 * not come for so long that it is lost. With a call before that nobody saw it returns at once.
 */
bool frontend_sleep(frontend_ring *r);
/* Do `n` requests, at most `depth` at once, sleeping in between. False: see error. */
bool frontend_run(frontend_ring *r, uint64_t n, uint32_t depth);
/* Whether an event is signalled; takes it back. */
bool frontend_signalled(vhu_event *event);

/* For another thread: have the driver change over to a new event, which is taken. */
void frontend_swap_call(frontend_ring *r, vhu_event *event);
void frontend_swap_kick(frontend_ring *r, vhu_event *event);

vhu_event *frontend_event_new(void);

#endif
