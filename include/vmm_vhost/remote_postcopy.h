/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For a VMM whose guest has come before its memory: the back-end misses pages, too, and the VMM
 * brings them. Section "Migration", postcopy; messages POSTCOPY_ADVISE, POSTCOPY_LISTEN,
 * POSTCOPY_END, and memory messages that are answered with addresses. Back-ends on Linux alone
 * offer it.
 *
 *     vhu_remote_begin_postcopy(remote, &ops, vmm);           ops.advised: watch its faults
 *     vhu_remote_start(remote);                               ops.placed: memory, with addresses
 *     ... until the last page has come ...
 *     vhu_remote_end_postcopy(remote);
 *
 * A fault is read from the userfaultfd of the back-end that has it. Its address is the back-end's;
 * the page is brought by writing it to the memory that both share, or by UFFDIO_COPY on that
 * userfaultfd, and who waits for it is woken by UFFDIO_WAKE or the copy. The VMM's own faults are
 * its own affair.
 *
 * Threads: as all functions of the remote. They wait for the back-end, which may wait for pages:
 * these must be brought by another thread.
 */
#ifndef VMM_VHOST_REMOTE_POSTCOPY_H
#define VMM_VHOST_REMOTE_POSTCOPY_H

#include <vmm_vhost/remote.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Called while a function of the remote waits; `self` as given to begin. Neither may be NULL. */
typedef struct vhu_postcopy_ops {
    size_t size; /* sizeof(vhu_postcopy_ops) */
    /*
     * The userfaultfd of a back-end that is connected now, in the place of the one before; what was
     * placed before means nothing any more. *userfault is taken if it is set to VHU_NO_HANDLE. An
     * error ends begin or connect, which return it; then the handle is of no use.
     */
    int (*advised)(void *self, vhu_handle *userfault);
    /*
     * Where the back-end has a region, as it says: check what comes of it. It misses no page of it
     * before this returns. With CONFIGURE_MEM_SLOTS once for each region; else again for all of
     * them, at new addresses, whenever memory is added or removed.
     */
    void (*placed)(void *self, uint64_t guest_addr, uint64_t size, uint64_t backend_addr);
} vhu_postcopy_ops;

/*
 * Pages of the guest's memory are missing: for the back-end that is connected, if one is, and for
 * each that comes until the end. `ops` are copied. VHU_EINVAL: one is missing; VHU_ESTATE: begun
 * already, or the back-end has memory; VHU_ENOSYS, from this function or from connect: the back-end
 * does not offer it (protocol feature PAGEFAULT); or as a request's.
 */
VHU_API int vhu_remote_begin_postcopy(vhu_remote *remote, const vhu_postcopy_ops *ops, void *self);

/*
 * All pages are there; the back-end misses none any more. Whatever is returned, no op is called
 * after that. VHU_ESTATE: not begun; or as a request's.
 */
VHU_API int vhu_remote_end_postcopy(vhu_remote *remote);

#ifdef __cplusplus
}
#endif

#endif
