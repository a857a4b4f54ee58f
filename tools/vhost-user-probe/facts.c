/* SPDX-License-Identifier: BSD-3-Clause */
#include "facts.h"

#include "attributes.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define PF(name) VHU_BIT(VHU_PF_##name)

/* Acknowledged: those that let one ask more, or oblige a probe to nothing. */
static const uint64_t wanted_protocol_features =
    PF(MQ) | PF(REPLY_ACK) | PF(BACKEND_REQ) | PF(CONFIG) | PF(BACKEND_SEND_FD) |
    PF(INFLIGHT_SHMFD) | PF(RESET_DEVICE) | PF(CONFIGURE_MEM_SLOTS) | PF(STATUS) | PF(SHMEM);
static const uint64_t wanted_features = VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1);

bool facts_has(const struct facts *facts, unsigned protocol_feature)
{
    return (facts->negotiated & VHU_BIT(protocol_feature)) != 0;
}

bool facts_answered(const struct facts *facts, unsigned protocol_feature)
{
    return (facts->answered & VHU_BIT(protocol_feature)) != 0;
}

static void warn(struct facts *facts, const char *format, ...) TOOL_PRINTF(2, 3);

static void warn(struct facts *facts, const char *format, ...)
{
    va_list args;

    if (facts->num_warnings == MAX_WARNINGS)
        return;
    va_start(args, format);
    vsnprintf(facts->warnings[facts->num_warnings++], MAX_TEXT, format, args);
    va_end(args);
}

/* --- connecting --- */

