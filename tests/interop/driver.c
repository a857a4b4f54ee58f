/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A VMM without a guest, to try back-ends with: it uses a disk, says hello to a file server, sends
 * frames, asks for an address. What it finds goes to stdout.
 *
 *     interop_driver blk-write SOCKET BYTES     a pattern from the disk's beginning, read back
 *     interop_driver blk-read SOCKET FROM BYTES the disk's bytes
 *     interop_driver pattern BYTES              the bytes that blk-write writes
 *     interop_driver fs SOCKET                  FUSE_INIT
 *     interop_driver net SOCKET FRAMES          so many broadcast frames
 *     interop_driver arp SOCKET ADDRESS         who has that IPv4 address
 */
#include <arpa/inet.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/vmm_vhost.h>

#include "blk_driver.h"

enum { GUEST_BASE = 0x100000, MEMORY = 4 << 20, PIECE = 256 << 10, SLICE_MS = 20, SLICES = 500 };

static int complain(const char *what, int error, const char *detail)
{
    fprintf(stderr, "interop_driver: %s: %s (%s)\n", what, vhu_strerror(error), detail);
    return -1;
}

/* --- any device --- */

struct machine {
    vhu_remote *remote;
    vhu_shm *memory;
    uint64_t next; /* guest address that is free */
};

static void machine_free(struct machine *m)
{
    vhu_remote_free(m->remote);
    vhu_shm_free(m->memory);
}

static int machine_connect(struct machine *m, const char *address,
                           const vhu_remote_options *options)
{
    vhu_mem_region region = {.guest_addr = GUEST_BASE, .size = MEMORY};
    int r = vhu_remote_new(&m->remote, options);

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

static int machine_start(struct machine *m)
{
    const int r = vhu_remote_start(m->remote);

    return r < 0 ? complain("start", r, vhu_remote_last_error(m->remote)) : 0;
}

static int machine_stop(struct machine *m)
{
    const int r = vhu_remote_stop(m->remote);

    return r < 0 ? complain("stop", r, vhu_remote_last_error(m->remote)) : 0;
}

/* Guest memory: its address, and where it is here. */
static void *allocate(struct machine *m, uint64_t len, uint64_t *addr)
{
    *addr = m->next;
    m->next += (len + 15) / 16 * 16;
    return vhu_memory_at(vhu_remote_memory(m->remote), *addr, len);
}

static int add_ring(struct machine *m, uint32_t number, uint32_t num, vhu_driver_ring **out)
{
    vhu_driver_ring_config config = {.size = sizeof config,
                                     .memory = vhu_remote_memory(m->remote),
                                     .features = vhu_remote_features(m->remote),
                                     .layout.num = num};
    int r;

    m->next = vhu_driver_ring_place(&config, m->next);
    r = vhu_driver_ring_new(out, &config);
    if (r == 0)
        r = vhu_remote_set_ring(m->remote, number, &config.layout, 0);
    return r < 0 ? complain("ring", r, vhu_remote_last_error(m->remote)) : 0;
}

static void publish(struct machine *m, uint32_t number, vhu_driver_ring *ring)
{
    if (vhu_driver_ring_publish(ring))
        vhu_event_signal(vhu_remote_event(m->remote, number, VHU_VRING_KICK));
}

/* The next request that is done. Devices that poll may not call, so the ring is looked at, too. */
static int collect(struct machine *m, uint32_t number, vhu_driver_ring *ring, vhu_driver_used *used)
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

/* --- blk --- */

static void make_pattern(uint8_t *bytes, uint64_t from, uint64_t len)
{
    for (uint64_t i = 0; i < len; i += sizeof(uint64_t)) {
        const uint64_t word = (from + i) * UINT64_C(0x9e3779b97f4a7c15) ^ UINT64_C(0x5bd1e995);
        memcpy(bytes + i, &word, sizeof word);
    }
}

static uint8_t piece[PIECE], again[PIECE];

static int write_piece(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    make_pattern(piece, from, len);
    return blk_driver_write(disk, from / 512, piece, len);
}

static int compare_piece(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    const int r = blk_driver_read(disk, from / 512, again, len);

    make_pattern(piece, from, len);
    return r == 0 && memcmp(piece, again, len) != 0 ? VHU_EIO : r;
}

static int print_piece(struct blk_driver *disk, uint64_t from, uint64_t len)
{
    const int r = blk_driver_read(disk, from / 512, piece, len);

    return r == 0 && fwrite(piece, len, 1, stdout) != 1 ? VHU_EIO : r;
}

static int for_pieces(struct blk_driver *disk, uint64_t from, uint64_t bytes,
                      int (*fn)(struct blk_driver *disk, uint64_t from, uint64_t len))
{
    for (uint64_t done = 0; done < bytes; done += PIECE) {
        const int r = fn(disk, from + done, bytes - done < PIECE ? bytes - done : PIECE);
        if (r < 0)
            return complain("disk", r, blk_driver_error(disk));
    }
    return 0;
}

static int blk_write(struct blk_driver *disk, char **args)
{
    const uint64_t bytes = strtoull(args[0], NULL, 10);
    int r = for_pieces(disk, 0, bytes, write_piece);

    if (r == 0 && (r = blk_driver_flush(disk)) < 0)
        r = complain("flush", r, blk_driver_error(disk));
    if (r == 0)
        r = for_pieces(disk, 0, bytes, compare_piece);
    if (r == 0)
        printf("blk: %" PRIu64 " bytes written and read back\n", bytes);
    return r;
}

static int blk_read(struct blk_driver *disk, char **args)
{
    return for_pieces(disk, strtoull(args[0], NULL, 10), strtoull(args[1], NULL, 10), print_piece);
}

static int with_disk(char **args, int (*fn)(struct blk_driver *disk, char **args))
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
        r = fn(disk, args + 1);
    if (r == 0)
        r = machine_stop(&m);
    blk_driver_free(disk);
    machine_free(&m);
    return r;
}

