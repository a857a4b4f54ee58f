/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: life, connections, negotiation. */
#include "backend_client_internal.h"
#include "remote_internal.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/listener.h>

/* What the kit knows nothing of, or acknowledges by itself. */
#define WITHHELD (VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_LOG_ALL))

#define KIT_PROTOCOL                                                                               \
    (VHU_BIT(VHU_PF_MQ) | VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_CONFIG) |                     \
     VHU_BIT(VHU_PF_RESET_DEVICE) | VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS) |                          \
     VHU_BIT(VHU_PF_INFLIGHT_SHMFD) | VHU_BIT(VHU_PF_DEVICE_STATE) | VHU_BIT(VHU_PF_STATUS) |      \
     VHU_BIT(VHU_PF_LOG_SHMFD) | VHU_BIT(VHU_PF_CROSS_ENDIAN) | VHU_BIT(VHU_PF_PAGEFAULT))

/* What changes requests that the kit sends itself. */
#define WITHHELD_PROTOCOL (VHU_BIT(VHU_PF_XEN_MMAP) | VHU_BIT(VHU_PF_GPA_ADDRESSES))

/* What notifications as messages need. */
#define INBAND                                                                                     \
    (VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS) | VHU_BIT(VHU_PF_BACKEND_REQ) | VHU_BIT(VHU_PF_REPLY_ACK))

int vhu__remote_fail(vhu_remote *remote, int code, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(remote->error, sizeof(remote->error), format, args);
    va_end(args);
    return code;
}

int vhu__remote_sent(vhu_remote *remote, int r)
{
    const char *why = vhu_conn_last_error(vhu_backend_client_conn(remote->client));

    if (r < 0)
        vhu__remote_fail(remote, r, "%s", *why ? why : vhu_strerror(r));
    return r;
}

bool vhu__remote_has(const vhu_remote *remote, unsigned protocol_feature)
{
    return (vhu_backend_client_protocol_features(remote->client) & VHU_BIT(protocol_feature)) != 0;
}

/* --- life --- */

static int copy_options(vhu_remote *remote, const vhu_remote_options *options)
{
    vhu_remote_options *o = &remote->options;

    o->size = sizeof(*o);
    remote->connection.size = sizeof(remote->connection);
    remote->ops.size = sizeof(remote->ops);
    if (!options || !vhu__copy_sized(o, sizeof(*o), options))
        return VHU_EINVAL;
    if (o->num_rings == 0 || o->num_rings > VHU_MAX_RINGS)
        return VHU_EINVAL;
    if (o->connection &&
        !vhu__copy_sized(&remote->connection, sizeof(remote->connection), o->connection))
        return VHU_EINVAL;
    if (o->ops && !vhu__copy_sized(&remote->ops, sizeof(remote->ops), o->ops))
        return VHU_EINVAL;
    o->features &= ~(WITHHELD | (o->translate ? 0 : VHU_BIT(VHU_F_ACCESS_PLATFORM)));
    o->protocol_features |=
        KIT_PROTOCOL | (o->inband ? INBAND : 0) | vhu__remote_channel_features(remote);
    o->protocol_features &= ~(o->withheld_protocol_features | WITHHELD_PROTOCOL);
    return 0;
}

int vhu_remote_new(vhu_remote **out, const vhu_remote_options *options)
{
    vhu_remote *remote = calloc(1, sizeof(*remote));
    int r;

    if (!remote)
        return VHU_ENOMEM;
    remote->inflight_handle = VHU_NO_HANDLE;
    r = copy_options(remote, options);
    if (r == 0)
        r = vhu_memory_new(&remote->memory);
    if (r == 0) {
        remote->rings = calloc(remote->options.num_rings, sizeof(remote->rings[0]));
        r = remote->rings ? 0 : VHU_ENOMEM;
    }
    if (r < 0) {
        vhu_remote_free(remote);
        return r;
    }
    for (uint32_t i = 0; i < remote->options.num_rings; i++) {
        remote->rings[i].enabled = true;
        for (size_t k = 0; k < VHU__COUNT(remote->rings[i].events); k++)
            remote->rings[i].events[k].given = VHU_NO_HANDLE;
    }
    *out = remote;
    return 0;
}

static void free_rings(vhu_remote *remote)
{
    for (uint32_t i = 0; remote->rings && i < remote->options.num_rings; i++) {
        for (size_t k = 0; k < VHU__COUNT(remote->rings[i].events); k++) {
            vhu_event_free(remote->rings[i].events[k].own);
            vhu_handle_close(&remote->rings[i].events[k].given);
        }
    }
    free(remote->rings);
}

