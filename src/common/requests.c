/* SPDX-License-Identifier: BSD-3-Clause */
#include "requests.h"

#include "util.h"
#include "wire.h"

#define NO VHU__NO_GATE
#define PF(name) VHU_PF_##name, NO
#define VF(name) NO, VHU_F_##name
#define ANY NO, NO

/*
 * SET_VRING_ENABLE is not gated by feature bit 30, though the specification says so: QEMU's
 * network front-end sends it before SET_FEATURES, and DPDK's on a new connection before anything.
 * The log requests are not gated: QEMU sends SET_LOG_BASE before it acknowledges LOG_ALL.
 */
#define ROW(name, size_min, size_max, handles_min, handles_max, gate, reply, failure)              \
    {                                                                                              \
        VHU_REQ_##name, #name, size_min, size_max, handles_min, handles_max, gate, NO,             \
            VHU__REPLY_##reply, VHU__FAIL_##failure,                                               \
    }

static const vhu__request frontend_rows[] = {
    ROW(GET_FEATURES, 0, 0, 0, 0, ANY, U64, CLOSE),
    ROW(SET_FEATURES, 8, 8, 0, 0, ANY, ACK, ACK),
    ROW(SET_OWNER, 0, 0, 0, 0, ANY, ACK, ACK),
    ROW(RESET_OWNER, 0, 0, 0, 0, ANY, ACK, ACK),
    ROW(SET_MEM_TABLE, 8, VHU__WIRE_TABLE_MAX, 0, 8, ANY, MEMORY, ACK),
    ROW(SET_LOG_BASE, 8, 16, 0, 1, ANY, LOG, ACK),
    ROW(SET_LOG_FD, 0, 0, 1, 1, ANY, ACK, ACK),
    ROW(SET_VRING_NUM, 8, 8, 0, 0, ANY, ACK, ACK),
    ROW(SET_VRING_ADDR, 40, 40, 0, 0, ANY, ACK, ACK),
    ROW(SET_VRING_BASE, 8, 8, 0, 0, ANY, ACK, ACK),
    ROW(GET_VRING_BASE, 8, 8, 0, 0, ANY, VRING, CLOSE),
    ROW(SET_VRING_KICK, 8, 8, 0, 1, ANY, ACK, ACK),
    ROW(SET_VRING_CALL, 8, 8, 0, 1, ANY, ACK, ACK),
    ROW(SET_VRING_ERR, 8, 8, 0, 1, ANY, ACK, ACK),
    ROW(GET_PROTOCOL_FEATURES, 0, 0, 0, 0, ANY, U64, CLOSE),
    ROW(SET_PROTOCOL_FEATURES, 8, 8, 0, 0, ANY, ACK, ACK),
    ROW(GET_QUEUE_NUM, 0, 0, 0, 0, PF(MQ), U64, CLOSE),
    ROW(SET_VRING_ENABLE, 8, 8, 0, 0, ANY, ACK, ACK),
    ROW(SEND_RARP, 8, 8, 0, 0, PF(RARP), ACK, ACK),
    ROW(NET_SET_MTU, 8, 8, 0, 0, PF(NET_MTU), ACK, ACK),
    ROW(SET_BACKEND_REQ_FD, 0, 0, 1, 1, PF(BACKEND_REQ), ACK, ACK),
    ROW(IOTLB_MSG, 32, 32, 0, 0, VF(ACCESS_PLATFORM), ACK, ACK),
    ROW(SET_VRING_ENDIAN, 8, 8, 0, 0, PF(CROSS_ENDIAN), ACK, ACK),
    ROW(GET_CONFIG, 12, VHU__WIRE_CONFIG_MAX, 0, 0, PF(CONFIG), CONFIG, EMPTY),
    ROW(SET_CONFIG, 12, VHU__WIRE_CONFIG_MAX, 0, 0, PF(CONFIG), ACK, ACK),
    ROW(CREATE_CRYPTO_SESSION, 16, VHU_MAX_PAYLOAD, 0, 0, PF(CRYPTO_SESSION), SESSION, SESSION),
    ROW(CLOSE_CRYPTO_SESSION, 8, 8, 0, 0, PF(CRYPTO_SESSION), ACK, ACK),
    ROW(POSTCOPY_ADVISE, 0, 0, 0, 0, PF(PAGEFAULT), HANDLE, NO_HANDLE),
    ROW(POSTCOPY_LISTEN, 0, 0, 0, 0, PF(PAGEFAULT), ACK, ACK),
    ROW(POSTCOPY_END, 0, 0, 0, 0, PF(PAGEFAULT), STATUS, STATUS),
    ROW(GET_INFLIGHT_FD, 20, 24, 0, 0, PF(INFLIGHT_SHMFD), INFLIGHT, INFLIGHT),
    ROW(SET_INFLIGHT_FD, 20, 24, 1, 1, PF(INFLIGHT_SHMFD), ACK, ACK),
    ROW(GPU_SET_SOCKET, 0, 0, 1, 1, ANY, ACK, ACK),
    ROW(RESET_DEVICE, 0, 0, 0, 0, PF(RESET_DEVICE), ACK, ACK),
    ROW(VRING_KICK, 8, 8, 0, 0, PF(INBAND_NOTIFICATIONS), ACK, ACK),
    ROW(GET_MAX_MEM_SLOTS, 0, 0, 0, 0, PF(CONFIGURE_MEM_SLOTS), U64, CLOSE),
    ROW(ADD_MEM_REG, 8, 48, 0, 1, PF(CONFIGURE_MEM_SLOTS), MEMORY, ACK),
    ROW(REM_MEM_REG, 40, 48, 0, 1, PF(CONFIGURE_MEM_SLOTS), ACK, ACK),
    ROW(SET_STATUS, 8, 8, 0, 0, PF(STATUS), ACK, ACK),
    ROW(GET_STATUS, 0, 0, 0, 0, PF(STATUS), U64, CLOSE),
    ROW(GET_SHARED_OBJECT, 16, 16, 0, 0, PF(SHARED_OBJECT), HANDLE, NO_HANDLE),
    ROW(SET_DEVICE_STATE_FD, 8, 8, 1, 1, PF(DEVICE_STATE), STATE, STATUS),
    ROW(CHECK_DEVICE_STATE, 0, 0, 0, 0, PF(DEVICE_STATE), STATUS, STATUS),
    ROW(GET_SHMEM_CONFIG, 0, 0, 0, 0, PF(SHMEM), SHMEM, CLOSE),
};
#undef ROW

