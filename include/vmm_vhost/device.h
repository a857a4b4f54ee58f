/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit: vhu_backend_ops made from guest memory, rings and worker threads, so that a
 * device's author writes get_config and handle_ring and little else.
 *
 * Threads: control functions belong to the connection's thread. A ring belongs either to that
 * thread (parked) or to its worker (running), never to both; a request that changes a running ring
 * is held back until the worker has finished what it took and parked the ring, so nothing blocks.
 */
#ifndef VMM_VHOST_DEVICE_H
#define VMM_VHOST_DEVICE_H

#include <vmm_vhost/backend.h>
#include <vmm_vhost/conn.h>
#include <vmm_vhost/queue.h>
#include <vmm_vhost/types.h>
#include <vmm_vhost/wait.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a device does; `self` is the pointer given to vhu_device_new(). NULL: nothing. */
typedef struct vhu_device_ops {
    size_t size; /* sizeof(vhu_device_ops) */

    /* On the connection's thread. */

    /*
     * What the driver acknowledged, while all rings are parked. An error refuses it. The kit keeps
     * VHU_F_LOG_ALL, which is the front-end's, to itself.
     */
    int (*set_features)(void *self, uint64_t features);
    /* As in vhu_backend_ops. NULL get_config: the device has no configuration. */
    int (*get_config)(void *self, uint32_t offset, void *buf, uint32_t len);
    int (*set_config)(void *self, uint32_t offset, const void *buf, uint32_t len, uint32_t flags);

    /* On the ring's worker. */

    /* A ring begins to run, or has been parked; a ring may do both many times. */
    void (*ring_started)(void *self, vhu_ring *ring);
    void (*ring_parked)(void *self, vhu_ring *ring);
    /*
     * Requests may be available: take as many as the device has room for, and complete them now
     * or later. Called again when more have come, or have been left. Never NULL.
     * Take only what will be finished by itself: a ring parks when all that was taken is complete,
     * and the front-end waits for that. What waits for something from outside (a packet for a
     * receive buffer) stays in the ring until it comes.
     */
    void (*handle_ring)(void *self, vhu_ring *ring);
    /*
     * Look for finished work without waiting and complete it; true if there was any. Called in
     * every turn of a worker. A device whose work always finishes in handle_ring leaves it NULL.
     */
    bool (*poll)(void *self, unsigned worker);

    /* On the connection's thread, while all rings are parked. */

    /*
     * The device's own state, with which another process can go on; both or none (protocol feature
     * DEVICE_STATE). What the front-end does not know of anyway belongs into it, and as it goes to
     * whoever the front-end likes, nothing that is not the guest's to know.
     *
     * save_state gives up to `len` (64 KiB) of its bytes, from `offset` on: how many, or 0 behind
     * the last one. load_state takes `len` bytes that belong at `offset`, and none behind the last
     * one: then it is the time to judge what has come, which may be anything, and to use it. Both
     * are called in order from offset 0 on, where they begin anew: a transfer may be given up at
     * any point, and is then not heard of again. An error ends it and is told to the front-end.
     */
    int (*save_state)(void *self, uint64_t offset, void *buf, size_t len);
    int (*load_state)(void *self, uint64_t offset, const void *buf, size_t len);

    /* On the connection's thread, as in vhu_backend_ops but for `reset`; rings may be running. */

    /*
     * RESET_DEVICE: what rings and features were is forgotten, and all rings are parked. Forget
     * whatever else the driver has set.
     */
    void (*reset)(void *self);
    /* NULL: refused, and RARP, NET_MTU and CRYPTO_SESSION are not offered without their ops. */
    int (*send_rarp)(void *self, const uint8_t mac[6]);
    int (*net_set_mtu)(void *self, uint64_t mtu);
    int (*create_crypto_session)(void *self, const void *params, uint32_t len, int64_t *id);
    int (*close_crypto_session)(void *self, uint64_t id);
    int (*gpu_set_socket)(void *self, vhu_handle *handle);

    /* On the connection's thread. */

    /*
     * A handle of an object that the device has told of (device_share.h): the kit sends and closes
     * it. NULL: the device has none and looks for none (protocol feature SHARED_OBJECT).
     */
    int (*get_shared_object)(void *self, const uint8_t uuid[16], vhu_handle *handle);
} vhu_device_ops;

