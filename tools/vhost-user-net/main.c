/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-net: a network with one host on it, which answers pings (virtio 1.3, 5.1). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "bufs.h"
#include "host.h"
#include "program.h"

enum {
    F_MTU = 3,
    HEADER = 12, /* before each frame; drivers before virtio 1.0 have all but the last two bytes */
    OLD_HEADER = 10,
    NUM_BUFFERS = 10, /* where the header says how many buffers the frame takes */
    MAX_FRAME = 9216, /* longer ones are lost, as are answers that nobody fetches */
    MAX_ANSWERS = 16,
    AT_ONCE = 64, /* frames taken before other rings have their turn */
    CONFIG_MTU = 10,
    CONFIG_BYTES = 12
};

static const struct program_info info = {
    .name = "vhost-user-net",
    .summary = "serves a network with one host, which answers pings, over vhost-user",
    .capabilities = "{\n"
                    "  \"type\": \"net\"\n"
                    "}"};

struct answer {
    uint32_t len;
    uint8_t bytes[HEADER + MAX_FRAME];
};

/* Two rings, one for each way, and what is on its way to the first: all on one worker. */
struct pair {
    vhu_ring *receive; /* NULL: it is parked */
    uint32_t first;
    uint32_t num;
    struct answer answers[MAX_ANSWERS];
};

struct net {
    struct program program; /* first: see struct program */
    struct host host;
    const char *address;
    unsigned mtu;
    struct pair *pairs;
    uint64_t requests;
    uint64_t answers;
    uint64_t announced;
};

static uint32_t header_of(const vhu_ring *ring)
{
    return vhu_ring_features(ring) & VHU_BIT(VHU_F_VERSION_1) ? HEADER : OLD_HEADER;
}

/* --- to the driver --- */

static void deliver(struct net *net, struct pair *pair)
{
    vhu_ring *ring = pair->receive;
    vhu_buf bufs[64];
    vhu_chain chain = {.bufs = bufs, .capacity = sizeof bufs / sizeof bufs[0]};

    if (!ring || !vhu_ring_enabled(ring))
        return;
    while (pair->num > 0 && vhu_ring_take(ring, &chain, 1) == 1) {
        struct answer *answer = &pair->answers[pair->first];
        const uint32_t skipped = HEADER - header_of(ring);
        const struct bufs room = {bufs + chain.num_readable, chain.num_writable};

        memset(answer->bytes, 0, HEADER);
        answer->bytes[NUM_BUFFERS] = skipped == 0;
        chain.written =
            (uint32_t)bufs_write(&room, answer->bytes + skipped, HEADER - skipped + answer->len);
        vhu_ring_complete(ring, &chain, 1);
        pair->first = (pair->first + 1) % MAX_ANSWERS;
        --pair->num;
        ++net->answers;
    }
    vhu_ring_flush(ring);
}

/* --- from the driver --- */

static void receive(struct net *net, struct pair *pair, const vhu_chain *chain, uint32_t header)
{
    struct answer *answer = &pair->answers[(pair->first + pair->num) % MAX_ANSWERS];
    struct bufs bufs = {chain->bufs, chain->num_readable};

    ++net->requests;
    if (pair->num == MAX_ANSWERS || chain->readable_len < header ||
        chain->readable_len - header > MAX_FRAME)
        return;
    bufs_skip(&bufs, header);
    answer->len = (uint32_t)bufs_read(&bufs, answer->bytes + HEADER, MAX_FRAME);
    answer->len = host_answer(&net->host, answer->bytes + HEADER, answer->len);
    if (answer->len > 0)
        ++pair->num;
}

static void transmit(struct net *net, struct pair *pair, vhu_ring *ring)
{
    vhu_buf bufs[64];
    vhu_chain chain = {.bufs = bufs, .capacity = sizeof bufs / sizeof bufs[0]};

    /* What a disabled ring sends is lost. */
    for (int i = 0; i < AT_ONCE && vhu_ring_take(ring, &chain, 1) == 1; ++i) {
        if (vhu_ring_enabled(ring))
            receive(net, pair, &chain, header_of(ring));
        vhu_ring_complete(ring, &chain, 1);
        if (pair->num == MAX_ANSWERS)
            deliver(net, pair);
    }
    vhu_ring_flush(ring);
    deliver(net, pair);
}

