/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit against back-ends that refuse, leave, are killed, and are not all alike. */
#include "test_remote_fixture.h"

#include <string.h>

#define SLOTS VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)

static void wait_for(const _Atomic uint32_t *count, uint32_t n)
{
    while (atomic_load(count) < n)
        uv_sleep(1);
}

/*
 * Killed with requests out, whatever was done of them, and in what order: each is done once, and
 * the driver does nothing for it.
 */
static void recovery(uint64_t features)
{
    static const uint32_t done[] = {0, 1, 19, 20, 27, 39, 40};
    const vhu_remote_options options = {.features = features};

    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++) {
        guest g;

        guest_open(&g, &options);
        guest_start(&g);
        g.script->keeps = true;
        g.script->num_done = done[i];
        for (uint32_t ring = 0; ring < GUEST_RINGS; ring++)
            guest_submit(&g, ring, 0, 20);
        wait_for(&g.script->taken, 40);
        wait_for(&g.script->done, done[i]);
        guest_kill_backend(&g);
        vhu_remote_disconnect(g.remote);
        g.script->keeps = false;
        /* Nobody has taken these. */
        guest_submit(&g, 1, 20, 4);
        assert_int_equal(guest_connect(&g), 0);
        guest_collect(&g, 0, 20);
        guest_collect(&g, 1, 24);
        for (uint32_t slot = 0; slot < GUEST_SLOTS; slot++) {
            assert_int_equal(atomic_load(&g.script->answered[0][slot]), slot < 20);
            assert_int_equal(atomic_load(&g.script->answered[1][slot]), slot < 24);
        }
        guest_exercise(&g);
        assert_int_equal(vhu_remote_stop(g.remote), 0);
        assert_int_equal(vhu_remote_ring_base(g.remote, 0), vhu_driver_ring_base(g.rings[0]));
        guest_close(&g);
    }
}

/* The next is killed as well, before it has done anything; and the area is that of the first. */
static void recovery_in_a_row(uint64_t features)
{
    const vhu_remote_options options = {.features = features};
    guest g;

    guest_open(&g, &options);
    guest_start(&g);
    g.script->keeps = true;
    guest_submit(&g, 0, 0, 16);
    for (uint32_t i = 1; i <= 5; i++) {
        wait_for(&g.script->taken, 16 * i);
        guest_kill_backend(&g);
        vhu_remote_disconnect(g.remote);
        assert_int_equal(guest_connect(&g), 0);
    }
    wait_for(&g.script->taken, 16 * 6);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    g.script->keeps = false;
    assert_int_equal(guest_connect(&g), 0);
    guest_collect(&g, 0, 16);
    guest_exercise(&g);
    guest_close(&g);
}

static void test_recovery(void **state)
{
    (void)state;
    recovery(GUEST_SPLIT);
    recovery(GUEST_PACKED);
    recovery_in_a_row(GUEST_SPLIT);
    recovery_in_a_row(GUEST_PACKED);
}

/* The same without an area, by the driver. */
static void reconnect(uint64_t features)
{
    const vhu_remote_options options = {.features = features};
    guest g;

    guest_open(&g, &options);
    g.script->withhold = VHU_BIT(VHU_PF_INFLIGHT_SHMFD);
    guest_start(&g);
    guest_exercise(&g);
    g.script->keeps = true;
    g.script->num_done = 32 + 5;
    atomic_store(&g.script->taken, 0);
    guest_submit(&g, 0, 0, 20);
    guest_collect(&g, 0, 5);
    guest_kill_backend(&g);
    g.script->keeps = false;
    while (vhu_remote_serve(g.remote) == 0)
        assert_int_equal(vhu_conn_wait(vhu_remote_conn(g.remote), 60000), 0);
    assert_false(vhu_remote_is_connected(g.remote));
    assert_true(vhu_remote_is_running(g.remote));
    assert_int_equal(vhu_driver_ring_in_use(g.rings[0]), 15);
    for (uint32_t i = 0; i < GUEST_RINGS; i++) {
        assert_int_equal(vhu_driver_ring_replay(g.rings[i]), 0);
        assert_int_equal(vhu_remote_set_ring_base(g.remote, i, vhu_driver_ring_base(g.rings[i])),
                         0);
    }
    assert_int_equal(guest_connect(&g), 0);
    guest_collect(&g, 0, 15);
    guest_exercise(&g);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), vhu_driver_ring_base(g.rings[0]));
    guest_close(&g);
}