typedef struct vhu_device_options {
    size_t size; /* sizeof(vhu_device_options) */
    /*
     * Virtio features offered, with those of the ring. With ACCESS_PLATFORM among them, the driver
     * may be behind an IOMMU (section "IOMMU support"): the kit translates, and asks on the channel
     * for what it does not know. List it only if the user wants it, as some front-ends acknowledge
     * it that do not translate.
     */
    uint64_t features;
    uint32_t num_rings; /* 1 .. VHU_MAX_RINGS */
    /* Hand disabled rings to handle_ring, too; it asks vhu_ring_enabled(). For network devices. */
    bool serve_disabled;
    vhu_log_fn log; /* from any thread; NULL: none */
    void *log_arg;
    /*
     * Protocol features (VHU_BIT(VHU_PF_...)) that are not offered though all is there for them;
     * without BACKEND_REQ, nothing is that needs the back channel. REPLY_ACK is always offered:
     * VHU_EINVAL. With INFLIGHT_SHMFD, what was taken and not completed when this process ended is
     * taken once more by the next: a device does nothing for that, but may see a request twice.
     */
    uint64_t withhold;
    /*
     * Offer notifications as messages (protocol feature INBAND_NOTIFICATIONS) to front-ends that
     * want to know of each one, such as those that simulate time. Much slower than events, and
     * some front-ends take it when they could do without.
     */
    bool inband;
    /* The device has host notifiers to give: offer HOST_NOTIFIER and BACKEND_SEND_FD. */
    bool host_notifiers;
    /* Regions of shared memory that the driver gets, see device_share.h; NULL: none. Copied. */
    const vhu_shmem_config *shmem;
    /*
     * Offer rings of guests of either byte order to drivers before 1.0 (protocol feature
     * CROSS_ENDIAN, SET_VRING_ENDIAN): what is in requests and configuration is in the guest's byte
     * order as well then, for which the device asks vhu_ring_is_big_endian(). Without this a ring
     * of such a driver does not start where it would be big-endian.
     */
    bool cross_endian;
    /*
     * Offer postcopy migration (protocol feature PAGEFAULT) if the system lets this process
     * (Linux, userfaultfd), there is an executor, and no ACCESS_PLATFORM: its workers may have to
     * wait for pages of the guest's in the midst of anything, until the front-end has brought them
     * or has gone. The front-end gets a userfaultfd of this process: by that it can fill any page
     * of it that has not been touched yet, and make any thread wait for one. So it must be trusted
     * with the process.
     */
    bool postcopy;
    /*
     * Take memory, logs and in-flight areas only of what cannot be cut short by others, as
     * vhu_shm_seal() says: a front-end that truncates a file that is mapped here ends this process
     * otherwise. QEMU's memory-backend-memfd is such without hugetlb, its memory-backend-file is
     * not. Requests that share anything else fail with VHU_EPERM.
     */
    bool sealed_memory;
} vhu_device_options;

/* What the connection's thread may have to wait for besides the connection. */
typedef enum vhu_device_wait {
    VHU_DEVICE_STATE,   /* the pipe that the state goes over */
    VHU_DEVICE_CHANNEL, /* the back channel: what the front-end has not read, or not answered */
    VHU_DEVICE_LIFE,    /* whether the front-end is there still, while nothing is received */
} vhu_device_wait;

