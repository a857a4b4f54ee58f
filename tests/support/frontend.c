/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/frontend.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum { REGION_SIZE = 1 << 20, MAX_TURNS = 1000000, SHORT_MS = 5 };

/* --- life --- */

int frontend_eventfd(void)
{
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
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
    r->kick = frontend_eventfd();
    r->call = frontend_eventfd();
    r->err = frontend_eventfd();
    r->poke = frontend_eventfd();
    atomic_init(&r->next_call, -1);
    atomic_init(&r->next_kick, -1);
}

void frontend_open(frontend *f, int fd, size_t regions, size_t spare, uint32_t rings, uint32_t size,
                   uint64_t features)
{
    void (*turn)(void *arg) = f->turn;
    void *turn_arg = f->turn_arg;

    *f = (frontend){.fd = fd, .channel = -1, .turn = turn, .turn_arg = turn_arg};
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
    vhu_handle_close(&f->fd);
    vhu_handle_close(&f->channel);
    f->acks = false;
}

void frontend_call_again(frontend *f, int fd)
{
    frontend_hang_up(f);
    f->fd = fd;
}

void frontend_close(frontend *f)
{
    frontend_hang_up(f);
    for (uint32_t i = 0; i < f->num_rings; i++) {
        frontend_ring *r = &f->rings[i];
        int next_call = atomic_load(&r->next_call);
        int next_kick = atomic_load(&r->next_kick);

        vhu_handle_close(&r->kick);
        vhu_handle_close(&r->call);
        vhu_handle_close(&r->err);
        vhu_handle_close(&r->poke);
        vhu_handle_close(&next_call);
        vhu_handle_close(&next_kick);
        free(r->seq_of);
    }
    free(f->rings);
    f->rings = NULL;
    f->num_rings = 0;
    driver_memory_destroy(&f->memory);
}

/* --- messages --- */

static void wait_for(const frontend *f, short events)
{
    struct pollfd p = {.fd = f->fd, .events = events};

    if (f->turn)
        f->turn(f->turn_arg);
    else
        poll(&p, 1, -1);
}

void frontend_send(frontend *f, uint32_t request, uint32_t flags, const void *payload,
                   uint32_t size, const int *fds, size_t n)
{
    vhu_msg_header header = {request, VHU_VERSION_1 | flags, size};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(VHU_MAX_HANDLES * sizeof(int))];
    } control = {0};
    struct iovec iov[2] = {{&header, sizeof(header)}, {(void *)(uintptr_t)payload, size}};
    struct msghdr msg = {.msg_iov = iov, .msg_iovlen = size ? 2 : 1};
    ssize_t sent;

    if (n > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)),
                                         .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n * sizeof(int));
    }
    /* A message this small goes whole or not at all. */
    while ((sent = sendmsg(f->fd, &msg, MSG_DONTWAIT | MSG_NOSIGNAL)) < 0 && errno == EAGAIN)
        wait_for(f, POLLOUT);
    if (sent >= 0)
        assert_int_equal(sent, sizeof(header) + size);
}

/* Have `len` bytes, to be received again if `peek`. */
static bool read_all(frontend *f, void *out, size_t len, bool peek)
{
    size_t done = 0;

    for (int turns = 0; done < len; turns++) {
        ssize_t n =
            recv(f->fd, (char *)out + done, len - done, MSG_DONTWAIT | (peek ? MSG_PEEK : 0));

        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR))
            return false;
        if (n > 0 && (!peek || (size_t)n == len)) {
            done += (size_t)n;
            continue;
        }
        assert_true(turns < MAX_TURNS);
        wait_for(f, POLLIN);
    }
    return true;
}

int frontend_recv(frontend *f, uint32_t request, void *payload, uint32_t size)
{
    uint8_t message[sizeof(vhu_msg_header) + VHU_MAX_PAYLOAD];
    vhu_msg_header header;

    /* In one piece, since a packet cannot be read in two. */
    if (!read_all(f, &header, sizeof(header), true))
        return -1;
    assert_int_equal(header.request, request);
    assert_int_equal(header.flags, VHU_VERSION_1 | VHU_FLAG_REPLY);
    assert_true(header.size <= size);
    if (!read_all(f, message, sizeof(header) + header.size, false))
        return -1;
    memcpy(payload, message + sizeof(header), header.size);
    return (int)header.size;
}

int64_t frontend_request(frontend *f, uint32_t request, const void *payload, uint32_t size,
                         const int *fds, size_t n)
{
    uint64_t status;

    frontend_send(f, request, f->acks ? VHU_FLAG_NEED_REPLY : 0, payload, size, fds, n);
    if (!f->acks)
        return 0;
    return frontend_recv(f, request, &status, sizeof(status)) == sizeof(status) ? (int64_t)status
                                                                                : -1;
}

void frontend_wait_loop(const frontend *f, int loop_fd, int timeout_ms)
{
    struct pollfd p[2] = {{.fd = loop_fd, .events = POLLIN}, {.fd = f->fd, .events = POLLIN}};

    poll(p, 2, timeout_ms < 0 || timeout_ms > SHORT_MS ? SHORT_MS : timeout_ms);
}

bool frontend_is_silent(const frontend *f)
{
    char byte;

    return recv(f->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 && errno == EAGAIN;
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
    vhu_vring_addr addr = driver_ring_addr(&f->rings[ring].driver);

    addr.index = ring;
    return frontend_request(f, VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0);
}

int64_t frontend_event(frontend *f, uint32_t request, uint32_t ring, int fd)
{
    const uint64_t value = ring | (fd < 0 ? 0x100u : 0);

    return frontend_request(f, request, &value, sizeof(value), &fd, fd < 0 ? 0 : 1);
}

int64_t frontend_table(frontend *f, size_t first, size_t n)
{
    struct {
        uint32_t n;
        uint32_t pad;
        vhu_mem_region regions[VHU_MAX_TABLE_REGIONS];
    } table = {.n = (uint32_t)n};
    int fds[VHU_MAX_TABLE_REGIONS];

    for (size_t i = 0; i < n; i++) {
        table.regions[i] = f->memory.regions[first + i];
        fds[i] = f->memory.fd;
    }
    return frontend_request(f, VHU_REQ_SET_MEM_TABLE, &table,
                            (uint32_t)(8 + n * sizeof(table.regions[0])), fds, n);
}

int64_t frontend_region(frontend *f, uint32_t request, size_t region)
{
    struct {
        uint64_t pad;
        vhu_mem_region region;
    } message = {.region = f->memory.regions[region]};

    return frontend_request(f, request, &message, sizeof(message), &f->memory.fd,
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
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(frontend_request(f, VHU_REQ_SET_BACKEND_REQ_FD, NULL, 0, &ends[1], 1), 0);
    vhu_handle_close(&ends[1]);
    vhu_handle_close(&f->channel);
    f->channel = ends[0];
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
        frontend_start_ring(f, i, f->rings[i].driver.avail_idx);
}
