/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit and back-ends in memory that is still to come: what is said, in which order. */
#include <vmm_vhost/remote_postcopy.h>

#include <string.h>

#include "test_remote_fixture.h"

#define SLOTS VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)
#define PROTOCOL (VHU_BIT(VHU_PF_MQ) | VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_PAGEFAULT))

/* --- the VMM --- */

static struct {
    guest g;
    unsigned advised;
    unsigned placed;
    unsigned mapped_before; /* how often the back-end had heard it when a region was placed */
    uint64_t addr;          /* of the last region */
    int result;             /* of `advised` */
    bool take;
    vhu_handle userfault; /* that was taken */
} vmm;

static int advised(void *self, vhu_handle *userfault)
{
    assert_ptr_equal(self, &vmm);
    assert_int_not_equal(*userfault, VHU_NO_HANDLE);
    vmm.advised++;
    if (vmm.take) {
        vmm.userfault = *userfault;
        *userfault = VHU_NO_HANDLE;
    }
    return vmm.result;
}

static void placed(void *self, uint64_t guest_addr, uint64_t size, uint64_t backend_addr)
{
    assert_ptr_equal(self, &vmm);
    assert_int_equal(guest_addr, GUEST_BASE);
    assert_int_equal(size, GUEST_SIZE);
    vmm.placed++;
    vmm.addr = backend_addr;
    vmm.mapped_before = vmm.g.script->fake.calls[FAKE_postcopy_mapped];
}

static const vhu_postcopy_ops ops = {.size = sizeof(ops), .advised = advised, .placed = placed};

static void open_vmm(uint64_t protocol_features)
{
    fake_backend *f;

    memset(&vmm, 0, sizeof(vmm));
    vmm.userfault = VHU_NO_HANDLE;
    guest_open(&vmm.g, NULL);
    vmm.g.script->is_fake = true;
    f = &vmm.g.script->fake;
    f->features = GUEST_SPLIT | VHU_BIT(VHU_F_PROTOCOL_FEATURES);
    f->protocol_features = protocol_features;
    f->give = true;
}

static int begin(void)
{
    return vhu_remote_begin_postcopy(vmm.g.remote, &ops, &vmm);
}

static int end(void)
{
    return vhu_remote_end_postcopy(vmm.g.remote);
}

static unsigned calls(fake_op op)
{
    return vmm.g.script->fake.calls[op];
}

static void next_backend(void)
{
    guest_kill_backend(&vmm.g);
    vhu_remote_disconnect(vmm.g.remote);
    assert_int_equal(guest_connect(&vmm.g), 0);
}

/* --- all goes well --- */

/* That many back-ends were told. */
static void expect_round(unsigned round)
{
    assert_int_equal(vmm.advised, round);
    assert_int_equal(calls(FAKE_postcopy_advise), round);
    assert_int_equal(calls(FAKE_postcopy_listen), round);
    assert_int_equal(vmm.userfault != VHU_NO_HANDLE, vmm.take);
    vhu_handle_close(&vmm.userfault);
}

/* They say an address that is not ours, and are told to go on behind it. */
static void expect_placed(unsigned round)
{
    assert_int_equal(vmm.placed, round);
    assert_int_equal(vmm.addr, (uintptr_t)vhu_shm_base(vmm.g.memory) + 1);
    assert_int_equal(vmm.mapped_before, round - 1);
    assert_int_equal(vhu_remote_enable_ring(vmm.g.remote, 0, true), 0);
    assert_int_equal(calls(FAKE_postcopy_mapped), round);
}

/* Begun before there is a back-end, or after; the next one is told of it, too. */
static void test_begin(void **state)
{
    static const struct {
        bool connected;
        bool take;
        uint64_t protocol_features;
    } rows[] = {{false, false, PROTOCOL},
                {true, true, PROTOCOL},
                {false, true, PROTOCOL | SLOTS},
                {true, false, PROTOCOL | SLOTS}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        guest *g = &vmm.g;

        open_vmm(rows[i].protocol_features);
        vmm.take = rows[i].take;
        if (rows[i].connected)
            assert_int_equal(guest_connect(g), 0);
        assert_int_equal(begin(), 0);
        assert_int_equal(begin(), VHU_ESTATE);
        if (!rows[i].connected)
            assert_int_equal(guest_connect(g), 0);
        expect_round(1);
        assert_int_equal(guest_add_memory(g), 0);
        guest_set_rings(g);
        assert_int_equal(vhu_remote_start(g->remote), 0);
        expect_placed(1);
        next_backend();
        expect_round(2);
        expect_placed(2);
        assert_int_equal(end(), 0);
        assert_int_equal(calls(FAKE_postcopy_end), 1);
        assert_int_equal(end(), VHU_ESTATE);
        /* Memory is as ever, and so is the next back-end. */
        next_backend();
        assert_int_equal(vmm.advised, 2);
        assert_int_equal(vmm.placed, 2);
        guest_close(g);
    }
}

