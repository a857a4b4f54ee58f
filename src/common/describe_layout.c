/* SPDX-License-Identifier: BSD-3-Clause */
#include "describe_layout.h"

#include "util.h"
#include "wire.h"

/* --- rows --- */

#define WIDTH(type, member) sizeof(((type *)0)->member)
#define AS(shown, type, member, how)                                                               \
    {                                                                                              \
        .name = (shown), .kind = VHU_FIELD_##how, .offset = offsetof(type, member),                \
        .width = WIDTH(type, member)                                                               \
    }
#define AS_BITS(shown, type, member, which)                                                        \
    {                                                                                              \
        .name = (shown), .kind = VHU_FIELD_BITS, .offset = offsetof(type, member),                 \
        .width = WIDTH(type, member), .bits = VHU_BITS_##which                                     \
    }
#define AS_WORD(shown, type, member, list)                                                         \
    {                                                                                              \
        .name = (shown), .kind = VHU_FIELD_WORD, .offset = offsetof(type, member),                 \
        .width = WIDTH(type, member), .words = (list), .num_words = VHU__COUNT(list)               \
    }
#define U64(shown, how)                                                                            \
    {                                                                                              \
        .name = (shown), .kind = VHU_FIELD_##how, .width = 8                                       \
    }
#define U64_BITS(shown, which)                                                                     \
    {                                                                                              \
        .name = (shown), .kind = VHU_FIELD_BITS, .width = 8, .bits = VHU_BITS_##which              \
    }
#define ROWS(name) .rows = (name), .num_rows = VHU__COUNT(name)

static const char *const perm_words[] = {"none", "ro", "wo", "rw"};
static const char *const type_words[] = {"0", "miss", "update", "invalidate", "access_fail"};
static const char *const endian_words[] = {"little", "big"};
static const char *const direction_words[] = {"save", "load"};
static const char *const phase_words[] = {"stopped"};
static const char *const config_words[] = {"writable", "migration"};

static const vhu__layout_row features[] = {U64_BITS("features", FEATURES)};
static const vhu__layout_row protocol_features[] = {U64_BITS("features", PROTOCOL_FEATURES)};
static const vhu__layout_row device_status[] = {U64_BITS("status", DEVICE_STATUS)};
static const vhu__layout_row number[] = {U64("value", NUMBER)};
static const vhu__layout_row status[] = {U64("status", SIGNED)};
static const vhu__layout_row mtu[] = {U64("mtu", NUMBER)};
static const vhu__layout_row session[] = {U64("session", SIGNED)};
static const vhu__layout_row log_address[] = {U64("address", HEX)};

static const vhu__layout_row vring_num[] = {AS("ring", vhu_vring_state, index, NUMBER),
                                            AS("num", vhu_vring_state, num, NUMBER)};
static const vhu__layout_row vring_enable[] = {AS("ring", vhu_vring_state, index, NUMBER),
                                               AS("enable", vhu_vring_state, num, NUMBER)};
static const vhu__layout_row vring_endian[] = {
    AS("ring", vhu_vring_state, index, NUMBER),
    AS_WORD("endian", vhu_vring_state, num, endian_words)};
/* Its second number has no meaning. */
static const vhu__layout_row vring_only[] = {AS("ring", vhu_vring_state, index, NUMBER)};

static const vhu__layout_row vring_addr[] = {
    AS("ring", vhu_vring_addr, index, NUMBER), AS_BITS("flags", vhu_vring_addr, flags, RING_ADDR),
    AS("desc", vhu_vring_addr, desc, HEX),     AS("used", vhu_vring_addr, used, HEX),
    AS("avail", vhu_vring_addr, avail, HEX),   AS("log", vhu_vring_addr, log, HEX),
};

static const vhu__layout_row region[] = {
    AS("guest_addr", vhu_mem_region, guest_addr, HEX),
    AS("size", vhu_mem_region, size, HEX),
    AS("user_addr", vhu_mem_region, user_addr, HEX),
    AS("mmap_offset", vhu_mem_region, mmap_offset, HEX),
};
static const vhu__layout_row xen[] = {
    {.name = "xen_flags", .kind = VHU_FIELD_HEX, .offset = 0, .width = 4},
    {.name = "xen_domain", .kind = VHU_FIELD_NUMBER, .offset = 4, .width = 4},
};

static const vhu__layout_row log_area[] = {AS("size", vhu_log_area, size, HEX),
                                           AS("offset", vhu_log_area, offset, HEX)};

static const vhu__layout_row iotlb[] = {
    AS_WORD("type", vhu_iotlb_msg, type, type_words),
    AS("iova", vhu_iotlb_msg, iova, HEX),
    AS("size", vhu_iotlb_msg, size, HEX),
    AS("user_addr", vhu_iotlb_msg, user_addr, HEX),
    AS_WORD("perm", vhu_iotlb_msg, perm, perm_words),
};

