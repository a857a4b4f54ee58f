/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM without a guest, to try back-ends with: it uses a disk, says hello to a file server, sends
 * frames, asks for an address. What it finds goes to stdout.
 *
 *     interop_driver blk-write SOCKET BYTES [FILE]  a pattern from the disk's beginning, read back,
 *                                               and what was read kept in FILE
 *     interop_driver blk-read SOCKET FROM BYTES the disk's bytes
 *     interop_driver pattern BYTES              the bytes that blk-write writes
 *     interop_driver fs SOCKET                  FUSE_INIT
 *     interop_driver net SOCKET FRAMES          so many broadcast frames
 *     interop_driver arp SOCKET ADDRESS         who has that IPv4 address
 *     interop_driver --split COMMAND ...        without packed rings, and in no order
 */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLICE_MS = 20, SLICES = 500 };

static bool split_only;

int complain(const char *what, int error, const char *detail)
{
    fprintf(stderr, "interop_driver: %s: %s (%s)\n", what, vhu_strerror(error), detail);
    return -1;
}

/* --- any device --- */

void machine_free(struct machine *m)
{
    vhu_remote_free(m->remote);
    vhu_shm_free(m->memory);
}

int machine_connect(struct machine *m, const char *address, const vhu_remote_options *options)
{
    vhu_mem_region region = {.guest_addr = GUEST_BASE, .size = MEMORY};
    vhu_remote_options o = *options;
    int r;

    if (split_only)
        o.features &= ~(VHU_BIT(VHU_F_RING_PACKED) | VHU_BIT(VHU_F_IN_ORDER));
    r = vhu_remote_new(&m->remote, &o);

    m->next = GUEST_BASE;
    if (r == 0)
        r = vhu_shm_new(&m->memory, MEMORY);
    if (r == 0)
        r = vhu_remote_connect(m->remote, address);
    if (r == 0) {
        region.user_addr = (uintptr_t)vhu_shm_base(m->memory);
        r = vhu_remote_add_memory(m->remote, &region, vhu_shm_handle(m->memory));
    }
    if (r < 0)
        return complain(address, r, m->remote ? vhu_remote_last_error(m->remote) : "");
    return 0;
}

void machine_tell_rings(const struct machine *m)
{
    const uint64_t features = vhu_remote_features(m->remote);

    printf("rings: %s%s\n", features & VHU_BIT(VHU_F_RING_PACKED) ? "packed" : "split",
           features & VHU_BIT(VHU_F_IN_ORDER) ? ", in order" : "");
}

int machine_start(struct machine *m)
{
    const int r = vhu_remote_start(m->remote);

    return r < 0 ? complain("start", r, vhu_remote_last_error(m->remote)) : 0;
}

int machine_stop(struct machine *m)
{
    const int r = vhu_remote_stop(m->remote);

    return r < 0 ? complain("stop", r, vhu_remote_last_error(m->remote)) : 0;
}

void *machine_allocate(struct machine *m, uint64_t len, uint64_t *addr)
{
    *addr = m->next;
    m->next += (len + 15) / 16 * 16;
    return vhu_memory_at(vhu_remote_memory(m->remote), *addr, len);
}

int machine_add_ring(struct machine *m, uint32_t number, uint32_t num, vhu_driver_ring **out)
{
    vhu_driver_ring_config config = {.size = sizeof config,
                                     .memory = vhu_remote_memory(m->remote),
                                     .features = vhu_remote_features(m->remote),
                                     .layout.num = num};
    int r;

    m->next = vhu_driver_ring_place(&config, m->next);
    r = vhu_driver_ring_new(out, &config);
    if (r == 0)
        r = vhu_remote_set_ring(m->remote, number, &config.layout, vhu_driver_ring_base(*out));
    return r < 0 ? complain("ring", r, vhu_remote_last_error(m->remote)) : 0;
}

void machine_publish(struct machine *m, uint32_t number, vhu_driver_ring *ring)
{
    if (vhu_driver_ring_publish(ring))
        vhu_event_signal(vhu_remote_event(m->remote, number, VHU_VRING_KICK));
}