/* --- it does not --- */

static void test_no_ops(void **state)
{
    static const vhu_postcopy_ops rows[] = {{.size = 0},
                                            {.size = sizeof(vhu_postcopy_ops) + 8},
                                            {.size = sizeof(ops), .advised = advised},
                                            {.size = sizeof(ops), .placed = placed}};

    (void)state;
    open_vmm(PROTOCOL);
    assert_int_equal(vhu_remote_begin_postcopy(vmm.g.remote, NULL, &vmm), VHU_EINVAL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(vhu_remote_begin_postcopy(vmm.g.remote, &rows[i], &vmm), VHU_EINVAL);
    assert_int_equal(end(), VHU_ESTATE);
    guest_close(&vmm.g);
}

/* A back-end without it cannot be told, and none that comes later either. */
static void test_not_offered(void **state)
{
    guest *g = &vmm.g;

    (void)state;
    open_vmm(PROTOCOL & ~VHU_BIT(VHU_PF_PAGEFAULT));
    assert_int_equal(guest_connect(g), 0);
    assert_int_equal(begin(), VHU_ENOSYS);
    assert_true(vhu_remote_is_connected(g->remote));
    guest_kill_backend(g);
    vhu_remote_disconnect(g->remote);
    assert_int_equal(begin(), 0);
    assert_int_equal(guest_connect(g), VHU_ENOSYS);
    assert_false(vhu_remote_is_connected(g->remote));
    guest_reap_backend(g);
    assert_int_equal(end(), 0);
    assert_int_equal(guest_connect(g), 0);
    assert_int_equal(vmm.advised, 0);
    guest_close(g);
}

/* Memory that the back-end has is there. */
static void test_too_late(void **state)
{
    guest *g = &vmm.g;

    (void)state;
    open_vmm(PROTOCOL | SLOTS);
    guest_start(g);
    assert_int_equal(begin(), VHU_ESTATE);
    assert_int_equal(calls(FAKE_postcopy_advise), 0);
    assert_int_equal(end(), VHU_ESTATE);
    guest_close(g);
}

/* Whoever says no: it has not begun, nobody has the handle, and it can be tried again. */
static void test_refused(void **state)
{
    static const struct {
        fake_op op; /* FAKE_OPS: the VMM */
        unsigned advised;
    } rows[] = {{FAKE_postcopy_advise, 0}, {FAKE_postcopy_listen, 1}, {FAKE_OPS, 1}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        guest *g = &vmm.g;
        fake_backend *f;

        open_vmm(PROTOCOL | SLOTS);
        f = &g->script->fake;
        assert_int_equal(guest_connect(g), 0);
        if (rows[i].op == FAKE_OPS)
            vmm.result = VHU_ENOMEM;
        else
            f->result[rows[i].op] = VHU_EIO;
        assert_true(begin() < 0);
        assert_int_equal(vmm.advised, rows[i].advised);
        assert_string_not_equal(vhu_remote_last_error(g->remote), "");
        assert_int_equal(end(), VHU_ESTATE);
        vmm.result = 0;
        if (rows[i].op != FAKE_OPS)
            f->result[rows[i].op] = 0;
        if (!vhu_remote_is_connected(g->remote)) {
            guest_reap_backend(g);
            assert_int_equal(guest_connect(g), 0);
        }
        assert_int_equal(begin(), 0);
        assert_int_equal(end(), 0);
        guest_close(g);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_begin),       leakcheck_test(test_no_ops),
        leakcheck_test(test_not_offered), leakcheck_test(test_too_late),
        leakcheck_test(test_refused),
    };

    if (argc > 1)
        guest_backend_main(argv[1]);
    return cmocka_run_group_tests(tests, guest_warm_up, NULL);
}