void vhu_remote_free(vhu_remote *remote)
{
    if (!remote)
        return;
    vhu_remote_disconnect(remote);
    free_rings(remote);
    for (size_t i = 0; i < remote->num_regions; i++)
        vhu_handle_close(&remote->regions[i].handle);
    vhu_memory_free(remote->memory);
    vhu__remote_drop_inflight(remote);
    vhu__remote_drop_log(remote);
    free(remote);
}

const char *vhu_remote_last_error(const vhu_remote *remote)
{
    return remote->error;
}

/* --- negotiation --- */

static int negotiate_protocol(vhu_remote *remote)
{
    uint64_t wanted = remote->options.protocol_features;
    uint64_t offered;
    int r = vhu_backend_client_get_protocol_features(remote->client, &offered);

    if (r == 0 && (offered & wanted & INBAND) != INBAND)
        wanted &= ~VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS);
    /* The channel is of no use to a back-end that cannot be told of it. */
    if (r == 0)
        r = vhu_backend_client_set_protocol_features(remote->client, wanted);
    return vhu__remote_sent(remote, r);
}

static int check_rings(vhu_remote *remote)
{
    uint64_t num, have;
    int r;

    if (!vhu__remote_has(remote, VHU_PF_MQ))
        return 0;
    r = vhu__remote_sent(remote, vhu_backend_client_get_queue_num(remote->client, &num));
    if (r < 0)
        return r;
    /* Pairs, and the ring that controls them. */
    have = remote->options.queue_pairs && num <= VHU_MAX_RINGS ? 2 * num + 1 : num;
    if (remote->options.num_rings <= have)
        return 0;
    return vhu__remote_fail(remote, VHU_EOVERFLOW,
                            "the back-end has %" PRIu64 " queues, %u rings are wanted", num,
                            remote->options.num_rings);
}

static int check_slots(vhu_remote *remote)
{
    uint64_t slots = VHU_MAX_TABLE_REGIONS;
    int r = 0;

    if (vhu__remote_has(remote, VHU_PF_CONFIGURE_MEM_SLOTS))
        r = vhu__remote_sent(remote, vhu_backend_client_get_max_mem_slots(remote->client, &slots));
    if (r < 0)
        return r;
    remote->max_regions = slots < VHU_MAX_MEM_SLOTS ? (size_t)slots : VHU_MAX_MEM_SLOTS;
    if (remote->num_regions <= remote->max_regions)
        return 0;
    return vhu__remote_fail(remote, VHU_EOVERFLOW,
                            "the back-end has %" PRIu64 " memory slots, %zu are in use", slots,
                            remote->num_regions);
}

bool vhu__remote_is_known(const vhu_remote *remote)
{
    return remote->acknowledged || remote->running;
}

/* What the driver was told of must still be there. */
static int check_features(vhu_remote *remote, uint64_t offered)
{
    uint64_t lost = vhu__remote_is_known(remote) ? remote->features & ~offered : 0;

    if (lost == 0)
        return 0;
    return vhu__remote_fail(
        remote, VHU_ENOSYS,
        "the back-end does not offer features 0x%" PRIx64 ", which the driver uses", lost);
}

static void accept_offer(vhu_remote *remote, uint64_t offered)
{
    remote->offered = offered;
    if (!vhu__remote_is_known(remote))
        remote->features = offered;
}

