/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/client_calls.h"

#include <string.h>

static const vhu_mem_region the_region = {0x10000, 0x4000, 0x7f0000010000, 0x1000};
static const vhu_vring_addr the_addr = {
    .index = 2, .desc = 0x1000, .used = 0x2004, .avail = 0x3002};
static const vhu_log_area the_log = {0x1000, 0x200};
static const vhu_iotlb_msg the_iotlb = {0x1000, 0x1000, 0x7f0000001000, VHU_IOTLB_RW, 2, {0}};
static const uint8_t zeroes[64];

void call_open(call *c, uint32_t code)
{
    vhu_stream *stream;

    memset(c, 0, sizeof(*c));
    c->code = code;
    c->handle = c->result = VHU_NO_HANDLE;
    c->region = the_region;
    c->inflight = (vhu_inflight_area){0x4000, 0, 2, 128};
    if (request_spec_of(code)->handles == 0)
        return;
    if (code != VHU_REQ_SET_BACKEND_REQ_FD) {
        handles_open(&c->handle, 1);
        return;
    }
    assert_int_equal(vhu_stream_open_channel(&stream, &c->handle, NULL), 0);
    vhu_stream_free(stream);
}

void call_close(call *c)
{
    handles_close(&c->handle, 1);
    handles_close(&c->result, 1);
}

static int send_ring_request(call *c, vhu_backend_client *client)
{
    switch (c->code) {
    case VHU_REQ_SET_VRING_NUM:
        return vhu_backend_client_set_vring_num(client, 2, 1);
    case VHU_REQ_SET_VRING_ADDR:
        return vhu_backend_client_set_vring_addr(client, &the_addr);
    case VHU_REQ_SET_VRING_BASE:
        return vhu_backend_client_set_vring_base(client, 2, 1);
    case VHU_REQ_GET_VRING_BASE:
        return vhu_backend_client_get_vring_base(client, 2, &c->base);
    case VHU_REQ_SET_VRING_KICK:
    case VHU_REQ_SET_VRING_CALL:
    case VHU_REQ_SET_VRING_ERR:
        return vhu_backend_client_set_vring_event(
            client, 0, (vhu_vring_event)(c->code - VHU_REQ_SET_VRING_KICK), c->handle);
    case VHU_REQ_SET_VRING_ENABLE:
        return vhu_backend_client_set_vring_enable(client, 2, true);
    case VHU_REQ_SET_VRING_ENDIAN:
        return vhu_backend_client_set_vring_endian(client, 2, true);
    default:
        assert_int_equal(c->code, VHU_REQ_VRING_KICK);
        return vhu_backend_client_vring_kick(client, 2);
    }
}

static int send_memory_request(call *c, vhu_backend_client *client)
{
    switch (c->code) {
    case VHU_REQ_SET_MEM_TABLE:
        return vhu_backend_client_set_mem_table(client, &c->region, 1, &c->handle);
    case VHU_REQ_ADD_MEM_REG:
        return vhu_backend_client_add_mem_reg(client, &c->region, c->handle);
    case VHU_REQ_REM_MEM_REG:
        return vhu_backend_client_rem_mem_reg(client, &c->region);
    case VHU_REQ_GET_MAX_MEM_SLOTS:
        return vhu_backend_client_get_max_mem_slots(client, &c->number);
    case VHU_REQ_IOTLB_MSG:
        return vhu_backend_client_iotlb_msg(client, &the_iotlb);
    case VHU_REQ_SET_LOG_BASE:
        return vhu_backend_client_set_log_base(client, &the_log, c->handle);
    case VHU_REQ_SET_LOG_FD:
        return vhu_backend_client_set_log_fd(client, c->handle);
    case VHU_REQ_GET_INFLIGHT_FD:
        return vhu_backend_client_get_inflight_fd(client, &c->inflight, &c->result);
    case VHU_REQ_SET_INFLIGHT_FD:
        return vhu_backend_client_set_inflight_fd(client, &c->inflight, c->handle);
    default:
        return send_ring_request(c, client);
    }
}