static const vhu__layout_row config[] = {
    AS("offset", vhu_config_header, offset, NUMBER),
    AS("size", vhu_config_header, size, NUMBER),
    AS_WORD("flags", vhu_config_header, flags, config_words),
};

static const vhu__layout_row inflight[] = {
    AS("mmap_size", vhu_inflight_area, mmap_size, HEX),
    AS("mmap_offset", vhu_inflight_area, mmap_offset, HEX),
    AS("num_queues", vhu_inflight_area, num_queues, NUMBER),
    AS("queue_size", vhu_inflight_area, queue_size, NUMBER),
};

static const vhu__layout_row device_state[] = {
    AS_WORD("direction", vhu_device_state, direction, direction_words),
    AS_WORD("phase", vhu_device_state, phase, phase_words),
};

static const vhu__layout_row uuid[] = {{.name = "uuid", .kind = VHU_FIELD_BYTES, .width = 16}};

/* Behind the ring and its NOFD bit. */
static const vhu__layout_row host_notifier[] = {
    AS("size", vhu__wire_area, size, HEX),
    AS("offset", vhu__wire_area, offset, HEX),
};

static const vhu__layout_row shmem_request[] = {
    AS("region", vhu_shmem_request, region, NUMBER),
    AS("handle_offset", vhu_shmem_request, handle_offset, HEX),
    AS("region_offset", vhu_shmem_request, region_offset, HEX),
    AS("len", vhu_shmem_request, len, HEX),
    AS_BITS("flags", vhu_shmem_request, flags, SHMEM),
};

/* --- checks --- */

static bool check_addr(const uint8_t *in, const char **why)
{
    vhu_vring_addr addr;

    return vhu__wire_load_vring_addr(&addr, in, why);
}

static bool check_iotlb(const uint8_t *in, const char **why)
{
    vhu_iotlb_msg msg;

    return vhu__wire_load_iotlb(&msg, in, why);
}

static bool check_state(const uint8_t *in, const char **why)
{
    vhu_device_state state;

    return vhu__wire_load_device_state(&state, in, why);
}

static bool check_log(const uint8_t *in, const char **why)
{
    vhu_log_area area;

    return vhu__wire_load_log(&area, in, why);
}

static bool check_area(const uint8_t *in, const char **why)
{
    vhu__wire_area area;

    return vhu__wire_load_area(&area, in, why);
}

static bool check_shmem(const uint8_t *in, const char **why)
{
    vhu_shmem_request request;

    return vhu__wire_load_shmem_request(&request, in, why);
}

/* --- layouts --- */

const vhu__layout vhu__layout_region = {ROWS(region), .size = sizeof(vhu_mem_region)};
const vhu__layout vhu__layout_xen = {ROWS(xen), .size = 8};
const vhu__layout vhu__layout_log = {ROWS(log_area), .size = 16, .check = check_log};
const vhu__layout vhu__layout_log_address = {ROWS(log_address), .size = 8};
const vhu__layout vhu__layout_config = {ROWS(config), .size = VHU__WIRE_CONFIG_HEADER};
const vhu__layout vhu__layout_inflight = {ROWS(inflight), .size = VHU__WIRE_INFLIGHT};
const vhu__layout vhu__layout_status = {ROWS(status), .size = 8};

static const vhu__layout nothing = {0};
static const vhu__layout vring_state_reply = {.special = VHU__SPECIAL_RING_BASE};

#define U64_OF(code, rows_of) [code] = {ROWS(rows_of), .size = 8}
#define SPECIAL(code, kind) [code] = {.special = VHU__SPECIAL_##kind}