static void test_reconnect(void **state)
{
    (void)state;
    reconnect(GUEST_SPLIT);
    reconnect(GUEST_PACKED);
}

/* A packed ring has no used index: its base stays what it was, until somebody knows better. */
static void test_packed_stop_without_backend(void **state)
{
    const vhu_remote_options options = {.features = GUEST_PACKED};
    guest g;

    (void)state;
    guest_open(&g, &options);
    guest_start(&g);
    guest_exercise(&g);
    guest_kill_backend(&g);
    assert_true(vhu_remote_stop(g.remote) < 0);
    for (uint32_t i = 0; i < GUEST_RINGS; i++) {
        assert_int_equal(vhu_remote_ring_base(g.remote, i), VHU_PACKED_RING_BASE);
        assert_int_equal(vhu_remote_set_ring_base(g.remote, i, vhu_driver_ring_base(g.rings[i])),
                         0);
    }
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_exercise(&g);
    assert_int_equal(vhu_remote_reset(g.remote), 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 1), VHU_PACKED_RING_BASE);
    guest_close(&g);
}

/* Stopped after the back-end has gone: the base is what the driver has seen. */
static void test_stop_without_backend(void **state)
{
    guest g;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    guest_exercise(&g);
    guest_kill_backend(&g);
    assert_true(vhu_remote_stop(g.remote) < 0);
    assert_false(vhu_remote_is_running(g.remote));
    assert_int_equal(vhu_remote_ring_base(g.remote, 1), 16);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_exercise(&g);
    vhu_remote_disconnect(g.remote);
    guest_reap_backend(&g);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 1), 32);
    guest_close(&g);
}

static void be_fake(guest *g)
{
    g->script->is_fake = true;
    fake_backend_init(&g->script->fake);
    g->script->fake.protocol_features = UINT64_MAX & ~SLOTS;
}

static void test_lost_feature(void **state)
{
    const vhu_remote_options options = {.features = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(0)};
    guest g;

    (void)state;
    guest_open(&g, &options);
    be_fake(&g);
    guest_start(&g);
    assert_int_equal(vhu_remote_features(g.remote), options.features);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    g.script->fake.features = VHU_BIT(VHU_F_VERSION_1);
    assert_int_equal(guest_connect(&g), VHU_ENOSYS);
    assert_non_null(strstr(vhu_remote_last_error(g.remote), "0x1,"));
    assert_true(vhu_remote_is_running(g.remote));
    guest_reap_backend(&g);
    g.script->fake.features = UINT64_MAX;
    assert_int_equal(guest_connect(&g), 0);
    guest_close(&g);
}

static void test_table_and_inflight(void **state)
{
    guest g;
    fake_backend *f;

    (void)state;
    guest_open(&g, NULL);
    be_fake(&g);
    f = &g.script->fake;
    guest_start(&g);
    assert_int_equal(f->calls[FAKE_set_mem_table], 1);
    assert_int_equal(f->calls[FAKE_add_mem_reg], 0);
    assert_int_equal(f->regions[0].guest_addr, GUEST_BASE);
    assert_int_equal(f->regions[0].user_addr, (uintptr_t)vhu_shm_base(g.memory));
    assert_int_equal(f->calls[FAKE_get_inflight_fd], 1);
    assert_int_equal(f->calls[FAKE_set_inflight_fd], 1);
    assert_int_equal(f->inflight.num_queues, GUEST_RINGS);
    assert_int_equal(f->inflight.queue_size, GUEST_RING_SIZE);
    assert_int_equal(f->inflight.mmap_offset, 0x40);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(f->calls[FAKE_get_inflight_fd], 1);
    assert_int_equal(f->calls[FAKE_set_inflight_fd], 2);
    assert_int_equal(f->inflight.mmap_size, 0x10000);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), 0x1234);
    assert_int_equal(vhu_remote_reset(g.remote), 0);
    assert_int_equal(f->calls[FAKE_reset_device], 1);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    assert_int_equal(f->calls[FAKE_get_inflight_fd], 2);
    guest_close(&g);
}