/* The next request that is done. Devices that poll may not call, so the ring is looked at, too. */
int machine_collect(struct machine *m, uint32_t number, vhu_driver_ring *ring,
                    vhu_driver_used *used)
{
    vhu_event *call = vhu_remote_event(m->remote, number, VHU_VRING_CALL);
    int r = 0;

    for (int i = 0; i < SLICES && r >= 0; ++i) {
        const int n = vhu_driver_ring_collect(ring, used, 1);
        if (n == 1)
            return 0;
        if (n < 0)
            return complain("ring", n, vhu_driver_ring_error(ring));
        if (!vhu_driver_ring_enable_calls(ring))
            vhu_event_wait(call, SLICE_MS);
        vhu_event_clear(call);
        r = vhu_remote_serve(m->remote);
        if (r == VHU_EAGAIN)
            r = 0;
    }
    return complain("no answer on the ring", r < 0 ? r : VHU_ETIMEDOUT, "");
}

/* --- fs --- */

/* FUSE's first request and its answer (kernel interface, version 7). */
struct init_in {
    uint32_t len, opcode;
    uint64_t unique, node;
    uint32_t uid, gid, pid, pad;
    uint32_t major, minor, max_readahead, flags;
};

struct init_out {
    uint32_t len;
    int32_t error;
    uint64_t unique;
    uint32_t major, minor, max_readahead, flags;
    uint16_t max_background, congestion;
    uint32_t max_write;
    uint32_t rest[9];
};

static int say_hello(struct machine *m, vhu_driver_ring *ring)
{
    uint64_t in_addr, out_addr;
    struct init_in *in = machine_allocate(m, sizeof *in, &in_addr);
    struct init_out *out = machine_allocate(m, sizeof *out, &out_addr);
    const vhu_guest_buf bufs[] = {{in_addr, sizeof *in}, {out_addr, sizeof *out}};
    vhu_driver_used used;
    int r;

    *in = (struct init_in){.len = sizeof *in,
                           .opcode = 26,
                           .unique = 1,
                           .major = 7,
                           .minor = 31,
                           .max_readahead = 4096};
    r = vhu_driver_ring_add(ring, bufs, 1, 1, in);
    if (r < 0)
        return complain("ring", r, "");
    machine_publish(m, 1, ring);
    if (machine_collect(m, 1, ring, &used))
        return -1;
    if (out->error || out->unique != 1 || out->major != 7 || used.len != out->len)
        return complain("FUSE_INIT", VHU_EREFUSED, "");
    printf("fs: FUSE %" PRIu32 ".%" PRIu32 ", max_write %" PRIu32 "\n", out->major, out->minor,
           out->max_write);
    return 0;
}

/* Ring 0 is for requests that cannot wait, 1 for the others. */
static int run_fs(char **args)
{
    const vhu_remote_options options = {
        .size = sizeof options, .num_rings = 2, .features = VHU_DRIVER_FEATURES};
    vhu_driver_ring *rings[2] = {NULL, NULL};
    struct machine m = {0};
    int r = machine_connect(&m, args[0], &options);

    for (uint32_t i = 0; i < 2 && r == 0; ++i)
        r = machine_add_ring(&m, i, 16, &rings[i]);
    if (r == 0)
        r = machine_start(&m);
    if (r == 0)
        r = say_hello(&m, rings[1]);
    if (r == 0)
        r = machine_stop(&m);
    vhu_driver_ring_free(rings[0]);
    vhu_driver_ring_free(rings[1]);
    machine_free(&m);
    return r;
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        int num_args;
        int (*run)(char **args);
    } rows[] = {
        {"blk-write", 2, run_blk_write},
        {"blk-write", 3, run_blk_write},
        {"blk-read", 3, run_blk_read},
        {"pattern", 1, run_pattern},
        {"fs", 1, run_fs},
        {"net", 2, run_net},
        {"arp", 2, run_arp},
    };

    if (argc > 1 && strcmp(argv[1], "--split") == 0) {
        split_only = true;
        argv++;
        argc--;
    }
    for (size_t i = 0; argc > 1 && i < sizeof rows / sizeof rows[0]; ++i)
        if (strcmp(argv[1], rows[i].name) == 0 && argc == 2 + rows[i].num_args)
            return rows[i].run(argv + 2) ? EXIT_FAILURE : EXIT_SUCCESS;
    fputs("usage: interop_driver [--split] blk-write|blk-read|pattern|fs|net|arp ...\n", stderr);
    return 2;
}
