/* SPDX-License-Identifier: BSD-3-Clause */
/* Sockets: their kinds, their files, and what is inherited. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <vmm_vhost/listener.h>

#include "conn.h"
#include "support/pair.h"

static char dir[64];
static char path[96];

static int setup(void **state)
{
    strcpy(dir, "/tmp/test_listener.XXXXXX");
    if (!mkdtemp(dir) || chmod(dir, 0755) != 0)
        return -1;
    snprintf(path, sizeof(path), "%s/socket", dir);
    return leakcheck_setup(state);
}

/* Every test leaves the directory empty. */
static int teardown(void **state)
{
    return leakcheck_teardown(state) == 0 ? rmdir(dir) : -1;
}

static bool exists(const char *name)
{
    struct stat st;

    return lstat(name, &st) == 0;
}

static void connect_once(vhu_listener *listener, const char *address, unsigned flags)
{
    vhu_conn *ends[2];

    assert_int_equal(vhu_listener_accept(listener, &ends[1]), VHU_EAGAIN);
    assert_int_equal(vhu_listener_wait(listener, 0), VHU_ETIMEDOUT);
    assert_int_equal(vhu_connect(&ends[0], address, flags, NULL), 0);
    assert_int_equal(vhu_listener_wait(listener, -1), 0);
    assert_int_equal(vhu_listener_accept(listener, &ends[1]), 0);
    conns_meet(ends[0], ends[1]);
    vhu_conn_free(ends[0]);
    vhu_conn_free(ends[1]);
}

static int socket_type(const vhu_listener *listener)
{
    int type = 0;
    socklen_t len = sizeof(type);

    assert_int_equal(
        getsockopt(vhu_listener_wait_handle(listener), SOL_SOCKET, SO_TYPE, &type, &len), 0);
    return type;
}

static void test_kinds(void **state)
{
    char name[64];
    const char *addresses[2] = {path, name};

    (void)state;
    snprintf(name, sizeof(name), "@vhu-test-%ld", (long)getpid());
    for (int i = 0; i < 4; i++) {
        const char *address = addresses[i / 2];
        vhu_listener_options options = {.size = sizeof(options),
                                        .flags = i % 2 ? VHU_SOCKET_SEQPACKET : 0u};
        vhu_listener *listener;
        vhu_conn *conn;

        assert_int_equal(vhu_listener_new(&listener, address, i % 2 ? &options : NULL), 0);
        assert_int_equal(socket_type(listener), i % 2 ? SOCK_SEQPACKET : SOCK_STREAM);
        assert_int_equal(exists(path), i / 2 == 0);
        connect_once(listener, address, options.flags);
        connect_once(listener, address, options.flags | VHU_CHECK_PEER);
        /* The other kind does not connect, and the listener is none the worse. */
        assert_true(vhu_connect(&conn, address, options.flags ^ VHU_SOCKET_SEQPACKET, NULL) < 0);
        connect_once(listener, address, options.flags);
        vhu_listener_free(listener);
        assert_false(exists(path));
    }
    vhu_listener_free(NULL);
}

static void test_addresses(void **state)
{
    char longest[sizeof(((struct sockaddr_un *)0)->sun_path) + 1];
    vhu_listener *listener;
    vhu_conn *conn;

    (void)state;
    memset(longest, 'a', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(vhu_listener_new(&listener, "@", NULL), VHU_EINVAL);
    assert_int_equal(vhu_listener_new(&listener, longest, NULL), VHU_EINVAL);
    assert_int_equal(vhu_connect(&conn, longest, 0, NULL), VHU_EINVAL);
    assert_int_equal(vhu_listener_new(&listener, "/nonexistent/socket", NULL), VHU_ENOENT);
    /* An abstract name may hold what would be too long by one for a path. */
    longest[0] = '@';
    longest[sizeof(longest) - 2] = '\0';
    assert_int_equal(vhu_listener_new(&listener, longest, NULL), 0);
    connect_once(listener, longest, 0);
    vhu_listener_free(listener);
}

/* A socket file without a listener, as a program that was killed leaves it. */
static void make_stale(int type)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    strcpy(un.sun_path, path);
    assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
    assert_int_equal(listen(fd, 1), 0);
    close(fd);
}

