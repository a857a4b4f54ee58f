/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM and its guest, for a device that is another process: memory and drivers of rings on the
 * VMM's kit, whose requests are bytes out and bytes in. Whatever goes wrong fails the test.
 */
#ifndef TEST_VMM_H
#define TEST_VMM_H

#include <vmm_vhost/remote.h>
#include <vmm_vhost/shm.h>

#include "support/leakcheck.h"

/* Rings; requests that one of them can have out; bytes of one, in and out together. */
enum { VMM_RINGS = 4, VMM_SLOTS = 8, VMM_SLOT = 8192 };

typedef struct vmm {
    vhu_remote *remote;
    vhu_shm *memory;
    uint32_t num_rings;
    vhu_driver_ring *rings[VMM_RINGS];
    uint32_t next[VMM_RINGS]; /* its slot that is used next */
} vmm;

/* As soon as somebody listens there: programs take a while. */
void vmm_connect(vhu_remote *remote, const char *address);

/* Connected, and running with all of these features that the device has. */
void vmm_open(vmm *v, const char *address, uint32_t num_rings, uint64_t features);
/* Stops it first, and the device must agree that all was done. */
void vmm_close(vmm *v);

/* A request with `len` bytes to read and room for `room` to write, of zeroes. */
void vmm_add(vmm *v, uint32_t ring, const void *bytes, uint32_t len, uint32_t room);

/* What was written to the next request that is done, in order, and how much. Waits for it. */
const uint8_t *vmm_take(vmm *v, uint32_t ring, uint32_t *len);

#endif
