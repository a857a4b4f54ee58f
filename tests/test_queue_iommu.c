/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A ring whose addresses are translated. I/O virtual addresses are those that the driver's memory
 * has for the guest; what they stand for is up to each test.
 */
#include <stdlib.h>
#include <string.h>

#include "queue_internal.h"
#include "support/queue_rig.h"

enum { RO = VHU_IOTLB_RO, WO = VHU_IOTLB_WO, RW = VHU_IOTLB_RW, PAGE = 4096 };

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)

typedef struct iommu_rig {
    rig *r;
    vhu__iotlb *iotlb;
} iommu_rig;

static void map(iommu_rig *i, uint64_t iova, uint64_t size, uint64_t guest_addr, uint8_t perm)
{
    const vhu_iotlb_msg msg = {
        iova, size, driver_memory_user(&i->r->memory, guest_addr), perm, VHU_IOTLB_UPDATE, {0}};

    vhu__iotlb_update(i->iotlb, &msg);
}

static void map_page(iommu_rig *i, uint64_t iova, uint8_t perm)
{
    map(i, iova & ~(uint64_t)(PAGE - 1), PAGE, iova & ~(uint64_t)(PAGE - 1), perm);
}

static void map_ring(iommu_rig *i)
{
    const driver_ring *ring = &i->r->ring;

    map(i, ring->desc_addr, ring->end_addr - ring->desc_addr, ring->desc_addr, RW);
}

static int start(iommu_rig *i)
{
    return vhu_queue_start(i->r->queue, &i->r->config);
}

/* Nothing is mapped, and the queue not started. */
static iommu_rig *stopped(uint64_t features)
{
    iommu_rig *i = calloc(1, sizeof(*i));
    rig *r = rig_new(16, features);

    assert_non_null(i);
    i->r = r;
    assert_int_equal(vhu__iotlb_new(&i->iotlb), 0);
    assert_int_equal(vhu__queue_set_iotlb(r->queue, i->iotlb), VHU_ESTATE);
    vhu_queue_stop(r->queue);
    assert_int_equal(vhu__queue_set_iotlb(r->queue, i->iotlb), 0);
    r->config.features |= PLATFORM;
    r->config.addr.desc = r->ring.desc_addr;
    r->config.addr.avail = r->ring.avail_addr;
    r->config.addr.used = r->ring.used_addr;
    return i;
}

static iommu_rig *started(uint64_t features)
{
    iommu_rig *i = stopped(features);

    map_ring(i);
    assert_int_equal(start(i), 0);
    return i;
}

static void release(iommu_rig *i)
{
    rig_free(i->r);
    vhu__iotlb_free(i->iotlb);
    free(i);
}

static void assert_missing(const iommu_rig *i, uint64_t iova, uint64_t len, uint8_t perm)
{
    const vhu__fault *fault = vhu__queue_fault(i->r->queue);

    assert_non_null(fault);
    assert_true(fault->iova == iova && fault->len == len);
    assert_int_equal(fault->perm, perm);
}

/* Nothing is taken, and nothing is wrong, for want of this. */
static void assert_waits(iommu_rig *i, uint64_t iova, uint64_t len, uint8_t perm)
{
    for (int n = 0; n < 2; n++) {
        assert_int_equal(take(i->r, CHAINS), 0);
        assert_missing(i, iova, len, perm);
    }
    assert_true(vhu_queue_has_avail(i->r->queue));
    assert_string_equal(vhu_queue_error(i->r->queue), "");
    assert_int_equal(vhu_queue_in_use(i->r->queue), 0);
}

static const uint64_t layouts[] = {SPLIT, PACKED, PLAIN_PACKED, 0};

#define for_each_layout(features)                                                                  \
    for (const uint64_t *features = layouts; features < layouts + VHU__COUNT(layouts); features++)

/* The parts are asked for one after the other, and where they are not in one piece, for the rest.
 */
