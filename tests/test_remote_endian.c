/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit with drivers before 1.0, in guests of either byte order. */
#include "test_remote_fixture.h"

#include <string.h>

#include "endian.h"

#define CROSS_ENDIAN VHU_BIT(VHU_PF_CROSS_ENDIAN)

enum { FOREIGN = !VHU__BIG_ENDIAN };

/* What drivers before 1.0 acknowledge. */
#define LEGACY (GUEST_SPLIT & ~VHU_BIT(VHU_F_VERSION_1))

static const vhu_remote_options legacy = {.features = LEGACY};

static void open_guest(guest *g, const vhu_remote_options *options, bool big_endian)
{
    guest_open(g, options);
    g->script->cross_endian = true;
    g->big_endian = big_endian;
}

static void restart(guest *g, bool big_endian)
{
    g->big_endian = big_endian;
    guest_set_rings(g);
    assert_int_equal(vhu_remote_start(g->remote), 0);
    guest_exercise(g);
}

static void test_echo(void **state)
{
    static const vhu_remote_options rows[] = {
        {.features = LEGACY},
        {.features = VHU_BIT(VHU_F_RING_INDIRECT_DESC)},
        {.features = LEGACY, .inband = true},
        {.features = LEGACY, .withheld_protocol_features = UINT64_MAX & ~CROSS_ENDIAN},
        {.features = GUEST_SPLIT},
        {.features = GUEST_PACKED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int big_endian = 0; big_endian < 2; big_endian++) {
            guest g;

            open_guest(&g, &rows[i], big_endian);
            g.script->inband = rows[i].inband;
            guest_start(&g);
            for (int round = 0; round < 20; round++)
                guest_exercise(&g);
            assert_int_equal(vhu_remote_stop(g.remote), 0);
            assert_int_equal(vhu_remote_start(g.remote), 0);
            guest_exercise(&g);
            /* Another guest starts up in its place, without a reset or with one. */
            assert_int_equal(vhu_remote_stop(g.remote), 0);
            restart(&g, !big_endian);
            assert_int_equal(vhu_remote_reset(g.remote), 0);
            restart(&g, big_endian);
            guest_close(&g);
        }
    }
}

/* The order and the used index that is in it go to the next back-end. */
static void reconnect(bool big_endian, bool no_inflight)
{
    guest g;

    open_guest(&g, &legacy, big_endian);
    if (no_inflight)
        g.script->withhold = VHU_BIT(VHU_PF_INFLIGHT_SHMFD);
    guest_start(&g);
    guest_exercise(&g);
    g.script->keeps = true;
    g.script->num_done = 32 + 5;
    guest_submit(&g, 0, 0, 20);
    guest_collect(&g, 0, 5);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    g.script->keeps = false;
    if (no_inflight)
        assert_int_equal(vhu_driver_ring_replay(g.rings[0]), 0);
    assert_int_equal(guest_connect(&g), 0);
    guest_collect(&g, 0, 15);
    guest_exercise(&g);
    guest_kill_backend(&g);
    assert_true(vhu_remote_stop(g.remote) < 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), 16 + 20 + 16);
    assert_int_equal(vhu_remote_ring_base(g.remote, 1), 16 + 16);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_exercise(&g);
    guest_close(&g);
}

static void test_reconnect(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++)
        reconnect(i & 1, i & 2);
}

/* A back-end that knows its own order alone has the guests that are in it, and no others. */
static void refuse(const vhu_remote_options *options, bool cross_endian)
{
    guest g;

    open_guest(&g, options, FOREIGN);
    g.script->cross_endian = cross_endian;
    assert_int_equal(guest_add_memory(&g), 0);
    assert_int_equal(guest_connect(&g), 0);
    guest_set_rings(&g);
    assert_int_equal(vhu_remote_start(g.remote), VHU_ENOSYS);
    assert_string_equal(vhu_remote_last_error(g.remote),
                        "ring 0: the back-end knows no rings of the other byte order");
    assert_true(vhu_remote_is_connected(g.remote));
    assert_false(vhu_remote_is_running(g.remote));
    restart(&g, !FOREIGN);
    guest_close(&g);
}

static void test_refused(void **state)
{
    const vhu_remote_options withheld = {.features = LEGACY,
                                         .withheld_protocol_features = CROSS_ENDIAN};

    (void)state;
    refuse(&legacy, false);
    refuse(&withheld, true);
}

/* Of a device that runs: it goes on with the one after that. */
static void test_refused_by_the_next(void **state)
{
    guest g;

    (void)state;
    open_guest(&g, &legacy, FOREIGN);
    guest_start(&g);
    guest_exercise(&g);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    guest_submit(&g, 0, 0, 3);
    g.script->cross_endian = false;
    assert_int_equal(guest_connect(&g), VHU_ENOSYS);
    assert_non_null(strstr(vhu_remote_last_error(g.remote), "byte order"));
    assert_false(vhu_remote_is_connected(g.remote));
    assert_true(vhu_remote_is_running(g.remote));
    guest_reap_backend(&g);
    g.script->cross_endian = true;
    assert_int_equal(guest_connect(&g), 0);
    guest_collect(&g, 0, 3);
    guest_exercise(&g);
    guest_close(&g);
}

/* Since 1.0 there is one order, whatever the guest is and the back-end knows. */
static void test_version_1(void **state)
{
    (void)state;
    for (int big_endian = 0; big_endian < 2; big_endian++) {
        guest g;

        open_guest(&g, NULL, big_endian);
        g.script->cross_endian = false;
        guest_start(&g);
        guest_exercise(&g);
        guest_kill_backend(&g);
        vhu_remote_disconnect(g.remote);
        assert_int_equal(guest_connect(&g), 0);
        guest_exercise(&g);
        guest_close(&g);
    }
}

/* What is sent: once for each ring and start, and only to who has to know. */
static void test_messages(void **state)
{
    static const struct {
        uint64_t features;
        bool offered, big_endian;
        unsigned calls;
    } rows[] = {
        {VHU_BIT(0), true, false, 2},
        {VHU_BIT(0), true, true, 2},
        {VHU_BIT(0), false, !FOREIGN, 0},
        {VHU_BIT(0) | VHU_BIT(VHU_F_VERSION_1), true, false, 0},
        {VHU_BIT(0) | VHU_BIT(VHU_F_VERSION_1), true, true, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const vhu_remote_options options = {.features = rows[i].features};
        fake_backend *f;
        guest g;

        open_guest(&g, &options, rows[i].big_endian);
        g.script->is_fake = true;
        f = &g.script->fake;
        fake_backend_init(f);
        f->protocol_features = rows[i].offered ? UINT64_MAX : ~CROSS_ENDIAN;
        guest_start(&g);
        assert_int_equal(f->calls[FAKE_set_vring_endian], rows[i].calls);
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        if (rows[i].calls > 0) {
            const unsigned events = f->calls[FAKE_set_vring_event];

            f->result[FAKE_set_vring_endian] = VHU_EINVAL;
            assert_int_equal(vhu_remote_start(g.remote), VHU_EREFUSED);
            assert_non_null(strstr(vhu_remote_last_error(g.remote), "SET_VRING_ENDIAN"));
            /* It comes before a ring runs. */
            assert_int_equal(f->calls[FAKE_set_vring_event], events);
            assert_false(vhu_remote_is_running(g.remote));
        }
        guest_close(&g);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_echo),      leakcheck_test(test_reconnect),
        leakcheck_test(test_refused),   leakcheck_test(test_refused_by_the_next),
        leakcheck_test(test_version_1), leakcheck_test(test_messages),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
