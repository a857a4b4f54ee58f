/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Names that every other header needs, and the rules that hold for all of them.
 *
 * Ownership: a thing passed by address (a handle, an object) is taken if, and only if, the callee
 * sets it to VHU_NO_HANDLE or NULL. What a callback leaves behind, the library closes. Every _free
 * accepts NULL.
 *
 * Errors: functions that can fail return 0 (or a count) or a negative VHU_E* code of error.h.
 *
 * Threads: an object belongs to one thread at a time unless its header says otherwise.
 *
 * Structures: opaque, or fixed by the specification, or led by `size_t size` that the caller sets
 * to sizeof its own structure; the library reads what both know, takes missing members as zero and
 * refuses members it does not know unless they are zero. Those that come in arrays or are on the
 * path of every request (vhu_buf, vhu_chain, vhu_driver_used, vhu_guest_buf, vhu_ring_layout,
 * vhu_wait) are as they are for good. vhu_field is the library's, and may get longer.
 */
#ifndef VMM_VHOST_TYPES_H
#define VMM_VHOST_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32) && defined(VHU_SHARED) && !defined(VHU_SHARED_BUILD)
#define VHU_API __declspec(dllimport)
#elif defined(__GNUC__)
#define VHU_API __attribute__((visibility("default")))
#else
#define VHU_API
#endif

/* What the operating system passes between processes: a descriptor, or a HANDLE. */
#ifdef _WIN32
typedef void *vhu_handle;
#define VHU_NO_HANDLE ((vhu_handle)0)
#else
typedef int vhu_handle;
#define VHU_NO_HANDLE (-1)
#endif

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vhu_conn vhu_conn;
typedef struct vhu_listener vhu_listener;
typedef struct vhu_stream vhu_stream;
typedef struct vhu_backend_server vhu_backend_server;
typedef struct vhu_backend_client vhu_backend_client;
typedef struct vhu_frontend_server vhu_frontend_server;
typedef struct vhu_frontend_client vhu_frontend_client;
typedef struct vhu_event vhu_event;
typedef struct vhu_memory vhu_memory;
typedef struct vhu_queue vhu_queue;
typedef struct vhu_device vhu_device;
typedef struct vhu_ring vhu_ring;

/* A piece of memory. Members and order are those of POSIX struct iovec. */
typedef struct vhu_buf {
    void *base;
    size_t len;
} vhu_buf;

/*
 * Close *handle and set it to VHU_NO_HANDLE; VHU_NO_HANDLE itself is left alone. The calling
 * thread's error state (errno, GetLastError) is kept.
 */
VHU_API void vhu_handle_close(vhu_handle *handle);

#ifdef __cplusplus
}
#endif

#endif
