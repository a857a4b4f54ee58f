/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit's two halves: device.c is the connection's thread, device_ring.c the workers'.
 *
 * A ring's phase says whose it is. PARKED: the connection's thread may touch everything of it.
 * In all other phases it is its worker's. Only the connection's thread leaves PARKED, only the
 * worker enters it, and both say so by a release store that the other acquires.
 *
 *      connection's thread                     worker
 *      PARKED  -> STARTING, wake               STARTING -> RUNNING, serves
 *      STARTING or RUNNING -> STOPPING, wake   STOPPING -> PARKED when nothing is out, notify
 */
#ifndef VHU_DEVICE_INTERNAL_H
#define VHU_DEVICE_INTERNAL_H

#include <vmm_vhost/device.h>
#include <vmm_vhost/device_share.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/frontend.h>

#include "atomic.h"
#include "dirty_log.h"
#include "inflight.h"
#include "server.h"
#include "util.h"

typedef enum vhu__phase { VHU__PARKED, VHU__STARTING, VHU__RUNNING, VHU__STOPPING } vhu__phase;

/* An event on its way to a running ring's worker: NULL, VHU__NO_EVENT, or one to take over. */
typedef _Atomic(vhu_event *) vhu__mailbox;

/* A ring and a translation that it needs; see device_iotlb.c. */
typedef enum vhu__wait_state {
    VHU__WAIT_NONE,
    VHU__WAIT_ASKS,  /* the front-end is to be asked for it */
    VHU__WAIT_ASKED, /* and has been */
    VHU__WAIT_OVER   /* it has come */
} vhu__wait_state;

typedef struct vhu__wait {
    atomic_int state; /* vhu__wait_state */
    vhu__fault fault; /* the connection's thread's in ASKS and ASKED, else whose the phase says */
    bool told;        /* the connection's thread's: that the answer is not enough */
    uint32_t count;   /* the worker's: how often it has asked for the request at `base` */
    uint32_t base;
} vhu__wait;

struct vhu_ring {
    vhu_device *device;
    uint32_t index;
    unsigned worker;
    atomic_int phase; /* vhu__phase */
    vhu__mailbox next_call;
    vhu__mailbox next_err;
    vhu__wait wait;
    atomic_uint unsaid; /* by vhu_vring_event: to be said on the channel */

    /* Whose the phase says. */
    vhu_queue *queue;
    void *data;
    vhu_event *kick;
    vhu_event *call;
    vhu_event *err;
    vhu_vring_addr addr;
    uint32_t num;
    uint32_t base;
    bool has_addr;
    bool big_endian; /* the guest, as far as that matters: without VERSION_1 */
    bool started;    /* SET_VRING_KICK came; until GET_VRING_BASE */
    bool enabled;
    bool late; /* its queue is for the worker to start */

    /* The worker's own. */
    bool live;    /* between ring_started and ring_parked */
    bool watched; /* the executor waits for the kick */
    bool quiet;   /* the driver must be asked for kicks before sleeping */
    bool stalled; /* something is available, but the device had no room for it */
    bool broken;  /* that was reported */
    bool logged;  /* pages were, and the front-end was not told of it */
};

/* A change that wants rings parked. Pointers lead to the arguments of the op that asked for it. */
typedef struct vhu__change {
    int (*apply)(vhu_device *device, const struct vhu__change *change);
    uint32_t first; /* rings to park */
    uint32_t count;
    uint64_t value;
    const vhu_mem_region *regions;
    size_t num_regions;
    vhu_handle *handles;
    const vhu_vring_addr *addr;
    const vhu_inflight_area *inflight;
    const vhu_log_area *log;
    const vhu_iotlb_msg *iotlb;
    vhu_mem_region *placed; /* the regions, if the front-end is to know where they are */
    uint32_t *base;
} vhu__change;

typedef struct vhu__transfer vhu__transfer;

/* A request of the device's own that waits for its answer. */
typedef struct vhu__question {
    vhu_device_answer answer;
    void *arg;
} vhu__question;

