/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit and what a back-end shares: a careless one, whose channel the test has. */
#include <string.h>
#include <uv.h>
#include <vmm_vhost/backend.h>
#include <vmm_vhost/remote.h>

#include "support/fake_backend.h"
#include "support/fake_frontend.h"
#include "support/leakcheck.h"
#include "support/sys.h"

enum { MANY = 256 };

static struct {
    vhu_remote *remote;
    vhu_backend_server *server;
    fake_backend fake;
    vhu_frontend_client *client; /* the back-end's, on its channel */
    uv_thread_t thread;
    vhu_handle handle;
    uint64_t size; /* of region 3 */
    int answers;
    int status; /* the last answer */
    bool found; /* with a handle */
} t;

/* --- what the VMM sees --- */

static struct {
    vhu_shmem_request mapped[MANY];
    int num_mapped;
    int num_unmapped;
    int num_added;
    int num_removed;
    int result;
} vmm;

static int shmem_map(void *self, const vhu_shmem_request *piece, vhu_handle *handle)
{
    (void)self;
    assert_int_not_equal(*handle, VHU_NO_HANDLE);
    if (vmm.result == 0)
        vmm.mapped[vmm.num_mapped++] = *piece;
    return vmm.result;
}

static int shmem_unmap(void *self, const vhu_shmem_request *piece)
{
    (void)self;
    if (vmm.result < 0)
        return vmm.result;
    for (int i = 0; i < vmm.num_mapped; i++) {
        if (memcmp(&vmm.mapped[i], piece, sizeof(*piece)) == 0) {
            vmm.mapped[i] = vmm.mapped[--vmm.num_mapped];
            vmm.num_unmapped++;
            return 0;
        }
    }
    fail_msg("unmapped what was not mapped");
    return 0;
}

static int object_add(void *self, const uint8_t uuid[16])
{
    (void)self;
    (void)uuid;
    vmm.num_added += vmm.result == 0;
    return vmm.result;
}

static int object_remove(void *self, const uint8_t uuid[16])
{
    (void)self;
    (void)uuid;
    vmm.num_removed += vmm.result == 0;
    return vmm.result;
}

static int object_lookup(void *self, const uint8_t uuid[16], vhu_handle *handle)
{
    (void)self;
    if (uuid[0] != 'x')
        return VHU_ENOENT;
    *handle = sys_handle_new();
    return 0;
}

static const vhu_frontend_ops all_ops = {.size = sizeof(all_ops),
                                         .shmem_map = shmem_map,
                                         .shmem_unmap = shmem_unmap,
                                         .shared_object_add = object_add,
                                         .shared_object_remove = object_remove,
                                         .shared_object_lookup = object_lookup};

/* --- a back-end in a thread --- */

static int get_shmem_config(void *self, vhu_shmem_config *config)
{
    (void)self;
    *config = (vhu_shmem_config){.num_regions = 1, .sizes = {[3] = t.size}};
    return 0;
}

static void serving_thread(void *arg)
{
    int r = 0;

    (void)arg;
    while (r == 0 || r == VHU_EAGAIN) {
        r = vhu_backend_server_serve(t.server);
        if (r == VHU_EAGAIN)
            r = vhu_conn_wait(vhu_backend_server_conn(t.server), -1);
    }
}

static void on_done(void *arg, uint32_t request, int status, vhu_handle *handle)
{
    (void)arg;
    (void)request;
    t.answers++;
    t.status = status;
    t.found = *handle != VHU_NO_HANDLE;
}

static void open_vmm_with(const vhu_frontend_ops *ops, uint64_t protocol_features)
{
    const vhu_remote_options options = {.size = sizeof(options),
                                        .num_rings = 1,
                                        .features = VHU_BIT(VHU_F_VERSION_1),
                                        .protocol_features = protocol_features,
                                        .ops = ops};

    memset(&t, 0, sizeof(t));
    memset(&vmm, 0, sizeof(vmm));
    t.size = 0x100000;
    t.handle = sys_handle_new();
    assert_int_equal(vhu_remote_new(&t.remote, &options), 0);
}

static void open_vmm(const vhu_frontend_ops *ops)
{
    open_vmm_with(ops, 0);
}

