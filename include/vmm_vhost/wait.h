/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting for a few handles, where there is no loop. */
#ifndef VMM_VHOST_WAIT_H
#define VMM_VHOST_WAIT_H

#include <vmm_vhost/transport.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { VHU_MAX_WAITS = 16 };

typedef struct vhu_wait {
    vhu_handle handle; /* VHU_NO_HANDLE is passed over */
    unsigned events;   /* VHU_WAIT_*; Windows: a handle has but one way to be ready */
    bool ready;        /* set by vhu_wait_any() */
} vhu_wait;

/*
 * Block until one of them is ready: 0, VHU_ETIMEDOUT or another error. At most VHU_MAX_WAITS;
 * milliseconds, negative: no limit. Any thread. An event's signal may be taken by this on Windows:
 * whoever is told that a kick is ready goes on with vhu_ring_kicked() as if it had not been. Of
 * several that are ready only the first is told there.
 */
VHU_API int vhu_wait_any(vhu_wait *waits, size_t n, int timeout_ms);

#ifdef __cplusplus
}
#endif

#endif
