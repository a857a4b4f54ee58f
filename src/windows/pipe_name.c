/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of pipes, and the ends that are made by them. */
#include "pipe.h"

#include <stdio.h>
#include <string.h>
#include <vmm_vhost/error.h>
#include <winternl.h>

#include "security.h"

/* Of FileModeInformation: the file takes one operation at a time. */
enum { MODE_SYNCHRONOUS = 0x10 | 0x20, FILE_MODE_INFORMATION_CLASS = 16 };

static int last_error(void)
{
    return vhu__win32_error(GetLastError());
}

int vhu__pipe_name(wchar_t out[VHU__PIPE_NAME_MAX + 1], const char *address)
{
    static const char prefix[] = "\\\\.\\pipe\\";
    size_t len = strlen(address);

    if (len < sizeof(prefix) || len > VHU__PIPE_NAME_MAX ||
        _strnicmp(address, prefix, sizeof(prefix) - 1) != 0 ||
        strpbrk(address + sizeof(prefix) - 1, "\\/")) /* "../" would lead to files */
        return VHU_EINVAL;
    return MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, address, -1, out,
                               VHU__PIPE_NAME_MAX + 1) > 0
               ? 0
               : VHU_EINVAL;
}

int vhu__pipe_create(HANDLE *out, const wchar_t *name, bool first, DWORD max_instances,
                     SECURITY_ATTRIBUTES *attributes)
{
    const DWORD open =
        PIPE_ACCESS_DUPLEX | FILE_FLAG_OVERLAPPED | (first ? FILE_FLAG_FIRST_PIPE_INSTANCE : 0);
    const DWORD mode = PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT | PIPE_REJECT_REMOTE_CLIENTS;
    HANDLE pipe = CreateNamedPipeW(name, open, mode, max_instances, VHU__PIPE_QUOTA,
                                   VHU__PIPE_QUOTA, 0, attributes);

    if (pipe != INVALID_HANDLE_VALUE) {
        *out = pipe;
        return 0;
    }
    /* Somebody else's first instance shows as this one, too. */
    return first && GetLastError() == ERROR_ACCESS_DENIED ? VHU_EADDRINUSE : last_error();
}

int vhu__pipe_dial(HANDLE *out, const wchar_t *name)
{
    /* A server that is not to be trusted may not act in our name. */
    HANDLE pipe =
        CreateFileW(name, VHU__PIPE_CLIENT_ACCESS, 0, NULL, OPEN_EXISTING,
                    FILE_FLAG_OVERLAPPED | SECURITY_SQOS_PRESENT | SECURITY_IDENTIFICATION, NULL);

    if (pipe != INVALID_HANDLE_VALUE) {
        *out = pipe;
        return 0;
    }
    return GetLastError() == ERROR_PIPE_BUSY ? VHU_EAGAIN : last_error();
}

static int random_name(wchar_t *out, size_t room)
{
    ULONGLONG number[2];
    int r = vhu__security_random(number, sizeof(number));

    if (r < 0)
        return r;
    swprintf(out, room, L"\\\\.\\pipe\\vmm_vhost-%lu-%016llx%016llx", GetCurrentProcessId(),
             number[0], number[1]);
    return 0;
}

/* Whoever guessed the name and came first is seen here. */
static int check_client(HANDLE server)
{
    ULONG pid;

    if (!GetNamedPipeClientProcessId(server, &pid))
        return last_error();
    return pid == GetCurrentProcessId() ? 0 : VHU_EPERM;
}

int vhu__pipe_pair(HANDLE out[2])
{
    SECURITY_ATTRIBUTES attributes;
    wchar_t name[VHU__PIPE_NAME_MAX + 1];
    HANDLE ends[2] = {NULL, NULL};
    int r = vhu__security_attributes(&attributes, NULL);

    if (r < 0)
        return r;
    r = random_name(name, VHU__PIPE_NAME_MAX + 1);
    if (r == 0)
        r = vhu__pipe_create(&ends[0], name, true, 1, &attributes);
    if (r == 0)
        r = vhu__pipe_dial(&ends[1], name);
    if (r == 0)
        r = check_client(ends[0]);
    LocalFree(attributes.lpSecurityDescriptor);
    if (r < 0) {
        vhu_handle_close(&ends[0]);
        vhu_handle_close(&ends[1]);
        return r;
    }
    out[0] = ends[0];
    out[1] = ends[1];
    return 0;
}

int vhu__pipe_examine(HANDLE handle, bool *is_server)
{
    IO_STATUS_BLOCK status;
    ULONG mode;
    DWORD flags;
    DWORD available;
    int r = vhu__handle_require(handle, VHU__HANDLE_FILE, FILE_READ_DATA | FILE_WRITE_DATA);

    if (r < 0)
        return VHU_EINVAL;
    if (NtQueryInformationFile(handle, &status, &mode, sizeof(mode),
                               (FILE_INFORMATION_CLASS)FILE_MODE_INFORMATION_CLASS) < 0 ||
        (mode & MODE_SYNCHRONOUS))
        return VHU_EINVAL;
    /* A server's end that nobody has come to has nothing to be looked at. */
    if (GetFileType(handle) != FILE_TYPE_PIPE ||
        !GetNamedPipeInfo(handle, &flags, NULL, NULL, NULL) || (flags & PIPE_TYPE_MESSAGE) ||
        (!PeekNamedPipe(handle, NULL, 0, NULL, &available, NULL) &&
         GetLastError() != ERROR_BROKEN_PIPE))
        return VHU_EINVAL;
    *is_server = (flags & PIPE_SERVER_END) != 0;
    return 0;
}
