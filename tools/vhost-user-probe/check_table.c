/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The checks, in this order: what a good front-end does, then what a back-end must refuse, and last
 * what a careless one does not survive.
 */
#include "checks.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/memory.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- features --- */

static void features_agree(struct subject *subject, const struct check *check,
                           struct check_result *result)
{
    const uint64_t before = check->message.request == VHU_REQ_GET_FEATURES
                                ? subject->facts->features
                                : subject->facts->protocol_features;
    struct reply reply;
    const enum answer answer = check_ask(subject, &check->message, 0, &reply);

    if (!check_answered(subject, result, answer, &reply, check->message.request))
        return;
    if (reply_u64(&reply) == before)
        check_ok(result, "0x%" PRIx64, before);
    else
        check_violated(result, "0x%" PRIx64 " before, then 0x%" PRIx64, before, reply_u64(&reply));
}

/* What is added is the highest bit that was not offered. */
static void unoffered_refused(struct subject *subject, const struct check *check,
                              struct check_result *result)
{
    const struct facts *facts = subject->facts;
    const bool virtio = check->message.request == VHU_REQ_SET_FEATURES;
    const uint64_t offered = virtio ? facts->features : facts->protocol_features;
    struct check copy = *check;
    unsigned bit = 63;

    while (offered >> bit & 1)
        --bit;
    copy.message.payload.u64 = (virtio ? facts->acknowledged : facts->negotiated) | VHU_BIT(bit);
    check_is_refused(subject, &copy, result);
    if (result->verdict == OK || !subject->link->stream)
        return;
    copy.message.payload.u64 &= ~VHU_BIT(bit);
    check_send(subject, &copy.message, 0);
}

/* Acknowledgements work from SET_PROTOCOL_FEATURES on, whatever was asked before. */
static void ack_at_once(struct subject *subject, const struct check *check,
                        struct check_result *result)
{
    const struct probe_message choose = {.request = VHU_REQ_SET_PROTOCOL_FEATURES,
                                         .len = 8,
                                         .payload.u64 = VHU_BIT(VHU_PF_REPLY_ACK)};
    struct reply reply;

    if (check_ask(subject, &check_get_features, 0, &reply) == ANSWERED)
        check_send(subject, &choose, 0);
    check_is_done(subject, check, result);
}

static void no_ack_unasked(struct subject *subject, const struct check *check,
                           struct check_result *result)
{
    check_send(subject, &check->message, 0);
    if (check_nothing_left(subject, result))
        check_ok(result, "no reply");
}

static void reply_flags(struct subject *subject, const struct check *check,
                        struct check_result *result)
{
    (void)check;
    if (subject->odd_replies[0])
        check_violated(result, "%s", subject->odd_replies);
    else
        check_ok(result, "all replies had flags 0x5");
}

/* --- rings --- */

static void base_kept(struct subject *subject, const struct check *check,
                      struct check_result *result)
{
    const struct probe_message ask = {
        .request = VHU_REQ_GET_VRING_BASE, .len = 8, .payload.ring.index = 0};
    struct reply reply;

    check_send(subject, &check->message, 0);
    for (int i = 0; i < 2; ++i) {
        vhu_vring_state state;
        const enum answer answer = check_ask(subject, &ask, 0, &reply);
        if (!check_answered(subject, result, answer, &reply, ask.request))
            return;
        memcpy(&state, reply.payload, sizeof state);
        if (state.index != 0 || state.num != check->message.payload.ring.num) {
            check_violated(result, "set to %" PRIu32 ", and then ring %" PRIu32 " has %" PRIu32,
                           check->message.payload.ring.num, state.index, state.num);
            return;
        }
    }
    check_ok(result, "twice the same");
}

/* --- configuration --- */

enum { PIECE = 4 };

static enum answer ask_config(struct subject *subject, uint32_t offset, uint32_t size,
                              struct reply *reply)
{
    uint8_t bytes[sizeof(vhu_msg_header) + sizeof(vhu_config_header) + VHU_MAX_CONFIG] = {0};
    const vhu_msg_header header = {.request = VHU_REQ_GET_CONFIG,
                                   .flags = VHU_VERSION_1,
                                   .size = (uint32_t)sizeof(vhu_config_header) + size};
    const vhu_config_header config = {.offset = offset, .size = size};