/*
 * What runs the workers, numbered from 0; ring i belongs to worker i % num_workers. A worker turns
 * like this: wait for kicks and wakes; vhu_ring_kicked() for each kick; vhu_device_poll() until it
 * returns false, and for as long after as it cares to spin; sleep if vhu_device_may_sleep().
 */
typedef struct vhu_executor {
    size_t size; /* sizeof(vhu_executor) */
    unsigned num_workers;
    /* From any thread: make the worker turn. */
    void (*wake)(void *arg, unsigned worker);
    /* From any thread: have vhu_device_settle() called on the connection's thread. */
    void (*notify)(void *arg);
    /* On the worker: wait for `kick` from now on, or no longer. */
    int (*watch)(void *arg, unsigned worker, vhu_ring *ring, vhu_handle kick);
    void (*unwatch)(void *arg, unsigned worker, vhu_ring *ring);
    /*
     * On the connection's thread: wait for `events` of `handle` from now on, instead of what was
     * waited for under the same name; VHU_NO_HANDLE: for nothing. Whenever one of them may succeed
     * call vhu_device_settle(). NULL: the device goes without the feature that needs it. There may
     * be more names one day: VHU_ENOSYS for those that are not known.
     */
    int (*watch_also)(void *arg, vhu_device_wait which, vhu_handle handle, unsigned events);
} vhu_executor;

/*
 * A device for one front-end at a time. All structures are copied. `executor` NULL: the
 * connection's thread is worker 0 as well; it waits for vhu_ring_kick_handle() of every ring and
 * for vhu_device_also() itself, and calls vhu_device_settle() after each turn. VHU_EINVAL,
 * VHU_ENOMEM.
 */
VHU_API int vhu_device_new(vhu_device **out, const vhu_device_options *options,
                           const vhu_device_ops *ops, void *self, const vhu_executor *executor,
                           void *executor_arg);

/* The device must be idle: VHU_ESTATE if not, and then nothing has happened. NULL is fine. */
VHU_API int vhu_device_free(vhu_device *device);

/*
 * Begin to serve a front-end. *conn is taken on success; the caller drives *out (borrowed) with
 * vhu_backend_server_serve(). VHU_ESTATE if the device is not idle.
 */
VHU_API int vhu_device_connect(vhu_device *device, vhu_conn **conn, vhu_backend_server **out);

/*
 * The front-end has gone, or shall: the server and its connection are freed at once, then the rings
 * are parked, and the device becomes idle when `done` is called, on the connection's thread, maybe
 * before this returns: it may be freed there. What was negotiated is forgotten. Not from within an
 * op of that thread's. VHU_ESTATE if nobody is connected.
 */
VHU_API int vhu_device_disconnect(vhu_device *device, void (*done)(void *arg), void *arg);

/* No front-end is connected and no ring runs. */
VHU_API bool vhu_device_is_idle(const vhu_device *device);

/*
 * The configuration has changed: tell the front-end (CONFIG_CHANGE_MSG), on the channel that it
 * gave for such messages. VHU_ENOSYS if it gave none or does not read the configuration,
 * VHU_ESTATE if nobody is connected, or why sending failed. On the connection's thread.
 */
VHU_API int vhu_device_config_changed(vhu_device *device);

/*
 * Give the driver memory of the device's own to write to instead of kicking a ring
 * (VRING_HOST_NOTIFIER_MSG): `size` bytes at `offset` of the object of `handle`, which stays the
 * caller's. VHU_NO_HANDLE, with both 0: from now on there is none. VHU_EINVAL: no such ring; else
 * as above, VHU_ENOSYS also if the front-end takes none. On the connection's thread.
 */
VHU_API int vhu_device_set_host_notifier(vhu_device *device, uint32_t ring, uint64_t size,
                                         uint64_t offset, vhu_handle handle);

/*
 * On the connection's thread, after `notify` and when what watch_also was told of is ready: go on
 * with what waited for that. Afterwards go on serving, as after vhu_backend_server_complete().
 */