static void test_stale(void **state)
{
    vhu_listener *listener;
    vhu_conn *conn;

    (void)state;
    make_stale(SOCK_STREAM);
    assert_int_equal(vhu_connect(&conn, path, 0, NULL), VHU_ECONNREFUSED);
    assert_int_equal(vhu_listener_new(&listener, path, NULL), 0);
    connect_once(listener, path, 0);
    vhu_listener_free(listener);
    assert_false(exists(path));
}

static void test_in_use(void **state)
{
    static const mode_t kinds[] = {S_IFREG, S_IFIFO, S_IFDIR, S_IFLNK};
    vhu_listener_options options = {.size = sizeof(options), .flags = VHU_SOCKET_SEQPACKET};
    vhu_listener *listener;
    vhu_listener *other;

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, path, NULL), 0);
    assert_int_equal(vhu_listener_new(&other, path, NULL), VHU_EADDRINUSE);
    assert_int_equal(vhu_listener_new(&other, path, &options), VHU_EADDRINUSE);
    assert_true(exists(path));
    {
        /* The attempts were connections: they are gone again. */
        vhu_conn *conn;

        while (vhu_listener_accept(listener, &conn) == 0)
            vhu_conn_free(conn);
    }
    connect_once(listener, path, 0);
    vhu_listener_free(listener);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (kinds[i] == S_IFDIR)
            assert_int_equal(mkdir(path, 0700), 0);
        else if (kinds[i] == S_IFLNK)
            assert_int_equal(symlink("/nonexistent", path), 0);
        else
            assert_int_equal(mknod(path, kinds[i] | 0600, 0), 0);
        assert_int_equal(vhu_listener_new(&listener, path, NULL), VHU_EADDRINUSE);
        assert_true(exists(path));
        assert_int_equal(kinds[i] == S_IFDIR ? rmdir(path) : unlink(path), 0);
    }
}

/* A listener whose queue is full is alive. */
static void test_full_queue(void **state)
{
    vhu_conn *conns[64];
    vhu_listener *listener;
    vhu_listener *other;
    size_t n = 0;
    int r = 0;

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, path, NULL), 0);
    while (n < 64 && (r = vhu_connect(&conns[n], path, 0, NULL)) == 0)
        n++;
    assert_int_equal(r, VHU_EAGAIN);
    assert_int_equal(vhu_listener_new(&other, path, NULL), VHU_EADDRINUSE);
    while (n > 0)
        vhu_conn_free(conns[--n]);
    vhu_listener_free(listener);
}

static void test_mode(void **state)
{
    static const unsigned modes[] = {0600, 0666, 0620};
    struct stat st;

    (void)state;
    for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        const vhu_listener_options options = {.size = sizeof(options), .mode = modes[i]};
        vhu_listener *listener;
        mode_t mask = umask(077);

        assert_int_equal(vhu_listener_new(&listener, path, &options), 0);
        umask(mask);
        assert_int_equal(stat(path, &st), 0);
        assert_int_equal(st.st_mode & 07777, modes[i]);
        vhu_listener_free(listener);
    }
}

