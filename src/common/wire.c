/* SPDX-License-Identifier: BSD-3-Clause */
#include "wire.h"

#include <string.h>

#include "util.h"

/* The structures are copied as they lie in memory: host byte order is the protocol's. */
_Static_assert(sizeof(vhu_msg_header) == VHU__WIRE_HEADER, "header");
_Static_assert(sizeof(vhu_vring_state) == 8, "vring state");
_Static_assert(sizeof(vhu_vring_addr) == 40, "vring address");
_Static_assert(sizeof(vhu_mem_region) == 32, "memory region");
_Static_assert(sizeof(vhu_xen_mmap) == 8, "memory of Xen");
_Static_assert(sizeof(vhu_log_area) == 16, "log");
_Static_assert(sizeof(vhu_iotlb_msg) == 32, "IOTLB message");
_Static_assert(sizeof(vhu_config_header) == VHU__WIRE_CONFIG_HEADER, "configuration");
_Static_assert(sizeof(vhu_inflight_area) == VHU__WIRE_INFLIGHT_PADDED, "in-flight area");
_Static_assert(sizeof(vhu_device_state) == 8, "device state");
_Static_assert(sizeof(vhu_shmem_config) == 2056, "shared memory configuration");
_Static_assert(sizeof(vhu_shmem_request) == 40, "shared memory request");
_Static_assert(sizeof(vhu__wire_area) == 24, "vring area");

static bool wrong(const char **why, const char *text)
{
    *why = text;
    return false;
}

static bool wraps(uint64_t start, uint64_t size)
{
    uint64_t end;

    return !vhu__add_u64(start, size, &end);
}

void vhu__wire_load_header(vhu_msg_header *header, const uint8_t *in)
{
    memcpy(header, in, sizeof(*header));
}

void vhu__wire_store_header(uint8_t *out, const vhu_msg_header *header)
{
    memcpy(out, header, sizeof(*header));
}

uint64_t vhu__wire_load_u64(const uint8_t *in)
{
    uint64_t value;

    memcpy(&value, in, sizeof(value));
    return value;
}

void vhu__wire_store_u64(uint8_t *out, uint64_t value)
{
    memcpy(out, &value, sizeof(value));
}

void vhu__wire_load_vring_state(vhu_vring_state *state, const uint8_t *in)
{
    memcpy(state, in, sizeof(*state));
}

void vhu__wire_store_vring_state(uint8_t *out, const vhu_vring_state *state)
{
    memcpy(out, state, sizeof(*state));
}

bool vhu__wire_load_vring_addr(vhu_vring_addr *addr, const uint8_t *in, const char **why)
{
    memcpy(addr, in, sizeof(*addr));
    if (addr->flags & ~(uint32_t)VHU_VRING_F_LOG)
        return wrong(why, "unknown flags");
    if (addr->desc & 15)
        return wrong(why, "the descriptor table is not aligned to 16");
    if (addr->avail & 1)
        return wrong(why, "the available ring is not aligned to 2");
    if (addr->used & 3)
        return wrong(why, "the used ring is not aligned to 4");
    return true;
}

static bool check_region(const vhu_mem_region *region, const char **why)
{
    if (region->size == 0)
        return wrong(why, "a region has no bytes");
    if (wraps(region->guest_addr, region->size))
        return wrong(why, "a region wraps in guest addresses");
    if (wraps(region->user_addr, region->size))
        return wrong(why, "a region wraps in user addresses");
    if (wraps(region->mmap_offset, region->size))
        return wrong(why, "a region wraps in its file");
    return true;
}

static bool load_xen(vhu_xen_mmap *xen, const uint8_t *in, const char **why)
{
    const uint32_t both = VHU_XEN_FOREIGN | VHU_XEN_GRANT;

    memcpy(xen, in, sizeof(*xen));
    /* rust-vmm has the number 8 where the specification has bit 8. */
    if (xen->flags & 8)
        xen->flags = (xen->flags & ~8u) | VHU_XEN_NO_ADVANCE;
    if (xen->flags & ~(both | VHU_XEN_NO_ADVANCE))
        return wrong(why, "unknown flags of a region");
    if ((xen->flags & both) == both)
        return wrong(why, "a region is both foreign and granted");
    return true;
}

