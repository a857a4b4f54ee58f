/* SPDX-License-Identifier: BSD-3-Clause */
/* What vhost-user-trace has to do with sockets, descriptors and shells. */
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include <vmm_vhost/error.h>

#include "support/trace_rig.h"

static int socket_of(vhu_stream *stream)
{
    return vhu_stream_transport(stream)->wait_handle(stream);
}

/* --- bytes --- */

/* Bytes go on when their sender makes a pause, in the midst of a message, too. */
static void test_pieces(void **state)
{
    const vhu_msg_header header = {VHU_REQ_SET_FEATURES, VHU_VERSION_1, 8};
    const uint64_t value = 5;
    struct run run;
    vhu_stream *peers[2];
    uint64_t got;
    vhu_msg_header both[2] = {{VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0},
                              {VHU_REQ_SET_OWNER, VHU_VERSION_1, 0}};

    (void)state;
    run_between(&run, NULL, peers);
    send_bytes(peers[FRONT_END], &header, sizeof header, VHU_NO_HANDLE);
    recv_bytes(peers[BACK_END], &both[1], sizeof header);
    assert_memory_equal(&both[1], &header, sizeof header);
    send_bytes(peers[FRONT_END], &value, 3, VHU_NO_HANDLE);
    recv_bytes(peers[BACK_END], &got, 3);
    assert_memory_equal(&got, &value, 3);
    send_bytes(peers[FRONT_END], (const char *)&value + 3, 5, VHU_NO_HANDLE);
    recv_bytes(peers[BACK_END], &got, 5);
    /* Two of them at once. */
    both[1] = (vhu_msg_header){VHU_REQ_SET_OWNER, VHU_VERSION_1, 0};
    send_bytes(peers[FRONT_END], both, sizeof both, VHU_NO_HANDLE);
    expect_message(peers[BACK_END], VHU_REQ_GET_FEATURES, 0, NULL, 0);
    expect_message(peers[BACK_END], VHU_REQ_SET_OWNER, 0, NULL, 0);
    /* And an end in the midst. */
    send_bytes(peers[FRONT_END], &header, 7, VHU_NO_HANDLE);
    vhu_stream_free(peers[FRONT_END]);
    recv_bytes(peers[BACK_END], &got, 7);
    expect_end(peers[BACK_END]);
    vhu_stream_free(peers[BACK_END]);
    run_stop(&run);
    expect_told(&run, "-> SET_FEATURES(features=0x5 (0|2))\n");
    expect_told(&run, "-> SET_OWNER()\n");
    expect_told(&run, "closed by the front-end, inside a message");
    expect_told(&run, "requests without an answer: 1, the first is GET_FEATURES");
    run_free(&run);
}

/* What is no vhost-user goes through all the same, and back. */
static void test_framing_lost(void **state)
{
    char noise[] = "GET / HTTP/1.1\r\nHost: nobody\r\n\r\n";
    char got[sizeof noise];
    int file = eventfd(0, EFD_CLOEXEC);
    struct run run;
    vhu_stream *peers[2];
    int handle;

    (void)state;
    run_between(&run, NULL, peers);
    send_bytes(peers[FRONT_END], noise, sizeof noise, file);
    handle = recv_bytes(peers[BACK_END], got, sizeof noise);
    assert_memory_equal(got, noise, sizeof noise);
    assert_true(sys_handles_same(handle, file));
    vhu_handle_close(&handle);
    vhu_handle_close(&file);
    pass(peers, BACK_END, VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "passed on without being understood");
    expect_told(&run, "#1  <- SET_OWNER = {} <no request> [!short payload: 0 bytes]\n");
    run_free(&run);
}

/* Who only shuts its writing down still gets what the other one says. */
static void test_half_closed(void **state)
{
    const uint64_t value = 5;
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    run_between(&run, NULL, peers);
    send_message(peers[FRONT_END], VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0, VHU_NO_HANDLE);
    shutdown(socket_of(peers[FRONT_END]), SHUT_WR);
    expect_message(peers[BACK_END], VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0);
    expect_end(peers[BACK_END]);
    send_message(peers[BACK_END], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8, VHU_NO_HANDLE);
    vhu_stream_free(peers[BACK_END]);
    expect_message(peers[FRONT_END], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8);
    expect_end(peers[FRONT_END]);
    vhu_stream_free(peers[FRONT_END]);
    run_stop(&run);
    expect_told(&run, "+++ shut down by the front-end +++\n");
    run_free(&run);
}

/* --- descriptors --- */

static int open_eventfd(void)
{
    return eventfd(0, EFD_CLOEXEC);
}

static int open_memfd(void)
{
    const int fd = memfd_create("guest", MFD_CLOEXEC);

    assert_int_equal(ftruncate(fd, 0x3000), 0);
    return fd;
}

static int open_device(void)
{
    return open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static int open_socket(void)
{
    return socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
}

/* Each is told by its kind. */
static void test_kinds(void **state)
{
    static const struct {
        int (*open)(void);
        const char *told;
    } rows[] = {{open_eventfd, ":eventfd]"},
                {open_memfd, ":memfd:guest size=0x3000]"},
                {open_device, ":char:/dev/null]"},
                {open_socket, ":socket]"}};
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    run_between(&run, NULL, peers);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        int sent = rows[i].open();
        send_message(peers[FRONT_END], VHU_REQ_SET_OWNER, 0, NULL, 0, sent);
        int got = expect_message(peers[BACK_END], VHU_REQ_SET_OWNER, 0, NULL, 0);
        assert_true(sys_handles_same(sent, got));
        vhu_handle_close(&sent);
        vhu_handle_close(&got);
    }
    close_both(peers);
    run_stop(&run);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i)
        expect_told(&run, rows[i].told);
    run_free(&run);
}

