/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: names of pipes, whose they are, and instances of theirs that come and go. */
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/listener.h>
#include <windows.h>

#include "conn.h"
#include "security.h"
#include "support/pair.h"
#include "support/sys.h"
#include "util.h"

static sys_address address;

static int setup(void **state)
{
    sys_address_new(&address);
    return leakcheck_setup(state);
}

static vhu_listener *listen_with(const vhu_pipe_options *pipe)
{
    const vhu_conn_options connection = {.size = sizeof(connection), .pipe = pipe};
    const vhu_listener_options options = {.size = sizeof(options), .connection = &connection};
    vhu_listener *listener = NULL;

    assert_int_equal(vhu_listener_new(&listener, address.text, &options), 0);
    return listener;
}

static int try_to_listen(const char *name, const vhu_pipe_options *pipe)
{
    const vhu_conn_options connection = {.size = sizeof(connection), .pipe = pipe};
    const vhu_listener_options options = {.size = sizeof(options), .connection = &connection};
    vhu_listener *listener = NULL;
    int r = vhu_listener_new(&listener, name, &options);

    assert_int_equal(listener != NULL, r == 0);
    vhu_listener_free(listener);
    return r;
}

static int try_to_connect(const char *name, const vhu_pipe_options *pipe)
{
    vhu_stream *stream = NULL;
    int r = vhu_stream_connect(&stream, name, 0, pipe);

    assert_int_equal(stream != NULL, r == 0);
    vhu_stream_free(stream);
    return r;
}

static void connect_as(const char *name, vhu_listener *listener, const vhu_pipe_options *pipe)
{
    const vhu_conn_options connection = {.size = sizeof(connection), .pipe = pipe};
    vhu_conn *ends[2];
    int r;

    assert_int_equal(vhu_connect(&ends[0], name, 0, &connection), 0);
    do
        assert_int_equal(vhu_listener_wait(listener, -1), 0);
    while ((r = vhu_listener_accept(listener, &ends[1])) == VHU_EAGAIN);
    assert_int_equal(r, 0);
    conns_meet(ends[0], ends[1]);
    vhu_conn_free(ends[0]);
    vhu_conn_free(ends[1]);
}

/* --- names --- */

static void test_bad_names(void **state)
{
    static const char *const bad[] = {
        "\\\\.\\pipe",         "\\\\.\\pipe\\",       "\\\\.\\pipe\\a\\b", "\\\\.\\pipe\\a/b",
        "\\\\.\\pipe\\..\\C:", "\\\\?\\pipe\\name",   "\\\\.\\COM1",       "//./pipe/name",
        "\\\\.\\mailslot\\a",  "\\\\.\\pipe\\\xc3(",  "\\\\::1\\pipe\\a",  " \\\\.\\pipe\\a",
        "\\\\.\\pipe\\\xff",   "\\\\host\\pipe\\name"};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(bad); i++) {
        assert_int_equal(try_to_listen(bad[i], NULL), VHU_EINVAL);
        assert_int_equal(try_to_connect(bad[i], NULL), VHU_EINVAL);
    }
}

/* Any letters, and as many as there may be; large and small ones are the same. */
static void test_good_names(void **state)
{
    char names[3][300];

    (void)state;
    snprintf(names[0], sizeof(names[0]), "%s-\xc3\xa4\xe2\x82\xac \xf0\x9f\x98\x80", address.text);
    snprintf(names[1], sizeof(names[1]), "%s-%0*d", address.text, 255 - (int)strlen(address.text),
             0);
    snprintf(names[2], sizeof(names[2]), "\\\\.\\PIPE\\%s", address.text + 9);
    assert_int_equal(strlen(names[1]), 256);
    for (size_t i = 0; i < VHU__COUNT(names); i++) {
        vhu_listener *listener = NULL;

        assert_int_equal(try_to_connect(names[i], NULL), VHU_ENOENT);
        assert_int_equal(vhu_listener_new(&listener, names[i], NULL), 0);
        connect_as(names[i], listener, NULL);
        vhu_listener_free(listener);
    }
    strcat(names[1], "0");
    assert_int_equal(try_to_listen(names[1], NULL), VHU_EINVAL);
    assert_int_equal(try_to_connect(names[1], NULL), VHU_EINVAL);
}

