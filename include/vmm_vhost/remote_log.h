/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For a VMM that copies its guest's memory to another host while the device runs: which pages the
 * device writes meanwhile. Section "Migration"; messages SET_LOG_BASE, SET_FEATURES with
 * VHU_F_LOG_ALL, SET_VRING_ADDR with VHU_VRING_F_LOG.
 *
 *     vhu_remote_start_log(remote);
 *     ... copy all memory; then, until little is left: ...
 *     vhu_remote_fetch_log(remote, note_dirty, vmm);          and copy that once more
 *     ... stop the processors ...
 *     vhu_remote_stop(remote);
 *     vhu_remote_fetch_log(remote, note_dirty, vmm);          the last pages
 *     vhu_remote_stop_log(remote);
 *
 * Where the rings are (vhu_remote_ring_base()) goes to the other host with the device's state.
 *
 * Threads: as all functions of the remote.
 */
#ifndef VMM_VHOST_REMOTE_LOG_H
#define VMM_VHOST_REMOTE_LOG_H

#include <vmm_vhost/remote.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes of memory that are logged as one. */
#define VHU_LOG_PAGE 4096u

/*
 * From now on the back-end notes which pages it writes, and so does each that comes after it; a
 * device that does not run yet begins with it. All that was written before may be missing.
 * VHU_ESTATE: that is so already; VHU_ENOSYS, from this function or from start and connect: the
 * back-end cannot, it has no VHU_F_LOG_ALL or LOG_SHMFD; VHU_ENOMEM, VHU_EMFILE; or as a request's.
 * On failure nothing is noted.
 */
VHU_API int vhu_remote_start_log(vhu_remote *remote);
VHU_API bool vhu_remote_is_logging(const vhu_remote *remote);

/* Pages that were written: multiples of VHU_LOG_PAGE, the first and last may be partly memory. */
typedef void (*vhu_dirty_fn)(void *arg, uint64_t guest_addr, uint64_t len);

/*
 * Tell which pages were written since they were told last, and forget them. What the back-end
 * writes after a page was told is told the next time, so copy it afterwards. Sends nothing, works
 * while nobody is connected, and reads no more of the log than there is memory. VHU_ESTATE: nothing
 * is logged.
 */
VHU_API int vhu_remote_fetch_log(vhu_remote *remote, vhu_dirty_fn fn, void *arg);

/*
 * No more of it. Whatever is returned, nothing is logged then, and what was not fetched is lost.
 * VHU_ESTATE: nothing was; or as a request's.
 */
VHU_API int vhu_remote_stop_log(vhu_remote *remote);

#ifdef __cplusplus
}
#endif

#endif
