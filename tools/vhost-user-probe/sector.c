/* SPDX-License-Identifier: BSD-3-Clause */
#include "sector.h"

#include "blk_driver.h"
#include "virtio_blk.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/shm.h>

static int wait_for_end(struct blk_driver *disk, int timeout_ms, struct blk_driver_request **done)
{
    int r;

    do {
        r = blk_driver_wait(disk, timeout_ms);
        if (r == 0)
            r = blk_driver_reap(disk, done, 1);
    } while (r == 0);
    return r < 0 ? r : 0;
}

static int read_one(struct blk_driver *disk, int timeout_ms, uint64_t sector, uint8_t *bytes,
                    char *error, size_t size)
{
    struct blk_driver_request *request = blk_driver_get(disk);
    int r;

    request->type = BLK_T_IN;
    request->len = SECTOR_SIZE;
    request->sector = sector;
    r = blk_driver_submit(disk, request);
    if (r == 0) {
        blk_driver_kick(disk);
        r = wait_for_end(disk, timeout_ms, &request);
    }
    if (r) {
        const char *why = blk_driver_error(disk);
        snprintf(error, size, "sector %" PRIu64 ": %s", sector, *why ? why : vhu_strerror(r));
        return -1;
    }
    memcpy(bytes, request->data, SECTOR_SIZE);
    const int status = request->status;
    blk_driver_put(disk, request);
    if (status == BLK_S_OK)
        return 0;
    snprintf(error, size, "sector %" PRIu64 ": the device answers with status %d", sector, status);
    return -1;
}

/* Features, memory, ring, start. */
static int start(vhu_remote *remote, const char *address, vhu_shm *memory,
                 const struct blk_driver_options *driver, struct blk_driver **disk)
{
    const vhu_mem_region region = {.guest_addr = driver->memory,
                                   .size = vhu_shm_size(memory),
                                   .user_addr = (uintptr_t)vhu_shm_base(memory)};
    int r = vhu_remote_connect(remote, address);

    if (r == 0)
        r = vhu_remote_add_memory(remote, &region, vhu_shm_handle(memory));
    if (r == 0)
        r = blk_driver_new(disk, remote, driver);
    if (r == 0)
        r = vhu_remote_start(remote);
    return r;
}

int sector_read(const char *address, int timeout_ms, uint64_t sector, uint8_t bytes[SECTOR_SIZE],
                char *error, size_t size)
{
    const vhu_remote_options options = {.size = sizeof options,
                                        .num_rings = 1,
                                        .features = BLK_DRIVER_FEATURES,
                                        .timeout_ms = timeout_ms};
    const struct blk_driver_options driver = {
        .depth = 1, .max_len = SECTOR_SIZE, .memory = 0x100000};
    struct blk_driver *disk = NULL;
    vhu_remote *remote = NULL;
    vhu_shm *memory = NULL;
    int r = vhu_remote_new(&remote, &options);

    if (r == 0)
        r = vhu_shm_new(&memory, blk_driver_bytes(&driver));
    if (r == 0)
        r = start(remote, address, memory, &driver, &disk);
    if (r == 0) {
        r = read_one(disk, timeout_ms, sector, bytes, error, size);
        vhu_remote_stop(remote);
    } else {
        const char *why = remote ? vhu_remote_last_error(remote) : "";
        snprintf(error, size, "sector %" PRIu64 ": %s", sector, *why ? why : vhu_strerror(r));
    }
    blk_driver_free(disk);
    vhu_remote_free(remote);
    vhu_shm_free(memory);
    return r ? -1 : 0;
}
