/* SPDX-License-Identifier: BSD-3-Clause */
#include "os.h"
#include "posix.h"
#include "util.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#ifdef __linux__
#include <linux/magic.h>
#include <sys/vfs.h>
#endif

/* Reserving huge pages for a mapping is the business of whoever made the object. */
#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif

uint64_t vhu__posix_huge_page(int fd)
{
#ifdef __linux__
    struct statfs fs;

    if (fstatfs(fd, &fs) == 0 && (unsigned long)fs.f_type == HUGETLBFS_MAGIC)
        return (uint64_t)fs.f_bsize;
#else
    (void)fd;
#endif
    return 0;
}

/* What the offset of a map of `fd` must be a multiple of: hugetlbfs wants its own pages. */
static uint64_t page_of(int fd)
{
    uint64_t huge = vhu__posix_huge_page(fd);

    return huge > 0 ? huge : (uint64_t)sysconf(_SC_PAGESIZE);
}

int os_map_shared(os_map *map, vhu_handle handle, uint64_t offset, uint64_t size, void **pointer)
{
    struct stat st;
    uint64_t page, lead, end, len;
    void *base;

    if (size == 0)
        return VHU_EINVAL;
    if (fstat(handle, &st) < 0)
        return vhu__posix_error(errno);
    if (!vhu__add_u64(offset, size, &end) || end > INT64_MAX)
        return VHU_EOVERFLOW;
    /* Beyond the end of a file an access would kill us. The size of a device means nothing. */
    if (S_ISREG(st.st_mode) && end > (uint64_t)st.st_size)
        return VHU_EOVERFLOW;

    page = page_of(handle);
    lead = offset % page;
    len = lead + size;                 /* end, which fits, is no less */
    len += (page - len % page) % page; /* hugetlbfs wants whole pages for munmap() */
    if (len > SIZE_MAX)
        return VHU_EOVERFLOW;
    base = mmap(NULL, (size_t)len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, handle,
                (off_t)(offset - lead));
    if (base == MAP_FAILED)
        return vhu__posix_error(errno);
    *map = (os_map){base, (size_t)len};
    *pointer = (uint8_t *)base + lead;
    return 0;
}

void os_unmap(os_map *map)
{
    if (map->base)
        munmap(map->base, map->len);
    *map = (os_map){0};
}
