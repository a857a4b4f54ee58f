/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit in a loop: what the back-end asks, and what has been begun beside it. */
#include <string.h>
#include <uv.h>
#include <vmm_vhost/backend.h>
#include <vmm_vhost/remote.h>
#include <vmm_vhost/shm.h>

#include "support/fake_backend.h"
#include "support/pair.h"

enum { FLOOD = 1000, MISSES = 100, MEMORY = 0x10000 };

#define PLATFORM VHU_BIT(VHU_F_ACCESS_PLATFORM)

static struct {
    vhu_remote *remote;
    unsigned changes; /* of the configuration, as the VMM was told */
    vhu_backend_server *server;
    fake_backend fake; /* in this process, so that tests have the channel's other end */
    unsigned starts;   /* how often its status is set until it runs; 0: it is only connected */
} t;

static int config_changed(void *self)
{
    (void)self;
    t.changes++;
    return 0;
}

/* Until the kit is connected: the channel is what it sets up last. Or until the device runs. */
static void connecting_thread(void *arg)
{
    (void)arg;
    while ((!t.fake.channel || t.fake.calls[FAKE_set_status] < t.starts) &&
           vhu_conn_wait(vhu_backend_server_conn(t.server), -1) == 0)
        vhu_backend_server_serve(t.server);
}

static int translate(void *self, uint64_t iova, uint8_t perm, vhu_mapping *out)
{
    (void)self;
    (void)iova;
    (void)perm;
    *out = (vhu_mapping){.size = MEMORY, .perm = VHU_IOTLB_RW};
    return 0;
}

/* A ring of which the back-end may ask where it is. */
static void start(vhu_shm *memory)
{
    const vhu_ring_layout layout = {.num = 16, .desc = 0, .avail = 0x1000, .used = 0x2000};
    const vhu_mem_region region = {.size = MEMORY, .user_addr = (uintptr_t)vhu_shm_base(memory)};

    assert_int_equal(vhu_remote_add_memory(t.remote, &region, vhu_shm_handle(memory)), 0);
    assert_int_equal(vhu_remote_set_ring(t.remote, 0, &layout, 0), 0);
    assert_int_equal(vhu_remote_start(t.remote), 0);
}

static void set_up_with(vhu_shm *memory)
{
    const vhu_frontend_ops ops = {.size = sizeof(ops), .config_changed = config_changed};
    const vhu_remote_options options = {.size = sizeof(options),
                                        .num_rings = 1,
                                        .features = memory ? PLATFORM : 0,
                                        .translate = memory ? translate : NULL,
                                        .ops = &ops,
                                        .self = &t};
    uv_thread_t thread;
    vhu_conn *conns[2];

    memset(&t, 0, sizeof(t));
    t.starts = memory ? 2 : 0;
    fake_backend_init(&t.fake);
    t.fake.take = true;
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    assert_int_equal(vhu_backend_server_new(&t.server, &conns[1], &fake_backend_ops, &t.fake, NULL),
                     0);
    assert_int_equal(vhu_remote_new(&t.remote, &options), 0);
    assert_int_equal(uv_thread_create(&thread, connecting_thread, NULL), 0);
    assert_int_equal(vhu_remote_connect_over(t.remote, &conns[0]), 0);
    if (memory)
        start(memory);
    assert_int_equal(uv_thread_join(&thread), 0);
}

static void set_up(void)
{
    set_up_with(NULL);
}

static void tear_down(void)
{
    vhu_remote_free(t.remote);
    vhu_backend_server_free(t.server);
    fake_backend_release(&t.fake);
}

static void tell_changes(size_t n)
{
    static vhu_msg_header requests[FLOOD];
    peer p = peer_under(t.fake.channel);

    for (size_t i = 0; i < n; i++)
        requests[i] = (vhu_msg_header){VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0x1, 0};
    peer_send_burst(&p, requests, n * sizeof(requests[0]));
}

