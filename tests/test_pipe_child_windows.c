/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: streams between two processes. The other one is this program, run again. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/shm.h>

#include "pipe_stream.h"
#include "support/raw_pipe.h"
#include "support/sys.h"
#include "util.h"

#include <sddl.h> /* wants windows.h before it */

enum { ROOM = 64, PATIENCE_MS = 60000, KILLED = 99 };

/* What the child is to do. */
typedef enum task {
    STOP,   /* by hand, up to a stage; it tells that it is there, and does no more */
    ECHO,   /* as a stream: send what is received, until the end */
    LOCKED, /* the same, and nobody may open this process */
    TASKS
} task;

/* --- the child --- */

static void lock_process(bool locked)
{
    PSECURITY_DESCRIPTOR descriptor;

    assert_true(ConvertStringSecurityDescriptorToSecurityDescriptorA(
        locked ? "D:P" : "D:P(A;;GA;;;WD)", SDDL_REVISION_1, &descriptor, NULL));
    assert_true(
        SetKernelObjectSecurity(GetCurrentProcess(), DACL_SECURITY_INFORMATION, descriptor));
    LocalFree(descriptor);
}

static HANDLE told_event(const char *address)
{
    char name[100];

    snprintf(name, sizeof(name), "vhu-test-told-%s", strrchr(address, '\\') + 1);
    return CreateEventA(NULL, TRUE, FALSE, name);
}

static int stop_at(const char *address, int how)
{
    raw_pipe raw;

    raw_dial(&raw, (raw_role){.serves = true, .transfers = how / RAW_STAGES}, address);
    raw_go(&raw, (raw_stage)(how % RAW_STAGES));
    SetEvent(told_event(address));
    Sleep(INFINITE);
    return 0;
}

static int echo_once(vhu_stream *stream)
{
    const vhu_transport *transport = vhu_stream_transport(stream);
    vhu_handle handles[VHU__FRAME_HANDLES];
    uint8_t bytes[ROOM];
    size_t n = VHU__FRAME_HANDLES;
    int r = transport->wait(stream, VHU_WAIT_READ, PATIENCE_MS);

    if (r == 0)
        r = transport->recv(stream, bytes, sizeof(bytes), handles, &n);
    if (r <= 0)
        return r == VHU_EAGAIN ? 0 : r;
    r = transport->send(stream, bytes, (size_t)r, handles, n);
    for (size_t i = 0; i < n; i++)
        vhu_handle_close(&handles[i]);
    return r < 0 ? r : 0;
}

static int echo(const char *address, int transfer)
{
    const vhu_pipe_options options = {.size = sizeof(options), .transfer = (unsigned)transfer};
    vhu_stream *stream;
    int r = vhu_stream_connect(&stream, address, 0, &options);

    if (r < 0)
        return r;
    do
        r = echo_once(stream);
    while (r == 0);
    vhu_stream_free(stream);
    return r;
}

/* Its exit code is the error that ended it. */
static int be_child(char **args)
{
    const char *address = args[1];
    const int how = atoi(args[3]);

    switch (atoi(args[2])) {
    case STOP:
        return stop_at(address, how);
    case LOCKED:
        lock_process(true);
        return -echo(address, how);
    default:
        return -echo(address, how);
    }
}

/* --- the parent --- */

typedef struct family {
    sys_address address;
    vhu_listener *listener;
    vhu_stream *stream; /* this side's end */
    HANDLE child;
    HANDLE told;
} family;

static HANDLE run_again(const char *address, task todo, int how)
{
    STARTUPINFOA startup = {.cb = sizeof(startup)};
    PROCESS_INFORMATION process;
    char path[MAX_PATH];
    char line[2 * MAX_PATH];

    assert_in_range(GetModuleFileNameA(NULL, path, sizeof(path)), 1, sizeof(path) - 1);
    snprintf(line, sizeof(line), "\"%s\" %s %d %d", path, address, (int)todo, how);
    assert_true(CreateProcessA(path, line, NULL, NULL, FALSE, 0, NULL, NULL, &startup, &process));
    CloseHandle(process.hThread);
    return process.hProcess;
}

