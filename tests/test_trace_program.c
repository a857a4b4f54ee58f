/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-trace between two scripted peers: what goes in comes out, and is told. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/trace_rig.h"

enum { FLOOD = 100000, UNKNOWN = 1006 };

static void test_request_and_reply(void **state)
{
    const uint64_t features = VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1);
    const vhu_vring_state vring = {1, 256};
    struct run run;
    int peers[2];
    int fds[8];

    (void)state;
    run_between(&run, NULL, peers);
    send_message(peers[0], VHU_REQ_GET_FEATURES, 0, NULL, 0, NULL, 0);
    expect_message(peers[1], VHU_REQ_GET_FEATURES, 0, NULL, 0, fds);
    send_message(peers[1], VHU_REQ_GET_FEATURES, VHU_FLAG_REPLY, &features, 8, NULL, 0);
    expect_message(peers[0], VHU_REQ_GET_FEATURES, VHU_FLAG_REPLY, &features, 8, fds);
    send_message(peers[0], VHU_REQ_SET_VRING_NUM, 0, &vring, 8, NULL, 0);
    expect_message(peers[1], VHU_REQ_SET_VRING_NUM, 0, &vring, 8, fds);
    send_message(peers[0], UNKNOWN, 0, &vring, 3, NULL, 0);
    expect_message(peers[1], UNKNOWN, 0, &vring, 3, fds);
    send_message(peers[1], VHU_REQ_GET_CONFIG, VHU_FLAG_REPLY, NULL, 0, NULL, 0);
    expect_message(peers[0], VHU_REQ_GET_CONFIG, VHU_FLAG_REPLY, NULL, 0, fds);
    close(peers[0]);
    expect_end(peers[1]);
    close(peers[1]);
    run_stop(&run);
    expect_told(&run, "#1  -> GET_FEATURES()\n");
    expect_told(&run, "#1  <- GET_FEATURES = 0x140000000 (PROTOCOL_FEATURES|VERSION_1) <");
    expect_told(&run, "#1  -> SET_VRING_NUM(ring=1, num=256)\n");
    expect_told(&run, "#1  -> REQUEST_1006(bytes=010000) [!unknown request]\n");
    expect_told(&run, "#1  <- GET_CONFIG = {} <no request> refused\n");
    expect_told(&run, "+++ closed by the front-end +++\n");
    expect_told(&run, "5 messages on 1 connections; faulty: 1, replies without a request: 1");
    free(run.told);
}

static void test_json(void **state)
{
    const uint64_t ring = 0x103;
    struct run run;
    int peers[2];
    int fds[8];

    (void)state;
    run_between(&run, "--json", peers);
    send_message(peers[0], VHU_REQ_SET_VRING_CALL, VHU_FLAG_NEED_REPLY, &ring, 8, NULL, 0);
    expect_message(peers[1], VHU_REQ_SET_VRING_CALL, VHU_FLAG_NEED_REPLY, &ring, 8, fds);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "\"connection\":1,\"channel\":0,\"seq\":1,\"from\":\"front-end\",\"code\":13,"
                      "\"name\":\"SET_VRING_CALL\",\"flags\":9,\"need_reply\":true,\"size\":8,"
                      "\"fields\":{\"ring\":3,\"nofd\":true},\"fds\":[]}\n");
    expect_told(&run, "{\"type\":\"summary\",\"connections\":1,\"messages\":1,\"faulty\":0,");
    free(run.told);
}

