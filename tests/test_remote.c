/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit with a device at work, and what it is asked in vain. */
#include "test_remote_fixture.h"

#include <string.h>

#include "support/sys.h"

#define SLOTS VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)

static const vhu_mem_region extra = {.guest_addr = GUEST_BASE * 16, .size = 0x3b10};

/* --- a device at work --- */

static void test_echo(void **state)
{
    static const vhu_remote_options rows[] = {
        {.features = VHU_DRIVER_FEATURES},
        {.features = GUEST_SPLIT},
        {.features = GUEST_PACKED},
        {.features = GUEST_SPLIT | VHU_BIT(VHU_F_IN_ORDER)},
        {.features = VHU_BIT(VHU_F_VERSION_1)},
        {.features = VHU_DRIVER_FEATURES, .withheld_protocol_features = SLOTS},
        {.features = VHU_DRIVER_FEATURES, .withheld_protocol_features = UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        guest g;

        guest_open(&g, &rows[i]);
        guest_start(&g);
        assert_true(vhu_remote_is_running(g.remote));
        assert_int_equal(vhu_remote_features(g.remote), rows[i].features);
        for (int round = 0; round < 100; round++)
            guest_exercise(&g);
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        for (uint32_t k = 0; k < GUEST_RINGS; k++)
            assert_int_equal(vhu_remote_ring_base(g.remote, k), vhu_driver_ring_base(g.rings[k]));
        assert_int_equal(vhu_remote_start(g.remote), 0);
        guest_exercise(&g);
        guest_close(&g);
    }
}

static void test_reset(void **state)
{
    guest g;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    guest_exercise(&g);
    assert_int_equal(vhu_remote_reset(g.remote), 0);
    assert_false(vhu_remote_is_running(g.remote));
    assert_int_equal(vhu_remote_set_features(g.remote, VHU_BIT(VHU_F_VERSION_1)), 0);
    guest_set_rings(&g);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_exercise(&g);
    guest_close(&g);
}

static void test_configuration(void **state)
{
    uint8_t bytes[4];
    guest g;

    (void)state;
    guest_open(&g, NULL);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(vhu_remote_get_config(g.remote, 8, bytes, sizeof(bytes)), 0);
    for (size_t i = 0; i < sizeof(bytes); i++)
        assert_int_equal(bytes[i], 8 + i);
    assert_int_equal(vhu_remote_get_config(g.remote, 4095, bytes, 2), VHU_EINVAL);
    assert_int_equal(vhu_remote_set_config(g.remote, 0, bytes, 1), 0);
    /* It says that its configuration has changed. */
    while (g.config_changes == 0) {
        assert_int_equal(vhu_conn_wait(vhu_remote_channel(g.remote), 60000), 0);
        assert_int_equal(vhu_remote_serve(g.remote), 0);
    }
    assert_int_equal(vhu_remote_serve(g.remote), 0);
    guest_close(&g);
}

/* Only who asks for it gets one, and only a device that has one gives it. */
static void test_host_notifier(void **state)
{
    static const struct {
        bool gives;
        uint64_t withheld;
        unsigned given;
    } rows[] = {{true, 0, 1}, {true, VHU_BIT(VHU_PF_HOST_NOTIFIER), 0}, {false, 0, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const vhu_remote_options options = {.withheld_protocol_features = rows[i].withheld};
        const uint8_t byte = 0;
        guest g;

        guest_open(&g, &options);
        g.script->gives_notifier = rows[i].gives;
        assert_int_equal(guest_connect(&g), 0);
        assert_int_equal(vhu_remote_set_config(g.remote, 0, &byte, 1), 0);
        while (g.config_changes == 0) {
            assert_int_equal(vhu_conn_wait(vhu_remote_channel(g.remote), 60000), 0);
            assert_int_equal(vhu_remote_serve(g.remote), 0);
        }
        assert_int_equal(g.notifiers, rows[i].given);
        assert_int_equal(g.notifier_ring, rows[i].given ? 1 : 0);
        assert_int_equal(g.notifier_size, rows[i].given ? 4096 : 0);
        assert_int_equal(g.notifier_offset, rows[i].given ? 4096 : 0);
        guest_close(&g);
    }
}

static uint64_t status_of(guest *g)
{
    uint64_t status = UINT64_MAX;

    assert_int_equal(vhu_backend_client_get_status(vhu_remote_client(g->remote), &status), 0);
    return status;
}

/* As the driver would have it: with the features, when it runs, and 0 when it has stopped. */
static void test_status(void **state)
{
    const vhu_remote_options without = {.withheld_protocol_features = VHU_BIT(VHU_PF_STATUS)};
    uint64_t status;
    guest g;

    (void)state;
    guest_open(&g, NULL);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(status_of(&g), 0);
    assert_int_equal(guest_add_memory(&g), 0);
    guest_set_rings(&g);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(vhu_remote_start(g.remote), 0);
        assert_int_equal(status_of(&g), 0xf);
        guest_exercise(&g);
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        assert_int_equal(status_of(&g), 0);
    }
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(status_of(&g), 0xf);
    assert_int_equal(vhu_remote_reset(g.remote), 0);
    assert_int_equal(status_of(&g), 0);
    guest_close(&g);

    guest_open(&g, &without);
    guest_start(&g);
    assert_int_equal(vhu_backend_client_get_status(vhu_remote_client(g.remote), &status),
                     VHU_ENOSYS);
    guest_close(&g);
}

static void test_memory_while_running(void **state)
{
    static const uint64_t withheld[] = {0, SLOTS};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const vhu_remote_options options = {.withheld_protocol_features = withheld[i]};
        vhu_mem_region region = extra;
        vhu_shm *more;
        guest g;

        guest_open(&g, &options);
        guest_start(&g);
        assert_int_equal(vhu_shm_new(&more, region.size), 0);
        region.user_addr = (uintptr_t)vhu_shm_base(more);
        assert_int_equal(vhu_remote_add_memory(g.remote, &region, vhu_shm_handle(more)), 0);
        guest_exercise(&g);
        assert_int_equal(vhu_remote_add_memory(g.remote, &region, vhu_shm_handle(more)),
                         VHU_EINVAL);
        assert_int_equal(vhu_remote_remove_memory(g.remote, GUEST_BASE, GUEST_SIZE), VHU_ESTATE);
        assert_int_equal(vhu_remote_remove_memory(g.remote, region.guest_addr, 1), VHU_ENOENT);
        assert_int_equal(vhu_remote_remove_memory(g.remote, region.guest_addr, region.size), 0);
        guest_exercise(&g);
        assert_int_equal(vhu_memory_count(vhu_remote_memory(g.remote)), 1);
        vhu_shm_free(more);
        guest_close(&g);
    }
}

