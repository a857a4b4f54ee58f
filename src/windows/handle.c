/* SPDX-License-Identifier: BSD-3-Clause */
#include "win32.h"

#include <sddl.h>
#include <winternl.h>

#include "os.h"
#include "util.h"

/* Negative values stand for the calling process, thread or token. */
static bool is_handle(HANDLE handle)
{
    return (intptr_t)handle > 0;
}

void vhu_handle_close(vhu_handle *handle)
{
    DWORD saved = GetLastError();

    if (!is_handle(*handle))
        return;
    CloseHandle(*handle);
    *handle = VHU_NO_HANDLE;
    SetLastError(saved);
}

static int duplicate(HANDLE handle, ACCESS_MASK access, DWORD options, vhu_handle *out)
{
    HANDLE self = GetCurrentProcess();
    HANDLE copy;

    if (!is_handle(handle))
        return VHU_EINVAL;
    if (!DuplicateHandle(self, handle, self, &copy, access, FALSE, options))
        return vhu__win32_error(GetLastError());
    *out = copy;
    return 0;
}

int os_handle_dup(vhu_handle handle, vhu_handle *out)
{
    return duplicate(handle, 0, DUPLICATE_SAME_ACCESS, out);
}

int vhu__handle_dup_as(HANDLE handle, ACCESS_MASK access, vhu_handle *out)
{
    return duplicate(handle, access, 0, out);
}

/* --- what it is --- */

static const struct {
    const wchar_t *name;
    vhu__handle_type type;
} types[] = {
    {L"Event", VHU__HANDLE_EVENT},
    {L"Section", VHU__HANDLE_SECTION},
    {L"File", VHU__HANDLE_FILE},
    {L"Process", VHU__HANDLE_PROCESS},
};

static vhu__handle_type type_of(const UNICODE_STRING *name)
{
    for (size_t i = 0; i < VHU__COUNT(types); i++) {
        size_t len = wcslen(types[i].name) * sizeof(wchar_t);

        if (name->Length == len && memcmp(name->Buffer, types[i].name, len) == 0)
            return types[i].type;
    }
    return VHU__HANDLE_OTHER;
}

int vhu__handle_examine(HANDLE handle, vhu__handle_type *type, ACCESS_MASK *access)
{
    PUBLIC_OBJECT_BASIC_INFORMATION basic;
    union {
        PUBLIC_OBJECT_TYPE_INFORMATION info;
        unsigned char room[512]; /* the name follows */
    } named;

    if (!is_handle(handle) ||
        !NT_SUCCESS(NtQueryObject(handle, ObjectBasicInformation, &basic, sizeof(basic), NULL)) ||
        !NT_SUCCESS(NtQueryObject(handle, ObjectTypeInformation, &named, sizeof(named), NULL)))
        return VHU_EINVAL;
    *type = type_of(&named.info.TypeName);
    *access = basic.GrantedAccess;
    return 0;
}

int vhu__handle_require(HANDLE handle, vhu__handle_type type, ACCESS_MASK access)
{
    vhu__handle_type found;
    ACCESS_MASK granted;
    int r = vhu__handle_examine(handle, &found, &granted);

    if (r < 0)
        return r;
    if (found != type)
        return VHU_EINVAL;
    return (granted & access) == access ? 0 : VHU_EPERM;
}

int vhu__handle_harden(HANDLE handle)
{
    return SetHandleInformation(handle, HANDLE_FLAG_INHERIT, 0) ? 0
                                                                : vhu__win32_error(GetLastError());
}

/* --- who may do what with it --- */

/* Nobody has any right but by a handle; that of an owner to change that is taken away, too. */
int vhu__sealed_attributes(SECURITY_ATTRIBUTES *out)
{
    *out = (SECURITY_ATTRIBUTES){.nLength = sizeof(*out)};
    if (!ConvertStringSecurityDescriptorToSecurityDescriptorW(
            L"D:P(D;;GA;;;S-1-3-4)", SDDL_REVISION_1, &out->lpSecurityDescriptor, NULL))
        return vhu__win32_error(GetLastError());
    return 0;
}

/* Of Windows 10 and later; in no header. */
NTSYSAPI NTSTATUS NTAPI NtCompareObjects(HANDLE a, HANDLE b);

bool vhu__handle_same(HANDLE a, HANDLE b)
{
    return is_handle(a) && is_handle(b) && NT_SUCCESS(NtCompareObjects(a, b));
}
