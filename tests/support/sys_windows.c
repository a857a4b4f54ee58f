/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/sys.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>
#include <windows.h>

/* Wine gives out the lowest that is free. */
enum { HANDLE_STEP = 4, LONGEST_GAP = 48 };

static bool is_open_in(HANDLE process, HANDLE value)
{
    HANDLE copy;

    if (!DuplicateHandle(process, value, GetCurrentProcess(), &copy, 0, FALSE,
                         DUPLICATE_SAME_ACCESS))
        return false;
    CloseHandle(copy);
    return true;
}

/*
 * Wine's GetProcessHandleCount() says that there are none, and its list of all handles ends its
 * server when some process is just beginning: there each value is tried.
 */
static int count_in(HANDLE process)
{
    bool own = process == GetCurrentProcess();
    DWORD told = 0;
    int n = 0, gap = 0;

    if (GetProcessHandleCount(process, &told) && told > 0)
        return (int)told;
    for (intptr_t value = HANDLE_STEP; gap < LONGEST_GAP; value += HANDLE_STEP) {
        bool open = own ? sys_handle_is_open((HANDLE)value) : is_open_in(process, (HANDLE)value);

        n += open;
        gap = open ? 0 : gap + 1;
    }
    return n;
}

int sys_count_handles_of(int process)
{
    HANDLE handle =
        OpenProcess(PROCESS_QUERY_INFORMATION | PROCESS_DUP_HANDLE, FALSE, (DWORD)process);
    int n = handle ? count_in(handle) : -1;

    if (handle)
        CloseHandle(handle);
    return n;
}

static void run_nothing(void *arg)
{
    (void)arg;
}

static void work_nothing(uv_work_t *work)
{
    (void)work;
}

static void CALLBACK on_wait(void *arg, BOOLEAN timed_out)
{
    (void)arg;
    (void)timed_out;
}

static void CALLBACK on_timer(PTP_CALLBACK_INSTANCE instance, void *arg, PTP_TIMER timer)
{
    (void)instance;
    (void)timer;
    SetEvent(arg);
}

static void use_threads(void)
{
    uv_thread_t thread;
    uv_loop_t loop;
    uv_work_t work;

    uv_thread_create(&thread, run_nothing, NULL);
    uv_thread_join(&thread);
    uv_loop_init(&loop);
    uv_queue_work(&loop, &work, work_nothing, NULL);
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

static void use_pool(void)
{
    HANDLE never = CreateEventW(NULL, TRUE, FALSE, NULL);
    HANDLE done = CreateEventW(NULL, FALSE, FALSE, NULL);
    PTP_TIMER timer = CreateThreadpoolTimer(on_timer, done, NULL);
    FILETIME now = {0};
    HANDLE wait;

    /* For good: a thread that waits for nothing any more ends some seconds later. */
    RegisterWaitForSingleObject(&wait, never, on_wait, NULL, INFINITE, WT_EXECUTEINWAITTHREAD);
    SetThreadpoolTimer(timer, &now, 0, 0);
    WaitForSingleObject(done, INFINITE);
    WaitForThreadpoolTimerCallbacks(timer, TRUE);
    CloseThreadpoolTimer(timer);
    CloseHandle(done);
}

/* Without what the first thread, wait and timer open for as long as the process lives. */
int sys_count_handles(void)
{
    static bool warm;

    if (!warm) {
        use_threads();
        use_pool();
        warm = true;
    }
    return count_in(GetCurrentProcess());
}

vhu_handle sys_handle_new(void)
{
    return CreateEventW(NULL, FALSE, FALSE, NULL);
}

vhu_handle sys_odd_handle_new(void)
{
    return CreateMutexW(NULL, FALSE, NULL);
}

bool sys_handle_is_open(vhu_handle handle)
{
    DWORD flags;

    return GetHandleInformation(handle, &flags);
}

bool sys_handle_is_inherited(vhu_handle handle)
{
    DWORD flags = 0;

    GetHandleInformation(handle, &flags);
    return flags & HANDLE_FLAG_INHERIT;
}

bool sys_handles_same(vhu_handle a, vhu_handle b)
{
    typedef BOOL(WINAPI * compare_fn)(HANDLE, HANDLE);
    const FARPROC f = GetProcAddress(GetModuleHandleW(L"kernelbase.dll"), "CompareObjectHandles");
    compare_fn compare = NULL;

    memcpy(&compare, &f, sizeof(compare));
    return compare && compare(a, b);
}

int sys_count_maps(void)
{
    MEMORY_BASIC_INFORMATION info = {0};
    int n = 0;

    for (char *at = NULL; VirtualQuery(at, &info, sizeof(info)) == sizeof(info);
         at = (char *)info.BaseAddress + info.RegionSize)
        n += info.Type == MEM_MAPPED && info.AllocationProtect == PAGE_READWRITE &&
             info.BaseAddress == info.AllocationBase;
    return n;
}

void sys_address_new(sys_address *out)
{
    static unsigned number;

    snprintf(out->text, sizeof(out->text), "\\\\.\\pipe\\vhu-test-%lu-%u", GetCurrentProcessId(),
             ++number);
}

void sys_address_clear(sys_address *address)
{
    (void)address; /* a pipe ends with its last handle */
}

const char *const sys_bad_addresses[] = {
    "",
    "name",
    "/tmp/socket",
    "\\\\.\\pipe\\",
    "\\\\localhost\\pipe\\name", /* of another machine */
    "\\\\.\\pipe\\a/b",
    NULL,
};

const bool sys_has_seqpacket = false;

int sys_seqpacket_pair(vhu_stream *out[2])
{
    (void)out;
    return VHU_ENOSYS;
}

bool sys_stream_make_small(vhu_handle wait_handle)
{
    (void)wait_handle;
    return false;
}

void sys_error_set(unsigned error)
{
    SetLastError(error);
}

unsigned sys_error(void)
{
    return GetLastError();
}

void sys_sleep_ms(unsigned ms)
{
    Sleep(ms);
}

bool sys_is_wine(void)
{
    return GetProcAddress(GetModuleHandleW(L"ntdll.dll"), "wine_get_version") != NULL;
}

/* Whoever shares the console gets it, so this process takes no notice. */
static BOOL WINAPI ignore(DWORD event)
{
    (void)event;
    return TRUE;
}

/* A program of tests has a console of its own: this process goes there, and leaves its own. */
void sys_interrupt(int process)
{
    FreeConsole();
    if (!AttachConsole((DWORD)process))
        return;
    SetConsoleCtrlHandler(ignore, TRUE);
    GenerateConsoleCtrlEvent(CTRL_C_EVENT, 0);
    FreeConsole();
}