static void family_begin(family *f, unsigned transfer, task todo, int how)
{
    const vhu_pipe_options pipe = {.size = sizeof(pipe), .transfer = transfer};
    const vhu_conn_options connection = {.size = sizeof(connection), .pipe = &pipe};
    const vhu_listener_options options = {.size = sizeof(options), .connection = &connection};
    int r;

    sys_address_new(&f->address);
    assert_int_equal(vhu_listener_new(&f->listener, f->address.text, &options), 0);
    f->told = told_event(f->address.text);
    f->child = run_again(f->address.text, todo, how);
    do
        assert_int_equal(vhu_listener_wait(f->listener, PATIENCE_MS), 0);
    while ((r = vhu_listener_accept_stream(f->listener, &f->stream)) == VHU_EAGAIN);
    assert_int_equal(r, 0);
}

/* What the child has ended with. */
static int family_end(family *f)
{
    DWORD code;

    vhu_stream_free(f->stream);
    vhu_listener_free(f->listener);
    assert_int_equal(WaitForSingleObject(f->child, PATIENCE_MS), 0);
    assert_true(GetExitCodeProcess(f->child, &code));
    vhu_handle_close(&f->child);
    vhu_handle_close(&f->told);
    sys_address_clear(&f->address);
    return code == KILLED ? 0 : -(int)code;
}

static int recv_some(family *f, vhu_handle *handles, size_t *n)
{
    const vhu_transport *transport = vhu_stream_transport(f->stream);
    uint8_t bytes[ROOM];
    int r;

    for (;;) {
        size_t got = VHU__FRAME_HANDLES;

        r = transport->recv(f->stream, bytes, sizeof(bytes), handles, &got);
        *n = got;
        if (r != VHU_EAGAIN)
            return r;
        assert_int_equal(transport->wait(f->stream, VHU_WAIT_READ, PATIENCE_MS), 0);
    }
}

/* As soon as it can be sent, which is when both have met; or why not. */
static int send_some(family *f, const vhu_handle *handles, size_t n)
{
    const vhu_transport *transport = vhu_stream_transport(f->stream);
    int r;

    while ((r = transport->send(f->stream, "bytes", 5, handles, n)) == VHU_EAGAIN)
        assert_int_equal(transport->wait(f->stream, VHU_WAIT_WRITE, PATIENCE_MS), 0);
    return r;
}

/* --- handles there and back --- */

static ACCESS_MASK access_of(HANDLE handle)
{
    vhu__handle_type type;
    ACCESS_MASK access = 0;

    assert_int_equal(vhu__handle_examine(handle, &type, &access), 0);
    return access;
}

/* With all rights and to be inherited, as who is careless makes them. */
static void open_handles(HANDLE handles[3])
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};

    handles[0] = CreateEventW(&inherited, FALSE, FALSE, NULL);
    handles[1] =
        CreateFileMappingW(INVALID_HANDLE_VALUE, &inherited, PAGE_EXECUTE_READWRITE, 0, 4096, NULL);
    handles[2] = CreateFileMappingW(INVALID_HANDLE_VALUE, &inherited, PAGE_READONLY, 0, 4096, NULL);
}

static void test_there_and_back(void **state)
{
    static const ACCESS_MASK expected[] = {SYNCHRONIZE | EVENT_MODIFY_STATE,
                                           SECTION_QUERY | SECTION_MAP_READ | SECTION_MAP_WRITE,
                                           SECTION_QUERY | SECTION_MAP_READ};
    HANDLE handles[3];

    (void)state;
    open_handles(handles);
    for (int mine = 0; mine < 2; mine++) {
        family f;
        int before;

        family_begin(&f, mine ? VHU_TRANSFER_BY_SELF : VHU_TRANSFER_BY_PEER, ECHO,
                     mine ? VHU_TRANSFER_BY_PEER : VHU_TRANSFER_BY_SELF);
        assert_int_equal(send_some(&f, NULL, 0), 5);
        for (int round = 0; round < 20; round++) {
            vhu_handle got[VHU__FRAME_HANDLES];
            size_t n;

            if (round > 0)
                assert_int_equal(send_some(&f, handles, 3), 5);
            assert_int_equal(recv_some(&f, got, &n), 5);
            assert_int_equal(n, round > 0 ? 3 : 0);
            for (size_t i = 0; i < n; i++) {
                assert_true(sys_handles_same(got[i], handles[i]));
                assert_int_equal(access_of(got[i]), expected[i]);
                assert_false(sys_handle_is_inherited(got[i]));
                vhu_handle_close(&got[i]);
            }
            /* Nothing adds up: what has been pulled is told of, and forgotten. */
            if (round == 1)
                before = leakcheck_count();
            if (round > 1)
                assert_int_equal(leakcheck_count(), before);
        }
        assert_int_equal(family_end(&f), VHU_EDISCONNECT);
    }
    for (size_t i = 0; i < 3; i++)
        vhu_handle_close(&handles[i]);
}

