/* SPDX-License-Identifier: BSD-3-Clause */
/* What only some POSIX systems have, beside the ranges of disk_os.h. */
#ifndef DISK_POSIX_H
#define DISK_POSIX_H

#include "disk_os.h"

/* For open(): past the page cache; 0: there is none. */
extern const int disk_posix_direct;

/* disk_os_inspect() for a block device, and for a file's can_discard. */
int disk_posix_inspect_device(struct disk *disk, uint32_t *physical_block);
bool disk_posix_can_punch(const struct disk *disk);

#endif