VHU_API void vhu_device_settle(vhu_device *device);

/*
 * Without an executor, before each wait: what to wait for as well, as watch_also would be told, by
 * numbers from 0 on. False if there is no such one; the handle of one that there is may be
 * VHU_NO_HANDLE. On the connection's thread.
 */
VHU_API bool vhu_device_also(const vhu_device *device, unsigned which, vhu_wait *wait);

/*
 * For a program that has no loop, and a device without an executor that does what it has taken in
 * handle_ring: serve one front-end on this thread, rings and all, until it goes or `stop` is ready
 * to be read (an event's wait handle, or another; VHU_NO_HANDLE: none). *conn is taken if the
 * device could begin, which is idle again when this returns. Blocks. 0: stopped; VHU_ECLIENT_EXIT:
 * the front-end has gone; VHU_EINVAL: an executor, more than VHU_RUN_RINGS rings, or a connection
 * without a wait handle; VHU_ESTATE: not idle; or what else ended the connection.
 */
enum { VHU_RUN_RINGS = 8 };
VHU_API int vhu_device_run(vhu_device *device, vhu_conn **conn, vhu_handle stop);

/*
 * On a worker: start and park rings as asked, serve those that have work, ops->poll. True if
 * anything was done.
 */
VHU_API bool vhu_device_poll(vhu_device *device, unsigned worker);

/*
 * On a worker, before sleeping: ask for kicks again. False if something has come meanwhile, for
 * which no kick may follow: poll again.
 */
VHU_API bool vhu_device_may_sleep(vhu_device *device, unsigned worker);

/* Requests of the worker's rings that are not completed yet; for deciding about spinning. */
VHU_API uint32_t vhu_device_in_use(const vhu_device *device, unsigned worker);

/* Ring by number, NULL if there is none; its number, its worker. Any thread. */
VHU_API vhu_ring *vhu_device_ring(vhu_device *device, uint32_t index);
VHU_API uint32_t vhu_ring_index(const vhu_ring *ring);
VHU_API unsigned vhu_ring_worker(const vhu_ring *ring);

/* A pointer of the device's own. On the thread that has the ring. */
VHU_API void vhu_ring_set_data(vhu_ring *ring, void *data);
VHU_API void *vhu_ring_data(const vhu_ring *ring);

/*
 * On the worker: the kick has come, or may have. The handle it waits on; VHU_NO_HANDLE while
 * parked. On Windows waiting for it takes the signal (event.h), so a turn must follow each wait:
 * nothing else tells of the requests that it was for. A ring that starts is looked at anyway.
 */
VHU_API void vhu_ring_kicked(vhu_ring *ring);
VHU_API vhu_handle vhu_ring_kick_handle(const vhu_ring *ring);

/* On the worker: whether the ring is enabled, and the features that the driver acknowledged. */
VHU_API bool vhu_ring_enabled(const vhu_ring *ring);
VHU_API uint64_t vhu_ring_features(const vhu_ring *ring);

/*
 * On the worker: whether what is in the requests is big-endian, since the guest is and its driver
 * is one before 1.0. With VERSION_1 it never is.
 */
VHU_API bool vhu_ring_is_big_endian(const vhu_ring *ring);

/*
 * On the worker: as vhu_queue_take(), but a broken ring is reported (log, err event) and gives 0;
 * and vhu_queue_complete(), vhu_queue_needs_call() with the call. Flush once per batch. While a
 * front-end migrates (VHU_F_LOG_ALL), `written` of each chain says which memory is copied once more
 * (section "Migration"): what a device wrote beyond it may be lost.
 */
VHU_API uint32_t vhu_ring_take(vhu_ring *ring, vhu_chain *chains, uint32_t n);
VHU_API void vhu_ring_complete(vhu_ring *ring, const vhu_chain *chains, uint32_t n);
VHU_API void vhu_ring_flush(vhu_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