static int connect_backend(void)
{
    vhu_frontend_client_options options = {.size = sizeof(options), .done = on_done};
    vhu_backend_ops ops = fake_backend_ops;
    vhu_conn *conns[2];
    int r;

    fake_backend_init(&t.fake);
    ops.get_shmem_config = get_shmem_config;
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    assert_int_equal(vhu_backend_server_new(&t.server, &conns[1], &ops, &t.fake, NULL), 0);
    t.fake.take = true;
    assert_int_equal(uv_thread_create(&t.thread, serving_thread, NULL), 0);
    r = vhu_remote_connect_over(t.remote, &conns[0]);
    if (r < 0 || !t.fake.channel)
        return r;
    options.protocol_features = vhu_backend_server_protocol_features(t.server);
    assert_int_equal(vhu_frontend_client_new(&t.client, &t.fake.channel, &options), 0);
    return 0;
}

static void end_backend(void)
{
    vhu_remote_disconnect(t.remote);
    assert_int_equal(uv_thread_join(&t.thread), 0);
    vhu_frontend_client_free(t.client);
    t.client = NULL;
    vhu_backend_server_free(t.server);
    fake_backend_release(&t.fake);
}

static void set_up(void)
{
    open_vmm(&all_ops);
    assert_int_equal(connect_backend(), 0);
    assert_non_null(t.client);
}

static void close_vmm(void)
{
    vhu_remote_free(t.remote);
    vhu_handle_close(&t.handle);
    assert_int_equal(vmm.num_mapped, 0);
}

static void tear_down(void)
{
    end_backend();
    close_vmm();
}

/* The VMM's answer to what was just asked. */
static int answer(int sent)
{
    int before = t.answers;

    assert_int_equal(sent, 0);
    assert_int_equal(vhu_conn_wait(vhu_remote_channel(t.remote), -1), 0);
    assert_int_equal(vhu_remote_serve(t.remote), 0);
    while (t.answers == before) {
        assert_int_equal(vhu_conn_wait(vhu_frontend_client_conn(t.client), -1), 0);
        vhu_frontend_client_finish(t.client);
    }
    return t.status;
}

static int map(uint64_t offset, uint64_t len)
{
    const vhu_shmem_request piece = {.region = 3, .region_offset = offset, .len = len};

    return answer(vhu_frontend_client_shmem_map(t.client, &piece, t.handle));
}

static int unmap(uint64_t offset, uint64_t len)
{
    const vhu_shmem_request piece = {.region = 3, .region_offset = offset, .len = len};

    return answer(vhu_frontend_client_shmem_unmap(t.client, &piece));
}

static const uint8_t *name(unsigned number)
{
    static uint8_t uuid[16] = "this one is no. ";

    uuid[14] = (uint8_t)number;
    uuid[15] = (uint8_t)(number >> 8);
    return uuid;
}

static int add(unsigned number)
{
    return answer(vhu_frontend_client_shared_object_add(t.client, name(number)));
}

/* --- pieces --- */

static void test_pieces(void **state)
{
    static const struct {
        bool maps;
        uint64_t offset, len;
        int result;
    } steps[] = {
        {true, 0, 0x1000, 0},
        {true, 0x2000, 0x1000, 0},
        {true, 0, 0x1000, VHU_EREFUSED},
        {true, 0xfff, 2, VHU_EREFUSED},
        {true, 0x2fff, 1, VHU_EREFUSED},
        {true, 0, 0x100000, VHU_EREFUSED},
        {true, 0x1000, 0x1000, 0},
        {true, 0xff000, 0x1000, 0},
        {true, 0xff800, 0x801, VHU_EREFUSED},
        {true, 0x100000, 1, VHU_EREFUSED},
        {true, UINT64_C(1) << 40, 0x1000, VHU_EREFUSED},
        {false, 0x1000, 0x2000, VHU_EREFUSED},
        {false, 0x1000, 0x800, VHU_EREFUSED},
        {false, 0x1001, 0x1000, VHU_EREFUSED},
        {false, 0x1000, 0x1000, 0},
        {false, 0x1000, 0x1000, VHU_EREFUSED},
        {true, 0x1800, 0x800, 0},
        {false, 0x1800, 0x800, 0},
        {false, 0x4000, 0x1000, VHU_EREFUSED},
    };

    (void)state;
    set_up();
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (steps[i].maps)
            assert_int_equal(map(steps[i].offset, steps[i].len), steps[i].result);
        else
            assert_int_equal(unmap(steps[i].offset, steps[i].len), steps[i].result);
    }
    assert_int_equal(vmm.num_mapped, 3);
    tear_down();
}

