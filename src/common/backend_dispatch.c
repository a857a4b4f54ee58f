/* SPDX-License-Identifier: BSD-3-Clause */
/* A handler for each front-end request: payload to arguments, op, status. No input or output. */
#include <string.h>

#include "backend_server.h"

typedef struct vhu_backend_server backend;

/* --- help for handlers --- */

static int refuse(backend *b, const char *why)
{
    return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "%s", why);
}

static uint64_t load_u64(backend *b)
{
    return b->base.args.u64 = vhu__wire_load_u64(b->base.payload);
}

static int load_vring(backend *b, vhu_vring_state **vring)
{
    return vhu__server_load_vring(&b->base, vring);
}

/* --- owner, reset, status --- */

static int get_queue_num(backend *b)
{
    return b->ops.get_queue_num(b->self, &b->base.args.u64);
}

static int set_owner(backend *b)
{
    return b->ops.set_owner ? b->ops.set_owner(b->self) : 0;
}

static int reset_owner(backend *b)
{
    return b->ops.reset_owner(b->self);
}

static int reset_device(backend *b)
{
    return b->ops.reset_device(b->self);
}

static int set_status(backend *b)
{
    return b->ops.set_status(b->self, load_u64(b));
}

static int get_status(backend *b)
{
    return b->ops.get_status(b->self, &b->base.args.u64);
}

/* --- memory --- */

/* In postcopy a memory message is answered with addresses, and another one ends it. */
static bool ends_mapping(const backend *b)
{
    return b->postcopy && !b->mapping_acked && b->base.header.size == 8;
}

static int end_mapping(backend *b)
{
    int r = vhu__server_check_handles(&b->base, 0);

    return r < 0 ? r : b->ops.postcopy_mapped(b->self);
}

static int set_mem_table(backend *b)
{
    vhu_mem_region *regions = b->base.args.table.region;
    uint32_t n;
    const char *why;
    int r;

    if (vhu__server_has(&b->base, VHU_PF_XEN_MMAP))
        return vhu__backend_set_xen_mem_table(b);
    if (ends_mapping(b))
        return end_mapping(b);
    if (!vhu__wire_load_table(regions, &n, b->base.payload, b->base.header.size, &why))
        return refuse(b, why);
    b->base.args.table.n = n;
    r = vhu__server_check_handles(&b->base, n);
    if (r < 0)
        return r;
    b->base.reply_regions = b->postcopy;
    return b->ops.set_mem_table(b->self, regions, n, b->base.handles);
}

static int load_region(backend *b, vhu_mem_region **region)
{
    bool xen = vhu__server_has(&b->base, VHU_PF_XEN_MMAP);
    const char *why;
    int r = vhu__server_check_size(&b->base, xen ? VHU__WIRE_XEN_REGION : VHU__WIRE_REGION);

    *region = &b->base.args.table.region[0];
    if (r == 0 && !vhu__wire_load_region(*region, b->base.payload, &why))
        r = refuse(b, why);
    return r;
}

static int add_mem_reg(backend *b)
{
    vhu_mem_region *region;
    int r;

    if (vhu__server_has(&b->base, VHU_PF_XEN_MMAP))
        return vhu__backend_add_xen_mem_reg(b);
    if (ends_mapping(b))
        return end_mapping(b);
    r = load_region(b, &region);
    if (r == 0)
        r = vhu__server_check_handles(&b->base, 1);
    if (r < 0)
        return r;
    b->base.reply_regions = b->postcopy;
    return b->ops.add_mem_reg(b->self, region, b->base.handles);
}

static int rem_mem_reg(backend *b)
{
    vhu_mem_region *region;
    int r = load_region(b, &region);

    /* Some front-ends attach the region's handle here, too; it is closed unseen. */
    return r < 0 ? r : b->ops.rem_mem_reg(b->self, region);
}

static int get_max_mem_slots(backend *b)
{
    return b->ops.get_max_mem_slots(b->self, &b->base.args.u64);
}

static int iotlb_msg(backend *b)
{
    vhu_iotlb_msg *msg = &b->base.args.iotlb;
    const char *why;

    if (!vhu__wire_load_iotlb(msg, b->base.payload, &why))
        return refuse(b, why);
    return b->ops.iotlb_msg(b->self, msg);
}

/* --- dirty log --- */

