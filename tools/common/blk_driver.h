/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A driver for one ring of a virtio disk (virtio 1.3, 5.2), on the VMM's kit: for programs that use
 * a vhost-user disk without a guest. It has a fixed number of requests, each with a buffer of its
 * own in guest memory, so that nothing is allocated or mapped while it works.
 *
 * Everything in order of use; 0 or VHU_E* unless said otherwise. One thread at a time, that of the
 * remote; those of several rings are independent but for that.
 */
#ifndef BLK_DRIVER_H
#define BLK_DRIVER_H

#include <vmm_vhost/remote.h>

#include "virtio_blk.h"

struct blk_driver;

/* Features that it can do, for vhu_remote_options. A disk may do first what is done first. */
#define BLK_DRIVER_FEATURES                                                                        \
    ((VHU_DRIVER_FEATURES & ~VHU_BIT(VHU_F_IN_ORDER)) | VHU_BIT(BLK_F_RO) | VHU_BIT(BLK_F_FLUSH) | \
     VHU_BIT(BLK_F_MQ) | VHU_BIT(BLK_F_DISCARD) | VHU_BIT(BLK_F_WRITE_ZEROES))

struct blk_driver_options {
    uint32_t ring;    /* of the remote */
    uint32_t depth;   /* requests at once, a power of two */
    uint32_t max_len; /* bytes of the largest one, a multiple of 512 */
    uint64_t memory;  /* guest address where it may put what it needs */
};

/* Bytes of guest memory that it takes. */
uint64_t blk_driver_bytes(const struct blk_driver_options *options);

/*
 * The remote has been connected and has the memory; it is borrowed. Sets the ring: start the remote
 * after that.
 */
int blk_driver_new(struct blk_driver **out, vhu_remote *remote,
                   const struct blk_driver_options *options);
void blk_driver_free(struct blk_driver *driver);

/* Sectors of 512 bytes, as the configuration has them. */
int blk_driver_capacity(vhu_remote *remote, uint64_t *sectors);

/*
 * One request each, done when they return; `len` in bytes, any multiple of 512. Nothing else may be
 * out. VHU_EREFUSED: the device failed it or does not know it; blk_driver_error() says it in words.
 */
int blk_driver_read(struct blk_driver *driver, uint64_t sector, void *buf, uint64_t len);
int blk_driver_write(struct blk_driver *driver, uint64_t sector, const void *buf, uint64_t len);
int blk_driver_flush(struct blk_driver *driver);
int blk_driver_discard(struct blk_driver *driver, uint64_t sector, uint32_t sectors);
int blk_driver_write_zeroes(struct blk_driver *driver, uint64_t sector, uint32_t sectors);
int blk_driver_get_id(struct blk_driver *driver, char id[BLK_ID_SIZE + 1]);
const char *blk_driver_error(const struct blk_driver *driver);

/* --- Many at once --- */

struct blk_driver_request {
    void *data;      /* max_len bytes */
    uint32_t type;   /* BLK_T_* */
    uint32_t len;    /* bytes of data */
    uint64_t sector; /* of reads and writes */
    int status;      /* when done: BLK_S_*; anything else is the device's fault */
    void *user;      /* the caller's */
};

/* A request that is free, NULL if all are out; give it back by submit or put. */
struct blk_driver_request *blk_driver_get(struct blk_driver *driver);
void blk_driver_put(struct blk_driver *driver, struct blk_driver_request *request);

/* Add it to the ring. The device is not told before blk_driver_kick(). */
int blk_driver_submit(struct blk_driver *driver, struct blk_driver_request *request);
void blk_driver_kick(struct blk_driver *driver);

/* Up to `n` requests that are done, to look at and put: how many, or VHU_EBROKEN_RING. */
int blk_driver_reap(struct blk_driver *driver, struct blk_driver_request **done, uint32_t n);

/*
 * Sleep until one can be reaped: 0, VHU_ETIMEDOUT, or how the connection ended. Milliseconds;
 * negative: no limit.
 */
int blk_driver_wait(struct blk_driver *driver, int timeout_ms);

/*
 * The back-end has gone: before connecting to the next one, if there is no in-flight area, so that
 * all requests that are out are done once more.
 */
int blk_driver_replay(struct blk_driver *driver);

#endif