static void test_parts(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        iommu_rig *i = stopped(*features);
        const driver_ring *ring = &i->r->ring;
        const bool packed = ring->is_packed;

        assert_int_equal(start(i), VHU_EAGAIN);
        assert_missing(i, ring->desc_addr, 256, packed ? RW : RO);
        map(i, ring->desc_addr, 16, ring->desc_addr, packed ? RW : RO);
        assert_int_equal(start(i), VHU_EAGAIN);
        assert_missing(i, ring->desc_addr + 16, 240, packed ? RW : RO);
        map(i, ring->desc_addr + 16, 240, ring->desc_addr + 16, packed ? RW : RO);
        assert_int_equal(start(i), VHU_EAGAIN);
        assert_missing(i, ring->avail_addr, packed ? 4 : 38, RO);
        map(i, ring->avail_addr, packed ? 4 : 38, ring->avail_addr, RO);
        assert_int_equal(start(i), VHU_EAGAIN);
        assert_missing(i, ring->used_addr, packed ? 4 : 134, packed ? WO : RW);
        map(i, ring->used_addr, packed ? 4 : 134, ring->used_addr, RO);
        assert_int_equal(start(i), VHU_EAGAIN);
        assert_false(vhu_queue_is_running(i->r->queue));
        map(i, ring->used_addr, packed ? 4 : 134, ring->used_addr, RW);
        assert_int_equal(start(i), 0);
        release(i);
    }
}

/* Parts that are elsewhere than in memory, in two pieces, or not aligned there. */
static void test_bad_parts(void **state)
{
    iommu_rig *i = stopped(SPLIT);
    const uint64_t desc = i->r->ring.desc_addr;
    const vhu_iotlb_msg nowhere = {desc, PAGE, 0x1000, RW, VHU_IOTLB_UPDATE, {0}};

    (void)state;
    map_ring(i);
    vhu__iotlb_update(i->iotlb, &nowhere);
    assert_int_equal(start(i), VHU_EFAULT);
    map(i, desc, 16, desc + PAGE, RW);
    map(i, desc + 16, PAGE - 16, desc, RW);
    assert_int_equal(start(i), VHU_EFAULT);
    map(i, desc, PAGE, desc + 8, RW);
    assert_int_equal(start(i), VHU_EINVAL);
    i->r->config.addr.desc = UINT64_MAX - 15;
    assert_int_equal(start(i), VHU_EAGAIN);
    assert_missing(i, UINT64_MAX - 15, 256, RO);
    release(i);
}

/* The table, each buffer, and for each what is done there. */
static void misses(uint64_t features, bool indirect)
{
    iommu_rig *i = started(features);
    rig *r = i->r;
    uint16_t head = add_request(r, indirect);

    driver_ring_publish(&r->ring);
    assert_waits(i, r->data, 16, RO);
    map_page(i, r->data, RO);
    assert_waits(i, r->data + 4096, 512, WO);
    map_page(i, r->data + 4096, RO);
    assert_waits(i, r->data + 4096, 512, WO);
    map_page(i, r->data + 4096, WO);
    assert_waits(i, r->data + 8192, 1, WO);
    map_page(i, r->data + 8192, RW);
    assert_int_equal(take(r, CHAINS), 1);
    check_request(r, &r->chains[0], head);
    vhu_queue_complete(r->queue, r->chains, 1);
    assert_int_equal(driver_ring_reap(&r->ring, NULL), head);
    release(i);
}

static void test_misses(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        misses(*features, false);
        if (*features & VHU_BIT(VHU_F_RING_INDIRECT_DESC))
            misses(*features, true);
    }
}

/* An indirect table's own address, and those of the pieces that it lies in. */
static void test_tables(void **state)
{
    (void)state;
    for (size_t l = 0; l < 2; l++) {
        iommu_rig *i = stopped(layouts[l]);
        rig *r = i->r;
        const driver_ring *ring = &r->ring;
        uint64_t table;
        uint16_t head;

        map(i, ring->desc_addr, ring->tables_addr - ring->desc_addr, ring->desc_addr, RW);
        assert_int_equal(start(i), 0);
        map(i, r->data, 3 * PAGE, r->data, RW);
        head = add_request(r, true);
        driver_ring_publish(&r->ring);
        table = ring->is_packed ? ring->packed[0].addr : ring->desc[head].addr;
        /* The first descriptor and half of the next one, whose rest is elsewhere. */
        assert_int_equal(take(r, 1), 0);
        assert_true(vhu__queue_fault(r->queue)->iova == table);
        map(i, table, 24, table, RO);
        assert_waits(i, table + 24, 8, RO);
        memcpy(driver_memory_at(&r->memory, r->data + 4 * PAGE),
               driver_memory_at(&r->memory, table + 24), 24);
        map(i, table + 24, 24, r->data + 4 * PAGE, RO);
        assert_int_equal(take(r, 1), 1);
        check_request(r, &r->chains[0], head);
        release(i);
    }
}