static int set_log_base(backend *b)
{
    vhu_log_area *area = &b->base.args.log;
    bool shared = vhu__server_has(&b->base, VHU_PF_LOG_SHMFD);
    const char *why;
    int r = vhu__server_check_size(&b->base, shared ? 16 : 8);

    if (r == 0)
        r = vhu__server_check_handles(&b->base, shared ? 1 : 0);
    if (r < 0)
        return r;
    if (!shared)
        *area = (vhu_log_area){.offset = vhu__wire_load_u64(b->base.payload)};
    else if (!vhu__wire_load_log(area, b->base.payload, &why))
        return refuse(b, why);
    return b->ops.set_log_base(b->self, area, b->base.handles);
}

static int set_log_fd(backend *b)
{
    return b->ops.set_log_fd(b->self, b->base.handles);
}

/* --- rings --- */

static int set_vring_num(backend *b)
{
    vhu_vring_state *vring;
    int r = load_vring(b, &vring);

    if (r < 0)
        return r;
    if (vring->num == 0 || vring->num > VHU_MAX_RING_SIZE)
        return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "%u descriptors, not 1 to %u",
                                  vring->num, VHU_MAX_RING_SIZE);
    return b->ops.set_vring_num(b->self, vring->index, vring->num);
}

static int set_vring_addr(backend *b)
{
    vhu_vring_addr *addr = &b->base.args.addr;
    const char *why;
    int r;

    if (!vhu__wire_load_vring_addr(addr, b->base.payload, &why))
        return refuse(b, why);
    r = vhu__server_check_ring(&b->base, addr->index);
    if (r < 0)
        return r;
    if (vhu__server_has(&b->base, VHU_PF_GPA_ADDRESSES) &&
        !(b->base.features & VHU_BIT(VHU_F_ACCESS_PLATFORM)))
        return b->ops.set_vring_guest_addr(b->self, addr->index, addr);
    return b->ops.set_vring_addr(b->self, addr->index, addr);
}

static int set_vring_base(backend *b)
{
    vhu_vring_state *vring;
    int r = load_vring(b, &vring);

    return r < 0 ? r : b->ops.set_vring_base(b->self, vring->index, vring->num);
}

static int get_vring_base(backend *b)
{
    vhu_vring_state *vring;
    int r = load_vring(b, &vring);

    if (r < 0)
        return r;
    /* What came as the number is not looked at: some front-ends leave rubbish there. */
    if (vhu__server_has(&b->base, VHU_PF_GET_VRING_BASE_INFLIGHT))
        return b->ops.suspend_vring(b->self, vring->index, &vring->num);
    return b->ops.get_vring_base(b->self, vring->index, &vring->num);
}

static int set_vring_event(backend *b)
{
    static const vhu_vring_event events[] = {VHU_VRING_KICK, VHU_VRING_CALL, VHU_VRING_ERR};
    uint32_t ring;
    int r = vhu__server_check_ring_handle(&b->base, load_u64(b), &ring);

    if (r < 0)
        return r;
    return b->ops.set_vring_event(
        b->self, ring, events[b->base.header.request - VHU_REQ_SET_VRING_KICK], b->base.handles);
}

static int load_bool(backend *b, vhu_vring_state **vring)
{
    int r = load_vring(b, vring);

    if (r == 0 && (*vring)->num > 1)
        r = vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "%u is neither 0 nor 1",
                               (*vring)->num);
    return r;
}

static int set_vring_enable(backend *b)
{
    vhu_vring_state *vring;
    int r = load_bool(b, &vring);

    return r < 0 ? r : b->ops.set_vring_enable(b->self, vring->index, vring->num == 1);
}

static int set_vring_endian(backend *b)
{
    vhu_vring_state *vring;
    int r = load_bool(b, &vring);

    return r < 0 ? r : b->ops.set_vring_endian(b->self, vring->index, vring->num == 1);
}

static int vring_kick(backend *b)
{
    vhu_vring_state *vring;
    int r = load_vring(b, &vring);

    return r < 0 ? r : b->ops.vring_kick(b->self, vring->index);
}

/* With or without the padding at its end. */
static int load_inflight(backend *b)
{
    vhu__wire_load_inflight(&b->base.args.inflight, b->base.payload);
    return b->base.header.size == VHU__WIRE_INFLIGHT
               ? 0
               : vhu__server_check_size(&b->base, VHU__WIRE_INFLIGHT_PADDED);
}

static int get_inflight_fd(backend *b)
{
    int r = load_inflight(b);

    return r < 0 ? r
                 : b->ops.get_inflight_fd(b->self, &b->base.args.inflight, &b->base.reply_handle);
}

