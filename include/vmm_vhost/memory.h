/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The guest's memory: regions that the front-end announced, mapped and checked. Messages
 * SET_MEM_TABLE, ADD_MEM_REG, REM_MEM_REG.
 *
 * Threads: any number may translate while none changes the regions.
 */
#ifndef VMM_VHOST_MEMORY_H
#define VMM_VHOST_MEMORY_H

#include <vmm_vhost/error.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Regions that one vhu_memory holds at the most: what VHOST_USER_PROTOCOL_F_CONFIGURE_MEM_SLOTS
 * peers such as QEMU ask for at the most, too. */
#define VHU_MAX_MEM_SLOTS 509u

/* No regions. VHU_ENOMEM. */
VHU_API int vhu_memory_new(vhu_memory **out);

/* Unmaps everything: no pointer into it may be used any more. */
VHU_API void vhu_memory_free(vhu_memory *memory);

/*
 * Map one more region. *handle is taken on success. The region must not be empty, wrap round, or
 * overlap another in guest or user addresses, and a file must be as long as the region says.
 * VHU_EINVAL, VHU_EOVERFLOW (no room or file too short), VHU_EPERM (cannot be written), VHU_ENOMEM,
 * VHU_EOS. On failure nothing has changed.
 */
VHU_API int vhu_memory_add(vhu_memory *memory, const vhu_mem_region *region, vhu_handle *handle);

/* The same for memory that this process has at `base` already; it stays the caller's. */
VHU_API int vhu_memory_add_local(vhu_memory *memory, const vhu_mem_region *region, void *base);

/*
 * Unmap the region with this guest address, user address and size; the offset is not looked at.
 * VHU_ENOENT: there is no such region.
 */
VHU_API int vhu_memory_remove(vhu_memory *memory, const vhu_mem_region *region);

/*
 * Replace all regions at once. All handles are taken on success. On failure the old regions stay
 * as they were. Errors as vhu_memory_add().
 */
VHU_API int vhu_memory_replace(vhu_memory *memory, const vhu_mem_region *regions, size_t n,
                               vhu_handle *handles);

/* Number of regions. */
VHU_API size_t vhu_memory_count(const vhu_memory *memory);

/*
 * Where `len` bytes at a guest address, or at an address of the front-end, are mapped here. NULL
 * unless all of them lie in one region. `len` 0 is taken as 1.
 */
VHU_API void *vhu_memory_at(const vhu_memory *memory, uint64_t guest_addr, uint64_t len);
VHU_API void *vhu_memory_at_user(const vhu_memory *memory, uint64_t user_addr, uint64_t len);

/*
 * The guest address of a pointer that a translation gave: 0 and *guest_addr, or VHU_EFAULT.
 */
VHU_API int vhu_memory_guest_addr(const vhu_memory *memory, const void *pointer,
                                  uint64_t *guest_addr);

#ifdef __cplusplus
}
#endif

#endif