/* More than a stream of the library takes end the connection, which is told. */
static void test_too_many_descriptors(void **state)
{
    enum { MANY = 33 };
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(MANY * sizeof(int))];
    } control = {{.cmsg_len = CMSG_LEN(MANY * sizeof(int)),
                  .cmsg_level = SOL_SOCKET,
                  .cmsg_type = SCM_RIGHTS}};
    vhu_msg_header header = {VHU_REQ_SET_OWNER, VHU_VERSION_1, 0};
    struct iovec iov = {&header, sizeof header};
    const struct msghdr msg = {.msg_iov = &iov,
                               .msg_iovlen = 1,
                               .msg_control = control.bytes,
                               .msg_controllen = sizeof control.bytes};
    const int zeroes[MANY] = {0};
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    memcpy(CMSG_DATA(&control.align), zeroes, sizeof zeroes);
    run_between(&run, NULL, peers);
    assert_int_equal(sendmsg(socket_of(peers[FRONT_END]), &msg, 0), sizeof header);
    expect_end(peers[FRONT_END]);
    expect_end(peers[BACK_END]);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "the front-end has sent what cannot be passed on, such as too many");
    run_free(&run);
}

/* Front-ends that there is no room for wait, and the program does not spin meanwhile. */
static void test_too_many_files(void **state)
{
    enum { FRONT_ENDS = 12 };
    struct run run;
    vhu_stream *fronts[FRONT_ENDS];
    char command[512];

    (void)state;
    sys_address_new(&run.front);
    sys_address_new(&run.back);
    snprintf(command, sizeof command, "ulimit -n 28; exec '%s' --wait=60 '%s' '%s'", TRACE_PROGRAM,
             run.front.text, run.back.text);
    run.program = program_start(NULL, (const char *[]){"sh", "-c", command, NULL});
    vhu_listener *listener = listen_at(&run.back);
    assert_true(program_says(run.program, PROGRAM_ERR, "listening at"));
    for (uint32_t i = 0; i < FRONT_ENDS; ++i) {
        const vhu_vring_state ring = {i, 64};
        fronts[i] = connect_to(&run.front);
        send_message(fronts[i], VHU_REQ_SET_VRING_NUM, 0, &ring, sizeof ring, VHU_NO_HANDLE);
    }
    assert_true(program_says(run.program, PROGRAM_OUT, "has to wait: too many open handles"));
    sys_sleep_ms(700);
    /* They are served in any order. */
    for (int i = 0; i < FRONT_ENDS; ++i) {
        vhu_stream *back = accept_from(listener);
        struct {
            vhu_msg_header header;
            vhu_vring_state ring;
        } m;
        recv_bytes(back, &m, sizeof m);
        assert_in_range(m.ring.index, 0, FRONT_ENDS - 1);
        vhu_stream_free(back);
        vhu_stream_free(fronts[m.ring.index]);
        fronts[m.ring.index] = NULL;
    }
    vhu_listener_free(listener);
    run_stop(&run);
    assert_in_range(count_told(&run, "has to wait"), 1, 100);
    run_free(&run);
}

/* --- the command line --- */

static void test_no_such_folder(void **state)
{
    const char *const args[] = {"nowhere/a", "b", NULL};
    struct run run;

    (void)state;
    run_start(&run, args);
    program_expect(run.program, 1, "nowhere/a: no such address or file\n");
    run_free(&run);
}

/* A command's signal is told as by a shell; lines go to a file, and its own output is its own. */
static void test_command(void **state)
{
    sys_address lines;
    const char *const exits[] = {"FRONT", "BACK", "-o", lines.text,           "--no-summary",
                                 "--",    "sh",   "-c", "echo hello; exit 7", NULL};
    const char *const killed[] = {"FRONT", "BACK", "--", "sh", "-c", "kill -9 $$", NULL};
    const char *const sleeps[] = {"FRONT", "BACK", "--", "sleep", "1000", NULL};
    static const int signals[] = {SIGTERM, SIGINT, SIGHUP};
    struct run run;

    (void)state;
    sys_address_new(&lines);
    run_start(&run, exits);
    assert_int_equal(run_end(&run), 7);
    assert_string_equal(program_text(run.program, PROGRAM_OUT), "hello\n");
    assert_int_equal(unlink(lines.text), 0);
    run_free(&run);
    run_start(&run, killed);
    assert_int_equal(run_end(&run), 128 + SIGKILL);
    run_free(&run);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; ++i) {
        run_start(&run, sleeps);
        assert_true(program_says(run.program, PROGRAM_ERR, "listening at"));
        kill(program_id(run.program), signals[i]);
        assert_int_equal(run_end(&run), 0);
        assert_int_equal(access(run.front.text, F_OK), -1);
        run_free(&run);
    }
    sys_address_clear(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_pieces),
        leakcheck_test(test_framing_lost),
        leakcheck_test(test_half_closed),
        leakcheck_test(test_kinds),
        leakcheck_test(test_too_many_descriptors),
        leakcheck_test(test_too_many_files),
        leakcheck_test(test_no_such_folder),
        leakcheck_test(test_command),
    };

    return cmocka_run_group_tests(tests, trace_setup, NULL);
}
