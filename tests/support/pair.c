/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/pair.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conn.h"
#include "handles.h"
#include "os.h"
#include "wire.h"

const pair_kind pair_kinds[PAIR_KINDS] = {
    [PAIR_STREAM] = {"stream", false, true, true},
    [PAIR_SEQPACKET] = {"SEQPACKET", true, true, true},
    [PAIR_MEMORY_STREAM] = {"memory stream", false, false, false},
    [PAIR_MEMORY_MESSAGES] = {"memory messages", true, false, false},
};

void pair_open(peer *p, vhu_conn **conn, int kind, const vhu_conn_options *options)
{
    vhu_conn *conns[2];
    int fds[2];

    *p = (peer){.fd = -1, .messages = pair_kinds[kind].messages};
    if (kind == PAIR_STREAM || kind == PAIR_SEQPACKET) {
        int type = kind == PAIR_STREAM ? SOCK_STREAM : SOCK_SEQPACKET;

        assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
        assert_int_equal(vhu_conn_adopt(conn, &fds[0], options), 0);
        assert_int_equal(fds[0], VHU_NO_HANDLE);
        p->fd = fds[1];
        return;
    }
    assert_int_equal(
        vhu_conn_memory_pair(
            conns, kind == PAIR_MEMORY_STREAM ? VHU_MEMORY_STREAM : VHU_MEMORY_MESSAGES, options),
        0);
    *conn = conns[0];
    p->conn = conns[1];
}

/* --- sending --- */

static void send_to_socket(peer *p, const void *bytes, size_t len, const vhu_handle *handles,
                           size_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PEER_MAX_HANDLES * sizeof(int))];
    } control;
    struct iovec iov = {.iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    memcpy(&iov.iov_base, &bytes, sizeof(bytes));
    memset(&control, 0, sizeof(control));
    if (n > 0) {
        struct cmsghdr *c = &control.align;

        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(c), handles, n * sizeof(int));
    }
    assert_int_equal(sendmsg(p->fd, &msg, MSG_NOSIGNAL), len);
}

void peer_send(peer *p, const void *bytes, size_t len, const vhu_handle *handles, size_t n)
{
    vhu_handle copies[PEER_MAX_HANDLES];

    if (p->fd >= 0) {
        send_to_socket(p, bytes, len, handles, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        assert_int_equal(os_handle_dup(handles[i], &copies[i]), 0);
    assert_int_equal(vhu__conn_send(p->conn, bytes, len, copies, n), 0);
}

size_t message_bytes(const message *m, uint8_t *out)
{
    vhu__wire_store_header(out, &m->header);
    memcpy(out + VHU__WIRE_HEADER, m->payload, m->header.size);
    return VHU__WIRE_HEADER + m->header.size;
}

void peer_send_message(peer *p, const message *m)
{
    uint8_t bytes[VHU__WIRE_HEADER + sizeof(m->payload)];
    size_t len = message_bytes(m, bytes);

    peer_send(p, bytes, len, m->handles, m->num_handles);
}

/* --- receiving --- */

/* One recvmsg; false at the end, and where nothing has come. */
static ssize_t recv_from_socket(peer *p, void *bytes, size_t len, message *m)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PEER_MAX_HANDLES * sizeof(int))];
    } control;
    struct iovec iov = {.iov_base = bytes, .iov_len = len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t r = recvmsg(p->fd, &msg, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (r < 0)
        return -1;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
        size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        assert_int_equal(c->cmsg_type, SCM_RIGHTS);
        memcpy(m->handles + m->num_handles, CMSG_DATA(c), n * sizeof(int));
        m->num_handles += n;
    }
    return r;
}

static bool recv_message_from_socket(peer *p, message *m)
{
    uint8_t bytes[VHU__WIRE_HEADER + sizeof(m->payload)];
    size_t have = 0;
    size_t need = VHU__WIRE_HEADER;

    while (have < need) {
        size_t room = p->messages ? sizeof(bytes) : need - have;
        ssize_t n = recv_from_socket(p, bytes + have, room, m);

        if (n <= 0)
            return false;
        have += (size_t)n;
        if (have >= VHU__WIRE_HEADER) {
            vhu__wire_load_header(&m->header, bytes);
            need = VHU__WIRE_HEADER + m->header.size;
            assert_true(need <= sizeof(bytes));
        }
    }
    assert_int_equal(have, need);
    memcpy(m->payload, bytes + VHU__WIRE_HEADER, m->header.size);
    return true;
}

bool peer_recv(peer *p, message *m)
{
    const uint8_t *payload;

    memset(m, 0, sizeof(*m));
    if (p->fd >= 0)
        return recv_message_from_socket(p, m);
    if (vhu__conn_recv_header(p->conn, &m->header) < 0)
        return false;
    assert_int_equal(vhu__conn_recv_payload(p->conn, &payload), 0);
    memcpy(m->payload, payload, m->header.size);
    m->num_handles = vhu__conn_take_handles(p->conn, m->handles, PEER_MAX_HANDLES);
    vhu__conn_consume(p->conn);
    return true;
}

bool peer_sees_end(peer *p)
{
    message m;
    char byte;
    ssize_t n;

    if (p->fd < 0) {
        vhu_msg_header header;
        int r = vhu__conn_recv_header(p->conn, &header);

        return r == VHU_ECLIENT_EXIT || r == VHU_EDISCONNECT;
    }
    memset(&m, 0, sizeof(m));
    n = recv_from_socket(p, &byte, 1, &m);
    assert_int_equal(m.num_handles, 0);
    return n == 0 || (n < 0 && errno == ECONNRESET);
}

void peer_close(peer *p)
{
    vhu_handle_close(&p->fd);
    vhu_conn_free(p->conn);
    p->conn = NULL;
}

void message_close_handles(message *m)
{
    vhu__close_all(m->handles, m->num_handles);
    m->num_handles = 0;
}

/* --- handles --- */

void handles_open(vhu_handle *handles, size_t n)
{
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(os_handle_dup(ends[1], &handles[i]), 0);
    vhu__close_all(ends, 2);
}

void handles_close(vhu_handle *handles, size_t n)
{
    vhu__close_all(handles, n);
}

bool handles_same(vhu_handle a, vhu_handle b)
{
    struct stat x;
    struct stat y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}
