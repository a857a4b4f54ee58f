/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: a back-end in memory whose pages the VMM is still to bring. */
#include "remote_internal.h"

static bool has_memory(const vhu_remote *remote)
{
    for (size_t i = 0; i < remote->num_regions; i++) {
        if (remote->regions[i].announced)
            return true;
    }
    return false;
}

int vhu__remote_enter_postcopy(vhu_remote *remote)
{
    vhu_handle userfault = VHU_NO_HANDLE;
    int r;

    if (!remote->postcopy.advised)
        return 0;
    if (!vhu__remote_has(remote, VHU_PF_PAGEFAULT))
        return vhu__remote_fail(remote, VHU_ENOSYS, "the back-end cannot wait for memory");
    r = vhu__remote_sent(remote, vhu_backend_client_postcopy_advise(remote->client, &userfault));
    if (r < 0)
        return r;
    r = remote->postcopy.advised(remote->postcopy_self, &userfault);
    vhu_handle_close(&userfault);
    if (r < 0)
        return vhu__remote_fail(remote, r, "the VMM does not take the back-end's faults");
    r = vhu__remote_sent(remote, vhu_backend_client_postcopy_listen(remote->client));
    remote->in_postcopy = r == 0;
    return r;
}

int vhu__remote_place(vhu_remote *remote, const vhu_mem_region *regions, size_t n)
{
    if (!remote->in_postcopy)
        return 0;
    for (size_t i = 0; i < n; i++)
        remote->postcopy.placed(remote->postcopy_self, regions[i].guest_addr, regions[i].size,
                                regions[i].user_addr);
    return vhu__remote_sent(remote, vhu_backend_client_mem_mapped(remote->client));
}

int vhu_remote_begin_postcopy(vhu_remote *remote, const vhu_postcopy_ops *ops, void *self)
{
    vhu_postcopy_ops copy = {.size = sizeof(copy)};
    int r = 0;

    if (remote->postcopy.advised)
        return vhu__remote_fail(remote, VHU_ESTATE, "postcopy has begun already");
    if (!ops || !vhu__copy_sized(&copy, sizeof(copy), ops) || !copy.advised || !copy.placed)
        return vhu__remote_fail(remote, VHU_EINVAL, "postcopy needs all of its ops");
    if (has_memory(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "the back-end has memory already");
    remote->postcopy = copy;
    remote->postcopy_self = self;
    if (vhu_remote_is_connected(remote))
        r = vhu__remote_enter_postcopy(remote);
    if (r < 0)
        remote->postcopy.advised = NULL;
    return r;
}

int vhu_remote_end_postcopy(vhu_remote *remote)
{
    bool tell = remote->in_postcopy && vhu_remote_is_connected(remote);

    if (!remote->postcopy.advised)
        return vhu__remote_fail(remote, VHU_ESTATE, "postcopy has not begun");
    remote->postcopy.advised = NULL;
    remote->in_postcopy = false;
    return tell ? vhu__remote_sent(remote, vhu_backend_client_postcopy_end(remote->client)) : 0;
}