/* The channel for the back-end's requests goes through the program, too. */
static void test_back_channel(void **state)
{
    const uint64_t ok = 0;
    const uint64_t acks = VHU_BIT(VHU_PF_REPLY_ACK);
    struct run run;
    int peers[2];
    int channel[2];
    int fds[8];

    (void)state;
    run_between(&run, NULL, peers);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, channel), 0);
    send_message(peers[0], VHU_REQ_SET_PROTOCOL_FEATURES, 0, &acks, 8, NULL, 0);
    expect_message(peers[1], VHU_REQ_SET_PROTOCOL_FEATURES, 0, &acks, 8, fds);
    send_message(peers[0], VHU_REQ_SET_BACKEND_REQ_FD, 0, NULL, 0, &channel[1], 1);
    close(channel[1]);
    assert_int_equal(expect_message(peers[1], VHU_REQ_SET_BACKEND_REQ_FD, 0, NULL, 0, fds), 1);
    channel[1] = fds[0];
    send_message(channel[1], VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_FLAG_NEED_REPLY, NULL, 0, NULL,
                 0);
    expect_message(channel[0], VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_FLAG_NEED_REPLY, NULL, 0,
                   fds);
    send_message(channel[0], VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_FLAG_REPLY, &ok, 8, NULL, 0);
    expect_message(channel[1], VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_FLAG_REPLY, &ok, 8, fds);
    close(channel[1]);
    expect_end(channel[0]);
    close(channel[0]);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "#1  -> SET_BACKEND_REQ_FD() fds=[");
    expect_told(&run, ":socket]\n");
    expect_told(&run, "#1b <- CONFIG_CHANGE_MSG() need_reply\n");
    expect_told(&run, "#1b -> CONFIG_CHANGE_MSG = 0 <");
    expect_told(&run, "CONFIG_CHANGE_MSG (of the back-end)\n");
    free(run.told);
}

struct flood {
    int fd;
    int files[2];
};

static void *send_flood(void *arg)
{
    const struct flood *flood = arg;

    for (uint64_t i = 0; i < FLOOD; ++i) {
        /* Payloads of all lengths; every third goes without a descriptor. */
        uint64_t words[5] = {i, i, i, i, i};
        send_message(flood->fd, UNKNOWN, 0, words, (uint32_t)(8 + i % 32), &flood->files[i % 2],
                     i % 3 > 0);
    }
    return NULL;
}

static size_t count_lines(const char *told, const char *text)
{
    const char *end = told + strlen(told);
    const char *next;
    size_t n = 0;

    for (const char *line = told; line < end; line = next) {
        next = memchr(line, '\n', (size_t)(end - line));
        next = next ? next + 1 : end;
        n += memmem(line, (size_t)(next - line), text, strlen(text)) != NULL;
    }
    return n;
}

/* Nothing is lost, nothing changes places, no descriptor goes to another message. */
static void test_flood(void **state)
{
    struct flood flood = {.files = {eventfd(0, EFD_CLOEXEC), open("/dev/null", O_CLOEXEC)}};
    struct run run;
    pthread_t thread;
    int peers[2];
    size_t lines;

    (void)state;
    run_between(&run, NULL, peers);
    flood.fd = peers[0];
    assert_int_equal(pthread_create(&thread, NULL, send_flood, &flood), 0);
    for (uint64_t i = 0; i < FLOOD; ++i) {
        uint64_t words[5] = {i, i, i, i, i};
        int fds[8];
        const size_t n = expect_message(peers[1], UNKNOWN, 0, words, (uint32_t)(8 + i % 32), fds);
        assert_int_equal(n, i % 3 > 0);
        if (n > 0) {
            assert_int_equal(inode(fds[0]), inode(flood.files[i % 2]));
            close(fds[0]);
        }
    }
    pthread_join(thread, NULL);
    close_both(peers);
    close_both(flood.files);
    run_stop(&run);
    lines = count_lines(run.told, "-> REQUEST_1006(");
    assert_int_equal(lines, FLOOD);
    expect_told(&run, "100000 messages on 1 connections;");
    free(run.told);
}