static int send_device_request(call *c, vhu_backend_client *client)
{
    const vhu_device_state state = {VHU_STATE_SAVE, VHU_STATE_STOPPED};

    switch (c->code) {
    case VHU_REQ_GET_CONFIG:
        return vhu_backend_client_get_config(client, 4, c->config, 8);
    case VHU_REQ_SET_CONFIG:
        return vhu_backend_client_set_config(client, 4, zeroes, 8, VHU_CONFIG_WRITABLE);
    case VHU_REQ_CREATE_CRYPTO_SESSION:
        return vhu_backend_client_create_crypto_session(client, zeroes, 64, &c->session);
    case VHU_REQ_CLOSE_CRYPTO_SESSION:
        return vhu_backend_client_close_crypto_session(client, 0);
    case VHU_REQ_SEND_RARP:
        return vhu_backend_client_send_rarp(client, zeroes);
    case VHU_REQ_NET_SET_MTU:
        return vhu_backend_client_net_set_mtu(client, 1500);
    case VHU_REQ_SET_BACKEND_REQ_FD:
        return vhu_backend_client_set_backend_req_fd(client, c->handle);
    case VHU_REQ_GPU_SET_SOCKET:
        return vhu_backend_client_gpu_set_socket(client, c->handle);
    case VHU_REQ_GET_SHARED_OBJECT:
        return vhu_backend_client_get_shared_object(client, zeroes, &c->result);
    case VHU_REQ_GET_SHMEM_CONFIG:
        return vhu_backend_client_get_shmem_config(client, &c->shmem);
    case VHU_REQ_POSTCOPY_ADVISE:
        return vhu_backend_client_postcopy_advise(client, &c->result);
    case VHU_REQ_POSTCOPY_LISTEN:
        return vhu_backend_client_postcopy_listen(client);
    case VHU_REQ_POSTCOPY_END:
        return vhu_backend_client_postcopy_end(client);
    case VHU_REQ_SET_DEVICE_STATE_FD:
        return vhu_backend_client_set_device_state_fd(client, &state, c->handle, &c->result);
    case VHU_REQ_CHECK_DEVICE_STATE:
        return vhu_backend_client_check_device_state(client);
    default:
        return send_memory_request(c, client);
    }
}

int call_send(call *c, vhu_backend_client *client)
{
    switch (c->code) {
    case VHU_REQ_GET_FEATURES:
        return vhu_backend_client_get_features(client, &c->number);
    case VHU_REQ_SET_FEATURES:
        return vhu_backend_client_set_features(client, VHU_BIT(VHU_F_PROTOCOL_FEATURES));
    case VHU_REQ_GET_PROTOCOL_FEATURES:
        return vhu_backend_client_get_protocol_features(client, &c->number);
    case VHU_REQ_SET_PROTOCOL_FEATURES:
        return vhu_backend_client_set_protocol_features(client, VHU_BIT(VHU_PF_REPLY_ACK));
    case VHU_REQ_SET_OWNER:
        return vhu_backend_client_set_owner(client);
    case VHU_REQ_RESET_OWNER:
        return vhu_backend_client_reset_owner(client);
    case VHU_REQ_RESET_DEVICE:
        return vhu_backend_client_reset_device(client);
    case VHU_REQ_GET_QUEUE_NUM:
        return vhu_backend_client_get_queue_num(client, &c->number);
    case VHU_REQ_SET_STATUS:
        return vhu_backend_client_set_status(client, 0);
    case VHU_REQ_GET_STATUS:
        return vhu_backend_client_get_status(client, &c->number);
    default:
        return send_device_request(c, client);
    }
}

/* --- replies --- */

static void put(message *m, const void *bytes, size_t n)
{
    memcpy(m->payload, bytes, n);
}