static HANDLE new_pipe(void)
{
    return CreateNamedPipeA(address.text, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED,
                            PIPE_TYPE_BYTE | PIPE_READMODE_BYTE, PIPE_UNLIMITED_INSTANCES, 4096,
                            4096, 0, NULL);
}

static HANDLE new_client(void)
{
    return CreateFileA(address.text, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
}

/* Somebody else's name is not shared, though all that he lets come be there already. */
static void test_name_of_another(void **state)
{
    HANDLE pipe = new_pipe();
    HANDLE client;

    (void)state;
    assert_int_equal(try_to_listen(address.text, NULL), VHU_EADDRINUSE);
    client = new_client();
    assert_true(client != INVALID_HANDLE_VALUE);
    assert_int_equal(try_to_listen(address.text, NULL), VHU_EADDRINUSE);
    vhu_handle_close(&pipe);
    vhu_handle_close(&client);
    assert_int_equal(try_to_listen(address.text, NULL), 0);
}

/* What is no pipe of bytes is no connection. */
static void test_pipe_of_messages(void **state)
{
    SECURITY_ATTRIBUTES mine;
    HANDLE pipe;

    (void)state;
    assert_int_equal(vhu__security_attributes(&mine, NULL), 0);
    pipe = CreateNamedPipeA(address.text, PIPE_ACCESS_DUPLEX, PIPE_TYPE_MESSAGE, 1, 4096, 4096, 0,
                            &mine);
    assert_true(pipe != INVALID_HANDLE_VALUE);
    assert_int_equal(try_to_connect(address.text, NULL), VHU_EINVAL);
    vhu_handle_close(&pipe);
    LocalFree(mine.lpSecurityDescriptor);
}

/* --- options --- */

static void test_bad_options(void **state)
{
    HANDLE event = sys_handle_new();
    HANDLE weak = OpenProcess(SYNCHRONIZE, FALSE, GetCurrentProcessId());
    const struct {
        vhu_pipe_options options;
        int error;
    } rows[] = {
        {{.size = 4}, VHU_EINVAL},
        {{.size = sizeof(vhu_pipe_options), .transfer = VHU_TRANSFER_BY_PEER + 1}, VHU_EINVAL},
        {{.size = sizeof(vhu_pipe_options), .peer_process = event}, VHU_EINVAL},
        {{.size = sizeof(vhu_pipe_options), .peer_process = weak}, VHU_EPERM},
        {{.size = sizeof(vhu_pipe_options), .peer_process = GetCurrentProcess()}, VHU_EINVAL},
    };
    vhu_listener *listener = listen_with(NULL);
    vhu_stream *stream;

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        char other[120];

        snprintf(other, sizeof(other), "%s-other", address.text);
        assert_int_equal(try_to_listen(other, &rows[i].options), rows[i].error);
        assert_int_equal(try_to_connect(address.text, &rows[i].options), rows[i].error);
    }
    /* Nobody has come. */
    assert_int_equal(vhu_listener_accept_stream(listener, &stream), VHU_EAGAIN);
    vhu_listener_free(listener);
    vhu_handle_close(&event);
    vhu_handle_close(&weak);
}

/* --- who may come, and to whom --- */

