/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The in-flight area (section "Inflight I/O tracking"): memory that outlives this process, where
 * each ring notes which requests are out, so that another process can go on with them. The layout
 * is the one that all back-ends share, so the other process need not be ours.
 *
 * The front-end can write to it all the time. So a ring's part is copied when the ring starts, then
 * checked, then used; while the ring runs it is only written.
 */
#ifndef VHU_INFLIGHT_H
#define VHU_INFLIGHT_H

#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#include "queue_internal.h"

typedef struct vhu__inflight vhu__inflight;

/*
 * Make an area for area->num_queues rings of up to area->queue_size descriptors; *area tells then
 * where it is in the object of *handle. What is enough for packed rings is for split ones.
 * VHU_EINVAL: no such rings; or as vhu_shm_new().
 */
int vhu__inflight_create(vhu_inflight_area *area, bool packed, vhu_handle *handle);

/*
 * Use an area, new or left by somebody else, of such rings as far as that is known. *handle is
 * taken on success. VHU_EINVAL: too small; or as os_map_shared().
 */
int vhu__inflight_open(vhu__inflight **out, const vhu_inflight_area *area, bool packed,
                       vhu_handle *handle);

/*
 * All rings are packed ones from now on, or none is: of an area that has no room for those no ring
 * keeps a record. No queue that was tracked runs. NULL is fine.
 */
void vhu__inflight_choose(vhu__inflight *inflight, bool packed);

/*
 * What is in it: VHU_EINVAL: no such rings have left it like this; VHU_ENOSYS: of a version that is
 * not known; VHU_ENOMEM.
 */
int vhu__inflight_check(const vhu__inflight *inflight);

/* No queue that was tracked runs. NULL is fine. */
void vhu__inflight_close(vhu__inflight *inflight);

/* Forget what is out: the rings begin anew. Likewise. */
void vhu__inflight_clear(vhu__inflight *inflight);

/* If the area has room for what rings of `num` entries can have out. */
bool vhu__inflight_holds(const vhu__inflight *inflight, uint32_t num);

/*
 * A ring was stopped, and its base told: unless something is out its next record begins anew, as
 * whatever comes there, the base says where.
 */
void vhu__inflight_end(vhu__inflight *inflight, uint32_t ring);

/*
 * Have a stopped queue keep its record as ring `ring` from the next start on, which then goes on
 * with what the record says is out; it fails with VHU_EINVAL, VHU_ENOSYS as above, or VHU_ENOMEM.
 * NULL, or a ring that is not in the area: it keeps none. Each queue may be tracked by a thread of
 * its own.
 */
int vhu__inflight_track(vhu__inflight *inflight, uint32_t ring, vhu_queue *queue);

#endif
