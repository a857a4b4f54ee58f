/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit copies a guest's memory while a device, in another process, writes to it. */
#include <vmm_vhost/remote_log.h>

#include <stdlib.h>
#include <string.h>

#include "dirty_log.h"
#include "remote_internal.h"
#include "test_remote_fixture.h"

enum { PAGES = GUEST_SIZE / VHU_LOG_PAGE };

/* The other host. */
typedef struct copy {
    guest *g;
    uint8_t *bytes;
    uint64_t runs;
    bool dirty[PAGES]; /* since it was cleared */
} copy;

static void copy_run(void *arg, uint64_t addr, uint64_t len)
{
    copy *c = arg;

    assert_true(addr % VHU_LOG_PAGE == 0 && len % VHU_LOG_PAGE == 0 && len > 0);
    assert_true(addr >= GUEST_BASE && addr - GUEST_BASE + len <= GUEST_SIZE);
    addr -= GUEST_BASE;
    memcpy(c->bytes + addr, (uint8_t *)vhu_shm_base(c->g->memory) + addr, len);
    memset(&c->dirty[addr / VHU_LOG_PAGE], 1, len / VHU_LOG_PAGE);
    c->runs++;
}

static void copy_begin(copy *c, guest *g)
{
    *c = (copy){.g = g, .bytes = calloc(1, GUEST_SIZE)};
    assert_non_null(c->bytes);
}

static void fetch(copy *c)
{
    memset(c->dirty, 0, sizeof(c->dirty));
    c->runs = 0;
    assert_int_equal(vhu_remote_fetch_log(c->g->remote, copy_run, c), 0);
}

/* All that the device wrote last: an answer in each slot, in the second or third eight bytes. */
static void check_answers(const copy *c)
{
    const uint8_t *here = vhu_shm_base(c->g->memory);
    const uint64_t from = c->g->data - GUEST_BASE;

    for (uint64_t slot = 0; slot < (uint64_t)GUEST_RINGS * GUEST_SLOTS; slot++) {
        uint64_t at = from + slot * 32 + 8;

        assert_memory_equal(c->bytes + at, here + at, 16);
    }
}

static void exercise(guest *g)
{
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_submit(g, i, 0, GUEST_SLOTS / 2);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_collect(g, i, GUEST_SLOTS / 2);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_submit(g, i, GUEST_SLOTS / 2, GUEST_SLOTS / 2);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_collect(g, i, GUEST_SLOTS / 2);
}

static bool is_dirty(const copy *c, uint64_t guest_addr)
{
    return c->dirty[(guest_addr - GUEST_BASE) / VHU_LOG_PAGE];
}

/* --- a migration --- */