/* The file that is there at the end may be somebody else's. */
static void test_file_of_another(void **state)
{
    vhu_listener *first;
    vhu_listener *second;

    (void)state;
    assert_int_equal(vhu_listener_new(&first, path, NULL), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(vhu_listener_new(&second, path, NULL), 0);
    vhu_listener_free(first);
    connect_once(second, path, 0);
    assert_int_equal(unlink(path), 0);
    vhu_listener_free(second);
}

static void test_inherited(void **state)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    int types[] = {SOCK_STREAM, SOCK_SEQPACKET};

    (void)state;
    strcpy(un.sun_path, path);
    for (int i = 0; i < 2; i++) {
        vhu_listener *listener;
        int fd = socket(AF_UNIX, types[i], 0); /* inherited: without CLOEXEC, and it may block */

        assert_int_equal(bind(fd, (const struct sockaddr *)&un, sizeof(un)), 0);
        assert_int_equal(vhu_listener_adopt(&listener, &fd, NULL), VHU_EINVAL);
        assert_true(fd >= 0);
        assert_int_equal(listen(fd, 4), 0);
        assert_int_equal(vhu_listener_adopt(&listener, &fd, NULL), 0);
        assert_int_equal(fd, VHU_NO_HANDLE);
        assert_int_equal(fcntl(vhu_listener_wait_handle(listener), F_GETFD), FD_CLOEXEC);
        connect_once(listener, path, i ? VHU_SOCKET_SEQPACKET : 0);
        vhu_listener_free(listener);
        assert_true(exists(path));
        assert_int_equal(unlink(path), 0);
    }
}

/* What is no connected socket is no connection, and what is connected no listener. */
static void test_inherited_wrong(void **state)
{
    vhu_listener *listener;
    vhu_conn *conn;
    int fds[2];
    int fd;

    (void)state;
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(vhu_conn_adopt(&conn, &fd, NULL), VHU_EINVAL);
    assert_true(fd >= 0);
    close(fd);
    fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(vhu_conn_adopt(&conn, &fd, NULL), VHU_EINVAL);
    close(fd);
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds), 0);
    assert_int_equal(vhu_conn_adopt(&conn, &fds[0], NULL), VHU_EINVAL);
    handles_close(fds, 2);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    assert_int_equal(vhu_listener_adopt(&listener, &fds[0], NULL), VHU_EINVAL);
    handles_close(fds, 2);
}

/* Somebody else's process is turned away; root's and our own are not. */
static void test_check_peer(void **state)
{
    const vhu_listener_options options = {
        .size = sizeof(options), .flags = VHU_CHECK_PEER, .mode = 0666};
    vhu_listener *listener;
    vhu_conn *conn;
    int status;
    pid_t child;

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, path, &options), 0);
    connect_once(listener, path, 0);
    child = geteuid() == 0 ? fork() : -1;
    if (child == 0) {
        struct sockaddr_un un = {.sun_family = AF_UNIX};
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);

        strcpy(un.sun_path, path);
        if (setgid(65534) != 0 || setuid(65534) != 0 ||
            connect(fd, (const struct sockaddr *)&un, sizeof(un)) != 0)
            _exit(1);
        _exit(0);
    }
    if (child > 0) {
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_int_equal(vhu_listener_accept(listener, &conn), VHU_EPERM);
        connect_once(listener, path, 0);
    }
    vhu_listener_free(listener);
}

/* Without descriptors to spare accepting fails, for now. */
static void test_out_of_handles(void **state)
{
    vhu_listener *listener;
    vhu_conn *ends[2];
    struct rlimit before;
    struct rlimit low;
    int spare[64];
    size_t n = 0;

    (void)state;
    assert_int_equal(vhu_listener_new(&listener, path, NULL), 0);
    assert_int_equal(vhu_connect(&ends[0], path, 0, NULL), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    low = before;
    low.rlim_cur = 48;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
    while (n < 64 && (spare[n] = fcntl(0, F_DUPFD, 0)) >= 0)
        n++;
    assert_int_equal(vhu_listener_accept(listener, &ends[1]), VHU_EMFILE);
    assert_int_equal(vhu_connect(&ends[1], path, 0, NULL), VHU_EMFILE);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    handles_close(spare, n);
    assert_int_equal(vhu_listener_accept(listener, &ends[1]), 0);
    vhu_conn_free(ends[0]);
    vhu_conn_free(ends[1]);
    vhu_listener_free(listener);
}

#define listener_test(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        listener_test(test_kinds),           listener_test(test_addresses),
        listener_test(test_stale),           listener_test(test_in_use),
        listener_test(test_full_queue),      listener_test(test_mode),
        listener_test(test_file_of_another), listener_test(test_inherited),
        listener_test(test_inherited_wrong), listener_test(test_check_peer),
        listener_test(test_out_of_handles),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
