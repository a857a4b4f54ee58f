/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Back-ends in processes of their own, so that they can be killed in the middle of anything, and a
 * VMM with some memory and the drivers of its rings.
 */
#ifndef TEST_REMOTE_FIXTURE_H
#define TEST_REMOTE_FIXTURE_H

#include <stdatomic.h>
#include <uv.h>
#include <vmm_vhost/remote.h>
#include <vmm_vhost/shm.h>

#include "support/fake_backend.h"
#include "support/leakcheck.h"

enum { GUEST_RINGS = 2, GUEST_RING_SIZE = 64, GUEST_SLOTS = 48 };

/* Long enough for any machine: what has not come by then never will. */
enum { LOST_MS = 60000 };

#define GUEST_BASE UINT64_C(0x100000)
#define GUEST_SIZE UINT64_C(0x20000)

/* The driver's features by layout; a guest has the first, if its options name none. */
#define GUEST_SPLIT (VHU_DRIVER_FEATURES & ~(VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER)))
#define GUEST_PACKED (GUEST_SPLIT | VHU_BIT(VHU_F_RING_PACKED))

/* What a back-end shall do, and has done; shared with its process. */
typedef struct backend_script {
    fake_backend fake;     /* of a fake one */
    bool is_old;           /* one without protocol features, which does nothing */
    bool is_fake;          /* else a device of the kit that answers a number with its complement */
    uint32_t num_messages; /* leave in the middle of this one, counted from 1; 0: never */
    uint64_t withhold;     /* protocol features that it does not offer */
    bool iommu;            /* it offers ACCESS_PLATFORM */
    bool gives_notifier;   /* of ring 1, when the configuration was set */
    bool inband;           /* it offers notifications as messages */
    bool cross_endian;     /* it knows rings of either byte order */
    bool keeps;            /* do num_done requests, then take and keep */
    uint32_t num_done;
    _Atomic uint32_t taken;
    _Atomic uint32_t done;
    _Atomic uint32_t answered[GUEST_RINGS][GUEST_SLOTS]; /* by slot: how often */
} backend_script;

typedef struct guest {
    backend_script *script;
    vhu_shm *script_memory;
    uv_loop_t loop; /* for processes */
    uv_process_t backend;
    bool has_backend;
    vhu_shm *memory;
    vhu_remote *remote;
    bool big_endian; /* as rings are set */
    vhu_driver_ring *rings[GUEST_RINGS];
    uint64_t data; /* guest address of 32 bytes for each slot of each ring */
    unsigned config_changes;
    unsigned failed_accesses;
    uint32_t notifier_ring; /* as the last one was given */
    uint64_t notifier_size;
    uint64_t notifier_offset;
    unsigned notifiers;
    unsigned calls[GUEST_RINGS]; /* that came as messages */
    unsigned errs;
} guest;

/* A back-end is the test's program started once more, with an argument; it ends in here. */
void guest_backend_main(const char *address);

/* A group's setup: libuv opens some handles once, and keeps them. */
int guest_warm_up(void **state);

/* Memory and a remote; nobody is connected. `options` may have members set, or be NULL. */
void guest_open(guest *g, const vhu_remote_options *options);
/* The back-end has to end by itself now; no handle is left. */
void guest_close(guest *g);

/* Start a back-end and connect to it: the result of connecting. */
int guest_connect(guest *g);
void guest_kill_backend(guest *g);
/* Wait until it has ended. */
void guest_reap_backend(guest *g);

int guest_add_memory(guest *g);
/* Make and set all rings; the remote knows its features and has the memory. */
void guest_set_rings(guest *g);
/* All of the above. */
void guest_start(guest *g);

/* Add requests `first` .. `first` + n - 1 to a ring and kick; slot i is used by request i. */
void guest_submit(guest *g, uint32_t ring, uint32_t first, uint32_t n);
/* Sleep until `n` of them are done, and check them. */
void guest_collect(guest *g, uint32_t ring, uint32_t n);
/* Both, for all rings. */
void guest_exercise(guest *g);

#endif