/* No such region; and what the VMM does not want. */
static void test_refused_pieces(void **state)
{
    vhu_shmem_request other = {.region = 2, .len = 0x1000};

    (void)state;
    set_up();
    assert_int_equal(answer(vhu_frontend_client_shmem_map(t.client, &other, t.handle)),
                     VHU_EREFUSED);
    assert_int_equal(answer(vhu_frontend_client_shmem_unmap(t.client, &other)), VHU_EREFUSED);
    assert_int_equal(map(0, 0x1000), 0);
    vmm.result = VHU_EIO;
    assert_int_equal(map(0x1000, 0x1000), VHU_EREFUSED);
    assert_int_equal(unmap(0, 0x1000), VHU_EREFUSED);
    vmm.result = 0;
    assert_int_equal(map(0x1000, 0x1000), 0);
    assert_int_equal(unmap(0, 0x1000), 0);
    tear_down();
    assert_int_equal(vmm.num_unmapped, 2);
}

static void test_many_pieces(void **state)
{
    (void)state;
    set_up();
    for (uint64_t i = 0; i < MANY; i++)
        assert_int_equal(map(i * 0x100, 0x100), 0);
    assert_int_equal(map(MANY * 0x100, 0x100), VHU_EREFUSED);
    assert_int_equal(unmap(0x500, 0x100), 0);
    assert_int_equal(map(MANY * 0x100, 0x100), 0);
    tear_down();
    assert_int_equal(vmm.num_unmapped, MANY + 1);
}

/* All that is mapped vanishes by itself, once. */
static void test_pieces_vanish(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(map(0, 0x1000), 0);
    assert_int_equal(map(0x1000, 0x1000), 0);
    assert_int_equal(vhu_remote_reset(t.remote), 0);
    assert_int_equal(vmm.num_unmapped, 2);
    assert_int_equal(map(0, 0x1000), 0);
    end_backend();
    assert_int_equal(vmm.num_unmapped, 3);
    assert_int_equal(connect_backend(), 0);
    assert_int_equal(unmap(0, 0x1000), VHU_EREFUSED);
    assert_int_equal(map(0, 0x1000), 0);
    end_backend();
    close_vmm();
    assert_int_equal(vmm.num_unmapped, 4);
}

static void test_regions(void **state)
{
    (void)state;
    open_vmm(&all_ops);
    assert_null(vhu_remote_shmem(t.remote));
    assert_int_equal(connect_backend(), 0);
    assert_int_equal(vhu_remote_shmem(t.remote)->sizes[3], 0x100000);
    end_backend();
    t.size = 0x200000;
    assert_int_equal(connect_backend(), 0);
    assert_int_equal(vhu_remote_shmem(t.remote)->sizes[3], 0x200000);
    assert_int_equal(map(0x1ff000, 0x1000), 0);
    assert_int_equal(vhu_remote_set_features(t.remote, 0), 0);
    end_backend();
    /* The driver knows them by now. */
    t.size = 0x100000;
    assert_int_equal(connect_backend(), VHU_ENOSYS);
    end_backend();
    t.size = 0x200000;
    assert_int_equal(connect_backend(), 0);
    tear_down();
}

/* --- objects --- */