/* A handle that the back-end cannot map, and more than fits into a table: all is as before. */
static void test_memory_refused(void **state)
{
    const vhu_remote_options options = {.withheld_protocol_features = SLOTS};
    vhu_shm *more;
    vhu_handle other;
    guest g;

    (void)state;
    guest_open(&g, &options);
    guest_start(&g);
    assert_int_equal(vhu_shm_new(&more, 16 * 4096), 0);
    other = sys_handle_new();
    for (uint64_t i = 0; i < VHU_MAX_TABLE_REGIONS; i++) {
        const vhu_mem_region region = {.guest_addr = GUEST_BASE * (16 + i),
                                       .size = 4096,
                                       .user_addr = (uintptr_t)vhu_shm_base(more) + 4096 * i,
                                       .mmap_offset = 4096 * i};
        bool full = i + 1 == VHU_MAX_TABLE_REGIONS;

        assert_int_equal(vhu_remote_add_memory(g.remote, &region, other),
                         full ? VHU_EOVERFLOW : VHU_EREFUSED);
        assert_int_equal(vhu_remote_add_memory(g.remote, &region, vhu_shm_handle(more)),
                         full ? VHU_EOVERFLOW : 0);
    }
    assert_int_equal(vhu_memory_count(vhu_remote_memory(g.remote)), VHU_MAX_TABLE_REGIONS);
    guest_exercise(&g);
    vhu_handle_close(&other);
    vhu_shm_free(more);
    guest_close(&g);
}

static void test_events_of_the_vmm(void **state)
{
    vhu_event *own;
    vhu_handle handle;
    guest g;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    assert_int_equal(vhu_event_new(&own), 0);
    assert_int_equal(vhu_event_dup_signal(own, &handle), 0);
    assert_int_equal(vhu_remote_set_event(g.remote, 0, VHU_VRING_CALL, handle), 0);
    vhu_handle_close(&handle);
    /* The new one is signalled once; then for a request. */
    assert_int_equal(vhu_event_wait(own, 60000), 0);
    vhu_event_clear(own);
    vhu_driver_ring_enable_calls(g.rings[0]);
    guest_submit(&g, 0, 0, 1);
    assert_int_equal(vhu_event_wait(own, 60000), 0);
    guest_collect(&g, 0, 1);
    assert_int_equal(vhu_remote_set_event(g.remote, 0, VHU_VRING_CALL, VHU_NO_HANDLE), 0);
    assert_int_equal(vhu_remote_set_event(g.remote, GUEST_RINGS, VHU_VRING_CALL, VHU_NO_HANDLE),
                     VHU_EINVAL);
    vhu_event_free(own);
    guest_close(&g);
}

