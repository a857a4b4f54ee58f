/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What disk.c wants of a port, beside disk_read(), disk_write() and disk_flush(). All
 * return 0 or -errno.
 */
#ifndef DISK_OS_H
#define DISK_OS_H

#include "disk.h"

/* Set disk->file; read_only and direct are set. */
int disk_os_open(struct disk *disk, const char *path);

/*
 * Set size, logical_block, is_block_device and can_discard, and tell the unit that is written
 * fastest. -ENODEV: it is neither a regular file nor a block device.
 */
int disk_os_inspect(struct disk *disk, uint32_t *physical_block);

/* -EOPNOTSUPP: not with this file. */
int disk_os_discard(const struct disk *disk, uint64_t offset, uint64_t len);
int disk_os_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap);

#endif
