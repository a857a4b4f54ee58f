/* SPDX-License-Identifier: BSD-3-Clause */
#include "win32.h"

#include <stdlib.h>
#include <vmm_vhost/shm.h>

#include "os.h"

struct vhu_shm {
    vhu_handle section;
    uint64_t size;
    void *base;
    os_map map;
};

/* With the access that a peer is to have, since it is this handle that is passed. */
static int new_section(vhu_handle *out, uint64_t size)
{
    SECURITY_ATTRIBUTES sealed;
    vhu_handle section;
    int r = vhu__sealed_attributes(&sealed);

    if (r < 0)
        return r;
    section = CreateFileMappingW(INVALID_HANDLE_VALUE, &sealed, PAGE_READWRITE, (DWORD)(size >> 32),
                                 (DWORD)size, NULL);
    r = section ? 0 : vhu__win32_error(GetLastError());
    LocalFree(sealed.lpSecurityDescriptor);
    if (r == 0)
        r = vhu__handle_dup_as(section, SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_QUERY, out);
    vhu_handle_close(&section);
    return r;
}

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
    r = new_section(&shm->section, size);
    if (r == 0)
        r = os_map_shared(&shm->map, shm->section, 0, size, &shm->base);
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
    vhu_handle_close(&shm->section);
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
    return shm->section;
}

/* A section is never shorter than it was made. */
bool vhu_shm_seal(vhu_handle handle)
{
    return handle != VHU_NO_HANDLE;
}
