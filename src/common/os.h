/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The port contract: all that the shared code wants from an operating system. src/posix and
 * src/windows implement it, file by file under the same names; the build picks one of them.
 *
 * Every port translates its system's errors into VHU_E* in one function. No function blocks
 * unless it says so. Handles that a port makes or receives are not inherited by child processes.
 * vhu_handle_close() of types.h and all of event.h, shm.h, stream.h (but vhu_conn_from_stream())
 * and wait.h are implemented in the ports, too.
 */
#ifndef VHU_OS_H
#define VHU_OS_H

#include <vmm_vhost/error.h>
#include <vmm_vhost/stream.h>
#include <vmm_vhost/transport.h>
#include <vmm_vhost/types.h>

/* --- clock --- */

/* Milliseconds of a clock that never goes back; its zero has no meaning. */
uint64_t os_now_ms(void);

/* --- handle --- */

int os_handle_dup(vhu_handle handle, vhu_handle *out);

/* --- lock: between threads of this process, for as long as a few lines of code take --- */

typedef struct os_lock os_lock;

int os_lock_new(os_lock **out);
void os_lock_free(os_lock *lock); /* nobody has it */
void os_lock_take(os_lock *lock); /* blocks while another thread has it */
void os_lock_release(os_lock *lock);

/* --- listener: as in vmm_vhost/listener.h --- */

typedef struct os_listener os_listener;

/* `pipe` may be NULL, and is not kept, nor what it points to. */
int os_listener_new(os_listener **out, const char *address, unsigned flags, unsigned mode,
                    const vhu_pipe_options *pipe);
int os_listener_adopt(os_listener **out, vhu_handle *handle, unsigned flags,
                      const vhu_pipe_options *pipe);
int os_listener_accept(os_listener *listener, vhu_stream **out);
vhu_handle os_listener_wait_handle(const os_listener *listener);
int os_listener_wait(os_listener *listener, int timeout_ms); /* blocks */
void os_listener_free(os_listener *listener);

/* --- map: memory that another process shares by a handle --- */

typedef struct os_map {
    void *base; /* NULL: nothing is mapped */
    size_t len;
} os_map;

/*
 * Map `size` bytes from `offset` of the object, to read and write; neither need be a multiple of a
 * page. *pointer is where the byte at `offset` is, somewhere in the map. The handle stays the
 * caller's and may be closed. VHU_EOVERFLOW: the object is too short, or the numbers wrap.
 */
int os_map_shared(os_map *map, vhu_handle handle, uint64_t offset, uint64_t size, void **pointer);

/* Leaves *map empty; an empty one is left alone. */
void os_unmap(os_map *map);

/* --- state_pipe: bytes in one direction, as the state of a device goes --- */

typedef struct os_pipe os_pipe;

/*
 * An end that reads or writes (VHU_WAIT_READ, VHU_WAIT_WRITE), and the other one for a peer. And
 * one that a peer has passed: *handle is taken on success, and its mode, which the peer may share,
 * is left as it is. VHU_EINVAL: it is neither a pipe nor a socket, has not this direction, or
 * cannot be used without perhaps waiting.
 */
int os_pipe_new(os_pipe **out, vhu_handle *peer, unsigned direction);
int os_pipe_adopt(os_pipe **out, vhu_handle *handle, unsigned direction);

/* Bytes read, 0 at the end, VHU_EAGAIN or another error. `len` is not 0. */
int os_pipe_read(os_pipe *pipe, void *buf, size_t len);

/* Bytes taken, VHU_EAGAIN, VHU_EDISCONNECT if nobody reads any more, or another error. */
int os_pipe_write(os_pipe *pipe, const void *buf, size_t len);

/* 0: what was written can be read even if this end is freed. VHU_EAGAIN or another error. */
int os_pipe_flush(os_pipe *pipe);

/*
 * Borrowed; to wait for in the pipe's direction. To be asked for before each wait, since that is
 * how a handle of Windows learns what it shall tell of.
 */
vhu_handle os_pipe_wait_handle(os_pipe *pipe);

/* Its peer sees the end, behind what was written. NULL is fine. */
void os_pipe_free(os_pipe *pipe);

/* --- userfault: pages that another process brings when they are missed; Linux --- */

/*
 * What that process hears of them by, *out, is VHU_NO_HANDLE if it fails: VHU_ENOSYS, VHU_EPERM,
 * VHU_EMFILE.
 */
int os_userfault_new(vhu_handle *out);

/*
 * Of a whole map: from now on whoever misses a page waits until it is brought; or does not any
 * more, and who waits gets an empty page. To add a map once more changes nothing.
 */
int os_userfault_add(vhu_handle handle, void *base, size_t len);
void os_userfault_remove(vhu_handle handle, void *base, size_t len);

/*
 * Of a connection with that process: *out can be waited for (VHU_WAIT_READ), and tells that it has
 * gone, whatever is still to be received. VHU_NO_HANDLE if it fails.
 */
int os_userfault_life(vhu_handle connection, vhu_handle *out);
bool os_userfault_is_over(vhu_handle life);

#endif
