/* SPDX-License-Identifier: BSD-3-Clause */
/* A POSIX system of which no more is known than that it has files. */
#include "disk_posix.h"

#include <errno.h>
#include <unistd.h>

const int disk_posix_direct = 0;

int disk_posix_inspect_device(struct disk *disk, uint32_t *physical_block)
{
    (void)disk;
    (void)physical_block;
    return -ENODEV;
}

bool disk_posix_can_punch(const struct disk *disk)
{
    (void)disk;
    return false;
}

int disk_flush(const struct disk *disk)
{
    return fsync(disk->file) ? -errno : 0;
}

int disk_os_discard(const struct disk *disk, uint64_t offset, uint64_t len)
{
    (void)disk;
    (void)offset;
    (void)len;
    return -EOPNOTSUPP;
}

int disk_os_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap)
{
    (void)unmap;
    return disk_os_discard(disk, offset, len);
}
