/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/liar.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/probe_rig.h"

struct passed {
    vhu_msg_header header;
    uint8_t payload[VHU_MAX_PAYLOAD];
    int handles[VHU_MAX_HANDLES];
    size_t num_handles;
};

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(VHU_MAX_HANDLES * sizeof(int))];
};

/* --- messages --- */

/* Whole, or a header whose payload is too long; false: the end. */
static bool take(int fd, struct passed *m)
{
    union control control;
    struct iovec iov = {&m->header, sizeof m->header};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof control.bytes};

    m->num_handles = 0;
    const ssize_t n = recvmsg(fd, &msg, MSG_WAITALL | MSG_CMSG_CLOEXEC);
    const struct cmsghdr *c = n > 0 ? CMSG_FIRSTHDR(&msg) : NULL;
    if (c) {
        m->num_handles = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(m->handles, CMSG_DATA(c), m->num_handles * sizeof(int));
    }
    if (n != (ssize_t)sizeof m->header)
        return false;
    const size_t size = m->header.size;
    return size == 0 || size > sizeof m->payload ||
           recv(fd, m->payload, size, MSG_WAITALL) == (ssize_t)size;
}

static void drop_handles(struct passed *m)
{
    while (m->num_handles > 0)
        close(m->handles[--m->num_handles]);
}

/* Whoever does not take it any more shows that otherwise. */
static void give(int fd, const struct passed *m)
{
    union control control = {{0}};
    const size_t size = m->header.size > sizeof m->payload ? 0 : m->header.size;
    uint8_t bytes[sizeof m->header + sizeof m->payload];
    struct iovec iov = {bytes, sizeof m->header + size};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    memcpy(bytes, &m->header, sizeof m->header);
    memcpy(bytes + sizeof m->header, m->payload, size);
    if (m->num_handles > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(m->num_handles * sizeof(int));
        control.align.cmsg_level = SOL_SOCKET;
        control.align.cmsg_type = SCM_RIGHTS;
        control.align.cmsg_len = CMSG_LEN(m->num_handles * sizeof(int));
        memcpy(CMSG_DATA(&control.align), m->handles, m->num_handles * sizeof(int));
    }
    (void)!sendmsg(fd, &msg, MSG_NOSIGNAL);
}

/* --- lies --- */

static void answer(int front, uint32_t request, uint64_t value)
{
    struct passed reply = {.header = {request, VHU_VERSION_1 | VHU_FLAG_REPLY, sizeof value}};

    memcpy(reply.payload, &value, sizeof value);
    give(front, &reply);
}

/* Whether the request goes on. */
static bool lie_about_request(struct liar *liar, int front, struct passed *m)
{
    const bool asks = (m->header.flags & VHU_FLAG_NEED_REPLY) != 0;
    const uint32_t zero = 0;

    if (m->header.request != liar->request)
        return true;
    switch (liar->kind) {
    case LIE_ACKNOWLEDGE:
    case LIE_REFUSE:
        if (asks)
            answer(front, m->header.request, liar->kind == LIE_REFUSE);
        return !asks;
    case LIE_ALWAYS_ACKNOWLEDGE:
        answer(front, m->header.request, 0);
        return false;
    case LIE_SILENT:
        return false;
    case LIE_WAIT:
        return m->header.size <= sizeof m->payload;
    case LIE_KEEP_HANDLES:
        if (m->num_handles > 0)
            liar->kept = m->handles[--m->num_handles];
        return true;
    case LIE_NO_OFFSET:
        memcpy(m->payload, &zero, sizeof zero);
        return true;
    default:
        return true;
    }
}

static void lie_about_reply(struct liar *liar, int front, struct passed *m)
{
    if (m->header.request == liar->request) {
        switch (liar->kind) {
        case LIE_NEED_REPLY:
            m->header.flags |= VHU_FLAG_NEED_REPLY;
            break;
        case LIE_LONGER:
            m->header.size += 4;
            break;
        case LIE_TWICE:
            give(front, m);
            break;
        case LIE_OTHER_CODE:
            ++m->header.request;
            break;
        case LIE_EVERY_OTHER:
            m->payload[0] ^= (uint8_t)(liar->replies++ & 1);
            break;
        case LIE_ONE_MORE:
            ++m->payload[4];
            break;
        case LIE_AT_MOST_256:
            if (m->header.size > sizeof(vhu_config_header) + 256)
                m->header.size = sizeof(vhu_config_header) + 256;
            break;
        default:
            break;
        }
    }
    give(front, m);
}

/* --- passing on --- */

static void serve(struct liar *liar, int front, int back)
{
    struct pollfd fds[] = {{.fd = front, .events = POLLIN}, {.fd = back, .events = POLLIN}};
    bool open = true;

    while (open && poll(fds, 2, -1) > 0) {
        struct passed m = {.num_handles = 0};
        if (fds[1].revents) {
            open = take(back, &m);
            if (open)
                lie_about_reply(liar, front, &m);
        } else {
            open = take(front, &m);
            if (open && lie_about_request(liar, front, &m))
                give(back, &m);
        }
        drop_handles(&m);
    }
}

static void *serve_all(void *arg)
{
    struct liar *liar = arg;
    int front;

    while ((front = accept4(liar->listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        const int back = probe_connect("disk");
        serve(liar, front, back);
        close(back);
        close(front);
    }
    return NULL;
}

void liar_start(struct liar *liar, enum lie_kind kind, uint32_t request)
{
    *liar = (struct liar){
        .kind = kind, .request = request, .listener = probe_listen("socket"), .kept = -1};
    assert_int_equal(pthread_create(&liar->thread, NULL, serve_all, liar), 0);
}

void liar_stop(struct liar *liar)
{
    shutdown(liar->listener, SHUT_RDWR);
    pthread_join(liar->thread, NULL);
    close(liar->listener);
    if (liar->kept >= 0)
        close(liar->kept);
}
