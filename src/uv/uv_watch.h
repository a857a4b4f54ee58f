/* SPDX-License-Identifier: BSD-3-Clause */
/* Waiting for a handle on a loop; implemented by the port. Loop's thread. */
#ifndef VHU_UV_WATCH_H
#define VHU_UV_WATCH_H

#include <uv.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/transport.h>

typedef struct vhu__uv_watch vhu__uv_watch;

/*
 * Call `ready` whenever one of `events` (VHU_WAIT_*) may succeed, until they are set to others or
 * the watch is closed. The handle is borrowed, and its mode is left as it is.
 */
int vhu__uv_watch_new(vhu__uv_watch **out, uv_loop_t *loop, vhu_handle handle, unsigned events,
                      void (*ready)(void *arg), void *arg);

/* 0: nothing for now. */
int vhu__uv_watch_set(vhu__uv_watch *watch, unsigned events);

/* The handle may be closed when this returns; NULL is fine. The rest is freed by the loop. */
void vhu__uv_watch_close(vhu__uv_watch *watch);

#endif
