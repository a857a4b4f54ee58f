/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit with a driver behind an IOMMU, against a device of the kit in another process. */
#include <string.h>
#include <vmm_vhost/remote_log.h>

#include "test_remote_fixture.h"
#include "util.h"

enum { RO = VHU_IOTLB_RO, RW = VHU_IOTLB_RW, PAGE = 4096 };

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)
#define PAGES (GUEST_SIZE / PAGE)

/* What the VMM's IOMMU has: a guest page for each page of I/O virtual addresses. */
static struct {
    uint64_t pages[PAGES]; /* 0: none */
    uint64_t unit;         /* bytes that a mapping is told in; 0: a page */
    unsigned asked;
    unsigned refused;
    vhu_mapping wrong; /* of some size: said instead */
} iommu;

static size_t page_of(uint64_t iova)
{
    return (size_t)((iova - GUEST_BASE) / PAGE);
}

static int translate(void *self, uint64_t iova, uint8_t perm, vhu_mapping *out)
{
    const uint64_t unit = iommu.unit ? iommu.unit : PAGE;

    (void)self;
    iommu.asked++;
    if (perm == 0 || iova < GUEST_BASE || page_of(iova) >= PAGES || !iommu.pages[page_of(iova)]) {
        iommu.refused++;
        return VHU_ENOENT;
    }
    *out = (vhu_mapping){.iova = iova & ~(unit - 1),
                         .guest_addr = iommu.pages[page_of(iova)] + (iova % PAGE & ~(unit - 1)),
                         .size = unit,
                         .perm = RW};
    if (iommu.wrong.size > 0)
        *out = iommu.wrong;
    return 0;
}

static void map_all(void)
{
    for (size_t i = 0; i < PAGES; i++)
        iommu.pages[i] = GUEST_BASE + i * PAGE;
}

static void open_guest(guest *g, uint64_t features)
{
    const vhu_remote_options options = {.features = features | PLATFORM, .translate = translate};

    memset(&iommu, 0, sizeof(iommu));
    map_all();
    guest_open(g, &options);
    g->script->iommu = true;
}

/* Requests on a page of their own. */
static void start_with_page(guest *g)
{
    guest_start(g);
    g->data = (g->data + PAGE - 1) & ~(uint64_t)(PAGE - 1);
}

static void wait_for(const _Atomic uint32_t *count, uint32_t n)
{
    while (atomic_load(count) < n)
        uv_sleep(1);
}

/* Let the back-end ask until this was so often. */
static void serve_until(guest *g, const unsigned *count, unsigned n)
{
    while (*count < n) {
        assert_int_equal(vhu_conn_wait(vhu_remote_channel(g->remote), -1), 0);
        assert_int_equal(vhu_remote_serve(g->remote), 0);
    }
}

static const uint64_t layouts[] = {GUEST_SPLIT, GUEST_PACKED};

/* Nothing else is needed than to answer; the same for each start. */
static void test_answers(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        guest g;

        open_guest(&g, layouts[i]);
        guest_start(&g);
        assert_true(vhu_remote_features(g.remote) & PLATFORM);
        for (int n = 0; n < 3; n++) {
            iommu.asked = 0;
            guest_exercise(&g);
            assert_in_range(iommu.asked, 1, 100);
            assert_int_equal(vhu_remote_stop(g.remote), 0);
            assert_int_equal(vhu_remote_start(g.remote), 0);
        }
        guest_close(&g);
    }
}

/* All is told before it is asked for. */
static void test_told_before(void **state)
{
    const vhu_mapping all = {GUEST_BASE, GUEST_BASE, GUEST_SIZE, RW};
    guest g;

    (void)state;
    open_guest(&g, GUEST_SPLIT);
    assert_int_equal(vhu_remote_map(g.remote, &all), 0);
    guest_start(&g);
    assert_int_equal(vhu_remote_map(g.remote, &all), 0);
    guest_exercise(&g);
    /* The parts of rings may have been asked for, when they were started. */
    assert_in_range(iommu.asked, 0, 2 * GUEST_RINGS);
    guest_close(&g);
}