/* Only the request that asks for an object has a reply of its own: the handle of what was found. */
#define ROW(name, size, handles_min, handles_max, gate, reply, failure)                            \
    {                                                                                              \
        VHU_BACKEND_REQ_##name, #name, size, size, handles_min, handles_max, gate,                 \
            VHU_PF_BACKEND_SEND_FD, VHU__REPLY_##reply, VHU__FAIL_##failure,                       \
    }

static const vhu__request backend_rows[] = {
    ROW(IOTLB_MSG, 32, 0, 0, VF(ACCESS_PLATFORM), ACK, ACK),
    ROW(CONFIG_CHANGE_MSG, 0, 0, 0, PF(CONFIG), ACK, ACK),
    ROW(VRING_HOST_NOTIFIER_MSG, 24, 0, 1, PF(HOST_NOTIFIER), ACK, ACK),
    ROW(VRING_CALL, 8, 0, 0, PF(INBAND_NOTIFICATIONS), ACK, ACK),
    ROW(VRING_ERR, 8, 0, 0, PF(INBAND_NOTIFICATIONS), ACK, ACK),
    ROW(SHARED_OBJECT_ADD, 16, 0, 0, PF(SHARED_OBJECT), ACK, ACK),
    ROW(SHARED_OBJECT_REMOVE, 16, 0, 0, PF(SHARED_OBJECT), ACK, ACK),
    ROW(SHARED_OBJECT_LOOKUP, 16, 0, 0, PF(SHARED_OBJECT), STATUS, STATUS),
    ROW(SHMEM_MAP, 40, 1, 1, PF(SHMEM), ACK, ACK),
    ROW(SHMEM_UNMAP, 40, 0, 0, PF(SHMEM), ACK, ACK),
};
#undef ROW

/* Codes are dense and begin at 1. */
static const vhu__request *find(const vhu__request *rows, size_t n, uint32_t code)
{
    return code == 0 || code > n ? NULL : &rows[code - 1];
}

const vhu__request *vhu__frontend_request(uint32_t code)
{
    return find(frontend_rows, VHU__COUNT(frontend_rows), code);
}

const vhu__request *vhu__backend_request(uint32_t code)
{
    return find(backend_rows, VHU__COUNT(backend_rows), code);
}

const char *vhu_frontend_request_name(uint32_t request)
{
    const vhu__request *row = vhu__frontend_request(request);

    return row ? row->name : NULL;
}

const char *vhu_backend_request_name(uint32_t request)
{
    const vhu__request *row = vhu__backend_request(request);

    return row ? row->name : NULL;
}

const char *vhu_protocol_feature_name(unsigned bit)
{
    static const char *const names[] = {
#define NAME(name, bit) [bit] = #name,
        VHU_PROTOCOL_FEATURE_MAP(NAME)
#undef NAME
    };

    return bit < VHU__COUNT(names) ? names[bit] : NULL;
}
