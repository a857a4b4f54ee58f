/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: rings set up, started and stopped, by one back-end after another. */
#include <string.h>

#include "atomic.h"
#include "endian.h"
#include "packed_ring.h"
#include "remote_internal.h"

/* --- set-up --- */

static bool is_packed(const vhu_remote *remote)
{
    return (remote->features & VHU_BIT(VHU_F_RING_PACKED)) != 0;
}

/* A driver before 1.0 writes in the guest's byte order, as the VMM has told it. */
static bool is_legacy(const vhu_remote *remote)
{
    return (remote->features & VHU_BIT(VHU_F_VERSION_1)) == 0;
}

static uint64_t user_addr(const vhu_remote *remote, uint64_t guest_addr, uint64_t bytes)
{
    return (uint64_t)(uintptr_t)vhu_memory_at(remote->memory, guest_addr, bytes);
}

/* Where the parts are for the back-end, or that one is nowhere. */
static int locate(vhu_remote *remote, uint32_t ring, const vhu_ring_layout *l, vhu_vring_addr *out)
{
    const bool packed = is_packed(remote);
    const uint64_t avail = packed ? sizeof(vhu__packed_event) : vhu__avail_bytes(l->num);
    const uint64_t used = packed ? sizeof(vhu__packed_event) : vhu__used_bytes(l->num);

    *out = (vhu_vring_addr){.index = ring,
                            .flags = remote->log ? VHU_VRING_F_LOG : 0,
                            .log = remote->log ? l->used : 0,
                            .desc = l->desc,
                            .avail = l->avail,
                            .used = l->used};
    /* The back-end asks where they are, now and whenever that changes. */
    if (vhu__remote_has_iommu(remote))
        return 0;
    out->desc = user_addr(remote, l->desc, vhu__desc_bytes(l->num));
    out->avail = user_addr(remote, l->avail, avail);
    out->used = user_addr(remote, l->used, used);
    if (out->desc && out->avail && out->used)
        return 0;
    return vhu__remote_fail(remote, VHU_EFAULT, "ring %u does not lie in memory", ring);
}

/* What the layout allows, as features choose it. */
static int check_layout(vhu_remote *remote, uint32_t ring, const vhu_ring_layout *l, uint32_t base)
{
    const bool packed = is_packed(remote);
    vhu_vring_addr addr;

    if (l->num == 0 || l->num > VHU_MAX_RING_SIZE || (!packed && !vhu__is_power_of_2(l->num)))
        return vhu__remote_fail(remote, VHU_EINVAL, "ring %u cannot have %u descriptors", ring,
                                l->num);
    if (l->desc % 16 != 0 || l->avail % (packed ? 4 : 2) != 0 || l->used % 4 != 0)
        return vhu__remote_fail(remote, VHU_EINVAL, "ring %u is not aligned", ring);
    if (!packed && base > UINT16_MAX)
        return vhu__remote_fail(remote, VHU_EINVAL, "ring %u cannot have the base %u", ring, base);
    return locate(remote, ring, l, &addr);
}

int vhu_remote_set_ring(vhu_remote *remote, uint32_t ring, const vhu_ring_layout *layout,
                        uint32_t base)
{
    vhu__remote_ring *r;
    int status;

    if (ring >= remote->options.num_rings)
        return vhu__remote_fail(remote, VHU_EINVAL, "there is no ring %u", ring);
    if (remote->running)
        return vhu__remote_fail(remote, VHU_ESTATE, "ring %u is changed while the device runs",
                                ring);
    status = check_layout(remote, ring, layout, base);
    if (status < 0)
        return status;
    r = &remote->rings[ring];
    for (size_t i = 0; i < VHU__COUNT(r->events); i++) {
        if (!r->events[i].own)
            status = vhu_event_new(&r->events[i].own);
        if (status < 0)
            return vhu__remote_fail(remote, status, "ring %u: no event", ring);
    }
    /* The area was made for the largest ring. */
    if (layout->num > remote->inflight.queue_size)
        vhu__remote_drop_inflight(remote);
    r->layout = *layout;
    r->base = base;
    return 0;
}

