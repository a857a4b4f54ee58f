/* SPDX-License-Identifier: BSD-3-Clause */
/* What a back-end offers, by its ops and its wishes, and what may be negotiated of it. */
#include "backend_server.h"

#define OP(name) offsetof(vhu_backend_ops, name)

/* A feature is allowed if all its ops are there; BACKEND_REQ stands for requests of our own. */
static const struct {
    vhu_protocol_feature feature;
    size_t op;
} needs[] = {
    {VHU_PF_MQ, OP(get_queue_num)},
    {VHU_PF_LOG_SHMFD, OP(set_log_base)},
    {VHU_PF_RARP, OP(send_rarp)},
    {VHU_PF_NET_MTU, OP(net_set_mtu)},
    {VHU_PF_BACKEND_REQ, OP(set_backend_channel)},
    {VHU_PF_CROSS_ENDIAN, OP(set_vring_endian)},
    {VHU_PF_CRYPTO_SESSION, OP(create_crypto_session)},
    {VHU_PF_CRYPTO_SESSION, OP(close_crypto_session)},
    {VHU_PF_PAGEFAULT, OP(postcopy_advise)},
    {VHU_PF_PAGEFAULT, OP(postcopy_listen)},
    {VHU_PF_PAGEFAULT, OP(postcopy_mapped)},
    {VHU_PF_PAGEFAULT, OP(postcopy_end)},
    {VHU_PF_CONFIG, OP(get_config)},
    {VHU_PF_BACKEND_SEND_FD, OP(set_backend_channel)},
    {VHU_PF_HOST_NOTIFIER, OP(set_backend_channel)},
    {VHU_PF_INFLIGHT_SHMFD, OP(get_inflight_fd)},
    {VHU_PF_INFLIGHT_SHMFD, OP(set_inflight_fd)},
    {VHU_PF_RESET_DEVICE, OP(reset_device)},
    {VHU_PF_INBAND_NOTIFICATIONS, OP(vring_kick)},
    {VHU_PF_INBAND_NOTIFICATIONS, OP(set_backend_channel)},
    {VHU_PF_CONFIGURE_MEM_SLOTS, OP(get_max_mem_slots)},
    {VHU_PF_CONFIGURE_MEM_SLOTS, OP(add_mem_reg)},
    {VHU_PF_CONFIGURE_MEM_SLOTS, OP(rem_mem_reg)},
    {VHU_PF_STATUS, OP(set_status)},
    {VHU_PF_STATUS, OP(get_status)},
    {VHU_PF_XEN_MMAP, OP(set_xen_mem_table)},
    {VHU_PF_XEN_MMAP, OP(add_xen_mem_reg)},
    {VHU_PF_SHARED_OBJECT, OP(get_shared_object)},
    {VHU_PF_DEVICE_STATE, OP(set_device_state_fd)},
    {VHU_PF_DEVICE_STATE, OP(check_device_state)},
    {VHU_PF_GET_VRING_BASE_INFLIGHT, OP(suspend_vring)},
    {VHU_PF_GET_VRING_BASE_INFLIGHT, OP(get_inflight_fd)},
    {VHU_PF_GET_VRING_BASE_INFLIGHT, OP(set_inflight_fd)},
    {VHU_PF_GPA_ADDRESSES, OP(set_vring_guest_addr)},
    {VHU_PF_SHMEM, OP(get_shmem_config)},
};

static uint64_t allowed(const vhu_backend_ops *ops, uint64_t wanted)
{
    uint64_t known = 0;

    for (size_t i = 0; i < VHU__COUNT(needs); i++)
        known |= VHU_BIT(needs[i].feature);
    wanted &= known;
    for (size_t i = 0; i < VHU__COUNT(needs); i++) {
        if (!vhu__has_op(ops, needs[i].op))
            wanted &= ~VHU_BIT(needs[i].feature);
    }
    return wanted | VHU_BIT(VHU_PF_REPLY_ACK);
}

static int offered_features(vhu_backend_server *b, uint64_t *features)
{
    int r = b->ops.get_features(b->self, features);

    *features |= VHU_BIT(VHU_F_PROTOCOL_FEATURES);
    if (!b->ops.set_log_base)
        *features &= ~VHU_BIT(VHU_F_LOG_ALL);
    if (!b->ops.iotlb_msg)
        *features &= ~VHU_BIT(VHU_F_ACCESS_PLATFORM);
    return r;
}

int vhu__backend_get_features(vhu_backend_server *b)
{
    b->base.args.u64 = 0;
    return offered_features(b, &b->base.args.u64);
}

int vhu__backend_set_features(vhu_backend_server *b)
{
    uint64_t offered = 0;
    uint64_t features = b->base.args.u64 = vhu__wire_load_u64(b->base.payload);
    int r = b->ops.get_features ? offered_features(b, &offered) : 0;

    if (r < 0)
        return r;
    if (features & ~offered)
        return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "bits 0x%llx were not offered",
                                  (unsigned long long)(features & ~offered));
    return b->ops.set_features(b->self, features);
}

static int offered_protocol_features(vhu_backend_server *b, uint64_t *features)
{
    int r = 0;

    *features = allowed(&b->ops, UINT64_MAX);
    if (b->ops.get_protocol_features)
        r = b->ops.get_protocol_features(b->self, features);
    *features = allowed(&b->ops, *features);
    return r;
}

int vhu__backend_get_protocol_features(vhu_backend_server *b)
{
    return offered_protocol_features(b, &b->base.args.u64);
}

int vhu__backend_set_protocol_features(vhu_backend_server *b)
{
    const uint64_t inband_needs = VHU_BIT(VHU_PF_BACKEND_REQ) | VHU_BIT(VHU_PF_REPLY_ACK);
    uint64_t features = b->base.args.u64 = vhu__wire_load_u64(b->base.payload);
    uint64_t offered;
    int r = offered_protocol_features(b, &offered);

    if (r < 0)
        return r;
    if (features & ~offered)
        return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "bits 0x%llx were not offered",
                                  (unsigned long long)(features & ~offered));
    if ((features & VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS)) &&
        (features & inband_needs) != inband_needs)
        return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE,
                                  "INBAND_NOTIFICATIONS without BACKEND_REQ and REPLY_ACK");
    if ((features & VHU_BIT(VHU_PF_GET_VRING_BASE_INFLIGHT)) &&
        !(features & VHU_BIT(VHU_PF_INFLIGHT_SHMFD)))
        return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE,
                                  "GET_VRING_BASE_INFLIGHT without INFLIGHT_SHMFD");
    return b->ops.set_protocol_features ? b->ops.set_protocol_features(b->self, features) : 0;
}
