/* SPDX-License-Identifier: BSD-3-Clause */
/* What the tracer wants of the operating system, beyond the libraries: one file a port. */
#ifndef TRACE_SYS_H
#define TRACE_SYS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <vmm_vhost/stream.h>

/* What a handle is. */
struct handle_info {
    uint64_t number;
    const char *kind; /* "eventfd", "memfd", "socket", "pipe", "file", "event", "section", ... */
    char name[80];    /* of a file or memfd; "" if there is none */
    bool has_size;
    uint64_t size;
};

/* At first: files without end, no signal for a pipe that nobody reads, colours where they are. */
void sys_prepare(void);

/* A file that is emptied, and that no child gets. NULL and errno. */
FILE *sys_create(const char *path);

/* A process that was started here: told to end, if the user's word has not reached it anyway. */
void sys_ask_to_end(int process);

/* Whether what runs over it can be passed on as over an ordinary connection. */
bool sys_is_stream(vhu_handle handle);

/* Its end was seen: has the peer closed both ways, and not just its writing? */
bool sys_is_gone(vhu_stream *stream);

/* One way only; nothing happens where there is no such thing. */
void sys_shutdown_write(vhu_stream *stream);
void sys_shutdown_read(vhu_stream *stream);

void sys_look_at(vhu_handle handle, struct handle_info *info);

/* Microseconds since 1970. */
uint64_t sys_wall_us(void);

#endif
