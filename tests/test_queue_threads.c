/* SPDX-License-Identifier: BSD-3-Clause */
/* A driver and a device in two threads, which sleep whenever there is nothing to do. */
#include <uv.h>
#include <vmm_vhost/event.h>

#include "atomic.h"
#include "support/queue_rig.h"
#include "util.h"

enum { REQUESTS = 30000 };

typedef struct duel {
    rig *r;
    vhu_event *kick, *call;
    bool failed;
} duel;

/* The device: adds one to what it reads. Sleeps whenever there is nothing. */
static void run_device(void *arg)
{
    duel *d = arg;
    rig *r = d->r;

    for (uint32_t done = 0; done < REQUESTS;) {
        int n = take(r, CHAINS);

        d->failed = n < 0;
        if (d->failed)
            return;
        for (int i = 0; i < n; i++) {
            const vhu_chain *c = &r->chains[i];

            *(uint32_t *)c->bufs[1].base = *(uint32_t *)c->bufs[0].base + 1;
            r->chains[i].written = 4;
        }
        vhu_queue_complete(r->queue, r->chains, (uint32_t)n);
        if (vhu_queue_needs_call(r->queue))
            vhu_event_signal(d->call);
        done += (uint32_t)n;
        if (n == 0 && !vhu_queue_enable_kicks(r->queue)) {
            vhu_event_wait(d->kick, -1);
            vhu_event_clear(d->kick);
        }
        vhu_queue_disable_kicks(r->queue);
    }
}

static uint64_t slot_addr(const rig *r, int head)
{
    return r->data + (uint64_t)head * 64;
}

static void drive(duel *d)
{
    rig *r = d->r;
    uint32_t sent = 0, done = 0;

    while (done < REQUESTS) {
        int head;
        bool any = false;

        while (sent < REQUESTS && r->ring.num_free >= 2) {
            uint64_t at = slot_addr(r, r->ring.free);
            const driver_buf bufs[] = {{at, 4, false}, {at + 8, 4, true}};

            *(uint32_t *)driver_memory_at(&r->memory, at) = sent++;
            if (sent % 3 == 0)
                driver_ring_add_indirect(&r->ring, bufs, 2);
            else
                driver_ring_add(&r->ring, bufs, 2);
        }
        if (driver_ring_publish(&r->ring))
            vhu_event_signal(d->kick);
        driver_ring_enable_calls(&r->ring, false);
        while ((head = driver_ring_reap(&r->ring, NULL)) >= 0) {
            const uint32_t *data = driver_memory_at(&r->memory, slot_addr(r, head));

            assert_int_equal(data[2], data[0] + 1);
            done++;
            any = true;
        }
        if (any || done == REQUESTS)
            continue;
        driver_ring_enable_calls(&r->ring, true);
        if (!driver_ring_has_used(&r->ring)) {
            vhu_event_wait(d->call, -1);
            vhu_event_clear(d->call);
        }
    }
}

static void test_two_threads(void **state)
{
    static const struct {
        uint64_t features;
        uint16_t index;
    } rings[] = {{VHU_BIT(VHU_F_RING_INDIRECT_DESC), 60000},
                 {SPLIT, 60000},
                 {VHU_BIT(VHU_F_RING_INDIRECT_DESC) | PLAIN_PACKED, VHU__POS_START},
                 {PACKED, 31}};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rings); i++) {
        duel d = {.r = rig_new_at(32, rings[i].features, rings[i].index)};
        uv_thread_t device;

        assert_int_equal(vhu_event_new(&d.kick), 0);
        assert_int_equal(vhu_event_new(&d.call), 0);
        assert_int_equal(uv_thread_create(&device, run_device, &d), 0);
        drive(&d);
        uv_thread_join(&device);
        assert_false(d.failed);
        vhu_event_free(d.call);
        vhu_event_free(d.kick);
        rig_free(d.r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_two_threads),
    };

    return cmocka_run_group_tests_name("queue_threads", tests, NULL, NULL);
}
