/* SPDX-License-Identifier: BSD-3-Clause */
/* What vhost-user-blk makes of sockets, inherited descriptors, signals and a forbidden io_uring. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>
#include <vmm_vhost/backend_client.h>
#include <vmm_vhost/listener.h>

#include "support/file.h"
#include "support/tool.h"

enum { INHERITED = 20 };

static void test_wrong_options(void **state)
{
    static const struct tool_case cases[] = {
        {{"--blk-file=disk", "--fd=20"}, "--fd=20: Bad file descriptor"},
        {{"--blk-file=disk", "--socket-path=s", "--socket-mode=8"}, "octal"},
        {{"--blk-file=disk", "--socket-path=s", "--engine=io"}, "auto|io_uring|uv"},
        {{"--blk-file=disk", "--socket-path=s", "--pipe-security=D:"}, "no such option"},
        {{"--blk-file=/dev/null", "--socket-path=s"}, "/dev/null: neither"},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

static void test_socket_and_signals(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--socket-path=s", NULL};
    static const int signals[] = {SIGTERM, SIGINT};
    folder_file path = folder_at(&tool_folder, "s");
    struct stat st;

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        program *p = tool_start(args);

        assert_true(program_says(p, PROGRAM_OUT, "ready on s ("));
        assert_int_equal(stat(path.path, &st), 0);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_mode & 0777, 0600);
        kill(program_id(p), signals[i]);
        assert_int_equal(program_end(p), 0);
        program_free(p);
        assert_int_equal(stat(path.path, &st), -1);
    }
}

/* --- inherited descriptors --- */

/* The owner of an inherited connection closes it: there is nobody left to serve. */
static void test_inherited_connection(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", NULL};
    program *p;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    p = tool_start_with(args, ends[1], INHERITED);
    close(ends[1]);
    assert_true(program_says(p, PROGRAM_OUT, "ready on fd 20 ("));
    close(ends[0]);
    program_expect(p, 0, "served requests=0");
    program_free(p);
}

/* It was made by somebody else, so it is too late to ask who is there. */
static void test_inherited_connection_unchecked(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", "--check-peer", NULL};
    program *p;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    p = tool_start_with(args, ends[1], INHERITED);
    program_expect(p, 1, "--check-peer: ");
    program_free(p);
    close(ends[0]);
    close(ends[1]);
}

static int listen_at(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_in_range(snprintf(address.sun_path, sizeof(address.sun_path), "%s", path), 1,
                    sizeof(address.sun_path) - 1);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(fd, 4), 0);
    return fd;
}

/* One after another; the program goes on when they have gone. */
static void test_inherited_listener(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", "--verbose", NULL};
    folder_file path = folder_at(&tool_folder, "inherited");
    int listening = listen_at(path.path);
    program *p = tool_start_with(args, listening, INHERITED);

    (void)state;
    close(listening);
    for (int i = 0; i < 2; i++) {
        vhu_backend_client *client;
        uint64_t features;
        vhu_conn *conn;

        assert_int_equal(vhu_connect(&conn, path.path, 0, NULL), 0);
        assert_int_equal(vhu_backend_client_new(&client, &conn, NULL), 0);
        assert_int_equal(vhu_backend_client_get_features(client, &features), 0);
        vhu_backend_client_free(client);
        assert_true(program_says(p, PROGRAM_ERR, "has gone"));
    }
    program_stop(p, "");
    program_free(p);
    unlink(path.path);
}

static void test_inherited_nonsense(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", NULL};
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    program *p = tool_start_with(args, null, INHERITED);

    (void)state;
    close(null);
    program_expect(p, 1, "--fd=20: neither");
    program_free(p);
}

/* --- io_uring --- */

/* From now on this process and those that it starts are refused io_uring. */
static void forbid_io_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog filter = {sizeof(code) / sizeof(code[0]), code};

    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter), 0);
}

/* Must come last: it cannot be taken back. */
static void test_io_uring_forbidden(void **state)
{
    static const char *const any[] = {"--blk-file=disk", "--socket-path=s", "--verbose", NULL};
    static const char *const fixed[] = {"--blk-file=disk", "--socket-path=s", "--engine=io_uring",
                                        NULL};
    program *p;

    (void)state;
    forbid_io_uring();
    p = tool_start(any);
    assert_true(program_says(p, PROGRAM_OUT, "(engine uv, "));
    program_stop(p, "");
    program_free(p);
    p = tool_start(fixed);
    program_expect(p, 1, "--engine=io_uring: ");
    program_free(p);
}

static int set_up(void **state)
{
    (void)state;
    if (tool_setup(BLK_PROGRAM, NULL))
        return -1;
    file_resize(folder_at(&tool_folder, "disk").path, 1 << 20);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options),
        leakcheck_test(test_socket_and_signals),
        leakcheck_test(test_inherited_connection),
        leakcheck_test(test_inherited_connection_unchecked),
        leakcheck_test(test_inherited_listener),
        leakcheck_test(test_inherited_nonsense),
        leakcheck_test(test_io_uring_forbidden),
    };

    return cmocka_run_group_tests(tests, set_up, tool_teardown);
}
