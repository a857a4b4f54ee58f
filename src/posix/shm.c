/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/shm.h>

#include <stdlib.h>

#include "os.h"
#include "shm_internal.h"

struct vhu_shm {
    int fd;
    uint64_t size;
    void *base;
    os_map map;
};

int vhu_shm_new(vhu_shm **out, uint64_t size)
{
    vhu_shm *shm;
    int r;

    if (size == 0)
        return VHU_EINVAL;
    if (size > INT64_MAX || size > SIZE_MAX)
        return VHU_EOVERFLOW;
    shm = calloc(1, sizeof(*shm));
    if (!shm)
        return VHU_ENOMEM;
    shm->size = size;
    shm->fd = VHU_NO_HANDLE;
    r = vhu__shm_object(&shm->fd, (off_t)size);
    if (r == 0)
        r = os_map_shared(&shm->map, shm->fd, 0, size, &shm->base);
    if (r < 0) {
        vhu_shm_free(shm);
        return r;
    }
    *out = shm;
    return 0;
}

void vhu_shm_free(vhu_shm *shm)
{
    if (!shm)
        return;
    os_unmap(&shm->map);
    vhu_handle_close(&shm->fd);
    free(shm);
}

void *vhu_shm_base(const vhu_shm *shm)
{
    return shm->base;
}

uint64_t vhu_shm_size(const vhu_shm *shm)
{
    return shm->size;
}

vhu_handle vhu_shm_handle(const vhu_shm *shm)
{
    return shm->fd;
}
