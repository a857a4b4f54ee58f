/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/frontend.h"

#include <stdlib.h>
#include <string.h>

enum { REGION_SIZE = 1 << 20, MAX_TURNS = 1000000 };

/* --- life --- */

vhu_event *frontend_event_new(void)
{
    vhu_event *event = NULL;

    assert_int_equal(vhu_event_new(&event), 0);
    return event;
}

static void open_ring(frontend *f, uint32_t i, size_t regions, uint32_t size)
{
    frontend_ring *r = &f->rings[i];
    size_t region = i % regions;
    uint64_t share = REGION_SIZE / ((f->num_rings + regions - 1) / regions) & ~UINT64_C(15);
    uint64_t at = f->memory.regions[region].guest_addr + i / regions * share;

    r->index = i;
    assert_int_equal(driver_ring_init(&r->driver, &f->memory, at, size, f->features), 0);
    r->data = r->driver.end_addr;
    assert_true(r->data + (uint64_t)size * FRONTEND_SLOT <= at + share);
    r->seq_of = malloc(size * sizeof(r->seq_of[0]));
    assert_non_null(r->seq_of);
    memset(r->seq_of, 0xff, size * sizeof(r->seq_of[0]));
    r->in_order = true;
    r->kick = frontend_event_new();
    r->call = frontend_event_new();
    r->err = frontend_event_new();
    r->poke = frontend_event_new();
    atomic_init(&r->next_call, NULL);
    atomic_init(&r->next_kick, NULL);
}

void frontend_open(frontend *f, vhu_stream *stream, size_t regions, size_t spare, uint32_t rings,
                   uint32_t size, uint64_t features)
{
    void (*turn)(void *arg) = f->turn;
    void *turn_arg = f->turn_arg;

    *f = (frontend){.stream = stream, .turn = turn, .turn_arg = turn_arg};
    f->features = features;
    f->num_rings = rings;
    assert_int_equal(driver_memory_init(&f->memory, REGION_SIZE, regions, REGION_SIZE), 0);
    f->rings = calloc(rings, sizeof(f->rings[0]));
    assert_non_null(f->rings);
    for (uint32_t i = 0; i < rings; i++)
        open_ring(f, i, regions - spare, size);
}

void frontend_hang_up(frontend *f)
{
    vhu_stream_free(f->stream);
    vhu_stream_free(f->channel);
    f->stream = f->channel = NULL;
    f->reply.have = f->iommu.message.have = 0;
    if (f->reply.num_handles > 0)
        vhu_handle_close(&f->reply.handle);
    f->reply.num_handles = 0;
    f->acks = false;
}

void frontend_call_again(frontend *f, vhu_stream *stream)
{
    frontend_hang_up(f);
    f->stream = stream;
}

void frontend_close(frontend *f)
{
    frontend_hang_up(f);
    for (uint32_t i = 0; i < f->num_rings; i++) {
        frontend_ring *r = &f->rings[i];

        vhu_event_free(r->kick);
        vhu_event_free(r->call);
        vhu_event_free(r->err);
        vhu_event_free(r->poke);
        vhu_event_free(atomic_load(&r->next_call));
        vhu_event_free(atomic_load(&r->next_kick));
        free(r->seq_of);
    }
    free(f->rings);
    f->rings = NULL;
    f->num_rings = 0;
    driver_memory_destroy(&f->memory);
}

/* --- messages --- */

static void wait_for(const frontend *f, vhu_stream *stream, unsigned events)
{
    if (f->turn)
        f->turn(f->turn_arg);
    else
        vhu_stream_transport(stream)->wait(stream, events, -1);
}

static int try_send(frontend *f, const vhu_msg_header *header, const void *payload,
                    const vhu_handle *handles, size_t n)
{
    uint8_t message[FRONTEND_MESSAGE];
    const size_t len = sizeof(*header) + header->size;
    int r;

    assert_true(len <= sizeof(message));
    memcpy(message, header, sizeof(*header));
    if (header->size > 0)
        memcpy(message + sizeof(*header), payload, header->size);
    r = vhu_stream_transport(f->stream)->send(f->stream, message, len, handles, n);
    /* A message this small goes whole or not at all. */
    if (r > 0)
        assert_int_equal(r, len);
    else
        assert_true(r == VHU_EAGAIN || r == VHU_EDISCONNECT);
    return r;
}

void frontend_send(frontend *f, uint32_t request, uint32_t flags, const void *payload,
                   uint32_t size, const vhu_handle *handles, size_t n)
{
    const vhu_msg_header header = {request, VHU_VERSION_1 | flags, size};

    while (try_send(f, &header, payload, handles, n) == VHU_EAGAIN)
        wait_for(f, f->stream, VHU_WAIT_WRITE);
}