/* One descriptor over several translations: as few pieces as there are in memory. */
static void test_spans(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        iommu_rig *i = started(*features);
        rig *r = i->r;
        const driver_buf buf = {r->data + 100, 4 * PAGE, true};
        vhu_chain *chain = &r->chains[0];

        driver_ring_add(&r->ring, &buf, 1);
        driver_ring_publish(&r->ring);
        assert_waits(i, r->data + 100, 4 * PAGE, WO);
        map(i, r->data, PAGE, r->data, RW);
        assert_waits(i, r->data + PAGE, 3 * PAGE + 100, WO);
        map(i, r->data + PAGE, PAGE, r->data + PAGE, WO);
        map(i, r->data + 2 * PAGE, PAGE, r->data + 7 * PAGE, WO);
        map(i, r->data + 3 * PAGE, PAGE, r->data + 8 * PAGE, RW);
        assert_waits(i, r->data + 4 * PAGE, 100, WO);
        map(i, r->data + 4 * PAGE, PAGE, r->data + 3 * PAGE, WO);
        assert_int_equal(take(r, 1), 1);
        assert_int_equal(chain->num_writable, 3);
        assert_true(chain->writable_len == 4 * PAGE);
        assert_ptr_equal(chain->bufs[0].base, device_at(r, r->data + 100));
        assert_int_equal(chain->bufs[0].len, 2 * PAGE - 100);
        assert_ptr_equal(chain->bufs[1].base, device_at(r, r->data + 7 * PAGE));
        assert_int_equal(chain->bufs[1].len, 2 * PAGE);
        assert_ptr_equal(chain->bufs[2].base, device_at(r, r->data + 3 * PAGE));
        assert_int_equal(chain->bufs[2].len, 100);
        release(i);
    }
}

/* One translation over two regions, which are no neighbours here; and one that leaves the last of
 * them. */
static void test_regions(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        iommu_rig *i = started(*features);
        rig *r = i->r;
        const uint64_t border = DRIVER_GUEST_BASE + REGION_SIZE;
        const uint64_t user = driver_memory_user(&r->memory, border);
        const driver_buf bufs[] = {{border - 16, 32, false}, {border + REGION_SIZE - 8, 16, true}};

        driver_ring_add(&r->ring, bufs, 1);
        driver_ring_add(&r->ring, bufs + 1, 1);
        driver_ring_publish(&r->ring);
        map(i, border - PAGE, PAGE, border - PAGE, RW);
        map(i, border, REGION_SIZE + PAGE, border, RW);
        assert_true(user != driver_memory_user(&r->memory, border - 1) + 1);
        assert_int_equal(take(r, 1), 1);
        assert_int_equal(r->chains[0].num_readable, 2);
        assert_ptr_equal(r->chains[0].bufs[0].base, device_at(r, border - 16));
        assert_ptr_equal(r->chains[0].bufs[1].base, device_at(r, border));
        assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
        assert_broken(r, "outside of memory");
        release(i);
    }
}

/* More pieces than there is room for, and a translation to nowhere. */
static void test_faults(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        iommu_rig *i = started(*features);
        rig *r = i->r;
        const driver_buf buf = {r->data, 3 * PAGE, true};
        const vhu_iotlb_msg nowhere = {r->data, PAGE, 0x1000, RW, VHU_IOTLB_UPDATE, {0}};

        driver_ring_add(&r->ring, &buf, 1);
        driver_ring_publish(&r->ring);
        vhu__iotlb_update(i->iotlb, &nowhere);
        assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
        assert_null(vhu__queue_fault(r->queue));
        assert_broken(r, "outside of memory");
        vhu_queue_stop(r->queue);
        for (uint64_t page = 0; page < 3; page++)
            map(i, r->data + page * PAGE, PAGE, r->data + 2 * page * PAGE, RW);
        r->config.base = vhu_queue_base(r->queue);
        assert_int_equal(start(i), 0);
        r->chains[0].capacity = 2;
        assert_int_equal(take(r, 1), VHU_EBROKEN_RING);
        assert_broken(r, "more than 2 buffers");
        release(i);
    }
}

