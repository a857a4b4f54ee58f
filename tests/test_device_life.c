/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's configuration, and one front-end after another. */
#include <stdlib.h>
#include <string.h>

#include "test_device_fixture.h"

static const kit_options one_ring = {.rings = 1};
static const kit_options two_rings = {.rings = 2};

/* --- configuration --- */

static void test_config(void **state)
{
    struct {
        vhu_config_header header;
        uint8_t bytes[4];
    } message = {.header = {.offset = 4, .size = 4}, .bytes = {1, 2, 3, 4}};
    const uint64_t protocol = FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_CONFIG);
    kit *k = kit_new(&one_ring);
    frontend *f = &k->front;

    (void)state;
    frontend_handshake(f, protocol);
    assert_int_equal(frontend_request(f, VHU_REQ_SET_CONFIG, &message, sizeof(message), NULL, 0),
                     0);
    memset(message.bytes, 0, 4);
    frontend_send(f, VHU_REQ_GET_CONFIG, 0, &message, sizeof(message), NULL, 0);
    assert_int_equal(frontend_recv(f, VHU_REQ_GET_CONFIG, &message, sizeof(message)),
                     sizeof(message));
    assert_int_equal(message.bytes[3], 4);
    message.header.offset = ECHO_CONFIG - 2;
    frontend_send(f, VHU_REQ_GET_CONFIG, 0, &message, sizeof(message), NULL, 0);
    assert_int_equal(frontend_recv(f, VHU_REQ_GET_CONFIG, &message, sizeof(message)), 0);
    kit_free(k);
}

static void test_config_changed(void **state)
{
    static const struct {
        uint64_t protocol;
        bool channel;
        int result;
    } cases[] = {
        {VHU_BIT(VHU_PF_BACKEND_REQ) | VHU_BIT(VHU_PF_CONFIG), true, 0},
        {VHU_BIT(VHU_PF_BACKEND_REQ) | VHU_BIT(VHU_PF_CONFIG), false, VHU_ENOSYS},
        {VHU_BIT(VHU_PF_BACKEND_REQ), true, VHU_ENOSYS},
        {VHU_BIT(VHU_PF_CONFIG), false, VHU_ENOSYS},
    };
    vhu_msg_header header;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit *k = kit_new(&one_ring);
        frontend *f = &k->front;

        frontend_set(f, VHU_REQ_SET_PROTOCOL_FEATURES,
                     cases[i].protocol | VHU_BIT(VHU_PF_REPLY_ACK));
        if (cases[i].channel)
            frontend_channel(f);
        /* More often than requests may be under way. */
        for (unsigned n = 0; n < VHU_MAX_CALLS + 1; n++) {
            assert_int_equal(vhu_device_config_changed(k->device), cases[i].result);
            if (cases[i].result < 0)
                continue;
            header = frontend_recv_channel(f);
            assert_int_equal(header.request, VHU_BACKEND_REQ_CONFIG_CHANGE_MSG);
            assert_int_equal(header.flags, VHU_VERSION_1);
            assert_int_equal(header.size, 0);
        }
        /* Another channel instead. */
        if (cases[i].result == 0) {
            frontend_channel(f);
            assert_int_equal(vhu_device_config_changed(k->device), 0);
            frontend_recv_channel(f);
            vhu_stream_free(f->channel);
            f->channel = NULL;
            assert_true(vhu_device_config_changed(k->device) < 0);
        }
        frontend_hang_up(f);
        kit_turn(k);
        assert_int_equal(vhu_device_config_changed(k->device), VHU_ESTATE);
        kit_free(k);
    }
}

/* --- life --- */

static void test_new_refuses(void **state)
{
    vhu_device *device = NULL;
    vhu_device_options options = {.size = sizeof(options), .num_rings = 1};
    vhu_device_ops ops = echo_ops;
    vhu_executor executor = {.size = sizeof(executor)};

    (void)state;
    assert_int_equal(vhu_device_new(&device, &options, &ops, NULL, &executor, NULL), VHU_EINVAL);
    options.num_rings = 0;
    assert_int_equal(vhu_device_new(&device, &options, &ops, NULL, NULL, NULL), VHU_EINVAL);
    options.num_rings = VHU_MAX_RINGS + 1;
    assert_int_equal(vhu_device_new(&device, &options, &ops, NULL, NULL, NULL), VHU_EINVAL);
    options.num_rings = VHU_MAX_RINGS;
    ops.handle_ring = NULL;
    assert_int_equal(vhu_device_new(&device, &options, &ops, NULL, NULL, NULL), VHU_EINVAL);
    ops.handle_ring = echo_ops.handle_ring;
    options.size = 4;
    assert_int_equal(vhu_device_new(&device, &options, &ops, NULL, NULL, NULL), VHU_EINVAL);
    options.size = sizeof(options);
    assert_int_equal(vhu_device_new(&device, &options, &ops, NULL, NULL, NULL), 0);
    assert_null(vhu_device_ring(device, VHU_MAX_RINGS));
    assert_int_equal(vhu_ring_index(vhu_device_ring(device, 255)), 255);
    assert_int_equal(vhu_device_disconnect(device, NULL, NULL), VHU_ESTATE);
    assert_int_equal(vhu_device_free(device), 0);
    assert_int_equal(vhu_device_free(NULL), 0);
}

/* One after another, all with the same memory; the device is busy while one is there. */
static void front_ends(const kit_options *options)
{
    kit *k = kit_started(options);

    for (unsigned i = 0; i < 20; i++) {
        vhu_backend_server *server;
        vhu_conn *pair[2];

        kit_requests(k, 0, 3);
        kit_requests(k, 1, 3);
        assert_int_equal(vhu_device_free(k->device), VHU_ESTATE);
        assert_int_equal(vhu_conn_pair(pair, NULL), 0);
        assert_int_equal(vhu_device_connect(k->device, &pair[0], &server), VHU_ESTATE);
        assert_non_null(pair[0]);
        vhu_conn_free(pair[0]);
        vhu_conn_free(pair[1]);
        frontend_hang_up(&k->front);
        kit_turn(k);
        assert_int_equal(k->left, i + 1);
        assert_int_equal(k->ended, VHU_ECLIENT_EXIT);
        assert_true(vhu_device_is_idle(k->device));
        kit_connect(k);
        /* Nothing is left of the one before. */
        assert_int_equal(frontend_base(&k->front, 0), 0);
        frontend_start(&k->front);
    }
    kit_free(k);
}

static void test_front_ends(void **state)
{
    (void)state;
    kit_each(front_ends, two_rings);
}

static void free_device(void *arg)
{
    assert_int_equal(vhu_device_free(arg), 0);
}

/* It is idle when that is told, and may be freed there and then: at once, or in a later turn. */
static void test_freed_when_idle(void **state)
{
    (void)state;
    for (unsigned busy = 0; busy <= 1; busy++) {
        kit *k = kit_started(&one_ring);

        atomic_store(&k->echo.hold, busy);
        if (busy)
            frontend_submit(&k->front.rings[0], 1);
        kit_turn(k);
        k->server = NULL;
        assert_int_equal(vhu_device_disconnect(k->device, free_device, k->device), 0);
        if (busy) {
            atomic_store(&k->echo.hold, false);
            vhu_device_poll(k->device, 0);
            vhu_device_settle(k->device);
        }
        frontend_close(&k->front);
        free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_config),          leakcheck_test(test_config_changed),
        leakcheck_test(test_new_refuses),     leakcheck_test(test_front_ends),
        leakcheck_test(test_freed_when_idle),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
