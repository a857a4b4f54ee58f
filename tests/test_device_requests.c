/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests that the device kit passes on, the status, and what it says on its own channel. */
#include <string.h>
#include <vmm_vhost/shm.h>

#include "support/sys.h"
#include "test_device_fixture.h"
#include "util.h"

/* --- a device that knows them all --- */

static struct {
    int result; /* of every op */
    unsigned calls;
    uint64_t number;
    uint8_t bytes[8];
    uint32_t len;
    vhu_handle handle;
    unsigned resets;
    bool ran; /* a ring did while it was reset */
} seen;

static int note(uint64_t number, const void *bytes, uint32_t len)
{
    seen.calls++;
    seen.number = number;
    seen.len = len;
    memcpy(seen.bytes, bytes, len < sizeof(seen.bytes) ? len : sizeof(seen.bytes));
    return seen.result;
}

static void reset(void *self)
{
    const echo_device *echo = self;

    seen.resets++;
    for (size_t i = 0; i < FRONTEND_RINGS; i++)
        seen.ran |= echo->rings[i].ring != NULL;
}

static int send_rarp(void *self, const uint8_t mac[6])
{
    (void)self;
    return note(0, mac, 6);
}

static int net_set_mtu(void *self, uint64_t mtu)
{
    (void)self;
    return note(mtu, "", 0);
}

static int create_crypto_session(void *self, const void *params, uint32_t len, int64_t *id)
{
    (void)self;
    *id = 77;
    return note(0, params, len);
}

static int close_crypto_session(void *self, uint64_t id)
{
    (void)self;
    return note(id, "", 0);
}

static int gpu_set_socket(void *self, vhu_handle *handle)
{
    (void)self;
    seen.handle = *handle;
    *handle = VHU_NO_HANDLE;
    return note(0, "", 0);
}

static vhu_device_ops all_ops(void)
{
    vhu_device_ops ops = echo_ops;

    ops.reset = reset;
    ops.send_rarp = send_rarp;
    ops.net_set_mtu = net_set_mtu;
    ops.create_crypto_session = create_crypto_session;
    ops.close_crypto_session = close_crypto_session;
    ops.gpu_set_socket = gpu_set_socket;
    return ops;
}

#define OWN_PROTOCOL                                                                               \
    (VHU_BIT(VHU_PF_RARP) | VHU_BIT(VHU_PF_NET_MTU) | VHU_BIT(VHU_PF_CRYPTO_SESSION))

static kit *open_kit(const vhu_device_ops *ops)
{
    const kit_options options = {.rings = 1, .ops = ops};

    memset(&seen, 0, sizeof(seen));
    return kit_new(&options);
}

/* --- passed on --- */

static const struct {
    uint32_t request;
    uint32_t size;
    const char *payload;
    uint64_t number;
} rows[] = {
    {VHU_REQ_SEND_RARP, 8, "\1\2\3\4\5\6\0", 0},
    {VHU_REQ_NET_SET_MTU, 8, "\x78\5\0\0\0\0\0", 1400},
    {VHU_REQ_CLOSE_CRYPTO_SESSION, 8, "\115\0\0\0\0\0\0", 77},
};

static void test_passed_on(void **state)
{
    const vhu_device_ops ops = all_ops();
    kit *k = open_kit(&ops);
    frontend *f = &k->front;

    (void)state;
    frontend_handshake(f, FRONTEND_PROTOCOL | OWN_PROTOCOL);
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        seen.result = 0;
        assert_int_equal(
            frontend_request(f, rows[i].request, rows[i].payload, rows[i].size, NULL, 0), 0);
        assert_int_equal(seen.calls, 2 * i + 1);
        assert_int_equal(seen.number, rows[i].number);
        seen.result = VHU_EIO;
        assert_int_not_equal(
            frontend_request(f, rows[i].request, rows[i].payload, rows[i].size, NULL, 0), 0);
    }
    assert_memory_equal(seen.bytes, "\1\2\3\4\5\6", 6);
    kit_free(k);
}

/* What a front-end may not even ask for never comes to the device. */
static void test_bad_numbers(void **state)
{
    static const uint64_t mtus[] = {0, 67, 65536, UINT64_MAX};
    const vhu_device_ops ops = all_ops();
    kit *k = open_kit(&ops);
    frontend *f = &k->front;

    (void)state;
    frontend_handshake(f, FRONTEND_PROTOCOL | OWN_PROTOCOL);
    for (size_t i = 0; i < VHU__COUNT(mtus); i++)
        assert_int_not_equal(frontend_set(f, VHU_REQ_NET_SET_MTU, mtus[i]), 0);
    assert_int_not_equal(frontend_request(f, VHU_REQ_GPU_SET_SOCKET, NULL, 0, NULL, 0), 0);
    assert_int_equal(seen.calls, 0);
    kit_free(k);
}

