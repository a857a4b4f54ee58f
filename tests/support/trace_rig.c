/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/trace_rig.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

enum { PATIENCE_MS = 20000 };

static char folder[] = "/tmp/test_trace.XXXXXX";

/* --- the program --- */

void in_folder(char *path, const char *file)
{
    snprintf(path, 100, "%s/%s", folder, file);
}

void run_start(struct run *run, const char *const *args)
{
    char *argv[TRACE_MAX_ARGS + 2] = {(char[]){"vhost-user-trace"}};
    posix_spawn_file_actions_t actions;
    int ends[2];

    memset(run, 0, sizeof *run);
    for (int i = 0; i < TRACE_MAX_ARGS && args[i]; ++i) {
        argv[i + 1] = strdup(args[i]);
        assert_non_null(argv[i + 1]);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_addopen(&actions, 1, "out", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    assert_int_equal(posix_spawn(&run->pid, TRACE_PROGRAM, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 1; argv[i]; ++i)
        free(argv[i]);
    close(ends[1]);
    run->errors = ends[0];
}

bool run_says(struct run *run, const char *text)
{
    while (!text || !strstr(run->said, text)) {
        const ssize_t n = read(run->errors, run->said + run->len, sizeof run->said - 1 - run->len);
        if (n <= 0)
            return false;
        run->len += (size_t)n;
    }
    return true;
}

static char *read_file(const char *file)
{
    char path[100];
    struct stat st;
    size_t done = 0;

    in_folder(path, file);
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    char *text = calloc(1, (size_t)st.st_size + 1);
    assert_non_null(text);
    while (done < (size_t)st.st_size) {
        const ssize_t n = read(fd, text + done, (size_t)st.st_size - done);
        assert_true(n > 0);
        done += (size_t)n;
    }
    close(fd);
    return text;
}

int run_end(struct run *run)
{
    int status;

    run_says(run, NULL);
    close(run->errors);
    assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
    assert_true(WIFEXITED(status));
    run->told = read_file("out");
    return WEXITSTATUS(status);
}

void run_stop(struct run *run)
{
    kill(run->pid, SIGTERM);
    assert_int_equal(run_end(run), 0);
}

void expect_told(const struct run *run, const char *text)
{
    if (!strstr(run->told, text))
        print_error("'%s' is not in\n%.4000s\n", text, run->told);
    assert_non_null(strstr(run->told, text));
}

void expect_not_told(const struct run *run, const char *text)
{
    if (strstr(run->told, text))
        print_error("'%s' is in\n%.4000s\n", text, run->told);
    assert_null(strstr(run->told, text));
}

/* --- peers --- */

static int unix_socket(const char *file, struct sockaddr_un *address)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    in_folder(address->sun_path, file);
    return fd;
}

int listen_at(const char *file)
{
    struct sockaddr_un address;
    const int fd = unix_socket(file, &address);

    unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

int connect_to(const char *file)
{
    struct sockaddr_un address;
    const int fd = unix_socket(file, &address);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

static void wait_readable(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    assert_int_equal(poll(&p, 1, PATIENCE_MS), 1);
}

int accept_from(int listener)
{
    wait_readable(listener);
    const int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

    assert_true(fd >= 0);
    return fd;
}

void run_between(struct run *run, const char *option, int peers[2])
{
    const char *const args[] = {"front", "back", option, NULL};
    const int listener = listen_at("back");

    run_start(run, args);
    assert_true(run_says(run, "listening at front, connecting to back\n"));
    peers[0] = connect_to("front");
    peers[1] = accept_from(listener);
    close(listener);
}

void send_bytes(int fd, const void *bytes, size_t len, const int *fds, size_t n)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control = {0};
    struct iovec iov = {(void *)(uintptr_t)bytes, len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    if (n > 0) {
        msg.msg_control = control.bytes;
        msg.msg_controllen = CMSG_SPACE(n * sizeof(int));
        control.align = (struct cmsghdr){.cmsg_len = CMSG_LEN(n * sizeof(int)),
                                         .cmsg_level = SOL_SOCKET,
                                         .cmsg_type = SCM_RIGHTS};
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&msg)), fds, n * sizeof(int));
    }
    assert_int_equal(sendmsg(fd, &msg, MSG_NOSIGNAL), len);
}

void send_message(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                  const int *fds, size_t n)
{
    struct {
        vhu_msg_header header;
        uint8_t payload[256];
    } m = {.header = {request, VHU_VERSION_1 | flags, size}};

    if (size > 0)
        memcpy(m.payload, payload, size);
    send_bytes(fd, &m, sizeof m.header + size, fds, n);
}

size_t recv_bytes(int fd, void *out, size_t len, int fds[8])
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    size_t got = 0;

    for (size_t done = 0; done < len;) {
        struct iovec iov = {(char *)out + done, len - done};
        struct msghdr msg = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof control.bytes};
        wait_readable(fd);
        const ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
        assert_true(n > 0);
        assert_int_equal(msg.msg_flags & MSG_CTRUNC, 0);
        struct cmsghdr *c = CMSG_FIRSTHDR(&msg);
        if (c) {
            assert_int_equal(done, 0);
            got = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(c), got * sizeof(int));
        }
        done += (size_t)n;
    }
    return got;
}

size_t expect_message(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                      int fds[8])
{
    vhu_msg_header header;
    uint8_t got[256];
    int none[8];
    const size_t n = recv_bytes(fd, &header, sizeof header, fds);

    assert_int_equal(header.request, request);
    assert_int_equal(header.flags, VHU_VERSION_1 | flags);
    assert_int_equal(header.size, size);
    assert_int_equal(recv_bytes(fd, got, size, none), 0);
    if (size > 0)
        assert_memory_equal(got, payload, size);
    return n;
}

void expect_end(int fd)
{
    char byte;

    wait_readable(fd);
    assert_true(recv(fd, &byte, 1, 0) <= 0);
}

ino_t inode(int fd)
{
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    return st.st_ino;
}

void close_both(int peers[2])
{
    close(peers[0]);
    close(peers[1]);
}

int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int remove_folder(void **state)
{
    static const char *const files[] = {"out", "front", "back", "late", "lines"};
    char path[100];

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; ++i) {
        in_folder(path, files[i]);
        unlink(path);
    }
    return rmdir(folder);
}