/* --- who transfers --- */

static void test_transfer(void **state)
{
    (void)state;
    for (unsigned mine = 0; mine <= VHU_TRANSFER_BY_PEER; mine++) {
        for (int childs = 0; childs <= VHU_TRANSFER_BY_PEER; childs++) {
            /* The child is the client. */
            bool agree = (mine == VHU_TRANSFER_BY_SELF) == (childs == VHU_TRANSFER_BY_PEER);
            HANDLE event = sys_handle_new();
            family f;
            int r;

            family_begin(&f, mine, ECHO, childs);
            r = send_some(&f, &event, 1);
            assert_int_equal(r, agree ? 5 : VHU_ENOSYS);
            assert_int_equal(family_end(&f), agree ? VHU_EDISCONNECT : VHU_ENOSYS);
            vhu_handle_close(&event);
        }
    }
}

/* Who may not open the other's process tells him so. */
static void test_locked_process(void **state)
{
    (void)state;
    for (int mine = 0; mine < 2; mine++) {
        family f;

        lock_process(!mine);
        family_begin(&f, mine ? VHU_TRANSFER_BY_SELF : VHU_TRANSFER_BY_PEER, mine ? LOCKED : ECHO,
                     mine ? VHU_TRANSFER_BY_PEER : VHU_TRANSFER_BY_SELF);
        assert_int_equal(send_some(&f, NULL, 0), VHU_EPERM);
        assert_int_equal(family_end(&f), VHU_EPERM);
        lock_process(false);
    }
}

/* --- a sudden end --- */

/* Until the child has told that it does no more. */
static void await_child(family *f)
{
    const vhu_transport *transport = vhu_stream_transport(f->stream);
    const HANDLE handles[] = {f->told, f->child, transport->wait_handle(f->stream)};
    uint8_t bytes[ROOM];
    DWORD which;

    do {
        size_t n = 0;

        assert_int_equal(transport->recv(f->stream, bytes, sizeof(bytes), NULL, &n), VHU_EAGAIN);
        transport->arm(f->stream, VHU_WAIT_READ);
        which = WaitForMultipleObjects(3, handles, FALSE, PATIENCE_MS);
        assert_int_not_equal(which, 1);
        assert_int_not_equal(which, WAIT_TIMEOUT);
    } while (which != 0);
}

/* Before this side has gone on, or after. */
static void test_killed(void **state)
{
    (void)state;
    for (int i = 0; i < 4 * RAW_STAGES; i++) {
        const int how = i % (2 * RAW_STAGES);
        const bool mine = how / RAW_STAGES;
        vhu_handle handles[VHU__FRAME_HANDLES];
        HANDLE event = sys_handle_new();
        size_t n;
        family f;

        family_begin(&f, mine ? VHU_TRANSFER_BY_SELF : VHU_TRANSFER_BY_PEER, STOP, how);
        await_child(&f);
        if (how % RAW_STAGES == RAW_MET && i >= 2 * RAW_STAGES)
            assert_int_equal(send_some(&f, &event, 1), 5);
        assert_true(TerminateProcess(f.child, KILLED));
        if (i >= 2 * RAW_STAGES)
            assert_int_equal(WaitForSingleObject(f.child, PATIENCE_MS), 0);
        assert_int_equal(recv_some(&f, handles, &n), VHU_EDISCONNECT);
        assert_int_equal(n, 0);
        assert_int_equal(send_some(&f, &event, 1), VHU_EDISCONNECT);
        assert_int_equal(family_end(&f), 0);
        vhu_handle_close(&event);
    }
}

/* What one opens for good when it runs a program is open. */
static int run_once(void **state)
{
    family f;

    (void)state;
    family_begin(&f, VHU_TRANSFER_BY_CLIENT, ECHO, VHU_TRANSFER_BY_CLIENT);
    return send_some(&f, NULL, 0) == 5 && family_end(&f) == VHU_EDISCONNECT ? 0 : -1;
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_there_and_back),
        leakcheck_test(test_transfer),
        leakcheck_test(test_locked_process),
        leakcheck_test(test_killed),
    };

    if (argc > 1)
        return be_child(argv);
    return cmocka_run_group_tests(tests, run_once, NULL);
}
