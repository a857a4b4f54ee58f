/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest back-end: an entropy device (virtio-rng) in one thread, with a loop of its own.
 *
 *     minimal_backend /tmp/rng.sock
 *     qemu-system-x86_64 ... -chardev socket,id=c,path=/tmp/rng.sock \
 *         -device vhost-user-rng-pci,chardev=c
 */
#include <stdio.h>
#include <vmm_vhost/vmm_vhost.h>

enum { PIECE = 256 };

#ifdef _WIN32
#include <windows.h>

#include <bcrypt.h>

static bool fill(void *bytes, size_t len)
{
    return BCryptGenRandom(NULL, bytes, (ULONG)len, BCRYPT_USE_SYSTEM_PREFERRED_RNG) == 0;
}
#else
#include <sys/random.h>

static bool fill(void *bytes, size_t len)
{
    return getentropy(bytes, len) == 0; /* at most a PIECE */
}
#endif

/* The whole device: fill what the driver gave us to write to. */
static void handle_ring(void *self, vhu_ring *ring)
{
    vhu_buf bufs[16];
    vhu_chain chain = {.bufs = bufs, .capacity = 16};

    (void)self;
    while (vhu_ring_take(ring, &chain, 1) == 1) {
        const vhu_buf *buf = &bufs[chain.num_readable];
        size_t n = chain.num_writable == 0 ? 0 : buf->len < PIECE ? buf->len : PIECE;

        chain.written = n > 0 && fill(buf->base, n) ? (uint32_t)n : 0;
        vhu_ring_complete(ring, &chain, 1);
    }
    vhu_ring_flush(ring);
}

/* Serve one front-end until it goes. */
static int serve(vhu_device *device, vhu_conn *conn)
{
    vhu_ring *ring = vhu_device_ring(device, 0);
    vhu_backend_server *server;
    int r = vhu_device_connect(device, &conn, &server);

    while (r == 0 || r == VHU_EAGAIN) {
        vhu_conn *c = vhu_backend_server_conn(server);
        vhu_wait waits[] = {
            {.handle = vhu_conn_wait_handle(c), .events = vhu_conn_wait_events(c)},
            {.handle = vhu_ring_kick_handle(ring), .events = VHU_WAIT_READ},
        };

        if (r == VHU_EAGAIN && vhu_device_may_sleep(device, 0))
            vhu_wait_any(waits, 2, vhu_conn_deadline_ms(c));
        vhu_ring_kicked(ring);
        while (vhu_device_poll(device, 0))
            continue;
        vhu_device_settle(device);
        r = vhu_backend_server_serve(server);
    }
    printf("the front-end has gone: %s\n", vhu_strerror(r));
    return vhu_device_disconnect(device, NULL, NULL);
}

int main(int argc, char **argv)
{
    const vhu_device_options options = {.size = sizeof(options), .num_rings = 1};
    const vhu_device_ops ops = {.size = sizeof(ops), .handle_ring = handle_ring};
    vhu_device *device = NULL;
    vhu_listener *listener = NULL;
    vhu_conn *conn;
    int r = argc == 2 ? 0 : VHU_EINVAL;

    if (r == 0)
        r = vhu_device_new(&device, &options, &ops, NULL, NULL, NULL);
    if (r == 0)
        r = vhu_listener_new(&listener, argv[1], NULL);
    if (r == 0)
        r = vhu_listener_wait(listener, -1);
    if (r == 0)
        r = vhu_listener_accept(listener, &conn);
    if (r == 0)
        r = serve(device, conn);
    if (r < 0)
        fprintf(stderr, "usage: minimal_backend SOCKET (%s)\n", vhu_strerror(r));
    vhu_listener_free(listener);
    vhu_device_free(device);
    return r < 0;
}
