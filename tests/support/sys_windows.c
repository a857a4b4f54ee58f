/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/sys.h"

#include <stdio.h>
#include <string.h>
#include <windows.h>

int sys_count_handles(void)
{
    DWORD n;

    return GetProcessHandleCount(GetCurrentProcess(), &n) ? (int)n : -1;
}

int sys_count_handles_of(int process)
{
    HANDLE opened = OpenProcess(PROCESS_QUERY_INFORMATION, FALSE, (DWORD)process);
    DWORD n;
    BOOL told = opened && GetProcessHandleCount(opened, &n);

    if (opened)
        CloseHandle(opened);
    return told ? (int)n : -1;
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
