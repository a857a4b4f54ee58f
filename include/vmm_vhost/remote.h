/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VMM's kit, the mirror of the device kit: a device that lives in another process. It keeps
 * what the VMM wants (memory, rings, features, whether the device runs) and makes any back-end that
 * it is connected to do that, the first as well as the next after that one has gone.
 *
 *     vhu_remote_new(&remote, &options);
 *     vhu_remote_connect(remote, "/tmp/blk.sock");            negotiates
 *     vhu_remote_get_config(remote, 0, config, sizeof(config));
 *     vhu_remote_add_memory(remote, &region, handle);         before or after connecting
 *     vhu_remote_set_ring(remote, 0, &layout, base);          when the driver has set it up
 *     vhu_remote_start(remote);
 *     ... vhu_remote_event(remote, 0, VHU_VRING_KICK) and _CALL ...
 *     vhu_remote_stop(remote);
 *
 * Functions that send wait for the answer, each message with its time limit. When one fails, what
 * the VMM wants is as it was before (but after stop and reset), and nothing leaks; if the
 * connection has ended (a code of class VHU_CLASS_CLOSED or VHU_EINVALID_MESSAGE;
 * vhu_remote_is_connected() tells), the VMM connects again, and running rings go on.
 * vhu_remote_last_error() says it in words.
 *
 * One thread at a time; events may be signalled and waited for on any. With in-band notifications
 * calls come by way of this thread.
 */
#ifndef VMM_VHOST_REMOTE_H
#define VMM_VHOST_REMOTE_H

#include <vmm_vhost/backend_client.h>
#include <vmm_vhost/driver.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/frontend.h>
#include <vmm_vhost/memory.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vhu_remote vhu_remote;

/* I/O virtual addresses of the driver's, and what of the guest's memory they stand for. */
typedef struct vhu_mapping {
    uint64_t iova;
    uint64_t guest_addr;
    uint64_t size; /* bytes */
    uint8_t perm;  /* VHU_IOTLB_RO, _WO, _RW */
} vhu_mapping;

typedef struct vhu_remote_options {
    size_t size;        /* sizeof(vhu_remote_options) */
    uint32_t num_rings; /* 1 .. VHU_MAX_RINGS */
    /* GET_QUEUE_NUM counts pairs of rings, as DPDK's network back-end does. */
    bool queue_pairs;
    /*
     * Virtio features that the VMM and the driver can do; the offer is masked by them.
     * ACCESS_PLATFORM needs `translate`.
     */
    uint64_t features;
    /*
     * Protocol features that are used by way of vhu_remote_client(), besides those of the kit; but
     * not XEN_MMAP and GPA_ADDRESSES, whose memory and rings are not the kit's.
     */
    uint64_t protocol_features;
    uint64_t withheld_protocol_features; /* that the kit does without, though offered */
    int timeout_ms;                      /* for each request; 0: 10000, negative: no limit */
    /*
     * What the back-end may ask on its own channel; NULL: nothing. Ops are called while a function
     * of the remote waits, or in vhu_remote_serve(); they may read the configuration, but must not
     * call what changes the remote.
     */
    const vhu_frontend_ops *ops;
    void *self;                         /* of the ops */
    const vhu_conn_options *connection; /* copied; NULL: defaults */
    /*
     * With ACCESS_PLATFORM (section "IOMMU support"): the mapping that holds `iova`, whatever its
     * size. VHU_ENOENT: there is none, or none that allows `perm`; the back-end's ring waits then
     * until vhu_remote_map() tells of one. `self` is that of the ops, and it is called as they are,
     * or to find a ring: its used index when a back-end has gone, its pages for the dirty log.
     * NULL: there is no IOMMU. What the back-end says of failed accesses goes to ops->iotlb_msg.
     */
    int (*translate)(void *self, uint64_t iova, uint8_t perm, vhu_mapping *out);
    /*
     * Have notifications sent as messages by back-ends that offer it (protocol feature
     * INBAND_NOTIFICATIONS), so that each of them is seen here: rings are kicked by
     * vhu_remote_kick(), and the kit signals its call and err events when it serves the channel. A
     * ring whose event the VMM has replaced uses that.
     */
    bool inband;
} vhu_remote_options;