    memset(reply, 0, sizeof *reply);
    memcpy(bytes, &header, sizeof header);
    memcpy(bytes + sizeof header, &config, sizeof config);
    const enum answer answer =
        link_send(subject->link, bytes, sizeof header + header.size, NULL, 0);
    return answer == ANSWERED ? check_receive(subject, reply) : answer;
}

/* Failure is told by no bytes, or by the header alone. */
static bool is_empty(const struct reply *reply)
{
    return reply->header.size <= sizeof(vhu_config_header);
}

static bool config_is_known(const struct subject *subject, struct check_result *result)
{
    if (subject->facts->config_len >= 2 * PIECE)
        return true;
    result->verdict = NOT_APPLICABLE;
    strcpy(result->detail, "there are not 8 bytes of configuration");
    return false;
}

/* Every piece is the same as in the whole. The configuration may change, but hardly here. */
static void config_pieces(struct subject *subject, const struct check *check,
                          struct check_result *result)
{
    const uint32_t first = check->message.payload.config.offset;
    struct reply reply;

    if (!config_is_known(subject, result))
        return;
    const enum answer answer = ask_config(subject, first, PIECE, &reply);
    if (!check_answered(subject, result, answer, &reply, VHU_REQ_GET_CONFIG))
        return;
    if (reply.header.size != sizeof(vhu_config_header) + PIECE)
        check_violated(result, "%" PRIu32 " bytes, not 12 + %d", reply.header.size, PIECE);
    else if (memcmp(reply.payload + sizeof(vhu_config_header), subject->facts->config + first,
                    PIECE) != 0)
        check_violated(result, "not the bytes that are at %" PRIu32 " in the whole", first);
    else
        check_ok(result, "bytes %" PRIu32 " to %" PRIu32, first, first + PIECE - 1);
}

/* What cannot be there is refused; a reply of zeroes of the right size tells no lie either. */
static void config_outside(struct subject *subject, const struct check *check,
                           struct check_result *result)
{
    const vhu_config_header *config = &check->message.payload.config;
    struct reply reply;
    const enum answer answer = ask_config(subject, config->offset, config->size, &reply);

    if (answer == CLOSED) {
        check_ok(result, "closes the connection");
        return;
    }
    if (!check_answered(subject, result, answer, &reply, VHU_REQ_GET_CONFIG))
        return;
    if (is_empty(&reply))
        check_ok(result, "refused");
    else
        check_violated(result, "answered with %" PRIu32 " bytes", reply.header.size);
}

static void config_long(struct subject *subject, const struct check *check,
                        struct check_result *result)
{
    const uint32_t size = check->message.payload.config.size;
    struct reply reply;
    const enum answer answer = ask_config(subject, 0, size, &reply);

    if (answer == CLOSED) {
        check_ok(result, "closes the connection");
        return;
    }
    if (!check_answered(subject, result, answer, &reply, VHU_REQ_GET_CONFIG))
        return;
    if (is_empty(&reply))
        check_ok(result, "refused");
    else if (reply.header.size == sizeof(vhu_config_header) + size)
        check_ok(result, "filled up");
    else
        check_violated(result, "%" PRIu32 " bytes, not 12 + %" PRIu32 " or none", reply.header.size,
                       size);
}

/* --- areas --- */

/* Whether a file has these bytes, which is mapped to see. */
static int map_area(vhu_handle *handle, const vhu_inflight_area *area)
{
    const vhu_mem_region region = {.size = area->mmap_size, .mmap_offset = area->mmap_offset};
    vhu_memory *memory;
    int r = vhu_memory_new(&memory);

    if (r)
        return r;
    r = vhu_memory_add(memory, &region, handle);
    vhu_memory_free(memory);
    return r;
}

static void inflight_area(struct subject *subject, const struct check *check,
                          struct check_result *result)
{
    vhu_inflight_area area;
    struct reply reply;
    int r;
    const enum answer answer = check_ask(subject, &check->message, 0, &reply);

