/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit, between its files: what the VMM wants, and what the back-end was told of it. */
#ifndef VHU_REMOTE_INTERNAL_H
#define VHU_REMOTE_INTERNAL_H

#include <vmm_vhost/remote.h>
#include <vmm_vhost/remote_postcopy.h>

#include "util.h"

typedef struct vhu__remote_region {
    vhu_mem_region region;
    vhu_handle handle;
    bool announced; /* on this connection */
} vhu__remote_region;

typedef struct vhu__remote_event {
    vhu_event *own;
    bool replaced; /* by `given`, which may be no handle */
    vhu_handle given;
} vhu__remote_event;

typedef struct vhu__remote_ring {
    vhu_ring_layout layout; /* of no descriptors: never set */
    uint32_t base;
    bool enabled;
    bool started; /* on this connection */
    vhu__remote_event events[3];
} vhu__remote_ring;

/* Pieces of shared memory, and shared objects, that one back-end may have. */
enum { VHU__MAX_PIECES = 256, VHU__MAX_OBJECTS = 256 };

typedef struct vhu__remote_object {
    uint8_t uuid[16];
} vhu__remote_object;

typedef struct vhu__remote_log vhu__remote_log;

struct vhu_remote {
    /* What the VMM wants. */
    vhu_remote_options options;
    vhu_conn_options connection;
    vhu_frontend_ops ops;
    uint64_t offered;
    uint64_t features;
    bool acknowledged; /* the driver said which features; else all that is offered */
    bool running;
    vhu_memory *memory;
    size_t num_regions;
    vhu__remote_region regions[VHU_MAX_MEM_SLOTS];
    vhu__remote_ring *rings;
    vhu_inflight_area inflight;
    vhu_handle inflight_handle; /* VHU_NO_HANDLE: no area is in use */
    vhu__remote_log *log;       /* NULL: nothing is logged */
    vhu_postcopy_ops postcopy;  /* without `advised`: all memory is there */
    void *postcopy_self;

    /* The connection. */
    vhu_backend_client *client;
    vhu_frontend_server *channel;
    size_t max_regions;
    bool live; /* memory is announced as it comes */
    bool has_shmem;
    vhu_shmem_config shmem; /* of the last one */
    size_t num_pieces;
    vhu_shmem_request pieces[VHU__MAX_PIECES];
    size_t num_objects;
    vhu__remote_object objects[VHU__MAX_OBJECTS];
    bool offers_log;  /* VHU_F_LOG_ALL */
    bool in_postcopy; /* the back-end is, too */
    char error[200];
};

/* Say what is wrong; returns `code`. */
int vhu__remote_fail(vhu_remote *remote, int code, const char *format, ...) VHU__PRINTF(3, 4);

/* The outcome of a request, which is passed on: keep the words if it failed. */
int vhu__remote_sent(vhu_remote *remote, int r);

/* Whether a protocol feature was negotiated on this connection. */
bool vhu__remote_has(const vhu_remote *remote, unsigned protocol_feature);

/* Whether the driver may know the device's features already. */
bool vhu__remote_is_known(const vhu_remote *remote);

/* Announce what has not been on this connection. */
int vhu__remote_share_memory(vhu_remote *remote);

/* Whether rings and buffers have I/O virtual addresses. */
bool vhu__remote_has_iommu(const vhu_remote *remote);

/*
 * Where an address of the driver's is in the guest's memory, for what devices write: how many of
 * `len` bytes are there in one piece, 0 if it means nothing.
 */
uint64_t vhu__remote_look(const vhu_remote *remote, uint64_t addr, uint64_t len,
                          uint64_t *guest_addr);

/* Where the VMM has `len` bytes at such an address; NULL unless they are one piece. */
void *vhu__remote_at(const vhu_remote *remote, uint64_t addr, uint64_t len);

/* Whether the back-end that is connected runs a ring. */
bool vhu__remote_runs(const vhu_remote *remote, uint32_t ring);

/* Make a device run on that a back-end has left in the middle of it. On failure no ring runs. */
int vhu__remote_resume(vhu_remote *remote);

/* Tell the back-end of a ring's event, whoever's it is. */
int vhu__remote_send_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which);

/* Signal the kit's event of a ring: what was added, or done, while nobody looked. */
void vhu__remote_poke(const vhu_remote *remote, uint32_t ring, vhu_vring_event which);

/* Whether notifications are messages on this connection; kick a running ring, either way. */
bool vhu__remote_is_inband(const vhu_remote *remote);
int vhu__remote_kick(vhu_remote *remote, uint32_t ring);

/*
 * The back-end's channel: protocol features for what may be asked on it; and open it, if there is
 * anything that may.
 */
uint64_t vhu__remote_channel_features(const vhu_remote *remote);
int vhu__remote_open_channel(vhu_remote *remote);

/* IOTLB_MISS: tell what the VMM says of it. */
int vhu__remote_answer_miss(vhu_remote *remote, const vhu_iotlb_msg *miss);

/* vhu_frontend_ops */
int vhu__remote_object_add(void *self, const uint8_t uuid[16]);
int vhu__remote_object_remove(void *self, const uint8_t uuid[16]);
int vhu__remote_object_lookup(void *self, const uint8_t uuid[16], vhu_handle *handle);
int vhu__remote_shmem_map(void *self, const vhu_shmem_request *piece, vhu_handle *handle);
int vhu__remote_shmem_unmap(void *self, const vhu_shmem_request *piece);

/*
 * What the back-end shares: whether the VMM has a use for shared memory; learn of its regions, once
 * connected; forget pieces, or all of it.
 */
bool vhu__remote_wants_shmem(const vhu_remote *remote);
int vhu__remote_ask_shmem(vhu_remote *remote);
void vhu__remote_drop_pieces(vhu_remote *remote);
void vhu__remote_drop_share(vhu_remote *remote);

/* The in-flight area: ask for it, or give it back; it is of no use any more. */
int vhu__remote_share_inflight(vhu_remote *remote);
void vhu__remote_drop_inflight(vhu_remote *remote);

/* SET_FEATURES; and SET_VRING_ADDR of the rings that run: with the log, or without. */
int vhu__remote_send_features(vhu_remote *remote);
int vhu__remote_resend_addrs(vhu_remote *remote);

/* Send the log, if there is one; make it fit for new memory, which was not announced yet. */
int vhu__remote_share_log(vhu_remote *remote);
int vhu__remote_fit_log(vhu_remote *remote);

/* On a new connection: the back-end shall wait for pages, too, if the VMM has to bring them. */
int vhu__remote_enter_postcopy(vhu_remote *remote);

/* These have been announced, and come back with the back-end's addresses in postcopy. */
int vhu__remote_place(vhu_remote *remote, const vhu_mem_region *regions, size_t n);

/* Have this, at an address of the driver's, fetched as if it had been logged. */
void vhu__remote_mark(vhu_remote *remote, uint64_t addr, uint64_t len);

void vhu__remote_drop_log(vhu_remote *remote);

#endif