static bool more_to_serve(void)
{
    return vhu_conn_wait(vhu_remote_channel(t.remote), 0) == 0;
}

/* It is served a part at a time, and keeps nobody from seeing what the back-end does besides. */
static void test_flood(void **state)
{
    (void)state;
    set_up();
    tell_changes(FLOOD);
    assert_int_equal(vhu_remote_serve(t.remote), 0);
    assert_in_range(t.changes, 1, FLOOD - 1);
    assert_true(more_to_serve());
    vhu_backend_server_free(t.server);
    t.server = NULL;
    assert_int_equal(vhu_remote_serve(t.remote), VHU_ECLIENT_EXIT);
    assert_in_range(t.changes, 2, FLOOD - 1);
    assert_false(vhu_remote_is_connected(t.remote));
    tear_down();
}

/* All of it comes, if it is called while there is more. */
static void test_all_of_a_flood(void **state)
{
    (void)state;
    set_up();
    tell_changes(FLOOD);
    do {
        assert_int_equal(vhu_remote_serve(t.remote), 0);
    } while (more_to_serve());
    assert_int_equal(t.changes, FLOOD);
    tear_down();
}

/* Outcomes of what has been begun on the client are not taken away from who has begun it. */
static void test_begun(void **state)
{
    vhu_backend_client *client;

    (void)state;
    set_up();
    client = vhu_remote_client(t.remote);
    t.fake.result[FAKE_set_owner] = VHU_EIO;
    vhu_backend_client_begin(client);
    assert_int_equal(vhu_backend_client_set_owner(client), VHU_EPENDING);
    assert_int_equal(vhu_conn_wait(vhu_backend_server_conn(t.server), -1), 0);
    vhu_backend_server_serve(t.server);
    tell_changes(1);
    while (t.changes == 0)
        assert_int_equal(vhu_remote_serve(t.remote), 0);
    assert_int_equal(vhu_remote_serve(t.remote), 0);
    assert_int_equal(vhu_backend_client_wait(client, -1), 0);
    assert_int_equal(vhu_backend_client_finish(client), VHU_EREFUSED);
    vhu_backend_server_free(t.server);
    t.server = NULL;
    assert_int_equal(vhu_remote_serve(t.remote), VHU_ECLIENT_EXIT);
    tear_down();
}

static void miss(void)
{
    const vhu_iotlb_msg what = {.iova = 0x1000, .perm = VHU_IOTLB_RO, .type = VHU_IOTLB_MISS};
    message m = {.header = {VHU_BACKEND_REQ_IOTLB_MSG, VHU_VERSION_1, sizeof(what)}};
    peer p = peer_under(t.fake.channel);

    memcpy(m.payload, &what, sizeof(what));
    for (int i = 0; i < MISSES; i++)
        peer_send_message(&p, &m);
    do {
        assert_int_equal(vhu_remote_serve(t.remote), 0);
    } while (more_to_serve());
}

/* A back-end that asks and does not read the answers holds nobody up, and loses its channel. */
static void test_answers_unread(void **state)
{
    vhu_shm *memory;

    (void)state;
    assert_int_equal(vhu_shm_new(&memory, MEMORY), 0);
    set_up_with(memory);
    while (vhu_conn_is_open(vhu_remote_channel(t.remote)))
        miss();
    assert_true(vhu_remote_is_connected(t.remote));
    /* What there was room for is still to come. */
    do {
        vhu_backend_server_serve(t.server);
        assert_int_equal(vhu_remote_serve(t.remote), 0);
    } while (vhu_conn_wait(vhu_backend_server_conn(t.server), 0) == 0);
    assert_true(t.fake.calls[FAKE_iotlb_msg] > 0);
    tear_down();
    vhu_shm_free(memory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_flood),
        leakcheck_test(test_all_of_a_flood),
        leakcheck_test(test_begun),
        leakcheck_test(test_answers_unread),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
