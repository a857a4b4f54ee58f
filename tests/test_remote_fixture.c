/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_remote_fixture.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/stream.h>
#include <vmm_vhost/wait.h>

#include "support/sys.h"
#include "wire.h"

static int config_changed(void *self)
{
    ((guest *)self)->config_changes++;
    return 0;
}

static int iotlb_msg(void *self, const vhu_iotlb_msg *msg)
{
    assert_int_equal(msg->type, VHU_IOTLB_ACCESS_FAIL);
    ((guest *)self)->failed_accesses++;
    return 0;
}

static int vring_host_notifier(void *self, uint32_t ring, uint64_t size, uint64_t offset,
                               vhu_handle *handle)
{
    guest *g = self;

    assert_int_not_equal(*handle, VHU_NO_HANDLE);
    g->notifier_ring = ring;
    g->notifier_size = size;
    g->notifier_offset = offset;
    g->notifiers++;
    return 0;
}

static int vring_call(void *self, uint32_t ring)
{
    ((guest *)self)->calls[ring]++;
    return 0;
}

static int vring_err(void *self, uint32_t ring)
{
    (void)ring;
    ((guest *)self)->errs++;
    return 0;
}

void guest_open(guest *g, const vhu_remote_options *options)
{
    const vhu_frontend_ops ops = {.size = sizeof(ops),
                                  .iotlb_msg = iotlb_msg,
                                  .config_changed = config_changed,
                                  .vring_host_notifier = vring_host_notifier,
                                  .vring_call = vring_call,
                                  .vring_err = vring_err};
    vhu_remote_options o = options ? *options : (vhu_remote_options){0};

    memset(g, 0, sizeof(*g));
    assert_int_equal(vhu_shm_new(&g->script_memory, sizeof(*g->script)), 0);
    g->script = vhu_shm_base(g->script_memory);
    assert_int_equal(uv_loop_init(&g->loop), 0);
    o.size = sizeof(o);
    o.num_rings = GUEST_RINGS;
    o.features = o.features ? o.features : GUEST_SPLIT;
    o.timeout_ms = LOST_MS;
    o.ops = &ops;
    o.self = g;
    assert_int_equal(vhu_shm_new(&g->memory, GUEST_SIZE), 0);
    assert_int_equal(vhu_remote_new(&g->remote, &o), 0);
}

void guest_close(guest *g)
{
    vhu_remote_free(g->remote);
    guest_reap_backend(g);
    for (size_t i = 0; i < GUEST_RINGS; i++)
        vhu_driver_ring_free(g->rings[i]);
    vhu_shm_free(g->memory);
    vhu_shm_free(g->script_memory);
    assert_int_equal(uv_loop_close(&g->loop), 0);
}

static void on_ended(uv_process_t *process, int64_t status, int number)
{
    (void)status;
    (void)number;
    uv_close((uv_handle_t *)process, NULL);
}

/* Start this program once more, to connect to an address; it ends when its connection does. */
static void spawn_backend(guest *g, const char *address)
{
    char path[1024];
    char argument[sizeof(((sys_address *)0)->text)];
    char *args[] = {path, argument, NULL};
    const uv_process_options_t options = {.file = path, .args = args, .exit_cb = on_ended};
    size_t len = sizeof(path);

    strcpy(argument, address);
    assert_int_equal(uv_exepath(path, &len), 0);
    assert_int_equal(uv_spawn(&g->loop, &g->backend, &options), 0);
    g->has_backend = true;
}

/* The new back-end's connection, over which it has been sent its script. */
static vhu_conn *meet_backend(guest *g, vhu_listener *listener)
{
    const vhu_msg_header header = {0, VHU_VERSION_1, 0};
    const vhu_handle handle = vhu_shm_handle(g->script_memory);
    const vhu_transport *transport;
    uint8_t bytes[VHU__WIRE_HEADER];
    vhu_stream *stream;
    vhu_conn *conn;
    int r;

    assert_int_equal(vhu_listener_wait(listener, LOST_MS), 0);
    assert_int_equal(vhu_listener_accept_stream(listener, &stream), 0);
    transport = vhu_stream_transport(stream);
    vhu__wire_store_header(bytes, &header);
    while ((r = transport->send(stream, bytes, sizeof(bytes), &handle, 1)) == VHU_EAGAIN)
        assert_int_equal(transport->wait(stream, VHU_WAIT_WRITE, LOST_MS), 0);
    assert_int_equal(r, sizeof(bytes));
    assert_int_equal(vhu_conn_from_stream(&conn, &stream, NULL), 0);
    return conn;
}

int guest_connect(guest *g)
{
    const vhu_pipe_options pipe = {.size = sizeof(pipe), .transfer = VHU_TRANSFER_BY_SELF};
    const vhu_conn_options connection = {.size = sizeof(connection), .pipe = &pipe};
    const vhu_listener_options options = {.size = sizeof(options), .connection = &connection};
    vhu_listener *listener;
    sys_address address;
    vhu_conn *conn;
    int r;

    assert_false(g->has_backend);
    sys_address_new(&address);
    assert_int_equal(vhu_listener_new(&listener, address.text, &options), 0);
    spawn_backend(g, address.text);
    conn = meet_backend(g, listener);
    vhu_listener_free(listener);
    r = vhu_remote_connect_over(g->remote, &conn);
    assert_null(conn);
    return r;
}