static void test_security(void **state)
{
    static char too_long[2000] = "D:P(A;;GA;;;WD)";
    const char *const bad[] = {"",       "nonsense", "D:(A;;GA;;;WD", "D:(A;;GA;;;S-1-x)",
                               "D:\xff", too_long};
    const char *const good[] = {"D:P(A;;GA;;;WD)", "D:(D;;GA;;;NU)(A;;GA;;;WD)"};

    (void)state;
    memset(too_long + strlen(too_long), ' ', sizeof(too_long) - strlen(too_long) - 1);
    for (size_t i = 0; i < VHU__COUNT(bad); i++) {
        const vhu_pipe_options options = {.size = sizeof(options), .security = bad[i]};

        assert_int_equal(try_to_listen(address.text, &options), VHU_EINVAL);
    }
    for (size_t i = 0; i < VHU__COUNT(good); i++) {
        const vhu_pipe_options options = {.size = sizeof(options), .security = good[i]};
        vhu_listener *listener = listen_with(&options);

        vhu_listener_free(listener);
    }
}

/* Without a word of who owns it. */
static vhu_listener *listen_as(const char *owner)
{
    char security[100];
    const vhu_pipe_options options = {.size = sizeof(options), .security = security};
    const vhu_conn_options connection = {.size = sizeof(connection), .pipe = &options};
    const vhu_listener_options all = {.size = sizeof(all), .connection = &connection};
    vhu_listener *listener = NULL;

    snprintf(security, sizeof(security), "O:%sD:P(A;;GA;;;WD)", owner);
    return vhu_listener_new(&listener, address.text, &all) == 0 ? listener : NULL;
}

/* Whose pipe it is, is seen before a byte is sent there. */
static void test_owner(void **state)
{
    static const char *const wrong[] = {NULL, "", "nobody", "S-1-", "S-1-5-18"};
    vhu_pipe_options options = {.size = sizeof(options)};
    vhu_listener *listener = listen_as("BA");
    vhu_stream *stream;

    (void)state;
    if (!listener)
        skip(); /* only who is an administrator can give him anything */
    for (size_t i = 0; i < VHU__COUNT(wrong); i++) {
        options.owner = wrong[i];
        assert_int_equal(try_to_connect(address.text, &options), VHU_EPERM);
        /* He was there, and has gone. */
        assert_int_equal(vhu_listener_accept_stream(listener, &stream), VHU_EAGAIN);
    }
    options.owner = "S-1-5-32-544";
    connect_as(address.text, listener, &options);
    options.owner = "BA";
    connect_as(address.text, listener, &options);
    vhu_listener_free(listener);
}

/* --- coming and going --- */

static void test_clients_that_left(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    vhu_stream *stream;

    (void)state;
    for (int round = 0; round < 10; round++) {
        HANDLE clients[4];

        for (size_t i = 0; i < 4; i++)
            assert_true((clients[i] = new_client()) != INVALID_HANDLE_VALUE);
        assert_true(new_client() == INVALID_HANDLE_VALUE);
        assert_int_equal(try_to_connect(address.text, NULL), VHU_EAGAIN);
        for (size_t i = 0; i < 4; i++)
            vhu_handle_close(&clients[i]);
        while (vhu_listener_wait(listener, 0) == 0)
            assert_int_equal(vhu_listener_accept_stream(listener, &stream), VHU_EAGAIN);
    }
    connect_as(address.text, listener, NULL);
    vhu_listener_free(listener);
}

/* As many as there are handles for. */
static void test_many_at_a_time(void **state)
{
    enum { COUNT = 300 };
    static vhu_stream *streams[COUNT];
    static HANDLE clients[COUNT];
    vhu_listener *listener = listen_with(NULL);

    (void)state;
    for (size_t i = 0; i < COUNT; i++) {
        assert_true((clients[i] = new_client()) != INVALID_HANDLE_VALUE);
        assert_int_equal(vhu_listener_wait(listener, -1), 0);
        assert_int_equal(vhu_listener_accept_stream(listener, &streams[i]), 0);
    }
    connect_as(address.text, listener, NULL);
    for (size_t i = 0; i < COUNT; i++) {
        vhu_handle_close(&clients[i]);
        vhu_stream_free(streams[i]);
    }
    vhu_listener_free(listener);
}