static void test_sessions(void **state)
{
    uint8_t params[64] = {[8] = 1, [63] = 2};
    const vhu_device_ops ops = all_ops();
    kit *k = open_kit(&ops);
    frontend *f = &k->front;
    int64_t id;

    (void)state;
    frontend_handshake(f, FRONTEND_PROTOCOL | OWN_PROTOCOL);
    for (int failed = 0; failed < 2; failed++) {
        seen.result = failed ? VHU_ENOMEM : 0;
        frontend_send(f, VHU_REQ_CREATE_CRYPTO_SESSION, 0, params, sizeof(params), NULL, 0);
        assert_int_equal(frontend_recv(f, VHU_REQ_CREATE_CRYPTO_SESSION, params, sizeof(params)),
                         sizeof(params));
        assert_int_equal(seen.len, sizeof(params));
        memcpy(&id, params, sizeof(id));
        assert_int_equal(id, failed ? -1 : 77);
        assert_int_equal(params[63], 2);
    }
    kit_free(k);
}

static void test_socket(void **state)
{
    const vhu_device_ops ops = all_ops();
    kit *k = open_kit(&ops);
    vhu_handle handle = sys_handle_new();

    (void)state;
    frontend_handshake(&k->front, FRONTEND_PROTOCOL);
    assert_int_equal(frontend_request(&k->front, VHU_REQ_GPU_SET_SOCKET, NULL, 0, &handle, 1), 0);
    assert_true(sys_handles_same(seen.handle, handle));
    vhu_handle_close(&seen.handle);
    vhu_handle_close(&handle);
    kit_free(k);
}

/* Without an op a feature is not offered, and the rest is refused. */
static void test_not_known(void **state)
{
    static const struct {
        uint64_t lost;
        size_t op;
    } ops_rows[] = {
        {VHU_BIT(VHU_PF_RARP), offsetof(vhu_device_ops, send_rarp)},
        {VHU_BIT(VHU_PF_NET_MTU), offsetof(vhu_device_ops, net_set_mtu)},
        {VHU_BIT(VHU_PF_CRYPTO_SESSION), offsetof(vhu_device_ops, create_crypto_session)},
        {VHU_BIT(VHU_PF_CRYPTO_SESSION), offsetof(vhu_device_ops, close_crypto_session)},
        {0, offsetof(vhu_device_ops, gpu_set_socket)},
    };
    vhu_handle handle = sys_handle_new();

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(ops_rows); i++) {
        vhu_device_ops ops = all_ops();
        kit *k;

        memset((char *)&ops + ops_rows[i].op, 0, sizeof(void (*)(void)));
        k = open_kit(&ops);
        assert_int_equal(frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES) & OWN_PROTOCOL,
                         OWN_PROTOCOL & ~ops_rows[i].lost);
        frontend_handshake(&k->front, FRONTEND_PROTOCOL);
        if (ops_rows[i].lost == 0)
            assert_int_not_equal(
                frontend_request(&k->front, VHU_REQ_GPU_SET_SOCKET, NULL, 0, &handle, 1), 0);
        kit_free(k);
    }
    vhu_handle_close(&handle);
}

/* --- reset and status --- */