static int run_blk_write(char **args)
{
    return with_disk(args, blk_write);
}

static int run_blk_read(char **args)
{
    return with_disk(args, blk_read);
}

static int run_pattern(char **args)
{
    const uint64_t bytes = strtoull(args[0], NULL, 10);

    for (uint64_t done = 0; done < bytes; done += PIECE) {
        const uint64_t len = bytes - done < PIECE ? bytes - done : PIECE;
        make_pattern(piece, done, len);
        if (fwrite(piece, len, 1, stdout) != 1)
            return -1;
    }
    return 0;
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
    struct init_in *in = allocate(m, sizeof *in, &in_addr);
    struct init_out *out = allocate(m, sizeof *out, &out_addr);
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
    publish(m, 1, ring);
    if (collect(m, 1, ring, &used))
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
        r = add_ring(&m, i, 16, &rings[i]);
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

/* --- net --- */

enum { RECEIVE, TRANSMIT, NET_RINGS, NET_HEADER = 12, FRAME = 60, BUFFER = 2048, BUFFERS = 64 };

struct nic {
    struct machine m;
    vhu_driver_ring *rings[NET_RINGS];
};

static const uint8_t our_mac[6] = {0x52, 0x54, 0x00, 0x12, 0x34, 0x56};

static void nic_free(struct nic *nic)
{
    vhu_driver_ring_free(nic->rings[RECEIVE]);
    vhu_driver_ring_free(nic->rings[TRANSMIT]);
    machine_free(&nic->m);
}

static int offer_buffers(struct nic *nic)
{
    for (int i = 0; i < BUFFERS; ++i) {
        vhu_guest_buf buf = {.len = BUFFER};
        void *bytes = allocate(&nic->m, BUFFER, &buf.addr);
        const int r = vhu_driver_ring_add(nic->rings[RECEIVE], &buf, 0, 1, bytes);
        if (r < 0)
            return complain("ring", r, "");
    }
    publish(&nic->m, RECEIVE, nic->rings[RECEIVE]);
    return 0;
}

static int nic_start(struct nic *nic, const char *address)
{
    const vhu_remote_options options = {.size = sizeof options,
                                        .num_rings = NET_RINGS,
                                        .queue_pairs = true,
                                        .features = VHU_DRIVER_FEATURES};
    int r = machine_connect(&nic->m, address, &options);

    for (uint32_t i = 0; i < NET_RINGS && r == 0; ++i)
        r = add_ring(&nic->m, i, 256, &nic->rings[i]);
    if (r == 0)
        r = machine_start(&nic->m);
    if (r == 0)
        r = offer_buffers(nic);
    return r;
}

/* Virtio's header is zeroes: nothing is left for the other side to do. */
static uint8_t *make_frame(struct nic *nic, uint16_t type, vhu_guest_buf *buf)
{
    uint8_t *bytes = allocate(&nic->m, NET_HEADER + FRAME, &buf->addr);
    uint8_t *frame = bytes + NET_HEADER;

    buf->len = NET_HEADER + FRAME;
    memset(bytes, 0, NET_HEADER + FRAME);
    memset(frame, 0xff, 6);
    memcpy(frame + 6, our_mac, 6);
    frame[12] = (uint8_t)(type >> 8);
    frame[13] = (uint8_t)type;
    return frame;
}

/* The same frame so many times, as fast as the other side takes it. */
static int transmit(struct nic *nic, const vhu_guest_buf *buf, uint64_t frames)
{
    vhu_driver_ring *ring = nic->rings[TRANSMIT];
    vhu_driver_used used;

    for (uint64_t done = 0, sent = 0; done < frames; ++done) {
        while (sent < frames && vhu_driver_ring_add(ring, buf, 1, 0, nic) == 0)
            ++sent;
        publish(&nic->m, TRANSMIT, ring);
        if (collect(&nic->m, TRANSMIT, ring, &used))
            return -1;
    }
    return 0;
}

/* Of a type for experiments. */
static int run_net(char **args)
{
    struct nic nic = {.rings = {NULL}};
    const uint64_t frames = strtoull(args[1], NULL, 10);
    int r = nic_start(&nic, args[0]);

    if (r == 0) {
        vhu_guest_buf buf;
        make_frame(&nic, 0x88b5, &buf);
        r = transmit(&nic, &buf, frames);
    }
    if (r == 0)
        r = machine_stop(&nic.m);
    if (r == 0)
        printf("net: %" PRIu64 " frames sent\n", frames);
    nic_free(&nic);
    return r;
}

/* --- arp --- */

enum { ARP = 14, ARP_OPCODE = ARP + 6, ARP_SENDER = ARP + 8, ARP_TARGET = ARP + 18 };

static int ask_who_has(struct nic *nic, const struct in_addr *address)
{
    static const uint8_t question[] = {0, 1, 8, 0, 6, 4, 0, 1}; /* Ethernet, IPv4, request */
    static const uint8_t our_address[] = {10, 0, 2, 15};
    vhu_guest_buf buf;
    uint8_t *frame = make_frame(nic, 0x0806, &buf);

    memcpy(frame + ARP, question, sizeof question);
    memcpy(frame + ARP_SENDER, our_mac, 6);
    memcpy(frame + ARP_SENDER + 6, our_address, 4);
    memcpy(frame + ARP_TARGET + 6, address, 4);
    return transmit(nic, &buf, 1);
}

static bool is_answer(const uint8_t *frame, uint64_t len, const struct in_addr *address)
{
    return len >= NET_HEADER + ARP_TARGET + 10 && frame[12] == 8 && frame[13] == 6 &&
           frame[ARP_OPCODE + 1] == 2 && memcmp(frame + ARP_SENDER + 6, address, 4) == 0;
}

/* Other frames may come before. */
static int await_answer(struct nic *nic, const struct in_addr *address)
{
    vhu_driver_used used;

    for (;;) {
        if (collect(&nic->m, RECEIVE, nic->rings[RECEIVE], &used))
            return -1;
        const uint8_t *frame = (const uint8_t *)used.token + NET_HEADER;
        if (!is_answer(frame, used.len, address))
            continue;
        const uint8_t *mac = frame + ARP_SENDER;
        printf("arp: %02x:%02x:%02x:%02x:%02x:%02x\n", mac[0], mac[1], mac[2], mac[3], mac[4],
               mac[5]);
        return 0;
    }
}

static int run_arp(char **args)
{
    struct nic nic = {.rings = {NULL}};
    struct in_addr address;
    int r = inet_pton(AF_INET, args[1], &address) == 1 ? 0 : -1;

    if (r == 0)
        r = nic_start(&nic, args[0]);
    if (r == 0)
        r = ask_who_has(&nic, &address);
    if (r == 0)
        r = await_answer(&nic, &address);
    if (r == 0)
        r = machine_stop(&nic.m);
    nic_free(&nic);
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
        {"blk-read", 3, run_blk_read},
        {"pattern", 1, run_pattern},
        {"fs", 1, run_fs},
        {"net", 2, run_net},
        {"arp", 2, run_arp},
    };

    for (size_t i = 0; argc > 1 && i < sizeof rows / sizeof rows[0]; ++i)
        if (strcmp(argv[1], rows[i].name) == 0 && argc == 2 + rows[i].num_args)
            return rows[i].run(argv + 2) ? EXIT_FAILURE : EXIT_SUCCESS;
    fputs("usage: interop_driver blk-write|blk-read|pattern|fs|net|arp ...\n", stderr);
    return 2;
}