bool frontend_try_send(frontend *f, uint32_t request, const void *payload, uint32_t size)
{
    const vhu_msg_header header = {request, VHU_VERSION_1, size};

    return try_send(f, &header, payload, NULL, 0) > 0;
}

void frontend_send_bytes(frontend *f, const void *bytes, size_t len)
{
    assert_int_equal(vhu_stream_transport(f->stream)->send(f->stream, bytes, len, NULL, 0), len);
}

/* Receive the rest of a message, and no byte of the next: 0, VHU_EAGAIN, or why not. */
static int recv_rest(vhu_stream *stream, frontend_message *m)
{
    const vhu_transport *transport = vhu_stream_transport(stream);
    const bool whole = transport->flags & VHU_TRANSPORT_MESSAGES;
    vhu_msg_header header = {.size = 0};

    for (;;) {
        size_t need = sizeof(header);
        size_t num_handles = 1 - m->num_handles;
        int n;

        if (m->have >= need) {
            memcpy(&header, m->bytes, sizeof(header));
            need += header.size;
        }
        assert_true(need <= sizeof(m->bytes));
        if (m->have >= need) {
            assert_int_equal(m->have, need);
            return 0;
        }
        n = transport->recv(stream, m->bytes + m->have, whole ? sizeof(m->bytes) : need - m->have,
                            &m->handle, &num_handles);
        if (n < 0)
            return n;
        m->num_handles += num_handles;
        m->have += (size_t)n;
    }
}

/* Wait for a message: the size of its payload, -1 at the end. */
static int recv_message(frontend *f, vhu_stream *stream, frontend_message *m,
                        vhu_msg_header *header, void *payload, uint32_t size)
{
    int r;

    for (int turns = 0; (r = recv_rest(stream, m)) == VHU_EAGAIN; turns++) {
        assert_true(turns < MAX_TURNS);
        wait_for(f, stream, VHU_WAIT_READ);
    }
    if (r < 0)
        return -1;
    memcpy(header, m->bytes, sizeof(*header));
    assert_true(header->size <= size);
    if (header->size > 0)
        memcpy(payload, m->bytes + sizeof(*header), header->size);
    m->have = 0;
    return (int)header->size;
}

int frontend_recv(frontend *f, uint32_t request, void *payload, uint32_t size)
{
    vhu_msg_header header;
    int n = recv_message(f, f->stream, &f->reply, &header, payload, size);

    if (n < 0)
        return n;
    assert_int_equal(header.request, request);
    assert_int_equal(header.flags, VHU_VERSION_1 | VHU_FLAG_REPLY);
    return n;
}

vhu_msg_header frontend_take_channel(frontend *f, void *payload, uint32_t size, vhu_handle *handle)
{
    frontend_message m = {.have = 0};
    vhu_msg_header header;

    assert_int_equal(recv_message(f, f->channel, &m, &header, payload, size), size);
    *handle = m.num_handles > 0 ? m.handle : VHU_NO_HANDLE;
    return header;
}

vhu_msg_header frontend_recv_channel(frontend *f)
{
    vhu_handle none;
    vhu_msg_header header = frontend_take_channel(f, NULL, 0, &none);

    assert_int_equal(none, VHU_NO_HANDLE);
    return header;
}

static vhu_iotlb_msg iotlb_message(const frontend *f, uint8_t type, uint64_t iova, uint64_t size,
                                   uint8_t perm)
{
    return (vhu_iotlb_msg){iova, size, driver_memory_user(&f->memory, iova), perm, type, {0}};
}

int64_t frontend_iotlb(frontend *f, uint8_t type, uint64_t iova, uint64_t size, uint8_t perm)
{
    const vhu_iotlb_msg msg = iotlb_message(f, type, iova, size, perm);

    return frontend_request(f, VHU_REQ_IOTLB_MSG, &msg, sizeof(msg), NULL, 0);
}

static void answer_miss(frontend *f, const vhu_iotlb_msg *miss)
{
    const frontend_iommu *iommu = &f->iommu;
    const uint64_t page = iommu->page ? iommu->page : 4096;
    const vhu_iotlb_msg msg = iotlb_message(f, VHU_IOTLB_UPDATE, miss->iova & ~(page - 1), page,
                                            iommu->perm ? iommu->perm : miss->perm);

    /* Without an acknowledgement, as another request may wait for its own. */
    if (!iommu->silent && msg.user_addr != 0)
        frontend_send(f, VHU_REQ_IOTLB_MSG, 0, &msg, sizeof(msg), NULL, 0);
}

