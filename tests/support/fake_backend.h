/* SPDX-License-Identifier: BSD-3-Clause */
/* A device that records what it is asked, and fails, takes handles or is pending as it is told. */
#ifndef TEST_FAKE_BACKEND_H
#define TEST_FAKE_BACKEND_H

#include <vmm_vhost/backend.h>

#define FAKE_OP_MAP(X)                                                                             \
    X(get_features)                                                                                \
    X(set_features)                                                                                \
    X(set_owner)                                                                                   \
    X(reset_owner)                                                                                 \
    X(set_mem_table)                                                                               \
    X(set_log_base)                                                                                \
    X(set_log_fd)                                                                                  \
    X(set_vring_num)                                                                               \
    X(set_vring_addr)                                                                              \
    X(set_vring_base)                                                                              \
    X(get_vring_base)                                                                              \
    X(set_vring_event)                                                                             \
    X(get_protocol_features)                                                                       \
    X(set_protocol_features)                                                                       \
    X(get_queue_num)                                                                               \
    X(set_vring_enable)                                                                            \
    X(send_rarp)                                                                                   \
    X(net_set_mtu)                                                                                 \
    X(set_backend_channel)                                                                         \
    X(iotlb_msg)                                                                                   \
    X(set_vring_endian)                                                                            \
    X(get_config)                                                                                  \
    X(set_config)                                                                                  \
    X(create_crypto_session)                                                                       \
    X(close_crypto_session)                                                                        \
    X(postcopy_advise)                                                                             \
    X(postcopy_listen)                                                                             \
    X(postcopy_mapped)                                                                             \
    X(postcopy_end)                                                                                \
    X(get_inflight_fd)                                                                             \
    X(set_inflight_fd)                                                                             \
    X(gpu_set_socket)                                                                              \
    X(reset_device)                                                                                \
    X(vring_kick)                                                                                  \
    X(get_max_mem_slots)                                                                           \
    X(add_mem_reg)                                                                                 \
    X(rem_mem_reg)                                                                                 \
    X(set_status)                                                                                  \
    X(get_status)                                                                                  \
    X(get_shared_object)                                                                           \
    X(set_device_state_fd)                                                                         \
    X(check_device_state)                                                                          \
    X(get_shmem_config)                                                                            \
    X(private_request)

typedef enum fake_op {
#define FAKE_OP_ENUM(name) FAKE_##name,
    FAKE_OP_MAP(FAKE_OP_ENUM)
#undef FAKE_OP_ENUM
        FAKE_OPS
} fake_op;

enum { FAKE_MAX_TAKEN = 64 };

typedef struct fake_backend {
    /* What it shall do. */
    int result[FAKE_OPS];
    bool take; /* take the handles that an op gets */
    bool give; /* return a handle, or bytes of configuration, where an op may */
    uint64_t features;
    uint64_t protocol_features;
    uint32_t base;  /* of each ring that is stopped */
    uint64_t slots; /* for memory; 0: 509 */

    /* What it saw. */
    unsigned calls[FAKE_OPS];
    unsigned total; /* without get_features and get_protocol_features */
    fake_op last;
    uint32_t ring;
    uint32_t num;
    uint64_t value;
    uint32_t len;
    uint32_t flags;
    uint8_t bytes[VHU_MAX_PAYLOAD];
    vhu_vring_event event;
    vhu_vring_addr addr;
    vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    vhu_log_area log;
    vhu_iotlb_msg iotlb;
    vhu_inflight_area inflight;
    vhu_device_state state;
    size_t num_handles; /* that came with the last op */
    size_t num_taken;
    vhu_handle taken[FAKE_MAX_TAKEN];
    vhu_conn *channel;
} fake_backend;

void fake_backend_init(fake_backend *f);
void fake_backend_release(fake_backend *f);

/* All ops; and the same with one of them left out. */
extern const vhu_backend_ops fake_backend_ops;
vhu_backend_ops fake_backend_ops_without(fake_op op);

const char *fake_op_name(fake_op op);

#endif
