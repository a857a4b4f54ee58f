/* SPDX-License-Identifier: BSD-3-Clause */
/* A disk: a pattern is written and read. */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "blk_driver.h"

enum { PIECE = 256 << 10 };

static void make_pattern(uint8_t *bytes, uint64_t from, uint64_t len)
{
    for (uint64_t i = 0; i < len; i += sizeof(uint64_t)) {
        const uint64_t word = (from + i) * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x5bd1e995);
        memcpy(bytes + i, &word, sizeof word);
    }
}

static uint8_t piece[PIECE], again[PIECE];

/* What was read: a file's, or the standard output's. Bytes as they are, on every system. */
static uv_file sink = -1;

static int keep(void *bytes, uint64_t len)
{
    uv_buf_t buf = {.base = bytes, .len = (unsigned)len};
    uv_fs_t req;

    return uv_fs_write(NULL, &req, sink, &buf, 1, -1, NULL) == (int)len ? 0 : VHU_EIO;
}

static int write_piece(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    make_pattern(piece, from, len);
    return blk_driver_write(disk, from / 512, piece, len);
}

static int compare_piece(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    int r = blk_driver_read(disk, from / 512, again, len);

    make_pattern(piece, from, len);
    if (r == 0 && memcmp(piece, again, len) != 0)
        r = VHU_EIO;
    return r == 0 && sink >= 0 ? keep(again, len) : r;
}

static int print_piece(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    const int r = blk_driver_read(disk, from / 512, piece, len);

    return r == 0 ? keep(piece, len) : r;
}

static int print_pattern(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    (void)disk;
    make_pattern(piece, from, len);
    return keep(piece, len);
}

static int for_pieces(struct blk_driver *disk, uint64_t from, uint64_t bytes,
                      int (*fn)(struct blk_driver *disk, uint64_t from, uint64_t len))
{
    for (uint64_t done = 0; done < bytes; done += PIECE) {
        const int r = fn(disk, from + done, bytes - done < PIECE ? bytes - done : PIECE);
        if (r < 0)
            return complain("disk", r, disk ? blk_driver_error(disk) : "");
    }
    return 0;
}

static void print_time(const char *what, uint64_t bytes, uint64_t began)
{
    const double seconds = (double)(uv_hrtime() - began) / 1e9;

    printf("blk: %.1f MiB %s in %.2f s\n", (double)bytes / (1 << 20), what, seconds);
    fflush(stdout);
}

static int open_sink(const char *path)
{
    uv_fs_t req;

    sink = uv_fs_open(NULL, &req, path, UV_FS_O_WRONLY | UV_FS_O_CREAT | UV_FS_O_TRUNC, 0600, NULL);
    return sink < 0 ? complain(path, VHU_EIO, uv_strerror(sink)) : 0;
}

static void describe(const struct machine *m)
{
    uint64_t sectors = 0;

    blk_driver_capacity(m->remote, &sectors);
    printf("negotiated: virtio features 0x%" PRIx64 ", a disk of %" PRIu64 " sectors\n",
           vhu_remote_features(m->remote), sectors);
    machine_tell_rings(m);
    printf("memory: %d MiB of the guest's at 0x%x, shared by its handle\n", MEMORY >> 20,
           (unsigned)GUEST_BASE);
}

static int blk_write(struct machine *m, struct blk_driver *disk, char **args)
{
    const uint64_t bytes = strtoull(args[0], NULL, 10);
    uint64_t began = uv_hrtime();
    int r = args[1] ? open_sink(args[1]) : 0;

    describe(m);
    if (r == 0)
        r = for_pieces(disk, 0, bytes, write_piece);
    if (r == 0 && (r = blk_driver_flush(disk)) < 0)
        r = complain("flush", r, blk_driver_error(disk));
    if (r < 0)
        return r;
    print_time("written and flushed", bytes, began);
    began = uv_hrtime();
    r = for_pieces(disk, 0, bytes, compare_piece);
    if (r < 0)
        return r;
    print_time("read back, the same", bytes, began);
    printf("blk: %" PRIu64 " bytes written and read back\n", bytes);
    return 0;
}

static int blk_read(struct machine *m, struct blk_driver *disk, char **args)
{
    (void)m;
    sink = 1;
    return for_pieces(disk, strtoull(args[0], NULL, 10), strtoull(args[1], NULL, 10), print_piece);
}

static int with_disk(char **args,
                     int (*fn)(struct machine *m, struct blk_driver *disk, char **args))
{
    const vhu_remote_options options = {
        .size = sizeof options, .num_rings = 1, .features = BLK_DRIVER_FEATURES};
    const struct blk_driver_options driver = {.depth = 8, .max_len = 65536, .memory = GUEST_BASE};
    struct machine m = {0};
    struct blk_driver *disk = NULL;
    int r = machine_connect(&m, args[0], &options);

    if (r == 0 && (r = blk_driver_new(&disk, m.remote, &driver)) < 0)
        r = complain("driver", r, vhu_remote_last_error(m.remote));
    if (r == 0)
        r = machine_start(&m);
    if (r == 0)
        r = fn(&m, disk, args + 1);
    if (r == 0)
        r = machine_stop(&m);
    blk_driver_free(disk);
    machine_free(&m);
    return r;
}

int run_blk_write(char **args)
{
    return with_disk(args, blk_write);
}

int run_blk_read(char **args)
{
    return with_disk(args, blk_read);
}

int run_pattern(char **args)
{
    sink = 1;
    return for_pieces(NULL, 0, strtoull(args[0], NULL, 10), print_pattern);
}
