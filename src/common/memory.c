/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory_internal.h"

#include <stdlib.h>
#include <string.h>

#include "os.h"

typedef struct slot {
    uint64_t guest_addr;
    uint64_t user_addr;
    uint64_t size;
    uint8_t *base;
    os_map map; /* empty if the memory is the caller's */
} slot;

struct vhu_memory {
    size_t n;
    slot slots[VHU_MAX_MEM_SLOTS]; /* by guest address */
};

int vhu_memory_new(vhu_memory **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? 0 : VHU_ENOMEM;
}

const vhu_memory *vhu__memory_none(void)
{
    static vhu_memory none;

    return &none;
}

static void unmap_all(vhu_memory *memory)
{
    for (size_t i = 0; i < memory->n; i++)
        os_unmap(&memory->slots[i].map);
    memory->n = 0;
}

void vhu_memory_free(vhu_memory *memory)
{
    if (memory)
        unmap_all(memory);
    free(memory);
}

/* Index of the first region that begins above `guest_addr`: what holds it is the one before. */
static size_t upper_bound(const vhu_memory *memory, uint64_t guest_addr)
{
    size_t low = 0, n = memory->n;

    while (n > 0) {
        size_t half = (n + 1) / 2;

        /* As a sum, without a branch: nobody can predict where the next address is. */
        low += memory->slots[low + half - 1].guest_addr <= guest_addr ? half : 0;
        n -= half;
    }
    return low;
}

/* Whether one more region fits in; to be asked before anything is mapped. */
static int check(const vhu_memory *memory, const vhu_mem_region *new)
{
    uint64_t end;

    if (new->size == 0 || !vhu__add_u64(new->guest_addr, new->size, &end) ||
        !vhu__add_u64(new->user_addr, new->size, &end))
        return VHU_EINVAL;
    if (memory->n == VHU_MAX_MEM_SLOTS || new->size > SIZE_MAX)
        return VHU_EOVERFLOW;
    for (size_t i = 0; i < memory->n; i++) {
        const slot *s = &memory->slots[i];

        if (vhu__ranges_meet(s->guest_addr, s->size, new->guest_addr, new->size) ||
            vhu__ranges_meet(s->user_addr, s->size, new->user_addr, new->size))
            return VHU_EINVAL;
    }
    return 0;
}

static void insert(vhu_memory *memory, const vhu_mem_region *new, void *base, os_map map)
{
    size_t at = upper_bound(memory, new->guest_addr);
    slot *s = &memory->slots[at];

    memmove(s + 1, s, (memory->n - at) * sizeof(*s));
    memory->n++;
    *s = (slot){.guest_addr = new->guest_addr,
                .user_addr = new->user_addr,
                .size = new->size,
                .base = base,
                .map = map};
}

static int add_mapped(vhu_memory *memory, const vhu_mem_region *new, vhu_handle handle)
{
    os_map map = {0};
    void *base;
    int r = check(memory, new);

    if (r == 0)
        r = os_map_shared(&map, handle, new->mmap_offset, new->size, &base);
    if (r == 0)
        insert(memory, new, base, map);
    return r;
}

int vhu_memory_add(vhu_memory *memory, const vhu_mem_region *region, vhu_handle *handle)
{
    int r = add_mapped(memory, region, *handle);

    if (r == 0)
        vhu_handle_close(handle);
    return r;
}

int vhu_memory_add_local(vhu_memory *memory, const vhu_mem_region *region, void *base)
{
    int r = base ? check(memory, region) : VHU_EINVAL;

    if (r == 0)
        insert(memory, region, base, (os_map){0});
    return r;
}

int vhu_memory_remove(vhu_memory *memory, const vhu_mem_region *gone)
{
    size_t after = upper_bound(memory, gone->guest_addr);
    slot *s;

    if (after == 0)
        return VHU_ENOENT;
    s = &memory->slots[after - 1];
    if (s->guest_addr != gone->guest_addr || s->user_addr != gone->user_addr ||
        s->size != gone->size)
        return VHU_ENOENT;
    os_unmap(&s->map);
    memmove(s, s + 1, (memory->n - after) * sizeof(*s));
    memory->n--;
    return 0;
}

int vhu_memory_replace(vhu_memory *memory, const vhu_mem_region *regions, size_t n,
                       vhu_handle *handles)
{
    vhu_memory *next;
    int r;

    /* None are left: that cannot fail. */
    if (n == 0) {
        unmap_all(memory);
        return 0;
    }
    r = vhu_memory_new(&next);
    for (size_t i = 0; r == 0 && i < n; i++)
        r = add_mapped(next, &regions[i], handles[i]);
    if (r == 0) {
        unmap_all(memory);
        memory->n = next->n;
        memcpy(memory->slots, next->slots, next->n * sizeof(next->slots[0]));
        next->n = 0;
        for (size_t i = 0; i < n; i++)
            vhu_handle_close(&handles[i]);
    }
    vhu_memory_free(next);
    return r;
}

bool vhu__memory_map(const vhu_memory *memory, size_t i, void **base, size_t *len)
{
    if (i >= memory->n)
        return false;
    *base = memory->slots[i].map.base;
    *len = memory->slots[i].map.len;
    return true;
}

size_t vhu_memory_count(const vhu_memory *memory)
{
    return memory->n;
}

uint64_t vhu__memory_end(const vhu_memory *memory)
{
    const slot *last = &memory->slots[memory->n - (memory->n > 0)];

    return memory->n > 0 ? last->guest_addr + last->size : 0;
}

uint64_t vhu__memory_look(const vhu_memory *memory, vhu__window *window, uint64_t addr,
                          uint64_t len)
{
    size_t after = upper_bound(memory, addr);
    const slot *s = &memory->slots[after - (after > 0)];
    uint64_t offset = addr - s->guest_addr;

    if (after == 0 || offset >= s->size)
        return 0;
    *window = vhu__window_make(s->guest_addr, s->size, s->base);
    return len < s->size - offset ? len : s->size - offset;
}

void *vhu_memory_at(const vhu_memory *memory, uint64_t guest_addr, uint64_t len)
{
    vhu__window window;

    len += len == 0;
    return vhu__memory_look(memory, &window, guest_addr, len) == len
               ? vhu__window_at(&window, guest_addr)
               : NULL;
}

uint64_t vhu__memory_look_user(const vhu_memory *memory, vhu__window *window, uint64_t addr,
                               uint64_t len)
{
    for (size_t i = 0; i < memory->n; i++) {
        const slot *s = &memory->slots[i];
        uint64_t offset = addr - s->user_addr;

        if (offset >= s->size)
            continue;
        *window = vhu__window_make(s->user_addr, s->size, s->base);
        return len < s->size - offset ? len : s->size - offset;
    }
    return 0;
}

void *vhu_memory_at_user(const vhu_memory *memory, uint64_t user_addr, uint64_t len)
{
    vhu__window window = {0};

    len += len == 0;
    return vhu__memory_look_user(memory, &window, user_addr, len) == len
               ? vhu__window_at(&window, user_addr)
               : NULL;
}

int vhu_memory_guest_addr(const vhu_memory *memory, const void *pointer, uint64_t *guest_addr)
{
    for (size_t i = 0; i < memory->n; i++) {
        const slot *s = &memory->slots[i];
        uintptr_t offset = (uintptr_t)pointer - (uintptr_t)s->base;

        if (offset < s->size) {
            *guest_addr = s->guest_addr + offset;
            return 0;
        }
    }
    return VHU_EFAULT;
}