int vhu_remote_set_ring_base(vhu_remote *remote, uint32_t ring, uint32_t base)
{
    vhu__remote_ring *r;
    int status;

    if (ring >= remote->options.num_rings || remote->rings[ring].layout.num == 0)
        return vhu__remote_fail(remote, VHU_EINVAL, "there is no ring %u", ring);
    r = &remote->rings[ring];
    if (vhu__remote_runs(remote, ring))
        return vhu__remote_fail(remote, VHU_ESTATE, "ring %u runs", ring);
    status = check_layout(remote, ring, &r->layout, base);
    if (status == 0)
        r->base = base;
    return status;
}

uint32_t vhu_remote_ring_base(const vhu_remote *remote, uint32_t ring)
{
    return ring < remote->options.num_rings ? remote->rings[ring].base : 0;
}

/* --- one ring --- */

bool vhu__remote_runs(const vhu_remote *remote, uint32_t ring)
{
    return remote->rings[ring].started && vhu_remote_is_connected(remote);
}

/* Rings of a back-end without the extension know nothing of enabling: they always are. */
static bool can_enable(const vhu_remote *remote)
{
    return (vhu_backend_client_features(remote->client) & VHU_BIT(VHU_F_PROTOCOL_FEATURES)) != 0;
}

static int check_enable(vhu_remote *remote, uint32_t ring, bool enable)
{
    if (enable || can_enable(remote))
        return 0;
    return vhu__remote_fail(remote, VHU_ENOSYS, "ring %u: the back-end cannot disable rings", ring);
}

static int send_enable(vhu_remote *remote, uint32_t ring, bool enable)
{
    if (!can_enable(remote))
        return check_enable(remote, ring, enable);
    return vhu__remote_sent(remote,
                            vhu_backend_client_set_vring_enable(remote->client, ring, enable));
}

int vhu_remote_enable_ring(vhu_remote *remote, uint32_t ring, bool enable)
{
    int r = 0;

    if (ring >= remote->options.num_rings)
        return vhu__remote_fail(remote, VHU_EINVAL, "there is no ring %u", ring);
    if (vhu__remote_runs(remote, ring))
        r = send_enable(remote, ring, enable);
    if (r == 0)
        remote->rings[ring].enabled = enable;
    return r;
}

/* What a back-end is not told is that a ring is in the order of this host. */
static int check_order(vhu_remote *remote, uint32_t ring)
{
    if (!is_legacy(remote) || remote->rings[ring].layout.big_endian == VHU__BIG_ENDIAN ||
        vhu__remote_has(remote, VHU_PF_CROSS_ENDIAN))
        return 0;
    return vhu__remote_fail(remote, VHU_ENOSYS,
                            "ring %u: the back-end knows no rings of the other byte order", ring);
}

/* Also if it is the host's, since the driver before may have had the other. */
static int send_order(vhu_remote *remote, uint32_t ring)
{
    if (!is_legacy(remote) || !vhu__remote_has(remote, VHU_PF_CROSS_ENDIAN))
        return 0;
    return vhu_backend_client_set_vring_endian(remote->client, ring,
                                               remote->rings[ring].layout.big_endian);
}

/* A back-end may have gone between writing to a ring and logging that. */
static void mark_ring(vhu_remote *remote, const vhu_ring_layout *l)
{
    const bool packed = is_packed(remote);

    if (packed)
        vhu__remote_mark(remote, l->desc, vhu__desc_bytes(l->num));
    vhu__remote_mark(remote, l->used, packed ? sizeof(vhu__packed_event) : vhu__used_bytes(l->num));
}

static int start_ring(vhu_remote *remote, uint32_t index, uint32_t base)
{
    static const vhu_vring_event events[] = {VHU_VRING_CALL, VHU_VRING_ERR, VHU_VRING_KICK};
    vhu__remote_ring *ring = &remote->rings[index];
    vhu_backend_client *client = remote->client;
    vhu_vring_addr addr;
    int r = check_layout(remote, index, &ring->layout, base);

    if (r == 0)
        r = locate(remote, index, &ring->layout, &addr);
    if (r == 0)
        r = check_enable(remote, index, ring->enabled);
    if (r == 0)
        r = check_order(remote, index);
    if (r < 0)
        return r;
    r = vhu_backend_client_set_vring_num(client, index, ring->layout.num);
    if (r == 0)
        r = vhu_backend_client_set_vring_base(client, index, base);
    if (r == 0)
        r = send_order(remote, index);
    if (r == 0)
        r = vhu_backend_client_set_vring_addr(client, &addr);
    vhu__remote_sent(remote, r);
    if (r < 0)
        return r;
    mark_ring(remote, &ring->layout);
    /* The kick starts it, whether or not we hear of it. */
    ring->started = true;
    for (size_t i = 0; r == 0 && i < VHU__COUNT(events); i++)
        r = vhu__remote_send_event(remote, index, events[i]);
    return r == 0 ? send_enable(remote, index, ring->enabled) : r;
}

