/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef DISK_WINDOWS_H
#define DISK_WINDOWS_H

#include "disk.h"

#include <windows.h>

/* What an operation at `offset` is begun with; `event` is signalled when it has ended. */
OVERLAPPED disk_windows_operation(uint64_t offset, HANDLE event);

/* Where an error of the file's is none, 0: the file's end; else -errno. */
int disk_windows_error(DWORD error);

#endif