void guest_reap_backend(guest *g)
{
    assert_int_equal(uv_run(&g->loop, UV_RUN_DEFAULT), 0);
    g->has_backend = false;
}

void guest_kill_backend(guest *g)
{
    assert_int_equal(uv_process_kill(&g->backend, SIGKILL), 0);
    guest_reap_backend(g);
}

int guest_warm_up(void **state)
{
    guest g;

    (void)state;
    guest_open(&g, NULL);
    guest_connect(&g);
    guest_close(&g);
    return 0;
}

int guest_add_memory(guest *g)
{
    const vhu_mem_region region = {.guest_addr = GUEST_BASE,
                                   .size = GUEST_SIZE,
                                   .user_addr = (uintptr_t)vhu_shm_base(g->memory)};

    return vhu_remote_add_memory(g->remote, &region, vhu_shm_handle(g->memory));
}

void guest_set_rings(guest *g)
{
    g->data = GUEST_BASE;
    for (uint32_t i = 0; i < GUEST_RINGS; i++) {
        vhu_driver_ring_config config = {
            .size = sizeof(config),
            .memory = vhu_remote_memory(g->remote),
            .features = vhu_remote_features(g->remote),
            .layout = {.num = GUEST_RING_SIZE, .big_endian = g->big_endian},
            .table_len = i == 0 ? 4 : 0};

        g->data = vhu_driver_ring_place(&config, g->data);
        vhu_driver_ring_free(g->rings[i]);
        g->rings[i] = NULL;
        assert_int_equal(vhu_driver_ring_new(&g->rings[i], &config), 0);
        assert_int_equal(
            vhu_remote_set_ring(g->remote, i, &config.layout, vhu_driver_ring_base(g->rings[i])),
            0);
    }
    g->data = (g->data + 31) & ~UINT64_C(31);
}

void guest_start(guest *g)
{
    assert_int_equal(guest_connect(g), 0);
    assert_int_equal(guest_add_memory(g), 0);
    guest_set_rings(g);
    assert_int_equal(vhu_remote_start(g->remote), 0);
}

static uint64_t slot_addr(const guest *g, uint32_t ring, uint32_t request)
{
    return g->data + (ring * GUEST_SLOTS + request % GUEST_SLOTS) * UINT64_C(32);
}

static uint64_t *slot_at(const guest *g, uint32_t ring, uint32_t request)
{
    uint64_t *slot = vhu_memory_at(vhu_remote_memory(g->remote), slot_addr(g, ring, request), 32);

    assert_non_null(slot);
    return slot;
}

static bool is_inband(const guest *g)
{
    const vhu_backend_client *client = vhu_remote_client(g->remote);

    return client &&
           (vhu_backend_client_protocol_features(client) & VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS));
}

void guest_submit(guest *g, uint32_t ring, uint32_t first, uint32_t n)
{
    for (uint32_t i = first; i < first + n; i++) {
        uint64_t *slot = slot_at(g, ring, i);
        const vhu_guest_buf bufs[] = {{slot_addr(g, ring, i), 8},
                                      {slot_addr(g, ring, i) + 8, 8},
                                      {slot_addr(g, ring, i) + 16, 16}};

        memset(slot, 0, 32);
        slot[0] = ((uint64_t)ring << 32) + i;
        /* In one piece or in two. */
        assert_int_equal(vhu_driver_ring_add(g->rings[ring], bufs, 1 + i % 2, 1, slot), 0);
    }
    if (!vhu_driver_ring_publish(g->rings[ring]))
        return;
    if (is_inband(g))
        assert_int_equal(vhu_remote_kick(g->remote, ring), 0);
    else
        vhu_event_signal(vhu_remote_event(g->remote, ring, VHU_VRING_KICK));
}

/* With two readable pieces the answer is one further. */
static void check(const vhu_driver_used *used)
{
    const uint64_t *slot = used->token;
    const uint64_t *out = slot[0] % 2 ? slot + 2 : slot + 1;

    assert_int_equal(used->len, 8);
    assert_true(*out == ~slot[0]);
}

/* Until the device calls, or asks. */
static void wait_for_call(guest *g, vhu_event *call)
{
    vhu_conn *channel = vhu_remote_channel(g->remote);
    vhu_wait waits[] = {
        {vhu_event_wait_handle(call), VHU_WAIT_READ, false},
        {channel ? vhu_conn_wait_handle(channel) : VHU_NO_HANDLE, VHU_WAIT_READ, false}};

    assert_int_equal(vhu_wait_any(waits, 2, LOST_MS), 0);
    if (waits[0].ready)
        vhu_event_clear(call);
    else
        assert_int_equal(vhu_remote_serve(g->remote), 0);
}

void guest_collect(guest *g, uint32_t ring, uint32_t n)
{
    vhu_event *call = vhu_remote_event(g->remote, ring, VHU_VRING_CALL);
    vhu_driver_used used;

    while (n > 0) {
        int got = vhu_driver_ring_collect(g->rings[ring], &used, 1);

        assert_true(got >= 0);
        if (got == 1) {
            check(&used);
            n--;
        } else if (!vhu_driver_ring_enable_calls(g->rings[ring])) {
            wait_for_call(g, call);
        }
    }
}

void guest_exercise(guest *g)
{
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_submit(g, i, 0, 16);
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        guest_collect(g, i, 16);
}
