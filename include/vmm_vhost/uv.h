/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The library on libuv: the only header of vmm_vhost_uv. All functions belong to the thread of the
 * loop they were given.
 */
#ifndef VMM_VHOST_UV_H
#define VMM_VHOST_UV_H

#include <uv.h>
#include <vmm_vhost/backend.h>
#include <vmm_vhost/device.h>
#include <vmm_vhost/listener.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- Waiting for a handle on a loop, whatever the system --- */

typedef struct vhu_uv_watch vhu_uv_watch;

/*
 * Call `ready` whenever one of `events` (VHU_WAIT_*) may succeed, until they are set to others or
 * the watch is closed. The handle is borrowed, and its mode is left as it is. Windows: a handle has
 * but one way to be ready, and an event's signal is taken by the watch. VHU_EINVAL if it cannot be
 * waited for, VHU_ENOMEM, VHU_EOS.
 */
VHU_API int vhu_uv_watch_new(vhu_uv_watch **out, uv_loop_t *loop, vhu_handle handle,
                             unsigned events, void (*ready)(void *arg), void *arg);

/* 0: nothing for now. VHU_EOS. */
VHU_API int vhu_uv_watch_set(vhu_uv_watch *watch, unsigned events);

/* The handle may be closed when this returns; NULL is fine. The rest is freed by the loop. */
VHU_API void vhu_uv_watch_close(vhu_uv_watch *watch);

/* --- A back-end server on a loop, for devices with vhu_backend_ops of their own --- */

typedef struct vhu_uv_server vhu_uv_server;

/*
 * Serve on a loop from now on. `server` is borrowed: it must live until `closed`, or until `done`
 * of vhu_uv_server_close(). `closed` is called once if the connection ends, with the reason;
 * vhu_uv_server_close() must follow. VHU_EINVAL if the connection has no wait handle, VHU_ENOMEM.
 */
VHU_API int vhu_uv_server_start(vhu_uv_server **out, uv_loop_t *loop, vhu_backend_server *server,
                                void (*closed)(void *arg, int error), void *arg);

/*
 * Stop. `server` is not used any more when this returns and may be freed; `done` (or NULL) is
 * called from the loop when the loop does not know of it any more.
 */
VHU_API void vhu_uv_server_close(vhu_uv_server *server, void (*done)(void *arg), void *arg);

/* Go on serving: to be called after vhu_backend_server_complete(). */
VHU_API void vhu_uv_server_continue(vhu_uv_server *server);

/* --- A device of the kit with worker threads, each on a loop of its own --- */

typedef struct vhu_uv_device vhu_uv_device;

typedef struct vhu_uv_device_options {
    size_t size;          /* sizeof(vhu_uv_device_options) */
    unsigned num_workers; /* threads; 0: one for each ring, at most one for each processor */
    /*
     * Microseconds that a worker goes on looking for requests before it sleeps; it is cut down by
     * itself while that finds nothing. 0: sleep at once.
     */
    unsigned spin_us;
    /*
     * On the worker's thread, before its first and after its last turn, with its loop and the
     * device's `self`. A worker turns (vhu_device_poll) after everything that its loop has done, so
     * an engine's callback need not ask for it. An engine that wakes a worker by a uv_async_t of
     * its own needs a full fence (atomic_thread_fence(memory_order_seq_cst)) between what it has
     * stored for the worker and uv_async_send(), which may else be merged with one that came too
     * early. What worker_start fails with fails vhu_uv_device_new(); worker_stop is then called for
     * those that had started. All handles must be closing when worker_stop returns.
     */
    int (*worker_start)(void *self, unsigned worker, uv_loop_t *loop);
    void (*worker_stop)(void *self, unsigned worker);
    /* On `loop`'s thread: a front-end has come, or has gone and why. */
    void (*connected)(void *self);
    void (*disconnected)(void *self, int error);
} vhu_uv_device_options;

/*
 * Starts the workers. Structures are copied. VHU_EINVAL, VHU_ENOMEM, VHU_EMFILE, or worker_start's
 * error; after a failure `loop` has handles to close, and must run once more.
 */
VHU_API int vhu_uv_device_new(vhu_uv_device **out, uv_loop_t *loop,
                              const vhu_device_options *device, const vhu_device_ops *ops,
                              void *self, const vhu_uv_device_options *options);

/*
 * Serve the front-ends that come, one after another: while one is connected the next waits in the
 * listener's queue. *listener is taken on success. VHU_ESTATE if it serves already, VHU_ENOMEM.
 */
VHU_API int vhu_uv_device_listen(vhu_uv_device *device, vhu_listener **listener);

/*
 * Serve this front-end. *conn is taken on success. VHU_ESTATE if it serves already, VHU_EINVAL if
 * the connection cannot be waited for, VHU_ENOMEM.
 */
VHU_API int vhu_uv_device_connect(vhu_uv_device *device, vhu_conn **conn);

/*
 * End: drop the front-end, finish what was taken, stop the workers. `done` (or NULL) is called
 * from the loop when all is freed. Nothing waits for a disk or a peer on the loop. Not from within
 * an op of the device's.
 */
VHU_API void vhu_uv_device_close(vhu_uv_device *device, void (*done)(void *arg), void *arg);

#ifdef __cplusplus
}
#endif

#endif
