/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/requests_spec.h"

#include <string.h>

#define ANY SPEC_NO_GATE, SPEC_NO_GATE
#define PF(name) VHU_PF_##name, SPEC_NO_GATE
#define VF(name) SPEC_NO_GATE, VHU_F_##name
#define ACK SPEC_NO_REPLY, 0, SPEC_ACK
#define OWN(size, handles, failure) (size), (handles), SPEC_##failure

/* Code, op; sizes right, too short, too long; handles least, right, most; gates; reply. */
#define ROW(name, op, right, shorter, longer, least, handles, most, gate, reply)                   \
    [VHU_REQ_##name - 1] = {VHU_REQ_##name, #name,   FAKE_##op, right, shorter, longer,            \
                            least,          handles, most,      gate,  reply}

const request_spec request_specs[REQUEST_SPECS] = {
    ROW(GET_FEATURES, get_features, 0, 0, 1, 0, 0, 0, ANY, OWN(8, 0, CLOSE)),
    ROW(SET_FEATURES, set_features, 8, 7, 9, 0, 0, 0, ANY, ACK),
    ROW(SET_OWNER, set_owner, 0, 0, 1, 0, 0, 0, ANY, ACK),
    ROW(RESET_OWNER, reset_owner, 0, 0, 1, 0, 0, 0, ANY, ACK),
    ROW(SET_MEM_TABLE, set_mem_table, 40, 39, 329, 1, 1, 1, ANY, ACK),
    ROW(SET_LOG_BASE, set_log_base, 16, 15, 17, 1, 1, 1, ANY, OWN(0, 0, CLOSE)),
    ROW(SET_LOG_FD, set_log_fd, 0, 0, 1, 1, 1, 1, ANY, ACK),
    ROW(SET_VRING_NUM, set_vring_num, 8, 7, 9, 0, 0, 0, ANY, ACK),
    ROW(SET_VRING_ADDR, set_vring_addr, 40, 39, 41, 0, 0, 0, ANY, ACK),
    ROW(SET_VRING_BASE, set_vring_base, 8, 7, 9, 0, 0, 0, ANY, ACK),
    ROW(GET_VRING_BASE, get_vring_base, 8, 7, 9, 0, 0, 0, ANY, OWN(8, 0, CLOSE)),
    ROW(SET_VRING_KICK, set_vring_event, 8, 7, 9, 1, 1, 1, ANY, ACK),
    ROW(SET_VRING_CALL, set_vring_event, 8, 7, 9, 1, 1, 1, ANY, ACK),
    ROW(SET_VRING_ERR, set_vring_event, 8, 7, 9, 1, 1, 1, ANY, ACK),
    ROW(GET_PROTOCOL_FEATURES, get_protocol_features, 0, 0, 1, 0, 0, 0, ANY, OWN(8, 0, CLOSE)),
    ROW(SET_PROTOCOL_FEATURES, set_protocol_features, 8, 7, 9, 0, 0, 0, ANY, ACK),
    ROW(GET_QUEUE_NUM, get_queue_num, 0, 0, 1, 0, 0, 0, PF(MQ), OWN(8, 0, CLOSE)),
    ROW(SET_VRING_ENABLE, set_vring_enable, 8, 7, 9, 0, 0, 0, ANY, ACK),
    ROW(SEND_RARP, send_rarp, 8, 7, 9, 0, 0, 0, PF(RARP), ACK),
    ROW(NET_SET_MTU, net_set_mtu, 8, 7, 9, 0, 0, 0, PF(NET_MTU), ACK),
    ROW(SET_BACKEND_REQ_FD, set_backend_channel, 0, 0, 1, 1, 1, 1, PF(BACKEND_REQ), ACK),
    ROW(IOTLB_MSG, iotlb_msg, 32, 31, 33, 0, 0, 0, VF(ACCESS_PLATFORM), ACK),
    ROW(SET_VRING_ENDIAN, set_vring_endian, 8, 7, 9, 0, 0, 0, PF(CROSS_ENDIAN), ACK),
    ROW(GET_CONFIG, get_config, 20, 19, 21, 0, 0, 0, PF(CONFIG), OWN(20, 0, EMPTY)),
    ROW(SET_CONFIG, set_config, 20, 19, 21, 0, 0, 0, PF(CONFIG), ACK),
    ROW(CREATE_CRYPTO_SESSION, create_crypto_session, 64, 15, 0, 0, 0, 0, PF(CRYPTO_SESSION),
        OWN(64, 0, SESSION)),
    ROW(CLOSE_CRYPTO_SESSION, close_crypto_session, 8, 7, 9, 0, 0, 0, PF(CRYPTO_SESSION), ACK),
    ROW(POSTCOPY_ADVISE, postcopy_advise, 0, 0, 1, 0, 0, 0, PF(PAGEFAULT), OWN(0, 1, NO_HANDLE)),
    ROW(POSTCOPY_LISTEN, postcopy_listen, 0, 0, 1, 0, 0, 0, PF(PAGEFAULT), ACK),
    ROW(POSTCOPY_END, postcopy_end, 0, 0, 1, 0, 0, 0, PF(PAGEFAULT), OWN(8, 0, STATUS)),
    ROW(GET_INFLIGHT_FD, get_inflight_fd, 24, 19, 25, 0, 0, 0, PF(INFLIGHT_SHMFD),
        OWN(24, 1, INFLIGHT)),
    ROW(SET_INFLIGHT_FD, set_inflight_fd, 24, 19, 25, 1, 1, 1, PF(INFLIGHT_SHMFD), ACK),
    ROW(GPU_SET_SOCKET, gpu_set_socket, 0, 0, 1, 1, 1, 1, ANY, ACK),
    ROW(RESET_DEVICE, reset_device, 0, 0, 1, 0, 0, 0, PF(RESET_DEVICE), ACK),
    ROW(VRING_KICK, vring_kick, 8, 7, 9, 0, 0, 0, PF(INBAND_NOTIFICATIONS), ACK),
    ROW(GET_MAX_MEM_SLOTS, get_max_mem_slots, 0, 0, 1, 0, 0, 0, PF(CONFIGURE_MEM_SLOTS),
        OWN(8, 0, CLOSE)),
    ROW(ADD_MEM_REG, add_mem_reg, 40, 39, 49, 1, 1, 1, PF(CONFIGURE_MEM_SLOTS), ACK),
    ROW(REM_MEM_REG, rem_mem_reg, 40, 39, 49, 0, 0, 1, PF(CONFIGURE_MEM_SLOTS), ACK),
    ROW(SET_STATUS, set_status, 8, 7, 9, 0, 0, 0, PF(STATUS), ACK),
    ROW(GET_STATUS, get_status, 0, 0, 1, 0, 0, 0, PF(STATUS), OWN(8, 0, CLOSE)),
    ROW(GET_SHARED_OBJECT, get_shared_object, 16, 15, 17, 0, 0, 0, PF(SHARED_OBJECT),
        OWN(0, 1, NO_HANDLE)),
    ROW(SET_DEVICE_STATE_FD, set_device_state_fd, 8, 7, 9, 1, 1, 1, PF(DEVICE_STATE),
        OWN(8, 1, STATE)),
    ROW(CHECK_DEVICE_STATE, check_device_state, 0, 0, 1, 0, 0, 0, PF(DEVICE_STATE),
        OWN(8, 0, STATUS)),
    ROW(GET_SHMEM_CONFIG, get_shmem_config, 0, 0, 1, 0, 0, 0, PF(SHMEM), OWN(2056, 0, CLOSE)),
};

