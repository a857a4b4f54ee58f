/* SPDX-License-Identifier: BSD-3-Clause */
/* Protocol features that the device kit has, and shall not offer. */
#include "test_device_fixture.h"

enum { REQUESTS = 5 };

static const kit_options one_ring = {
    .rings = 1, .inband = true, .host_notifiers = true, .cross_endian = true};

static uint64_t offered(kit *k)
{
    return frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES);
}

/* What goes with a feature, if it is not that alone. */
static const struct {
    unsigned withheld;
    uint64_t too;
} rows[] = {
    {VHU_PF_BACKEND_REQ, VHU_BIT(VHU_PF_BACKEND_SEND_FD) | VHU_BIT(VHU_PF_HOST_NOTIFIER) |
                             VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS)},
    {VHU_PF_HOST_NOTIFIER, VHU_BIT(VHU_PF_BACKEND_SEND_FD)},
};

static uint64_t goes_with(unsigned bit)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].withheld == bit)
            return VHU_BIT(bit) | rows[i].too;
    }
    return VHU_BIT(bit);
}

/* One after another; who takes it all the same is refused. */
static void test_each(void **state)
{
    kit_options options = one_ring;
    kit *k = kit_new(&options);
    const uint64_t all = offered(k);

    (void)state;
    kit_free(k);
    for (unsigned bit = 0; bit < 64; bit++) {
        if (bit == VHU_PF_REPLY_ACK)
            continue;
        options.withhold = VHU_BIT(bit);
        k = kit_new(&options);
        assert_int_equal(offered(k), all & ~goes_with(bit));
        frontend_set(&k->front, VHU_REQ_SET_PROTOCOL_FEATURES, all);
        kit_serve(k);
        assert_int_equal(!k->server, (all & VHU_BIT(bit)) != 0);
        kit_free(k);
    }
}

static void test_all(void **state)
{
    kit_options options = one_ring;
    kit *k;

    (void)state;
    options.withhold = ~VHU_BIT(VHU_PF_REPLY_ACK);
    k = kit_new(&options);
    assert_int_equal(offered(k), VHU_BIT(VHU_PF_REPLY_ACK));
    kit_free(k);
}

/* The server's own. */
static void test_reply_ack(void **state)
{
    const vhu_device_options options = {.size = sizeof(options),
                                        .num_rings = 1,
                                        .withhold = VHU_BIT(VHU_PF_MQ) | VHU_BIT(VHU_PF_REPLY_ACK)};
    vhu_device *device = NULL;

    (void)state;
    assert_int_equal(vhu_device_new(&device, &options, &echo_ops, NULL, NULL, NULL), VHU_EINVAL);
    assert_null(device);
}

/* Without slots there are none, and a table comes while the ring runs. */
static void without_slots(const kit_options *options)
{
    const uint64_t slots = VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS);
    kit *k = kit_new(options);
    frontend *f = &k->front;

    frontend_handshake(f, FRONTEND_PROTOCOL & ~slots);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, 0), 1);
    assert_int_equal(frontend_table(f, 0, 1), 0);
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, REQUESTS);
    for (size_t n = 2; n >= 1; n--) {
        assert_int_equal(frontend_table(f, 0, n), 0);
        kit_requests(k, 0, REQUESTS);
    }
    kit_free(k);
}

static void test_slots(void **state)
{
    (void)state;
    kit_each(
        without_slots,
        (kit_options){.rings = 1, .regions = 2, .withhold = VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_each),
        leakcheck_test(test_all),
        leakcheck_test(test_reply_ack),
        leakcheck_test(test_slots),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
