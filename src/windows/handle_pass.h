/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handles from one process to another: the side that transfers copies its own into the peer
 * (pushes), and the peer's out of it (pulls); the other side only tells values and checks what it
 * was given. docs/windows-transport.md, "Passing handles".
 */
#ifndef VHU_HANDLE_PASS_H
#define VHU_HANDLE_PASS_H

#include <stdint.h>

#include "pipe_frame.h"
#include "win32.h"

/* A handle that the peer is to pull, and one of our own that shows what it is. */
typedef struct vhu__export {
    HANDLE handle;
    HANDLE same;
} vhu__export;

typedef struct vhu__pass {
    bool transfers;
    HANDLE process; /* the peer's; of the side that transfers alone */
    /* Not told to be pulled yet, in order; of the other side alone. */
    vhu__export *exports;
    size_t num_exports;
    size_t max_exports;
} vhu__pass;

/* With both ends in this process. */
void vhu__pass_inside(vhu__pass *pass, bool transfers);

/* The same peer, over another pipe. */
int vhu__pass_copy(vhu__pass *out, const vhu__pass *pass);

/* If the peer has gone, what it has not pulled is closed: nobody will. */
void vhu__pass_release(vhu__pass *pass, bool gone);

/* Whose the values are that this side sends, or receives. */
vhu__frame_owner vhu__pass_owner(const vhu__pass *pass, bool sends);

/* The peer tells that it has pulled the next `n`. False: none, or more than there are. */
bool vhu__pass_taken(vhu__pass *pass, size_t n);

/*
 * Values for the peer, of handles that stay the caller's. VHU_EINVAL: one of them is nothing that
 * can be passed. What was not sent is to be withdrawn; it was exported last.
 */
int vhu__pass_export(vhu__pass *pass, const vhu_handle *handles, size_t n, uint64_t *values);
void vhu__pass_withdraw(vhu__pass *pass, const uint64_t *values, size_t n);

/* The same of one handle of ours, with this access alone. */
int vhu__pass_export_as(vhu__pass *pass, HANDLE handle, ACCESS_MASK access, uint64_t *value);

/*
 * A duplicate of what a value stands for, which is left as it is: who sent it need not have the
 * right to name it. And, if that has shown to be right, the end of the handle itself.
 */
int vhu__pass_look(const vhu__pass *pass, uint64_t value, HANDLE *out);
void vhu__pass_take(const vhu__pass *pass, uint64_t value);

/*
 * Handles of the values that a peer has sent, but none of `mine`, which this side has itself. All
 * or nothing; what the peer gave is closed then. VHU_EINVALID_MESSAGE, VHU_EDISCONNECT if its
 * process has gone, ...
 */
int vhu__pass_import(const vhu__pass *pass, const uint64_t *values, size_t n, const HANDLE *mine,
                     size_t num_mine, vhu_handle *out);

#endif
