/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postcopy between the two kits: the VMM's brings what the device on its workers misses. Where the
 * system does not let us, nothing is tested.
 */
#include <vmm_vhost/remote_postcopy.h>

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/uv.h>

#include "os.h"
#include "support/pager.h"
#include "support/test_loop.h"
#include "test_remote_fixture.h"

enum { REQUESTS = 16 };

/* --- the device, which must not assert: it answers numbers --- */

static struct {
    uv_thread_t thread;
    vhu_conn *conn;
    vhu_uv_device *device;
    uint64_t withhold;
    atomic_uint done;
} dev;

static void handle_ring(void *self, vhu_ring *ring)
{
    vhu_buf bufs[4];
    vhu_chain chain = {.bufs = bufs, .capacity = 4};
    uint64_t number;

    (void)self;
    while (vhu_ring_take(ring, &chain, 1) == 1) {
        memcpy(&number, chain.bufs[0].base, sizeof(number));
        number = ~number;
        memcpy(chain.bufs[chain.num_readable].base, &number, sizeof(number));
        chain.written = sizeof(number);
        vhu_ring_complete(ring, &chain, 1);
        atomic_fetch_add(&dev.done, 1);
    }
    vhu_ring_flush(ring);
}

static void on_disconnected(void *self, int error)
{
    (void)self;
    (void)error;
    vhu_uv_device_close(dev.device, NULL, NULL);
}

static void device_thread(void *arg)
{
    const vhu_device_options device = {.size = sizeof(device),
                                       .num_rings = GUEST_RINGS,
                                       .withhold = dev.withhold,
                                       .postcopy = true};
    const vhu_device_ops ops = {.size = sizeof(ops), .handle_ring = handle_ring};
    const vhu_uv_device_options options = {
        .size = sizeof(options), .num_workers = GUEST_RINGS, .disconnected = on_disconnected};
    uv_loop_t loop;

    (void)arg;
    uv_loop_init(&loop);
    if (vhu_uv_device_new(&dev.device, &loop, &device, &ops, &dev, &options) < 0 ||
        vhu_uv_device_connect(dev.device, &dev.conn) < 0)
        abort();
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

/* --- the VMM --- */

static struct {
    guest g;
    pager pager;
    unsigned placed;
} vmm;

static int advised(void *self, vhu_handle *userfault)
{
    (void)self;
    pager_stop(&vmm.pager);
    vhu_handle_close(&vmm.pager.uffd);
    vmm.pager.uffd = *userfault;
    *userfault = VHU_NO_HANDLE;
    return 0;
}

static void placed(void *self, uint64_t guest_addr, uint64_t size, uint64_t backend_addr)
{
    (void)self;
    assert_int_equal(guest_addr, GUEST_BASE);
    assert_int_equal(size, GUEST_SIZE);
    vmm.pager.base = backend_addr;
    vmm.placed++;
    pager_start(&vmm.pager);
}

static void connect_device(void)
{
    vhu_conn *conns[2];

    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    dev.conn = conns[1];
    assert_int_equal(uv_thread_create(&dev.thread, device_thread, NULL), 0);
    assert_int_equal(vhu_remote_connect_over(vmm.g.remote, &conns[0]), 0);
}

static void end_device(void)
{
    vhu_remote_disconnect(vmm.g.remote);
    assert_int_equal(uv_thread_join(&dev.thread), 0);
}

static void open_vmm(uint64_t withhold)
{
    const vhu_postcopy_ops ops = {.size = sizeof(ops), .advised = advised, .placed = placed};

    memset(&vmm, 0, sizeof(vmm));
    dev.withhold = withhold;
    atomic_store(&dev.done, 0);
    guest_open(&vmm.g, NULL);
    pager_open(&vmm.pager, vhu_shm_handle(vmm.g.memory), GUEST_SIZE);
    connect_device();
    assert_int_equal(vhu_remote_begin_postcopy(vmm.g.remote, &ops, &vmm), 0);
}

/* The guest runs, and nothing of its memory is there; its requests are done all the same. */
static void come(void)
{
    guest *g = &vmm.g;

    assert_int_equal(guest_add_memory(g), 0);
    guest_set_rings(g);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_submit(g, i, 0, REQUESTS);
    pager_hide(&vmm.pager, 0, GUEST_SIZE);
    assert_int_equal(vhu_remote_start(g->remote), 0);
    assert_int_equal(vmm.placed, 1);
    while (atomic_load(&dev.done) < GUEST_RINGS * REQUESTS)
        uv_sleep(1);
    assert_in_range(atomic_load(&vmm.pager.brought), 2, GUEST_SIZE / PAGER_PAGE);
}

/* All of it is there, and the device goes on in it and misses nothing. */
static void arrive(void)
{
    guest *g = &vmm.g;

    pager_finish(&vmm.pager);
    assert_int_equal(vhu_remote_end_postcopy(g->remote), 0);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_collect(g, i, REQUESTS);
    guest_exercise(g);
    assert_int_equal(vhu_remote_stop(g->remote), 0);
    assert_false(pager_is_missed(&vmm.pager));
    end_device();
    guest_close(g);
    pager_close(&vmm.pager);
}

static void test_arrival(void **state)
{
    static const uint64_t withheld[] = {0, VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS)};

    (void)state;
    for (size_t i = 0; i < sizeof(withheld) / sizeof(withheld[0]); i++) {
        open_vmm(withheld[i]);
        come();
        arrive();
    }
}

/* The first device has ended before the guest came: the next one tells of its own faults. */
static void test_next_device(void **state)
{
    (void)state;
    open_vmm(0);
    end_device();
    connect_device();
    come();
    arrive();
}

/* A device stops, and starts again, while pages are still missing. */
static void test_stop(void **state)
{
    (void)state;
    open_vmm(0);
    come();
    assert_int_equal(vhu_remote_stop(vmm.g.remote), 0);
    assert_int_equal(vhu_remote_start(vmm.g.remote), 0);
    arrive();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_arrival),
        leakcheck_test(test_next_device),
        leakcheck_test(test_stop),
    };
    vhu_handle userfault;
    int r = os_userfault_new(&userfault);

    vhu_handle_close(&userfault);
    return r == 0 ? cmocka_run_group_tests(tests, test_loop_setup, NULL) : 0;
}