/* What may only be read is not written, however often it was read before. */
static void test_permissions(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        iommu_rig *i = started(*features);
        rig *r = i->r;
        const driver_buf read = {r->data, 16, false};
        const driver_buf write = {r->data, 16, true};

        map_page(i, r->data, RO);
        for (int n = 0; n < 3; n++)
            driver_ring_add(&r->ring, &read, 1);
        driver_ring_add(&r->ring, &write, 1);
        driver_ring_add(&r->ring, &read, 1);
        driver_ring_publish(&r->ring);
        assert_int_equal(take(r, CHAINS), 3);
        assert_missing(i, r->data, 16, WO);
        vhu_queue_complete(r->queue, r->chains, 3);
        assert_waits(i, r->data, 16, WO);
        map_page(i, r->data, WO);
        assert_int_equal(take(r, CHAINS), 2);
        release(i);
    }
}

/* Many requests, in no order, with translations that go and come; the layouts' other features. */
static void test_traffic(void **state)
{
    static const uint64_t features[] = {SPLIT, PACKED, SPLIT | VHU_BIT(VHU_F_IN_ORDER)};

    (void)state;
    for (size_t f = 0; f < VHU__COUNT(features); f++) {
        iommu_rig *i = started(features[f]);
        rig *r = i->r;

        for (unsigned n = 0; n < 500; n++) {
            uint16_t head = add_request(r, n % 3 == 0);

            driver_ring_publish(&r->ring);
            while (take(r, 1) == 0)
                map_page(i, vhu__queue_fault(r->queue)->iova, vhu__queue_fault(r->queue)->perm);
            check_request(r, &r->chains[0], head);
            vhu_queue_complete(r->queue, r->chains, 1);
            assert_int_equal(driver_ring_reap(&r->ring, NULL), head);
            vhu__iotlb_invalidate(i->iotlb, r->data + n % 3 * PAGE, PAGE);
        }
        release(i);
    }
}

typedef struct writes {
    uint64_t bytes;
    unsigned unknown;
} writes;

static void on_dirty(void *self, const void *at, uint64_t len)
{
    writes *w = self;

    w->bytes += len;
    w->unknown += at == NULL;
}

static void on_used_dirty(void *self, const void *at, uint64_t len)
{
    (void)self;
    assert_non_null(at);
    assert_true(len > 0);
}

/* What was written is logged where it is; if its translation has gone meanwhile, all may have been.
 */
static void test_logged(void **state)
{
    (void)state;
    for_each_layout(features)
    {
        writes w = {0};
        const vhu__queue_log log = {&w, on_dirty, on_used_dirty};
        iommu_rig *i = stopped(*features);
        rig *r = i->r;

        map_ring(i);
        assert_int_equal(vhu__queue_set_log(r->queue, &log), 0);
        assert_int_equal(start(i), 0);
        for (unsigned known = 0; known < 2; known++) {
            add_request(r, false);
            driver_ring_publish(&r->ring);
            while (take(r, 1) == 0)
                map_page(i, vhu__queue_fault(r->queue)->iova, RW);
            r->chains[0].written = 5;
            if (known == 0) {
                vhu__iotlb_invalidate(i->iotlb, r->data, 16 * PAGE);
                r->queue->window = (vhu__window){0};
            }
            vhu_queue_complete(r->queue, r->chains, 1);
            assert_true(driver_ring_reap(&r->ring, NULL) >= 0);
            assert_int_equal(w.bytes, known * 5);
            assert_int_equal(w.unknown, 1);
            /* And what has gone is nothing to wait for. */
            assert_int_equal(take(r, 1), 0);
            assert_null(vhu__queue_fault(r->queue));
        }
        release(i);
    }
}

/* Without the feature addresses are the guest's, whether or not there are translations. */
static void test_not_negotiated(void **state)
{
    iommu_rig *i = stopped(SPLIT);
    rig *r = i->r;
    uint16_t head;

    (void)state;
    r->config.features &= ~PLATFORM;
    r->config.addr = driver_ring_addr(&r->ring);
    assert_int_equal(start(i), 0);
    head = add_request(r, true);
    driver_ring_publish(&r->ring);
    assert_int_equal(take(r, 1), 1);
    check_request(r, &r->chains[0], head);
    release(i);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_parts),          leakcheck_test(test_bad_parts),
        leakcheck_test(test_misses),         leakcheck_test(test_tables),
        leakcheck_test(test_spans),          leakcheck_test(test_regions),
        leakcheck_test(test_faults),         leakcheck_test(test_permissions),
        leakcheck_test(test_traffic),        leakcheck_test(test_logged),
        leakcheck_test(test_not_negotiated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
