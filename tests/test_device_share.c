/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's shared memory and shared objects: asked on the channel, and answered later. */
#include <string.h>
#include <vmm_vhost/device_share.h>

#include "support/fake_frontend.h"
#include "support/sys.h"
#include "test_device_fixture.h"

#define PROTOCOL                                                                                   \
    (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_SHMEM) | VHU_BIT(VHU_PF_BACKEND_SEND_FD) |                 \
     VHU_BIT(VHU_PF_SHARED_OBJECT) | VHU_BIT(VHU_PF_CONFIG))

static const vhu_shmem_config regions = {.num_regions = 2, .sizes = {[0] = 0x10000, [5] = 0x3000}};
static const vhu_shmem_request piece = {
    .region = 5, .handle_offset = 0x4000, .region_offset = 0x1000, .len = 0x2000};
static const uint8_t uuid[16] = "an object's name";

/* --- a device with objects --- */

static bool has_object;

static int get_shared_object(void *self, const uint8_t name[16], vhu_handle *handle)
{
    (void)self;
    if (!has_object || memcmp(name, uuid, sizeof(uuid)) != 0)
        return VHU_ENOENT;
    *handle = sys_handle_new();
    return 0;
}

/* --- what came of it --- */

enum { MAX_ANSWERS = 100 };

static struct {
    int num;
    int status[MAX_ANSWERS];
    void *arg[MAX_ANSWERS];
    unsigned handles;
    vhu_device *asks_again;
} answers;

static void on_answer(void *arg, int status, vhu_handle *handle)
{
    assert_in_range(answers.num, 0, MAX_ANSWERS - 1);
    answers.status[answers.num] = status;
    answers.arg[answers.num++] = arg;
    answers.handles += *handle != VHU_NO_HANDLE;
    if (answers.asks_again) {
        vhu_device *device = answers.asks_again;

        answers.asks_again = NULL;
        assert_int_equal(vhu_device_object_add(device, uuid, on_answer, NULL), 0);
    }
}

/* --- a front-end --- */

typedef struct share_kit {
    kit *k;
    vhu_frontend_server *server; /* of the channel; NULL: none */
    fake_frontend fake;
    vhu_handle handle;
} share_kit;

static void close_channel(share_kit *s)
{
    vhu_frontend_server_free(s->server);
    s->server = NULL;
}

static void open_channel(share_kit *s, uint64_t protocol)
{
    const vhu_frontend_server_options options = {.size = sizeof(options),
                                                 .protocol_features = protocol};
    vhu_conn *conn;

    frontend_channel(&s->k->front);
    assert_int_equal(vhu_conn_from_stream(&conn, &s->k->front.channel, NULL), 0);
    s->k->front.channel = NULL;
    assert_int_equal(
        vhu_frontend_server_new(&s->server, &conn, &fake_frontend_ops, &s->fake, &options), 0);
}

static kit *new_kit(const kit_options *options, const vhu_shmem_config *shmem)
{
    static vhu_device_ops ops;
    kit_options o = *options;

    ops = echo_ops;
    ops.get_shared_object = get_shared_object;
    o.ops = &ops;
    o.shmem = shmem;
    return kit_new(&o);
}

static void set_up(share_kit *s, const kit_options *options, uint64_t protocol)
{
    memset(&answers, 0, sizeof(answers));
    *s = (share_kit){.k = new_kit(options, &regions), .handle = sys_handle_new()};
    fake_frontend_init(&s->fake);
    frontend_set(&s->k->front, VHU_REQ_SET_PROTOCOL_FEATURES, protocol);
    open_channel(s, protocol);
}

static void tear_down(share_kit *s)
{
    close_channel(s);
    fake_frontend_release(&s->fake);
    vhu_handle_close(&s->handle);
    kit_free(s->k);
}

/* The front-end serves the channel, and the device takes the answers. */
static void turn(share_kit *s)
{
    vhu_wait also;

    while (vhu_frontend_server_serve(s->server) == 0 ||
           vhu_conn_wait(vhu_frontend_server_conn(s->server), 0) == 0)
        continue;
    do {
        kit_turn(s->k);
        also = kit_also(s->k, VHU_DEVICE_CHANNEL);
    } while (also.handle != VHU_NO_HANDLE && vhu_wait_any(&also, 1, 0) == 0);
}