/* `xen` NULL: without XEN_MMAP. */
static bool load_table(vhu_mem_region *regions, vhu_xen_mmap *xen, uint32_t *n, const uint8_t *in,
                       size_t size, const char **why)
{
    const size_t step = sizeof(regions[0]) + (xen ? sizeof(xen[0]) : 0);
    uint32_t count;

    memcpy(&count, in, sizeof(count));
    if (count > VHU_MAX_TABLE_REGIONS)
        return wrong(why, "more than 8 regions");
    if (size < VHU__WIRE_REGION_AT + count * step)
        return wrong(why, "shorter than its regions");
    in += VHU__WIRE_REGION_AT;
    for (uint32_t i = 0; i < count; i++, in += step) {
        memcpy(&regions[i], in, sizeof(regions[0]));
        if (!check_region(&regions[i], why))
            return false;
        if (xen && !load_xen(&xen[i], in + sizeof(regions[0]), why))
            return false;
    }
    *n = count;
    return true;
}

bool vhu__wire_load_table(vhu_mem_region *regions, uint32_t *n, const uint8_t *in, size_t size,
                          const char **why)
{
    return load_table(regions, NULL, n, in, size, why);
}

bool vhu__wire_load_xen_table(vhu_mem_region *regions, vhu_xen_mmap *xen, uint32_t *n,
                              const uint8_t *in, size_t size, const char **why)
{
    return load_table(regions, xen, n, in, size, why);
}

size_t vhu__wire_store_table(uint8_t *out, const vhu_mem_region *regions, uint32_t n)
{
    memset(out, 0, 8);
    memcpy(out, &n, sizeof(n));
    memcpy(out + 8, regions, n * sizeof(regions[0]));
    return 8 + n * sizeof(regions[0]);
}

size_t vhu__wire_store_xen_table(uint8_t *out, const vhu_mem_region *regions,
                                 const vhu_xen_mmap *xen, uint32_t n)
{
    const size_t step = sizeof(regions[0]) + sizeof(xen[0]);

    memset(out, 0, VHU__WIRE_REGION_AT);
    memcpy(out, &n, sizeof(n));
    out += VHU__WIRE_REGION_AT;
    for (uint32_t i = 0; i < n; i++, out += step) {
        memcpy(out, &regions[i], sizeof(regions[0]));
        memcpy(out + sizeof(regions[0]), &xen[i], sizeof(xen[0]));
    }
    return VHU__WIRE_REGION_AT + n * step;
}

bool vhu__wire_load_region(vhu_mem_region *region, const uint8_t *in, const char **why)
{
    memcpy(region, in + 8, sizeof(*region));
    return check_region(region, why);
}

bool vhu__wire_load_xen_region(vhu_mem_region *region, vhu_xen_mmap *xen, const uint8_t *in,
                               const char **why)
{
    return vhu__wire_load_region(region, in, why) && load_xen(xen, in + VHU__WIRE_REGION, why);
}

void vhu__wire_store_region(uint8_t *out, const vhu_mem_region *region)
{
    memset(out, 0, 8);
    memcpy(out + 8, region, sizeof(*region));
}

void vhu__wire_store_xen_region(uint8_t *out, const vhu_mem_region *region, const vhu_xen_mmap *xen)
{
    vhu__wire_store_region(out, region);
    memcpy(out + VHU__WIRE_REGION, xen, sizeof(*xen));
}

bool vhu__wire_load_log(vhu_log_area *area, const uint8_t *in, const char **why)
{
    memcpy(area, in, sizeof(*area));
    if (area->size == 0)
        return wrong(why, "the log has no bytes");
    if (wraps(area->offset, area->size))
        return wrong(why, "the log wraps in its file");
    return true;
}

