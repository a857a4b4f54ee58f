/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit and SET_VRING_ENDIAN; the driver of these tests is little-endian. */
#include "test_device_fixture.h"

#define ENDIAN (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_CROSS_ENDIAN))

static const kit_options two_rings = {.rings = 2, .cross_endian = true};

static int64_t set_endian(frontend *f, uint32_t ring, uint32_t order)
{
    return frontend_vring(f, VHU_REQ_SET_VRING_ENDIAN, ring, order);
}

static kit *begin(const kit_options *options, uint64_t removed)
{
    kit *k = kit_new(options);

    k->front.features &= ~removed;
    frontend_handshake(&k->front, ENDIAN);
    frontend_share(&k->front, 1);
    return k;
}

static bool is_big(kit *k, uint32_t ring)
{
    return vhu_ring_is_big_endian(vhu_device_ring(k->device, ring));
}

static void legacy(const kit_options *options)
{
    kit *k = begin(options, VHU_BIT(VHU_F_VERSION_1));
    frontend *f = &k->front;

    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(set_endian(f, i, 0), 0);
        frontend_start_ring(f, i, 0);
        kit_requests(k, i, 3);
        assert_false(is_big(k, i));
    }
    /* While it runs: an index of 3 is one of 768 then, and that of others stays. */
    assert_int_equal(set_endian(f, 0, 1), 0);
    kit_turn(k);
    assert_true(is_big(k, 0));
    assert_false(is_big(k, 1));
    assert_true(frontend_signalled(f->rings[0].err));
    assert_false(frontend_signalled(f->rings[1].err));
    kit_requests(k, 1, 3);
    assert_int_equal(set_endian(f, 0, 0), 0);
    kit_requests(k, 0, 3);
    /* What a device that is reset does not remember. */
    assert_int_equal(set_endian(f, 0, 1), 0);
    assert_int_equal(set_endian(f, 0, 2), 1);
    assert_int_equal(set_endian(f, 0, UINT32_MAX), 1);
    assert_int_equal(set_endian(f, 2, 0), 1);
    assert_int_equal(frontend_request(f, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    assert_int_equal(is_big(k, 0), is_big(k, 1));
    kit_free(k);
}

static void test_legacy(void **state)
{
    (void)state;
    kit_each(legacy, two_rings);
}

/* With virtio 1.0 whatever the guest is makes no difference. */
static void version_1(const kit_options *options)
{
    kit *k = begin(options, 0);
    frontend *f = &k->front;

    assert_int_equal(set_endian(f, 0, 1), 0);
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 3);
    assert_int_equal(set_endian(f, 0, 0), 0);
    kit_requests(k, 0, 3);
    assert_int_equal(set_endian(f, 0, 1), 0);
    kit_requests(k, 0, 3);
    assert_false(is_big(k, 0));
    kit_free(k);
}

static void test_version_1(void **state)
{
    (void)state;
    kit_each(version_1, two_rings);
}

/* A device that does not ask is not offered to such guests. */
static void test_offer(void **state)
{
    kit *k = kit_new(&(kit_options){.rings = 1});
    frontend *f = &k->front;

    (void)state;
    assert_int_equal(frontend_get(f, VHU_REQ_GET_PROTOCOL_FEATURES) & VHU_BIT(VHU_PF_CROSS_ENDIAN),
                     0);
    frontend_handshake(f, FRONTEND_PROTOCOL);
    assert_int_equal(set_endian(f, 0, 0), 1);
    assert_int_equal(set_endian(f, 0, 1), 1);
    frontend_share(f, 1);
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 3);
    kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_legacy),
        leakcheck_test(test_version_1),
        leakcheck_test(test_offer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
