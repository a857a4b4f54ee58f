/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit with a driver behind an IOMMU: translations as the back-end asks, or as they go. */
#include <inttypes.h>

#include "backend_client_internal.h"
#include "memory_internal.h"
#include "remote_internal.h"

bool vhu__remote_has_iommu(const vhu_remote *remote)
{
    return (remote->features & VHU_BIT(VHU_F_ACCESS_PLATFORM)) != 0;
}

/* Whether the back-end may know of any translation. */
static bool is_told(const vhu_remote *remote)
{
    return vhu_remote_is_connected(remote) &&
           (vhu_backend_client_features(remote->client) & VHU_BIT(VHU_F_ACCESS_PLATFORM)) != 0;
}

static bool is_mapping(const vhu_mapping *m)
{
    uint64_t last;

    return m->size > 0 && vhu__add_u64(m->iova, m->size - 1, &last) &&
           vhu__add_u64(m->guest_addr, m->size - 1, &last) && m->perm > 0 &&
           m->perm <= VHU_IOTLB_RW;
}

/* Whether it is one, and that of this address. */
static bool holds(const vhu_mapping *m, uint64_t iova)
{
    return is_mapping(m) && iova - m->iova < m->size;
}

/* The VMM's own word for it. */
static int translate(vhu_remote *remote, uint64_t iova, uint8_t perm, vhu_mapping *out)
{
    int r = remote->options.translate(remote->options.self, iova, perm, out);

    if (r < 0)
        return r;
    if (!holds(out, iova))
        return vhu__remote_fail(remote, VHU_EINVAL, "no mapping of 0x%" PRIx64, iova);
    return (out->perm & perm) == perm ? 0 : VHU_ENOENT;
}

/* How an announcement is sent. */
typedef int send_fn(vhu_backend_client *client, const vhu__request *request,
                    const vhu__message *message);

/*
 * Announce the part of a mapping that lies in the same region as the byte at `offset`. How many
 * bytes that are from there on, 0 if it lies in none; VHU_E* in *status.
 */
static uint64_t announce(vhu_remote *remote, const vhu_mapping *m, uint64_t offset, send_fn *send,
                         int *status)
{
    const uint64_t at = m->guest_addr + offset;
    vhu__window region;
    uint64_t here = vhu__memory_look(remote->memory, &region, at, m->size - offset);
    vhu_iotlb_msg msg = {.perm = m->perm, .type = VHU_IOTLB_UPDATE};
    uint64_t back;

    if (here == 0)
        return 0;
    back = at - (region.end - region.size);
    back = offset < back ? offset : back;
    msg.iova = m->iova + offset - back;
    msg.size = back + here;
    msg.user_addr = (uint64_t)(uintptr_t)vhu__window_at(&region, at) - back;
    /* The back-end uses it when it comes: there is nothing to wait for. */
    *status =
        vhu__remote_sent(remote, send(remote->client, vhu__frontend_request(VHU_REQ_IOTLB_MSG),
                                      &(vhu__message){.code = VHU_REQ_IOTLB_MSG,
                                                      .payload = &msg,
                                                      .len = sizeof(msg),
                                                      .ask = VHU__ASK_NEVER}));
    return here;
}

/* --- what the back-end says --- */

/* What the VMM does not have is not answered: the back-end's ring waits. */
int vhu__remote_answer_miss(vhu_remote *remote, const vhu_iotlb_msg *miss)
{
    vhu_mapping m = {0};
    int r = 0;

    if (!is_told(remote) || translate(remote, miss->iova, miss->perm, &m) < 0)
        return 0;
    announce(remote, &m, miss->iova - m.iova, vhu__backend_client_post, &r);
    return r;
}

/* --- what the VMM says --- */

int vhu_remote_map(vhu_remote *remote, const vhu_mapping *mapping)
{
    uint64_t offset = 0;
    int r = 0;

    if (!is_mapping(mapping))
        return vhu__remote_fail(remote, VHU_EINVAL, "no mapping: 0x%" PRIx64 " bytes at 0x%" PRIx64,
                                mapping->size, mapping->iova);
    if (!is_told(remote))
        return 0;
    while (r == 0 && offset < mapping->size) {
        uint64_t here = announce(remote, mapping, offset, vhu__backend_client_call, &r);

        if (here == 0)
            return vhu__remote_fail(remote, VHU_EFAULT, "0x%" PRIx64 " is mapped to no memory",
                                    mapping->iova + offset);
        offset += here;
    }
    return r;
}

int vhu_remote_unmap(vhu_remote *remote, uint64_t iova, uint64_t size)
{
    const vhu_iotlb_msg msg = {.iova = iova, .size = size, .type = VHU_IOTLB_INVALIDATE};
    uint64_t last;

    if (size == 0 || !vhu__add_u64(iova, size - 1, &last))
        return vhu__remote_fail(remote, VHU_EINVAL, "no range: 0x%" PRIx64 " bytes at 0x%" PRIx64,
                                size, iova);
    if (!is_told(remote))
        return 0;
    return vhu__remote_sent(remote, vhu_backend_client_iotlb_msg(remote->client, &msg));
}

uint64_t vhu__remote_look(const vhu_remote *remote, uint64_t addr, uint64_t len,
                          uint64_t *guest_addr)
{
    vhu_mapping m = {0};
    uint64_t offset;

    *guest_addr = addr;
    if (!vhu__remote_has_iommu(remote))
        return len;
    if (remote->options.translate(remote->options.self, addr, VHU_IOTLB_WO, &m) != 0 ||
        !holds(&m, addr))
        return 0;
    offset = addr - m.iova;
    *guest_addr = m.guest_addr + offset;
    return len < m.size - offset ? len : m.size - offset;
}

void *vhu__remote_at(const vhu_remote *remote, uint64_t addr, uint64_t len)
{
    uint64_t guest_addr;

    return vhu__remote_look(remote, addr, len, &guest_addr) == len
               ? vhu_memory_at(remote->memory, guest_addr, len)
               : NULL;
}