bool vhu__wire_load_iotlb(vhu_iotlb_msg *msg, const uint8_t *in, const char **why)
{
    memcpy(msg, in, sizeof(*msg));
    if (msg->type < VHU_IOTLB_MISS || msg->type > VHU_IOTLB_ACCESS_FAIL)
        return wrong(why, "unknown type");
    if (msg->type == VHU_IOTLB_UPDATE && (msg->perm == 0 || msg->perm > VHU_IOTLB_RW))
        return wrong(why, "unknown permission");
    /* Some back-ends leave the size out of what they ask or complain about. */
    if (msg->size == 0 && (msg->type == VHU_IOTLB_MISS || msg->type == VHU_IOTLB_ACCESS_FAIL))
        return true;
    /* 2^64 bytes: QEMU adds one to a mask. */
    if (msg->size == 0 && msg->iova == 0 && msg->type == VHU_IOTLB_INVALIDATE)
        return true;
    /* A whole address space is announced as size 2^64 - 1 or in two halves: it may not wrap. */
    if (msg->size == 0 || wraps(msg->iova, msg->size - 1))
        return wrong(why, "the range is empty or wraps");
    /* Of an invalidation the user address means nothing. */
    if (msg->type == VHU_IOTLB_UPDATE && wraps(msg->user_addr, msg->size - 1))
        return wrong(why, "the range wraps in user addresses");
    return true;
}

bool vhu__wire_load_shmem_request(vhu_shmem_request *request, const uint8_t *in, const char **why)
{
    memcpy(request, in, sizeof(*request));
    if (request->flags & ~(uint64_t)VHU_SHMEM_RW)
        return wrong(why, "unknown flags");
    if (request->len == 0 || wraps(request->region_offset, request->len))
        return wrong(why, "the range is empty or wraps in its region");
    if (wraps(request->handle_offset, request->len))
        return wrong(why, "the range wraps in its file");
    return true;
}

bool vhu__wire_load_area(vhu__wire_area *area, const uint8_t *in, const char **why)
{
    memcpy(area, in, sizeof(*area));
    if (wraps(area->offset, area->size))
        return wrong(why, "the area wraps in its file");
    /* Without a handle there is nothing to have a size. */
    if (area->size == 0 && !(area->ring & VHU__WIRE_NO_HANDLE))
        return wrong(why, "the area has no bytes");
    return true;
}

bool vhu__wire_load_config(vhu_config_header *config, const uint8_t *in, size_t size,
                           const char **why)
{
    memcpy(config, in, sizeof(*config));
    if (config->size != size - sizeof(*config))
        return wrong(why, "its size is not that of the bytes that follow");
    if (config->offset > VHU_MAX_CONFIG || config->size > VHU_MAX_CONFIG - config->offset)
        return wrong(why, "offset and size are over 4096");
    /* One side counts the kinds from 0, as the specification does, the other has a bit for each. */
    if (config->flags > 3)
        return wrong(why, "unknown flags");
    return true;
}

void vhu__wire_store_config(uint8_t *out, const vhu_config_header *config)
{
    memcpy(out, config, sizeof(*config));
}

void vhu__wire_load_inflight(vhu_inflight_area *area, const uint8_t *in)
{
    memset(area, 0, sizeof(*area));
    memcpy(area, in, VHU__WIRE_INFLIGHT);
}

void vhu__wire_store_inflight(uint8_t *out, const vhu_inflight_area *area, size_t size)
{
    memset(out, 0, size);
    memcpy(out, area, VHU__WIRE_INFLIGHT);
}

bool vhu__wire_load_device_state(vhu_device_state *state, const uint8_t *in, const char **why)
{
    memcpy(state, in, sizeof(*state));
    if (state->direction > VHU_STATE_LOAD)
        return wrong(why, "unknown direction");
    if (state->phase != VHU_STATE_STOPPED)
        return wrong(why, "unknown phase");
    return true;
}

size_t vhu__wire_store_shmem(uint8_t *out, const vhu_shmem_config *config)
{
    memcpy(out, config, sizeof(*config));
    return sizeof(*config);
}