    if (!check_answered(subject, result, answer, &reply, check->message.request))
        return;
    memcpy(&area, reply.payload, sizeof area);
    if (reply.header.size != check->message.len)
        check_violated(result, "%" PRIu32 " bytes, asked in %" PRIu32, reply.header.size,
                       check->message.len);
    else if (area.mmap_size == 0 || reply.num_handles != 1)
        check_violated(result, "%" PRIu64 " bytes, %zu handles", area.mmap_size, reply.num_handles);
    else if ((r = map_area(&subject->link->handle, &area)) != 0)
        check_violated(result, "%" PRIu64 " bytes at %" PRIu64 " cannot be mapped: %s",
                       area.mmap_size, area.mmap_offset, vhu_strerror(r));
    else
        check_ok(result, "%" PRIu64 " bytes", area.mmap_size);
}

static void shmem_count(struct subject *subject, const struct check *check,
                        struct check_result *result)
{
    const vhu_shmem_config *shmem = &subject->facts->shmem;
    uint32_t count = 0;

    (void)check;
    for (size_t i = 0; i < COUNT(shmem->sizes); ++i)
        count += shmem->sizes[i] != 0;
    if (count == shmem->num_regions)
        check_ok(result, "%" PRIu32 " regions", count);
    else
        check_violated(result, "%" PRIu32 " regions, %" PRIu32 " of them with a size",
                       shmem->num_regions, count);
}

/* A handle that no request has is closed by the back-end: the other end of the channel tells. */
static void surplus_handle(struct subject *subject, const struct check *check,
                           struct check_result *result)
{
    const vhu_msg_header header = {.request = check->message.request, .flags = VHU_VERSION_1};
    struct reply reply;
    vhu_stream *channel;
    vhu_handle peer;
    const int r = vhu_stream_open_channel(&channel, &peer, subject->link->stream);

    if (r) {
        snprintf(result->detail, sizeof result->detail, "no channel: %s", vhu_strerror(r));
        return;
    }
    enum answer answer = link_send(subject->link, &header, sizeof header, &peer, 1);
    vhu_handle_close(&peer);
    if (answer == ANSWERED)
        answer = check_receive(subject, &reply);
    if (answer != CLOSED && !check_answered(subject, result, answer, &reply, header.request))
        goto out;
    if (link_wait_for_end(subject->link, channel))
        check_ok(result, answer == CLOSED ? "closes the connection" : "closed");
    else
        check_violated(result, "the handle stays open");
out:
    vhu_stream_free(channel);
}

/* --- framing --- */

static void two_at_once(struct subject *subject, const struct check *check,
                        struct check_result *result)
{
    const vhu_msg_header headers[2] = {{check->message.request, VHU_VERSION_1, 0},
                                       {check->message.request, VHU_VERSION_1, 0}};
    struct reply reply;

    link_send(subject->link, headers, sizeof headers, NULL, 0);
    for (int i = 0; i < 2; ++i) {
        const enum answer answer = check_receive(subject, &reply);
        if (!check_answered(subject, result, answer, &reply, check->message.request))
            return;
    }
    check_ok(result, "two replies");
}

static void in_two_pieces(struct subject *subject, const struct check *check,
                          struct check_result *result)
{
    const vhu_msg_header header = {check->message.request, VHU_VERSION_1, check->message.len};

    link_send(subject->link, &header, sizeof header, NULL, 0);
    link_send(subject->link, &check->message.payload, check->message.len, NULL, 0);
    if (check_nothing_left(subject, result))
        check_ok(result, "taken");
}

static void too_long(struct subject *subject, const struct check *check,
                     struct check_result *result)
{
    const vhu_msg_header header = {check->message.request, VHU_VERSION_1, 0x7fffffff};
    struct reply reply;
    enum answer answer = link_send(subject->link, &header, sizeof header, NULL, 0);

    if (answer == ANSWERED)
        answer = check_receive(subject, &reply);
    if (answer == CLOSED)
        check_ok(result, "closes the connection");
    else if (answer == SILENT)
        check_violated(result, "waits for the payload");
    else
        check_violated(result, "answered");
}

/*
 * A connection that ends in the middle of a header, and then the next one. Who serves just one
 * front-end may end: whether by this cannot be told.
 */