unsigned frontend_answer(frontend *f)
{
    frontend_iommu *iommu = &f->iommu;
    unsigned n = 0;

    while (f->channel && recv_rest(f->channel, &iommu->message) == 0) {
        vhu_msg_header header;

        memcpy(&header, iommu->message.bytes, sizeof(header));
        assert_int_equal(header.request, VHU_BACKEND_REQ_IOTLB_MSG);
        assert_int_equal(header.flags, VHU_VERSION_1);
        assert_int_equal(header.size, sizeof(iommu->last));
        memcpy(&iommu->last, iommu->message.bytes + sizeof(header), sizeof(iommu->last));
        iommu->message.have = 0;
        n++;
        if (iommu->last.type == VHU_IOTLB_MISS) {
            iommu->misses++;
            answer_miss(f, &iommu->last);
        } else {
            assert_int_equal(iommu->last.type, VHU_IOTLB_ACCESS_FAIL);
            iommu->fails++;
        }
    }
    return n;
}

uint32_t frontend_recv_inband(frontend *f, uint32_t *ring)
{
    frontend_message m = {.have = 0};
    vhu_msg_header header;
    vhu_vring_state vring;

    /* A message this small comes whole. */
    if (recv_rest(f->channel, &m) != 0)
        return 0;
    memcpy(&header, m.bytes, sizeof(header));
    assert_int_equal(header.size, sizeof(vring));
    assert_int_equal(header.flags, VHU_VERSION_1);
    memcpy(&vring, m.bytes + sizeof(header), sizeof(vring));
    assert_int_equal(vring.num, 0);
    *ring = vring.index;
    return header.request;
}

int64_t frontend_request(frontend *f, uint32_t request, const void *payload, uint32_t size,
                         const vhu_handle *handles, size_t n)
{
    uint64_t status;

    frontend_send(f, request, f->acks ? VHU_FLAG_NEED_REPLY : 0, payload, size, handles, n);
    if (!f->acks)
        return 0;
    return frontend_recv(f, request, &status, sizeof(status)) == sizeof(status) ? (int64_t)status
                                                                                : -1;
}

void frontend_get_area(frontend *f, vhu_inflight_area *area, vhu_handle *handle)
{
    frontend_send(f, VHU_REQ_GET_INFLIGHT_FD, 0, area, sizeof(*area), NULL, 0);
    assert_int_equal(frontend_recv(f, VHU_REQ_GET_INFLIGHT_FD, area, sizeof(*area)), sizeof(*area));
    *handle = f->reply.num_handles > 0 ? f->reply.handle : VHU_NO_HANDLE;
    f->reply.num_handles = 0;
}

int64_t frontend_set_area(frontend *f, const vhu_inflight_area *area, vhu_handle handle)
{
    return frontend_request(f, VHU_REQ_SET_INFLIGHT_FD, area, sizeof(*area), &handle, 1);
}

bool frontend_is_silent(frontend *f)
{
    return recv_rest(f->stream, &f->reply) == VHU_EAGAIN && f->reply.have == 0;
}

uint64_t frontend_get(frontend *f, uint32_t request)
{
    uint64_t value = 0;

    frontend_send(f, request, 0, NULL, 0, NULL, 0);
    assert_int_equal(frontend_recv(f, request, &value, sizeof(value)), sizeof(value));
    return value;
}

int64_t frontend_set(frontend *f, uint32_t request, uint64_t value)
{
    if (request == VHU_REQ_SET_PROTOCOL_FEATURES)
        f->acks = (value & VHU_BIT(VHU_PF_REPLY_ACK)) != 0;
    return frontend_request(f, request, &value, sizeof(value), NULL, 0);
}

int64_t frontend_vring(frontend *f, uint32_t request, uint32_t ring, uint32_t num)
{
    const vhu_vring_state state = {ring, num};

    return frontend_request(f, request, &state, sizeof(state), NULL, 0);
}

int64_t frontend_addr(frontend *f, uint32_t ring)
{
    return frontend_log_addr(f, ring, 0, 0);
}