/* Without feature bit 30 there is no such thing as a disabled ring, and the VMM is told so. */
static void test_disabling_is_unknown(void **state)
{
    guest g;

    (void)state;
    guest_open(&g, NULL);
    g.script->is_old = true;
    assert_int_equal(guest_add_memory(&g), 0);
    assert_int_equal(guest_connect(&g), 0);
    guest_set_rings(&g);
    assert_int_equal(vhu_remote_enable_ring(g.remote, 1, false), 0);
    assert_int_equal(vhu_remote_start(g.remote), VHU_ENOSYS);
    assert_string_equal(vhu_remote_last_error(g.remote),
                        "ring 1: the back-end cannot disable rings");
    /* It has not run even for a moment. */
    assert_int_equal(atomic_load(&g.script->taken), 1);
    assert_int_equal(vhu_remote_enable_ring(g.remote, 1, true), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    assert_int_equal(vhu_remote_enable_ring(g.remote, 0, false), VHU_ENOSYS);
    assert_int_equal(vhu_remote_enable_ring(g.remote, 0, true), 0);
    /* What was refused is not wanted by the next one. */
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    assert_int_equal(guest_connect(&g), 0);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    guest_close(&g);
}

/* The kit's events in use again; who waits for one is woken, but not told of an error. */
static void test_events_restored(void **state)
{
    guest g;
    fake_backend *f;

    (void)state;
    guest_open(&g, NULL);
    be_fake(&g);
    f = &g.script->fake;
    guest_start(&g);
    for (int i = VHU_VRING_KICK; i <= VHU_VRING_ERR; i++) {
        vhu_vring_event which = (vhu_vring_event)i;
        vhu_event *event = vhu_remote_event(g.remote, 0, which);
        unsigned sent = f->calls[FAKE_set_vring_event];

        vhu_event_clear(event);
        assert_int_equal(vhu_remote_set_event(g.remote, 0, which, VHU_NO_HANDLE), 0);
        f->result[FAKE_set_vring_event] = VHU_EINVAL;
        assert_int_equal(vhu_remote_restore_event(g.remote, 0, which), VHU_EREFUSED);
        assert_int_equal(vhu_event_wait(event, 0), VHU_ETIMEDOUT);
        f->result[FAKE_set_vring_event] = 0;
        assert_int_equal(vhu_remote_restore_event(g.remote, 0, which), 0);
        assert_int_equal(f->num_handles, 1);
        assert_int_equal(f->calls[FAKE_set_vring_event], sent + 3);
        assert_int_equal(vhu_event_wait(event, 0), which == VHU_VRING_ERR ? VHU_ETIMEDOUT : 0);
        /* It is done already. */
        assert_int_equal(vhu_remote_restore_event(g.remote, 0, which), 0);
        assert_int_equal(f->calls[FAKE_set_vring_event], sent + 3);
    }
    guest_close(&g);
}

/* A ring that cannot be stopped, since what is told as its base is none, is reset nevertheless. */
static void test_reset_of_a_stuck_ring(void **state)
{
    guest g;
    fake_backend *f;

    (void)state;
    guest_open(&g, NULL);
    be_fake(&g);
    f = &g.script->fake;
    f->base = 0x10000;
    guest_start(&g);
    assert_int_equal(vhu_remote_reset(g.remote), VHU_EREFUSED);
    assert_non_null(strstr(vhu_remote_last_error(g.remote), "GET_VRING_BASE"));
    assert_int_equal(f->calls[FAKE_reset_device], 1);
    assert_false(vhu_remote_is_running(g.remote));
    assert_true(vhu_remote_is_connected(g.remote));
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    guest_close(&g);
}

/* Half of a packed ring's base, as DPDK tells it, is all of it. */
static void test_half_a_base(void **state)
{
    const vhu_remote_options options = {.features = GUEST_PACKED};
    guest g;

    (void)state;
    guest_open(&g, &options);
    be_fake(&g);
    g.script->fake.features |= VHU_BIT(VHU_F_RING_PACKED);
    g.script->fake.base = 0x8007;
    guest_start(&g);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), 0x80078007);
    g.script->fake.base = 0x80018002;
    assert_int_equal(vhu_remote_start(g.remote), 0);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_ring_base(g.remote, 0), 0x80018002);
    guest_close(&g);
}

