/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Protocol features that change what a request means: XEN_MMAP, GPA_ADDRESSES and
 * GET_VRING_BASE_INFLIGHT, at both ends.
 */
#include <string.h>

#include "support/client_rig.h"
#include "util.h"
#include "wire.h"

#define XEN VHU_BIT(VHU_PF_XEN_MMAP)
#define GPA VHU_BIT(VHU_PF_GPA_ADDRESSES)
#define SUSPEND VHU_BIT(VHU_PF_GET_VRING_BASE_INFLIGHT)
#define OTHERS                                                                                     \
    (VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS) |                             \
     VHU_BIT(VHU_PF_INFLIGHT_SHMFD) | VHU_BIT(VHU_PF_PAGEFAULT))

static rig r;

/* What the ops in place of others saw. */
static struct {
    unsigned calls;
    int result;
    size_t n;
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_xen_mmap xen[VHU_MAX_TABLE_REGIONS];
    uint32_t ring;
    vhu_vring_addr addr;
} seen;

static int set_xen_mem_table(void *self, const vhu_mem_region *regions, const vhu_xen_mmap *xen,
                             size_t n, vhu_handle *handles)
{
    (void)self;
    seen.calls++;
    seen.n = n;
    for (size_t i = 0; i < n; i++) {
        assert_int_not_equal(handles[i], VHU_NO_HANDLE);
        seen.regions[i] = regions[i];
        seen.xen[i] = xen[i];
    }
    return seen.result;
}

static int add_xen_mem_reg(void *self, const vhu_mem_region *region, const vhu_xen_mmap *xen,
                           vhu_handle *handle)
{
    return set_xen_mem_table(self, region, xen, 1, handle);
}

static int set_vring_guest_addr(void *self, uint32_t ring, const vhu_vring_addr *addr)
{
    (void)self;
    seen.calls++;
    seen.ring = ring;
    seen.addr = *addr;
    return seen.result;
}

static int suspend_vring(void *self, uint32_t ring, uint32_t *base)
{
    (void)self;
    seen.calls++;
    seen.ring = ring;
    *base = 0x4321;
    return seen.result;
}

static vhu_backend_ops all_ops(void)
{
    vhu_backend_ops ops = fake_backend_ops;

    ops.set_xen_mem_table = set_xen_mem_table;
    ops.add_xen_mem_reg = add_xen_mem_reg;
    ops.set_vring_guest_addr = set_vring_guest_addr;
    ops.suspend_vring = suspend_vring;
    return ops;
}

static void open_rig(uint64_t features, uint64_t protocol_features)
{
    const vhu_backend_ops ops = all_ops();

    memset(&seen, 0, sizeof(seen));
    rig_open(&r, PAIR_STREAM, &ops);
    rig_negotiate(&r, features, protocol_features);
}

static uint64_t request(uint32_t code, const void *payload, uint32_t size, size_t handles)
{
    assert_int_equal(rig_request(&r, code, VHU_FLAG_NEED_REPLY, payload, size, handles),
                     VHU_EAGAIN);
    return rig_expect_u64(&r, code);
}

/* --- negotiation --- */

static void test_offer(void **state)
{
    static const struct {
        size_t op;
        uint64_t feature;
    } rows[] = {
        {offsetof(vhu_backend_ops, set_xen_mem_table), XEN},
        {offsetof(vhu_backend_ops, add_xen_mem_reg), XEN},
        {offsetof(vhu_backend_ops, set_vring_guest_addr), GPA},
        {offsetof(vhu_backend_ops, suspend_vring), SUSPEND},
        {offsetof(vhu_backend_ops, get_inflight_fd), SUSPEND},
        {offsetof(vhu_backend_ops, set_inflight_fd), SUSPEND},
    };

    (void)state;
    for (size_t i = 0; i <= VHU__COUNT(rows); i++) {
        const bool all = i == VHU__COUNT(rows);
        vhu_backend_ops ops = all_ops();
        uint64_t offered;

        if (!all)
            memset((char *)&ops + rows[i].op, 0, sizeof(void (*)(void)));
        rig_open(&r, PAIR_STREAM, &ops);
        assert_int_equal(rig_request(&r, VHU_REQ_GET_PROTOCOL_FEATURES, 0, NULL, 0, 0), VHU_EAGAIN);
        offered = rig_expect_u64(&r, VHU_REQ_GET_PROTOCOL_FEATURES);
        assert_int_equal(offered & (XEN | GPA | SUSPEND),
                         (XEN | GPA | SUSPEND) & ~(all ? 0 : rows[i].feature));
        rig_close(&r);
    }
}