/* See device_postcopy.c. */
typedef struct vhu__postcopy {
    vhu_handle userfault;  /* VHU_NO_HANDLE: none was asked for */
    vhu_handle life;       /* tells the front-end's end, while nothing is received */
    bool unmapped;         /* the front-end does not know yet where memory is: no ring may run */
    atomic_bool listening; /* pages may be missing */
    atomic_bool lost;      /* and nobody brings them any more */
} vhu__postcopy;

struct vhu_device {
    vhu_device_options options;
    vhu_device_ops ops;
    void *self;
    vhu_executor executor; /* num_workers 0: the connection's thread does the work */
    void *executor_arg;
    vhu_memory *memory;      /* changes only while all rings are parked */
    uint64_t features;       /* likewise */
    vhu__inflight *inflight; /* likewise; NULL: none is in use */
    vhu__dirty_log *log;     /* likewise; in use with VHU_F_LOG_ALL alone */
    vhu_event *log_event;    /* likewise; may be NULL */
    vhu__iotlb *iotlb;       /* NULL: the device does not offer ACCESS_PLATFORM */
    bool inband;             /* likewise: a ring without an event uses messages */
    atomic_bool unsaid;      /* of any ring */
    vhu_ring *rings;

    /* The connection's thread's own. */
    vhu_backend_ops backend_ops;
    vhu_backend_server *server;
    uint64_t status;              /* as of SET_STATUS */
    vhu_frontend_client *channel; /* for requests of our own; NULL: the front-end gave none */
    bool leaving;
    void (*left)(void *arg);
    void *left_arg;
    bool waiting; /* `change` is held back until its rings are parked */
    vhu__change change;
    vhu_wait also[VHU_DEVICE_LIFE + 1];
    uint32_t first_question;
    uint32_t num_questions;
    vhu__question questions[VHU_MAX_CALLS];
    vhu_shmem_config shmem;
    vhu__postcopy postcopy;
    vhu__transfer *transfer; /* of the state; NULL: none is under way */
    int transfer_result;     /* of the last one */
    bool checking;           /* the front-end waits for it */
};

extern vhu_event *const vhu__no_event;

static inline vhu__phase vhu__ring_phase(vhu_ring *ring)
{
    return (vhu__phase)atomic_load_explicit(&ring->phase, memory_order_acquire);
}

/* On the worker: one turn of a ring. True if anything was done. */
bool vhu__ring_step(vhu_ring *ring);

/* From the connection's thread: begin to run a parked ring, or ask a running one to park. */
void vhu__ring_run(vhu_ring *ring);
void vhu__ring_stop(vhu_ring *ring);

/* From the connection's thread: have the worker look at the ring. */
void vhu__ring_wake(vhu_ring *ring);

/* Have an event (NULL: none) used as the ring's call or err from now on; it is taken. */
void vhu__ring_set_event(vhu_ring *ring, vhu_vring_event which, vhu_event *event);

/* Parked: forget how it was set up, but for call and err; or release those, too. */
void vhu__ring_reset(vhu_ring *ring);
void vhu__ring_release(vhu_ring *ring);

/* Whether all that a ring needs to run has come; and start it then. 0 if it has not. */
int vhu__ring_start(vhu_ring *ring);

/* SET_LOG_BASE and SET_LOG_FD, applied. */
int vhu__log_set_area(vhu_device *device, const vhu__change *change);
int vhu__log_set_event(vhu_device *device, const vhu__change *change);
void vhu__log_release(vhu_device *device);

/* Before a parked ring starts: have it log what it writes, if that is wanted. */
int vhu__log_track(vhu_ring *ring);

/* On the worker: tell the front-end that pages were logged. */
void vhu__log_tell(vhu_ring *ring);

/* Start the queue of a ring: on the connection's thread or, of a late one, on its worker. */
int vhu__ring_start_queue(vhu_ring *ring);
void vhu__ring_report_start(vhu_ring *ring, int error);

/* Start what is parked and ready; one that does not start is reported. */
void vhu__device_start_rings(vhu_device *device, uint32_t first, uint32_t count);

/* Apply a change when its rings are parked: now, or in vhu_device_settle() (VHU_EPENDING). */
int vhu__device_submit(vhu_device *device, const vhu__change *change);

bool vhu__device_all_parked(vhu_device *device, uint32_t first, uint32_t count);

