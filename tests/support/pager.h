/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The pages of a guest in postcopy, on Linux: kept back from memory that is shared with a device,
 * and brought by a thread when the device misses them.
 */
#ifndef TEST_PAGER_H
#define TEST_PAGER_H

#include <stdatomic.h>
#include <uv.h>
#include <vmm_vhost/event.h>

enum { PAGER_PAGE = 4096 };

typedef struct pager {
    int uffd;      /* the pager's to close; VHU_NO_HANDLE: none came yet */
    int memory;    /* not the pager's */
    uint64_t base; /* where the device has it */
    uint64_t size;
    uint8_t *kept;
    uint8_t *missing; /* by page */
    uv_thread_t thread;
    vhu_event *stop; /* NULL: it brings nothing */
    atomic_uint brought;
} pager;

void pager_open(pager *p, int memory, uint64_t size);
/* Stops bringing. */
void pager_close(pager *p);

/* Keep back what is there. */
void pager_hide(pager *p, uint64_t offset, uint64_t len);

/* Bring what is missed, from now on, or no longer; and all the rest at once. */
void pager_start(pager *p);
void pager_stop(pager *p);
void pager_finish(pager *p);

/* The device misses a page now, that nobody brings. */
bool pager_is_missed(const pager *p);

#endif
