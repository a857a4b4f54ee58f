/* SPDX-License-Identifier: BSD-3-Clause */
/* Every front-end request as a function: arguments to payload, and the reply to results. */
#include <string.h>

#include "backend_client_internal.h"
#include "wire.h"

typedef struct vhu_backend_client client;

/* --- sending --- */

typedef vhu__message message;

static int send_message(client *c, const message *m)
{
    return vhu__backend_client_call(c, vhu__frontend_request(m->code), m);
}

static int send_empty(client *c, uint32_t code)
{
    return send_message(c, &(message){.code = code});
}

static int send_u64(client *c, uint32_t code, uint64_t value)
{
    return send_message(c, &(message){.code = code, .payload = &value, .len = sizeof(value)});
}

static int get_u64(client *c, uint32_t code, uint64_t *value)
{
    return send_message(c, &(message){.code = code, .take = vhu__take_u64, .out = value});
}

static int send_vring(client *c, uint32_t code, uint32_t ring, uint32_t num)
{
    const vhu_vring_state state = {.index = ring, .num = num};

    return send_message(c, &(message){.code = code, .payload = &state, .len = sizeof(state)});
}

static int send_handle(client *c, uint32_t code, vhu_handle handle)
{
    return send_message(c, &(message){.code = code, .handles = &handle, .num_handles = 1});
}

static int invalid(client *c, uint32_t code, const char *why)
{
    return vhu__rpc_refuse(&c->rpc, vhu_frontend_request_name(code), VHU_EINVAL, why);
}

/* Of what is never acknowledged: whether it can be assumed that the back-end does it. */
static bool sent(int r)
{
    return r == 0 || r == VHU_EPENDING;
}

/* --- features --- */

int vhu_backend_client_get_features(client *c, uint64_t *features)
{
    return send_message(c, &(message){.code = VHU_REQ_GET_FEATURES,
                                      .take = vhu__take_offer,
                                      .out = features,
                                      .also = &c->offered});
}

int vhu_backend_client_set_features(client *c, uint64_t features)
{
    features &= c->offered;
    return send_message(c, &(message){.code = VHU_REQ_SET_FEATURES,
                                      .payload = &features,
                                      .len = sizeof(features),
                                      .settles = &c->rpc.features,
                                      .value = features});
}

