/* SPDX-License-Identifier: BSD-3-Clause */
#include "net.h"

#include <string.h>

#include "bufs.h"

enum {
    RECEIVE = 0, /* of a pair of rings, that of the driver's buffers; the other one transmits */
    HEADER = 12, /* before each frame; drivers before virtio 1.0 have all but its NUM_BUFFERS */
    NUM_BUFFERS = 10, /* where it says how many buffers the frame takes, in its last two bytes */
    MAX_FRAME = 9216, /* what is behind it is lost, as are answers that nobody fetches */
    MAX_ANSWERS = 16, /* also how many frames are taken before other rings have their turn */
    CONFIG_MTU = 10
};

/* What is on its way to the driver. As many as there can be; without a driver it is not touched. */
static struct pair {
    vhu_ring *to_driver; /* NULL: it is parked */
    uint32_t first;
    uint32_t num;
    struct answer {
        uint32_t len;
        uint8_t bytes[HEADER + MAX_FRAME];
    } answers[MAX_ANSWERS];
} pairs[VHU_MAX_RINGS / 2];

static uint32_t header_of(const vhu_ring *ring)
{
    return vhu_ring_features(ring) & VHU_BIT(VHU_F_VERSION_1) ? HEADER : NUM_BUFFERS;
}

/* --- to the driver --- */

static void deliver(struct net *net, struct pair *pair)
{
    vhu_ring *ring = pair->to_driver;
    vhu_buf bufs[64];
    vhu_chain chain = {.bufs = bufs, .capacity = sizeof bufs / sizeof bufs[0]};

    if (!ring || !vhu_ring_enabled(ring))
        return;
    while (pair->num > 0 && vhu_ring_take(ring, &chain, 1) == 1) {
        struct answer *answer = &pair->answers[pair->first];
        const uint32_t cut = HEADER - header_of(ring);
        const struct bufs room = {bufs + chain.num_readable, chain.num_writable};

        memset(answer->bytes, 0, HEADER);
        answer->bytes[NUM_BUFFERS] = cut == 0;
        chain.written =
            (uint32_t)bufs_write(&room, answer->bytes + cut, HEADER - cut + answer->len);
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
    if (pair->num == MAX_ANSWERS)
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

    for (int i = 0; i < MAX_ANSWERS && vhu_ring_take(ring, &chain, 1) == 1; ++i) {
        if (vhu_ring_enabled(ring)) /* else it is lost */
            receive(net, pair, &chain, header_of(ring));
        vhu_ring_complete(ring, &chain, 1);
    }
    vhu_ring_flush(ring);
}

/* --- the kit's --- */

static struct pair *pair_of(const vhu_ring *ring)
{
    return &pairs[vhu_ring_index(ring) / 2];
}

static void ring_started(void *self, vhu_ring *ring)
{
    (void)self;
    if (vhu_ring_index(ring) % 2 == RECEIVE)
        pair_of(ring)->to_driver = ring;
}

static void ring_parked(void *self, vhu_ring *ring)
{
    (void)self;
    if (vhu_ring_index(ring) % 2 == RECEIVE)
        pair_of(ring)->to_driver = NULL;
    pair_of(ring)->num = 0;
}

static void handle_ring(void *self, vhu_ring *ring)
{
    if (vhu_ring_index(ring) % 2 != RECEIVE)
        transmit(self, pair_of(ring), ring);
    deliver(self, pair_of(ring));
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    const unsigned mtu = ((const struct net *)self)->mtu;
    const uint8_t config[VHU_MAX_CONFIG] = {[CONFIG_MTU] = (uint8_t)mtu,
                                            [CONFIG_MTU + 1] = (uint8_t)(mtu >> 8)};

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