static int set_inflight_fd(backend *b)
{
    int r = load_inflight(b);

    return r < 0 ? r : b->ops.set_inflight_fd(b->self, &b->base.args.inflight, b->base.handles);
}

/* --- configuration --- */

static int get_config(backend *b)
{
    vhu_config_header *config = &b->base.args.config;
    uint8_t *bytes = vhu__server_reply(&b->base) + VHU__WIRE_CONFIG_HEADER;
    const char *why;

    if (!vhu__wire_load_config(config, b->base.payload, b->base.header.size, &why))
        return refuse(b, why);
    memset(bytes, 0, config->size);
    return b->ops.get_config(b->self, config->offset, bytes, config->size);
}

static int set_config(backend *b)
{
    vhu_config_header *config = &b->base.args.config;
    const char *why;

    if (!vhu__wire_load_config(config, b->base.payload, b->base.header.size, &why))
        return refuse(b, why);
    return b->ops.set_config(b->self, config->offset, b->base.payload + VHU__WIRE_CONFIG_HEADER,
                             config->size, config->flags);
}

static int create_crypto_session(backend *b)
{
    return b->ops.create_crypto_session(b->self, b->base.payload, b->base.header.size,
                                        &b->base.args.session);
}

static int close_crypto_session(backend *b)
{
    return b->ops.close_crypto_session(b->self, load_u64(b));
}

/* --- network --- */

static int send_rarp(backend *b)
{
    return b->ops.send_rarp(b->self, b->base.payload);
}

static int net_set_mtu(backend *b)
{
    uint64_t mtu = load_u64(b);

    if (mtu < 68 || mtu > 65535)
        return refuse(b, "the MTU is not 68 to 65535");
    return b->ops.net_set_mtu(b->self, mtu);
}

/* --- other channels --- */

static int set_backend_req_fd(backend *b)
{
    int r = vhu_conn_adopt_channel(&b->channel, b->base.handles, b->base.conn, NULL);

    if (r < 0)
        return vhu__server_refuse(&b->base, r, "the handle is no connected socket");
    return b->ops.set_backend_channel(b->self, &b->channel);
}

static int gpu_set_socket(backend *b)
{
    return b->ops.gpu_set_socket(b->self, b->base.handles);
}

static int get_shared_object(backend *b)
{
    return b->ops.get_shared_object(b->self, b->base.payload, &b->base.reply_handle);
}

static int get_shmem_config(backend *b)
{
    memset(&b->base.args.shmem, 0, sizeof(b->base.args.shmem));
    return b->ops.get_shmem_config(b->self, &b->base.args.shmem);
}

/* --- migration --- */

static int postcopy_advise(backend *b)
{
    return b->ops.postcopy_advise(b->self, &b->base.reply_handle);
}

static int postcopy_listen(backend *b)
{
    return b->ops.postcopy_listen(b->self);
}

static int postcopy_end(backend *b)
{
    return b->ops.postcopy_end(b->self);
}

static int set_device_state_fd(backend *b)
{
    vhu_device_state *state = &b->base.args.state;
    const char *why;

    if (!vhu__wire_load_device_state(state, b->base.payload, &why))
        return refuse(b, why);
    return b->ops.set_device_state_fd(b->self, state, b->base.handles, &b->base.reply_handle);
}

static int check_device_state(backend *b)
{
    return b->ops.check_device_state(b->self);
}

/* --- which is which --- */

