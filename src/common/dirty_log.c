/* SPDX-License-Identifier: BSD-3-Clause */
#include "dirty_log.h"

#include <stdlib.h>

#include "atomic.h"
#include "endian.h"
#include "os.h"
#include "util.h"

enum { WORD_BITS = 64, BYTE_BITS = 8 };

/*
 * Seen as words. The area need not begin or end with one: what else is in its first and last words
 * is mapped, since pages are made of words, and stays as it is.
 */
struct vhu__dirty_log {
    os_map map;
    uint64_t *words;
    uint64_t first; /* bit of the guest's first page, in words[0] */
    uint64_t pages; /* that have one */
};

int vhu__dirty_log_open(vhu__dirty_log **out, const vhu_log_area *area, vhu_handle *handle)
{
    vhu__dirty_log *log;
    void *base;
    uintptr_t lead;
    int r;

    if (area->size == 0 || area->size > UINT64_MAX / BYTE_BITS)
        return VHU_EINVAL;
    log = calloc(1, sizeof(*log));
    if (!log)
        return VHU_ENOMEM;
    r = os_map_shared(&log->map, *handle, area->offset, area->size, &base);
    if (r < 0) {
        free(log);
        return r;
    }
    vhu_handle_close(handle);
    lead = (uintptr_t)base % sizeof(uint64_t);
    log->words = (uint64_t *)((uintptr_t)base - lead);
    log->first = lead * BYTE_BITS;
    log->pages = area->size * BYTE_BITS;
    *out = log;
    return 0;
}

void vhu__dirty_log_close(vhu__dirty_log *log)
{
    if (log)
        os_unmap(&log->map);
    free(log);
}

/* --- pages to words --- */

bool vhu__dirty_log_covers(const vhu__dirty_log *log, uint64_t guest_addr, uint64_t len)
{
    uint64_t end;

    if (len == 0)
        return true;
    return vhu__add_u64(guest_addr, len - 1, &end) && end / VHU__LOG_PAGE < log->pages;
}

/* Bits from `next` on, before `end`. */
typedef struct span {
    uint64_t next;
    uint64_t end;
} span;

static span span_of(const vhu__dirty_log *log, uint64_t guest_addr, uint64_t len)
{
    uint64_t first = guest_addr / VHU__LOG_PAGE;
    uint64_t last;

    if (len == 0 || first >= log->pages)
        return (span){0, 0};
    if (!vhu__add_u64(guest_addr, len - 1, &last))
        last = UINT64_MAX;
    last /= VHU__LOG_PAGE;
    if (last >= log->pages)
        last = log->pages - 1;
    return (span){log->first + first, log->first + last + 1};
}

/* The span's bits in its next word, behind which it goes on. Not of one that is empty. */
static uint64_t next_mask(span *s)
{
    uint64_t bit = s->next % WORD_BITS;
    uint64_t n = s->end - s->next < WORD_BITS - bit ? s->end - s->next : WORD_BITS - bit;

    s->next += n;
    return UINT64_MAX >> (WORD_BITS - n) << bit;
}

void vhu__dirty_log_mark(vhu__dirty_log *log, uint64_t guest_addr, uint64_t len)
{
    span s = span_of(log, guest_addr, len);

    while (s.next < s.end) {
        uint64_t *word = &log->words[s.next / WORD_BITS];

        vhu__or_release_u64(word, vhu__le64(next_mask(&s)));
    }
}

/* --- words to runs of pages --- */

typedef struct teller {
    vhu__dirty_fn fn;
    void *arg;
    uint64_t addr; /* of a run that was not told yet */
    uint64_t len;
} teller;

static void tell(teller *t)
{
    if (t->len > 0)
        t->fn(t->arg, t->addr, t->len);
    t->len = 0;
}

static void tell_page(teller *t, uint64_t page)
{
    uint64_t addr = page * VHU__LOG_PAGE;

    if (t->len == 0 || addr != t->addr + t->len) {
        tell(t);
        t->addr = addr;
    }
    t->len += VHU__LOG_PAGE;
}

void vhu__dirty_log_take(vhu__dirty_log *log, uint64_t guest_addr, uint64_t len, vhu__dirty_fn fn,
                         void *arg)
{
    span s = span_of(log, guest_addr, len);
    teller t = {.fn = fn, .arg = arg};

    while (s.next < s.end) {
        uint64_t index = s.next / WORD_BITS;
        uint64_t *word = &log->words[index];
        uint64_t mask = next_mask(&s);
        uint64_t page = index * WORD_BITS - log->first;
        uint64_t dirty = vhu__le64(vhu__load_relaxed_u64(word)) & mask;

        /* Most words of a guest are clean. */
        if (dirty != 0)
            dirty = vhu__le64(vhu__and_acquire_u64(word, vhu__le64(~mask))) & mask;
        for (; dirty != 0; dirty >>= 1, page++) {
            if (dirty & 1)
                tell_page(&t, page);
        }
    }
    tell(&t);
}