int vhu_backend_client_get_protocol_features(client *c, uint64_t *features)
{
    if (!(c->offered & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
        return vhu__rpc_refuse(&c->rpc, "GET_PROTOCOL_FEATURES", VHU_ENOSYS,
                               "the back-end has no protocol features");
    return send_message(c, &(message){.code = VHU_REQ_GET_PROTOCOL_FEATURES,
                                      .take = vhu__take_offer,
                                      .out = features,
                                      .also = &c->offered_protocol});
}

int vhu_backend_client_set_protocol_features(client *c, uint64_t features)
{
    int r;

    if (!(c->offered & VHU_BIT(VHU_F_PROTOCOL_FEATURES)))
        return vhu__rpc_refuse(&c->rpc, "SET_PROTOCOL_FEATURES", VHU_ENOSYS,
                               "the back-end has no protocol features");
    features &= c->offered_protocol;
    /* Whether there are acknowledgements is what this settles: none is asked for yet. */
    r = send_message(c, &(message){.code = VHU_REQ_SET_PROTOCOL_FEATURES,
                                   .payload = &features,
                                   .len = sizeof(features),
                                   .ask = VHU__ASK_NEVER});
    if (sent(r))
        c->rpc.protocol_features = features;
    return r;
}

int vhu_backend_client_get_queue_num(client *c, uint64_t *num)
{
    return get_u64(c, VHU_REQ_GET_QUEUE_NUM, num);
}

/* --- owner, reset, status --- */

int vhu_backend_client_set_owner(client *c)
{
    return send_empty(c, VHU_REQ_SET_OWNER);
}

int vhu_backend_client_reset_owner(client *c)
{
    return send_empty(c, VHU_REQ_RESET_OWNER);
}

int vhu_backend_client_reset_device(client *c)
{
    return send_empty(c, VHU_REQ_RESET_DEVICE);
}

int vhu_backend_client_set_status(client *c, uint64_t status)
{
    return send_u64(c, VHU_REQ_SET_STATUS, status);
}

int vhu_backend_client_get_status(client *c, uint64_t *status)
{
    return get_u64(c, VHU_REQ_GET_STATUS, status);
}

/* --- memory --- */

/* Its regions are longer, and have functions of their own. */
static int check_no_xen(client *c, uint32_t code)
{
    if (!vhu__rpc_has(&c->rpc, VHU_PF_XEN_MMAP))
        return 0;
    return invalid(c, code, "XEN_MMAP was negotiated");
}

/* In postcopy a memory request is answered with addresses, and mem_mapped has to follow. */
static int send_memory(client *c, message *m, vhu__take *take, vhu_mem_region *regions)
{
    int r = check_no_xen(c, m->code);

    if (r < 0)
        return r;
    if (vhu__rpc_is_under_way(&c->rpc, VHU_REQ_POSTCOPY_LISTEN) ||
        vhu__rpc_is_under_way(&c->rpc, VHU_REQ_POSTCOPY_END))
        return vhu__rpc_refuse(&c->rpc, vhu_frontend_request_name(m->code), VHU_ESTATE,
                               "whether it is postcopy is not known yet");
    if (c->postcopy) {
        m->take = take;
        m->out = regions;
        m->settles = &c->postcopy;
        m->value = m->code;
    }
    return send_message(c, m);
}

int vhu_backend_client_set_mem_table(client *c, vhu_mem_region *regions, size_t n,
                                     const vhu_handle *handles)
{
    uint8_t payload[VHU__WIRE_TABLE_MAX];
    message m = {.code = VHU_REQ_SET_MEM_TABLE,
                 .payload = payload,
                 .handles = handles,
                 .num_handles = n,
                 .count = (uint32_t)n};

    if (n > VHU_MAX_TABLE_REGIONS)
        return invalid(c, m.code, "more than 8 regions");
    m.len = (uint32_t)vhu__wire_store_table(payload, regions, (uint32_t)n);
    return send_memory(c, &m, vhu__take_table, regions);
}

int vhu_backend_client_add_mem_reg(client *c, vhu_mem_region *region, vhu_handle handle)
{
    uint8_t payload[VHU__WIRE_REGION];
    message m = {.code = VHU_REQ_ADD_MEM_REG,
                 .payload = payload,
                 .len = sizeof(payload),
                 .handles = &handle,
                 .num_handles = 1};

    vhu__wire_store_region(payload, region);
    return send_memory(c, &m, vhu__take_region, region);
}

int vhu_backend_client_rem_mem_reg(client *c, const vhu_mem_region *region)
{
    uint8_t payload[VHU__WIRE_REGION];
    int r = check_no_xen(c, VHU_REQ_REM_MEM_REG);

    if (r < 0)
        return r;
    vhu__wire_store_region(payload, region);
    return send_message(
        c, &(message){.code = VHU_REQ_REM_MEM_REG, .payload = payload, .len = sizeof(payload)});
}

/* It has the code of what it ends; peers take it without a word. */
int vhu_backend_client_mem_mapped(client *c)
{
    const uint64_t value = 0;
    int r;

    if (c->postcopy == 0 || c->postcopy == VHU_REQ_POSTCOPY_LISTEN)
        return vhu__rpc_refuse(&c->rpc, "mem_mapped", VHU_ESTATE, "no memory waits for it");
    r = send_message(c, &(message){.code = (uint32_t)c->postcopy,
                                   .payload = &value,
                                   .len = sizeof(value),
                                   .ask = VHU__ASK_NEVER});
    if (sent(r))
        c->postcopy = VHU_REQ_POSTCOPY_LISTEN;
    return r;
}

int vhu_backend_client_get_max_mem_slots(client *c, uint64_t *slots)
{
    return get_u64(c, VHU_REQ_GET_MAX_MEM_SLOTS, slots);
}

int vhu_backend_client_iotlb_msg(client *c, const vhu_iotlb_msg *msg)
{
    return send_message(c,
                        &(message){.code = VHU_REQ_IOTLB_MSG, .payload = msg, .len = sizeof(*msg)});
}

/* --- dirty log --- */

int vhu_backend_client_set_log_base(client *c, const vhu_log_area *area, vhu_handle handle)
{
    message m = {.code = VHU_REQ_SET_LOG_BASE,
                 .payload = area,
                 .len = sizeof(*area),
                 .handles = &handle,
                 .num_handles = 1,
                 .take = vhu__take_any};

    if (vhu__rpc_has(&c->rpc, VHU_PF_LOG_SHMFD))
        return send_message(c, &m);
    return send_u64(c, VHU_REQ_SET_LOG_BASE, area->offset);
}

int vhu_backend_client_set_log_fd(client *c, vhu_handle handle)
{
    return send_handle(c, VHU_REQ_SET_LOG_FD, handle);
}

/* --- rings --- */

int vhu_backend_client_set_vring_num(client *c, uint32_t ring, uint32_t num)
{
    if (num == 0 || num > VHU_MAX_RING_SIZE)
        return invalid(c, VHU_REQ_SET_VRING_NUM, "the number of descriptors is not 1 to 32768");
    return send_vring(c, VHU_REQ_SET_VRING_NUM, ring, num);
}

int vhu_backend_client_set_vring_addr(client *c, const vhu_vring_addr *addr)
{
    return send_message(
        c, &(message){.code = VHU_REQ_SET_VRING_ADDR, .payload = addr, .len = sizeof(*addr)});
}

int vhu_backend_client_set_vring_base(client *c, uint32_t ring, uint32_t base)
{
    return send_vring(c, VHU_REQ_SET_VRING_BASE, ring, base);
}

int vhu_backend_client_get_vring_base(client *c, uint32_t ring, uint32_t *base)
{
    const vhu_vring_state state = {.index = ring};

    return send_message(c, &(message){.code = VHU_REQ_GET_VRING_BASE,
                                      .payload = &state,
                                      .len = sizeof(state),
                                      .take = vhu__take_base,
                                      .out = base,
                                      .count = ring});
}

int vhu_backend_client_set_vring_event(client *c, uint32_t ring, vhu_vring_event which,
                                       vhu_handle handle)
{
    static const uint32_t codes[] = {VHU_REQ_SET_VRING_KICK, VHU_REQ_SET_VRING_CALL,
                                     VHU_REQ_SET_VRING_ERR};
    bool none = handle == VHU_NO_HANDLE;
    uint64_t value = ring | (none ? (uint64_t)VHU__WIRE_NO_HANDLE : 0);

    if ((size_t)which >= VHU__COUNT(codes))
        return VHU_EINVAL;
    if (ring >= VHU_MAX_RINGS)
        return invalid(c, codes[which], "the ring is not below 256");
    return send_message(c, &(message){.code = codes[which],
                                      .payload = &value,
                                      .len = sizeof(value),
                                      .handles = &handle,
                                      .num_handles = none ? 0 : 1});
}

int vhu_backend_client_set_vring_enable(client *c, uint32_t ring, bool enable)
{
    return send_vring(c, VHU_REQ_SET_VRING_ENABLE, ring, enable);
}

int vhu_backend_client_set_vring_endian(client *c, uint32_t ring, bool big_endian)
{
    return send_vring(c, VHU_REQ_SET_VRING_ENDIAN, ring, big_endian);
}

int vhu_backend_client_vring_kick(client *c, uint32_t ring)
{
    return send_vring(c, VHU_REQ_VRING_KICK, ring, 0);
}

/* All peers send the padded size. */
int vhu_backend_client_get_inflight_fd(client *c, vhu_inflight_area *area, vhu_handle *handle)
{
    uint8_t payload[VHU__WIRE_INFLIGHT_PADDED];

    vhu__wire_store_inflight(payload, area, sizeof(payload));
    *handle = VHU_NO_HANDLE;
    return send_message(c, &(message){.code = VHU_REQ_GET_INFLIGHT_FD,
                                      .payload = payload,
                                      .len = sizeof(payload),
                                      .take = vhu__take_inflight,
                                      .out = area,
                                      .also = handle});
}

int vhu_backend_client_set_inflight_fd(client *c, const vhu_inflight_area *area, vhu_handle handle)
{
    uint8_t payload[VHU__WIRE_INFLIGHT_PADDED];

    vhu__wire_store_inflight(payload, area, sizeof(payload));
    return send_message(c, &(message){.code = VHU_REQ_SET_INFLIGHT_FD,
                                      .payload = payload,
                                      .len = sizeof(payload),
                                      .handles = &handle,
                                      .num_handles = 1});
}

/* --- configuration --- */

static bool fits_config(uint32_t offset, uint32_t len)
{
    return offset <= VHU_MAX_CONFIG && len <= VHU_MAX_CONFIG - offset;
}

int vhu_backend_client_get_config(client *c, uint32_t offset, void *buf, uint32_t len)
{
    const vhu_config_header config = {.offset = offset, .size = len};
    uint8_t payload[VHU__WIRE_CONFIG_MAX];

    if (!fits_config(offset, len))
        return invalid(c, VHU_REQ_GET_CONFIG, "offset and length are over 4096");
    vhu__wire_store_config(payload, &config);
    memset(payload + VHU__WIRE_CONFIG_HEADER, 0, len);
    return send_message(c, &(message){.code = VHU_REQ_GET_CONFIG,
                                      .payload = payload,
                                      .len = VHU__WIRE_CONFIG_HEADER + len,
                                      .take = vhu__take_config,
                                      .out = buf,
                                      .count = offset});
}

int vhu_backend_client_set_config(client *c, uint32_t offset, const void *buf, uint32_t len,
                                  uint32_t flags)
{
    const vhu_config_header config = {.offset = offset, .size = len, .flags = flags};
    uint8_t payload[VHU__WIRE_CONFIG_MAX];

    if (!fits_config(offset, len))
        return invalid(c, VHU_REQ_SET_CONFIG, "offset and length are over 4096");
    vhu__wire_store_config(payload, &config);
    memcpy(payload + VHU__WIRE_CONFIG_HEADER, buf, len);
    return send_message(c, &(message){.code = VHU_REQ_SET_CONFIG,
                                      .payload = payload,
                                      .len = VHU__WIRE_CONFIG_HEADER + len});
}

int vhu_backend_client_create_crypto_session(client *c, const void *params, uint32_t len,
                                             int64_t *id)
{
    return send_message(c, &(message){.code = VHU_REQ_CREATE_CRYPTO_SESSION,
                                      .payload = params,
                                      .len = len,
                                      .take = vhu__take_session,
                                      .out = id});
}

int vhu_backend_client_close_crypto_session(client *c, uint64_t id)
{
    return send_u64(c, VHU_REQ_CLOSE_CRYPTO_SESSION, id);
}

/* --- network --- */

int vhu_backend_client_send_rarp(client *c, const uint8_t mac[6])
{
    uint8_t payload[8] = {0};

    memcpy(payload, mac, 6);
    return send_message(
        c, &(message){.code = VHU_REQ_SEND_RARP, .payload = payload, .len = sizeof(payload)});
}

int vhu_backend_client_net_set_mtu(client *c, uint64_t mtu)
{
    return send_u64(c, VHU_REQ_NET_SET_MTU, mtu);
}

/* --- other channels --- */

int vhu_backend_client_set_backend_req_fd(client *c, vhu_handle handle)
{
    return send_handle(c, VHU_REQ_SET_BACKEND_REQ_FD, handle);
}

int vhu_backend_client_gpu_set_socket(client *c, vhu_handle handle)
{
    return send_handle(c, VHU_REQ_GPU_SET_SOCKET, handle);
}

int vhu_backend_client_get_shared_object(client *c, const uint8_t uuid[16], vhu_handle *handle)
{
    *handle = VHU_NO_HANDLE;
    return send_message(c, &(message){.code = VHU_REQ_GET_SHARED_OBJECT,
                                      .payload = uuid,
                                      .len = 16,
                                      .take = vhu__take_handle,
                                      .out = handle});
}

int vhu_backend_client_get_shmem_config(client *c, vhu_shmem_config *config)
{
    return send_message(
        c, &(message){.code = VHU_REQ_GET_SHMEM_CONFIG, .take = vhu__take_shmem, .out = config});
}

/* --- migration --- */

int vhu_backend_client_postcopy_advise(client *c, vhu_handle *uffd)
{
    *uffd = VHU_NO_HANDLE;
    return send_message(
        c, &(message){.code = VHU_REQ_POSTCOPY_ADVISE, .take = vhu__take_handle, .out = uffd});
}

/* Some back-ends answer this in any case: so ask. */
int vhu_backend_client_postcopy_listen(client *c)
{
    return send_message(c, &(message){.code = VHU_REQ_POSTCOPY_LISTEN,
                                      .ask = VHU__ASK_ALWAYS,
                                      .settles = c->postcopy ? NULL : &c->postcopy,
                                      .value = VHU_REQ_POSTCOPY_LISTEN});
}

int vhu_backend_client_postcopy_end(client *c)
{
    return send_message(c, &(message){.code = VHU_REQ_POSTCOPY_END,
                                      .take = vhu__take_ack,
                                      .settles = &c->postcopy,
                                      .value = 0});
}

int vhu_backend_client_set_device_state_fd(client *c, const vhu_device_state *state,
                                           vhu_handle handle, vhu_handle *reply)
{
    *reply = VHU_NO_HANDLE;
    return send_message(c, &(message){.code = VHU_REQ_SET_DEVICE_STATE_FD,
                                      .payload = state,
                                      .len = sizeof(*state),
                                      .handles = &handle,
                                      .num_handles = 1,
                                      .take = vhu__take_state,
                                      .also = reply});
}

int vhu_backend_client_check_device_state(client *c)
{
    return send_message(c, &(message){.code = VHU_REQ_CHECK_DEVICE_STATE, .take = vhu__take_ack});
}

int vhu_backend_client_private_request(client *c, uint32_t request, const void *payload,
                                       uint32_t len, const vhu_handle *handles, size_t num_handles)
{
    if (vhu__frontend_request(request))
        return invalid(c, request, "it is not private");
    return send_message(c, &(message){.code = request,
                                      .payload = payload,
                                      .len = len,
                                      .handles = handles,
                                      .num_handles = num_handles});
}