void reply_build(const request_spec *spec, message *m)
{
    const uint64_t number = 0x1122334455667788;
    const uint64_t none = 0x100;
    const vhu_vring_state base = {2, 0x1234};
    const vhu_config_header config = {4, 8, 0};
    const vhu_inflight_area inflight = {0x10000, 0x40, 2, 128};
    const int64_t session = 77;
    vhu_shmem_config shmem = {.num_regions = 1};

    memset(m, 0, sizeof(*m));
    m->header =
        (vhu_msg_header){spec->code, VHU_VERSION_1 | VHU_FLAG_REPLY,
                         spec->reply_size == SPEC_NO_REPLY ? 8 : (uint32_t)spec->reply_size};
    m->num_handles = spec->reply_handles;
    switch (spec->code) {
    case VHU_REQ_GET_FEATURES:
    case VHU_REQ_GET_PROTOCOL_FEATURES:
    case VHU_REQ_GET_QUEUE_NUM:
    case VHU_REQ_GET_MAX_MEM_SLOTS:
    case VHU_REQ_GET_STATUS:
        put(m, &number, sizeof(number));
        break;
    case VHU_REQ_GET_VRING_BASE:
        put(m, &base, sizeof(base));
        break;
    case VHU_REQ_GET_CONFIG:
        put(m, &config, sizeof(config));
        for (size_t i = 0; i < 8; i++)
            m->payload[sizeof(config) + i] = (uint8_t)(i + 4);
        break;
    case VHU_REQ_CREATE_CRYPTO_SESSION:
        put(m, &session, sizeof(session));
        break;
    case VHU_REQ_GET_INFLIGHT_FD:
        put(m, &inflight, sizeof(inflight));
        break;
    case VHU_REQ_SET_DEVICE_STATE_FD:
        if (m->num_handles == 0)
            put(m, &none, sizeof(none));
        break;
    case VHU_REQ_GET_SHMEM_CONFIG:
        shmem.sizes[3] = 0x200000;
        put(m, &shmem, sizeof(shmem));
        break;
    default:
        break;
    }
}

bool reply_build_failure(const request_spec *spec, message *m)
{
    const uint64_t one = 1;
    const uint64_t state = 0x101;
    const int64_t session = -1;

    reply_build(spec, m);
    m->num_handles = 0;
    switch (spec->failure) {
    case SPEC_ACK:
    case SPEC_STATUS:
        put(m, &one, sizeof(one));
        return true;
    case SPEC_STATE:
        put(m, &state, sizeof(state));
        return true;
    case SPEC_EMPTY:
    case SPEC_NO_HANDLE:
        m->header.size = 0;
        return true;
    case SPEC_INFLIGHT:
        memset(m->payload, 0, 24);
        return true;
    case SPEC_SESSION:
        put(m, &session, sizeof(session));
        return true;
    case SPEC_CLOSE:
        break;
    }
    return false;
}

void call_expect_results(const call *c)
{
    const request_spec *spec = request_spec_of(c->code);
    message m;

    reply_build(spec, &m);
    assert_int_equal(c->result != VHU_NO_HANDLE, spec->reply_handles > 0);
    switch (c->code) {
    case VHU_REQ_GET_FEATURES:
    case VHU_REQ_GET_PROTOCOL_FEATURES:
    case VHU_REQ_GET_QUEUE_NUM:
    case VHU_REQ_GET_MAX_MEM_SLOTS:
    case VHU_REQ_GET_STATUS:
        assert_memory_equal(&c->number, m.payload, 8);
        break;
    case VHU_REQ_GET_VRING_BASE:
        assert_memory_equal(&c->base, m.payload + 4, 4);
        break;
    case VHU_REQ_GET_CONFIG:
        assert_memory_equal(c->config, m.payload + 12, 8);
        break;
    case VHU_REQ_CREATE_CRYPTO_SESSION:
        assert_memory_equal(&c->session, m.payload, 8);
        break;
    case VHU_REQ_GET_INFLIGHT_FD:
        assert_memory_equal(&c->inflight, m.payload, 20);
        break;
    case VHU_REQ_GET_SHMEM_CONFIG:
        assert_memory_equal(&c->shmem, m.payload, sizeof(c->shmem));
        break;
    default:
        break;
    }
}