static void migrate(const vhu_remote_options *options)
{
    guest g;
    copy c;

    guest_open(&g, options);
    guest_start(&g);
    exercise(&g);
    copy_begin(&c, &g);
    assert_false(vhu_remote_is_logging(g.remote));
    assert_int_equal(vhu_remote_start_log(g.remote), 0);
    assert_true(vhu_remote_is_logging(g.remote));
    fetch(&c);
    for (int round = 0; round < 50; round++) {
        /* While the device is at it, too. */
        for (uint32_t i = 0; i < GUEST_RINGS; i++)
            guest_submit(&g, i, 0, GUEST_SLOTS / 2);
        fetch(&c);
        for (uint32_t i = 0; i < GUEST_RINGS; i++)
            guest_collect(&g, i, GUEST_SLOTS / 2);
        exercise(&g);
    }
    fetch(&c);
    assert_true(is_dirty(&c, g.data));
    exercise(&g);
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    fetch(&c);
    check_answers(&c);
    fetch(&c);
    assert_int_equal(c.runs, 0);
    assert_int_equal(vhu_remote_stop_log(g.remote), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    exercise(&g);
    guest_close(&g);
    free(c.bytes);
}

static void test_migration(void **state)
{
    static const vhu_remote_options rows[] = {
        {.features = GUEST_SPLIT},
        {.features = GUEST_PACKED},
        {.features = GUEST_SPLIT | VHU_BIT(VHU_F_IN_ORDER)},
        {.features = GUEST_PACKED | VHU_BIT(VHU_F_IN_ORDER)},
        {.features = GUEST_SPLIT,
         .withheld_protocol_features = VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)},
        {.features = GUEST_SPLIT, .withheld_protocol_features = VHU_BIT(VHU_PF_REPLY_ACK)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        migrate(&rows[i]);
}

/* The parts of rings that the device writes, and nothing when it is off. */
static void test_rings(void **state)
{
    static const uint64_t features[] = {GUEST_SPLIT, GUEST_PACKED};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const vhu_remote_options options = {.features = features[i]};
        const vhu_ring_layout *layout;
        guest g;
        copy c;

        guest_open(&g, &options);
        assert_int_equal(guest_connect(&g), 0);
        assert_int_equal(guest_add_memory(&g), 0);
        guest_set_rings(&g);
        assert_int_equal(vhu_remote_start_log(g.remote), 0);
        assert_int_equal(vhu_remote_start(g.remote), 0);
        copy_begin(&c, &g);
        fetch(&c);
        layout = &g.remote->rings[0].layout;
        guest_submit(&g, 0, 0, 1);
        guest_collect(&g, 0, 1);
        fetch(&c);
        assert_true(is_dirty(&c, g.data));
        assert_true(is_dirty(&c, i == 1 ? layout->desc : layout->used));
        guest_close(&g);
        free(c.bytes);
    }
}

/* --- back-ends that come and go --- */

/* The next one goes on with the log; and what the first wrote to rings may not be in it. */
static void test_reconnect(void **state)
{
    guest g;
    copy c;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    assert_int_equal(vhu_remote_start_log(g.remote), 0);
    exercise(&g);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    copy_begin(&c, &g);
    fetch(&c);
    assert_true(is_dirty(&c, g.data));
    check_answers(&c);
    assert_int_equal(guest_connect(&g), 0);
    fetch(&c);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        assert_true(is_dirty(&c, g.remote->rings[i].layout.used));
    exercise(&g);
    fetch(&c);
    check_answers(&c);
    guest_close(&g);
    free(c.bytes);
}

/* There is no next one: the same, whether or not anybody knew that the first has gone. */
static void test_stop_without(void **state)
{
    static const uint64_t features[] = {GUEST_SPLIT, GUEST_PACKED};

    (void)state;
    for (int known = 0; known < 2; known++) {
        for (size_t i = 0; i < 2; i++) {
            const vhu_remote_options options = {.features = features[i]};
            guest g;
            copy c;

            guest_open(&g, &options);
            guest_start(&g);
            assert_int_equal(vhu_remote_start_log(g.remote), 0);
            exercise(&g);
            guest_kill_backend(&g);
            if (known)
                vhu_remote_disconnect(g.remote);
            copy_begin(&c, &g);
            fetch(&c);
            assert_int_equal(vhu_remote_stop(g.remote) == 0, known);
            fetch(&c);
            for (uint32_t k = 0; k < GUEST_RINGS; k++) {
                const vhu_ring_layout *layout = &g.remote->rings[k].layout;

                assert_true(is_dirty(&c, i == 1 ? layout->desc : layout->used));
            }
            guest_close(&g);
            free(c.bytes);
        }
    }
}

static void test_no_log(void **state)
{
    const vhu_remote_options options = {.withheld_protocol_features = VHU_BIT(VHU_PF_LOG_SHMFD)};
    guest g;
    copy c;

    (void)state;
    guest_open(&g, &options);
    assert_int_equal(vhu_remote_stop_log(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_fetch_log(g.remote, copy_run, &c), VHU_ESTATE);
    guest_start(&g);
    assert_int_equal(vhu_remote_start_log(g.remote), VHU_ENOSYS);
    assert_false(vhu_remote_is_logging(g.remote));
    exercise(&g);
    /* Stopped, it does not know yet. */
    assert_int_equal(vhu_remote_stop(g.remote), 0);
    assert_int_equal(vhu_remote_start_log(g.remote), 0);
    assert_int_equal(vhu_remote_start_log(g.remote), VHU_ESTATE);
    assert_int_equal(vhu_remote_start(g.remote), VHU_ENOSYS);
    assert_true(vhu_remote_is_logging(g.remote));
    assert_int_equal(vhu_remote_stop_log(g.remote), 0);
    assert_int_equal(vhu_remote_start(g.remote), 0);
    exercise(&g);
    guest_close(&g);
}

/* A back-end without it takes over nothing that is logged. */
static void test_next_without(void **state)
{
    guest g;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    assert_int_equal(vhu_remote_start_log(g.remote), 0);
    guest_kill_backend(&g);
    vhu_remote_disconnect(g.remote);
    g.script->is_fake = true;
    fake_backend_init(&g.script->fake);
    g.script->fake.features = UINT64_MAX & ~VHU_BIT(VHU_F_LOG_ALL);
    assert_int_equal(guest_connect(&g), VHU_ENOSYS);
    assert_non_null(strstr(vhu_remote_last_error(g.remote), "log"));
    assert_true(vhu_remote_is_running(g.remote));
    guest_reap_backend(&g);
    g.script->is_fake = false;
    assert_int_equal(guest_connect(&g), 0);
    exercise(&g);
    guest_close(&g);
}

/* What a back-end is told, and what follows when it refuses. */
static void test_refusals(void **state)
{
    static const fake_op ops[] = {FAKE_OPS, FAKE_set_log_base, FAKE_set_features,
                                  FAKE_set_vring_addr};

    (void)state;
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        fake_backend *f;
        guest g;

        guest_open(&g, NULL);
        f = &g.script->fake;
        g.script->is_fake = true;
        fake_backend_init(f);
        f->protocol_features = UINT64_MAX & ~VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS);
        guest_start(&g);
        assert_false(f->value & VHU_BIT(VHU_F_LOG_ALL));
        if (ops[i] != FAKE_OPS)
            f->result[ops[i]] = VHU_EINVAL;
        assert_int_equal(vhu_remote_start_log(g.remote) == 0, ops[i] == FAKE_OPS);
        assert_int_equal(vhu_remote_is_logging(g.remote), ops[i] == FAKE_OPS);
        assert_true(vhu_remote_is_running(g.remote));
        if (ops[i] == FAKE_OPS) {
            assert_true(f->value & VHU_BIT(VHU_F_LOG_ALL));
            assert_int_equal(f->log.size, VHU_LOG_PAGE);
            assert_int_equal(f->addr.flags, VHU_VRING_F_LOG);
            assert_int_equal(f->addr.log, g.remote->rings[GUEST_RINGS - 1].layout.used);
            assert_int_equal(vhu_remote_stop_log(g.remote), 0);
        } else {
            assert_string_not_equal(vhu_remote_last_error(g.remote), "");
        }
        if (vhu_remote_is_connected(g.remote) && ops[i] != FAKE_set_features)
            assert_false(f->value & VHU_BIT(VHU_F_LOG_ALL));
        guest_close(&g);
    }
}