/* What is not there when it is asked for comes later, and is another page than it seems. */
static void test_late(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        guest g;
        const uint64_t spare = GUEST_BASE + GUEST_SIZE - PAGE;
        vhu_mapping m = {.size = PAGE, .perm = RW};
        uint8_t *here, *there;
        size_t page;

        open_guest(&g, layouts[i]);
        start_with_page(&g);
        guest_exercise(&g);
        m.iova = g.data;
        m.guest_addr = spare;
        page = page_of(m.iova);
        here = vhu_memory_at(vhu_remote_memory(g.remote), m.iova, m.size);
        there = vhu_memory_at(vhu_remote_memory(g.remote), spare, m.size);
        iommu.pages[page] = 0;
        assert_int_equal(vhu_remote_unmap(g.remote, m.iova, m.size), 0);
        iommu.asked = 0;
        guest_submit(&g, 0, 16, 8);
        serve_until(&g, &iommu.asked, 1);
        assert_int_equal(atomic_load(&g.script->done), 2 * 16);
        memcpy(there, here, m.size);
        iommu.pages[page] = spare;
        assert_int_equal(vhu_remote_map(g.remote, &m), 0);
        while (atomic_load(&g.script->done) < 2 * 16 + 8)
            assert_int_equal(vhu_remote_serve(g.remote), 0);
        memcpy(here, there, m.size);
        guest_collect(&g, 0, 8);
        guest_close(&g);
    }
}

/* Rings lose what they are made of, and go on. */
static void test_unmap(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        guest g;

        open_guest(&g, layouts[i]);
        guest_start(&g);
        for (int n = 0; n < 5; n++) {
            guest_exercise(&g);
            assert_int_equal(n % 2 ? vhu_remote_unmap(g.remote, 0, UINT64_MAX)
                                   : vhu_remote_unmap(g.remote, GUEST_BASE, PAGE),
                             0);
        }
        guest_close(&g);
    }
}

/* The next back-end asks anew, and goes on with what was out. */
static void test_recovery(void **state)
{
    guest g;

    (void)state;
    open_guest(&g, GUEST_SPLIT);
    guest_start(&g);
    guest_exercise(&g);
    g.script->keeps = true;
    g.script->num_done = 32 + 5;
    guest_submit(&g, 0, 16, 10);
    while (atomic_load(&g.script->taken) < 32 + 10)
        assert_int_equal(vhu_remote_serve(g.remote), 0);
    wait_for(&g.script->done, 32 + 5);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    g.script->keeps = false;
    assert_int_equal(vhu_remote_unmap(g.remote, 0, UINT64_MAX), 0);
    assert_int_equal(guest_connect(&g), 0);
    guest_collect(&g, 0, 10);
    guest_exercise(&g);
    guest_close(&g);
}

/* Where a ring was left is found in mappings that are smaller than its parts. */
static void test_base_in_pieces(void **state)
{
    guest g;

    (void)state;
    open_guest(&g, GUEST_SPLIT);
    guest_start(&g);
    guest_exercise(&g);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    iommu.unit = 16;
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        assert_int_equal(vhu_remote_ring_base(g.remote, i), 16);
    guest_close(&g);
}

static void note_dirty(void *arg, uint64_t guest_addr, uint64_t len)
{
    memset((bool *)arg + page_of(guest_addr), 1, len / PAGE);
}

/* What a back-end may have written of its rings is dirty where the guest has it. */
static void test_lost_rings_in_log(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        const uint64_t spare = GUEST_BASE + GUEST_SIZE - PAGE;
        bool dirty[PAGES] = {false};
        guest g;

        open_guest(&g, layouts[i]);
        guest_start(&g);
        assert_int_equal(vhu_remote_start_log(g.remote), 0);
        guest_exercise(&g);
        guest_kill_backend(&g);
        vhu_remote_disconnect(g.remote);
        assert_int_equal(vhu_remote_fetch_log(g.remote, note_dirty, dirty), 0);
        memset(dirty, 0, sizeof(dirty));
        iommu.pages[0] = spare;
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        assert_int_equal(vhu_remote_fetch_log(g.remote, note_dirty, dirty), 0);
        assert_true(dirty[page_of(spare)]);
        assert_false(dirty[0]);
        guest_close(&g);
    }
}

