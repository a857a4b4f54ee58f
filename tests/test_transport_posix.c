/* SPDX-License-Identifier: BSD-3-Clause */
/* What sockets alone can do to a connection. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>

#include "conn.h"
#include "support/rig.h"

static vhu_conn *conn;
static rig r;

/* A connection on one end, and the other in blocking mode. */
static int open_socket(int type)
{
    int fds[2];

    assert_int_equal(socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(vhu_conn_adopt(&conn, &fds[0], NULL), 0);
    assert_int_equal(fds[0], VHU_NO_HANDLE);
    return fds[1];
}

/* A request without payload, and copies of one descriptor, more than the library sends. */
static void send_with_handles(int fd, size_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(PEER_MAX_HANDLES * sizeof(int))];
    } control;
    vhu_msg_header header = {VHU_REQ_SET_OWNER, VHU_VERSION_1 | VHU_FLAG_NEED_REPLY, 0};
    struct iovec iov = {.iov_base = &header, .iov_len = sizeof(header)};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = CMSG_SPACE(n * sizeof(int))};
    vhu_handle handles[PEER_MAX_HANDLES];

    handles_open(handles, n);
    memset(&control, 0, sizeof(control));
    control.align.cmsg_level = SOL_SOCKET;
    control.align.cmsg_type = SCM_RIGHTS;
    control.align.cmsg_len = CMSG_LEN(n * sizeof(int));
    memcpy(CMSG_DATA(&control.align), handles, n * sizeof(int));
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), sizeof(header));
    handles_close(handles, n);
}

static const int types[] = {SOCK_STREAM, SOCK_SEQPACKET};

static int wait_and_receive(void)
{
    vhu_msg_header header;

    vhu_conn_wait(conn, 0);
    return vhu__conn_recv_header(conn, &header);
}

/* The kernel drops what does not fit the control buffer: nobody knows then what is missing. */
static void test_truncated_control(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        for (size_t n = 33; n <= 64; n += 31) {
            int fd = open_socket(types[i]);

            send_with_handles(fd, n);
            assert_int_equal(wait_and_receive(), VHU_EINVALID_MESSAGE);
            assert_false(vhu_conn_is_open(conn));
            vhu_conn_free(conn);
            vhu_handle_close(&fd);
        }
    }
}

/* A server does not answer then, though it was asked to. */
static void test_server_and_truncated_control(void **state)
{
    static const int kinds[] = {PAIR_STREAM, PAIR_SEQPACKET};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        rig_open(&r, kinds[i], NULL);
        rig_negotiate_for(&r, NULL);
        send_with_handles(vhu_stream_transport(r.peer.stream)->wait_handle(r.peer.stream), 33);
        assert_int_equal(rig_serve(&r), VHU_EINVALID_MESSAGE);
        rig_expect_closed(&r);
        rig_close(&r);
    }
}

/* What is no message at all looks like the end. */
static void test_empty_packet(void **state)
{
    int fd = open_socket(SOCK_SEQPACKET);

    (void)state;
    assert_int_equal(send(fd, "", 0, 0), 0);
    assert_int_equal(wait_and_receive(), VHU_ECLIENT_EXIT);
    vhu_conn_free(conn);
    vhu_handle_close(&fd);
}

/* The mode of an inherited socket is shared with others: it is left as it is, and never blocks. */
static void test_mode_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int other = open_socket(types[i]);
        int fd = vhu_conn_wait_handle(conn);
        vhu_msg_header header;

        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(vhu__conn_recv_header(conn, &header), VHU_EAGAIN);
        assert_int_equal(fcntl(fd, F_GETFL) & O_NONBLOCK, 0);
        vhu_conn_free(conn);
        vhu_handle_close(&other);
    }
}

/* Its maker can have it bring descriptors that nobody has sent. */
static void test_unasked_pidfd(void **state)
{
    enum { PASS_PIDFD = 76 }; /* SO_PASSPIDFD, which older headers do not have */
    const int on = 1;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        int other = open_socket(types[i]);
        int set = setsockopt(vhu_conn_wait_handle(conn), SOL_SOCKET, PASS_PIDFD, &on, sizeof(on));

        assert_true(set == 0 || errno == ENOPROTOOPT);
        send_with_handles(other, 1);
        assert_int_equal(wait_and_receive(), 0);
        assert_int_equal(vhu__conn_take_handles(conn, NULL, 0), 1);
        vhu_conn_free(conn);
        vhu_handle_close(&other);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_truncated_control), leakcheck_test(test_server_and_truncated_control),
        leakcheck_test(test_empty_packet),      leakcheck_test(test_mode_is_kept),
        leakcheck_test(test_unasked_pidfd),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
