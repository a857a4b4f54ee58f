/* SPDX-License-Identifier: BSD-3-Clause */
/* The same on libuv: a device with a worker comes and goes. */
#include <stdbool.h>
#include <stdio.h>

#include <vmm_vhost/uv.h>
#include <vmm_vhost/version.h>

static void handle_ring(void *self, vhu_ring *ring)
{
    (void)self;
    (void)ring;
}

static void done(void *arg)
{
    *(bool *)arg = true;
}

int main(void)
{
    const vhu_device_ops ops = {.size = sizeof(ops), .handle_ring = handle_ring};
    const vhu_device_options options = {.size = sizeof(options), .num_rings = 1};
    const vhu_uv_device_options uv = {.size = sizeof(uv), .num_workers = 1};
    vhu_uv_device *device;
    bool freed = false;
    uv_loop_t loop;
    int r;

    if (uv_loop_init(&loop) != 0)
        return 1;
    r = vhu_uv_device_new(&device, &loop, &options, &ops, NULL, &uv);
    if (r == 0)
        vhu_uv_device_close(device, done, &freed);
    uv_run(&loop, UV_RUN_DEFAULT);
    if (r < 0 || !freed || uv_loop_close(&loop) != 0) {
        fprintf(stderr, "device: %s\n", vhu_strerror(r));
        return 1;
    }
    printf("loop: made for %s, runs with %s\n", VHU_VERSION_STRING, vhu_version());
    return 0;
}
