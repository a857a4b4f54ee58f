/* SPDX-License-Identifier: BSD-3-Clause */
/* The floor: what a back-end that knows its ring cannot do without, written by hand. */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

#include <vmm_vhost/queue.h>

#include "atomic.h"
#include "support/driver_ring.h"
#include "util.h"

#define FLOOR_MAX_BUFS 16u

typedef struct floor_request {
    vhu_buf bufs[FLOOR_MAX_BUFS];
    uint32_t out, in;
    uint16_t head;
    uint16_t span; /* packed */
    uint32_t written;
} floor_request;

typedef struct floor_window {
    uint64_t guest_addr, size;
    uint8_t *base;
} floor_window;

typedef struct floor_ring {
    const vhu__desc *desc;
    const vhu__avail *avail;
    vhu__used *used;
    uint32_t num;
    uint16_t avail_idx, used_idx, called_idx;
    vhu__packed_desc *packed;
    const vhu__packed_event *event;
    bool avail_wrap, used_wrap;
    uint32_t uncalled;
    floor_window hit;
    size_t num_regions;
    floor_window regions[DRIVER_MAX_REGIONS];
} floor_ring;

static inline bool floor_has(const floor_window *w, uint64_t addr, uint64_t len)
{
    uint64_t offset = addr - w->guest_addr;

    return offset < w->size && len <= w->size - offset;
}

static inline bool floor_search(const floor_ring *ring, floor_window *w, uint64_t addr,
                                uint64_t len)
{
    for (size_t i = 0; i < ring->num_regions; i++) {
        if (floor_has(&ring->regions[i], addr, len)) {
            *w = ring->regions[i];
            return true;
        }
    }
    return false;
}

static inline bool floor_walk(const floor_ring *ring, floor_request *request, floor_window *w)
{
    const vhu__desc *table = ring->desc, *d;
    uint32_t count = ring->num, i = request->head, n = 0, out = 0;

    for (;;) {
        if (i >= count || n >= FLOOR_MAX_BUFS)
            return false;
        d = &table[i];
        if (vhu__unlikely(!floor_has(w, d->addr, d->len)) &&
            !floor_search(ring, w, d->addr, d->len))
            return false;
        if (d->flags & VHU__DESC_INDIRECT) {
            table = (const vhu__desc *)(const void *)(w->base + (d->addr - w->guest_addr));
            count = d->len / (uint32_t)sizeof(*d);
            i = 0;
            continue;
        }
        request->bufs[n++] = (vhu_buf){w->base + (d->addr - w->guest_addr), d->len};
        if (!(d->flags & VHU__DESC_WRITE))
            out = n;
        if (!(d->flags & VHU__DESC_NEXT))
            break;
        i = d->next;
    }
    request->out = out;
    request->in = n - out;
    return true;
}

static inline uint32_t floor_take(floor_ring *ring, floor_request *requests, uint32_t n)
{
    const vhu__avail *ring_avail = ring->avail;
    uint16_t idx = ring->avail_idx;
    uint16_t avail = (uint16_t)(vhu__load_acquire_u16(&ring_avail->idx) - idx);
    uint32_t mask = ring->num - 1, i;
    floor_window w = ring->hit;

    if (n > avail)
        n = avail;
    for (i = 0; i < n; i++, idx++) {
        requests[i].head = ring_avail->ring[idx & mask];
        if (!floor_walk(ring, &requests[i], &w))
            break;
    }
    ring->hit = w;
    ring->avail_idx = idx;
    return i;
}

static inline void floor_complete(floor_ring *ring, const floor_request *requests, uint32_t n)
{
    vhu__used *used = ring->used;
    uint16_t idx = ring->used_idx;
    uint32_t mask = ring->num - 1;

    for (uint32_t i = 0; i < n; i++)
        used->ring[idx++ & mask] = (vhu__used_elem){requests[i].head, requests[i].written};
    ring->used_idx = idx;
    vhu__store_release_u16(&used->idx, idx);
}

