/* SPDX-License-Identifier: BSD-3-Clause */
/* A network: frames are sent, and an address is asked for. */
#include "driver.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

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
        void *bytes = machine_allocate(&nic->m, BUFFER, &buf.addr);
        const int r = vhu_driver_ring_add(nic->rings[RECEIVE], &buf, 0, 1, bytes);
        if (r < 0)
            return complain("ring", r, "");
    }
    machine_publish(&nic->m, RECEIVE, nic->rings[RECEIVE]);
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
        r = machine_add_ring(&nic->m, i, 256, &nic->rings[i]);
    if (r == 0)
        r = machine_start(&nic->m);
    if (r == 0)
        r = offer_buffers(nic);
    return r;
}

/* Virtio's header is zeroes: nothing is left for the other side to do. */
static uint8_t *make_frame(struct nic *nic, uint16_t type, vhu_guest_buf *buf)
{
    uint8_t *bytes = machine_allocate(&nic->m, NET_HEADER + FRAME, &buf->addr);
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
        machine_publish(&nic->m, TRANSMIT, ring);
        if (machine_collect(&nic->m, TRANSMIT, ring, &used))
            return -1;
    }
    return 0;
}

/* Of a type for experiments. */
int run_net(char **args)
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
    if (r == 0) {
        machine_tell_rings(&nic.m);
        printf("net: %" PRIu64 " frames sent\n", frames);
    }
    nic_free(&nic);
    return r;
}

/* --- arp --- */

enum { ARP = 14, ARP_OPCODE = ARP + 6, ARP_SENDER = ARP + 8, ARP_TARGET = ARP + 18 };

static int ask_who_has(struct nic *nic, const uint8_t address[4])
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

static bool is_answer(const uint8_t *frame, uint64_t len, const uint8_t address[4])
{
    return len >= NET_HEADER + ARP_TARGET + 10 && frame[12] == 8 && frame[13] == 6 &&
           frame[ARP_OPCODE + 1] == 2 && memcmp(frame + ARP_SENDER + 6, address, 4) == 0;
}

/* Other frames may come before. */
static int await_answer(struct nic *nic, const uint8_t address[4])
{
    vhu_driver_used used;

    for (;;) {
        if (machine_collect(&nic->m, RECEIVE, nic->rings[RECEIVE], &used))
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

int run_arp(char **args)
{
    struct nic nic = {.rings = {NULL}};
    uint8_t address[4];
    int r = uv_inet_pton(AF_INET, args[1], address);

    if (r == 0)
        r = nic_start(&nic, args[0]);
    if (r == 0)
        r = ask_who_has(&nic, address);
    if (r == 0)
        r = await_answer(&nic, address);
    if (r == 0)
        r = machine_stop(&nic.m);
    nic_free(&nic);
    return r;
}