int vhu__remote_resend_addrs(vhu_remote *remote)
{
    int r = 0;

    for (uint32_t i = 0; r == 0 && i < remote->options.num_rings; i++) {
        vhu_vring_addr addr;

        if (!remote->rings[i].started)
            continue;
        r = locate(remote, i, &remote->rings[i].layout, &addr);
        if (r == 0)
            r = vhu__remote_sent(remote, vhu_backend_client_set_vring_addr(remote->client, &addr));
    }
    return r;
}

/*
 * Where to go on if the back-end does not tell. A packed ring has no index in memory: its driver
 * may know (vhu_remote_set_ring_base()), or the next back-end, by the in-flight area.
 */
static uint32_t lost_base(const vhu_remote *remote, const vhu__remote_ring *ring)
{
    const uint16_t *at;
    uint16_t idx;

    if (is_packed(remote))
        return ring->base;
    at = vhu__remote_at(remote, ring->layout.used + offsetof(vhu__used, idx), sizeof(*at));
    if (!at)
        return 0;
    idx = vhu__load_acquire_u16(at);
    return is_legacy(remote) && ring->layout.big_endian ? vhu__be16(idx) : vhu__le16(idx);
}

/* It ends without a word of the back-end's: no one else logs what that did last. */
static uint32_t lose_ring(vhu_remote *remote, const vhu__remote_ring *ring)
{
    mark_ring(remote, &ring->layout);
    return lost_base(remote, ring);
}

/* Some back-ends (DPDK's) tell only one half of a packed ring's base, with nothing out. */
static int get_base(vhu_remote *remote, uint32_t index, uint32_t *base)
{
    int r =
        vhu__remote_sent(remote, vhu_backend_client_get_vring_base(remote->client, index, base));

    if (r < 0)
        return r;
    if (is_packed(remote))
        *base |= *base >> 16 ? 0 : *base << 16;
    else if (*base > UINT16_MAX)
        return vhu__remote_fail(remote, VHU_EREFUSED,
                                "GET_VRING_BASE: ring %u: no split ring's base", index);
    return 0;
}

/*
 * Whatever comes of it: not started any more, and with a base to go on from, unless the start is
 * what is undone.
 */
static int stop_ring(vhu_remote *remote, uint32_t index, bool undo)
{
    vhu__remote_ring *ring = &remote->rings[index];
    uint32_t base;
    int r;

    if (!ring->started)
        return 0;
    ring->started = false;
    if (can_enable(remote))
        send_enable(remote, index, false);
    r = get_base(remote, index, &base);
    if (r < 0)
        base = lose_ring(remote, ring);
    if (!undo)
        ring->base = base;
    return r;
}

/* --- all rings --- */

/* As QEMU: with the features, when all runs, and 0 when nothing does any more. */
#define STATUS_FEATURES (VHU_STATUS_ACKNOWLEDGE | VHU_STATUS_DRIVER | VHU_STATUS_FEATURES_OK)
#define STATUS_RUNNING (STATUS_FEATURES | VHU_STATUS_DRIVER_OK)

static int send_status(vhu_remote *remote, uint64_t status)
{
    if (!vhu__remote_has(remote, VHU_PF_STATUS))
        return 0;
    return vhu__remote_sent(remote, vhu_backend_client_set_status(remote->client, status));
}

static int stop_rings(vhu_remote *remote, bool undo)
{
    int r = 0, status;

    for (uint32_t i = 0; i < remote->options.num_rings; i++) {
        status = stop_ring(remote, i, undo);
        r = r < 0 ? r : status;
    }
    status = send_status(remote, 0);
    return r < 0 ? r : status;
}

