/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit's dirty log against memory itself: what a turn of the device has changed there is
 * on logged pages, whatever was negotiated and whatever the driver asks for.
 */
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/shm.h>

#include "test_device_fixture.h"
#include "util.h"

#define PAGE UINT64_C(4096)

/* More descriptors than a page holds, and rounds enough for a second lap. */
enum {
    RING_SIZE = 512,
    ROUNDS = 64,
    BATCH = 8,
    MOST_BUFS = 4,
    MOST_BYTES = 6000,
    MOST_PIECES = 16
};

typedef struct rig {
    kit *k;
    vhu_shm *log;    /* with a bit for each page from 0 on */
    uint8_t *before; /* all of memory */
    uint32_t seed;
} rig;

static uint32_t draw(rig *r, uint32_t below)
{
    r->seed = r->seed * 1664525u + 1013904223u;
    return (r->seed >> 8) % below;
}

static const vhu_mem_region *region_of(const rig *r)
{
    return &r->k->front.memory.regions[0];
}

static uint64_t end_of(const vhu_mem_region *region)
{
    return region->guest_addr + region->size;
}

/* --- a device that changes each byte it tells of: nothing, some, or all of a request --- */

static void scribble(vhu_chain *chain)
{
    uint64_t left = chain->writable_len * (chain->head % 4) / 3;

    chain->written = (uint32_t)left;
    for (const vhu_buf *buf = chain->bufs + chain->num_readable; left > 0; buf++) {
        size_t n = left < buf->len ? (size_t)left : buf->len;

        for (size_t i = 0; i < n; i++)
            ((uint8_t *)buf->base)[i]++;
        left -= n;
    }
}

/* In two batches, the last that came first. */
static void handle_ring(void *self, vhu_ring *ring)
{
    vhu_buf bufs[BATCH][MOST_PIECES];
    vhu_chain taken[BATCH], done[BATCH];
    uint32_t n;

    (void)self;
    for (uint32_t i = 0; i < BATCH; i++)
        taken[i] = (vhu_chain){.bufs = bufs[i], .capacity = MOST_PIECES};
    n = vhu_ring_take(ring, taken, BATCH);
    for (uint32_t i = 0; i < n; i++) {
        scribble(&taken[i]);
        done[n - 1 - i] = taken[i];
    }
    vhu_ring_complete(ring, done, n / 2);
    vhu_ring_complete(ring, done + n / 2, n - n / 2);
    vhu_ring_flush(ring);
}

static const vhu_device_ops scribbler = {.size = sizeof(scribbler), .handle_ring = handle_ring};

/* --- a driver that asks for anything anywhere --- */

static int add(rig *r)
{
    frontend *f = &r->k->front;
    driver_ring *ring = &f->rings[0].driver;
    const uint32_t room = (uint32_t)(end_of(region_of(r)) - ring->end_addr) - MOST_BYTES;
    const bool indirect = (f->features & VHU_BIT(VHU_F_RING_INDIRECT_DESC)) != 0;
    driver_buf bufs[MOST_BUFS];
    uint32_t n = 1 + draw(r, MOST_BUFS);
    uint32_t readable = draw(r, n + 1);

    for (uint32_t i = 0; i < n; i++)
        bufs[i] = (driver_buf){.addr = ring->end_addr + draw(r, room),
                               .len = 1 + draw(r, MOST_BYTES),
                               .writable = i >= readable};
    return indirect && draw(r, 2) ? driver_ring_add_indirect(ring, bufs, n)
                                  : driver_ring_add(ring, bufs, n);
}

static uint32_t submit(rig *r)
{
    frontend_ring *ring = &r->k->front.rings[0];
    uint32_t wanted = 1 + draw(r, 2 * BATCH);
    uint32_t n = 0;

    while (n < wanted && add(r) >= 0)
        n++;
    driver_ring_publish(&ring->driver);
    assert_int_equal(vhu_event_signal(ring->kick), 0);
    return n;
}

static uint32_t reap(rig *r)
{
    uint32_t n = 0;

    while (driver_ring_reap(&r->k->front.rings[0].driver, NULL) >= 0)
        n++;
    return n;
}

/* --- before and after --- */

static uint64_t log_size(const rig *r)
{
    return end_of(region_of(r)) / PAGE / 8;
}

