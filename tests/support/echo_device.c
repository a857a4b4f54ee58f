/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/echo_device.h"

#include <string.h>

void echo_init(echo_device *echo, unsigned workers)
{
    memset(echo, 0, sizeof(*echo));
    echo->workers = workers ? workers : 1;
    atomic_store(&echo->room, ECHO_SLOTS);
    for (uint32_t i = 0; i < FRONTEND_RINGS; i++) {
        echo_ring *r = &echo->rings[i];

        for (uint32_t j = 0; j < ECHO_SLOTS; j++)
            r->chains[j] = (vhu_chain){.bufs = r->bufs[j], .capacity = 4};
    }
}

void echo_forget(echo_device *echo)
{
    for (uint32_t i = 0; i < FRONTEND_RINGS; i++)
        echo->rings[i].next_seq = 0;
}

static void wrong(echo_device *echo)
{
    atomic_fetch_add(&echo->errors, 1);
}

/* --- one request --- */

static void look_at(echo_device *echo, echo_ring *r, const vhu_chain *chain)
{
    uint64_t words[2] = {0};

    if (chain->num_readable != 1 || chain->readable_len != 16 || chain->writable_len != 16) {
        wrong(echo);
        return;
    }
    memcpy(words, chain->bufs[0].base, sizeof(words));
    if (words[0] != r->next_seq || words[1] != vhu_ring_index(r->ring))
        wrong(echo);
    r->next_seq++;
}

static void answer(vhu_chain *chain)
{
    uint64_t words[2];

    if (chain->num_readable != 1 || chain->num_writable != 1)
        return;
    memcpy(words, chain->bufs[0].base, sizeof(words));
    words[1] += words[0];
    words[0] = ~words[0];
    memcpy(chain->bufs[1].base, words, sizeof(words));
    chain->written = sizeof(words);
}

/* --- many --- */

static uint32_t take(echo_device *echo, echo_ring *r)
{
    uint32_t room = atomic_load(&echo->room);
    uint32_t total = 0;

    while (r->out < room) {
        uint32_t at = (r->first + r->out) % ECHO_SLOTS;
        uint32_t n = vhu_ring_take(r->ring, &r->chains[at], 1);

        if (n == 0)
            break;
        look_at(echo, r, &r->chains[at]);
        r->out++;
        total++;
    }
    atomic_fetch_add(&r->taken, total);
    return total;
}

static bool complete(echo_device *echo, echo_ring *r)
{
    bool reverse = atomic_load(&echo->reverse);
    uint32_t n = r->out;

    if (atomic_load(&echo->hold) || n == 0)
        return false;
    for (uint32_t i = 0; i < n; i++) {
        vhu_chain *chain = &r->chains[(r->first + (reverse ? n - 1 - i : i)) % ECHO_SLOTS];

        answer(chain);
        vhu_ring_complete(r->ring, chain, 1);
    }
    r->first = (r->first + n) % ECHO_SLOTS;
    r->out = 0;
    if (!echo->no_flush)
        vhu_ring_flush(r->ring);
    atomic_fetch_add(&r->completed, n);
    return true;
}

/* --- ops --- */

static echo_ring *ring_of(echo_device *echo, const vhu_ring *ring)
{
    return &echo->rings[vhu_ring_index(ring)];
}

static void ring_started(void *self, vhu_ring *ring)
{
    echo_ring *r = ring_of(self, ring);

    if (r->ring || r->out > 0)
        wrong(self);
    r->ring = ring;
    vhu_ring_set_data(ring, r);
    atomic_fetch_add(&r->started, 1);
}

static void ring_parked(void *self, vhu_ring *ring)
{
    echo_ring *r = vhu_ring_data(ring);

    if (r->ring != ring || r->out > 0)
        wrong(self);
    r->ring = NULL;
    atomic_fetch_add(&r->parked, 1);
}

static void handle_ring(void *self, vhu_ring *ring)
{
    echo_device *echo = self;
    echo_ring *r = vhu_ring_data(ring);

    atomic_fetch_add(&r->turns, 1);
    if (r != ring_of(echo, ring) || r->ring != ring)
        wrong(echo);
    if (atomic_load(&echo->own_time))
        return;
    take(echo, r);
    if (!atomic_load(&echo->later))
        complete(echo, r);
}

static bool poll_worker(void *self, unsigned worker)
{
    echo_device *echo = self;
    bool done = false;

    atomic_fetch_add(&echo->polls, 1);
    for (uint32_t i = worker; i < FRONTEND_RINGS; i += echo->workers) {
        echo_ring *r = &echo->rings[i];

        if (!r->ring)
            continue;
        if (echo->no_flush)
            vhu_ring_flush(r->ring);
        if (atomic_load(&echo->own_time) && take(echo, r) > 0)
            done = true;
        if (complete(echo, r))
            done = true;
    }
    return done;
}

static int set_features(void *self, uint64_t features)
{
    echo_device *echo = self;

    echo->set_features++;
    if (echo->features_result == 0)
        echo->features = features;
    return echo->features_result;
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    const echo_device *echo = self;

    if (offset + len > ECHO_CONFIG)
        return VHU_EINVAL;
    memcpy(buf, echo->config + offset, len);
    return 0;
}

static int set_config(void *self, uint32_t offset, const void *buf, uint32_t len, uint32_t flags)
{
    echo_device *echo = self;

    (void)flags;
    if (offset + len > ECHO_CONFIG)
        return VHU_EINVAL;
    memcpy(echo->config + offset, buf, len);
    return 0;
}

const vhu_device_ops echo_ops = {
    .size = sizeof(echo_ops),
    .set_features = set_features,
    .get_config = get_config,
    .set_config = set_config,
    .ring_started = ring_started,
    .ring_parked = ring_parked,
    .handle_ring = handle_ring,
    .poll = poll_worker,
};