static vhu_handle watched(const share_kit *s)
{
    return kit_also(s->k, VHU_DEVICE_CHANNEL).handle;
}

/* --- asking --- */

static int ask(share_kit *s, uint32_t request, void *arg)
{
    vhu_device *d = s->k->device;

    switch (request) {
    case VHU_BACKEND_REQ_SHMEM_MAP:
        return vhu_device_shmem_map(d, &piece, s->handle, on_answer, arg);
    case VHU_BACKEND_REQ_SHMEM_UNMAP:
        return vhu_device_shmem_unmap(d, &piece, on_answer, arg);
    case VHU_BACKEND_REQ_SHARED_OBJECT_ADD:
        return vhu_device_object_add(d, uuid, on_answer, arg);
    case VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE:
        return vhu_device_object_remove(d, uuid, on_answer, arg);
    default:
        return vhu_device_object_lookup(d, uuid, on_answer, arg);
    }
}

enum { FIRST = VHU_BACKEND_REQ_SHARED_OBJECT_ADD, LAST = VHU_BACKEND_REQ_SHMEM_UNMAP };

static void each_request(const kit_options *options)
{
    share_kit s;

    set_up(&s, options, PROTOCOL);
    for (uint32_t request = FIRST; request <= LAST; request++) {
        for (int refused = 0; refused <= 1; refused++) {
            answers.num = 0;
            s.fake.result = refused ? VHU_EIO : 0;
            assert_int_equal(ask(&s, request, &s), 0);
            kit_turn(s.k);
            assert_int_equal(answers.num, 0);
            assert_int_not_equal(watched(&s), VHU_NO_HANDLE);
            turn(&s);
            assert_int_equal(s.fake.last, request);
            assert_int_equal(answers.num, 1);
            assert_int_equal(answers.status[0], refused ? VHU_EREFUSED : 0);
            assert_ptr_equal(answers.arg[0], &s);
            assert_int_equal(watched(&s), VHU_NO_HANDLE);
        }
    }
    assert_int_equal(answers.handles, 1);
    assert_memory_equal(&s.fake.shmem, &piece, sizeof(piece));
    assert_memory_equal(s.fake.bytes, uuid, sizeof(uuid));
    s.fake.result = 0;
    s.fake.not_found = true;
    answers.num = 0;
    assert_int_equal(ask(&s, VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, NULL), 0);
    turn(&s);
    assert_int_equal(answers.status[0], VHU_EREFUSED);
    tear_down(&s);
}

static void test_each_request(void **state)
{
    (void)state;
    kit_each(each_request, (kit_options){.rings = 1});
}

static void test_pieces(void **state)
{
    static const struct {
        vhu_shmem_request piece;
        int result;
    } cases[] = {
        {{.region = 0, .len = 0x10000}, 0},
        {{.region = 0, .region_offset = 0xffff, .len = 1, .flags = VHU_SHMEM_RW}, 0},
        {{.region = 0, .len = 0}, VHU_EINVAL},
        {{.region = 0, .len = 0x10001}, VHU_EINVAL},
        {{.region = 0, .region_offset = 0x10000, .len = 1}, VHU_EINVAL},
        {{.region = 0, .region_offset = UINT64_MAX, .len = 2}, VHU_EINVAL},
        {{.region = 0, .len = UINT64_MAX, .region_offset = 2}, VHU_EINVAL},
        {{.region = 1, .len = 1}, VHU_EINVAL},
        {{.region = 255, .len = 1}, VHU_EINVAL},
        {{.region = 5, .len = 0x1000, .flags = 2}, VHU_EINVAL},
    };
    share_kit s;

    (void)state;
    set_up(&s, &(kit_options){.rings = 1}, PROTOCOL);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        vhu_device *d = s.k->device;

        answers.num = 0;
        assert_int_equal(vhu_device_shmem_map(d, &cases[i].piece, s.handle, NULL, NULL),
                         cases[i].result);
        assert_int_equal(vhu_device_shmem_unmap(d, &cases[i].piece, on_answer, NULL),
                         cases[i].result);
        turn(&s);
        assert_int_equal(answers.num, cases[i].result == 0);
    }
    assert_int_equal(vhu_device_shmem_map(s.k->device, &piece, VHU_NO_HANDLE, NULL, NULL),
                     VHU_EINVAL);
    tear_down(&s);
}