static void test_events_of_the_kit_again(void **state)
{
    static const vhu_vring_event events[] = {VHU_VRING_KICK, VHU_VRING_CALL};
    vhu_event *own;
    vhu_handle handle;
    guest g;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    assert_int_equal(vhu_event_new(&own), 0);
    for (size_t i = 0; i < 2; i++) {
        if (events[i] == VHU_VRING_KICK)
            assert_int_equal(vhu_event_dup_wait(own, &handle), 0);
        else
            assert_int_equal(vhu_event_dup_signal(own, &handle), 0);
        assert_int_equal(vhu_remote_set_event(g.remote, 0, events[i], handle), 0);
        vhu_handle_close(&handle);
        /* The kick goes nowhere, or the call elsewhere. */
        vhu_driver_ring_enable_calls(g.rings[0]);
        guest_submit(&g, 0, 0, 4);
        assert_int_equal(vhu_remote_restore_event(g.remote, 0, events[i]), 0);
        guest_collect(&g, 0, 4);
        guest_exercise(&g);
    }
    assert_int_equal(vhu_remote_restore_event(g.remote, GUEST_RINGS, VHU_VRING_CALL), VHU_EINVAL);
    /* Before a start nobody needs to be told. */
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_set_event(g.remote, 0, VHU_VRING_CALL, VHU_NO_HANDLE), 0);
    assert_int_equal(vhu_remote_restore_event(g.remote, 0, VHU_VRING_CALL), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_exercise(&g);
    vhu_event_free(own);
    guest_close(&g);
}

static void test_enabling(void **state)
{
    guest g;

    (void)state;
    guest_open(&g, NULL);
    assert_int_equal(vhu_remote_enable_ring(g.remote, 1, false), 0);
    guest_start(&g);
    guest_submit(&g, 1, 0, 4);
    guest_submit(&g, 0, 0, 4);
    guest_collect(&g, 0, 4);
    assert_int_equal(atomic_load(&g.script->taken), 4);
    assert_int_equal(vhu_remote_enable_ring(g.remote, 1, true), 0);
    guest_collect(&g, 1, 4);
    assert_int_equal(vhu_remote_enable_ring(g.remote, GUEST_RINGS, true), VHU_EINVAL);
    guest_close(&g);
}

/* --- arguments and states --- */

static void test_wrong_options(void **state)
{
    const vhu_remote_options rows[] = {
        {.size = 0, .num_rings = 1},
        {.size = sizeof(rows[0])},
        {.size = sizeof(rows[0]), .num_rings = VHU_MAX_RINGS + 1},
    };
    vhu_remote *remote;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(vhu_remote_new(&remote, &rows[i]), VHU_EINVAL);
    vhu_remote_free(NULL);
}

