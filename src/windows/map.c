/* SPDX-License-Identifier: BSD-3-Clause */
#include "win32.h"

#include <winternl.h>

#include "os.h"
#include "util.h"

/* What no header has. */
NTSTATUS NTAPI NtQuerySection(HANDLE section, ULONG what, void *out, SIZE_T len, SIZE_T *needed);

/*
 * Memory of the paging file alone: where a file is behind it, an access kills us when the file
 * cannot be read, as with a disk that was pulled or a server that has gone. And memory that is
 * cached, since atomic operations may fail on other.
 */
enum { REFUSED = SEC_FILE | SEC_IMAGE | SEC_NOCACHE | SEC_WRITECOMBINE };

int vhu__section_examine(HANDLE section, vhu__section *out)
{
    return NT_SUCCESS(NtQuerySection(section, 0, out, sizeof(*out), NULL)) &&
                   !(out->attributes & REFUSED)
               ? 0
               : VHU_EINVAL;
}

static int examine(HANDLE handle, vhu__section *info)
{
    const ACCESS_MASK access = SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_QUERY;
    int r = vhu__handle_require(handle, VHU__HANDLE_SECTION, access);

    return r < 0 ? r : vhu__section_examine(handle, info);
}

/* What the offset of a map must be a multiple of. */
static uint64_t granularity(void)
{
    SYSTEM_INFO info;

    GetSystemInfo(&info);
    return info.dwAllocationGranularity;
}

int os_map_shared(os_map *map, vhu_handle handle, uint64_t offset, uint64_t size, void **pointer)
{
    vhu__section info;
    uint64_t lead, start, end;
    void *base;
    int r;

    if (size == 0)
        return VHU_EINVAL;
    r = examine(handle, &info);
    if (r < 0)
        return r;
    if (!vhu__add_u64(offset, size, &end) || end > (uint64_t)info.size.QuadPart)
        return VHU_EOVERFLOW;

    lead = offset % granularity();
    start = offset - lead;
    if (end - start > SIZE_MAX)
        return VHU_EOVERFLOW;
    base = MapViewOfFile(handle, FILE_MAP_READ | FILE_MAP_WRITE, (DWORD)(start >> 32), (DWORD)start,
                         (SIZE_T)(end - start));
    if (!base)
        return vhu__win32_error(GetLastError());
    *map = (os_map){base, (size_t)(end - start)};
    /* A peer may have reserved its memory only, and an access to what is not there would kill us.
     */
    if ((info.attributes & SEC_RESERVE) &&
        !VirtualAlloc(base, map->len, MEM_COMMIT, PAGE_READWRITE)) {
        r = vhu__win32_error(GetLastError());
        os_unmap(map);
        return r;
    }
    *pointer = (uint8_t *)base + lead;
    return 0;
}

void os_unmap(os_map *map)
{
    if (map->base)
        UnmapViewOfFile(map->base);
    *map = (os_map){0};
}