/* Answers come in the order of asking, whatever else goes over the channel. */
static void test_many(void **state)
{
    static char args[VHU_MAX_CALLS];
    share_kit s;
    unsigned n = 0;

    (void)state;
    set_up(&s, &(kit_options){.rings = 1}, PROTOCOL);
    assert_int_equal(vhu_device_config_changed(s.k->device), 0);
    while (ask(&s, FIRST + n % 5, &args[n]) == 0) {
        assert_true(++n < VHU_MAX_CALLS);
        if (n == 7)
            assert_int_equal(vhu_device_config_changed(s.k->device), 0);
    }
    assert_true(n >= 30);
    assert_int_equal(ask(&s, FIRST, NULL), VHU_EOVERFLOW);
    turn(&s);
    assert_int_equal(answers.num, n);
    for (unsigned i = 0; i < n; i++) {
        assert_int_equal(answers.status[i], 0);
        assert_ptr_equal(answers.arg[i], &args[i]);
    }
    /* One that asks for more. */
    answers.num = 0;
    answers.asks_again = s.k->device;
    assert_int_equal(ask(&s, FIRST, NULL), 0);
    turn(&s);
    assert_int_equal(answers.num, 1);
    assert_int_not_equal(watched(&s), VHU_NO_HANDLE);
    turn(&s);
    assert_int_equal(answers.num, 2);
    tear_down(&s);
}

/* --- no answer --- */

static void test_who_cannot(void **state)
{
    static const struct {
        uint64_t missing;
        uint32_t first, last;
    } cases[] = {
        {VHU_BIT(VHU_PF_REPLY_ACK), FIRST, LAST},
        {VHU_BIT(VHU_PF_SHARED_OBJECT), FIRST, VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP},
        {VHU_BIT(VHU_PF_SHMEM), VHU_BACKEND_REQ_SHMEM_MAP, LAST},
        {VHU_BIT(VHU_PF_BACKEND_SEND_FD), VHU_BACKEND_REQ_SHMEM_MAP, VHU_BACKEND_REQ_SHMEM_MAP},
    };
    share_kit s;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(&s, &(kit_options){.rings = 1}, PROTOCOL & ~cases[i].missing);
        for (uint32_t request = FIRST; request <= LAST; request++)
            assert_int_equal(ask(&s, request, NULL),
                             request >= cases[i].first && request <= cases[i].last ? VHU_ENOSYS
                                                                                   : 0);
        tear_down(&s);
    }
    set_up(&s, &(kit_options){.rings = 1}, PROTOCOL);
    close_channel(&s);
    frontend_hang_up(&s.k->front);
    kit_turn(s.k);
    assert_int_equal(ask(&s, FIRST, NULL), VHU_ESTATE);
    kit_connect(s.k);
    frontend_set(&s.k->front, VHU_REQ_SET_PROTOCOL_FEATURES, PROTOCOL);
    assert_int_equal(ask(&s, FIRST, NULL), VHU_ENOSYS);
    tear_down(&s);
}

enum { CHANNEL_CLOSES, FRONT_END_LEAVES, ANOTHER_CHANNEL, WRONG_REPLY, NOT_WAITED_FOR, ENDS };

static void end(share_kit *s, int how)
{
    const vhu_msg_header wrong = {FIRST + 1, VHU_VERSION_1 | VHU_FLAG_REPLY, 0};
    peer p = peer_under(vhu_frontend_server_conn(s->server));

    if (how == CHANNEL_CLOSES)
        close_channel(s);
    if (how == FRONT_END_LEAVES)
        frontend_hang_up(&s->k->front);
    if (how == ANOTHER_CHANNEL) {
        close_channel(s);
        open_channel(s, PROTOCOL);
    }
    if (how == WRONG_REPLY)
        peer_send(&p, &wrong, sizeof(wrong), NULL, 0);
    kit_turn(s->k);
}

