/* SPDX-License-Identifier: BSD-3-Clause */
/* What a back-end answers: each kind of reply checked, and stored where the caller wants it. */
#include <string.h>

#include "backend_client_internal.h"
#include "wire.h"

/* Of the u64 that answers SET_DEVICE_STATE_FD. */
#define STATE_ERROR UINT64_C(0xff)

static bool is(const vhu__reply *reply, size_t size, size_t num_handles)
{
    return reply->size == size && reply->num_handles == num_handles;
}

int vhu__take_u64(const vhu__call *call, const vhu__reply *reply)
{
    if (!is(reply, 8, 0))
        return VHU_EINVALID_MESSAGE;
    *(uint64_t *)call->out = vhu__wire_load_u64(reply->payload);
    return 0;
}

/* A number that is remembered, too: what is acknowledged later is masked by it. */
int vhu__take_offer(const vhu__call *call, const vhu__reply *reply)
{
    int r = vhu__take_u64(call, reply);

    if (r == 0)
        *(uint64_t *)call->also = *(uint64_t *)call->out;
    return r;
}

/* A reply that says nothing but that it is done; its size differs from peer to peer. */
int vhu__take_any(const vhu__call *call, const vhu__reply *reply)
{
    (void)call;
    return reply->num_handles == 0 ? 0 : VHU_EINVALID_MESSAGE;
}

int vhu__take_base(const vhu__call *call, const vhu__reply *reply)
{
    vhu_vring_state state;

    if (!is(reply, sizeof(state), 0))
        return VHU_EINVALID_MESSAGE;
    vhu__wire_load_vring_state(&state, reply->payload);
    if (state.index != call->count)
        return VHU_EINVALID_MESSAGE;
    *(uint32_t *)call->out = state.num;
    return 0;
}

/* A failure is a reply of no bytes, of the header alone, or one that says that it has none. */
int vhu__take_config(const vhu__call *call, const vhu__reply *reply)
{
    uint32_t len = call->asked - VHU__WIRE_CONFIG_HEADER;
    vhu_config_header config;

    if (is(reply, 0, 0) || (len > 0 && is(reply, VHU__WIRE_CONFIG_HEADER, 0)))
        return VHU_EREFUSED;
    if (!is(reply, call->asked, 0))
        return VHU_EINVALID_MESSAGE;
    memcpy(&config, reply->payload, sizeof(config));
    if (config.size == 0 && len > 0)
        return VHU_EREFUSED;
    /* Some set flags of their own. */
    if (config.offset != call->count || config.size != len)
        return VHU_EINVALID_MESSAGE;
    memcpy(call->out, reply->payload + VHU__WIRE_CONFIG_HEADER, len);
    return 0;
}

int vhu__take_session(const vhu__call *call, const vhu__reply *reply)
{
    int64_t id;

    if (reply->size < sizeof(id) || reply->num_handles != 0)
        return VHU_EINVALID_MESSAGE;
    memcpy(&id, reply->payload, sizeof(id));
    if (id < 0)
        return VHU_EREFUSED;
    *(int64_t *)call->out = id;
    return 0;
}

static void keep_handle(vhu_handle *out, const vhu__reply *reply)
{
    *out = reply->handles[0];
    reply->handles[0] = VHU_NO_HANDLE;
}

/* A reply of nothing inside, or of the question again. */
int vhu__take_handle(const vhu__call *call, const vhu__reply *reply)
{
    if (reply->size != 0 && reply->size != call->asked)
        return VHU_EINVALID_MESSAGE;
    if (reply->num_handles == 0)
        return VHU_EREFUSED;
    if (reply->num_handles != 1)
        return VHU_EINVALID_MESSAGE;
    keep_handle(call->out, reply);
    return 0;
}

int vhu__take_shmem(const vhu__call *call, const vhu__reply *reply)
{
    if (!is(reply, sizeof(vhu_shmem_config), 0))
        return VHU_EINVALID_MESSAGE;
    memcpy(call->out, reply->payload, sizeof(vhu_shmem_config));
    return 0;
}

int vhu__take_inflight(const vhu__call *call, const vhu__reply *reply)
{
    vhu_inflight_area area;

    if (reply->size != VHU__WIRE_INFLIGHT && reply->size != VHU__WIRE_INFLIGHT_PADDED)
        return VHU_EINVALID_MESSAGE;
    vhu__wire_load_inflight(&area, reply->payload);
    if (area.mmap_size == 0)
        return VHU_EREFUSED;
    if (reply->num_handles != 1)
        return VHU_EINVALID_MESSAGE;
    *(vhu_inflight_area *)call->out = area;
    keep_handle(call->also, reply);
    return 0;
}

/* Either a failure, or the back-end's own handle, or the one that it was given. */
int vhu__take_state(const vhu__call *call, const vhu__reply *reply)
{
    uint64_t value;

    if (reply->size != sizeof(value))
        return VHU_EINVALID_MESSAGE;
    value = vhu__wire_load_u64(reply->payload);
    if (value & STATE_ERROR)
        return reply->num_handles == 0 ? VHU_EREFUSED : VHU_EINVALID_MESSAGE;
    if (reply->num_handles != (value & VHU__WIRE_NO_HANDLE ? 0u : 1u))
        return VHU_EINVALID_MESSAGE;
    if (reply->num_handles == 1)
        keep_handle(call->also, reply);
    return 0;
}

/* In postcopy: the same regions, with the back-end's addresses. */
int vhu__take_table(const vhu__call *call, const vhu__reply *reply)
{
    vhu_mem_region *regions = call->out;
    vhu_mem_region answer[VHU_MAX_TABLE_REGIONS];
    const char *why;
    uint32_t n;

    if (reply->num_handles != 0 || reply->size < 8 ||
        !vhu__wire_load_table(answer, &n, reply->payload, reply->size, &why) || n != call->count)
        return VHU_EINVALID_MESSAGE;
    for (uint32_t i = 0; i < n; i++) {
        if (answer[i].guest_addr != regions[i].guest_addr || answer[i].size != regions[i].size)
            return VHU_EINVALID_MESSAGE;
    }
    for (uint32_t i = 0; i < n; i++)
        regions[i].user_addr = answer[i].user_addr;
    return 0;
}

int vhu__take_region(const vhu__call *call, const vhu__reply *reply)
{
    vhu_mem_region *region = call->out;
    vhu_mem_region answer;
    const char *why;

    if (!is(reply, VHU__WIRE_REGION, 0) || !vhu__wire_load_region(&answer, reply->payload, &why) ||
        answer.guest_addr != region->guest_addr || answer.size != region->size)
        return VHU_EINVALID_MESSAGE;
    region->user_addr = answer.user_addr;
    return 0;
}
