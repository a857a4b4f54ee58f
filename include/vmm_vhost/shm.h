/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Memory that can be shared with another process by its handle: guest memory of a VMM that has none
 * of its own yet. Nameless, zero at first, mapped here to read and write. Where the system can, its
 * size is fixed for good, so that a peer need not fear that a mapped page goes away.
 */
#ifndef VMM_VHOST_SHM_H
#define VMM_VHOST_SHM_H

#include <vmm_vhost/error.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vhu_shm vhu_shm;

/* `size` in bytes, not 0. VHU_EINVAL, VHU_EOVERFLOW, VHU_ENOMEM, VHU_EMFILE, VHU_EOS. */
VHU_API int vhu_shm_new(vhu_shm **out, uint64_t size);

/* Unmaps it and closes the handle; a peer that has mapped it keeps the memory. */
VHU_API void vhu_shm_free(vhu_shm *shm);

/* Where it is mapped, its bytes, and its handle (borrowed). Any thread. */
VHU_API void *vhu_shm_base(const vhu_shm *shm);
VHU_API uint64_t vhu_shm_size(const vhu_shm *shm);
VHU_API vhu_handle vhu_shm_handle(const vhu_shm *shm);

/*
 * Have an object of shared memory, whoever made it, keep its length from now on. False if it may
 * still be cut short by others: what maps it then can be ended by SIGBUS. So it can with huge pages
 * (hugetlbfs), of which a hole may find none: false. True on Windows, where that cannot happen;
 * false where the system knows no seals (of a memfd). Borrowed. Any thread.
 */
VHU_API bool vhu_shm_seal(vhu_handle handle);

#ifdef __cplusplus
}
#endif

#endif