/* What a back-end offers counts when it is connected. */
static void test_offer_of_a_failed_connect(void **state)
{
    const vhu_remote_options options = {.features = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(0)};
    guest g;

    (void)state;
    guest_open(&g, &options);
    be_fake(&g);
    g.script->fake.features = VHU_BIT(0);
    assert_int_equal(guest_connect(&g), 0);
    vhu_remote_disconnect(g.remote);
    guest_reap_backend(&g);
    g.script->fake.features = UINT64_MAX;
    g.script->fake.result[FAKE_set_backend_channel] = VHU_EIO;
    assert_int_equal(guest_connect(&g), VHU_EREFUSED);
    assert_int_equal(vhu_remote_offered(g.remote), VHU_BIT(0));
    assert_int_equal(vhu_remote_features(g.remote), VHU_BIT(0));
    guest_close(&g);
}

/* An area that came with a start that failed is not kept for the next. */
static void test_inflight_of_a_failed_start(void **state)
{
    guest g;
    fake_backend *f;

    (void)state;
    guest_open(&g, NULL);
    be_fake(&g);
    f = &g.script->fake;
    assert_int_equal(guest_add_memory(&g), 0);
    guest_set_rings(&g);
    assert_int_equal(guest_connect(&g), 0);
    f->result[FAKE_set_vring_num] = VHU_EIO;
    assert_int_equal(vhu_remote_start(g.remote), VHU_EREFUSED);
    f->result[FAKE_set_vring_num] = 0;
    assert_int_equal(vhu_remote_start(g.remote), 0);
    assert_int_equal(f->calls[FAKE_get_inflight_fd], 2);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    f->result[FAKE_set_vring_num] = VHU_EIO;
    assert_int_equal(vhu_remote_start(g.remote), VHU_EREFUSED);
    f->result[FAKE_set_vring_num] = 0;
    assert_int_equal(vhu_remote_start(g.remote), 0);
    assert_int_equal(f->calls[FAKE_get_inflight_fd], 2);
    guest_close(&g);
}

/* From connecting to running: the first failure, and the remote as it was. */
static int bring_up(guest *g)
{
    int r = guest_connect(g);

    if (r == 0)
        r = vhu_remote_start(g->remote);
    if (r < 0)
        assert_string_not_equal(vhu_remote_last_error(g->remote), "");
    return r;
}

/* A back-end that works, with the same remote. */
static void expect_healthy(guest *g)
{
    g->script->is_fake = false;
    g->script->num_messages = 0;
    guest_set_rings(g);
    assert_int_equal(bring_up(g), 0);
    guest_exercise(g);
}

