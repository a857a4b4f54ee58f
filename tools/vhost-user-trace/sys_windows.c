/* SPDX-License-Identifier: BSD-3-Clause */
#include "sys.h"

#include <string.h>
#include <windows.h>
#include <winternl.h>

void sys_prepare(void)
{
    HANDLE out = GetStdHandle(STD_OUTPUT_HANDLE);
    DWORD mode;

    if (GetConsoleMode(out, &mode))
        SetConsoleMode(out, mode | ENABLE_VIRTUAL_TERMINAL_PROCESSING);
}

FILE *sys_create(const char *path)
{
    return fopen(path, "wN"); /* N: not inherited */
}

/* It shares our console, and has had the user's Ctrl-C when we had. */
void sys_ask_to_end(int process)
{
    (void)process;
}

/* --- pipes: they have no halves --- */

bool sys_is_stream(vhu_handle handle)
{
    return GetFileType(handle) == FILE_TYPE_PIPE;
}

bool sys_is_gone(vhu_stream *stream)
{
    (void)stream;
    return true;
}

void sys_shutdown_write(vhu_stream *stream)
{
    (void)stream;
}

void sys_shutdown_read(vhu_stream *stream)
{
    (void)stream;
}

/* --- what a handle is --- */

/* What no header has. */
struct section_info {
    void *base;
    ULONG attributes;
    LARGE_INTEGER size;
};

NTSTATUS NTAPI NtQuerySection(HANDLE section, ULONG what, void *out, SIZE_T len, SIZE_T *needed);

/* The name that the system has for what it is, such as "Event". */
static bool type_of(HANDLE handle, char *out, size_t size)
{
    union {
        PUBLIC_OBJECT_TYPE_INFORMATION info;
        unsigned char room[512]; /* the name follows */
    } type;
    size_t len = 0;

    if (!NT_SUCCESS(NtQueryObject(handle, ObjectTypeInformation, &type, sizeof type, NULL)))
        return false;
    for (; len + 1 < size && len < type.info.TypeName.Length / sizeof(WCHAR); ++len)
        out[len] = (char)type.info.TypeName.Buffer[len];
    out[len] = '\0';
    return true;
}

static void look_at_section(HANDLE handle, struct handle_info *info)
{
    struct section_info section;

    info->has_size = NT_SUCCESS(NtQuerySection(handle, 0, &section, sizeof section, NULL));
    info->size = info->has_size ? (uint64_t)section.size.QuadPart : 0;
}

void sys_look_at(vhu_handle handle, struct handle_info *info)
{
    static const struct {
        const char *type;
        const char *kind;
    } rows[] = {{"Event", "event"}, {"Section", "section"}, {"File", "file"}};
    char type[64];

    *info = (struct handle_info){.number = (uintptr_t)handle, .kind = "unknown"};
    if (!type_of(handle, type, sizeof type))
        return;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i)
        if (strcmp(type, rows[i].type) == 0)
            info->kind = rows[i].kind;
    if (strcmp(info->kind, "section") == 0)
        look_at_section(handle, info);
    else if (strcmp(info->kind, "file") == 0 && sys_is_stream(handle))
        info->kind = "pipe";
    else if (strcmp(info->kind, "unknown") == 0)
        snprintf(info->name, sizeof info->name, "%s", type);
}

uint64_t sys_wall_us(void)
{
    FILETIME now;

    /* In units of 100 ns since 1601. */
    GetSystemTimePreciseAsFileTime(&now);
    return (((uint64_t)now.dwHighDateTime << 32 | now.dwLowDateTime) -
            UINT64_C(116444736000000000)) /
           10;
}