static void reset_device(const kit_options *options)
{
    const vhu_device_ops ops = all_ops();
    kit_options with_ops = *options;
    kit *k;

    memset(&seen, 0, sizeof(seen));
    with_ops.ops = &ops;
    k = kit_started(&with_ops);
    kit_requests(k, 0, 3);
    assert_int_equal(frontend_request(&k->front, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    assert_int_equal(seen.resets, 1);
    assert_false(seen.ran);
    frontend_hang_up(&k->front);
    kit_turn(k);
    assert_int_equal(seen.resets, 1);
    kit_free(k);
}

static void test_reset(void **state)
{
    (void)state;
    kit_each(reset_device, (kit_options){.rings = 2});
}

static uint64_t status_of(kit *k)
{
    return frontend_get(&k->front, VHU_REQ_GET_STATUS);
}

/* It is kept as it came, until the device is reset or another front-end comes. */
static void test_status(void **state)
{
    static const uint64_t values[] = {0x3, 0xb, 0xf, 0x8f, UINT64_MAX, 0, 0xf};
    const uint64_t protocol = FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_STATUS);
    const kit_options options = {.rings = 1};
    kit *k = kit_new(&options);
    frontend *f = &k->front;

    (void)state;
    frontend_handshake(f, protocol);
    assert_int_equal(status_of(k), 0);
    for (size_t i = 0; i < VHU__COUNT(values); i++) {
        assert_int_equal(frontend_set(f, VHU_REQ_SET_STATUS, values[i]), 0);
        assert_int_equal(status_of(k), values[i]);
    }
    assert_int_equal(frontend_request(f, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    assert_int_equal(status_of(k), 0);
    frontend_set(f, VHU_REQ_SET_STATUS, 0xf);
    frontend_hang_up(f);
    kit_turn(k);
    kit_connect(k);
    frontend_handshake(f, protocol);
    assert_int_equal(status_of(k), 0);
    kit_free(k);
}

/* QEMU 7.2 says 0 and then asks for the bases, from which it goes on later. */
static void test_status_before_base(void **state)
{
    const kit_options options = {.rings = 1};
    kit *k = kit_new(&options);
    frontend *f = &k->front;

    (void)state;
    frontend_handshake(f, FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_STATUS));
    frontend_share(f, 1);
    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 5);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_STATUS, 0), 0);
    assert_int_equal(frontend_base(f, 0), 5);
    kit_free(k);
}

/* --- host notifiers --- */

static void test_host_notifier(void **state)
{
    const uint64_t needs = VHU_BIT(VHU_PF_HOST_NOTIFIER) | VHU_BIT(VHU_PF_BACKEND_SEND_FD);
    const kit_options options = {.rings = 2, .host_notifiers = true};
    kit *k = kit_new(&options);
    frontend *f = &k->front;
    vhu_handle handle = VHU_NO_HANDLE;
    vhu_msg_header header;
    vhu_shm *page;
    uint64_t area[3];

    (void)state;
    assert_int_equal(vhu_shm_new(&page, 8192), 0);
    frontend_handshake(f, FRONTEND_PROTOCOL | needs);
    assert_int_equal(vhu_device_set_host_notifier(k->device, 1, 4096, 0, vhu_shm_handle(page)), 0);
    header = frontend_take_channel(f, area, sizeof(area), &handle);
    assert_int_equal(header.request, VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG);
    assert_int_equal(header.flags, VHU_VERSION_1);
    assert_int_equal(area[0], 1);
    assert_int_equal(area[1], 4096);
    assert_int_equal(area[2], 0);
    assert_true(sys_handles_same(handle, vhu_shm_handle(page)));
    vhu_handle_close(&handle);
    assert_int_equal(vhu_device_set_host_notifier(k->device, 0, 0, 0, VHU_NO_HANDLE), 0);
    frontend_take_channel(f, area, sizeof(area), &handle);
    assert_int_equal(handle, VHU_NO_HANDLE);
    assert_int_equal(area[0], 0x100);
    assert_int_equal(vhu_device_set_host_notifier(k->device, 2, 4096, 0, vhu_shm_handle(page)),
                     VHU_EINVAL);
    frontend_hang_up(f);
    kit_turn(k);
    assert_int_equal(vhu_device_set_host_notifier(k->device, 1, 4096, 0, vhu_shm_handle(page)),
                     VHU_ESTATE);
    vhu_shm_free(page);
    kit_free(k);
}

/* A device without them does not ask for leave; a front-end need not give it. */
static void test_no_host_notifier(void **state)
{
    const uint64_t needs = VHU_BIT(VHU_PF_HOST_NOTIFIER) | VHU_BIT(VHU_PF_BACKEND_SEND_FD);
    vhu_shm *page;

    (void)state;
    assert_int_equal(vhu_shm_new(&page, 8192), 0);
    for (int has = 0; has < 2; has++) {
        const kit_options options = {.rings = 1, .host_notifiers = has};
        kit *k = kit_new(&options);

        assert_int_equal(frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES) & needs,
                         has ? needs : 0);
        frontend_handshake(&k->front, FRONTEND_PROTOCOL);
        assert_int_equal(vhu_device_set_host_notifier(k->device, 0, 4096, 0, vhu_shm_handle(page)),
                         VHU_ENOSYS);
        kit_free(k);
    }
    vhu_shm_free(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_passed_on),     leakcheck_test(test_bad_numbers),
        leakcheck_test(test_sessions),      leakcheck_test(test_socket),
        leakcheck_test(test_not_known),     leakcheck_test(test_reset),
        leakcheck_test(test_status),        leakcheck_test(test_status_before_base),
        leakcheck_test(test_host_notifier), leakcheck_test(test_no_host_notifier),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