static inline bool floor_needs_call(floor_ring *ring)
{
    uint16_t old = ring->called_idx, new = ring->used_idx;

    vhu__full_fence();
    ring->called_idx = new;
    return (uint16_t)(new - vhu__load_relaxed_u16(&ring->avail->ring[ring->num]) - 1) <
           (uint16_t)(new - old);
}

/* --- a packed ring --- */

static inline bool floor_add(const floor_ring *ring, floor_request *request, floor_window *w,
                             uint32_t n, const vhu__packed_desc *d)
{
    if (n >= FLOOR_MAX_BUFS ||
        (vhu__unlikely(!floor_has(w, d->addr, d->len)) && !floor_search(ring, w, d->addr, d->len)))
        return false;
    request->bufs[n] = (vhu_buf){w->base + (d->addr - w->guest_addr), d->len};
    if (!(d->flags & VHU__DESC_WRITE))
        request->out = n + 1;
    return true;
}

static inline bool floor_walk_packed(floor_ring *ring, floor_request *request, floor_window *w)
{
    uint32_t n = 0, idx = ring->avail_idx, count = 1;
    const vhu__packed_desc *d = &ring->packed[idx];

    request->out = 0;
    request->span = 1;
    if (d->flags & VHU__DESC_INDIRECT) {
        if (vhu__unlikely(!floor_has(w, d->addr, d->len)) &&
            !floor_search(ring, w, d->addr, d->len))
            return false;
        request->head = d->id;
        count = d->len / (uint32_t)sizeof(*d);
        d = (const vhu__packed_desc *)(const void *)(w->base + (d->addr - w->guest_addr));
        for (; n < count; n++, d++) {
            if (!floor_add(ring, request, w, n, d))
                return false;
        }
        idx++;
    } else {
        for (;;) {
            if (!floor_add(ring, request, w, n++, d))
                return false;
            idx++;
            if (!(d->flags & VHU__DESC_NEXT))
                break;
            d = &ring->packed[idx < ring->num ? idx : idx - ring->num];
        }
        request->head = d->id;
        request->span = (uint16_t)n;
    }
    request->in = n - request->out;
    if (idx >= ring->num) {
        idx -= ring->num;
        ring->avail_wrap = !ring->avail_wrap;
    }
    ring->avail_idx = (uint16_t)idx;
    return true;
}

static inline uint32_t floor_take_packed(floor_ring *ring, floor_request *requests, uint32_t n)
{
    floor_window w = ring->hit;
    uint32_t i;

    for (i = 0; i < n; i++) {
        uint16_t flags = vhu__load_acquire_u16(&ring->packed[ring->avail_idx].flags);

        if ((flags & VHU__PACKED_MARKS) !=
                (ring->avail_wrap ? VHU__PACKED_AVAIL : VHU__PACKED_USED) ||
            !floor_walk_packed(ring, &requests[i], &w))
            break;
    }
    ring->hit = w;
    return i;
}

static inline void floor_complete_packed(floor_ring *ring, const floor_request *requests,
                                         uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        vhu__packed_desc *d = &ring->packed[ring->used_idx];
        uint32_t idx = ring->used_idx + (uint32_t)requests[i].span;

        d->id = requests[i].head;
        d->len = requests[i].written;
        vhu__store_release_u16(&d->flags, (uint16_t)((ring->used_wrap ? VHU__PACKED_MARKS : 0) |
                                                     (requests[i].written ? VHU__DESC_WRITE : 0)));
        ring->uncalled += requests[i].span;
        if (idx >= ring->num) {
            idx -= ring->num;
            ring->used_wrap = !ring->used_wrap;
        }
        ring->used_idx = (uint16_t)idx;
    }
}

static inline bool floor_needs_call_packed(floor_ring *ring)
{
    uint32_t event, passed, n = ring->uncalled;

    vhu__full_fence();
    ring->uncalled = 0;
    if (vhu__load_acquire_u16(&ring->event->flags) != VHU__EVENT_DESC)
        return true;
    event = vhu__load_relaxed_u16(&ring->event->position);
    passed = ring->used_idx - (event & VHU__POS_IDX);
    if ((event >> 15 != 0) != ring->used_wrap)
        passed += ring->num;
    return passed - 1 < n;
}

#endif
