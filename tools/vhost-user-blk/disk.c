/* SPDX-License-Identifier: BSD-3-Clause */
#include "disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

enum { MIN_BLOCK = 512, MAX_BLOCK = 65536, MAX_DIRECT_BLOCK = 4096, FILE_BLOCK = 4096 };

/* Aligned for files that bypass the page cache. */
static _Alignas(4096) const unsigned char zeroes[65536];

static int refuse(char *error, size_t len, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int refuse(char *error, size_t len, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, len, format, args);
    va_end(args);
    return -1;
}

/* --- opening --- */

/* The smallest block that can be read past the page cache: asked by trying; 0: none. */
static uint32_t direct_block(int fd)
{
    _Alignas(4096) unsigned char buf[MAX_DIRECT_BLOCK];

    for (uint32_t block = MIN_BLOCK; block <= MAX_DIRECT_BLOCK; block *= 2)
        if (pread(fd, buf, block, (off_t)block) >= 0)
            return block;
    return 0;
}

static bool block_device_discards(dev_t device)
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

static int inspect_block_device(struct disk *disk, dev_t device, uint32_t *physical)
{
    int logical = 0;

    if (ioctl(disk->fd, BLKGETSIZE64, &disk->size) || ioctl(disk->fd, BLKSSZGET, &logical) ||
        ioctl(disk->fd, BLKPBSZGET, physical))
        return -1;
    disk->is_block_device = true;
    disk->logical_block = (uint32_t)logical;
    disk->can_discard = block_device_discards(device);
    return 0;
}

static void inspect_file(struct disk *disk, const struct stat *st, uint32_t *physical)
{
    disk->size = (uint64_t)st->st_size;
    disk->logical_block = MIN_BLOCK;
    *physical = FILE_BLOCK;
    /* Past the end there is nothing to lose: an attempt tells whether holes can be made. */
    disk->can_discard =
        !disk->read_only && fallocate(disk->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                      st->st_size, FILE_BLOCK) == 0;
}

static int inspect(struct disk *disk, const struct disk_options *options, uint32_t *physical,
                   char *error, size_t len)
{
    struct stat st;

    if (fstat(disk->fd, &st))
        return refuse(error, len, "--blk-file=%s: %s", options->path, strerror(errno));
    if (S_ISREG(st.st_mode))
        inspect_file(disk, &st, physical);
    else if (!S_ISBLK(st.st_mode))
        return refuse(error, len, "--blk-file=%s: neither a regular file nor a block device",
                      options->path);
    else if (inspect_block_device(disk, st.st_rdev, physical))
        return refuse(error, len, "--blk-file=%s: %s", options->path, strerror(errno));

    if (disk->direct) {
        const uint32_t block = direct_block(disk->fd);
        if (!block)
            return refuse(error, len, "--blk-file=%s: cannot be read with --cache=none",
                          options->path);
        if (disk->logical_block < block)
            disk->logical_block = block;
    }
    return 0;
}

static bool is_block_size(uint32_t block)
{
    return block >= MIN_BLOCK && block <= MAX_BLOCK && (block & (block - 1)) == 0;
}

static int choose_blocks(struct disk *disk, const struct disk_options *options, uint32_t physical,
                         char *error, size_t len)
{
    const uint32_t smallest = disk->direct || disk->is_block_device ? disk->logical_block : 0;

    if (options->logical_block) {
        if (!is_block_size(options->logical_block))
            return refuse(error, len, "--logical-block-size=%u: must be a power of two, %u to %u",
                          options->logical_block, MIN_BLOCK, MAX_BLOCK);
        if (options->logical_block < smallest)
            return refuse(error, len, "--logical-block-size=%u: %s needs at least %u",
                          options->logical_block, options->path, smallest);
        disk->logical_block = options->logical_block;
    }
    disk->physical_block = physical > disk->logical_block ? physical : disk->logical_block;
    if (options->physical_block) {
        if (!is_block_size(options->physical_block))
            return refuse(error, len, "--physical-block-size=%u: must be a power of two, %u to %u",
                          options->physical_block, MIN_BLOCK, MAX_BLOCK);
        if (options->physical_block < disk->logical_block)
            return refuse(error, len, "--physical-block-size=%u: is below the logical one, %u",
                          options->physical_block, disk->logical_block);
        disk->physical_block = options->physical_block;
    }
    disk->size -= disk->size % disk->logical_block;
    if (disk->size == 0)
        return refuse(error, len, "--blk-file=%s: has no room for a block of %u bytes",
                      options->path, disk->logical_block);
    return 0;
}

int disk_open(struct disk *disk, const struct disk_options *options, char *error, size_t len)
{
    const int flags = (options->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK |
                      (options->direct ? O_DIRECT : 0);
    uint32_t physical = 0;

    *disk = (struct disk){.read_only = options->read_only, .direct = options->direct};
    /* O_NONBLOCK only keeps a FIFO from waiting for its other end here. */
    disk->fd = open(options->path, flags);
    if (disk->fd < 0) {
        const char *hint = "";
        if (errno == EINVAL && options->direct)
            hint = " (does its file system know --cache=none?)";
        else if ((errno == EACCES || errno == EROFS || errno == EPERM) && !options->read_only)
            hint = " (or is --read-only meant?)";
        return refuse(error, len, "--blk-file=%s: %s%s", options->path, strerror(errno), hint);
    }
    if (inspect(disk, options, &physical, error, len) ||
        choose_blocks(disk, options, physical, error, len)) {
        disk_close(disk);
        return -1;
    }
    /* Left on, it could turn a read that has to wait into an error. */
    fcntl(disk->fd, F_SETFL, fcntl(disk->fd, F_GETFL) & ~O_NONBLOCK);
    return 0;
}

void disk_close(struct disk *disk)
{
    if (disk->fd >= 0)
        close(disk->fd);
    disk->fd = -1;
}

/* --- ranges --- */

static int punch(const struct disk *disk, int mode, uint64_t offset, uint64_t len)
{
    int rc;

    do
        rc = fallocate(disk->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)len);
    while (rc && errno == EINTR);
    return rc ? -errno : 0;
}

static int write_zeroes(const struct disk *disk, uint64_t offset, uint64_t len)
{
    while (len > 0) {
        const size_t n = len < sizeof zeroes ? (size_t)len : sizeof zeroes;
        const ssize_t done = pwrite(disk->fd, zeroes, n, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        offset += (uint64_t)done;
        len -= (uint64_t)done;
    }
    return 0;
}

int disk_discard(const struct disk *disk, uint64_t offset, uint64_t len)
{
    const uint64_t range[2] = {offset, len};
    int rc;

    if (disk->is_block_device)
        rc = ioctl(disk->fd, BLKDISCARD, range) ? -errno : 0;
    else
        rc = punch(disk, FALLOC_FL_PUNCH_HOLE, offset, len);
    /* A discard is a hint: what cannot follow it has not failed. */
    return rc == -EOPNOTSUPP ? 0 : rc;
}

int disk_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap)
{
    int rc = -EOPNOTSUPP;

    /* Block devices know both modes as well. */
    if (unmap)
        rc = punch(disk, FALLOC_FL_PUNCH_HOLE, offset, len);
    if (rc == -EOPNOTSUPP)
        rc = punch(disk, FALLOC_FL_ZERO_RANGE, offset, len);
    if (rc == -EOPNOTSUPP)
        rc = write_zeroes(disk, offset, len);
    return rc;
}
