/* SPDX-License-Identifier: BSD-3-Clause */
/* A byte-mode pipe end, overlapped: one read and one write at a time, and one event for both. */
#ifndef VHU_PIPE_H
#define VHU_PIPE_H

#include <stddef.h>
#include <stdint.h>

#include "win32.h"

/* What names may have, and what the pipe may hold each way. */
enum { VHU__PIPE_NAME_MAX = 256, VHU__PIPE_QUOTA = 65536 };

/*
 * What a client asks for: all that reading and writing needs, and not the right to add instances,
 * which is a part of GENERIC_WRITE.
 */
#define VHU__PIPE_CLIENT_ACCESS 0x12019bu

/* "\\.\pipe\NAME" as the system wants it. VHU_EINVAL: of another machine, too long, no name. */
int vhu__pipe_name(wchar_t out[VHU__PIPE_NAME_MAX + 1], const char *address);

/* A server's end that may be connected to. `first`: nobody else may have made this name. */
int vhu__pipe_create(HANDLE *out, const wchar_t *name, bool first, DWORD max_instances,
                     SECURITY_ATTRIBUTES *attributes);

/* A client's end of a pipe that is there: VHU_ENOENT, VHU_EAGAIN if all of it is in use, ... */
int vhu__pipe_dial(HANDLE *out, const wchar_t *name);

/* Both ends, server's first, of a pipe that nobody else can open. */
int vhu__pipe_pair(HANDLE out[2]);

/* VHU_EINVAL unless it is a connected, overlapped, byte-mode pipe end; and which end it is. */
int vhu__pipe_examine(HANDLE handle, bool *is_server);

/* The system does not use its memory any more when this returns. Whether it was done before. */
bool vhu__pipe_cancel(HANDLE handle, OVERLAPPED *op);

typedef struct vhu__pipe {
    HANDLE handle; /* NULL: closed */
    HANDLE ready;  /* manual-reset */
    int error;     /* what ended it; 0: nothing yet */
    bool reading;  /* the system has `read` and the room behind in_end */
    bool writing;  /* the system has `write` and `out` */
    bool lost;     /* what was written last has not arrived whole */
    OVERLAPPED read;
    OVERLAPPED write;
    uint8_t *in; /* received and not consumed: in[in_start .. in_end) */
    size_t in_start;
    size_t in_end;
    size_t in_room;
    uint8_t *out;
    size_t out_room;
} vhu__pipe;

/* *handle is taken on success. */
int vhu__pipe_open(vhu__pipe *pipe, HANDLE *handle);

/*
 * Have `need` bytes in `in`, from in_start: 0, VHU_EAGAIN, VHU_EDISCONNECT or another error.
 * `need` is checked by the caller.
 */
int vhu__pipe_fill(vhu__pipe *pipe, size_t need);
void vhu__pipe_consume(vhu__pipe *pipe, size_t n);

/* Whether something can be written: 0, VHU_EAGAIN or an error; then room to make it in, or NULL. */
int vhu__pipe_writable(vhu__pipe *pipe);
uint8_t *vhu__pipe_room(vhu__pipe *pipe, size_t len);

/* Write `len` bytes of that room, whole, in one call. 0: they are on their way. */
int vhu__pipe_write(vhu__pipe *pipe, size_t len);

/* `ready` is to tell of these (VHU_WAIT_*) alone; an error is told in any case. */
void vhu__pipe_arm(vhu__pipe *pipe, unsigned events);

/* No more. What was written stays readable for the peer; `ready` stays and is signalled. */
void vhu__pipe_shut(vhu__pipe *pipe);

/* Shut it and release the rest. */
void vhu__pipe_close(vhu__pipe *pipe);

#endif
