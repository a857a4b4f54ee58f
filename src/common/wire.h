/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Structures to and from bytes, by memcpy, with every check that needs nothing but the bytes. Pure.
 * A load returns false if the bytes do not make sense, and then *why says what is wrong with them;
 * sizes have been checked against the request's row before.
 */
#ifndef VHU_WIRE_H
#define VHU_WIRE_H

#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

enum {
    VHU__WIRE_HEADER = 12,
    VHU__WIRE_CONFIG_HEADER = 12,
    VHU__WIRE_CONFIG_MAX = 12 + 4096,
    VHU__WIRE_INFLIGHT = 20,
    VHU__WIRE_INFLIGHT_PADDED = 24,
    /* Eight regions with the two further members of XEN_MMAP: peers may leave room for more. */
    VHU__WIRE_TABLE_MAX = 8 + 8 * 40,
    VHU__WIRE_REGION = 40,
    VHU__WIRE_XEN_REGION = 48,
    /* Before the first region of SET_MEM_TABLE, ADD_MEM_REG and REM_MEM_REG. */
    VHU__WIRE_REGION_AT = 8,
    VHU__WIRE_MESSAGE_MAX = 12 + 4108
};

/* Bits of the u64 that SET_VRING_KICK, _CALL and _ERR carry. */
enum { VHU__WIRE_RING_MASK = 0xff, VHU__WIRE_NO_HANDLE = 0x100 };

void vhu__wire_load_header(vhu_msg_header *header, const uint8_t *in);
void vhu__wire_store_header(uint8_t *out, const vhu_msg_header *header);

uint64_t vhu__wire_load_u64(const uint8_t *in);
void vhu__wire_store_u64(uint8_t *out, uint64_t value);

void vhu__wire_load_vring_state(vhu_vring_state *state, const uint8_t *in);
void vhu__wire_store_vring_state(uint8_t *out, const vhu_vring_state *state);
bool vhu__wire_load_vring_addr(vhu_vring_addr *addr, const uint8_t *in, const char **why);

/* SET_MEM_TABLE: up to VHU_MAX_TABLE_REGIONS. Bytes behind the last region are let pass. */
bool vhu__wire_load_table(vhu_mem_region *regions, uint32_t *n, const uint8_t *in, size_t size,
                          const char **why);
size_t vhu__wire_store_table(uint8_t *out, const vhu_mem_region *regions, uint32_t n);

/* ADD_MEM_REG, REM_MEM_REG. */
bool vhu__wire_load_region(vhu_mem_region *region, const uint8_t *in, const char **why);
void vhu__wire_store_region(uint8_t *out, const vhu_mem_region *region);

/* The same with XEN_MMAP. */
bool vhu__wire_load_xen_table(vhu_mem_region *regions, vhu_xen_mmap *xen, uint32_t *n,
                              const uint8_t *in, size_t size, const char **why);
size_t vhu__wire_store_xen_table(uint8_t *out, const vhu_mem_region *regions,
                                 const vhu_xen_mmap *xen, uint32_t n);
bool vhu__wire_load_xen_region(vhu_mem_region *region, vhu_xen_mmap *xen, const uint8_t *in,
                               const char **why);
void vhu__wire_store_xen_region(uint8_t *out, const vhu_mem_region *region,
                                const vhu_xen_mmap *xen);

bool vhu__wire_load_log(vhu_log_area *area, const uint8_t *in, const char **why);
bool vhu__wire_load_iotlb(vhu_iotlb_msg *msg, const uint8_t *in, const char **why);
bool vhu__wire_load_shmem_request(vhu_shmem_request *request, const uint8_t *in, const char **why);

/* VRING_HOST_NOTIFIER_MSG: the ring as in SET_VRING_KICK, and a piece of the handle's object. */
typedef struct vhu__wire_area {
    uint64_t ring;
    uint64_t size;
    uint64_t offset;
} vhu__wire_area;

bool vhu__wire_load_area(vhu__wire_area *area, const uint8_t *in, const char **why);

/* GET_CONFIG, SET_CONFIG: `size` must be that of the header and its bytes. */
bool vhu__wire_load_config(vhu_config_header *config, const uint8_t *in, size_t size,
                           const char **why);
void vhu__wire_store_config(uint8_t *out, const vhu_config_header *config);

void vhu__wire_load_inflight(vhu_inflight_area *area, const uint8_t *in);
void vhu__wire_store_inflight(uint8_t *out, const vhu_inflight_area *area, size_t size);

bool vhu__wire_load_device_state(vhu_device_state *state, const uint8_t *in, const char **why);
size_t vhu__wire_store_shmem(uint8_t *out, const vhu_shmem_config *config);

#endif