/* --- memory --- */

/* With memory that the log has no bits for comes another one, and nothing gets lost. */
static void grow(bool slots)
{
    const vhu_remote_options options = {.withheld_protocol_features =
                                            slots ? 0 : VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)};
    vhu_mem_region beyond = {.guest_addr = UINT64_C(1) << 40, .size = 0x3b10};
    vhu_shm *memory;
    guest g;
    copy c;

    guest_open(&g, &options);
    guest_start(&g);
    copy_begin(&c, &g);
    assert_int_equal(vhu_remote_start_log(g.remote), 0);
    exercise(&g);
    assert_int_equal(vhu_shm_new(&memory, beyond.size), 0);
    beyond.user_addr = (uintptr_t)vhu_shm_base(memory);
    assert_int_equal(vhu_remote_add_memory(g.remote, &beyond, vhu_shm_handle(memory)), 0);
    fetch(&c);
    check_answers(&c);
    exercise(&g);
    fetch(&c);
    check_answers(&c);
    assert_int_equal(vhu_remote_remove_memory(g.remote, beyond.guest_addr, beyond.size), 0);
    exercise(&g);
    fetch(&c);
    check_answers(&c);
    guest_close(&g);
    vhu_shm_free(memory);
    free(c.bytes);
}

static void test_more_memory(void **state)
{
    (void)state;
    grow(true);
    grow(false);
}

/* What a back-end says of pages that there are not is not believed. */
static void test_lies(void **state)
{
    guest g;
    copy c;

    (void)state;
    guest_open(&g, NULL);
    guest_start(&g);
    copy_begin(&c, &g);
    assert_int_equal(vhu_remote_start_log(g.remote), 0);
    vhu__remote_mark(g.remote, 0, UINT64_MAX);
    fetch(&c);
    assert_int_equal(c.runs, 1);
    for (size_t i = 0; i < PAGES; i++)
        assert_true(c.dirty[i]);
    guest_close(&g);
    free(c.bytes);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_migration), leakcheck_test(test_rings),
        leakcheck_test(test_reconnect), leakcheck_test(test_stop_without),
        leakcheck_test(test_no_log),    leakcheck_test(test_next_without),
        leakcheck_test(test_refusals),  leakcheck_test(test_more_memory),
        leakcheck_test(test_lies),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
