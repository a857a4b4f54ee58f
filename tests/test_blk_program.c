/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vhost-user-blk: it is run, and what it says is looked at. */
#include "support/leakcheck.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmm_vhost/listener.h>

extern char **environ;

enum { MAX_ARGS = 8, INHERITED = 20 };

struct run {
    pid_t pid;
    int output; /* stdout and stderr */
    char text[8192];
    size_t len;
};

static char folder[] = "/tmp/test_blk_program.XXXXXX";

/* From now on this process and those that it starts are refused io_uring. */
static void forbid_io_uring(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof code / sizeof code[0], code};

    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* `inherit` becomes the program's descriptor INHERITED; -1: none. */
static void run_start(struct run *run, const char *const *args, int inherit)
{
    char *argv[MAX_ARGS + 2] = {(char[]){"vhost-user-blk"}};
    posix_spawn_file_actions_t actions;
    int ends[2];

    memset(run, 0, sizeof *run);
    for (int i = 0; i < MAX_ARGS && args[i]; ++i) {
        argv[i + 1] = strdup(args[i]);
        assert_non_null(argv[i + 1]);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    if (inherit >= 0)
        posix_spawn_file_actions_adddup2(&actions, inherit, INHERITED);
    assert_int_equal(posix_spawn(&run->pid, BLK_PROGRAM, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 1; argv[i]; ++i)
        free(argv[i]);
    close(ends[1]);
    run->output = ends[0];
}

/* Read on until the text is there, or the end; whether it is there. */
static bool run_says(struct run *run, const char *text)
{
    while (!text || !strstr(run->text, text)) {
        const ssize_t n = read(run->output, run->text + run->len, sizeof run->text - 1 - run->len);
        if (n <= 0)
            return false;
        run->len += (size_t)n;
    }
    return true;
}

static int run_end(struct run *run)
{
    int status;

    run_says(run, NULL);
    close(run->output);
    assert_int_equal(waitpid(run->pid, &status, 0), run->pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void in_folder(char *path, const char *name)
{
    snprintf(path, 100, "%s/%s", folder, name);
}

/* --- options --- */

static void test_wrong_options(void **state)
{
    static const struct {
        const char *args[MAX_ARGS];
        const char *text;
    } rows[] = {
        {{NULL}, "--socket-path=PATH or --fd=N is needed"},
        {{"--socket-path=s"}, "--blk-file=FILE is needed"},
        {{"--blk-file=disk"}, "--socket-path=PATH or --fd=N is needed"},
        {{"--blk-file=disk", "--socket-path=s", "--fd=20"}, "exclude each other"},
        {{"--blk-file=disk", "--fd=20"}, "--fd=20: Bad file descriptor"},
        {{"--blk-file=disk", "--fd=-1"}, "--fd=-1: must be a number"},
        {{"--blk-file=disk", "--fd=x"}, "--fd=x"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=0"}, "--num-queues=0: must be"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=257"}, "1 to 256"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=2x"}, "--num-queues=2x"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues="}, "--num-queues="},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=99999999999999999999"}, "must be"},
        {{"--blk-file=disk", "--socket-path=s", "--engine=aio"}, "auto|io_uring|uv"},
        {{"--blk-file=disk", "--socket-path=s", "--engine=io"}, "--engine=io: must be one of"},
        {{"--blk-file=disk", "--socket-path=s", "--cache=fast"}, "writeback|none"},
        {{"--blk-file=disk", "--socket-path=s", "--socket-mode=8"}, "octal"},
        {{"--blk-file=disk", "--socket-path=s", "--serial=123456789012345678901"}, "20 characters"},
        {{"--blk-file=disk", "--socket-path=s", "--logical-block-size=1000"}, "power of two"},
        {{"--blk-file=disk", "--socket-path=s", "--spin"}, "--spin"},
        {{"--blk-file=disk", "--socket-path=s", "--serial"}, "needs an argument"},
        {{"--blk-file=disk", "--socket-path=s", "--bogus"}, "--bogus: no such option"},
        {{"--blk-file=disk", "--socket-path=s", "--read-only=1"}, "--read-only=1"},
        {{"--blk-file=disk", "--socket-path=s", "more"}, "'more'"},
        {{"--blk-file=nowhere", "--socket-path=s"}, "nowhere: No such file"},
        {{"--blk-file=/dev/null", "--socket-path=s"}, "/dev/null: neither"},
        {{"--blk-file=empty", "--socket-path=s"}, "empty: has no room"},
        {{"--blk-file=disk", "--socket-path=nowhere/s"}, "--socket-path=nowhere/s: "},
        {{"--blk-file=disk", "--socket-path=disk"}, "--socket-path=disk: "},
    };
    char path[100];
    struct stat st;

    (void)state;
    in_folder(path, "s");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct run run;
        run_start(&run, rows[i].args, -1);
        assert_int_equal(run_end(&run), 1);
        if (!strstr(run.text, rows[i].text))
            print_error("row %zu says: %s", i, run.text);
        assert_non_null(strstr(run.text, rows[i].text));
        assert_non_null(strstr(run.text, "vhost-user-blk: "));
        assert_int_equal(stat(path, &st), -1);
    }
}

static void test_told_and_done(void **state)
{
    static const struct {
        const char *args[MAX_ARGS];
        const char *text;
    } rows[] = {
        {{"--print-capabilities"}, "\"type\": \"block\""},
        {{"--bogus", "--print-capabilities", "--fd=x"}, "\"blk-file\""},
        {{"--help"}, "--print-capabilities"},
        {{"--version"}, "vhost-user-blk 0."},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct run run;
        run_start(&run, rows[i].args, -1);
        assert_int_equal(run_end(&run), 0);
        assert_non_null(strstr(run.text, rows[i].text));
    }
}

/* --- serving --- */

static void test_ready_and_served(void **state)
{
    static const char *const args[] = {"--blk-file", "disk", "--socket-path",  "s",
                                       "--engine",   "uv",   "--num-queues=3", NULL};
    static const int signals[] = {SIGTERM, SIGINT};
    char path[100];
    struct stat st;

    (void)state;
    in_folder(path, "s");
    for (size_t i = 0; i < 2; ++i) {
        struct run run;
        run_start(&run, args, -1);
        assert_true(run_says(&run, "workers)\n"));
        assert_non_null(strstr(run.text, "vhost-user-blk: ready on s (engine uv, cache writeback, "
                                         "2048 sectors, 3 queues, "));
        assert_int_equal(stat(path, &st), 0);
        assert_true(S_ISSOCK(st.st_mode));
        assert_int_equal(st.st_mode & 0777, 0600);
        kill(run.pid, signals[i]);
        assert_int_equal(run_end(&run), 0);
        assert_non_null(strstr(run.text,
                               "\nvhost-user-blk: served requests=0 reads=0 writes=0 flushes=0 "
                               "discards=0 zeroes=0 errors=0 bytes_read=0 bytes_written=0\n"));
        assert_int_equal(stat(path, &st), -1);
    }
}

/* Must come last: it cannot be taken back. */
static void test_io_uring_forbidden(void **state)
{
    static const char *const any[] = {"--blk-file=disk", "--socket-path=s", "--verbose", NULL};
    static const char *const fixed[] = {"--blk-file=disk", "--socket-path=s", "--engine=io_uring",
                                        NULL};
    struct run run;

    (void)state;
    forbid_io_uring();
    run_start(&run, any, -1);
    assert_true(run_says(&run, "(engine uv, "));
    kill(run.pid, SIGTERM);
    assert_int_equal(run_end(&run), 0);
    run_start(&run, fixed, -1);
    assert_int_equal(run_end(&run), 1);
    assert_non_null(strstr(run.text, "--engine=io_uring: "));
}

/* The owner of an inherited connection closes it: there is nobody left to serve. */
static void test_inherited_connection(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", NULL};
    struct run run;
    int ends[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    run_start(&run, args, ends[1]);
    close(ends[1]);
    assert_true(run_says(&run, "ready on fd 20 ("));
    close(ends[0]);
    assert_int_equal(run_end(&run), 0);
    assert_non_null(strstr(run.text, "served requests=0"));
}

/* One after another; the program goes on when they have gone. */
static void test_inherited_listener(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", "--verbose", NULL};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct run run;

    (void)state;
    const int listening = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(listening >= 0);
    in_folder(address.sun_path, "inherited");
    assert_int_equal(bind(listening, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(listening, 4), 0);
    run_start(&run, args, listening);
    close(listening);
    for (int i = 0; i < 2; ++i) {
        vhu_conn *conn;
        run.text[0] = '\0';
        run.len = 0;
        assert_int_equal(vhu_connect(&conn, address.sun_path, 0, NULL), 0);
        assert_true(run_says(&run, "has connected"));
        vhu_conn_free(conn);
        assert_true(run_says(&run, "has gone"));
    }
    kill(run.pid, SIGTERM);
    assert_int_equal(run_end(&run), 0);
    unlink(address.sun_path);
}

static void test_inherited_nonsense(void **state)
{
    static const char *const args[] = {"--blk-file=disk", "--fd=20", NULL};
    struct run run;
    const int null = open("/dev/null", O_RDWR | O_CLOEXEC);

    (void)state;
    run_start(&run, args, null);
    close(null);
    assert_int_equal(run_end(&run), 1);
    assert_non_null(strstr(run.text, "--fd=20: "));
}

/* --- the folder --- */

static void make_file(const char *name, off_t size)
{
    char path[100];

    in_folder(path, name);
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    make_file("disk", 1 << 20);
    make_file("empty", 0);
    return 0;
}

static int remove_folder(void **state)
{
    char path[100];

    (void)state;
    in_folder(path, "disk");
    unlink(path);
    in_folder(path, "empty");
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options),      leakcheck_test(test_told_and_done),
        leakcheck_test(test_ready_and_served),   leakcheck_test(test_inherited_connection),
        leakcheck_test(test_inherited_listener), leakcheck_test(test_inherited_nonsense),
        leakcheck_test(test_io_uring_forbidden),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