/* --- the kit's --- */

static struct pair *pair_of(const struct net *net, const vhu_ring *ring)
{
    return &net->pairs[vhu_ring_index(ring) / 2];
}

static void ring_started(void *self, vhu_ring *ring)
{
    if (vhu_ring_index(ring) % 2 == 0)
        pair_of(self, ring)->receive = ring;
}

static void ring_parked(void *self, vhu_ring *ring)
{
    struct pair *pair = pair_of(self, ring);

    if (vhu_ring_index(ring) % 2 == 0)
        pair->receive = NULL;
    pair->num = 0;
}

static void handle_ring(void *self, vhu_ring *ring)
{
    if (vhu_ring_index(ring) % 2 == 0)
        deliver(self, pair_of(self, ring));
    else
        transmit(self, pair_of(self, ring), ring);
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    const unsigned mtu = ((const struct net *)self)->mtu;
    const uint8_t config[CONFIG_BYTES] = {[CONFIG_MTU] = (uint8_t)mtu,
                                          [CONFIG_MTU + 1] = (uint8_t)(mtu >> 8)};

    if (offset > CONFIG_BYTES || len > CONFIG_BYTES - offset)
        return VHU_EINVAL;
    memcpy(buf, config + offset, len);
    return 0;
}

static int set_mtu(void *self, uint64_t mtu)
{
    ((struct net *)self)->mtu = (unsigned)mtu;
    return 0;
}

/* Where a guest is now that has moved: as good as a word from itself. */
static int send_rarp(void *self, const uint8_t mac[6])
{
    (void)mac;
    ++((struct net *)self)->announced;
    return 0;
}

static const vhu_device_ops ops = {.size = sizeof ops,
                                   .get_config = get_config,
                                   .ring_started = ring_started,
                                   .ring_parked = ring_parked,
                                   .handle_ring = handle_ring,
                                   .send_rarp = send_rarp,
                                   .net_set_mtu = set_mtu};

/* --- the program --- */

static enum program_verdict parse(struct net *net, int argc, char **argv)
{
    const struct option_row rows[] = {
        {"address", OPTION_TEXT, &net->address, "IP", "of the host that answers (10.0.2.2)", 0, 0},
    };
    struct program_settings *settings = &net->program.settings;
    const enum program_verdict verdict =
        program_parse(&net->program, rows, sizeof rows / sizeof rows[0], argc, argv);

    if (verdict != PROGRAM_RUN)
        return verdict;
    if (uv_inet_pton(AF_INET, net->address, net->host.ip)) {
        program_say(&net->program, "--address=%s: is no IPv4 address", net->address);
        return PROGRAM_WRONG;
    }
    if (settings->num_queues % 2) {
        program_say(&net->program, "--num-queues=%u: they come in pairs", settings->num_queues);
        return PROGRAM_WRONG;
    }
    settings->workers = 1; /* a pair's two rings need each other */
    return PROGRAM_RUN;
}

static int serve(struct net *net)
{
    const struct program_device device = {
        .ops = &ops, .features = VHU_BIT(F_MTU), .serve_disabled = true};
    const int code = program_serve(&net->program, &device, "host %s, %u queues", net->address,
                                   net->program.settings.num_queues);

    if (code == EXIT_SUCCESS)
        printf("%s: served requests=%" PRIu64 " answers=%" PRIu64 " announced=%" PRIu64 " mtu=%u\n",
               info.name, net->requests, net->answers, net->announced, net->mtu);
    return code;
}

int main(int argc, char **argv)
{
    static struct net net = {
        .host.mac = {0x52, 0x54, 0x00, 0x76, 0x68, 0x75}, .address = "10.0.2.2", .mtu = 1500};
    enum program_verdict verdict;
    int code = EXIT_FAILURE;

    program_init(&net.program, &info);
    net.program.settings.num_queues = 2;
    verdict = parse(&net, argc, argv);
    if (verdict != PROGRAM_RUN)
        return (int)verdict;
    net.pairs = calloc(net.program.settings.num_queues / 2, sizeof *net.pairs);
    if (net.pairs)
        code = serve(&net);
    else
        program_say(&net.program, "out of memory");
    free(net.pairs);
    return code;
}