/* All structures are copied. VHU_EINVAL, VHU_ENOMEM. */
VHU_API int vhu_remote_new(vhu_remote **out, const vhu_remote_options *options);

/* Hangs up, too. */
VHU_API void vhu_remote_free(vhu_remote *remote);

/* What went wrong last, in words; "" if nothing did. */
VHU_API const char *vhu_remote_last_error(const vhu_remote *remote);

/* --- Connection --- */

/*
 * Connect to an address as of listener.h, and negotiate. If the device runs, because the back-end
 * before this one has gone: make it run again, all rings from their used index on or, packed, from
 * the base that was set last, with a kick and a call for each. An in-flight area that is in use is
 * given first, and knows better; without one, requests that were done out of order may be lost or
 * done twice, and a packed ring's driver has to tell its base. Errors: those of vhu_connect(), of
 * which VHU_ENOENT, VHU_ECONNREFUSED and VHU_EAGAIN (as many as it lets wait are waiting) say that
 * the back-end is not ready yet, and to try again later; VHU_ESTATE: connected; VHU_EOVERFLOW: it
 * has not so many rings, or memory slots; VHU_ENOSYS: it does not offer a feature that the driver
 * was told of and acknowledged; or as a request's. Not connected then.
 */
VHU_API int vhu_remote_connect(vhu_remote *remote, const char *address);

/* The same over a connection that is made already. *conn is taken, unless VHU_ESTATE is returned.
 */
VHU_API int vhu_remote_connect_over(vhu_remote *remote, vhu_conn **conn);

/* Hang up without another word. A device that runs goes on with the next back-end. */
VHU_API void vhu_remote_disconnect(vhu_remote *remote);

/* False as well once a function has found out that the back-end has gone. */
VHU_API bool vhu_remote_is_connected(const vhu_remote *remote);

/*
 * For a loop: both connections (borrowed until the next connect or disconnect; NULL: there is none)
 * to wait for, and what to call when one is ready: it serves what the back-end asked, and sees
 * whether it is still there. Never blocks, and serves no flood at once: call again before waiting
 * while one of the two is vhu_conn_pending(). 0, or how the connection ended; VHU_ESTATE: not
 * connected. While requests are begun on the client it leaves the first connection alone: their
 * outcomes, and its end, are for vhu_backend_client_finish().
 */
VHU_API vhu_conn *vhu_remote_conn(const vhu_remote *remote);
VHU_API vhu_conn *vhu_remote_channel(const vhu_remote *remote);
VHU_API int vhu_remote_serve(vhu_remote *remote);

/*
 * The client, for what the kit does not do (borrowed as above; NULL: not connected). What is set by
 * it is not repeated after a reconnect. What was begun on it must be finished before any function
 * of the kit that sends is called.
 */
VHU_API vhu_backend_client *vhu_remote_client(const vhu_remote *remote);

/* --- Features and configuration --- */

/* What the driver may be offered: what the last connected back-end did, masked by the options. */
VHU_API uint64_t vhu_remote_offered(const vhu_remote *remote);

/*
 * What the driver acknowledged; all that is offered, if this is never called. Sent at start.
 * VHU_EINVAL: more than that; VHU_ESTATE: running.
 */
VHU_API int vhu_remote_set_features(vhu_remote *remote, uint64_t features);
VHU_API uint64_t vhu_remote_features(const vhu_remote *remote);

/*
 * Bytes of the device's configuration. Read from its beginning, since some back-ends know no other
 * offset. VHU_ENOSYS: it has none; VHU_ESTATE: not connected; or as a request's.
 */
VHU_API int vhu_remote_get_config(vhu_remote *remote, uint32_t offset, void *buf, uint32_t len);
VHU_API int vhu_remote_set_config(vhu_remote *remote, uint32_t offset, const void *buf,
                                  uint32_t len);

/* --- Memory --- */

/*
 * A region of the guest's memory, which this process has mapped at region->user_addr and the
 * back-end maps by the handle; both stay the caller's, and the mapping must last until the region
 * is removed. May be called while the device runs. VHU_EINVAL: empty, or overlaps another;
 * VHU_EOVERFLOW: no slot; VHU_EMFILE; or as a request's.
 */