static void test_suspend_needs_area(void **state)
{
    const uint64_t alone = SUSPEND;
    const vhu_backend_ops ops = all_ops();

    (void)state;
    rig_open(&r, PAIR_STREAM, &ops);
    assert_int_equal(rig_request(&r, VHU_REQ_SET_PROTOCOL_FEATURES, 0, &alone, 8, 0),
                     VHU_EINVALID_MESSAGE);
    rig_expect_closed(&r);
    rig_close(&r);
}

/* --- XEN_MMAP --- */

static const vhu_mem_region region = {0x1000, 0x2000, 0x7f0000001000, 0x3000};

static void fill(vhu_mem_region *regions, vhu_xen_mmap *xen)
{
    for (uint32_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++) {
        regions[i] = region;
        regions[i].guest_addr += 0x10000 * i;
        regions[i].user_addr += 0x10000 * i;
        xen[i] = (vhu_xen_mmap){i % 3 | (i % 2 ? VHU_XEN_NO_ADVANCE : 0), i};
    }
}

static void test_xen_table(void **state)
{
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_xen_mmap xen[VHU_MAX_TABLE_REGIONS];
    uint8_t payload[VHU__WIRE_TABLE_MAX] = {0};

    (void)state;
    fill(regions, xen);
    open_rig(0, OTHERS | XEN);
    for (uint32_t n = 0; n <= VHU_MAX_TABLE_REGIONS; n++) {
        const uint32_t size = (uint32_t)vhu__wire_store_xen_table(payload, regions, xen, n);

        assert_int_equal(size, 8 + 40 * n);
        assert_int_equal(request(VHU_REQ_SET_MEM_TABLE, payload, size, n), 0);
        assert_int_equal(seen.calls, n + 1);
        assert_int_equal(seen.n, n);
        assert_memory_equal(seen.regions, regions, n * sizeof(regions[0]));
        assert_memory_equal(seen.xen, xen, n * sizeof(xen[0]));
        if (n > 0)
            assert_int_not_equal(request(VHU_REQ_SET_MEM_TABLE, payload, size - 1, n), 0);
        assert_int_not_equal(request(VHU_REQ_SET_MEM_TABLE, payload, size, n + 1), 0);
    }
    assert_int_equal(seen.calls, VHU_MAX_TABLE_REGIONS + 1);
    assert_int_equal(r.fake.calls[FAKE_set_mem_table], 0);
    seen.result = VHU_EIO;
    assert_int_not_equal(request(VHU_REQ_SET_MEM_TABLE, payload, sizeof(payload), 8), 0);
    rig_close(&r);
}

/* The number 8 is rust-vmm's for bit 8. */
static void test_xen_flags(void **state)
{
    static const struct {
        uint32_t flags;
        uint32_t as; /* UINT32_MAX: refused */
    } rows[] = {
        {0, 0},
        {VHU_XEN_FOREIGN, VHU_XEN_FOREIGN},
        {VHU_XEN_GRANT, VHU_XEN_GRANT},
        {3, UINT32_MAX},
        {0x102, 0x102},
        {0xa, 0x102},
        {4, UINT32_MAX},
        {0x200, UINT32_MAX},
        {0x80000000, UINT32_MAX},
        {0x10a, 0x102},
    };
    uint8_t payload[VHU__WIRE_XEN_REGION];

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        const bool good = rows[i].as != UINT32_MAX;
        const vhu_xen_mmap xen = {rows[i].flags, 5};

        open_rig(0, OTHERS | XEN);
        vhu__wire_store_xen_region(payload, &region, &xen);
        assert_int_equal(request(VHU_REQ_ADD_MEM_REG, payload, sizeof(payload), 1) == 0, good);
        assert_int_equal(seen.calls, good);
        if (good) {
            assert_memory_equal(&seen.regions[0], &region, sizeof(region));
            assert_int_equal(seen.xen[0].flags, rows[i].as);
            assert_int_equal(seen.xen[0].domain, 5);
        }
        rig_close(&r);
    }
}