static void test_each_refusal(void **state)
{
    static const fake_op ops[] = {
        FAKE_get_features,    FAKE_get_protocol_features, FAKE_set_protocol_features,
        FAKE_get_queue_num,   FAKE_get_max_mem_slots,     FAKE_set_backend_channel,
        FAKE_set_features,    FAKE_set_mem_table,         FAKE_add_mem_reg,
        FAKE_set_inflight_fd, FAKE_set_vring_num,         FAKE_set_vring_base,
        FAKE_set_vring_addr,  FAKE_set_vring_event,       FAKE_set_vring_enable,
        FAKE_set_status,
    };
    guest g;

    (void)state;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        bool slots = ops[i] == FAKE_add_mem_reg || ops[i] == FAKE_get_max_mem_slots;
        bool status = ops[i] == FAKE_set_status;

        guest_open(&g, NULL);
        assert_int_equal(guest_add_memory(&g), 0);
        guest_set_rings(&g);
        be_fake(&g);
        g.script->fake.protocol_features |= slots ? SLOTS : 0;
        g.script->fake.protocol_features |= status ? VHU_BIT(VHU_PF_STATUS) : 0;
        g.script->fake.result[ops[i]] = VHU_EINVAL;
        if (bring_up(&g) == 0)
            fail_msg("%s failed and nobody saw it", fake_op_name(ops[i]));
        assert_false(vhu_remote_is_running(g.remote));
        assert_int_equal(vhu_remote_ring_base(g.remote, 0), 0);
        vhu_remote_disconnect(g.remote);
        guest_reap_backend(&g);
        expect_healthy(&g);
        guest_close(&g);
    }
}

/* It leaves in the middle of each message there is. */
static void test_each_end(void **state)
{
    guest g;
    uint32_t n = 0;
    int r;

    (void)state;
    do {
        guest_open(&g, NULL);
        assert_int_equal(guest_add_memory(&g), 0);
        guest_set_rings(&g);
        g.script->num_messages = ++n;
        r = bring_up(&g);
        if (r < 0) {
            assert_int_equal(vhu_error_classify(r), VHU_CLASS_CLOSED);
            assert_false(vhu_remote_is_connected(g.remote));
            assert_false(vhu_remote_is_running(g.remote));
            guest_reap_backend(&g);
            expect_healthy(&g);
        }
        guest_close(&g);
    } while (r < 0);
    assert_true(n > 20);
}

/* The same while a device that runs is taken over: it still shall run, and does with the next. */
static void test_each_end_of_a_replay(void **state)
{
    guest g;
    uint32_t n = 0;
    int r;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    do {
        guest_exercise(&g);
        guest_kill_backend(&g);
        vhu_remote_disconnect(g.remote);
        g.script->num_messages = ++n;
        r = guest_connect(&g);
        assert_true(vhu_remote_is_running(g.remote));
        assert_int_equal(vhu_remote_ring_base(g.remote, 0), 0);
        if (r < 0) {
            guest_reap_backend(&g);
            g.script->num_messages = 0;
            assert_int_equal(guest_connect(&g), 0);
        }
    } while (r < 0);
    guest_close(&g);
}

static void test_too_many_rings(void **state)
{
    const vhu_remote_options rows[] = {
        {.size = sizeof(rows[0]), .num_rings = 8},
        {.size = sizeof(rows[0]), .num_rings = 16, .queue_pairs = true},
        {.size = sizeof(rows[0]), .num_rings = 7},
        {.size = sizeof(rows[0]), .num_rings = 15, .queue_pairs = true},
    };
    guest g;

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        guest_open(&g, NULL);
        be_fake(&g);
        vhu_remote_free(g.remote);
        assert_int_equal(vhu_remote_new(&g.remote, &rows[i]), 0);
        assert_int_equal(guest_connect(&g), i < 2 ? VHU_EOVERFLOW : 0);
        guest_close(&g);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_recovery),
        leakcheck_test(test_reconnect),
        leakcheck_test(test_packed_stop_without_backend),
        leakcheck_test(test_half_a_base),
        leakcheck_test(test_stop_without_backend),
        leakcheck_test(test_lost_feature),
        leakcheck_test(test_table_and_inflight),
        leakcheck_test(test_disabling_is_unknown),
        leakcheck_test(test_offer_of_a_failed_connect),
        leakcheck_test(test_inflight_of_a_failed_start),
        leakcheck_test(test_events_restored),
        leakcheck_test(test_reset_of_a_stuck_ring),
        leakcheck_test(test_each_refusal),
        leakcheck_test(test_each_end),
        leakcheck_test(test_each_end_of_a_replay),
        leakcheck_test(test_too_many_rings),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