/* Have the connection's thread wait for `events` of a handle, or for none any more. */
int vhu__device_watch(vhu_device *device, vhu_device_wait which, vhu_handle handle,
                      unsigned events);

/* --- translations --- */

/* On the worker: nothing could be taken; if a translation is missing, have it asked for. */
void vhu__ring_await(vhu_ring *ring);
bool vhu__ring_waits(vhu_ring *ring);

/* On the connection's thread, parked: a part of the ring is not known yet; or nobody waits more. */
void vhu__ring_defer(vhu_ring *ring);
void vhu__ring_end_wait(vhu_ring *ring);

/* On the connection's thread: ask for what rings want; or, on a new channel, once more for all. */
void vhu__device_ask(vhu_device *device);
void vhu__device_ask_again(vhu_device *device);

/* vhu_backend_ops.iotlb_msg */
int vhu__device_iotlb_msg(void *self, const vhu_iotlb_msg *msg);

/* --- the state --- */

/* Go on with a transfer; or give it up, and know nothing of any. */
void vhu__device_state_settle(vhu_device *device);
void vhu__device_state_forget(vhu_device *device);
int vhu__device_set_state_fd(void *self, const vhu_device_state *state, vhu_handle *handle,
                             vhu_handle *reply);
int vhu__device_check_state(void *self);

/* Postcopy: whether it can be; tell where regions are; its end, while rings run and after that. */
bool vhu__device_can_postcopy(const vhu_device *device);
void vhu__device_place(vhu_device *device, vhu_mem_region *regions, size_t n);
void vhu__device_lose_pages(vhu_device *device);
void vhu__device_watch_life(vhu_device *device, bool watch);
void vhu__device_postcopy_settle(vhu_device *device);
void vhu__device_postcopy_forget(vhu_device *device);
int vhu__device_postcopy_advise(void *self, vhu_handle *uffd);
int vhu__device_postcopy_listen(void *self);
int vhu__device_postcopy_mapped(void *self);
int vhu__device_postcopy_end(void *self);

/* On the worker: have all that is to be read there. How many of the chains can be used. */
uint32_t vhu__ring_await_pages(vhu_ring *ring, const vhu_chain *chains, uint32_t n);

/* --- the back channel --- */

/*
 * On the connection's thread: the channel, ready for requests (VHU_ESTATE, VHU_ENOSYS); what
 * became of one whose sending gave `r`; wait for what is not through yet, which, where nobody can
 * wait, goes with what comes next; a turn of all of it; its end.
 */
int vhu__device_channel(vhu_device *device, vhu_frontend_client **channel);
int vhu__device_sent(vhu_device *device, int r);
int vhu__device_watch_channel(vhu_device *device);
void vhu__device_channel_turn(vhu_device *device);
void vhu__device_close_channel(vhu_device *device);

/* Where the phase says: tell the driver (VHU_VRING_CALL, VHU_VRING_ERR), if that can be done. */
void vhu__ring_signal(vhu_ring *ring, vhu_vring_event which);

/* On the connection's thread: send what rings have to say; false if there was no room for all. */
bool vhu__device_speak(vhu_device *device);

/* vhu_backend_ops.vring_kick */
int vhu__device_vring_kick(void *self, uint32_t index);

/* `done` of vhu_frontend_client_options; or nothing more will be answered. */
void vhu__device_answered(void *arg, uint32_t request, int status, vhu_handle *handle);
void vhu__device_end_questions(vhu_device *device);

/* False if that is no configuration. */
bool vhu__device_set_shmem(vhu_device *device, const vhu_shmem_config *config);
int vhu__device_get_shmem_config(void *self, vhu_shmem_config *config);
int vhu__device_get_shared_object(void *self, const uint8_t uuid[16], vhu_handle *handle);

/* The kit's requests; `self` is the vhu_device. */
extern const vhu_backend_ops vhu__device_ops;

/* Add those to backend_ops that the device knows by an op of its own. */
void vhu__device_add_requests(vhu_device *device);

void vhu__device_log(vhu_device *device, vhu_log_level level, const char *format, ...)
    VHU__PRINTF(3, 4);

#endif