/* What was negotiated says which layout it is, and nothing else. */
static void test_xen_sizes(void **state)
{
    static const uint32_t requests[] = {VHU_REQ_ADD_MEM_REG, VHU_REQ_REM_MEM_REG};
    uint8_t payload[VHU__WIRE_XEN_REGION + 1] = {0};

    (void)state;
    vhu__wire_store_region(payload, &region);
    for (size_t i = 0; i < 2; i++) {
        for (int with = 0; with < 2; with++) {
            const uint32_t right = with ? 48 : 40;

            open_rig(0, OTHERS | (with ? XEN : 0));
            for (uint32_t size = 39; size <= sizeof(payload); size++)
                assert_int_equal(request(requests[i], payload, size, 1) == 0, size == right);
            assert_int_equal(request(requests[i], payload, right, 0) == 0, i == 1);
            rig_close(&r);
        }
    }
}

static void test_xen_in_postcopy(void **state)
{
    const vhu_xen_mmap xen = {VHU_XEN_GRANT, 1};
    uint8_t payload[VHU__WIRE_TABLE_MAX];
    const uint32_t size = (uint32_t)vhu__wire_store_xen_table(payload, &region, &xen, 1);

    (void)state;
    open_rig(0, OTHERS | XEN);
    assert_int_equal(request(VHU_REQ_POSTCOPY_LISTEN, NULL, 0, 0), 0);
    assert_int_not_equal(request(VHU_REQ_SET_MEM_TABLE, payload, size, 1), 0);
    assert_int_not_equal(request(VHU_REQ_SET_MEM_TABLE, payload, 8, 0), 0);
    assert_int_not_equal(request(VHU_REQ_ADD_MEM_REG, payload, 48, 1), 0);
    assert_int_equal(seen.calls, 0);
    rig_close(&r);
}

/* --- the client --- */

/* With its server; XEN_MMAP is in or out. */
static void open_client(client_rig *c, const vhu_backend_ops *ops, uint64_t without)
{
    uint64_t features;

    memset(&seen, 0, sizeof(seen));
    client_rig_open(c, PAIR_STREAM, 0, ops);
    vhu_backend_client_begin(c->client);
    vhu_backend_client_get_features(c->client, &features);
    assert_int_equal(client_rig_finish(c), 0);
    vhu_backend_client_begin(c->client);
    vhu_backend_client_get_protocol_features(c->client, &features);
    assert_int_equal(client_rig_finish(c), 0);
    vhu_backend_client_begin(c->client);
    vhu_backend_client_set_features(c->client, VHU_BIT(VHU_F_PROTOCOL_FEATURES));
    vhu_backend_client_set_protocol_features(c->client, UINT64_MAX & ~without);
    assert_int_equal(client_rig_finish(c), 0);
    vhu_backend_client_begin(c->client);
}