static int negotiate(vhu_remote *remote, uint64_t *offered)
{
    int r = vhu_backend_client_set_owner(remote->client);

    if (r == 0)
        r = vhu_backend_client_get_features(remote->client, offered);
    vhu__remote_sent(remote, r);
    if (r == 0 && (*offered & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
        r = negotiate_protocol(remote);
    if (r == 0)
        r = check_rings(remote);
    if (r == 0)
        r = check_slots(remote);
    remote->offers_log = r == 0 && (*offered & VHU_BIT(VHU_F_LOG_ALL));
    if (r == 0)
        r = vhu__remote_ask_shmem(remote);
    *offered &= remote->options.features;
    /* A back-end that cannot ask would wait for ever. */
    if (!vhu__remote_has(remote, VHU_PF_BACKEND_REQ))
        *offered &= ~VHU_BIT(VHU_F_ACCESS_PLATFORM);
    if (r == 0)
        r = check_features(remote, *offered);
    if (r == 0)
        r = vhu__remote_open_channel(remote);
    return r;
}

/* --- connections --- */

bool vhu_remote_is_connected(const vhu_remote *remote)
{
    return remote->client && vhu_conn_is_open(vhu_backend_client_conn(remote->client));
}

void vhu_remote_disconnect(vhu_remote *remote)
{
    vhu_backend_client_free(remote->client);
    vhu_frontend_server_free(remote->channel);
    remote->client = NULL;
    remote->channel = NULL;
    remote->live = false;
    remote->in_postcopy = false;
    vhu__remote_drop_share(remote);
    for (size_t i = 0; i < remote->num_regions; i++)
        remote->regions[i].announced = false;
    for (uint32_t i = 0; remote->rings && i < remote->options.num_rings; i++)
        remote->rings[i].started = false;
}

int vhu_remote_connect_over(vhu_remote *remote, vhu_conn **conn)
{
    const vhu_backend_client_options options = {.size = sizeof(options),
                                                .timeout_ms = remote->options.timeout_ms};
    uint64_t offered = 0;
    int r;

    if (vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "connected already");
    vhu_remote_disconnect(remote);
    r = vhu_backend_client_new(&remote->client, conn, &options);
    if (r == 0)
        r = negotiate(remote, &offered);
    else
        vhu__remote_fail(remote, r, "%s", vhu_strerror(r));
    if (r == 0)
        r = vhu__remote_enter_postcopy(remote);
    if (r == 0 && remote->running)
        r = vhu__remote_resume(remote);
    if (r == 0)
        accept_offer(remote, offered);
    else
        vhu_remote_disconnect(remote);
    vhu_conn_free(*conn);
    *conn = NULL;
    return r;
}

int vhu_remote_connect(vhu_remote *remote, const char *address)
{
    vhu_conn *conn;
    int r;

    if (vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "connected already");
    r = vhu_connect(&conn, address, 0, &remote->connection);
    if (r < 0)
        return vhu__remote_fail(remote, r, "%s: %s", address, vhu_strerror(r));
    return vhu_remote_connect_over(remote, &conn);
}

vhu_conn *vhu_remote_conn(const vhu_remote *remote)
{
    return remote->client ? vhu_backend_client_conn(remote->client) : NULL;
}

vhu_conn *vhu_remote_channel(const vhu_remote *remote)
{
    return remote->channel ? vhu_frontend_server_conn(remote->channel) : NULL;
}

vhu_backend_client *vhu_remote_client(const vhu_remote *remote)
{
    return remote->client;
}

int vhu_remote_serve(vhu_remote *remote)
{
    int r;

    if (!vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "not connected");
    /* A channel that has ended is of no consequence for the rest. */
    if (remote->channel)
        vhu__backend_client_serve_channel(remote->client);
    /* Outcomes are for who began the requests. */
    if (remote->client->begun)
        return 0;
    r = vhu_conn_wait(vhu_remote_conn(remote), 0);
    if (r == VHU_ETIMEDOUT)
        return 0;
    r = vhu_backend_client_finish(remote->client);
    /* Something that nobody waits for is still queued. */
    return r == VHU_EAGAIN ? 0 : vhu__remote_sent(remote, r);
}

/* --- features and configuration --- */

uint64_t vhu_remote_offered(const vhu_remote *remote)
{
    return remote->offered;
}

uint64_t vhu_remote_features(const vhu_remote *remote)
{
    return remote->features;
}

int vhu_remote_set_features(vhu_remote *remote, uint64_t features)
{
    if (remote->running)
        return vhu__remote_fail(remote, VHU_ESTATE, "features change while the device runs");
    if (features & ~remote->offered)
        return vhu__remote_fail(remote, VHU_EINVAL, "features 0x%" PRIx64 " were not offered",
                                features & ~remote->offered);
    remote->features = features;
    remote->acknowledged = true;
    return 0;
}

int vhu_remote_get_config(vhu_remote *remote, uint32_t offset, void *buf, uint32_t len)
{
    uint8_t config[VHU_MAX_CONFIG];
    int r;

    if (!vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "not connected");
    if (offset > VHU_MAX_CONFIG || len > VHU_MAX_CONFIG - offset)
        return vhu__remote_fail(remote, VHU_EINVAL, "configuration beyond byte %u", VHU_MAX_CONFIG);
    r = vhu_backend_client_get_config(remote->client, 0, config, offset + len);
    if (r == 0)
        memcpy(buf, config + offset, len);
    return vhu__remote_sent(remote, r);
}

int vhu_remote_set_config(vhu_remote *remote, uint32_t offset, const void *buf, uint32_t len)
{
    if (!vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "not connected");
    return vhu__remote_sent(remote, vhu_backend_client_set_config(remote->client, offset, buf, len,
                                                                  VHU_CONFIG_WRITABLE));
}