VHU_API int vhu_remote_add_memory(vhu_remote *remote, const vhu_mem_region *region,
                                  vhu_handle handle);

/*
 * By guest address and size. VHU_ENOENT; VHU_ESTATE: a running ring lies in it. With
 * ACCESS_PLATFORM that is not known here: unmap it before.
 */
VHU_API int vhu_remote_remove_memory(vhu_remote *remote, uint64_t guest_addr, uint64_t size);

/* All regions, for translating and for vhu_driver_ring_new(). Borrowed. */
VHU_API const vhu_memory *vhu_remote_memory(const vhu_remote *remote);

/* --- IOMMU --- */

/*
 * Tell of a mapping that the back-end may want, before it asks, or late. Waits for no answer, only
 * until the back-end has read enough of what it was told before, and may be called in `translate`
 * and ops. Nothing happens while there is no back-end, or one without ACCESS_PLATFORM: it will ask.
 * VHU_EINVAL: empty, wraps, or allows nothing; VHU_EFAULT: (part of) it lies in no region; or as a
 * request's.
 */
VHU_API int vhu_remote_map(vhu_remote *remote, const vhu_mapping *mapping);

/*
 * These addresses do not mean any more what they did; `translate` says so already. When it returns,
 * the back-end has let go of them, as far as it acknowledges (REPLY_ACK), and what it had begun by
 * them is done. VHU_EINVAL: empty, or wraps; or as a request's.
 */
VHU_API int vhu_remote_unmap(vhu_remote *remote, uint64_t iova, uint64_t size);

/* --- Rings --- */

/*
 * Where a ring is (with ACCESS_PLATFORM, at which I/O virtual addresses), and its base: for a new
 * one 0 or, if it is packed, VHU_PACKED_RING_BASE. The features come first. Rings that were never
 * set do not run. VHU_EINVAL: bad number, size, base, alignment; VHU_EFAULT: a part does not lie in
 * one region; VHU_ESTATE: running; VHU_EMFILE, VHU_ENOMEM.
 *
 * A guest whose driver has not acknowledged VERSION_1 writes in its own byte order, which
 * layout->big_endian tells (request SET_VRING_ENDIAN, sent before such a ring starts, by each
 * back-end anew). VHU_ENOSYS, from start and connect: that is not this host's, and the back-end
 * lacks the protocol feature CROSS_ENDIAN.
 */
VHU_API int vhu_remote_set_ring(vhu_remote *remote, uint32_t ring, const vhu_ring_layout *layout,
                                uint32_t base);

/* The base as it was set or, if that is later, as of the last stop. */
VHU_API uint32_t vhu_remote_ring_base(const vhu_remote *remote, uint32_t ring);

/*
 * Where the next back-end is to go on with a ring whose back-end has gone, or which is stopped. A
 * split ring that ran goes on from its used index, whatever is said here; a packed ring has none in
 * memory. VHU_EINVAL: no such ring, or no base; VHU_ESTATE: running.
 */
VHU_API int vhu_remote_set_ring_base(vhu_remote *remote, uint32_t ring, uint32_t base);

/*
 * The kit's events of a ring that was set: to signal (kick), or to wait for (call, err). Borrowed;
 * valid as long as the remote. NULL: there is no such ring.
 */
VHU_API vhu_event *vhu_remote_event(const vhu_remote *remote, uint32_t ring, vhu_vring_event which);

/*
 * Kick a ring that was set, by its event or, with in-band notifications, by a message, whose answer
 * is waited for. 0 as well if it does not run: it is kicked when it starts. VHU_EINVAL: no such
 * ring; VHU_ESTATE: its kick is a handle of the VMM's own; or as a request's.
 */
VHU_API int vhu_remote_kick(vhu_remote *remote, uint32_t ring);

/*
 * Use a handle of the VMM's own instead of the kit's event, such as one that a hypervisor signals
 * or waits for; VHU_NO_HANDLE: none, the other side polls. It is duplicated. May be called while
 * the device runs; for a kick, signal it once after that and after each start. VHU_EINVAL: no such
 * ring; VHU_EMFILE; or as a request's.
 */
VHU_API int vhu_remote_set_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which,
                                 vhu_handle handle);

/*
 * Use the kit's event again. A kick or call of a running ring is signalled once then, for what may
 * have gone to the other handle. Errors as above.
 */
