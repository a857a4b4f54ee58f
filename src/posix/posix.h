/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this port share. */
#ifndef VHU_POSIX_H
#define VHU_POSIX_H

#include <stdint.h>

struct vhu_pipe_options;

/* errno to VHU_E*: the only place where that happens. */
int vhu__posix_error(int errnum);

/* Options of pipes, or NULL: 0, or VHU_EINVAL for a size that no version has. */
int vhu__posix_check_pipe(const struct vhu_pipe_options *options);

/* Bytes of an object's pages if they are huge ones (hugetlbfs), else 0. */
uint64_t vhu__posix_huge_page(int fd);

/* poll() for one descriptor, going on after signals: 0, VHU_ETIMEDOUT or another error. */
int vhu__posix_poll(int fd, short events, int timeout_ms);

#endif