static void half_message(struct subject *subject, const struct check *check,
                         struct check_result *result)
{
    const vhu_msg_header header = {check->message.request, VHU_VERSION_1, 0};
    struct reply reply;
    enum answer answer = CLOSED;

    link_send(subject->link, &header, sizeof header / 2, NULL, 0);
    if (link_open(subject->link) == 0)
        answer = check_ask(subject, &check_get_features, 0, &reply);
    if (answer == CLOSED) {
        result->verdict = NOT_APPLICABLE;
        strcpy(result->detail, "it ends with its front-end");
    } else if (check_answered(subject, result, answer, &reply, VHU_REQ_GET_FEATURES)) {
        check_ok(result, "serves the next one");
    }
}

/* --- rings that there are not --- */

/* The reply has no way to say that it failed. */
static void index_closes(struct subject *subject, const struct check *check,
                         struct check_result *result)
{
    struct reply reply;
    const enum answer answer = check_ask(subject, &check->message, 0, &reply);

    if (answer == CLOSED)
        check_ok(result, "closes the connection");
    else if (check_answered(subject, result, answer, &reply, check->message.request))
        check_violated(result, "answered");
}

/* --- the table --- */

#define ANSWERED_ROW(NAME, GATE, LEN, REPLY_LEN)                                                   \
    {                                                                                              \
        .name = #NAME, .rule = "one reply of the right size, with need_reply or without",          \
        .gate = GATE, .run = check_is_answered, .message = {                                       \
            .request = VHU_REQ_##NAME,                                                             \
            .len = LEN,                                                                            \
            .reply_len = REPLY_LEN                                                                 \
        }                                                                                          \
    }

#define RING_ROW(NAME, RULE, RUN, REQUEST, INDEX, NUM)                                             \
    {                                                                                              \
        .name = NAME, .rule = RULE, .gate = VHU_PF_REPLY_ACK, .run = RUN, .message = {             \
            .request = VHU_REQ_##REQUEST,                                                          \
            .len = 8,                                                                              \
            .payload.ring = {INDEX, NUM}                                                           \
        }                                                                                          \
    }

#define MEMORY_ROW(NAME, RULE, GATE, RUN, REQUEST, HANDLES, COUNT_, ...)                           \
    {                                                                                              \
        .name = NAME, .rule = RULE, .gate = GATE, .run = RUN, .message = {                         \
            .request = VHU_REQ_##REQUEST,                                                          \
            .len = 40,                                                                             \
            .num_handles = HANDLES,                                                                \
            .payload.memory = {COUNT_, {__VA_ARGS__}}                                              \
        }                                                                                          \
    }

#define CONFIG_ROW(NAME, RULE, RUN, OFFSET, SIZE)                                                  \
    {                                                                                              \
        .name = NAME, .rule = RULE, .gate = VHU_PF_CONFIG, .run = RUN, .message.payload.config = { \
            .offset = OFFSET,                                                                      \
            .size = SIZE                                                                           \
        }                                                                                          \
    }

/* Far outside: a back-end that does not look ends at once, instead of going on with damage. */
#define NO_RING 0x7fffffffu