static void test_wrong_rings(void **state)
{
    static const struct {
        uint32_t ring;
        vhu_ring_layout layout;
        uint32_t base;
        int result;
        bool packed;
    } rows[] = {
        {2, {16, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, 0, VHU_EINVAL, false},
        {0, {0, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, 0, VHU_EINVAL, false},
        {0, {24, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, 0, VHU_EINVAL, false},
        {0, {65536, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, 0, VHU_EINVAL, false},
        {0, {16, 0, GUEST_BASE + 8, GUEST_BASE, GUEST_BASE}, 0, VHU_EINVAL, false},
        {0, {16, 0, GUEST_BASE, GUEST_BASE + 1, GUEST_BASE}, 0, VHU_EINVAL, false},
        {0, {16, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE + 2}, 0, VHU_EINVAL, false},
        {0, {16, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, 65536, VHU_EINVAL, false},
        {0, {16, 0, 0, GUEST_BASE, GUEST_BASE}, 0, VHU_EFAULT, false},
        {0, {16, 0, GUEST_BASE + GUEST_SIZE - 240, GUEST_BASE, GUEST_BASE}, 0, VHU_EFAULT, false},
        {0, {16, 0, GUEST_BASE, GUEST_BASE + GUEST_SIZE, GUEST_BASE}, 0, VHU_EFAULT, false},
        {0, {16, 0, GUEST_BASE, GUEST_BASE, UINT64_MAX - 3}, 0, VHU_EFAULT, false},
        {0, {16, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, 65535, 0, false},
        {0, {0, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, VHU_PACKED_RING_BASE, VHU_EINVAL, true},
        {0, {32769, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE}, VHU_PACKED_RING_BASE, VHU_EINVAL, true},
        {0,
         {24, 0, GUEST_BASE, GUEST_BASE + 2, GUEST_BASE},
         VHU_PACKED_RING_BASE,
         VHU_EINVAL,
         true},
        {0,
         {24, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE + 2},
         VHU_PACKED_RING_BASE,
         VHU_EINVAL,
         true},
        {0, {24, 0, GUEST_BASE, GUEST_BASE, 0}, VHU_PACKED_RING_BASE, VHU_EFAULT, true},
        {0,
         {24, 0, GUEST_BASE, GUEST_BASE, GUEST_BASE + GUEST_SIZE - 4},
         VHU_PACKED_RING_BASE,
         0,
         true},
    };
    const vhu_remote_options packed = {.features = GUEST_PACKED};
    guest g;

    (void)state;
    guest_open(&g, &packed);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(guest_add_memory(&g), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            vhu_remote_set_features(g.remote, rows[i].packed ? GUEST_PACKED : GUEST_SPLIT), 0);
        assert_int_equal(vhu_remote_set_ring(g.remote, rows[i].ring, &rows[i].layout, rows[i].base),
                         rows[i].result);
    }
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), VHU_PACKED_RING_BASE);
    /* Set as a packed one, it cannot run as a split one. */
    assert_int_equal(vhu_remote_set_features(g.remote, GUEST_SPLIT), 0);
    assert_int_equal(vhu_remote_start(g.remote), VHU_EINVAL);
    assert_int_equal(vhu_remote_set_ring_base(g.remote, 0, 1), VHU_EINVAL);
    assert_int_equal(vhu_remote_set_ring_base(g.remote, 1, 1), VHU_EINVAL);
    assert_int_equal(vhu_remote_set_ring_base(g.remote, 7, 1), VHU_EINVAL);
    assert_null(vhu_remote_event(g.remote, 1, VHU_VRING_KICK));
    assert_null(vhu_remote_event(g.remote, 7, VHU_VRING_KICK));
    guest_close(&g);
}

static void test_states(void **state)
{
    uint8_t byte = 0;
    sys_address nowhere;
    guest g;

    (void)state;
    sys_address_new(&nowhere);
    guest_open(&g, NULL);
    assert_int_equal(vhu_remote_start(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_stop(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_serve(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_get_config(g.remote, 0, &byte, 1), VHU_ESTATE);
    assert_int_equal(vhu_remote_set_config(g.remote, 0, &byte, 1), VHU_ESTATE);
    assert_int_equal(vhu_remote_set_features(g.remote, 1), VHU_EINVAL);
    assert_null(vhu_remote_conn(g.remote));
    assert_null(vhu_remote_channel(g.remote));
    assert_null(vhu_remote_client(g.remote));
    assert_int_equal(vhu_remote_connect(g.remote, nowhere.text), VHU_ENOENT);
    assert_non_null(strstr(vhu_remote_last_error(g.remote), nowhere.text));
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(vhu_remote_start(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_connect(g.remote, nowhere.text), VHU_ESTATE);
    assert_int_equal(guest_add_memory(&g), 0);
    guest_set_rings(&g);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    assert_int_equal(vhu_remote_start(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_set_features(g.remote, 0), VHU_ESTATE);
    assert_int_equal(vhu_remote_set_ring(g.remote, 0, vhu_driver_ring_layout(g.rings[0]), 0),
                     VHU_ESTATE);
    assert_int_equal(vhu_remote_set_ring_base(g.remote, 0, 0), VHU_ESTATE);
    guest_close(&g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_echo),
        leakcheck_test(test_reset),
        leakcheck_test(test_configuration),
        leakcheck_test(test_host_notifier),
        leakcheck_test(test_status),
        leakcheck_test(test_memory_while_running),
        leakcheck_test(test_memory_refused),
        leakcheck_test(test_events_of_the_vmm),
        leakcheck_test(test_events_of_the_kit_again),
        leakcheck_test(test_enabling),
        leakcheck_test(test_wrong_options),
        leakcheck_test(test_wrong_rings),
        leakcheck_test(test_states),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