/* While nobody reads, the sender is held up; what it sent arrives, and then its end. */
static void test_backpressure(void **state)
{
    const uint64_t value = 7;
    struct run run;
    int peers[2];
    int fds[8];
    size_t sent = 0;

    (void)state;
    run_between(&run, "--summary-only", peers);
    assert_int_equal(fcntl(peers[0], F_SETFL, O_NONBLOCK), 0);
    for (int quiet = 0; quiet < 10;) {
        const struct {
            vhu_msg_header header;
            uint8_t payload[8];
        } m = {.header = {VHU_REQ_NET_SET_MTU, VHU_VERSION_1, 8}, .payload = {7}};
        struct pollfd p = {.fd = peers[0], .events = POLLOUT};
        if (send(peers[0], &m, sizeof m, MSG_NOSIGNAL) == (ssize_t)sizeof m)
            ++sent;
        else if (poll(&p, 1, 20) == 0)
            ++quiet;
        assert_true(sent < 1000000);
    }
    close(peers[0]);
    for (size_t i = 0; i < sent; ++i)
        expect_message(peers[1], VHU_REQ_NET_SET_MTU, 0, &value, 8, fds);
    expect_end(peers[1]);
    close(peers[1]);
    run_stop(&run);
    expect_not_told(&run, "->");
    expect_told(&run, "NET_SET_MTU\n");
    free(run.told);
}

/* Bytes go on when their sender makes a pause, in the midst of a message, too. */
static void test_pieces(void **state)
{
    const vhu_msg_header header = {VHU_REQ_SET_FEATURES, VHU_VERSION_1, 8};
    const uint64_t value = 5;
    struct run run;
    int peers[2];
    int fds[8];
    uint64_t got;
    vhu_msg_header both[2] = {{VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0},
                              {VHU_REQ_SET_OWNER, VHU_VERSION_1, 0}};

    (void)state;
    run_between(&run, NULL, peers);
    send_bytes(peers[0], &header, sizeof header, NULL, 0);
    recv_bytes(peers[1], &both[1], sizeof header, fds);
    assert_memory_equal(&both[1], &header, sizeof header);
    send_bytes(peers[0], &value, 3, NULL, 0);
    recv_bytes(peers[1], &got, 3, fds);
    assert_memory_equal(&got, &value, 3);
    send_bytes(peers[0], (const char *)&value + 3, 5, NULL, 0);
    recv_bytes(peers[1], &got, 5, fds);
    /* Two of them at once. */
    both[1] = (vhu_msg_header){VHU_REQ_SET_OWNER, VHU_VERSION_1, 0};
    send_bytes(peers[0], both, sizeof both, NULL, 0);
    expect_message(peers[1], VHU_REQ_GET_FEATURES, 0, NULL, 0, fds);
    expect_message(peers[1], VHU_REQ_SET_OWNER, 0, NULL, 0, fds);
    /* And an end in the midst. */
    send_bytes(peers[0], &header, 7, NULL, 0);
    close(peers[0]);
    recv_bytes(peers[1], &got, 7, fds);
    expect_end(peers[1]);
    close(peers[1]);
    run_stop(&run);
    expect_told(&run, "-> SET_FEATURES(features=0x5 (0|2))\n");
    expect_told(&run, "-> SET_OWNER()\n");
    expect_told(&run, "closed by the front-end, inside a message");
    expect_told(&run, "requests without an answer: 1, the first is GET_FEATURES");
    free(run.told);
}

/* What is no vhost-user goes through all the same, and back. */
static void test_framing_lost(void **state)
{
    char noise[] = "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n";
    char got[sizeof noise];
    const int file = eventfd(0, EFD_CLOEXEC);
    struct run run;
    int peers[2];
    int fds[8];

    (void)state;
    run_between(&run, NULL, peers);
    send_bytes(peers[0], noise, sizeof noise, &file, 1);
    assert_int_equal(recv_bytes(peers[1], got, sizeof noise, fds), 1);
    assert_memory_equal(got, noise, sizeof noise);
    assert_int_equal(inode(fds[0]), inode(file));
    close(fds[0]);
    close(file);
    send_message(peers[1], VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0, NULL, 0);
    expect_message(peers[0], VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0, fds);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "passed on without being understood");
    expect_told(&run, "#1  <- SET_OWNER = {} <no request> [!short payload: 0 bytes]\n");
    free(run.told);
}

