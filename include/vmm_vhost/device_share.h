/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a device of the kit shares with the guest or with other devices beside its rings: pieces of
 * memory in regions that the driver knows (sections "VIRTIO Shared Memory Region" of the requests,
 * SHMEM_MAP, SHMEM_UNMAP), and objects that others find by their UUID (SHARED_OBJECT_ADD, _REMOVE,
 * _LOOKUP; what they get comes from get_shared_object of vhu_device_ops).
 *
 * All on the connection's thread. A function asks the front-end on the channel that it gave for
 * such messages, and does not wait. 0: it is asked, and `answer` (or NULL) is called once, on the
 * same thread, as a rule later. Else it is not: VHU_ESTATE: nobody is connected; VHU_ENOSYS: the
 * front-end cannot do that, gave no channel, or does not acknowledge; VHU_EINVAL: an argument is
 * wrong; VHU_EOVERFLOW: VHU_MAX_CALLS are under way; or why sending failed.
 */
#ifndef VMM_VHOST_DEVICE_SHARE_H
#define VMM_VHOST_DEVICE_SHARE_H

#include <vmm_vhost/device.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * `status` is 0, VHU_EREFUSED, or why the channel has ended before. `handle` is that of a lookup,
 * taken by setting it to VHU_NO_HANDLE. It may ask for more, but not disconnect the device.
 */
typedef void (*vhu_device_answer)(void *arg, int status, vhu_handle *handle);

/*
 * Have piece->len bytes of the object of `handle`, from piece->handle_offset on, appear at
 * piece->region_offset of a region of vhu_device_options.shmem; or vanish, as they were mapped. The
 * handle stays the caller's. All that is mapped vanishes with the connection, and by RESET_DEVICE.
 * VHU_EINVAL: the piece is empty, or not in a region of the device's.
 */
VHU_API int vhu_device_shmem_map(vhu_device *device, const vhu_shmem_request *piece,
                                 vhu_handle handle, vhu_device_answer answer, void *arg);
VHU_API int vhu_device_shmem_unmap(vhu_device *device, const vhu_shmem_request *piece,
                                   vhu_device_answer answer, void *arg);

/* An object of this device's may be found from now on, or no longer. */
VHU_API int vhu_device_object_add(vhu_device *device, const uint8_t uuid[16],
                                  vhu_device_answer answer, void *arg);
VHU_API int vhu_device_object_remove(vhu_device *device, const uint8_t uuid[16],
                                     vhu_device_answer answer, void *arg);

/* An object of another device: the answer has its handle. */
VHU_API int vhu_device_object_lookup(vhu_device *device, const uint8_t uuid[16],
                                     vhu_device_answer answer, void *arg);

#ifdef __cplusplus
}
#endif

#endif
