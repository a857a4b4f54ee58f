/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's side of a virtqueue in guest memory (virtio 1.x), split or packed, with indirect
 * descriptors, EVENT_IDX and IN_ORDER. Neither the guest nor the front-end is trusted: whatever
 * breaks a rule breaks the ring, and only the ring.
 *
 * A turn of a device: take what is available, do it, complete it, and call the driver if
 * vhu_queue_needs_call() says so; before sleeping, enable kicks and look again.
 *
 * Nothing here allocates but vhu_queue_new() and vhu_queue_start(). One thread at a time.
 */
#ifndef VMM_VHOST_QUEUE_H
#define VMM_VHOST_QUEUE_H

#include <vmm_vhost/error.h>
#include <vmm_vhost/memory.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Virtio feature bits that vhu_queue implements: for a device's offer. */
#define VHU_QUEUE_FEATURES                                                                         \
    (VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_RING_INDIRECT_DESC) |                                \
     VHU_BIT(VHU_F_RING_EVENT_IDX) | VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER))

/*
 * One request of the driver. The caller provides `bufs` and `capacity`; vhu_queue_take() fills the
 * rest. bufs[0 .. num_readable) is what the driver wrote for the device, the num_writable entries
 * behind it are what the device may write. A buffer that lies in several regions takes several
 * entries, an empty one none. All of them are at most 2^32 bytes.
 */
typedef struct vhu_chain {
    vhu_buf *bufs;
    uint32_t capacity; /* entries of bufs */
    uint32_t num_readable;
    uint32_t num_writable;
    uint32_t head;    /* names the request to the driver */
    uint32_t written; /* the device: bytes it wrote, set before vhu_queue_complete() */
    uint16_t place;   /* the ring's own, and the next, too: where it is in the ring */
    uint16_t span;
    uint64_t readable_len; /* bytes */
    uint64_t writable_len; /* bytes */
} vhu_chain;

typedef struct vhu_queue_config {
    size_t size;              /* sizeof(vhu_queue_config) */
    const vhu_memory *memory; /* borrowed until vhu_queue_stop() */
    uint64_t features;        /* virtio features that the driver acknowledged */
    uint32_t num;             /* descriptors */
    uint32_t base;            /* as of SET_VRING_BASE */
    vhu_vring_addr addr;      /* the front-end's user addresses; index is not looked at */
    bool big_endian;          /* the guest, if its driver is one before 1.0: without VERSION_1 */
} vhu_queue_config;

/* A queue that does not run. VHU_ENOMEM. */
VHU_API int vhu_queue_new(vhu_queue **out);
VHU_API void vhu_queue_free(vhu_queue *queue);

/*
 * Begin to serve a ring, at a base or, after vhu_queue_stop(), on other memory. A split ring's
 * used index is read from the ring, and its base is that of what is available. VHU_EFAULT: a part
 * of the ring does not lie in one region; VHU_EINVAL: bad size or alignment; VHU_ENOSYS: a feature
 * that is not implemented; VHU_ESTATE: running.
 */
VHU_API int vhu_queue_start(vhu_queue *queue, const vhu_queue_config *config);

/*
 * Stop. The base to go on from is vhu_queue_base(). Requests that are still out must not be
 * completed any more. The memory may go afterwards.
 */
VHU_API void vhu_queue_stop(vhu_queue *queue);

/* Between start and stop, broken or not. */
VHU_API bool vhu_queue_is_running(const vhu_queue *queue);

/*
 * As of GET_VRING_BASE; kept by vhu_queue_stop(). Of a split ring the next available index, free
 * running; of a packed ring the positions of what is available next (bits 0 to 14, wrap counter in
 * bit 15) and used next (bits 16 to 30, and 31).
 */
VHU_API uint32_t vhu_queue_base(const vhu_queue *queue);

/* Requests that were taken and not completed yet. */
VHU_API uint32_t vhu_queue_in_use(const vhu_queue *queue);

/*
 * Take up to `n` requests into chains[0 .. n). Returns how many (0: none is available), or
 * VHU_EBROKEN_RING, from then on until vhu_queue_stop(), with vhu_queue_error() telling why; the
 * requests before the fault are returned first. A request that needs more than `capacity` entries
 * is a fault, too. VHU_ESTATE: not running.
 */
VHU_API int vhu_queue_take(vhu_queue *queue, vhu_chain *chains, uint32_t n);

/*
 * Give `n` requests back in this order and show them to the driver; with IN_ORDER, each not before
 * all that were taken before it. `bufs` are not looked at. A broken ring takes them in silence.
 */
VHU_API void vhu_queue_complete(vhu_queue *queue, const vhu_chain *chains, uint32_t n);

/*
 * Whether the driver wants a call for what was completed since this was last asked. Once per batch
 * is enough; it costs a memory fence.
 */
VHU_API bool vhu_queue_needs_call(vhu_queue *queue);

/* Whether a request is available. Reads the ring; false if it is broken. */
VHU_API bool vhu_queue_has_avail(vhu_queue *queue);

/*
 * Ask the driver for no kicks while the ring is looked at anyway; ask for them again before
 * sleeping. vhu_queue_enable_kicks() returns true if something is available already, for which no
 * kick may come: take it before sleeping.
 */
VHU_API void vhu_queue_disable_kicks(vhu_queue *queue);
VHU_API bool vhu_queue_enable_kicks(vhu_queue *queue);

/* Why the ring broke, in words; "" if it did not. */
VHU_API const char *vhu_queue_error(const vhu_queue *queue);

#ifdef __cplusplus
}
#endif

#endif