static const struct {
    int (*handle)(backend *b);
    size_t op; /* without it the request is not supported */
} handlers[] = {
#define HANDLER(code, function, op) [VHU_REQ_##code] = {function, offsetof(vhu_backend_ops, op)}
    HANDLER(GET_FEATURES, vhu__backend_get_features, get_features),
    HANDLER(SET_FEATURES, vhu__backend_set_features, set_features),
    HANDLER(SET_OWNER, set_owner, size),
    HANDLER(RESET_OWNER, reset_owner, reset_owner),
    HANDLER(SET_MEM_TABLE, set_mem_table, set_mem_table),
    HANDLER(SET_LOG_BASE, set_log_base, set_log_base),
    HANDLER(SET_LOG_FD, set_log_fd, set_log_fd),
    HANDLER(SET_VRING_NUM, set_vring_num, set_vring_num),
    HANDLER(SET_VRING_ADDR, set_vring_addr, set_vring_addr),
    HANDLER(SET_VRING_BASE, set_vring_base, set_vring_base),
    HANDLER(GET_VRING_BASE, get_vring_base, get_vring_base),
    HANDLER(SET_VRING_KICK, set_vring_event, set_vring_event),
    HANDLER(SET_VRING_CALL, set_vring_event, set_vring_event),
    HANDLER(SET_VRING_ERR, set_vring_event, set_vring_event),
    HANDLER(GET_PROTOCOL_FEATURES, vhu__backend_get_protocol_features, size),
    HANDLER(SET_PROTOCOL_FEATURES, vhu__backend_set_protocol_features, size),
    HANDLER(GET_QUEUE_NUM, get_queue_num, get_queue_num),
    HANDLER(SET_VRING_ENABLE, set_vring_enable, set_vring_enable),
    HANDLER(SEND_RARP, send_rarp, send_rarp),
    HANDLER(NET_SET_MTU, net_set_mtu, net_set_mtu),
    HANDLER(SET_BACKEND_REQ_FD, set_backend_req_fd, set_backend_channel),
    HANDLER(IOTLB_MSG, iotlb_msg, iotlb_msg),
    HANDLER(SET_VRING_ENDIAN, set_vring_endian, set_vring_endian),
    HANDLER(GET_CONFIG, get_config, get_config),
    HANDLER(SET_CONFIG, set_config, set_config),
    HANDLER(CREATE_CRYPTO_SESSION, create_crypto_session, create_crypto_session),
    HANDLER(CLOSE_CRYPTO_SESSION, close_crypto_session, close_crypto_session),
    HANDLER(POSTCOPY_ADVISE, postcopy_advise, postcopy_advise),
    HANDLER(POSTCOPY_LISTEN, postcopy_listen, postcopy_listen),
    HANDLER(POSTCOPY_END, postcopy_end, postcopy_end),
    HANDLER(GET_INFLIGHT_FD, get_inflight_fd, get_inflight_fd),
    HANDLER(SET_INFLIGHT_FD, set_inflight_fd, set_inflight_fd),
    HANDLER(GPU_SET_SOCKET, gpu_set_socket, gpu_set_socket),
    HANDLER(RESET_DEVICE, reset_device, reset_device),
    HANDLER(VRING_KICK, vring_kick, vring_kick),
    HANDLER(GET_MAX_MEM_SLOTS, get_max_mem_slots, get_max_mem_slots),
    HANDLER(ADD_MEM_REG, add_mem_reg, add_mem_reg),
    HANDLER(REM_MEM_REG, rem_mem_reg, rem_mem_reg),
    HANDLER(SET_STATUS, set_status, set_status),
    HANDLER(GET_STATUS, get_status, get_status),
    HANDLER(GET_SHARED_OBJECT, get_shared_object, get_shared_object),
    HANDLER(SET_DEVICE_STATE_FD, set_device_state_fd, set_device_state_fd),
    HANDLER(CHECK_DEVICE_STATE, check_device_state, check_device_state),
    HANDLER(GET_SHMEM_CONFIG, get_shmem_config, get_shmem_config),
#undef HANDLER
};

int vhu__backend_dispatch(vhu__server *server)
{
    backend *b = (backend *)server;
    uint32_t code = server->header.request;

    if (!server->request)
        return vhu__server_private(server, b->ops.private_request, b->self);
    if (!vhu__has_op(&b->ops, handlers[code].op))
        return vhu__server_unsupported(server);
    return handlers[code].handle(b);
}

/* All that a request changes in the server waits until its op has succeeded, which may be later. */
void vhu__backend_settle(vhu__server *server, int status)
{
    backend *b = (backend *)server;

    vhu_conn_free(b->channel);
    b->channel = NULL;
    if (status < 0)
        return;
    switch (server->header.request) {
    case VHU_REQ_SET_FEATURES:
        server->features = server->args.u64;
        break;
    case VHU_REQ_SET_PROTOCOL_FEATURES:
        /* Holds from this very message on: it may ask for its own acknowledgement. */
        server->protocol_features = server->args.u64;
        break;
    case VHU_REQ_SET_MEM_TABLE:
    case VHU_REQ_ADD_MEM_REG:
        b->mapping_acked = !server->reply_regions;
        break;
    case VHU_REQ_POSTCOPY_LISTEN:
        b->postcopy = true;
        break;
    case VHU_REQ_POSTCOPY_END:
        b->postcopy = false;
        break;
    default:
        break;
    }
}
