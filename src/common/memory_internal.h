/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory as the rings see it: translation that remembers where it last found something. */
#ifndef VHU_MEMORY_INTERNAL_H
#define VHU_MEMORY_INTERNAL_H

#include <vmm_vhost/memory.h>

#include "util.h"

/*
 * `size` guest addresses up to `end` are at their address plus `shift`. All zero: none are. Made of
 * sums, since that is what the check below is quickest with.
 */
typedef struct vhu__window {
    uint64_t end;
    uint64_t size;
    uintptr_t shift; /* wraps */
} vhu__window;

static inline vhu__window vhu__window_make(uint64_t addr, uint64_t size, void *base)
{
    return (vhu__window){addr + size, size, (uintptr_t)base - (uintptr_t)addr};
}

/* Whether all of [addr, addr + len) is in the window. False for `len` 0, whatever the address. */
VHU__ALWAYS_INLINE bool vhu__window_has(const vhu__window *window, uint64_t addr, uint64_t len)
{
    uint64_t rest = window->end - addr; /* more than the size if addr is outside */

    return rest <= window->size && len - 1 < rest;
}

VHU__ALWAYS_INLINE void *vhu__window_at(const vhu__window *window, uint64_t addr)
{
    return (void *)(window->shift + (uintptr_t)addr);
}

/*
 * Move the window to the region that holds `addr`, and tell how many of `len` bytes are there: 0
 * if no region holds it, and the window stays.
 */
uint64_t vhu__memory_look(const vhu_memory *memory, vhu__window *window, uint64_t addr,
                          uint64_t len);

/* The guest address behind the last region; 0: there is none. */
uint64_t vhu__memory_end(const vhu_memory *memory);

/* The same by the front-end's user address. */
uint64_t vhu__memory_look_user(const vhu_memory *memory, vhu__window *window, uint64_t addr,
                               uint64_t len);

/* Memory without regions, for good. */
const vhu_memory *vhu__memory_none(void);

/* The map of a region, in the order of their addresses; false if there are no more. */
bool vhu__memory_map(const vhu_memory *memory, size_t i, void **base, size_t *len);

#endif
