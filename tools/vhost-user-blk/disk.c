/* SPDX-License-Identifier: BSD-3-Clause */
#include "disk.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "attributes.h"
#include "disk_os.h"

enum { MIN_BLOCK = 512, MAX_BLOCK = 65536, MAX_DIRECT_BLOCK = 4096 };

/* Aligned for files that bypass the page cache. */
static _Alignas(4096) unsigned char zeroes[65536];

static int refuse(char *error, size_t len, const char *format, ...) TOOL_PRINTF(3, 4);

static int refuse(char *error, size_t len, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(error, len, format, args);
    va_end(args);
    return -1;
}

/* --- opening --- */

static int open_file(struct disk *disk, const struct disk_options *options, char *error, size_t len)
{
    const int rc = disk_os_open(disk, options->path);
    const char *hint = "";

    if (!rc)
        return 0;
    if (rc == -EINVAL && options->direct)
        hint = " (does its file system know --cache=none?)";
    else if ((rc == -EACCES || rc == -EROFS || rc == -EPERM) && !options->read_only)
        hint = " (or is --read-only meant?)";
    return refuse(error, len, "--blk-file=%s: %s%s", options->path, strerror(-rc), hint);
}

/* The smallest block that can be read past the page cache: asked by trying; 0: none. */
static uint32_t direct_block(const struct disk *disk)
{
    _Alignas(4096) unsigned char bytes[MAX_DIRECT_BLOCK];

    for (uint32_t block = MIN_BLOCK; block <= MAX_DIRECT_BLOCK; block *= 2)
        if (disk_read(disk, &(vhu_buf){bytes, block}, 1, block) >= 0)
            return block;
    return 0;
}

static int inspect(struct disk *disk, const struct disk_options *options, uint32_t *physical,
                   char *error, size_t len)
{
    const int rc = disk_os_inspect(disk, physical);

    if (rc)
        return refuse(error, len, "--blk-file=%s: %s", options->path,
                      rc == -ENODEV ? "neither a regular file nor a block device" : strerror(-rc));
    if (disk->logical_block < MIN_BLOCK)
        disk->logical_block = MIN_BLOCK;
    if (disk->direct) {
        const uint32_t block = direct_block(disk);
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
    uint32_t physical = 0;

    *disk = (struct disk){
        .file = VHU_NO_HANDLE, .read_only = options->read_only, .direct = options->direct};
    if (open_file(disk, options, error, len))
        return -1;
    if (inspect(disk, options, &physical, error, len) ||
        choose_blocks(disk, options, physical, error, len)) {
        disk_close(disk);
        return -1;
    }
    return 0;
}

void disk_close(struct disk *disk)
{
    vhu_handle_close(&disk->file);
}

/* --- ranges --- */

static int write_zeroes(const struct disk *disk, uint64_t offset, uint64_t len)
{
    while (len > 0) {
        const vhu_buf buf = {zeroes, len < sizeof zeroes ? (size_t)len : sizeof zeroes};
        const int64_t done = disk_write(disk, &buf, 1, offset);
        if (done <= 0)
            return done < 0 ? (int)done : -EIO;
        offset += (uint64_t)done;
        len -= (uint64_t)done;
    }
    return 0;
}

int disk_discard(const struct disk *disk, uint64_t offset, uint64_t len)
{
    const int rc = disk_os_discard(disk, offset, len);

    /* A discard is a hint: what cannot follow it has not failed. */
    return rc == -EOPNOTSUPP ? 0 : rc;
}

int disk_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap)
{
    const int rc = disk_os_zero(disk, offset, len, unmap);

    return rc == -EOPNOTSUPP ? write_zeroes(disk, offset, len) : rc;
}
