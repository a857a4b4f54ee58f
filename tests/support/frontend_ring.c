/* SPDX-License-Identifier: BSD-3-Clause */
/* The drivers of a small VMM. On any thread: nothing is asserted here. */
#include <string.h>
#include <vmm_vhost/wait.h>

#include "support/frontend.h"

/* Long enough for any machine: what has not come by then never will. */
enum { LOST_MS = 60000 };

static void wrong(frontend_ring *r, const char *why)
{
    if (!r->error)
        r->error = why;
}

bool frontend_signalled(vhu_event *event)
{
    return vhu_event_clear(event) == 0;
}

static frontend_slot *slot_of(const frontend_ring *r, uint32_t head)
{
    return driver_memory_at(r->driver.memory, r->data + (uint64_t)head * FRONTEND_SLOT);
}

uint32_t frontend_submit(frontend_ring *r, uint32_t n)
{
    driver_ring *d = &r->driver;
    bool indirect = d->tables_addr < d->end_addr;
    uint32_t i;

    for (i = 0; i < n && d->num_free >= 2; i++) {
        uint32_t head = d->free;
        uint64_t at = r->data + (uint64_t)head * FRONTEND_SLOT;
        const driver_buf bufs[] = {{at, 16, false}, {at + 16, 16, true}};

        *slot_of(r, head) = (frontend_slot){.seq = r->submitted, .ring = r->index};
        r->seq_of[head] = r->submitted;
        if (indirect && r->submitted % 3 == 0)
            driver_ring_add_indirect(d, bufs, 2);
        else
            driver_ring_add(d, bufs, 2);
        r->submitted++;
    }
    if (i > 0 && driver_ring_publish(d))
        vhu_event_signal(r->kick);
    return i;
}

static void check(frontend_ring *r, int head, uint32_t len)
{
    const frontend_slot *slot;
    uint64_t seq;

    if ((uint32_t)head >= r->driver.num || r->seq_of[head] == UINT64_MAX) {
        wrong(r, "a request was done twice, or never asked for");
        return;
    }
    seq = r->seq_of[head];
    slot = slot_of(r, (uint32_t)head);
    r->seq_of[head] = UINT64_MAX;
    if (len != 16)
        wrong(r, "wrong length");
    if (slot->seq != seq || slot->answer != ~seq || slot->again != seq + r->index)
        wrong(r, "wrong answer");
    if (r->in_order && seq != r->reaped)
        wrong(r, "out of order");
}

uint32_t frontend_reap(frontend_ring *r)
{
    uint32_t n = 0;
    uint32_t len;
    int head;

    while ((head = driver_ring_reap(&r->driver, &len)) >= 0) {
        check(r, head, len);
        r->reaped++;
        n++;
        if (r->error)
            break;
    }
    return n;
}

/* --- events that are changed under way --- */

static void change_over(frontend_ring *r)
{
    vhu_event *call = atomic_exchange(&r->next_call, NULL);
    vhu_event *kick = atomic_exchange(&r->next_kick, NULL);

    /* What was signalled on the old one is lost, as with a guest whose interrupt was masked. */
    if (call) {
        vhu_event_free(r->call);
        r->call = call;
    }
    /* What was kicked on the old one may be. */
    if (kick) {
        vhu_event_free(r->kick);
        r->kick = kick;
        vhu_event_signal(kick);
    }
}

static void swap(frontend_ring *r, _Atomic(vhu_event *) *next, vhu_event *event)
{
    vhu_event_free(atomic_exchange(next, event));
    vhu_event_signal(r->poke);
}

void frontend_swap_call(frontend_ring *r, vhu_event *event)
{
    swap(r, &r->next_call, event);
}

void frontend_swap_kick(frontend_ring *r, vhu_event *event)
{
    swap(r, &r->next_kick, event);
}

bool frontend_sleep(frontend_ring *r)
{
    for (;;) {
        vhu_wait waits[] = {{vhu_event_wait_handle(r->poke), VHU_WAIT_READ, false},
                            {vhu_event_wait_handle(r->call), VHU_WAIT_READ, false}};

        if (vhu_wait_any(waits, 2, LOST_MS) < 0) {
            wrong(r, "a call was lost");
            return false;
        }
        /* The wait may have taken a signal already. */
        if (waits[0].ready) {
            vhu_event_clear(r->poke);
            change_over(r);
        } else if (waits[1].ready) {
            vhu_event_clear(r->call);
            return true;
        }
    }
}

bool frontend_run(frontend_ring *r, uint64_t n, uint32_t depth)
{
    uint64_t end = r->reaped + n;

    while (r->reaped < end && !r->error) {
        uint64_t out = r->submitted - r->reaped;
        uint64_t left = end - r->submitted;
        uint32_t done;

        if (out < depth && left > 0)
            frontend_submit(r, left < depth - out ? (uint32_t)left : (uint32_t)(depth - out));
        driver_ring_enable_calls(&r->driver, false);
        done = frontend_reap(r);
        if (done > 0)
            continue;
        driver_ring_enable_calls(&r->driver, true);
        if (frontend_reap(r) == 0 && !r->error)
            frontend_sleep(r);
    }
    return !r->error;
}
