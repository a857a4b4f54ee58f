/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same entropy device (virtio-rng) on libuv: its ring has a thread of its own, front-ends come
 * and go, and Ctrl-C or SIGTERM ends it.
 *
 *     uv_backend /tmp/rng.sock
 */
#include <signal.h>
#include <stdio.h>
#include <vmm_vhost/uv.h>

enum { PIECE = 4096 };

static uv_signal_t signals[2];

static void handle_ring(void *self, vhu_ring *ring)
{
    vhu_buf bufs[16];
    vhu_chain chain = {.bufs = bufs, .capacity = 16};

    (void)self;
    while (vhu_ring_take(ring, &chain, 1) == 1) {
        const vhu_buf *buf = &bufs[chain.num_readable];
        size_t n = chain.num_writable == 0 ? 0 : buf->len < PIECE ? buf->len : PIECE;

        chain.written =
            n > 0 && uv_random(NULL, NULL, buf->base, n, 0, NULL) == 0 ? (uint32_t)n : 0;
        vhu_ring_complete(ring, &chain, 1);
    }
    vhu_ring_flush(ring);
}

static void on_disconnected(void *self, int error)
{
    (void)self;
    printf("the front-end has gone: %s\n", vhu_strerror(error));
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    vhu_uv_device_close(handle->data, NULL, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
}

int main(int argc, char **argv)
{
    const vhu_device_options options = {.size = sizeof(options), .num_rings = 1};
    const vhu_device_ops ops = {.size = sizeof(ops), .handle_ring = handle_ring};
    const vhu_uv_device_options uv_options = {
        .size = sizeof(uv_options), .spin_us = 20, .disconnected = on_disconnected};
    const int numbers[] = {SIGTERM, SIGINT};
    uv_loop_t *loop = uv_default_loop();
    vhu_uv_device *device;
    vhu_listener *listener = NULL;
    int r = argc == 2 ? vhu_listener_new(&listener, argv[1], NULL) : VHU_EINVAL;

    if (r == 0)
        r = vhu_uv_device_new(&device, loop, &options, &ops, NULL, &uv_options);
    if (r < 0) {
        fprintf(stderr, "usage: uv_backend SOCKET (%s)\n", vhu_strerror(r));
        vhu_listener_free(listener);
        uv_run(loop, UV_RUN_DEFAULT);
        return 1;
    }
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop, &signals[i]);
        signals[i].data = device;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    r = vhu_uv_device_listen(device, &listener);
    if (r == 0) {
        setvbuf(stdout, NULL, _IONBF, 0);
        printf("ready on %s\n", argv[1]);
    } else {
        on_signal(&signals[0], 0);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    vhu_listener_free(listener);
    uv_loop_close(loop);
    return r < 0;
}
