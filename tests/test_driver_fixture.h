/* SPDX-License-Identifier: BSD-3-Clause */
/* Both sides of a ring, on memory of one region. */
#ifndef TEST_DRIVER_FIXTURE_H
#define TEST_DRIVER_FIXTURE_H

#include <vmm_vhost/driver.h>
#include <vmm_vhost/queue.h>
#include <vmm_vhost/shm.h>

#include "packed_ring.h"
#include "support/leakcheck.h"

#define BASE UINT64_C(0x10000)
#define SIZE UINT64_C(0x100000)

enum { MAX_BUFS = 8, ANY_NUM = 16 };

#define INDIRECT VHU_BIT(VHU_F_RING_INDIRECT_DESC)
#define EVENT_IDX VHU_BIT(VHU_F_RING_EVENT_IDX)
#define PACKED VHU_BIT(VHU_F_RING_PACKED)
#define IN_ORDER VHU_BIT(VHU_F_IN_ORDER)

typedef struct rig {
    vhu_shm *shm;
    vhu_memory *memory;
    vhu_driver_ring_config config;
    vhu_driver_ring *driver;
    vhu_queue *queue;
    uint64_t data; /* guest address of what is free */
    vhu_buf bufs[MAX_BUFS];
} rig;

void rig_open(rig *r, uint64_t features, uint32_t num, uint32_t table_len);
/* A guest's of this byte order, as far as that matters. */
void rig_open_guest(rig *r, bool big_endian, uint64_t features, uint32_t num, uint32_t table_len);
void rig_close(rig *r);
/* The queue runs at first; again after it was stopped. */
void rig_start_queue(rig *r, uint32_t base);

/* One readable and one writable piece of 8 bytes; collecting it tells which. */
int rig_add(rig *r, uint32_t i);
uint32_t rig_collect(rig *r);
uint32_t rig_take(rig *r, vhu_chain *chains, uint32_t n);

#endif
