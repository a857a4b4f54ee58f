/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end's process: it must not assert. */
#include "test_remote_fixture.h"

#include <stdlib.h>
#include <vmm_vhost/device.h>

#include "conn.h"
#include "os.h"
#include "wire.h"

typedef struct device {
    vhu_device *device;
    backend_script *script;
    vhu_backend_server *server;
    bool config_set;
} device;

static void answer(backend_script *script, vhu_chain *chain)
{
    uint64_t number;

    chain->written = 0;
    if (chain->readable_len < sizeof(number) || chain->writable_len < sizeof(number))
        return;
    memcpy(&number, chain->bufs[0].base, sizeof(number));
    if (number >> 32 < GUEST_RINGS)
        atomic_fetch_add(&script->answered[number >> 32][(uint32_t)number % GUEST_SLOTS], 1);
    number = ~number;
    memcpy(chain->bufs[chain->num_readable].base, &number, sizeof(number));
    chain->written = sizeof(number);
}

/* The last first, to be out of order. */
static void handle_ring(void *self, vhu_ring *ring)
{
    device *d = self;
    backend_script *s = d->script;
    vhu_chain chains[GUEST_RING_SIZE];
    vhu_buf bufs[GUEST_RING_SIZE][4];
    uint32_t n;

    for (uint32_t i = 0; i < GUEST_RING_SIZE; i++)
        chains[i] = (vhu_chain){.bufs = bufs[i], .capacity = 4};
    n = vhu_ring_take(ring, chains, GUEST_RING_SIZE);
    atomic_fetch_add(&s->taken, n);
    while (n-- > 0) {
        if (s->keeps && atomic_load(&s->done) == s->num_done)
            break;
        answer(s, &chains[n]);
        vhu_ring_complete(ring, &chains[n], 1);
        atomic_fetch_add(&s->done, 1);
    }
    vhu_ring_flush(ring);
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    (void)self;
    for (uint32_t i = 0; i < len; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(offset + i);
    return 0;
}

static int set_config(void *self, uint32_t offset, const void *buf, uint32_t len, uint32_t flags)
{
    (void)offset;
    (void)buf;
    (void)len;
    (void)flags;
    ((device *)self)->config_set = true;
    return 0;
}

static const vhu_device_ops device_ops = {.size = sizeof(device_ops),
                                          .handle_ring = handle_ring,
                                          .get_config = get_config,
                                          .set_config = set_config};

/* Wait for the connection and, of a device, for the kicks. */
static void wait_for_work(device *d)
{
    vhu_conn *conn = vhu_backend_server_conn(d->server);
    vhu_wait waits[1 + GUEST_RINGS] = {
        {vhu_conn_wait_handle(conn), vhu_conn_wait_events(conn), false}};

    for (uint32_t i = 0; i < GUEST_RINGS; i++) {
        vhu_ring *ring = d->device ? vhu_device_ring(d->device, i) : NULL;

        waits[1 + i].handle = ring ? vhu_ring_kick_handle(ring) : VHU_NO_HANDLE;
        waits[1 + i].events = VHU_WAIT_READ;
    }
    if (vhu_conn_pending(conn) || (d->device && !vhu_device_may_sleep(d->device, 0)))
        return;
    vhu_wait_any(waits, 1 + GUEST_RINGS, -1);
}

static void give_notifier(device *d)
{
    vhu_shm *page;

    if (!d->script->gives_notifier || vhu_shm_new(&page, 8192) < 0)
        return;
    vhu_device_set_host_notifier(d->device, 1, 4096, 4096, vhu_shm_handle(page));
    vhu_shm_free(page);
}

static void turn(device *d)
{
    if (!d->device)
        return;
    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        vhu_ring_kicked(vhu_device_ring(d->device, i));
    while (vhu_device_poll(d->device, 0))
        continue;
    vhu_device_settle(d->device);
    if (d->config_set) {
        give_notifier(d);
        vhu_device_config_changed(d->device);
    }
    d->config_set = false;
}

static void serve(device *d)
{
    uint32_t messages = 0;
    vhu_msg_header header;

    for (;;) {
        int r = vhu_backend_server_recv_header(d->server, &header);

        if (r == 0 && ++messages == d->script->num_messages)
            return;
        while (r == 0 && (r = vhu_backend_server_process_message(d->server)) == VHU_EAGAIN)
            r = vhu_conn_wait(vhu_backend_server_conn(d->server), -1);
        if (r < 0 && vhu_error_classify(r) != VHU_CLASS_RETRY &&
            !vhu_conn_is_open(vhu_backend_server_conn(d->server)))
            return;
        turn(d);
        if (r == VHU_EAGAIN)
            wait_for_work(d);
    }
}

/* Counts kicks as taken, and tells nothing but its features and, of any ring, a base of 0. */
static void answer_old(backend_script *script, vhu_conn *conn, const vhu_msg_header *header,
                       const uint8_t *payload)
{
    const vhu_msg_header reply = {header->request, VHU_VERSION_1 | VHU_FLAG_REPLY, 8};
    const uint64_t features = VHU_DRIVER_FEATURES;
    uint8_t bytes[VHU__WIRE_HEADER + 8] = {0};

    vhu__wire_store_header(bytes, &reply);
    if (header->request == VHU_REQ_SET_VRING_KICK)
        atomic_fetch_add(&script->taken, 1);
    else if (header->request == VHU_REQ_GET_FEATURES)
        memcpy(bytes + VHU__WIRE_HEADER, &features, sizeof(features));
    else if (header->request == VHU_REQ_GET_VRING_BASE && header->size >= 4)
        memcpy(bytes + VHU__WIRE_HEADER, payload, 4);
    if (header->request == VHU_REQ_GET_FEATURES || header->request == VHU_REQ_GET_VRING_BASE)
        vhu__conn_send(conn, bytes, sizeof(bytes), NULL, 0);
}

static void serve_old(backend_script *script, vhu_conn *conn)
{
    vhu_msg_header header;
    const uint8_t *payload;
    int r = 0;

    while (r >= 0) {
        r = vhu__conn_recv_header(conn, &header);
        if (r == 0)
            r = vhu__conn_recv_payload(conn, &payload);
        if (r == 0) {
            vhu__conn_take_handles(conn, NULL, 0);
            answer_old(script, conn, &header, payload);
            vhu__conn_consume(conn);
        } else if (r == VHU_EAGAIN) {
            r = vhu_conn_wait(conn, -1);
        }
    }
}

static int serve_new(backend_script *script, vhu_conn **conn)
{
    const vhu_device_options options = {.size = sizeof(options),
                                        .features =
                                            script->iommu ? VHU_BIT(VHU_F_ACCESS_PLATFORM) : 0,
                                        .num_rings = GUEST_RINGS,
                                        .withhold = script->withhold,
                                        .host_notifiers = script->gives_notifier,
                                        .inband = script->inband,
                                        .cross_endian = script->cross_endian};
    device d = {.script = script};
    int r;

    if (script->is_fake) {
        r = vhu_backend_server_new(&d.server, conn, &fake_backend_ops, &script->fake, NULL);
    } else {
        r = vhu_device_new(&d.device, &options, &device_ops, &d, NULL, NULL);
        if (r == 0)
            r = vhu_device_connect(d.device, conn, &d.server);
    }
    if (r == 0)
        serve(&d);
    return r;
}

/* The script comes first: memory to map. */
static int recv_script(vhu_stream *stream, os_map *map, void **script)
{
    const vhu_transport *transport = vhu_stream_transport(stream);
    uint8_t bytes[VHU__WIRE_HEADER];
    vhu_handle handle[1];
    size_t n;
    int r;

    do {
        n = 1;
        r = transport->recv(stream, bytes, sizeof(bytes), handle, &n);
    } while (r == VHU_EAGAIN && transport->wait(stream, VHU_WAIT_READ, LOST_MS) == 0);
    if (r < 0 || n != 1)
        return VHU_EINVALID_MESSAGE;
    r = os_map_shared(map, handle[0], 0, sizeof(backend_script), script);
    vhu_handle_close(&handle[0]);
    return r;
}

void guest_backend_main(const char *address)
{
    const vhu_pipe_options pipe = {.size = sizeof(pipe), .transfer = VHU_TRANSFER_BY_PEER};
    vhu_stream *stream;
    vhu_conn *conn;
    os_map map;
    void *script;
    int r = vhu_stream_connect(&stream, address, 0, &pipe);

    if (r == 0)
        r = recv_script(stream, &map, &script);
    if (r == 0)
        r = vhu_conn_from_stream(&conn, &stream, NULL);
    if (r == 0 && ((backend_script *)script)->is_old)
        serve_old(script, conn);
    else if (r == 0)
        r = serve_new(script, &conn);
    /* What it leaves behind is nobody's concern, and to look for it takes sanitizers a while. */
    _Exit(r < 0);
}