/* clang-format off */
const struct check checks[] = {
    {"features-stable", "GET_FEATURES gives what it gave before", NO_GATE, 0, features_agree,
     {.request = VHU_REQ_GET_FEATURES}},
    {"protocol-features-stable", "GET_PROTOCOL_FEATURES gives what it gave before",
     EXTENSION, 0, features_agree, {.request = VHU_REQ_GET_PROTOCOL_FEATURES}},

    ANSWERED_ROW(GET_FEATURES, NO_GATE, 0, 8),
    ANSWERED_ROW(GET_PROTOCOL_FEATURES, EXTENSION, 0, 8),
    ANSWERED_ROW(GET_QUEUE_NUM, VHU_PF_MQ, 0, 8),
    ANSWERED_ROW(GET_MAX_MEM_SLOTS, VHU_PF_CONFIGURE_MEM_SLOTS, 0, 8),
    ANSWERED_ROW(GET_STATUS, VHU_PF_STATUS, 0, 8),
    ANSWERED_ROW(GET_SHMEM_CONFIG, VHU_PF_SHMEM, 0, sizeof(vhu_shmem_config)),
    {"shmem-regions", "GET_SHMEM_CONFIG counts the regions that have a size", VHU_PF_SHMEM, 0,
     shmem_count, {0}},

    RING_ROW("no-ack-unasked", "SET_VRING_BASE without need_reply has no reply", no_ack_unasked,
             SET_VRING_BASE, 0, 0),
    RING_ROW("ring-size", "SET_VRING_NUM takes 64 descriptors", check_is_done, SET_VRING_NUM, 0, 64),
    RING_ROW("ring-base", "SET_VRING_BASE is acknowledged", check_is_done, SET_VRING_BASE, 0, 0),
    RING_ROW("ring-disable", "SET_VRING_ENABLE 0 is acknowledged", check_is_done, SET_VRING_ENABLE,
             0, 0),
    {"ring-call-polled", "SET_VRING_CALL without a handle is acknowledged", VHU_PF_REPLY_ACK, 0,
     check_is_done, {.request = VHU_REQ_SET_VRING_CALL, .len = 8, .payload.u64 = 0x100}},

    MEMORY_ROW("memory-table", "SET_MEM_TABLE takes a region", VHU_PF_REPLY_ACK, check_is_done,
               SET_MEM_TABLE, 1, 1, 0x10000, 0x10000, 0x7f0000010000, 0),
    MEMORY_ROW("memory-add", "ADD_MEM_REG takes a region", VHU_PF_CONFIGURE_MEM_SLOTS,
               check_is_done, ADD_MEM_REG, 1, 0, 0x40000, 0x10000, 0x7f0000040000, 0),
    MEMORY_ROW("memory-remove", "REM_MEM_REG removes it", VHU_PF_CONFIGURE_MEM_SLOTS,
               check_is_done, REM_MEM_REG, 0, 0, 0x40000, 0x10000, 0x7f0000040000, 0),
    {"status-reset", "SET_STATUS 0 is acknowledged", VHU_PF_STATUS, 0, check_is_done,
     {.request = VHU_REQ_SET_STATUS, .len = 8}},
    {"inflight", "GET_INFLIGHT_FD gives an area, and a file that holds it", VHU_PF_INFLIGHT_SHMFD,
     0, inflight_area,
     {.request = VHU_REQ_GET_INFLIGHT_FD, .len = 24, .payload.inflight = {0, 0, 1, 64}}},
    {"reset-device", "RESET_DEVICE is acknowledged", VHU_PF_RESET_DEVICE, 0, check_is_done,
     {.request = VHU_REQ_RESET_DEVICE}},

    CONFIG_ROW("config-beginning", "GET_CONFIG of 4 bytes gives the first ones", config_pieces, 0, 0),
    CONFIG_ROW("config-offset", "GET_CONFIG at offset 4 gives those that are there", config_pieces,
               4, 0),
    CONFIG_ROW("config-long", "GET_CONFIG of 4096 bytes has the right size or none", config_long, 0,
               VHU_MAX_CONFIG),
    CONFIG_ROW("config-outside", "GET_CONFIG far behind the end is refused", config_outside,
               0xfffff000, 8),

    {"two-at-once", "two requests in one piece get two replies", NO_GATE, NEEDS_BYTES, two_at_once,
     {.request = VHU_REQ_GET_FEATURES}},
    ANSWERED_ROW(GET_VRING_BASE, NO_GATE, 8, 8),
    RING_ROW("ring-base-kept", "GET_VRING_BASE of a ring never started is what was set", base_kept,
             SET_VRING_BASE, 0, 7),
    {"reply-flags", "replies have version 1, the reply bit and no other", NO_GATE, 0, reply_flags,
     {0}},

    {"unknown-request", "an unknown request is not acknowledged as done", VHU_PF_REPLY_ACK, 0,
     check_is_refused, {.request = 0x7fff0000}},
    RING_ROW("ring-size-zero", "SET_VRING_NUM 0 is refused", check_is_refused, SET_VRING_NUM, 0, 0),
    RING_ROW("ring-size-odd", "SET_VRING_NUM of a split ring is a power of two", check_is_refused,
             SET_VRING_NUM, 0, 3),
    RING_ROW("ring-size-huge", "SET_VRING_NUM over 32768 is refused", check_is_refused,
             SET_VRING_NUM, 0, 65536),
    MEMORY_ROW("memory-no-handle", "SET_MEM_TABLE without a handle for its region is refused",
               VHU_PF_REPLY_ACK, check_is_refused, SET_MEM_TABLE, 0, 1, 0x10000, 0x10000,
               0x7f0000010000, 0),
    MEMORY_ROW("memory-count", "SET_MEM_TABLE with fewer regions than it says is refused",
               VHU_PF_REPLY_ACK, check_is_refused, SET_MEM_TABLE, 1, 2, 0x10000, 0x10000,
               0x7f0000010000, 0),
    MEMORY_ROW("memory-wraps", "SET_MEM_TABLE with a region that passes 2^64 is refused",
               VHU_PF_REPLY_ACK, check_is_refused, SET_MEM_TABLE, 1, 1, 0xfffffffffffff000,
               0x10000, 0x7f0000010000, 0),
    MEMORY_ROW("memory-add-no-handle", "ADD_MEM_REG without a handle is refused",
               VHU_PF_CONFIGURE_MEM_SLOTS, check_is_refused, ADD_MEM_REG, 0, 0, 0x40000, 0x10000,
               0x7f0000040000, 0),
    MEMORY_ROW("memory-remove-unknown", "REM_MEM_REG of what was never added is refused",
               VHU_PF_CONFIGURE_MEM_SLOTS, check_is_refused, REM_MEM_REG, 0, 0, 0x90000, 0x10000,
               0x7f0000090000, 0),
    {"short-payload", "SET_VRING_NUM of 4 bytes is refused", VHU_PF_REPLY_ACK, 0, check_is_refused,
     {.request = VHU_REQ_SET_VRING_NUM, .len = 4}},
    {"features-unoffered", "SET_FEATURES with a bit that was not offered is refused",
     VHU_PF_REPLY_ACK, 0, unoffered_refused, {.request = VHU_REQ_SET_FEATURES, .len = 8}},
    {"protocol-features-unoffered",
     "SET_PROTOCOL_FEATURES with a bit that was not offered is refused", VHU_PF_REPLY_ACK, 0,
     unoffered_refused, {.request = VHU_REQ_SET_PROTOCOL_FEATURES, .len = 8}},

    {"surplus-handle", "a handle that does not belong to a request is closed", NO_GATE, 0,
     surplus_handle, {.request = VHU_REQ_GET_FEATURES}},
    {"ack-at-once", "REPLY_ACK holds though GET_PROTOCOL_FEATURES was not asked",
     VHU_PF_REPLY_ACK, FRESH_LINK, ack_at_once, {.request = VHU_REQ_SET_VRING_BASE, .len = 8}},
    {"in-two-pieces", "header and payload may come apart", NO_GATE, NEEDS_BYTES, in_two_pieces,
     {.request = VHU_REQ_SET_VRING_BASE, .len = 8}},
    {"too-long", "a payload of 2 GiB closes the connection", NO_GATE, NEEDS_BYTES, too_long,
     {.request = VHU_REQ_GET_FEATURES}},
    {"half-message", "a connection lost inside a message does not end the back-end", NO_GATE,
     FRESH_LINK | NEEDS_BYTES, half_message, {.request = VHU_REQ_GET_FEATURES}},

    /* Whoever does not look at the number may well end here. */
    RING_ROW("ring-index-size", "SET_VRING_NUM for a ring that there cannot be is refused",
             check_is_refused, SET_VRING_NUM, NO_RING, 64),
    RING_ROW("ring-index-base", "SET_VRING_BASE for a ring that there cannot be is refused",
             check_is_refused, SET_VRING_BASE, NO_RING, 0),
    RING_ROW("ring-index-enable", "SET_VRING_ENABLE for a ring that there cannot be is refused",
             check_is_refused, SET_VRING_ENABLE, NO_RING, 0),
    RING_ROW("ring-index-stop", "GET_VRING_BASE of a ring that there cannot be closes", index_closes,
             GET_VRING_BASE, NO_RING, 0),
};
/* clang-format on */

const size_t num_checks = COUNT(checks);
