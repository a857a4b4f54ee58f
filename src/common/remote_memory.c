/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: guest memory, announced by slots or, to back-ends without them, as a table. */
#include <inttypes.h>
#include <string.h>

#include "os.h"
#include "remote_internal.h"

static bool by_slots(const vhu_remote *remote)
{
    return vhu__remote_has(remote, VHU_PF_CONFIGURE_MEM_SLOTS);
}

/* All regions but one, or all. */
static int send_table(vhu_remote *remote, const vhu__remote_region *without)
{
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_handle handles[VHU_MAX_TABLE_REGIONS];
    size_t n = 0;
    int r;

    for (size_t i = 0; i < remote->num_regions; i++) {
        if (&remote->regions[i] == without)
            continue;
        regions[n] = remote->regions[i].region;
        handles[n++] = remote->regions[i].handle;
    }
    r = vhu__remote_sent(remote,
                         vhu_backend_client_set_mem_table(remote->client, regions, n, handles));
    for (size_t i = 0; r == 0 && i < remote->num_regions; i++)
        remote->regions[i].announced = true;
    return r == 0 ? vhu__remote_place(remote, regions, n) : r;
}

static int add_slot(vhu_remote *remote, vhu__remote_region *region)
{
    vhu_mem_region copy = region->region;
    int r = vhu__remote_sent(remote,
                             vhu_backend_client_add_mem_reg(remote->client, &copy, region->handle));

    region->announced = r == 0;
    return r == 0 ? vhu__remote_place(remote, &copy, 1) : r;
}

int vhu__remote_share_memory(vhu_remote *remote)
{
    int r = 0;

    for (size_t i = 0; r == 0 && i < remote->num_regions; i++) {
        if (!remote->regions[i].announced)
            r = by_slots(remote) ? add_slot(remote, &remote->regions[i]) : send_table(remote, NULL);
    }
    remote->live = remote->live || r == 0;
    return r;
}

int vhu_remote_add_memory(vhu_remote *remote, const vhu_mem_region *region, vhu_handle handle)
{
    size_t max = remote->client ? remote->max_regions : VHU_MAX_MEM_SLOTS;
    vhu__remote_region *new = &remote->regions[remote->num_regions];
    vhu_handle copy;
    int r;

    if (remote->num_regions >= max)
        return vhu__remote_fail(remote, VHU_EOVERFLOW, "all of %zu memory slots are in use", max);
    r = os_handle_dup(handle, &copy);
    if (r < 0)
        return vhu__remote_fail(remote, r, "the memory's handle cannot be duplicated");
    r = vhu_memory_add_local(remote->memory, region, (void *)(uintptr_t)region->user_addr);
    if (r < 0) {
        vhu_handle_close(&copy);
        return vhu__remote_fail(remote, r, "memory at 0x%" PRIx64 ": %s", region->guest_addr,
                                vhu_strerror(r));
    }
    *new = (vhu__remote_region){.region = *region, .handle = copy};
    remote->num_regions++;
    r = vhu__remote_fit_log(remote);
    if (r == 0 && remote->live && vhu_remote_is_connected(remote))
        r = vhu__remote_share_memory(remote);
    if (r < 0) {
        remote->num_regions--;
        vhu_memory_remove(remote->memory, region);
        vhu_handle_close(&new->handle);
    }
    return r;
}

static vhu__remote_region *find(vhu_remote *remote, uint64_t guest_addr, uint64_t size)
{
    for (size_t i = 0; i < remote->num_regions; i++) {
        vhu__remote_region *r = &remote->regions[i];

        if (r->region.guest_addr == guest_addr && r->region.size == size)
            return r;
    }
    return NULL;
}

/* Whether a part of a ring is in the region; parts do not cross regions. */
static bool holds(const vhu_mem_region *region, const vhu_ring_layout *layout)
{
    return layout->desc - region->guest_addr < region->size ||
           layout->avail - region->guest_addr < region->size ||
           layout->used - region->guest_addr < region->size;
}

static bool is_in_use(const vhu_remote *remote, const vhu_mem_region *region)
{
    /* Then its parts may be anywhere, and move. */
    if (vhu__remote_has_iommu(remote))
        return false;
    for (uint32_t i = 0; remote->running && i < remote->options.num_rings; i++) {
        const vhu_ring_layout *layout = &remote->rings[i].layout;

        if (layout->num > 0 && holds(region, layout))
            return true;
    }
    return false;
}

static int withdraw(vhu_remote *remote, const vhu__remote_region *region)
{
    if (!region->announced || !vhu_remote_is_connected(remote))
        return 0;
    if (!by_slots(remote))
        return send_table(remote, region);
    return vhu__remote_sent(remote,
                            vhu_backend_client_rem_mem_reg(remote->client, &region->region));
}

int vhu_remote_remove_memory(vhu_remote *remote, uint64_t guest_addr, uint64_t size)
{
    vhu__remote_region *region = find(remote, guest_addr, size);
    vhu__remote_region *end = remote->regions + remote->num_regions;
    int r;

    if (!region)
        return vhu__remote_fail(remote, VHU_ENOENT, "no memory of that size at 0x%" PRIx64,
                                guest_addr);
    if (is_in_use(remote, &region->region))
        return vhu__remote_fail(remote, VHU_ESTATE, "a ring runs in the memory at 0x%" PRIx64,
                                guest_addr);
    r = withdraw(remote, region);
    if (r < 0)
        return r;
    vhu_memory_remove(remote->memory, &region->region);
    vhu_handle_close(&region->handle);
    memmove(region, region + 1, (size_t)(end - region - 1) * sizeof(*region));
    remote->num_regions--;
    return 0;
}

const vhu_memory *vhu_remote_memory(const vhu_remote *remote)
{
    return remote->memory;
}