static void look(rig *r)
{
    memcpy(r->before, r->k->front.memory.base, r->k->front.memory.size);
    memset(vhu_shm_base(r->log), 0, log_size(r));
}

static bool is_logged(const rig *r, uint64_t addr)
{
    const uint8_t *bits = vhu_shm_base(r->log);

    return bits[addr / PAGE / 8] >> addr / PAGE % 8 & 1;
}

static void expect_logged(const rig *r)
{
    const driver_memory *memory = &r->k->front.memory;
    const vhu_mem_region *region = region_of(r);

    for (uint64_t at = 0; at < region->size; at += PAGE) {
        const uint8_t *now = driver_memory_at(memory, region->guest_addr + at);

        if (memcmp(now, r->before + (now - memory->base), PAGE) != 0 &&
            !is_logged(r, region->guest_addr + at))
            fail_msg("features 0x%llx: the page at 0x%llx has changed and is not in the log",
                     (unsigned long long)r->k->front.features, (unsigned long long)at);
    }
}

/* --- */

/* As QEMU does when it stops the guest, and lets it go on after all. */
static void stop_and_go(kit *k)
{
    frontend *f = &k->front;
    uint32_t base = frontend_base(f, 0);

    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, 0, base), 0);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 0);
}

static void start_log(rig *r)
{
    frontend *f = &r->k->front;
    const vhu_log_area area = {.size = log_size(r)};
    vhu_handle handle;

    assert_int_equal(vhu_shm_new(&r->log, area.size), 0);
    handle = vhu_shm_handle(r->log);
    frontend_send(f, VHU_REQ_SET_LOG_BASE, 0, &area, sizeof(area), &handle, 1);
    assert_int_equal(frontend_recv(f, VHU_REQ_SET_LOG_BASE, NULL, 0), 0);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features | VHU_BIT(VHU_F_LOG_ALL)),
                     0);
    assert_int_equal(frontend_log_addr(f, 0, VHU_VRING_F_LOG, f->rings[0].driver.used_addr), 0);
}

static void rig_open(rig *r, uint64_t features)
{
    const kit_options options = {
        .workers = 1, .rings = 1, .size = RING_SIZE, .ops = &scribbler, .features = features};
    frontend *f;
    driver_ring *ring;

    *r = (rig){.k = kit_new(&options), .seed = (uint32_t)(features >> 24)};
    f = &r->k->front;
    f->iommu.perm = VHU_IOTLB_RW; /* one page may be read and written */
    f->features = features | VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_PROTOCOL_FEATURES);
    ring = &f->rings[0].driver;
    assert_int_equal(driver_ring_init(ring, &f->memory, ring->desc_addr, RING_SIZE, f->features),
                     0);
    frontend_handshake(f, FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_LOG_SHMFD));
    frontend_share(f, 1);
    frontend_start_ring(f, 0, driver_ring_base(ring));
    start_log(r);
    r->before = malloc(f->memory.size);
    assert_non_null(r->before);
}

static void rig_close(rig *r)
{
    free(r->before);
    kit_free(r->k);
    vhu_shm_free(r->log);
}

static void each_page(uint64_t features)
{
    rig r;

    rig_open(&r, features);
    for (int i = 0; i < ROUNDS; i++) {
        uint32_t n = submit(&r);

        look(&r);
        if (i % 8 == 0)
            stop_and_go(r.k);
        kit_turn(r.k);
        expect_logged(&r);
        assert_int_equal(reap(&r), n);
    }
    assert_int_equal(r.k->logged, 0);
    rig_close(&r);
}

static void test_each_page(void **state)
{
    static const int bits[] = {VHU_F_RING_PACKED, VHU_F_RING_EVENT_IDX, VHU_F_RING_INDIRECT_DESC,
                               VHU_F_IN_ORDER, VHU_F_ACCESS_PLATFORM};

    (void)state;
    for (uint32_t chosen = 0; chosen < 1u << VHU__COUNT(bits); chosen++) {
        uint64_t features = 0;

        for (uint32_t i = 0; i < VHU__COUNT(bits); i++)
            features |= chosen >> i & 1 ? VHU_BIT(bits[i]) : 0;
        each_page(features);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_each_page)};

    return cmocka_run_group_tests_name("device_log_pages", tests, NULL, NULL);
}
