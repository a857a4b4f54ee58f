/* SPDX-License-Identifier: BSD-3-Clause */
/* Structures to and from bytes that are never aligned, and every check on them at its edge. */
#include <string.h>

#include "support/leakcheck.h"
#include "wire.h"

static uint8_t space[8192 + 1];
static uint8_t *const bytes = space + 1;

static void test_header(void **state)
{
    static const uint8_t wire[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    vhu_msg_header header;

    (void)state;
    memcpy(bytes, wire, sizeof(wire));
    vhu__wire_load_header(&header, bytes);
    memset(bytes, 0, sizeof(wire));
    vhu__wire_store_header(bytes, &header);
    assert_memory_equal(bytes, wire, sizeof(wire));
    memcpy(&header.request, wire, 4);
    assert_memory_equal(&header.flags, wire + 4, 4);
}

static void test_u64(void **state)
{
    (void)state;
    vhu__wire_store_u64(bytes, UINT64_C(0x123456789abcdef0));
    assert_int_equal(vhu__wire_load_u64(bytes), UINT64_C(0x123456789abcdef0));
}

static void test_vring(void **state)
{
    const vhu_vring_state in = {7, 9};
    vhu_vring_state out;

    (void)state;
    vhu__wire_store_vring_state(bytes, &in);
    vhu__wire_load_vring_state(&out, bytes);
    assert_int_equal(out.index, 7);
    assert_int_equal(out.num, 9);
}

static bool load_addr(vhu_vring_addr in)
{
    vhu_vring_addr out;
    const char *why = NULL;
    bool ok;

    memcpy(bytes, &in, sizeof(in));
    ok = vhu__wire_load_vring_addr(&out, bytes, &why);
    assert_int_equal(ok, why == NULL);
    if (ok)
        assert_memory_equal(&in, &out, sizeof(in));
    return ok;
}

static void test_vring_addr(void **state)
{
    (void)state;
    assert_true(load_addr((vhu_vring_addr){.flags = 1, .desc = 16, .used = 4, .avail = 2}));
    assert_true(load_addr((vhu_vring_addr){.log = 3}));
    assert_false(load_addr((vhu_vring_addr){.flags = 2}));
    assert_false(load_addr((vhu_vring_addr){.flags = 0x80000000u}));
    assert_false(load_addr((vhu_vring_addr){.desc = 8}));
    assert_false(load_addr((vhu_vring_addr){.used = 2}));
    assert_false(load_addr((vhu_vring_addr){.avail = 1}));
}

static bool load_region(uint64_t guest, uint64_t size, uint64_t user, uint64_t offset)
{
    const vhu_mem_region in = {guest, size, user, offset};
    vhu_mem_region out;
    const char *why = NULL;
    bool ok;

    vhu__wire_store_region(bytes, &in);
    ok = vhu__wire_load_region(&out, bytes, &why);
    assert_int_equal(ok, why == NULL);
    assert_memory_equal(&in, &out, sizeof(in));
    return ok;
}

static void test_region(void **state)
{
    (void)state;
    assert_true(load_region(0, 1, 0, 0));
    assert_true(load_region(UINT64_MAX - 9, 9, UINT64_MAX - 9, UINT64_MAX - 9));
    assert_false(load_region(0, 0, 0, 0));
    assert_false(load_region(UINT64_MAX, 2, 0, 0));
    assert_false(load_region(0, 2, UINT64_MAX, 0));
    assert_false(load_region(0, 2, 0, UINT64_MAX));
    assert_false(load_region(1, UINT64_MAX, 0, 0));
}

static void test_table(void **state)
{
    vhu_mem_region in[VHU_MAX_TABLE_REGIONS];
    vhu_mem_region out[VHU_MAX_TABLE_REGIONS];
    const char *why;
    uint32_t n;

    (void)state;
    for (uint32_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++)
        in[i] = (vhu_mem_region){i << 20, 0x1000, i << 24, 0};
    for (uint32_t count = 0; count <= VHU_MAX_TABLE_REGIONS; count++) {
        size_t size = vhu__wire_store_table(bytes, in, count);

        assert_int_equal(size, 8 + 32 * count);
        for (size_t k = 8; k < size; k++)
            assert_false(vhu__wire_load_table(out, &n, bytes, k, &why));
        assert_true(vhu__wire_load_table(out, &n, bytes, size, &why));
        assert_true(vhu__wire_load_table(out, &n, bytes, VHU__WIRE_TABLE_MAX, &why));
        assert_int_equal(n, count);
        assert_memory_equal(in, out, count * sizeof(in[0]));
    }
    in[7].size = 0;
    vhu__wire_store_table(bytes, in, 8);
    assert_false(vhu__wire_load_table(out, &n, bytes, 264, &why));
    for (uint64_t count = 9; count <= UINT32_MAX; count = count * 3 + 1) {
        memcpy(bytes, &(uint32_t){(uint32_t)count}, 4);
        assert_false(vhu__wire_load_table(out, &n, bytes, VHU__WIRE_TABLE_MAX, &why));
    }
}

static bool load_log(uint64_t size, uint64_t offset)
{
    const vhu_log_area in = {size, offset};
    vhu_log_area out;
    const char *why;

    memcpy(bytes, &in, sizeof(in));
    return vhu__wire_load_log(&out, bytes, &why) && out.size == size && out.offset == offset;
}

static void test_log(void **state)
{
    (void)state;
    assert_true(load_log(1, 0));
    assert_true(load_log(1, UINT64_MAX - 1));
    assert_false(load_log(0, 0));
    assert_false(load_log(1, UINT64_MAX));
    assert_false(load_log(UINT64_MAX, 1));
}

static bool load_iotlb(uint64_t iova, uint64_t size, uint64_t user, uint8_t perm, uint8_t type)
{
    const vhu_iotlb_msg in = {iova, size, user, perm, type, {0}};
    vhu_iotlb_msg out;
    const char *why;

    memcpy(bytes, &in, sizeof(in));
    return vhu__wire_load_iotlb(&out, bytes, &why) && memcmp(&in, &out, sizeof(in)) == 0;
}

static void test_iotlb(void **state)
{
    (void)state;
    for (uint8_t perm = 0; perm < 5; perm++)
        assert_int_equal(load_iotlb(0, 1, 0, perm, VHU_IOTLB_UPDATE), perm >= 1 && perm <= 3);
    for (uint8_t type = 0; type < 7; type++)
        assert_int_equal(load_iotlb(0, 1, 0, 3, type), type >= 1 && type <= 4);
    assert_true(load_iotlb(0, UINT64_MAX, 0, 3, VHU_IOTLB_INVALIDATE));
    assert_true(load_iotlb(UINT64_MAX, 1, UINT64_MAX, 3, VHU_IOTLB_UPDATE));
    assert_false(load_iotlb(UINT64_MAX, 2, 0, 3, VHU_IOTLB_UPDATE));
    assert_false(load_iotlb(0, 2, UINT64_MAX, 3, VHU_IOTLB_UPDATE));
    assert_true(load_iotlb(0, 2, UINT64_MAX, 0, VHU_IOTLB_INVALIDATE));
    assert_false(load_iotlb(0, 0, 0, 3, VHU_IOTLB_UPDATE));
    assert_true(load_iotlb(0, 0, 0, 3, VHU_IOTLB_INVALIDATE));
    assert_false(load_iotlb(1, 0, 0, 3, VHU_IOTLB_INVALIDATE));
}

static bool load_config(uint32_t offset, uint32_t len, uint32_t flags, size_t size)
{
    const vhu_config_header in = {offset, len, flags};
    vhu_config_header out;
    const char *why;

    vhu__wire_store_config(bytes, &in);
    return vhu__wire_load_config(&out, bytes, size, &why) && memcmp(&in, &out, sizeof(in)) == 0;
}

static void test_config(void **state)
{
    (void)state;
    assert_true(load_config(0, 0, 0, 12));
    assert_true(load_config(0, 4096, 1, 12 + 4096));
    assert_true(load_config(4095, 1, 0, 13));
    assert_true(load_config(4096, 0, 0, 12));
    assert_false(load_config(4096, 1, 0, 13));
    assert_false(load_config(4097, 0, 0, 12));
    assert_false(load_config(UINT32_MAX, 1, 0, 13));
    assert_false(load_config(0, 1, 0, 12));
    assert_false(load_config(0, 1, 0, 14));
    assert_false(load_config(0, UINT32_MAX, 0, 12));
    assert_true(load_config(0, 1, 2, 13));
    assert_false(load_config(0, 1, 4, 13));
}

static void test_inflight(void **state)
{
    const vhu_inflight_area in = {1, 2, 3, 4};
    vhu_inflight_area out;

    (void)state;
    memset(bytes, 0xff, 32);
    vhu__wire_store_inflight(bytes, &in, 20);
    assert_int_equal(bytes[20], 0xff);
    vhu__wire_store_inflight(bytes, &in, 24);
    assert_int_equal(bytes[20], 0);
    assert_int_equal(bytes[24], 0xff);
    vhu__wire_load_inflight(&out, bytes);
    assert_int_equal(out.mmap_size, 1);
    assert_int_equal(out.mmap_offset, 2);
    assert_int_equal(out.num_queues, 3);
    assert_int_equal(out.queue_size, 4);
}

static void test_device_state(void **state)
{
    vhu_device_state out;
    const char *why;

    (void)state;
    for (uint32_t direction = 0; direction < 4; direction++) {
        for (uint32_t phase = 0; phase < 3; phase++) {
            memcpy(bytes, &(vhu_device_state){direction, phase}, 8);
            assert_int_equal(vhu__wire_load_device_state(&out, bytes, &why),
                             direction < 2 && phase == 0);
        }
    }
}

static void test_shmem(void **state)
{
    static vhu_shmem_config config;

    (void)state;
    config.num_regions = 256;
    config.sizes[255] = 0xa5;
    assert_int_equal(vhu__wire_store_shmem(bytes, &config), 2056);
    assert_int_equal(bytes[2048], 0xa5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_header),       leakcheck_test(test_u64),
        leakcheck_test(test_vring),        leakcheck_test(test_vring_addr),
        leakcheck_test(test_region),       leakcheck_test(test_table),
        leakcheck_test(test_log),          leakcheck_test(test_iotlb),
        leakcheck_test(test_config),       leakcheck_test(test_inflight),
        leakcheck_test(test_device_state), leakcheck_test(test_shmem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