int64_t frontend_log_addr(frontend *f, uint32_t ring, uint32_t flags, uint64_t log)
{
    vhu_vring_addr addr = driver_ring_addr(&f->rings[ring].driver);

    if (f->features & VHU_BIT(VHU_F_ACCESS_PLATFORM))
        addr = (vhu_vring_addr){.desc = f->rings[ring].driver.desc_addr,
                                .avail = f->rings[ring].driver.avail_addr,
                                .used = f->rings[ring].driver.used_addr};
    addr.index = ring;
    addr.flags = flags;
    addr.log = log;
    return frontend_request(f, VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

int64_t frontend_event_handle(frontend *f, uint32_t request, uint32_t ring, vhu_handle handle)
{
    const bool none = handle == VHU_NO_HANDLE;
    const uint64_t value = ring | (none ? 0x100u : 0);

    return frontend_request(f, request, &value, sizeof(value), &handle, none ? 0 : 1);
}

int64_t frontend_event(frontend *f, uint32_t request, uint32_t ring, vhu_event *event)
{
    vhu_handle handle = VHU_NO_HANDLE;
    int64_t status;

    if (event && request == VHU_REQ_SET_VRING_KICK)
        assert_int_equal(vhu_event_dup_wait(event, &handle), 0);
    else if (event)
        assert_int_equal(vhu_event_dup_signal(event, &handle), 0);
    status = frontend_event_handle(f, request, ring, handle);
    vhu_handle_close(&handle);
    return status;
}

int64_t frontend_table(frontend *f, size_t first, size_t n)
{
    struct {
        uint32_t n;
        uint32_t pad;
        vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    } table = {.n = (uint32_t)n};
    vhu_handle handles[VHU_MAX_TABLE_REGIONS];

    for (size_t i = 0; i < n; i++) {
        table.regions[i] = f->memory.regions[first + i];
        handles[i] = driver_memory_handle(&f->memory);
    }
    return frontend_request(f, VHU_REQ_SET_MEM_TABLE, &table,
                            (uint32_t)(8 + n * sizeof(table.regions[0])), handles, n);
}

int64_t frontend_region(frontend *f, uint32_t request, size_t region)
{
    struct {
        uint64_t pad;
        vhu_mem_region region;
    } message = {.region = f->memory.regions[region]};
    const vhu_handle handle = driver_memory_handle(&f->memory);

    return frontend_request(f, request, &message, sizeof(message), &handle,
                            request == VHU_REQ_ADD_MEM_REG ? 1 : 0);
}

uint32_t frontend_base(frontend *f, uint32_t ring)
{
    vhu_vring_state state = {ring, 0xdeadbeef};

    frontend_send(f, VHU_REQ_GET_VRING_BASE, 0, &state, sizeof(state), NULL, 0);
    assert_int_equal(frontend_recv(f, VHU_REQ_GET_VRING_BASE, &state, sizeof(state)),
                     sizeof(state));
    assert_int_equal(state.index, ring);
    return state.num;
}

/* --- sequences --- */

void frontend_channel(frontend *f)
{
    vhu_stream *channel;
    vhu_handle peer;

    assert_int_equal(vhu_stream_open_channel(&channel, &peer, f->stream), 0);
    assert_int_equal(frontend_request(f, VHU_REQ_SET_BACKEND_REQ_FD, NULL, 0, &peer, 1), 0);
    vhu_handle_close(&peer);
    vhu_stream_free(f->channel);
    f->channel = channel;
}

void frontend_handshake(frontend *f, uint64_t protocol_features)
{
    const uint64_t features = frontend_get(f, VHU_REQ_GET_FEATURES);

    assert_int_equal(features & f->features, f->features);
    assert_int_equal(frontend_get(f, VHU_REQ_GET_PROTOCOL_FEATURES) & protocol_features,
                     protocol_features);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_PROTOCOL_FEATURES, protocol_features), 0);
    if (protocol_features & VHU_BIT(VHU_PF_MQ))
        assert_true(frontend_get(f, VHU_REQ_GET_QUEUE_NUM) >= f->num_rings);
    if (protocol_features & VHU_BIT(VHU_PF_CONFIGURE_MEM_SLOTS))
        assert_int_equal(frontend_get(f, VHU_REQ_GET_MAX_MEM_SLOTS), VHU_MAX_MEM_SLOTS);
    if (protocol_features & VHU_BIT(VHU_PF_BACKEND_REQ))
        frontend_channel(f);
    assert_int_equal(frontend_request(f, VHU_REQ_SET_OWNER, NULL, 0, NULL, 0), 0);
    assert_int_equal(frontend_get(f, VHU_REQ_GET_FEATURES), features);
    for (uint32_t i = 0; i < f->num_rings; i++) {
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, i, f->rings[i].call), 0);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_ERR, i, f->rings[i].err), 0);
    }
}

void frontend_share(frontend *f, size_t n)
{
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    if (!f->acks) {
        assert_int_equal(frontend_table(f, 0, n), 0);
        return;
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(frontend_region(f, VHU_REQ_ADD_MEM_REG, i), 0);
}

void frontend_start_ring(frontend *f, uint32_t ring, uint32_t base)
{
    frontend_ring *r = &f->rings[ring];

    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, ring, r->driver.num), 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, ring, base), 0);
    assert_int_equal(frontend_addr(f, ring), 0);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, ring, r->kick), 0);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, ring, r->call), 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, ring, 1), 0);
}

uint32_t frontend_stop_ring(frontend *f, uint32_t ring)
{
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, ring, 0), 0);
    return frontend_base(f, ring);
}

void frontend_start(frontend *f)
{
    frontend_handshake(f, FRONTEND_PROTOCOL);
    frontend_share(f, f->memory.num_regions);
    for (uint32_t i = 0; i < f->num_rings; i++)
        frontend_start_ring(f, i, driver_ring_base(&f->rings[i].driver));
}