VHU_API int vhu_remote_restore_event(vhu_remote *remote, uint32_t ring, vhu_vring_event which);

/*
 * Enable or disable a ring, now or when it starts; all are enabled at first. VHU_EINVAL: no such
 * ring; VHU_ENOSYS, from this function or from start and connect: the back-end has no feature bit
 * VHU_F_PROTOCOL_FEATURES, and so cannot disable one; or as a request's.
 */
VHU_API int vhu_remote_enable_ring(vhu_remote *remote, uint32_t ring, bool enable);

/* --- Running --- */

/*
 * Announce features and memory, and start the rings that were set. VHU_ESTATE: not connected, or
 * running, or no ring was set; VHU_EFAULT: a ring's memory has gone; or as a request's: the rings
 * that ran already are stopped again.
 */
VHU_API int vhu_remote_start(vhu_remote *remote);

/*
 * Stop all rings; the back-end finishes what it took. Whatever is returned, the device is stopped,
 * with the bases that the back-end told or, if it has gone or failed, the used indices (of packed
 * rings: the bases before). VHU_ESTATE: not running; or as a request's.
 */
VHU_API int vhu_remote_stop(vhu_remote *remote);

/*
 * The driver resets the device: as stop, by RESET_DEVICE where that is known. Whatever is returned,
 * bases are those of new rings then and the features all that is offered.
 */
VHU_API int vhu_remote_reset(vhu_remote *remote);

/* Between start and stop, whether a back-end is connected or not. */
VHU_API bool vhu_remote_is_running(const vhu_remote *remote);

/* --- Shared memory and shared objects --- */

/*
 * The device's regions of shared memory, by number, as the last connected back-end told: borrowed.
 * NULL: it has none, or options.ops has no shmem_map and shmem_unmap. What the kit calls these for
 * lies in a region and meets nothing else that is mapped there; for each piece that was mapped
 * unmap is called once, as it was mapped: when the back-end wants that (what shmem_unmap returns is
 * told to it; a piece that it refuses to unmap stays), with a reset, and when the VMM disconnects
 * or connects anew. To have it appear in the guest is the VMM's business. VHU_EOVERFLOW is told to
 * a back-end that maps more than 256 pieces.
 */
VHU_API const vhu_shmem_config *vhu_remote_shmem(const vhu_remote *remote);

/*
 * Whether the connected back-end has told of an object of this name, and a handle of it, which is
 * the caller's: for ops->shared_object_lookup of another remote, which returns it. The kit counts
 * up to 256 objects of a back-end, and calls ops->shared_object_add and _remove, if there are any,
 * for what was not there or was; they may refuse. When it has gone they are forgotten. Errors of
 * get: VHU_ENOENT: it has not told of it; VHU_ESTATE: not connected; or as a request's.
 */
VHU_API bool vhu_remote_has_object(const vhu_remote *remote, const uint8_t uuid[16]);
VHU_API int vhu_remote_get_object(vhu_remote *remote, const uint8_t uuid[16], vhu_handle *out);

/* --- The device's own state --- */

/*
 * What the back-end of a device that does not run knows beyond rings and features, so that another
 * one can go on: `put` gets it piece by piece, `get` gives it to a back-end that has been told of
 * memory, rings and features in the same way, up to `len` bytes at a time and 0 at the end. Both
 * return a negative code to give up, which is passed on; `put` decides how much is too much. They
 * must not call what sends.
 * VHU_ENOSYS: the back-end cannot do that (protocol feature DEVICE_STATE); VHU_ESTATE: not
 * connected, or running; VHU_EREFUSED: it could not, or would not have this state, or neither read
 * nor wrote for the time limit of a request; VHU_EMFILE; or as a request's. A state that was saved
 * in part is of no use; a back-end that has failed to load one goes on as if nothing had been.
 */
VHU_API int vhu_remote_save_state(vhu_remote *remote,
                                  int (*put)(void *arg, const void *bytes, size_t len), void *arg);
VHU_API int vhu_remote_load_state(vhu_remote *remote,
                                  int (*get)(void *arg, void *bytes, size_t len), void *arg);

#ifdef __cplusplus
}
#endif

#endif
