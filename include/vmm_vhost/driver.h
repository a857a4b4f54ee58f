/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The driver's side of a virtqueue (virtio 1.x), split or packed, with indirect descriptors,
 * EVENT_IDX and IN_ORDER: for programs that use a device without a guest, such as probes,
 * benchmarks and tests.
 *
 * The device is not trusted: a used entry that names no request in use or tells of more bytes than
 * could be written, and a used index that runs ahead, break the ring. What the device may write to
 * is never read back but for that.
 *
 * A turn of a driver: add requests, publish them, kick the device if it wants that; collect what it
 * has used; before sleeping, enable calls, and look again.
 *
 * Nothing here allocates but vhu_driver_ring_new(). One thread at a time.
 */
#ifndef VMM_VHOST_DRIVER_H
#define VMM_VHOST_DRIVER_H

#include <vmm_vhost/error.h>
#include <vmm_vhost/memory.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vhu_driver_ring vhu_driver_ring;

/* Virtio feature bits that vhu_driver_ring implements. */
#define VHU_DRIVER_FEATURES                                                                        \
    (VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_RING_INDIRECT_DESC) |                                \
     VHU_BIT(VHU_F_RING_EVENT_IDX) | VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER))

/* What a driver tells of a ring (virtio: 2.7, 2.8, 4.1.4.3). The addresses are the guest's. */
typedef struct vhu_ring_layout {
    uint32_t num; /* descriptors, up to VHU_MAX_RING_SIZE; of a split ring a power of two */
    /* Of a split ring without VERSION_1: its driver, one before 1.0, is in a big-endian guest. */
    bool big_endian;
    uint64_t desc;  /* the descriptor area, a multiple of 16 */
    uint64_t avail; /* the driver's area, a multiple of 2; of a packed ring, of 4 */
    uint64_t used;  /* the device's area, a multiple of 4 */
} vhu_ring_layout;

/* A piece of a request, in the guest's memory. Bytes. */
typedef struct vhu_guest_buf {
    uint64_t addr;
    uint64_t len;
} vhu_guest_buf;

/* A request that the device has done. */
typedef struct vhu_driver_used {
    void *token;  /* as it was added */
    uint64_t len; /* bytes that the device says it wrote; no more than it could */
} vhu_driver_used;

typedef struct vhu_driver_ring_config {
    size_t size;              /* sizeof(vhu_driver_ring_config) */
    const vhu_memory *memory; /* borrowed until vhu_driver_ring_free() */
    uint64_t features;        /* acknowledged: they choose the layout; unknown ones do not matter */
    vhu_ring_layout layout;
    /*
     * With RING_INDIRECT_DESC: for each descriptor a table of so many entries, at a guest address
     * that is a multiple of 16. Requests that fit then take one descriptor of the ring. 0: none.
     */
    uint64_t tables;
    uint32_t table_len;
} vhu_driver_ring_config;

/*
 * Lay out a ring of either layout, and its indirect tables if table_len is not 0, in guest memory
 * from `addr` on: fills in the addresses of *config, of which layout.num and table_len are set.
 * Returns the first address behind it, or 0 if it does not fit into 64 bits.
 */
VHU_API uint64_t vhu_driver_ring_place(vhu_driver_ring_config *config, uint64_t addr);

/*
 * A new ring, empty: its memory is cleared. VHU_EFAULT: a part of it does not lie in one region;
 * VHU_EINVAL: bad size, alignment or table; VHU_ENOMEM.
 */
VHU_API int vhu_driver_ring_new(vhu_driver_ring **out, const vhu_driver_ring_config *config);
VHU_API void vhu_driver_ring_free(vhu_driver_ring *ring);

/* As it was given; valid as long as the ring. */
VHU_API const vhu_ring_layout *vhu_driver_ring_layout(const vhu_driver_ring *ring);

/*
 * Add a request: bufs[0 .. num_readable) for the device to read, num_writable entries behind them
 * for it to write. It is not shown to the device before vhu_driver_ring_publish(). VHU_EAGAIN: no
 * room now; VHU_EINVAL: no buffers, more than the ring can ever take, or over 2^32 - 1 bytes to
 * write or in one piece; VHU_EBROKEN_RING.
 */
VHU_API int vhu_driver_ring_add(vhu_driver_ring *ring, const vhu_guest_buf *bufs,
                                uint32_t num_readable, uint32_t num_writable, void *token);

/* Show what was added to the device. Whether it wants a kick for it. */
VHU_API bool vhu_driver_ring_publish(vhu_driver_ring *ring);

/*
 * Take back up to `n` requests that the device has done: how many, or VHU_EBROKEN_RING from the
 * fault on, with vhu_driver_ring_error() telling why; those before it are returned first.
 */
VHU_API int vhu_driver_ring_collect(vhu_driver_ring *ring, vhu_driver_used *used, uint32_t n);

/*
 * Ask the device for no calls while the ring is looked at anyway; ask for them again before
 * sleeping. vhu_driver_ring_enable_calls() returns true if something can be collected already, for
 * which no call may come. Calls are enabled at first.
 */
VHU_API void vhu_driver_ring_disable_calls(vhu_driver_ring *ring);
VHU_API bool vhu_driver_ring_enable_calls(vhu_driver_ring *ring);

/* Requests that were added and not collected yet; descriptors that are free. */
VHU_API uint32_t vhu_driver_ring_in_use(const vhu_driver_ring *ring);
VHU_API uint32_t vhu_driver_ring_room(const vhu_driver_ring *ring);

/*
 * The base to start a device with (as of SET_VRING_BASE), when the ring is new, when all that was
 * used is collected and nothing is in use, or after vhu_driver_ring_replay().
 */
VHU_API uint32_t vhu_driver_ring_base(const vhu_driver_ring *ring);

/*
 * The device has gone in the middle of its work and left no record of it (no in-flight area): offer
 * all requests in use once more, the oldest first, from vhu_driver_ring_base() on. The device must
 * not have the ring. VHU_ESTATE: collect first, what it has done is still there; VHU_EBROKEN_RING.
 */
VHU_API int vhu_driver_ring_replay(vhu_driver_ring *ring);

/* Why the ring broke, in words; "" if it did not. */
VHU_API const char *vhu_driver_ring_error(const vhu_driver_ring *ring);

#ifdef __cplusplus
}
#endif

#endif