static int negotiate_extension(vhu_backend_client *client, struct facts *facts)
{
    if (!(facts->features & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
        return 0;
    const int r = vhu_backend_client_get_protocol_features(client, &facts->protocol_features);
    if (r)
        return r;
    facts->negotiated = facts->protocol_features & wanted_protocol_features;
    return vhu_backend_client_set_protocol_features(client, facts->negotiated);
}

static int negotiate(vhu_backend_client *client, struct facts *facts)
{
    int r = negotiate_extension(client, facts);

    if (!r)
        r = vhu_backend_client_set_owner(client);
    facts->acknowledged = facts->features & wanted_features;
    if (!r)
        r = vhu_backend_client_set_features(client, facts->acknowledged);
    return r;
}

static void explain_first_reply(const vhu_backend_client *client, int code, const char *address,
                                int timeout_ms, char *error, size_t size)
{
    switch (code) {
    case VHU_ETIMEDOUT:
        snprintf(error, size,
                 "%s: no reply to GET_FEATURES within %d ms: not vhost-user, or busy with another "
                 "front-end",
                 address, timeout_ms);
        break;
    case VHU_ECLIENT_EXIT:
    case VHU_EDISCONNECT:
        snprintf(error, size,
                 "%s: closed the connection instead of replying to GET_FEATURES: not vhost-user, "
                 "or busy with another front-end",
                 address);
        break;
    default:
        snprintf(error, size, "%s: does not speak vhost-user: %s", address,
                 vhu_conn_last_error(vhu_backend_client_conn(client)));
    }
}

/* What is wrong with a request that has failed; the library's words begin with its name. */
static const char *reason(const vhu_backend_client *client, int code)
{
    const char *text = vhu_conn_last_error(vhu_backend_client_conn(client));
    const char *rest = strstr(text, ": ");

    return rest ? rest + 2 : *text ? text : vhu_strerror(code);
}

/* An open link with a client on it; NULL: see `error`. */
static vhu_backend_client *open_client(struct link *link, struct facts *facts, char *error,
                                       size_t size)
{
    vhu_backend_client *client = NULL;
    int r = link_open(link);

    if (r == VHU_EDISCONNECT) {
        explain_first_reply(NULL, r, link->address, link->timeout_ms, error, size);
        return NULL;
    }
    if (r) {
        snprintf(error, size, "%s: %s", link->address, vhu_strerror(r));
        return NULL;
    }
    r = link_client(link, &client);
    if (r) {
        snprintf(error, size, "%s", vhu_strerror(r));
        return NULL;
    }
    r = vhu_backend_client_get_features(client, &facts->features);
    if (r) {
        explain_first_reply(client, r, link->address, link->timeout_ms, error, size);
    } else {
        r = negotiate(client, facts);
        if (!r)
            return client;
        snprintf(error, size, "%s: negotiation failed: %s", link->address, reason(client, r));
    }
    vhu_backend_client_free(client);
    link_close(link);
    return NULL;
}

int facts_reconnect(struct link *link, char *error, size_t size)
{
    struct facts facts = {0};
    vhu_backend_client *client = open_client(link, &facts, error, size);

    if (!client)
        return -1;
    vhu_backend_client_free(client);
    return 0;
}

/* --- asking --- */

static int ask_queues(vhu_backend_client *client, struct facts *facts)
{
    return vhu_backend_client_get_queue_num(client, &facts->queues);
}

static int ask_memory_slots(vhu_backend_client *client, struct facts *facts)
{
    return vhu_backend_client_get_max_mem_slots(client, &facts->memory_slots);
}

static int ask_shmem(vhu_backend_client *client, struct facts *facts)
{
    return vhu_backend_client_get_shmem_config(client, &facts->shmem);
}

/*
 * No request tells how long the configuration is. Some back-ends refuse what is longer, so the
 * longest that is not refused is looked for.
 */
static int ask_config(vhu_backend_client *client, struct facts *facts)
{
    uint32_t refused = (facts->type ? device_type_config_size(facts->type) : RAW_CONFIG) + 1;
    uint32_t len = refused - 1;

    while (len > facts->config_len) {
        const int r = vhu_backend_client_get_config(client, 0, facts->config, len);
        if (r == 0)
            facts->config_len = len;
        else if (r == VHU_EREFUSED)
            refused = len;
        else
            return r;
        len = facts->config_len + (refused - facts->config_len) / 2;
    }
    return facts->config_len || refused == 1 ? 0 : VHU_EREFUSED;
}

static const struct {
    const char *name;
    unsigned gate;
    int (*ask)(vhu_backend_client *client, struct facts *facts);
} questions[] = {
    {"GET_QUEUE_NUM", VHU_PF_MQ, ask_queues},
    {"GET_MAX_MEM_SLOTS", VHU_PF_CONFIGURE_MEM_SLOTS, ask_memory_slots},
    {"GET_SHMEM_CONFIG", VHU_PF_SHMEM, ask_shmem},
    {"GET_CONFIG", VHU_PF_CONFIG, ask_config},
};

/* A back-end that closes at one question is asked the next on a new connection. */
static void ask_all(vhu_backend_client *client, struct link *link, struct facts *facts)
{
    char error[MAX_TEXT];

    for (size_t i = 0; i < COUNT(questions) && client; ++i) {
        if (!facts_has(facts, questions[i].gate))
            continue;
        const int r = questions[i].ask(client, facts);
        if (r == 0)
            facts->answered |= VHU_BIT(questions[i].gate);
        else
            warn(facts, "%s: %s", questions[i].name, reason(client, r));
        if (vhu_conn_is_open(vhu_backend_client_conn(client)))
            continue;
        vhu_backend_client_free(client);
        client = open_client(link, facts, error, sizeof error);
        if (!client)
            warn(facts, "after that: %s", error);
    }
    vhu_backend_client_free(client);
}

/* --- judging --- */

enum {
    VIRTIO = 64
}; /* of a rule's bits: added to virtio's own, to tell them from protocol features */

/* A bit that is offered, and one that is needed for it. */
static const struct {
    int offered;
    int needed;
    const char *text;
} rules[] = {
    {-1, VIRTIO + VHU_F_PROTOCOL_FEATURES,
     "PROTOCOL_FEATURES (bit 30) is not offered: no extension can be used"},
    {-1, VIRTIO + VHU_F_VERSION_1, "VERSION_1 is not offered: a legacy device only"},
    {VIRTIO + VHU_F_PROTOCOL_FEATURES, VHU_PF_MQ,
     "MQ is not offered: how many queues there are cannot be asked"},
    {VIRTIO + VHU_F_PROTOCOL_FEATURES, VHU_PF_REPLY_ACK,
     "REPLY_ACK is not offered: failures cannot be told"},
    {VHU_PF_BACKEND_SEND_FD, VHU_PF_BACKEND_REQ,
     "BACKEND_SEND_FD without BACKEND_REQ is of no use"},
    {VHU_PF_HOST_NOTIFIER, VHU_PF_BACKEND_SEND_FD,
     "HOST_NOTIFIER without BACKEND_SEND_FD is of no use"},
    {VHU_PF_INBAND_NOTIFICATIONS, VHU_PF_BACKEND_REQ, "INBAND_NOTIFICATIONS needs BACKEND_REQ"},
    {VHU_PF_INBAND_NOTIFICATIONS, VHU_PF_REPLY_ACK, "INBAND_NOTIFICATIONS needs REPLY_ACK"},
    {VHU_PF_SHMEM, VHU_PF_BACKEND_SEND_FD, "SHMEM needs BACKEND_SEND_FD to map anything"},
    {VHU_PF_GET_VRING_BASE_INFLIGHT, VHU_PF_INFLIGHT_SHMFD,
     "GET_VRING_BASE_INFLIGHT needs INFLIGHT_SHMFD"},
    {VHU_PF_LOG_SHMFD, VIRTIO + VHU_F_LOG_ALL, "LOG_SHMFD is offered, but not LOG_ALL"},
    {VIRTIO + VHU_F_LOG_ALL, VHU_PF_LOG_SHMFD, "LOG_ALL is offered, but not LOG_SHMFD"},
};

static bool offers(const struct facts *facts, int bit)
{
    if (bit >= VIRTIO)
        return (facts->features >> (bit - VIRTIO) & 1) != 0;
    return bit < 0 || (facts->protocol_features >> bit & 1) != 0;
}

static void judge(struct facts *facts)
{
    for (size_t i = 0; i < COUNT(rules); ++i)
        if (offers(facts, rules[i].offered) && !offers(facts, rules[i].needed))
            warn(facts, "%s", rules[i].text);
    for (unsigned bit = VHU_PF_END; bit < 64; ++bit)
        if (facts->protocol_features >> bit & 1)
            warn(facts, "protocol feature %u has no meaning known here", bit);
    if (facts_answered(facts, VHU_PF_MQ) && (facts->queues == 0 || facts->queues > VHU_MAX_RINGS))
        warn(facts, "GET_QUEUE_NUM: %" PRIu64 " queues", facts->queues);
    if (facts_answered(facts, VHU_PF_CONFIGURE_MEM_SLOTS) && facts->memory_slots == 0)
        warn(facts, "GET_MAX_MEM_SLOTS: no slot");
    if (facts->shmem.num_regions > COUNT(facts->shmem.sizes))
        warn(facts, "GET_SHMEM_CONFIG: %" PRIu32 " regions", facts->shmem.num_regions);
}

int facts_learn(struct link *link, struct facts *facts, char *error, size_t size)
{
    vhu_backend_client *client = open_client(link, facts, error, size);

    if (!client)
        return -1;
    ask_all(client, link, facts);
    judge(facts);
    return 0;
}
