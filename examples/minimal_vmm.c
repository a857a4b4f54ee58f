/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The smallest VMM side: it has some guest memory and no guest, reads the first sector of a
 * vhost-user disk and, if it is told to, writes one sector and reads it back.
 *
 *     vhost-user-blk --socket-path=/tmp/blk.sock --blk-file=disk.img &
 *     minimal_vmm /tmp/blk.sock [SECTOR-TO-OVERWRITE]
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/vmm_vhost.h>

enum { GUEST_BASE = 0x100000, MEMORY = 65536, PATIENCE_MS = 10000, READ = 0, WRITE = 1 };

/* A request of a virtio disk, as it lies in guest memory; little-endian, as this machine is. */
struct request {
    uint32_t type;
    uint32_t reserved;
    uint64_t sector;
    uint8_t data[512];
    uint8_t status;
};

struct vmm {
    vhu_shm *memory;
    vhu_remote *remote;
    vhu_driver_ring *ring;
    struct request *request;
    uint64_t addr; /* of the request, for the device */
};

/* Memory, a connection, and a ring with room for a request behind it. */
static int start(struct vmm *vmm, const char *address)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = 1, .features = VHU_DRIVER_FEATURES};
    vhu_mem_region region = {.guest_addr = GUEST_BASE, .size = MEMORY};
    vhu_driver_ring_config config = {.size = sizeof(config), .layout.num = 4};
    int r = vhu_remote_new(&vmm->remote, &options);

    if (r == 0)
        r = vhu_shm_new(&vmm->memory, MEMORY);
    if (r == 0)
        r = vhu_remote_connect(vmm->remote, address);
    if (r < 0)
        return r;
    region.user_addr = (uintptr_t)vhu_shm_base(vmm->memory);
    r = vhu_remote_add_memory(vmm->remote, &region, vhu_shm_handle(vmm->memory));
    if (r < 0)
        return r;
    vmm->addr = (vhu_driver_ring_place(&config, GUEST_BASE) + 15) / 16 * 16;
    config.memory = vhu_remote_memory(vmm->remote);
    config.features = vhu_remote_features(vmm->remote);
    vmm->request = vhu_memory_at(config.memory, vmm->addr, sizeof(struct request));
    r = vhu_driver_ring_new(&vmm->ring, &config);
    if (r == 0)
        r = vhu_remote_set_ring(vmm->remote, 0, vhu_driver_ring_layout(vmm->ring),
                                vhu_driver_ring_base(vmm->ring));
    return r < 0 ? r : vhu_remote_start(vmm->remote);
}

/* One sector, from or to request->data. A disk whose driver never flushes writes through. */
static int transfer(struct vmm *vmm, uint32_t type, uint64_t sector)
{
    const vhu_guest_buf bufs[] = {{vmm->addr, offsetof(struct request, data)},
                                  {vmm->addr + offsetof(struct request, data), 512},
                                  {vmm->addr + offsetof(struct request, status), 1}};
    const uint32_t readable = type == WRITE ? 2 : 1;
    vhu_event *call = vhu_remote_event(vmm->remote, 0, VHU_VRING_CALL);
    vhu_driver_used used;
    int r = vhu_driver_ring_add(vmm->ring, bufs, readable, 3 - readable, vmm);

    vmm->request->type = type;
    vmm->request->sector = sector;
    vmm->request->status = 0xff;
    if (r == 0 && vhu_driver_ring_publish(vmm->ring))
        r = vhu_event_signal(vhu_remote_event(vmm->remote, 0, VHU_VRING_KICK));
    while (r == 0 && !vhu_driver_ring_enable_calls(vmm->ring)) {
        r = vhu_event_wait(call, PATIENCE_MS);
        vhu_event_clear(call);
    }
    if (r == 0)
        r = vhu_driver_ring_collect(vmm->ring, &used, 1);
    if (r < 0)
        return r;
    return vmm->request->status == 0 ? 0 : VHU_EREFUSED;
}

static int show_first_sector(struct vmm *vmm)
{
    uint64_t sectors;
    int r = vhu_remote_get_config(vmm->remote, 0, &sectors, sizeof(sectors));

    if (r == 0)
        r = transfer(vmm, READ, 0);
    if (r < 0)
        return r;
    printf("%" PRIu64 " sectors, the first one:\n", sectors);
    for (int i = 0; i < 512; i++) {
        if (i % 16 == 0)
            printf("%03x:", (unsigned)i);
        printf(" %02x%s", vmm->request->data[i], i % 16 == 15 ? "\n" : "");
    }
    return 0;
}

static int write_and_compare(struct vmm *vmm, uint64_t sector)
{
    uint8_t bytes[512];
    int r;

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i * 7 + sector);
    memcpy(vmm->request->data, bytes, sizeof(bytes));
    r = transfer(vmm, WRITE, sector);
    memset(vmm->request->data, 0, sizeof(bytes));
    if (r == 0)
        r = transfer(vmm, READ, sector);
    if (r == 0)
        printf("sector %" PRIu64 " %s\n", sector,
               memcmp(vmm->request->data, bytes, sizeof(bytes)) == 0 ? "written and read back"
                                                                     : "DIFFERS");
    return r;
}

int main(int argc, char **argv)
{
    struct vmm vmm = {.memory = NULL};
    int r = argc == 2 || argc == 3 ? start(&vmm, argv[1]) : VHU_EINVAL;

    if (r == 0)
        r = show_first_sector(&vmm);
    if (r == 0 && argc == 3)
        r = write_and_compare(&vmm, strtoull(argv[2], NULL, 0));
    if (r == 0)
        r = vhu_remote_stop(vmm.remote);
    if (r < 0)
        fprintf(stderr, "usage: minimal_vmm SOCKET [SECTOR] (%s: %s)\n", vhu_strerror(r),
                vmm.remote ? vhu_remote_last_error(vmm.remote) : "");
    vhu_remote_free(vmm.remote);
    vhu_driver_ring_free(vmm.ring);
    vhu_shm_free(vmm.memory);
    return r < 0;
}
