/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A guest of a device that is another process: memory and drivers of rings on the VMM's kit, whose
 * requests are bytes out and bytes in. Whatever goes wrong fails the test.
 */
#ifndef TEST_GUEST_H
#define TEST_GUEST_H

#include <vmm_vhost/remote.h>
#include <vmm_vhost/shm.h>

#include "support/leakcheck.h"

/* Rings; requests that one of them can have out; bytes of one, in and out together. */
enum { GUEST_RINGS = 4, GUEST_SLOTS = 8, GUEST_SLOT = 8192 };

typedef struct guest {
    vhu_remote *remote;
    vhu_shm *memory;
    uint32_t num_rings;
    vhu_driver_ring *rings[GUEST_RINGS];
    uint32_t next[GUEST_RINGS]; /* its slot that is used next */
} guest;

/* As soon as somebody listens there: programs take a while. */
void guest_connect(vhu_remote *remote, const char *address);

/* Connected, and running with all of these features that the device has. */
void guest_open(guest *g, const char *address, uint32_t num_rings, uint64_t features);
/* Stops it first, and the device must agree that all was done. */
void guest_close(guest *g);

/* A request with `len` bytes to read and room for `room` to write, of zeroes. */
void guest_add(guest *g, uint32_t ring, const void *bytes, uint32_t len, uint32_t room);

/* What was written to the next request that is done, in order, and how much. Waits for it. */
const uint8_t *guest_take(guest *g, uint32_t ring, uint32_t *len);

#endif
