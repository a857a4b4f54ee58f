/* SPDX-License-Identifier: BSD-3-Clause */
/* Guest memory as the rings see it: translation that remembers where it last found something. */
#ifndef VHU_MEMORY_INTERNAL_H
#define VHU_MEMORY_INTERNAL_H

#include <vmm_vhost/memory.h>

#include "util.h"

/* Guest addresses [guest_addr, guest_addr + size) are at `base`. All zero: nothing is there. */
typedef struct vhu__window {
    uint64_t guest_addr;
    uint64_t size;
    uint8_t *base;
} vhu__window;

/* Whether all of [addr, addr + len) is in the window. False for `len` 0, whatever the address. */
VHU__ALWAYS_INLINE bool vhu__window_has(const vhu__window *window, uint64_t addr, uint64_t len)
{
    uint64_t offset = addr - window->guest_addr; /* huge if addr is below */

    return offset < window->size && len - 1 < window->size - offset;
}

VHU__ALWAYS_INLINE void *vhu__window_at(const vhu__window *window, uint64_t addr)
{
    return window->base + (addr - window->guest_addr);
}

/*
 * Move the window to the region that holds `addr`, and tell how many of `len` bytes are there: 0
 * if no region holds it, and the window stays.
 */
uint64_t vhu__memory_look(const vhu_memory *memory, vhu__window *window, uint64_t addr,
                          uint64_t len);

#endif
