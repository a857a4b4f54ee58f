/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_remote_fixture.h"

#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmm_vhost/backend.h>
#include <vmm_vhost/device.h>

/* Long enough for any machine: what has not come by then never will. */
enum { LOST_MS = 60000 };

/* --- the back-end's process: it must not assert --- */

typedef struct device {
    vhu_device *device;
    backend_script *script;
    vhu_backend_server *server;
    bool config_set;
} device;

static void answer(vhu_chain *chain)
{
    uint64_t number;

    chain->written = 0;
    if (chain->readable_len < sizeof(number) || chain->writable_len < sizeof(number))
        return;
    memcpy(&number, chain->bufs[0].base, sizeof(number));
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
        if (s->num_done && atomic_load(&s->done) == s->num_done)
            break;
        answer(&chains[n]);
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
    struct pollfd fds[1 + GUEST_RINGS] = {{.fd = vhu_conn_wait_handle(conn), .events = POLLIN}};

    for (uint32_t i = 0; i < GUEST_RINGS; i++)
        fds[1 + i] = (struct pollfd){
            .fd = d->device ? vhu_ring_kick_handle(vhu_device_ring(d->device, i)) : -1,
            .events = POLLIN};
    if (vhu_conn_pending(conn) || (d->device && !vhu_device_may_sleep(d->device, 0)))
        return;
    poll(fds, 1 + GUEST_RINGS, -1);
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
    if (d->config_set)
        vhu_device_config_changed(d->device);
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

/* Reads, counts kicks as taken, and tells nothing but its features and a base of 0. */
static void serve_old(backend_script *script, int fd)
{
    struct {
        vhu_msg_header header;
        uint8_t payload[VHU_MAX_PAYLOAD];
    } m;
    const uint64_t features = VHU_DRIVER_FEATURES;

    while (recv(fd, &m.header, sizeof(m.header), MSG_WAITALL) == sizeof(m.header)) {
        uint32_t size = m.header.size;

        if (size > sizeof(m.payload) ||
            (size > 0 && recv(fd, m.payload, size, MSG_WAITALL) != (ssize_t)size))
            return;
        if (m.header.request == VHU_REQ_SET_VRING_KICK)
            atomic_fetch_add(&script->taken, 1);
        if (m.header.request == VHU_REQ_GET_FEATURES)
            memcpy(m.payload, &features, sizeof(features));
        else if (m.header.request != VHU_REQ_GET_VRING_BASE)
            continue;
        m.header.flags = VHU_VERSION_1 | VHU_FLAG_REPLY;
        m.header.size = 8;
        if (send(fd, &m, sizeof(m.header) + 8, MSG_NOSIGNAL) < 0)
            return;
    }
}

static void run_backend(backend_script *script, int fd)
{
    const vhu_device_options options = {.size = sizeof(options), .num_rings = GUEST_RINGS};
    device d = {.script = script};
    vhu_conn *conn;
    int r;

    if (script->is_old) {
        serve_old(script, fd);
        _exit(0);
    }
    r = vhu_conn_adopt(&conn, &fd, NULL);
    if (r == 0 && script->is_fake) {
        r = vhu_backend_server_new(&d.server, &conn, &fake_backend_ops, &script->fake, NULL);
    } else if (r == 0) {
        r = vhu_device_new(&d.device, &options, &device_ops, &d, NULL, NULL);
        if (r == 0)
            r = vhu_device_connect(d.device, &conn, &d.server);
    }
    if (r == 0)
        serve(&d);
    _exit(r < 0);
}

/* --- the VMM --- */

static int config_changed(void *self)
{
    ((guest *)self)->config_changes++;
    return 0;
}

void guest_open(guest *g, const vhu_remote_options *options)
{
    const vhu_frontend_ops ops = {.size = sizeof(ops), .config_changed = config_changed};
    vhu_remote_options o = options ? *options : (vhu_remote_options){0};

    memset(g, 0, sizeof(*g));
    g->script =
        mmap(NULL, sizeof(*g->script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_ptr_not_equal(g->script, MAP_FAILED);
    o.size = sizeof(o);
    o.num_rings = GUEST_RINGS;
    o.features = o.features ? o.features : VHU_DRIVER_FEATURES;
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
    munmap(g->script, sizeof(*g->script));
}

int guest_connect(guest *g)
{
    vhu_conn *conn;
    int ends[2];
    int r;

    assert_int_equal(g->backend, 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    g->backend = fork();
    assert_true(g->backend >= 0);
    if (g->backend == 0) {
        /* Whatever becomes of the test, this ends with it. */
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(ends[0]);
        run_backend(g->script, ends[1]);
    }
    close(ends[1]);
    assert_int_equal(vhu_conn_adopt(&conn, &ends[0], NULL), 0);
    r = vhu_remote_connect_over(g->remote, &conn);
    assert_null(conn);
    return r;
}

void guest_reap_backend(guest *g)
{
    int status;

    if (g->backend == 0)
        return;
    assert_int_equal(waitpid(g->backend, &status, 0), g->backend);
    g->backend = 0;
}

void guest_kill_backend(guest *g)
{
    kill(g->backend, SIGKILL);
    guest_reap_backend(g);
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
        vhu_driver_ring_config config = {.size = sizeof(config),
                                         .memory = vhu_remote_memory(g->remote),
                                         .features = vhu_remote_features(g->remote),
                                         .layout.num = GUEST_RING_SIZE,
                                         .table_len = i == 0 ? 4 : 0};

        g->data = vhu_driver_ring_place(&config, g->data);
        vhu_driver_ring_free(g->rings[i]);
        g->rings[i] = NULL;
        assert_int_equal(vhu_driver_ring_new(&g->rings[i], &config), 0);
        assert_int_equal(vhu_remote_set_ring(g->remote, i, &config.layout, 0), 0);
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
    if (vhu_driver_ring_publish(g->rings[ring]))
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
            assert_int_equal(vhu_event_wait(call, LOST_MS), 0);
            vhu_event_clear(call);
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