static void test_client(void **state)
{
    const vhu_backend_ops ops = all_ops();
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_xen_mmap xen[VHU_MAX_TABLE_REGIONS];
    vhu_handle handles[VHU_MAX_TABLE_REGIONS];
    client_rig c;

    (void)state;
    fill(regions, xen);
    handles_open(handles, VHU_MAX_TABLE_REGIONS);
    open_client(&c, &ops, 0);
    vhu_backend_client_set_xen_mem_table(c.client, regions, xen, 8, handles);
    assert_int_equal(client_rig_finish(&c), 0);
    assert_int_equal(seen.n, 8);
    assert_memory_equal(seen.regions, regions, sizeof(regions));
    assert_memory_equal(seen.xen, xen, sizeof(xen));
    vhu_backend_client_begin(c.client);
    vhu_backend_client_add_xen_mem_reg(c.client, &regions[3], &xen[3], handles[3]);
    vhu_backend_client_rem_xen_mem_reg(c.client, &regions[3], &xen[3]);
    assert_int_equal(client_rig_finish(&c), 0);
    assert_int_equal(seen.n, 1);
    assert_memory_equal(&seen.xen[0], &xen[3], sizeof(xen[0]));
    assert_int_equal(c.back.fake.calls[FAKE_rem_mem_reg], 1);
    assert_memory_equal(&c.back.fake.regions[0], &regions[3], sizeof(regions[0]));
    assert_int_equal(vhu_backend_client_set_xen_mem_table(c.client, regions, xen, 9, handles),
                     VHU_EINVAL);
    assert_int_equal(vhu_backend_client_set_mem_table(c.client, regions, 1, handles), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_add_mem_reg(c.client, &regions[0], handles[0]), VHU_EINVAL);
    assert_int_equal(vhu_backend_client_rem_mem_reg(c.client, &regions[0]), VHU_EINVAL);
    assert_int_equal(seen.calls, 2);
    client_rig_close(&c);

    open_client(&c, &ops, XEN);
    assert_int_equal(vhu_backend_client_set_xen_mem_table(c.client, regions, xen, 1, handles),
                     VHU_ENOSYS);
    assert_int_equal(vhu_backend_client_add_xen_mem_reg(c.client, regions, xen, handles[0]),
                     VHU_ENOSYS);
    assert_int_equal(vhu_backend_client_rem_xen_mem_reg(c.client, regions, xen), VHU_ENOSYS);
    client_rig_close(&c);
    handles_close(handles, VHU_MAX_TABLE_REGIONS);
}

/* --- addresses and bases --- */

static void test_guest_addresses(void **state)
{
    static const struct {
        uint64_t features;
        uint64_t protocol_features;
        bool instead;
    } rows[] = {
        {0, OTHERS | GPA, true},
        {0, OTHERS, false},
        {VHU_BIT(VHU_F_ACCESS_PLATFORM), OTHERS | GPA, false},
    };
    vhu_vring_addr addr = {.index = 3, .desc = 0x1000, .used = 0x3000, .avail = 0x2000};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        open_rig(rows[i].features, rows[i].protocol_features);
        assert_int_equal(request(VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), 0), 0);
        assert_int_equal(seen.calls, rows[i].instead);
        assert_int_equal(r.fake.calls[FAKE_set_vring_addr], !rows[i].instead);
        assert_int_equal(rows[i].instead ? seen.ring : r.fake.ring, 3);
        assert_memory_equal(rows[i].instead ? &seen.addr : &r.fake.addr, &addr, sizeof(addr));
        seen.result = r.fake.result[FAKE_set_vring_addr] = VHU_EFAULT;
        assert_int_not_equal(request(VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), 0), 0);
        /* They are looked at as any others. */
        addr.desc++;
        assert_int_not_equal(request(VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), 0), 0);
        addr.desc--;
        assert_int_equal(seen.calls, rows[i].instead ? 2 : 0);
        rig_close(&r);
    }
}

static void test_suspend(void **state)
{
    const vhu_vring_state question = {2, 0};
    vhu_vring_state answer;

    (void)state;
    for (int with = 0; with < 2; with++) {
        open_rig(0, OTHERS | (with ? SUSPEND : 0));
        assert_int_equal(rig_request(&r, VHU_REQ_GET_VRING_BASE, 0, &question, 8, 0), VHU_EAGAIN);
        rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
        memcpy(&answer, r.reply.payload, sizeof(answer));
        assert_int_equal(answer.index, 2);
        assert_int_equal(answer.num, with ? 0x4321 : 0x1234);
        assert_int_equal(seen.calls, with);
        assert_int_equal(r.fake.calls[FAKE_get_vring_base], !with);
        seen.result = r.fake.result[FAKE_get_vring_base] = VHU_EIO;
        assert_int_equal(rig_request(&r, VHU_REQ_GET_VRING_BASE, 0, &question, 8, 0), VHU_EIO);
        rig_expect_closed(&r);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_offer),     leakcheck_test(test_suspend_needs_area),
        leakcheck_test(test_xen_table), leakcheck_test(test_xen_flags),
        leakcheck_test(test_xen_sizes), leakcheck_test(test_xen_in_postcopy),
        leakcheck_test(test_client),    leakcheck_test(test_guest_addresses),
        leakcheck_test(test_suspend),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
