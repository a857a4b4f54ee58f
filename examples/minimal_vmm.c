/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest VMM side: it has a page or two of guest memory and no guest, reads the first sector
 * of a vhost-user disk and, if it is told to, writes one sector and reads it back.
 *
 *     vhost-user-blk --socket-path=/tmp/blk.sock --blk-file=disk.img &
 *     minimal_vmm /tmp/blk.sock [SECTOR-TO-OVERWRITE]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/vmm_vhost.h>

#include "blk_driver.h"

static void print_sector(const uint8_t *bytes)
{
    for (int i = 0; i < 512; i += 16) {
        printf("%03x:", (unsigned)i);
        for (int k = 0; k < 16; k++)
            printf(" %02x", bytes[i + k]);
        printf("\n");
    }
}

static int write_and_compare(struct blk_driver *disk, uint64_t sector)
{
    uint8_t out[512], in[512];
    int r;

    for (size_t i = 0; i < sizeof(out); i++)
        out[i] = (uint8_t)(i * 7 + sector);
    r = blk_driver_write(disk, sector, out, sizeof(out));
    if (r == 0)
        r = blk_driver_flush(disk);
    if (r == 0)
        r = blk_driver_read(disk, sector, in, sizeof(in));
    if (r == 0)
        printf("sector %" PRIu64 " %s\n", sector,
               memcmp(in, out, sizeof(in)) == 0 ? "written and read back" : "DIFFERS");
    return r;
}

static int use_disk(vhu_remote *remote, struct blk_driver *disk, const char *sector)
{
    uint8_t first[512];
    uint64_t capacity;
    int r = blk_driver_capacity(remote, &capacity);

    if (r == 0)
        r = blk_driver_read(disk, 0, first, sizeof(first));
    if (r < 0)
        return r;
    printf("%" PRIu64 " sectors, the first one:\n", capacity);
    print_sector(first);
    return sector ? write_and_compare(disk, strtoull(sector, NULL, 0)) : 0;
}

int main(int argc, char **argv)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = 1, .features = BLK_DRIVER_FEATURES};
    const struct blk_driver_options driver = {.depth = 1, .max_len = 4096, .memory = 0x100000};
    vhu_mem_region region = {.guest_addr = driver.memory, .size = blk_driver_bytes(&driver)};
    struct blk_driver *disk = NULL;
    vhu_remote *remote = NULL;
    vhu_shm *memory = NULL;
    int r = argc == 2 || argc == 3 ? vhu_remote_new(&remote, &options) : VHU_EINVAL;

    if (r == 0)
        r = vhu_shm_new(&memory, region.size);
    if (r == 0)
        r = vhu_remote_connect(remote, argv[1]);
    if (r == 0) {
        region.user_addr = (uintptr_t)vhu_shm_base(memory);
        r = vhu_remote_add_memory(remote, &region, vhu_shm_handle(memory));
    }
    if (r == 0)
        r = blk_driver_new(&disk, remote, &driver);
    if (r == 0)
        r = vhu_remote_start(remote);
    if (r == 0)
        r = use_disk(remote, disk, argv[2]);
    if (r == 0)
        r = vhu_remote_stop(remote);
    if (r < 0)
        fprintf(stderr, "usage: minimal_vmm SOCKET [SECTOR] (%s: %s)\n", vhu_strerror(r),
                remote ? vhu_remote_last_error(remote) : "");
    blk_driver_free(disk);
    vhu_remote_free(remote);
    vhu_shm_free(memory);
    return r < 0;
}