/* A back-end that ends is seen by the front-end, with all that it said before. */
static void test_back_end_dies(void **state)
{
    const uint64_t value = 5;
    struct run run;
    int peers[2];
    int fds[8];

    (void)state;
    run_between(&run, NULL, peers);
    send_message(peers[0], VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0, NULL, 0);
    expect_message(peers[1], VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0, fds);
    send_message(peers[0], VHU_REQ_GET_MAX_MEM_SLOTS, 0, NULL, 0, NULL, 0);
    expect_message(peers[1], VHU_REQ_GET_MAX_MEM_SLOTS, 0, NULL, 0, fds);
    send_message(peers[1], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8, NULL, 0);
    close(peers[1]);
    expect_message(peers[0], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8, fds);
    expect_end(peers[0]);
    close(peers[0]);
    run_stop(&run);
    expect_told(&run, "+++ closed by the back-end +++\n");
    expect_told(&run, "the first is GET_MAX_MEM_SLOTS");
    free(run.told);
}

/* Who only shuts its writing down still gets what the other one says. */
static void test_half_closed(void **state)
{
    const uint64_t value = 5;
    struct run run;
    int peers[2];
    int fds[8];

    (void)state;
    run_between(&run, NULL, peers);
    send_message(peers[0], VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0, NULL, 0);
    shutdown(peers[0], SHUT_WR);
    expect_message(peers[1], VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0, fds);
    expect_end(peers[1]);
    send_message(peers[1], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8, NULL, 0);
    close(peers[1]);
    expect_message(peers[0], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8, fds);
    expect_end(peers[0]);
    close(peers[0]);
    run_stop(&run);
    expect_told(&run, "+++ shut down by the front-end +++\n");
    free(run.told);
}

/* Descriptors that the program has open. */
static int open_files(const struct run *run)
{
    char path[64];
    int n = 0;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)run->pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        ++n;
    closedir(dir);
    return n;
}

static void test_connections(void **state)
{
    enum { CONNECTIONS = 5 };
    struct run run;
    int peers[2];
    int more[CONNECTIONS][2];
    int fds[8];

    (void)state;
    run_between(&run, NULL, peers);
    const int listener = listen_at("back");
    for (int i = 0; i < CONNECTIONS; ++i) {
        more[i][0] = connect_to("front");
        more[i][1] = accept_from(listener);
        send_message(more[i][0], VHU_REQ_SET_OWNER, 0, NULL, 0, NULL, 0);
        expect_message(more[i][1], VHU_REQ_SET_OWNER, 0, NULL, 0, fds);
    }
    const int files = open_files(&run);
    close_both(peers);
    for (int i = 0; i < CONNECTIONS; ++i) {
        send_message(more[i][1], VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0, NULL, 0);
        expect_message(more[i][0], VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0, fds);
        close_both(more[i]);
    }
    close(listener);
    /* Two for each connection; nothing but its files tells when it has closed them. */
    while (open_files(&run) > files - 2 * (CONNECTIONS + 1))
        usleep(1000);
    assert_int_equal(open_files(&run), files - 2 * (CONNECTIONS + 1));
    run_stop(&run);
    expect_told(&run, "#6  -> SET_OWNER()\n");
    expect_told(&run, "on 6 connections;");
    free(run.told);
}

static void test_back_end_absent(void **state)
{
    const char *const impatient[] = {"front", "nowhere", "--wait=0", NULL};
    const char *const patient[] = {"front", "late", NULL};
    struct run run;
    int fds[8];

    (void)state;
    run_start(&run, impatient);
    assert_true(run_says(&run, "listening at"));
    int front = connect_to("front");
    expect_end(front);
    close(front);
    run_stop(&run);
    expect_told(&run, "given up, no back-end at nowhere: no such file or directory");
    free(run.told);

    run_start(&run, patient);
    assert_true(run_says(&run, "listening at"));
    front = connect_to("front");
    send_message(front, VHU_REQ_SET_OWNER, 0, NULL, 0, NULL, 0);
    const int listener = listen_at("late");
    const int back = accept_from(listener);
    expect_message(back, VHU_REQ_SET_OWNER, 0, NULL, 0, fds);
    close(listener);
    close(back);
    close(front);
    run_stop(&run);
    expect_told(&run, "-> SET_OWNER()\n");
    free(run.told);
}