/* Every question has one answer, even if that is that there will be none. */
static void ends(const kit_options *options)
{
    for (int how = 0; how < ENDS; how++) {
        share_kit s;

        if (how == NOT_WAITED_FOR && options->workers == 0)
            continue;
        set_up(&s, options, PROTOCOL);
        s.k->watch_result = how == NOT_WAITED_FOR ? VHU_ENOMEM : 0;
        assert_int_equal(ask(&s, FIRST, NULL), 0);
        if (how != NOT_WAITED_FOR)
            assert_int_equal(ask(&s, LAST, NULL), 0);
        end(&s, how);
        assert_int_equal(answers.num, how == NOT_WAITED_FOR ? 1 : 2);
        for (int i = 0; i < answers.num; i++)
            assert_true(answers.status[i] < 0 && answers.status[i] != VHU_EREFUSED);
        s.k->watch_result = 0;
        if (how == ANOTHER_CHANNEL) {
            assert_int_equal(ask(&s, LAST, NULL), 0);
            turn(&s);
            assert_int_equal(answers.status[2], 0);
        }
        tear_down(&s);
    }
}

static void test_ends(void **state)
{
    (void)state;
    kit_each(ends, (kit_options){.rings = 1});
}

/* --- the front-end's requests, and who offers them --- */

static void test_requests(void **state)
{
    vhu_shmem_config config;
    share_kit s;

    (void)state;
    set_up(&s, &(kit_options){.rings = 1}, PROTOCOL);
    frontend_send(&s.k->front, VHU_REQ_GET_SHMEM_CONFIG, 0, NULL, 0, NULL, 0);
    assert_int_equal(frontend_recv(&s.k->front, VHU_REQ_GET_SHMEM_CONFIG, &config, sizeof(config)),
                     sizeof(config));
    assert_memory_equal(&config, &regions, sizeof(config));
    for (int found = 0; found <= 1; found++) {
        uint8_t nothing[16];

        has_object = found;
        frontend_send(&s.k->front, VHU_REQ_GET_SHARED_OBJECT, 0, uuid, sizeof(uuid), NULL, 0);
        frontend_recv(&s.k->front, VHU_REQ_GET_SHARED_OBJECT, nothing, sizeof(nothing));
        assert_int_equal(s.k->front.reply.num_handles, found);
    }
    vhu_handle_close(&s.k->front.reply.handle);
    s.k->front.reply.num_handles = 0;
    tear_down(&s);
}

static uint64_t offer(kit *k)
{
    uint64_t features = frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES);

    kit_free(k);
    return features & (VHU_BIT(VHU_PF_SHMEM) | VHU_BIT(VHU_PF_SHARED_OBJECT) |
                       VHU_BIT(VHU_PF_BACKEND_SEND_FD));
}

static void test_offer(void **state)
{
    static const vhu_shmem_config bad[] = {
        {.num_regions = 0},
        {.num_regions = 1},
        {.num_regions = 2, .sizes = {1}},
        {.num_regions = 1, .sizes = {1, 2}},
    };
    vhu_device_options options = {.size = sizeof(options), .num_rings = 1};
    const uint64_t objects = VHU_BIT(VHU_PF_SHARED_OBJECT);
    vhu_device *device;

    (void)state;
    for (unsigned workers = 0; workers <= 1; workers++) {
        const kit_options o = {.rings = 1, .workers = workers};

        assert_int_equal(offer(kit_new(&o)), 0);
        assert_int_equal(offer(new_kit(&o, NULL)), objects);
        assert_int_equal(offer(new_kit(&o, &regions)),
                         objects | VHU_BIT(VHU_PF_SHMEM) | VHU_BIT(VHU_PF_BACKEND_SEND_FD));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        options.shmem = &bad[i];
        assert_int_equal(vhu_device_new(&device, &options, &echo_ops, NULL, NULL, NULL),
                         VHU_EINVAL);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_each_request), leakcheck_test(test_pieces),
        leakcheck_test(test_many),         leakcheck_test(test_who_cannot),
        leakcheck_test(test_ends),         leakcheck_test(test_requests),
        leakcheck_test(test_offer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
