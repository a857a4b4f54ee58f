/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A whole device: a file as a disk (virtio-blk), with a configuration and requests, on libuv.
 * docs/guide.md walks through it. For a disk that is fast there is vhost-user-blk.
 *
 *     file_disk /tmp/disk.sock disk.img
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/uv.h>

/* What the device knows: numbers of the virtio specification, section "Block Device". */
enum { SECTOR = 512, READ = 0, WRITE = 1, STATUS_OK = 0, STATUS_FAILED = 1, STATUS_UNKNOWN = 2 };

/* What begins a request; little-endian, as this machine is. */
struct header {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
};

struct disk {
    FILE *file;
    uint64_t sectors;
};

/* The part of bufs[0 .. n) that begins at byte `at` and ends at `end` or before; empty: none. */
static vhu_buf piece(const vhu_buf *bufs, uint32_t n, uint64_t at, uint64_t end)
{
    uint64_t begin = 0;

    for (uint32_t i = 0; i < n && begin < end; begin += bufs[i++].len) {
        uint64_t stop = begin + bufs[i].len < end ? begin + bufs[i].len : end;

        if (at >= begin && at < stop)
            return (vhu_buf){(char *)bufs[i].base + (at - begin), (size_t)(stop - at)};
    }
    return (vhu_buf){NULL, 0};
}

/* Bytes [at, end) of the bufs, from or to a sector of the file. */
static bool transfer(struct disk *disk, uint32_t type, uint64_t sector, const vhu_buf *bufs,
                     uint32_t n, uint64_t at, uint64_t end)
{
    const uint64_t len = end - at;
    vhu_buf part;

    if (len % SECTOR || len / SECTOR > disk->sectors || sector > disk->sectors - len / SECTOR)
        return false;
    if (fseek(disk->file, (long)(sector * SECTOR), SEEK_SET) != 0)
        return false;
    for (; at < end; at += part.len) {
        part = piece(bufs, n, at, end);
        if ((type == WRITE ? fwrite(part.base, 1, part.len, disk->file)
                           : fread(part.base, 1, part.len, disk->file)) != part.len)
            return false;
    }
    return type == READ || fflush(disk->file) == 0;
}

/* One request: a header, the data, and a byte for the status. */
static void serve(struct disk *disk, vhu_chain *chain)
{
    const vhu_buf *in = chain->bufs + chain->num_readable;
    const uint64_t status_at = chain->writable_len - 1;
    struct header header;
    uint8_t status = STATUS_FAILED;
    vhu_buf part;

    chain->written = 0;
    if (chain->writable_len == 0 || chain->readable_len < sizeof(header))
        return;
    /* Copied first: the guest may change it at any time. */
    for (size_t got = 0; got < sizeof(header); got += part.len) {
        part = piece(chain->bufs, chain->num_readable, got, sizeof(header));
        memcpy((char *)&header + got, part.base, part.len);
    }
    if (header.type == READ) {
        if (transfer(disk, READ, header.sector, in, chain->num_writable, 0, status_at))
            status = STATUS_OK;
    } else if (header.type == WRITE) {
        if (transfer(disk, WRITE, header.sector, chain->bufs, chain->num_readable, sizeof(header),
                     chain->readable_len))
            status = STATUS_OK;
    } else {
        status = STATUS_UNKNOWN;
    }
    part = piece(in, chain->num_writable, status_at, chain->writable_len);
    memcpy(part.base, &status, 1);
    chain->written = (uint32_t)chain->writable_len;
}

static void handle_ring(void *self, vhu_ring *ring)
{
    vhu_buf bufs[128];
    vhu_chain chain = {.bufs = bufs, .capacity = 128};

    while (vhu_ring_take(ring, &chain, 1) == 1) {
        serve(self, &chain);
        vhu_ring_complete(ring, &chain, 1);
    }
    vhu_ring_flush(ring);
}

/* It begins with the number of sectors; the rest is for features that are not offered. */
static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    const struct disk *disk = self;
    char config[VHU_MAX_CONFIG] = "";

    memcpy(config, &disk->sectors, sizeof(disk->sectors));
    memcpy(buf, config + offset, len);
    return 0;
}

static bool open_disk(struct disk *disk, const char *path)
{
    long size;

    disk->file = fopen(path, "r+b");
    if (!disk->file || fseek(disk->file, 0, SEEK_END) != 0 || (size = ftell(disk->file)) < 0)
        return false;
    disk->sectors = (uint64_t)size / SECTOR;
    return true;
}

static uv_signal_t signals[2];

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    vhu_uv_device_close(handle->data, NULL, NULL);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
}

/* Ctrl-C or SIGTERM closes the device, and without it the loop has nothing left to do. */
static void close_on_signals(vhu_uv_device *device, uv_loop_t *loop)
{
    const int numbers[] = {SIGTERM, SIGINT};

    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop, &signals[i]);
        signals[i].data = device;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
}

static int run(struct disk *disk, vhu_listener **listener)
{
    const vhu_device_options options = {.size = sizeof(options), .num_rings = 1};
    const vhu_device_ops ops = {
        .size = sizeof(ops), .get_config = get_config, .handle_ring = handle_ring};
    const vhu_uv_device_options uv_options = {.size = sizeof(uv_options)};
    uv_loop_t *loop = uv_default_loop();
    vhu_uv_device *device;
    int r = vhu_uv_device_new(&device, loop, &options, &ops, disk, &uv_options);

    if (r == 0) {
        close_on_signals(device, loop);
        r = vhu_uv_device_listen(device, listener);
        if (r < 0)
            on_signal(&signals[0], 0);
    }
    uv_run(loop, UV_RUN_DEFAULT);
    uv_loop_close(loop);
    return r;
}

int main(int argc, char **argv)
{
    struct disk disk = {NULL, 0};
    vhu_listener *listener = NULL;
    int r = argc == 3 && open_disk(&disk, argv[2]) ? 0 : VHU_EINVAL;

    if (r == 0)
        r = vhu_listener_new(&listener, argv[1], NULL);
    if (r == 0)
        r = run(&disk, &listener);
    if (r < 0)
        fprintf(stderr, "usage: file_disk SOCKET FILE (%s)\n", vhu_strerror(r));
    vhu_listener_free(listener);
    if (disk.file)
        fclose(disk.file);
    return r < 0;
}