/* --- command line --- */

static void test_wrong_options(void **state)
{
    static const struct {
        const char *args[TRACE_MAX_ARGS];
        const char *text;
    } rows[] = {
        {{NULL}, "LISTEN and CONNECT are needed"},
        {{"a"}, "LISTEN and CONNECT are needed"},
        {{"a", "b", "c"}, "'c': only LISTEN and CONNECT are expected"},
        {{"a", "a"}, "a: LISTEN and CONNECT are the same"},
        {{"a", "b", "--"}, "a command is needed behind --"},
        {{"--bogus", "a", "b"}, "--bogus: no such option"},
        {{"a", "b", "--time=never"}, "start|absolute|delta"},
        {{"a", "b", "--color=red"}, "auto|always|never"},
        {{"a", "b", "--wait=x"}, "--wait=x: must be a number"},
        {{"a", "b", "--device=toaster"}, "--device=toaster: no such kind of device"},
        {{"a", "b", "-o"}, "needs an argument"},
        {{"a", "b", "-o", "nowhere/out"}, "nowhere/out: No such file"},
        {{"nowhere/a", "b"}, "nowhere/a: no such address"},
        {{"front", "b", "--", "nowhere/program"}, "nowhere/program: no such file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct run run;
        run_start(&run, rows[i].args);
        assert_int_equal(run_end(&run), 1);
        if (!strstr(run.said, rows[i].text))
            print_error("row %zu says: %s", i, run.said);
        assert_non_null(strstr(run.said, rows[i].text));
        assert_non_null(strstr(run.said, "vhost-user-trace: "));
        free(run.told);
    }
}

static void test_told_and_done(void **state)
{
    const char *const help[] = {"--help", NULL};
    const char *const version[] = {"--version", NULL};
    struct run run;

    (void)state;
    run_start(&run, help);
    assert_int_equal(run_end(&run), 0);
    expect_told(&run, "LISTEN CONNECT [-- COMMAND");
    expect_told(&run, "--summary-only");
    free(run.told);
    run_start(&run, version);
    assert_int_equal(run_end(&run), 0);
    expect_told(&run, "vhost-user-trace 0.");
    free(run.told);
}

/* The command's exit code becomes the program's; its output is its own. */
static void test_command(void **state)
{
    const char *const exits[] = {
        "front", "back", "-o", "lines", "--no-summary", "--", "sh", "-c", "echo hello; exit 7",
        NULL};
    const char *const killed[] = {"front", "back", "--", "sh", "-c", "kill -9 $$", NULL};
    const char *const sleeps[] = {"front", "back", "--", "sleep", "1000", NULL};
    char path[100];
    struct run run;

    (void)state;
    run_start(&run, exits);
    assert_int_equal(run_end(&run), 7);
    assert_string_equal(run.told, "hello\n");
    free(run.told);
    run_start(&run, killed);
    assert_int_equal(run_end(&run), 128 + SIGKILL);
    free(run.told);
    run_start(&run, sleeps);
    assert_true(run_says(&run, "listening at"));
    run_stop(&run);
    free(run.told);
    in_folder(path, "front");
    assert_int_equal(access(path, F_OK), -1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_request_and_reply), leakcheck_test(test_json),
        leakcheck_test(test_back_channel),      leakcheck_test(test_flood),
        leakcheck_test(test_backpressure),      leakcheck_test(test_pieces),
        leakcheck_test(test_framing_lost),      leakcheck_test(test_back_end_dies),
        leakcheck_test(test_half_closed),       leakcheck_test(test_connections),
        leakcheck_test(test_back_end_absent),   leakcheck_test(test_wrong_options),
        leakcheck_test(test_told_and_done),     leakcheck_test(test_command),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
