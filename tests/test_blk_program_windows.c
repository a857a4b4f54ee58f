/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-blk gets its end of a pipe, or of a process, from whoever has started it. */
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/vmm_vhost.h>
#include <windows.h>

#include "blk_driver.h"
#include "support/file.h"
#include "support/sys.h"
#include "support/tool.h"

enum { DISK = 1 << 20, GUEST_BASE = 1 << 20 };

static void test_wrong_options(void **state)
{
    static const struct tool_case cases[] = {
        {{"--fd=40000"}, "--fd=40000: no open handle"},
        {{"--socket-path=\\\\.\\pipe\\p", "--peer-process=40000"}, "--peer-process=40000: no open"},
        {{"--socket-path=\\\\.\\pipe\\p", "--transfer=both"}, "must be one of client|self|peer"},
        {{"--socket-path=\\\\.\\pipe\\p", "--pipe-security=nonsense"}, "--socket-path="},
        {{"--socket-path=\\\\host\\pipe\\p"}, "--socket-path=\\\\host\\pipe\\p: no address"},
        {{"--socket-path=\\\\.\\pipe\\p", "--socket-mode=600"},
         "--socket-mode=600: no such option"},
        {{"--socket-path=\\\\.\\pipe\\p", "--engine=io_uring"}, "auto|overlapped|uv"},
        {{"--socket-path=\\\\.\\pipe\\p", "--blk-file=NUL"}, "NUL: neither a regular file"},
        {{"--socket-path=\\\\.\\pipe\\p", "--blk-file=."}, ".: Permission denied"},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

/* --- an inherited end --- */

/* Ours, and one that a child process gets. */
static void make_pipe(HANDLE *ours, HANDLE *childs)
{
    SECURITY_ATTRIBUTES inherited = {.nLength = sizeof(inherited), .bInheritHandle = TRUE};
    sys_address address;

    sys_address_new(&address);
    *ours = CreateNamedPipeA(
        address.text, PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | FILE_FLAG_FIRST_PIPE_INSTANCE,
        PIPE_TYPE_BYTE | PIPE_REJECT_REMOTE_CLIENTS, 1, 65536, 65536, 0, NULL);
    assert_true(*ours != INVALID_HANDLE_VALUE);
    *childs = CreateFileA(address.text, GENERIC_READ | GENERIC_WRITE, 0, &inherited, OPEN_EXISTING,
                          FILE_FLAG_OVERLAPPED, NULL);
    assert_true(*childs != INVALID_HANDLE_VALUE);
}

static HANDLE open_process(DWORD id, BOOL inherited)
{
    HANDLE process = OpenProcess(PROCESS_DUP_HANDLE | SYNCHRONIZE, inherited, id);

    assert_non_null(process);
    return process;
}

/* A sector is written and read over the connection, so memory and events have been passed. */
static void use_disk(vhu_conn **conn)
{
    static const struct blk_driver_options options = {
        .depth = 1, .max_len = 4096, .memory = GUEST_BASE};
    const vhu_remote_options remote_options = {
        .size = sizeof(remote_options), .num_rings = 1, .features = BLK_DRIVER_FEATURES};
    vhu_mem_region region = {.guest_addr = GUEST_BASE, .size = blk_driver_bytes(&options)};
    struct blk_driver *driver;
    vhu_remote *remote;
    vhu_shm *memory;
    uint8_t out[512];
    uint8_t in[512];

    memset(out, 0x5a, sizeof(out));
    assert_int_equal(vhu_remote_new(&remote, &remote_options), 0);
    assert_int_equal(vhu_shm_new(&memory, region.size), 0);
    region.user_addr = (uintptr_t)vhu_shm_base(memory);
    assert_int_equal(vhu_remote_connect_over(remote, conn), 0);
    assert_int_equal(vhu_remote_add_memory(remote, &region, vhu_shm_handle(memory)), 0);
    assert_int_equal(blk_driver_new(&driver, remote, &options), 0);
    assert_int_equal(vhu_remote_start(remote), 0);
    assert_int_equal(blk_driver_write(driver, 3, out, sizeof(out)), 0);
    assert_int_equal(blk_driver_read(driver, 3, in, sizeof(in)), 0);
    assert_memory_equal(in, out, sizeof(in));
    blk_driver_free(driver);
    vhu_remote_free(remote);
    vhu_shm_free(memory);
}

/* `childs`: options of the program beside --fd. It ends with the connection. */
static void serve_inherited(unsigned transfer, const char *childs_transfer, HANDLE process)
{
    vhu_pipe_options pipe = {.size = sizeof(pipe), .transfer = transfer};
    const vhu_conn_options options = {.size = sizeof(options), .pipe = &pipe};
    char fd[32];
    char peer[40];
    const char *args[] = {fd, childs_transfer, process ? peer : NULL, NULL};
    HANDLE ours;
    HANDLE childs;
    vhu_conn *conn;
    program *p;

    make_pipe(&ours, &childs);
    snprintf(fd, sizeof(fd), "--fd=%u", (unsigned)(uintptr_t)childs);
    snprintf(peer, sizeof(peer), "--peer-process=%u", (unsigned)(uintptr_t)process);
    p = tool_start(args);
    CloseHandle(childs);
    pipe.peer_process = open_process((DWORD)program_id(p), FALSE);
    assert_int_equal(vhu_conn_adopt(&conn, &ours, &options), 0);
    CloseHandle(pipe.peer_process);
    use_disk(&conn);
    program_expect(p, 0, "served requests=2 reads=1 writes=1 ");
    program_free(p);
}

/* Whoever has started the program copies handles into its process. */
static void test_inherited_pipe(void **state)
{
    (void)state;
    serve_inherited(VHU_TRANSFER_BY_SELF, "--transfer=peer", NULL);
}

/* The program does, and so gets a handle of the process that has started it. */
static void test_inherited_process(void **state)
{
    HANDLE self = open_process(GetCurrentProcessId(), TRUE);

    (void)state;
    serve_inherited(VHU_TRANSFER_BY_PEER, "--transfer=self", self);
    CloseHandle(self);
}

static int set_up(void **state)
{
    (void)state;
    if (tool_setup(BLK_PROGRAM, "--blk-file=disk"))
        return -1;
    file_resize(folder_at(&tool_folder, "disk").path, DISK);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options),
        leakcheck_test(test_inherited_pipe),
        leakcheck_test(test_inherited_process),
    };

    return cmocka_run_group_tests(tests, set_up, tool_teardown);
}