static const vhu__layout requests[VHU_REQ_END] = {
    U64_OF(VHU_REQ_SET_FEATURES, features),
    SPECIAL(VHU_REQ_SET_MEM_TABLE, TABLE),
    SPECIAL(VHU_REQ_SET_LOG_BASE, LOG),
    U64_OF(VHU_REQ_SET_VRING_NUM, vring_num),
    [VHU_REQ_SET_VRING_ADDR] = {ROWS(vring_addr), .size = 40, .check = check_addr},
    SPECIAL(VHU_REQ_SET_VRING_BASE, RING_BASE),
    U64_OF(VHU_REQ_GET_VRING_BASE, vring_only),
    SPECIAL(VHU_REQ_SET_VRING_KICK, RING_EVENT),
    SPECIAL(VHU_REQ_SET_VRING_CALL, RING_EVENT),
    SPECIAL(VHU_REQ_SET_VRING_ERR, RING_EVENT),
    U64_OF(VHU_REQ_SET_PROTOCOL_FEATURES, protocol_features),
    U64_OF(VHU_REQ_SET_VRING_ENABLE, vring_enable),
    SPECIAL(VHU_REQ_SEND_RARP, MAC),
    U64_OF(VHU_REQ_NET_SET_MTU, mtu),
    [VHU_REQ_IOTLB_MSG] = {ROWS(iotlb), .size = 32, .check = check_iotlb},
    U64_OF(VHU_REQ_SET_VRING_ENDIAN, vring_endian),
    SPECIAL(VHU_REQ_GET_CONFIG, CONFIG),
    SPECIAL(VHU_REQ_SET_CONFIG, CONFIG),
    SPECIAL(VHU_REQ_CREATE_CRYPTO_SESSION, SESSION),
    U64_OF(VHU_REQ_CLOSE_CRYPTO_SESSION, session),
    SPECIAL(VHU_REQ_GET_INFLIGHT_FD, INFLIGHT),
    SPECIAL(VHU_REQ_SET_INFLIGHT_FD, INFLIGHT),
    U64_OF(VHU_REQ_VRING_KICK, vring_only),
    SPECIAL(VHU_REQ_ADD_MEM_REG, REGION),
    SPECIAL(VHU_REQ_REM_MEM_REG, REGION),
    U64_OF(VHU_REQ_SET_STATUS, device_status),
    [VHU_REQ_GET_SHARED_OBJECT] = {ROWS(uuid), .size = 16},
    [VHU_REQ_SET_DEVICE_STATE_FD] = {ROWS(device_state), .size = 8, .check = check_state},
};

static const vhu__layout back_requests[VHU_BACKEND_REQ_END] = {
    [VHU_BACKEND_REQ_IOTLB_MSG] = {ROWS(iotlb), .size = 32, .check = check_iotlb},
    [VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG] = {ROWS(host_notifier),
                                                 .size = sizeof(vhu__wire_area),
                                                 .special = VHU__SPECIAL_RING_EVENT,
                                                 .check = check_area},
    U64_OF(VHU_BACKEND_REQ_VRING_CALL, vring_only),
    U64_OF(VHU_BACKEND_REQ_VRING_ERR, vring_only),
    [VHU_BACKEND_REQ_SHARED_OBJECT_ADD] = {ROWS(uuid), .size = 16},
    [VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE] = {ROWS(uuid), .size = 16},
    [VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP] = {ROWS(uuid), .size = 16},
    [VHU_BACKEND_REQ_SHMEM_MAP] = {ROWS(shmem_request), .size = 40, .check = check_shmem},
    [VHU_BACKEND_REQ_SHMEM_UNMAP] = {ROWS(shmem_request), .size = 40, .check = check_shmem},
};

/* What is answered with a number. */
static const vhu__layout u64_replies[VHU_REQ_END] = {
    U64_OF(VHU_REQ_GET_FEATURES, features),
    U64_OF(VHU_REQ_GET_PROTOCOL_FEATURES, protocol_features),
    U64_OF(VHU_REQ_GET_QUEUE_NUM, number),
    U64_OF(VHU_REQ_GET_MAX_MEM_SLOTS, number),
    U64_OF(VHU_REQ_GET_STATUS, device_status),
};

static const vhu__layout special_replies[] = {
    SPECIAL(VHU__REPLY_CONFIG, CONFIG),     SPECIAL(VHU__REPLY_SESSION, SESSION),
    SPECIAL(VHU__REPLY_INFLIGHT, INFLIGHT), SPECIAL(VHU__REPLY_STATE, STATE),
    SPECIAL(VHU__REPLY_SHMEM, SHMEM),
};

const vhu__layout *vhu__layout_of_request(uint32_t code, bool back_channel)
{
    if (back_channel)
        return code < VHU__COUNT(back_requests) ? &back_requests[code] : &nothing;
    return code < VHU__COUNT(requests) ? &requests[code] : &nothing;
}

const vhu__layout *vhu__layout_of_reply(const vhu__request *row, bool back_channel, size_t len)
{
    switch (row->reply) {
    case VHU__REPLY_ACK:
    case VHU__REPLY_STATUS:
        break;
    case VHU__REPLY_U64:
        return &u64_replies[row->code];
    case VHU__REPLY_VRING:
        return &vring_state_reply;
    case VHU__REPLY_LOG:
        /* Peers answer with nothing, the log's size, or the request again. */
        if (len == 0)
            return &nothing;
        return len >= 16 ? &vhu__layout_log : &vhu__layout_status;
    case VHU__REPLY_HANDLE:
        if (len == 0 && !back_channel)
            return &nothing;
        break;
    case VHU__REPLY_MEMORY:
        if (len != 8)
            return vhu__layout_of_request(row->code, false);
        break;
    case VHU__REPLY_CONFIG:
        if (len == 0)
            return &nothing;
        return &special_replies[row->reply];
    case VHU__REPLY_SESSION:
    case VHU__REPLY_INFLIGHT:
    case VHU__REPLY_STATE:
    case VHU__REPLY_SHMEM:
        return &special_replies[row->reply];
    }
    return &vhu__layout_status;
}
