/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_event_kinds.h"

#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "util.h"

static int make_eventfd(int ends[2], int flags)
{
    ends[0] = eventfd(0, EFD_CLOEXEC | flags);
    ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    return ends[1] < 0 ? -1 : 0;
}

static int eventfd_nonblocking(int ends[2])
{
    return make_eventfd(ends, EFD_NONBLOCK);
}

static int eventfd_blocking(int ends[2])
{
    return make_eventfd(ends, 0);
}

static void eventfd_fill(int end)
{
    const uint64_t most = UINT64_MAX - 1;

    assert_int_equal(write(end, &most, sizeof(most)), sizeof(most));
}

static int pipe_nonblocking(int ends[2])
{
    return pipe2(ends, O_CLOEXEC | O_NONBLOCK);
}

static int pipe_blocking(int ends[2])
{
    return pipe2(ends, O_CLOEXEC);
}

static int socket_blocking(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static int socket_nonblocking(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

const event_kind event_kinds[] = {
    {"eventfd, non-blocking", eventfd_nonblocking, false, eventfd_fill},
    {"eventfd, blocking", eventfd_blocking, false, eventfd_fill},
    {"pipe, non-blocking", pipe_nonblocking, true, NULL},
    {"pipe, blocking", pipe_blocking, true, NULL},
    {"socket, blocking", socket_blocking, true, NULL},
    {"socket, non-blocking", socket_nonblocking, true, NULL},
};
const size_t num_event_kinds = VHU__COUNT(event_kinds);
