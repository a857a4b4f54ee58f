/* SPDX-License-Identifier: BSD-3-Clause */
/* An end of a pipe, a socket or the like, read and written without ever waiting. */
#ifndef VHU_END_H
#define VHU_END_H

#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

typedef struct vhu__end {
    int fd;
    bool pipe;
    bool socket;
    bool shared; /* the peer has it, too, and may have it block at any time */
    atomic_bool looks_first;
} vhu__end;

/*
 * Look what a received descriptor is; `wrong` is the access mode that it must not have. VHU_EINVAL
 * if it is no such end.
 */
int vhu__end_examine(vhu__end *e, int fd, int wrong);

/* As read() and write() in non-blocking mode, whatever the mode; without SIGPIPE. */
ssize_t vhu__end_read(vhu__end *e, void *buf, size_t len);
ssize_t vhu__end_write(vhu__end *e, const void *buf, size_t len);

/* A new pipe, to read and to write; both ends are non-blocking and close-on-exec. */
int vhu__end_pipe(int ends[2]);

#endif