int vhu__remote_send_features(vhu_remote *remote)
{
    uint64_t features = remote->features | VHU_BIT(VHU_F_PROTOCOL_FEATURES) |
                        (remote->log ? VHU_BIT(VHU_F_LOG_ALL) : 0);
    int r = vhu__remote_sent(remote, vhu_backend_client_set_features(remote->client, features));

    if (r == 0 && remote->channel)
        vhu_frontend_server_set_features(remote->channel,
                                         vhu_backend_client_features(remote->client),
                                         vhu_backend_client_protocol_features(remote->client));
    return r;
}

/* As if it had not been tried, and with the words for why. */
static void undo_start(vhu_remote *remote, bool had_inflight)
{
    char why[sizeof(remote->error)];

    memcpy(why, remote->error, sizeof(why));
    stop_rings(remote, true);
    memcpy(remote->error, why, sizeof(why));
    if (!had_inflight)
        vhu__remote_drop_inflight(remote);
}

/* From the bases on or, after a back-end has gone in the middle of it, from the used indices. */
static int start_rings(vhu_remote *remote, bool resume)
{
    bool had_inflight = remote->inflight_handle != VHU_NO_HANDLE;
    int r = vhu__remote_send_features(remote);

    if (r == 0)
        r = send_status(remote, STATUS_FEATURES);
    if (r == 0)
        r = vhu__remote_share_memory(remote);
    if (r == 0)
        r = vhu__remote_share_log(remote);
    if (r == 0)
        r = vhu__remote_share_inflight(remote);
    for (uint32_t i = 0; r == 0 && i < remote->options.num_rings; i++) {
        const vhu__remote_ring *ring = &remote->rings[i];

        if (ring->layout.num > 0)
            r = start_ring(remote, i, resume ? lost_base(remote, ring) : ring->base);
    }
    if (r == 0)
        r = send_status(remote, STATUS_RUNNING);
    for (uint32_t i = 0; r == 0 && i < remote->options.num_rings; i++) {
        if (remote->rings[i].started)
            r = vhu__remote_kick(remote, i);
    }
    if (r < 0)
        undo_start(remote, had_inflight);
    return r;
}

int vhu__remote_resume(vhu_remote *remote)
{
    int r = start_rings(remote, true);

    for (uint32_t i = 0; r == 0 && i < remote->options.num_rings; i++) {
        if (remote->rings[i].started)
            vhu__remote_poke(remote, i, VHU_VRING_CALL);
    }
    return r;
}

static bool any_ring(const vhu_remote *remote)
{
    for (uint32_t i = 0; i < remote->options.num_rings; i++) {
        if (remote->rings[i].layout.num > 0)
            return true;
    }
    return false;
}

bool vhu_remote_is_running(const vhu_remote *remote)
{
    return remote->running;
}

int vhu_remote_start(vhu_remote *remote)
{
    int r;

    if (!vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "not connected");
    if (remote->running)
        return vhu__remote_fail(remote, VHU_ESTATE, "the device runs already");
    if (!any_ring(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "no ring was set");
    r = start_rings(remote, false);
    remote->running = r == 0;
    return r;
}

int vhu_remote_stop(vhu_remote *remote)
{
    if (!remote->running)
        return vhu__remote_fail(remote, VHU_ESTATE, "the device does not run");
    remote->running = false;
    if (remote->client)
        return stop_rings(remote, false);
    for (uint32_t i = 0; i < remote->options.num_rings; i++) {
        if (remote->rings[i].layout.num > 0)
            remote->rings[i].base = lose_ring(remote, &remote->rings[i]);
    }
    return 0;
}

int vhu_remote_reset(vhu_remote *remote)
{
    int stopped = remote->running ? vhu_remote_stop(remote) : 0;
    int r = 0;

    /* A ring that would not stop is all the more reason. */
    if (vhu_remote_is_connected(remote) && vhu__remote_has(remote, VHU_PF_RESET_DEVICE))
        r = vhu__remote_sent(remote, vhu_backend_client_reset_device(remote->client));
    vhu__remote_drop_pieces(remote);
    for (uint32_t i = 0; i < remote->options.num_rings; i++)
        remote->rings[i].base = is_packed(remote) ? VHU_PACKED_RING_BASE : 0;
    remote->features = remote->offered;
    remote->acknowledged = false;
    vhu__remote_drop_inflight(remote);
    return stopped < 0 ? stopped : r;
}
