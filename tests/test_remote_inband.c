/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit with kicks and calls as messages, and with back-ends that do without. */
#include "test_remote_fixture.h"

#include <string.h>

#include "virtio_ring.h"

#define INBAND VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS)

static bool is_inband(const guest *g)
{
    return vhu_backend_client_protocol_features(vhu_remote_client(g->remote)) & INBAND;
}

static void start(guest *g, const vhu_remote_options *options)
{
    guest_open(g, options);
    g->script->inband = true;
    guest_start(g);
}

static void test_echo(void **state)
{
    static const vhu_remote_options rows[] = {
        {.inband = true},
        {.inband = true, .features = VHU_DRIVER_FEATURES},
        {.inband = true, .features = VHU_BIT(VHU_F_VERSION_1)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        guest g;

        start(&g, &rows[i]);
        assert_true(is_inband(&g));
        for (int round = 0; round < 100; round++)
            guest_exercise(&g);
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        assert_int_equal(vhu_remote_start(g.remote), 0);
        guest_exercise(&g);
        assert_int_equal(vhu_remote_reset(g.remote), 0);
        guest_set_rings(&g);
        assert_int_equal(vhu_remote_start(g.remote), 0);
        guest_exercise(&g);
        assert_true(g.calls[0] > 0 && g.calls[1] > 0);
        assert_int_equal(g.errs, 0);
        guest_close(&g);
    }
}

/* The channel is there for the calls alone. */
static void test_without_ops(void **state)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = GUEST_RINGS, .features = GUEST_SPLIT, .inband = true};
    guest g;

    (void)state;
    guest_open(&g, NULL);
    g.script->inband = true;
    vhu_remote_free(g.remote);
    assert_int_equal(vhu_remote_new(&g.remote, &options), 0);
    guest_start(&g);
    assert_true(is_inband(&g));
    guest_exercise(&g);
    guest_close(&g);
}

/* Events are what there is if the VMM does not want messages, or the back-end has not all of it. */
static void test_events_instead(void **state)
{
    static const struct {
        bool wanted, offered;
        uint64_t withheld;
    } rows[] = {
        {false, true, 0},
        {true, false, 0},
        {true, true, INBAND},
        {true, true, VHU_BIT(VHU_PF_BACKEND_REQ)},
        {true, true, VHU_BIT(VHU_PF_REPLY_ACK)},
        {true, true, UINT64_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const vhu_remote_options options = {.inband = rows[i].wanted,
                                            .withheld_protocol_features = rows[i].withheld};
        guest g;

        guest_open(&g, &options);
        g.script->inband = rows[i].offered;
        guest_start(&g);
        assert_false(is_inband(&g));
        guest_exercise(&g);
        guest_submit(&g, 0, 0, 3);
        assert_int_equal(vhu_remote_kick(g.remote, 0), 0);
        guest_collect(&g, 0, 3);
        assert_int_equal(g.calls[0] + g.calls[1], 0);
        guest_close(&g);
    }
}

/* The next back-end is kicked for what the last has left, and calls for what that has done. */
static void test_reconnect(void **state)
{
    const vhu_remote_options options = {.inband = true};

    (void)state;
    for (int offers = 0; offers < 2; offers++) {
        guest g;

        start(&g, &options);
        guest_exercise(&g);
        g.script->keeps = true;
        g.script->num_done = 32 + 5;
        for (uint32_t i = 0; i < GUEST_RINGS; i++)
            guest_submit(&g, i, 0, 16);
        while (atomic_load(&g.script->taken) < 64)
            uv_sleep(1);
        guest_kill_backend(&g);
        vhu_remote_disconnect(g.remote);
        assert_int_equal(vhu_remote_kick(g.remote, 0), 0);
        g.script->keeps = false;
        g.script->inband = offers;
        assert_int_equal(guest_connect(&g), 0);
        assert_int_equal(is_inband(&g), offers);
        for (uint32_t i = 0; i < GUEST_RINGS; i++)
            guest_collect(&g, i, 16);
        guest_exercise(&g);
        guest_close(&g);
    }
}

/* A ring that the guest breaks. */
static void test_error(void **state)
{
    const vhu_remote_options options = {.inband = true, .features = VHU_BIT(VHU_F_VERSION_1)};
    vhu_event *err;
    vhu__avail *avail;
    guest g;

    (void)state;
    start(&g, &options);
    guest_exercise(&g);
    err = vhu_remote_event(g.remote, 0, VHU_VRING_ERR);
    avail =
        vhu_memory_at(vhu_remote_memory(g.remote), GUEST_BASE + vhu__desc_bytes(GUEST_RING_SIZE),
                      vhu__avail_bytes(GUEST_RING_SIZE));
    assert_int_equal(avail->idx, 16);
    avail->idx += 1000;
    assert_int_equal(vhu_remote_kick(g.remote, 0), 0);
    while (vhu_event_wait(err, 0) == VHU_ETIMEDOUT) {
        assert_int_equal(vhu_conn_wait(vhu_remote_channel(g.remote), -1), 0);
        assert_int_equal(vhu_remote_serve(g.remote), 0);
    }
    assert_int_equal(g.errs, 1);
    guest_submit(&g, 1, 0, 3);
    guest_collect(&g, 1, 3);
    guest_close(&g);
}

/* The VMM's own event goes before messages, and there is no other way to it. */
static void test_own_events(void **state)
{
    const vhu_remote_options options = {.inband = true};
    vhu_event *kick;
    vhu_handle handle;
    guest g;

    (void)state;
    start(&g, &options);
    assert_int_equal(vhu_event_new(&kick), 0);
    assert_int_equal(vhu_event_dup_wait(kick, &handle), 0);
    assert_int_equal(vhu_remote_set_event(g.remote, 0, VHU_VRING_KICK, handle), 0);
    vhu_handle_close(&handle);
    assert_int_equal(vhu_remote_kick(g.remote, 0), VHU_ESTATE);
    assert_int_equal(vhu_remote_kick(g.remote, GUEST_RINGS), VHU_EINVAL);
    assert_int_equal(vhu_event_signal(kick), 0);
    guest_submit(&g, 1, 0, 3);
    guest_collect(&g, 1, 3);
    assert_int_equal(vhu_remote_restore_event(g.remote, 0, VHU_VRING_KICK), 0);
    guest_exercise(&g);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_kick(g.remote, 0), 0);
    vhu_event_free(kick);
    guest_close(&g);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_echo),           leakcheck_test(test_without_ops),
        leakcheck_test(test_events_instead), leakcheck_test(test_reconnect),
        leakcheck_test(test_error),          leakcheck_test(test_own_events),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