static void test_free_while_they_wait(void **state)
{
    vhu_listener *listener = listen_with(NULL);
    HANDLE clients[4];
    char byte;
    DWORD n;

    (void)state;
    for (size_t i = 0; i < 4; i++)
        clients[i] = new_client();
    vhu_listener_free(listener);
    for (size_t i = 0; i < 4; i++) {
        assert_false(ReadFile(clients[i], &byte, 1, &n, NULL));
        assert_int_equal(GetLastError(), ERROR_BROKEN_PIPE);
        vhu_handle_close(&clients[i]);
    }
    assert_true(new_client() == INVALID_HANDLE_VALUE);
    assert_int_equal(GetLastError(), ERROR_FILE_NOT_FOUND);
}

/* --- what a child gets, and what a thread leaves --- */

static int count_inherited(void)
{
    int n = 0;

    for (uintptr_t value = 4; value < 0x1000; value += 4)
        n += sys_handle_is_inherited((HANDLE)value);
    return n;
}

static void test_inheritance(void **state)
{
    int before = count_inherited();
    vhu_listener *listener = listen_with(NULL);
    vhu_stream *streams[2];
    vhu_handle end;

    (void)state;
    assert_int_equal(vhu_stream_connect(&streams[0], address.text, 0, NULL), 0);
    assert_int_equal(vhu_listener_accept_stream(listener, &streams[1]), 0);
    assert_int_equal(count_inherited(), before);
    vhu_stream_free(streams[0]);
    vhu_stream_free(streams[1]);
    assert_int_equal(vhu_stream_open_channel(&streams[0], &end, NULL), 0);
    assert_int_equal(count_inherited(), before);
    vhu_handle_close(&end);
    vhu_stream_free(streams[0]);
    vhu_listener_free(listener);
}

typedef struct beginning {
    vhu_listener *listener;
    vhu_conn *ends[2];
} beginning;

static DWORD WINAPI begin_listening(void *arg)
{
    beginning *b = arg;

    return (DWORD)vhu_listener_new(&b->listener, address.text, NULL);
}

static DWORD WINAPI begin_talking(void *arg)
{
    beginning *b = arg;
    int r = vhu_connect(&b->ends[0], address.text, 0, NULL);

    if (r == 0)
        r = vhu_listener_accept(b->listener, &b->ends[1]);
    for (size_t i = 0; i < 2 && r == 0; i++) {
        vhu_msg_header header;

        if (vhu__conn_recv_header(b->ends[i], &header) != VHU_EAGAIN)
            r = VHU_ESTATE;
        vhu_conn_wait(b->ends[i], 0);
    }
    return (DWORD)r;
}

static void in_thread(LPTHREAD_START_ROUTINE f, beginning *b)
{
    HANDLE thread = CreateThread(NULL, 0, f, b, 0, NULL);
    DWORD r;

    assert_int_equal(WaitForSingleObject(thread, INFINITE), 0);
    assert_true(GetExitCodeThread(thread, &r));
    assert_int_equal(r, 0);
    vhu_handle_close(&thread);
}

/* What a thread has begun ends with it; others go on as if it had not. */
static void test_threads_that_end(void **state)
{
    beginning b = {0};

    (void)state;
    in_thread(begin_listening, &b);
    connect_as(address.text, b.listener, NULL);
    in_thread(begin_talking, &b);
    conns_meet(b.ends[0], b.ends[1]);
    vhu_conn_free(b.ends[0]);
    vhu_conn_free(b.ends[1]);
    vhu_listener_free(b.listener);
}

#define listener_test(function) cmocka_unit_test_setup_teardown(function, setup, leakcheck_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        listener_test(test_bad_names),       listener_test(test_good_names),
        listener_test(test_name_of_another), listener_test(test_pipe_of_messages),
        listener_test(test_bad_options),     listener_test(test_security),
        listener_test(test_owner),           listener_test(test_clients_that_left),
        listener_test(test_many_at_a_time),  listener_test(test_free_while_they_wait),
        listener_test(test_inheritance),     listener_test(test_threads_that_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
