/* SPDX-License-Identifier: BSD-3-Clause */
/* One sector of a disk, through a ring. */
#ifndef PROBE_SECTOR_H
#define PROBE_SECTOR_H

#include <stddef.h>
#include <stdint.h>

enum { SECTOR_SIZE = 512 };

/* 0, or -1 with `error` saying why not. On a connection of its own. */
int sector_read(const char *address, int timeout_ms, uint64_t sector, uint8_t bytes[SECTOR_SIZE],
                char *error, size_t size);

#endif