static void test_objects(void **state)
{
    vhu_handle handle = VHU_NO_HANDLE;

    (void)state;
    set_up();
    assert_int_equal(vhu_remote_get_object(t.remote, name(1), &handle), VHU_ENOENT);
    assert_int_equal(add(1), 0);
    assert_int_equal(add(2), 0);
    assert_int_equal(add(1), VHU_EREFUSED);
    assert_int_equal(vmm.num_added, 2);
    assert_true(vhu_remote_has_object(t.remote, name(1)));
    assert_false(vhu_remote_has_object(t.remote, name(3)));
    assert_int_equal(vhu_remote_get_object(t.remote, name(2), &handle), 0);
    assert_int_not_equal(handle, VHU_NO_HANDLE);
    vhu_handle_close(&handle);
    t.fake.give = false;
    assert_int_equal(vhu_remote_get_object(t.remote, name(2), &handle), VHU_EREFUSED);
    vmm.result = VHU_EPERM;
    assert_int_equal(add(3), VHU_EREFUSED);
    assert_int_equal(answer(vhu_frontend_client_shared_object_remove(t.client, name(1))),
                     VHU_EREFUSED);
    assert_false(vhu_remote_has_object(t.remote, name(3)));
    assert_true(vhu_remote_has_object(t.remote, name(1)));
    vmm.result = 0;
    for (int i = 0; i < 2; i++)
        assert_int_equal(answer(vhu_frontend_client_shared_object_remove(t.client, name(1))),
                         i == 0 ? 0 : VHU_EREFUSED);
    assert_false(vhu_remote_has_object(t.remote, name(1)));
    assert_true(vhu_remote_has_object(t.remote, name(2)));
    end_backend();
    assert_false(vhu_remote_has_object(t.remote, name(2)));
    assert_int_equal(vhu_remote_get_object(t.remote, name(2), &handle), VHU_ESTATE);
    close_vmm();
}

static void test_many_objects(void **state)
{
    (void)state;
    set_up();
    for (unsigned i = 0; i < MANY; i++)
        assert_int_equal(add(i), 0);
    assert_int_equal(add(MANY), VHU_EREFUSED);
    assert_int_equal(answer(vhu_frontend_client_shared_object_remove(t.client, name(7))), 0);
    assert_int_equal(add(MANY), 0);
    tear_down();
}

static void test_lookup(void **state)
{
    (void)state;
    set_up();
    assert_int_equal(answer(vhu_frontend_client_shared_object_lookup(t.client, name(1))),
                     VHU_EREFUSED);
    assert_int_equal(answer(vhu_frontend_client_shared_object_lookup(
                         t.client, (const uint8_t *)"xxxxxxxxxxxxxxx")),
                     0);
    assert_true(t.found);
    tear_down();
}

/* A VMM that only counts, and one that has no shared memory. */
static void test_without_ops(void **state)
{
    const vhu_frontend_ops none = {.size = sizeof(none)};

    (void)state;
    open_vmm(&none);
    assert_int_equal(connect_backend(), 0);
    assert_null(vhu_remote_shmem(t.remote));
    assert_int_equal(vhu_frontend_client_shmem_unmap(t.client, &(vhu_shmem_request){.len = 1}),
                     VHU_ENOSYS);
    assert_int_equal(add(1), 0);
    assert_int_equal(answer(vhu_frontend_client_shared_object_lookup(t.client, name(1))),
                     VHU_EREFUSED);
    assert_int_equal(answer(vhu_frontend_client_shared_object_remove(t.client, name(1))), 0);
    tear_down();
    open_vmm(NULL);
    assert_int_equal(connect_backend(), 0);
    assert_null(t.client);
    tear_down();
}

/* A VMM that asks for the feature without the ops: nothing is mapped, and the rest goes on. */
static void test_feature_alone(void **state)
{
    static const vhu_frontend_ops rows[] = {
        {.size = sizeof(rows[0])},
        {.size = sizeof(rows[0]), .shmem_map = shmem_map},
        {.size = sizeof(rows[0]), .shmem_unmap = shmem_unmap},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        open_vmm_with(&rows[i], VHU_BIT(VHU_PF_SHMEM) | VHU_BIT(VHU_PF_BACKEND_SEND_FD));
        assert_int_equal(connect_backend(), 0);
        assert_null(vhu_remote_shmem(t.remote));
        assert_int_equal(map(0, 0x1000), VHU_EREFUSED);
        assert_int_equal(unmap(0, 0x1000), VHU_EREFUSED);
        assert_int_equal(add(1), 0);
        tear_down();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_pieces),       leakcheck_test(test_refused_pieces),
        leakcheck_test(test_many_pieces),  leakcheck_test(test_pieces_vanish),
        leakcheck_test(test_regions),      leakcheck_test(test_objects),
        leakcheck_test(test_many_objects), leakcheck_test(test_lookup),
        leakcheck_test(test_without_ops),  leakcheck_test(test_feature_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
