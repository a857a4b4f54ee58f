/* SPDX-License-Identifier: BSD-3-Clause */
/* The file or block device behind the disk, and what it can do. */
#ifndef DISK_H
#define DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmm_vhost/types.h>

struct disk_options {
    const char *path;
    bool read_only;
    bool direct;             /* past the page cache */
    uint32_t logical_block;  /* bytes; 0: what the file asks for */
    uint32_t physical_block; /* bytes; 0: what the file asks for */
};

/* Constant once it is open; any thread. */
struct disk {
    vhu_handle file;
    bool read_only;
    bool direct;
    bool is_block_device;
    bool can_discard;
    uint64_t size;           /* bytes, a multiple of logical_block */
    uint32_t logical_block;  /* bytes; offsets and lengths are multiples of it */
    uint32_t physical_block; /* bytes, a hint */
};

/* 0, or -1 with the reason in `error`; the disk is closed then. */
int disk_open(struct disk *disk, const struct disk_options *options, char *error, size_t len);

void disk_close(struct disk *disk);

/*
 * What follows may block for long. 0 or -errno, for reading and writing a count, which may be less
 * than was asked for: 0 at the file's end.
 */
int64_t disk_read(const struct disk *disk, const vhu_buf *bufs, uint32_t num, uint64_t offset);
int64_t disk_write(const struct disk *disk, const vhu_buf *bufs, uint32_t num, uint64_t offset);
int disk_flush(const struct disk *disk);

/*
 * Give a range up: what it reads as is undefined; or have it read as zeroes, giving its space up
 * if `unmap`. Never extend the file.
 */
int disk_discard(const struct disk *disk, uint64_t offset, uint64_t len);
int disk_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap);

#endif
