/* SPDX-License-Identifier: BSD-3-Clause */
/* A guest with a ring in its memory, and the queue that serves it. */
#ifndef TEST_QUEUE_RIG_H
#define TEST_QUEUE_RIG_H

#include <vmm_vhost/queue.h>

#include "support/driver_ring.h"
#include "support/leakcheck.h"

#define REGION_SIZE (UINT64_C(64) << 20)
#define CAPACITY 512u
#define CHAINS 8u

/* Two regions that touch, with the ring at the begin of the first one; the queue is started. */
typedef struct rig {
    driver_memory memory;
    driver_ring ring;
    vhu_memory *device;
    vhu_queue *queue;
    vhu_queue_config config;
    vhu_chain chains[CHAINS];
    vhu_buf bufs[CHAINS][CAPACITY];
    uint64_t data; /* guest address of what is free */
} rig;

/* All of a queue's features, by layout; a rig begins with an empty ring, or goes on at an index. */
#define SPLIT (VHU_QUEUE_FEATURES & ~(VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER)))
#define PACKED (SPLIT | VHU_BIT(VHU_F_RING_PACKED))
#define PLAIN_PACKED VHU_BIT(VHU_F_RING_PACKED)
rig *rig_new(uint32_t num, uint64_t features);
rig *rig_new_at(uint32_t num, uint64_t features, uint16_t index);
void rig_free(rig *r);

/* What the device must see for a guest address. */
void *device_at(const rig *r, uint64_t guest_addr);

/* Add a request of three: 16 bytes to read, 512 and 1 to write. Its head. */
uint16_t add_request(rig *r, bool indirect);

/* Check that it came as it was added. */
void check_request(const rig *r, const vhu_chain *chain, uint16_t head);

/* Descriptor `i` of such a request, or of its table. */
vhu__desc *desc_of(rig *r, uint16_t head, unsigned i);

/* vhu_queue_take() into the rig's chains. */
int take(rig *r, uint32_t n);

/*
 * After a fault: the error tells `text`, and the ring stays broken and takes a completion without
 * showing it to the driver.
 */
void assert_broken(rig *r, const char *text);

/* What a driver makes of its request, in a ring of 16, or of the table that it is in. */
enum { DIRECT, INDIRECT };
struct fault {
    void (*apply)(rig *r, uint16_t head);
    int how;
    uint64_t features;
    const char *text; /* what the error must tell */
};
void check_faults(const struct fault *faults, size_t num);

/* Those of any ring: fewer buffers than the request has. */
void fault_capacity(rig *r, uint16_t head);
void fault_no_capacity(rig *r, uint16_t head);

#endif