/* A write to what may only be read is reported. */
static void test_failed_access(void **state)
{
    vhu_mapping m = {.size = PAGE, .perm = RO};
    guest g;

    (void)state;
    open_guest(&g, GUEST_SPLIT);
    start_with_page(&g);
    m.iova = m.guest_addr = g.data;
    iommu.pages[page_of(m.iova)] = 0;
    guest_submit(&g, 0, 0, 1);
    serve_until(&g, &iommu.refused, 1); /* to read */
    assert_int_equal(vhu_remote_map(g.remote, &m), 0);
    serve_until(&g, &iommu.refused, 2); /* to write */
    assert_int_equal(vhu_remote_map(g.remote, &m), 0);
    serve_until(&g, &g.failed_accesses, 1);
    m.perm = RW;
    assert_int_equal(vhu_remote_map(g.remote, &m), 0);
    guest_collect(&g, 0, 1);
    assert_int_equal(g.failed_accesses, 1);
    guest_close(&g);
}

/* What a VMM must not say. Of a mapping that is none the back-end hears nothing. */
static void test_malformed(void **state)
{
    static const struct {
        vhu_mapping m;
        int result;
    } rows[] = {
        {{GUEST_BASE, GUEST_BASE, 0, RW}, VHU_EINVAL},
        {{GUEST_BASE, GUEST_BASE, PAGE, 0}, VHU_EINVAL},
        {{GUEST_BASE, GUEST_BASE, PAGE, 4}, VHU_EINVAL},
        {{UINT64_MAX, GUEST_BASE, 2, RW}, VHU_EINVAL},
        {{GUEST_BASE, UINT64_MAX, 2, RW}, VHU_EINVAL},
        {{GUEST_BASE, 0, PAGE, RW}, VHU_EFAULT},
        {{GUEST_BASE, GUEST_BASE + GUEST_SIZE - PAGE, 2 * PAGE, RW}, VHU_EFAULT},
        {{GUEST_BASE + GUEST_SIZE, GUEST_BASE, PAGE, RW}, 0}, /* of something else */
    };
    guest g;

    (void)state;
    open_guest(&g, GUEST_SPLIT);
    guest_start(&g);
    for (size_t i = 0; i < VHU__COUNT(rows); i++)
        assert_int_equal(vhu_remote_map(g.remote, &rows[i].m), rows[i].result);
    assert_int_equal(vhu_remote_unmap(g.remote, 0, 0), VHU_EINVAL);
    assert_int_equal(vhu_remote_unmap(g.remote, 1, UINT64_MAX), 0);
    assert_int_equal(vhu_remote_unmap(g.remote, 2, UINT64_MAX), VHU_EINVAL);
    assert_int_equal(vhu_remote_unmap(g.remote, 0, UINT64_MAX), 0);
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        iommu.wrong = rows[i].m;
        if (iommu.wrong.size == 0 ||
            i == 6) /* the one says nothing, of the other a part is right */
            continue;
        assert_int_equal(vhu_remote_unmap(g.remote, 0, UINT64_MAX), 0);
        iommu.asked = 0;
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        assert_int_equal(vhu_remote_start(g.remote), 0);
        serve_until(&g, &iommu.asked, GUEST_RINGS);
    }
    iommu.wrong.size = 0;
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_exercise(&g);
    guest_close(&g);
}

/* It takes a VMM that translates, a back-end that offers it, and a channel on which it can ask. */
static void test_offer(void **state)
{
    (void)state;
    for (unsigned without = 0; without < 4; without++) {
        const vhu_remote_options options = {.features = GUEST_SPLIT | PLATFORM,
                                            .translate = without == 1 ? NULL : translate,
                                            .withheld_protocol_features =
                                                without == 3 ? VHU_BIT(VHU_PF_BACKEND_REQ) : 0};
        guest g;

        memset(&iommu, 0, sizeof(iommu));
        map_all();
        guest_open(&g, &options);
        g.script->iommu = without != 2;
        guest_start(&g);
        assert_int_equal((vhu_remote_offered(g.remote) & PLATFORM) != 0, without == 0);
        guest_exercise(&g);
        assert_int_equal(vhu_remote_unmap(g.remote, 0, UINT64_MAX), 0);
        guest_exercise(&g);
        assert_int_equal(iommu.asked > 0, without == 0);
        guest_close(&g);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_answers),
        leakcheck_test(test_told_before),
        leakcheck_test(test_late),
        leakcheck_test(test_unmap),
        leakcheck_test(test_recovery),
        leakcheck_test(test_base_in_pieces),
        leakcheck_test(test_lost_rings_in_log),
        leakcheck_test(test_failed_access),
        leakcheck_test(test_malformed),
        leakcheck_test(test_offer),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
