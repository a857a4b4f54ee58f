/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Handles that have been received and not been given to anybody yet, each with the place in the
 * stream where it came: a bounded queue that owns what it holds.
 */
#ifndef VHU_HANDLES_H
#define VHU_HANDLES_H

#include <vmm_vhost/types.h>

/* What one receive may bring; and what one message may have before the connection is given up. */
#define VHU__HANDLES_PER_RECV 32u
#define VHU__HANDLES_MAX (2u * VHU__HANDLES_PER_RECV)

typedef struct vhu__handles {
    uint32_t count;
    vhu_handle handle[VHU__HANDLES_MAX];
    uint64_t position[VHU__HANDLES_MAX]; /* of the last byte that came with it; ascending */
} vhu__handles;

/*
 * Append `n` handles that came with the byte at `position`; the caller's become VHU_NO_HANDLE.
 * False if there is no room: all of them are closed then.
 */
bool vhu__handles_push(vhu__handles *set, vhu_handle *handles, size_t n, uint64_t position);

/*
 * Move the handles that came before byte `end` to out[0 .. room); those for which there is no room
 * are closed. Returns how many there were.
 */
size_t vhu__handles_take(vhu__handles *set, uint64_t end, vhu_handle *out, size_t room);

/* Close the first `n`. */
void vhu__handles_drop(vhu__handles *set, size_t n);

/* Close them all. */
void vhu__handles_clear(vhu__handles *set);

/* Close an array of them; entries become VHU_NO_HANDLE. */
void vhu__close_all(vhu_handle *handles, size_t n);

#endif
