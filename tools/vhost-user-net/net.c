/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#include <string.h>

#include "bufs.h"

enum { RECEIVE, TRANSMIT };

enum {
    HEADER = 12, /* before each frame; drivers before virtio 1.0 have all but the last two bytes */
    OLD_HEADER = 10,
    NUM_BUFFERS = 10, /* where the header says how many buffers the frame takes */
    MAX_FRAME = 9216, /* longer ones are lost, as are answers that nobody fetches */
    MAX_ANSWERS = 16,
    AT_ONCE = 64, /* frames taken before other rings have their turn */
    CONFIG_MTU = 10,
    CONFIG_BYTES = 12
};

struct answer {
    uint32_t len;
    uint8_t bytes[HEADER + MAX_FRAME];
};

/* Two rings, one for each way, and what is on its way to the first. */
struct pair {
    vhu_ring *rings[2]; /* NULL: it is parked */
    uint32_t first;
    uint32_t num;
    struct answer answers[MAX_ANSWERS];
};

/* As many as there can be; what no driver uses is never touched. */
static struct pair pairs[VHU_MAX_RINGS / 2];

static uint32_t header_of(const vhu_ring *ring)
{
    return vhu_ring_features(ring) & VHU_BIT(VHU_F_VERSION_1) ? HEADER : OLD_HEADER;
}

/* --- to the driver --- */

static void deliver(struct net *net, struct pair *pair)
{
    vhu_ring *ring = pair->rings[RECEIVE];
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

static void transmit(struct net *net, struct pair *pair)
{
    vhu_ring *ring = pair->rings[TRANSMIT];
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

static struct pair *pair_of(const vhu_ring *ring)
{
    return &pairs[vhu_ring_index(ring) / 2];
}

static void ring_started(void *self, vhu_ring *ring)
{
    (void)self;
    pair_of(ring)->rings[vhu_ring_index(ring) % 2] = ring;
}

static void ring_parked(void *self, vhu_ring *ring)
{
    struct pair *pair = pair_of(ring);

    (void)self;
    pair->rings[vhu_ring_index(ring) % 2] = NULL;
    pair->num = 0;
}

static void handle_ring(void *self, vhu_ring *ring)
{
    if (vhu_ring_index(ring) % 2 == RECEIVE)
        deliver(self, pair_of(ring));
    else
        transmit(self, pair_of(ring));
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

const vhu_device_ops net_ops = {.size = sizeof net_ops,
                                .get_config = get_config,
                                .ring_started = ring_started,
                                .ring_parked = ring_parked,
                                .handle_ring = handle_ring,
                                .send_rarp = send_rarp,
                                .net_set_mtu = set_mtu};
