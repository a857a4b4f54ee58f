/* SPDX-License-Identifier: BSD-3-Clause */
/* Block devices, holes in files, and input and output past the page cache. */
#include "disk_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { HOLE = 4096 };

const int disk_posix_direct = O_DIRECT;

static bool device_discards(dev_t device)
{
    char path[96];
    char text[32] = "";

    snprintf(path, sizeof path, "/sys/dev/block/%u:%u/queue/discard_max_bytes", major(device),
             minor(device));
    FILE *file = fopen(path, "re");
    if (!file) { /* a partition has its queue one folder up */
        snprintf(path, sizeof path, "/sys/dev/block/%u:%u/../queue/discard_max_bytes",
                 major(device), minor(device));
        file = fopen(path, "re");
    }
    if (!file)
        return false;
    const bool can = fgets(text, sizeof text, file) && strtoull(text, NULL, 10) > 0;
    fclose(file);
    return can;
}

int disk_posix_inspect_device(struct disk *disk, uint32_t *physical_block)
{
    struct stat st;
    int logical = 0;

    if (fstat(disk->file, &st) || ioctl(disk->file, BLKGETSIZE64, &disk->size) ||
        ioctl(disk->file, BLKSSZGET, &logical) || ioctl(disk->file, BLKPBSZGET, physical_block))
        return -errno;
    disk->logical_block = (uint32_t)logical;
    disk->can_discard = device_discards(st.st_rdev);
    return 0;
}

static int punch(const struct disk *disk, int mode, uint64_t offset, uint64_t len)
{
    int rc;

    do
        rc = fallocate(disk->file, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);
    while (rc && errno == EINTR);
    return rc ? -errno : 0;
}

/* Past the end there is nothing to lose: an attempt tells whether holes can be made. */
bool disk_posix_can_punch(const struct disk *disk)
{
    return punch(disk, FALLOC_FL_PUNCH_HOLE, disk->size, HOLE) == 0;
}

int disk_flush(const struct disk *disk)
{
    return fdatasync(disk->file) ? -errno : 0;
}

int disk_os_discard(const struct disk *disk, uint64_t offset, uint64_t len)
{
    const uint64_t range[2] = {offset, len};

    if (disk->is_block_device)
        return ioctl(disk->file, BLKDISCARD, range) ? -errno : 0;
    return punch(disk, FALLOC_FL_PUNCH_HOLE, offset, len);
}

int disk_os_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap)
{
    int rc = -EOPNOTSUPP;

    /* Block devices know both modes as well. */
    if (unmap)
        rc = punch(disk, FALLOC_FL_PUNCH_HOLE, offset, len);
    if (rc == -EOPNOTSUPP)
        rc = punch(disk, FALLOC_FL_ZERO_RANGE, offset, len);
    return rc;
}
