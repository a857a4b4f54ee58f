/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The system calls of the tracer: a port to another system is another sys_*.c. Functions return 0,
 * a count, or a negative error for uv_strerror(); none of them blocks.
 */
#ifndef TRACE_SYS_H
#define TRACE_SYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <vmm_vhost/types.h>

/* What one message can bring on any system: no descriptor may be lost. */
enum { SYS_MAX_HANDLES = 253 };

/* What a descriptor is. */
struct handle_info {
    vhu_handle number;
    const char *kind; /* "eventfd", "memfd", "socket", "pipe", "file", ... */
    char name[80];    /* of a file or memfd; "" if there is none */
    bool has_size;
    uint64_t size;
};

/* The limit of open files, as high as it may be. */
void sys_raise_file_limit(void);

int sys_accept(vhu_handle listener, vhu_handle *out);
int sys_connect(const char *address, vhu_handle *out);
int sys_pair(vhu_handle out[2]);

/* Whether a channel can run over it. */
bool sys_is_stream(vhu_handle handle);

/*
 * Receive at most `len` bytes, 0 at the end, UV_EAGAIN; handles are appended to handles[*num ..
 * SYS_MAX_HANDLES). *lost is set if the system threw handles away.
 */
int sys_recv(vhu_handle handle, void *buf, size_t len, vhu_handle *handles, size_t *num,
             bool *lost);

/* Send at most `len` bytes, with handles on the first of them. */
int sys_send(vhu_handle handle, const void *buf, size_t len, const vhu_handle *handles, size_t num);

/* The peer has closed both ways, not just its writing. */
bool sys_is_gone(vhu_handle handle);
void sys_shutdown_write(vhu_handle handle);
void sys_shutdown_read(vhu_handle handle);

void sys_look_at(vhu_handle handle, struct handle_info *info);

/* Microseconds since 1970. */
uint64_t sys_wall_us(void);

#endif