const request_spec *request_spec_of(uint32_t code)
{
    return &request_specs[code - 1];
}

static void put(message *m, size_t at, const void *bytes, size_t n)
{
    memcpy(m->payload + at, bytes, n);
}

static void build_payload(message *m)
{
    const uint64_t mtu = 1500;
    const uint64_t features = VHU_BIT(VHU_F_PROTOCOL_FEATURES);
    const uint64_t protocol_features = VHU_BIT(VHU_PF_REPLY_ACK);
    const vhu_vring_state vring = {2, 1};
    const vhu_vring_addr addr = {.index = 2, .desc = 0x1000, .used = 0x2004, .avail = 0x3002};
    const vhu_mem_region region = {0x10000, 0x4000, 0x7f0000010000, 0x1000};
    const vhu_log_area log = {0x1000, 0x200};
    const vhu_iotlb_msg iotlb = {0x1000, 0x1000, 0x7f0000001000, VHU_IOTLB_RW, 2, {0}};
    const vhu_config_header config = {4, 8, 0};
    const vhu_inflight_area inflight = {0x4000, 0, 2, 128};
    const uint32_t one = 1;

    switch (m->header.request) {
    case VHU_REQ_SET_FEATURES:
        put(m, 0, &features, sizeof(features));
        break;
    case VHU_REQ_SET_PROTOCOL_FEATURES:
        put(m, 0, &protocol_features, sizeof(protocol_features));
        break;
    case VHU_REQ_SET_MEM_TABLE:
        put(m, 0, &one, sizeof(one));
        put(m, 8, &region, sizeof(region));
        break;
    case VHU_REQ_ADD_MEM_REG:
    case VHU_REQ_REM_MEM_REG:
        put(m, 8, &region, sizeof(region));
        break;
    case VHU_REQ_SET_LOG_BASE:
        put(m, 0, &log, sizeof(log));
        break;
    case VHU_REQ_SET_VRING_NUM:
    case VHU_REQ_SET_VRING_BASE:
    case VHU_REQ_GET_VRING_BASE:
    case VHU_REQ_SET_VRING_ENABLE:
    case VHU_REQ_SET_VRING_ENDIAN:
    case VHU_REQ_VRING_KICK:
        put(m, 0, &vring, sizeof(vring));
        break;
    case VHU_REQ_SET_VRING_ADDR:
        put(m, 0, &addr, sizeof(addr));
        break;
    case VHU_REQ_NET_SET_MTU:
        put(m, 0, &mtu, sizeof(mtu));
        break;
    case VHU_REQ_IOTLB_MSG:
        put(m, 0, &iotlb, sizeof(iotlb));
        break;
    case VHU_REQ_GET_CONFIG:
    case VHU_REQ_SET_CONFIG:
        put(m, 0, &config, sizeof(config));
        break;
    case VHU_REQ_GET_INFLIGHT_FD:
    case VHU_REQ_SET_INFLIGHT_FD:
        put(m, 0, &inflight, 20); /* the rest is padding, and could be anything */
        break;
    default: /* zeroes are as good as anything: ring 0, number 0, save */
        break;
    }
}

void request_build(const request_spec *spec, uint32_t flags, message *m)
{
    memset(m, 0, sizeof(*m));
    m->header = (vhu_msg_header){spec->code, VHU_VERSION_1 | flags, spec->size};
    m->num_handles = spec->handles;
    build_payload(m);
}
