/* SPDX-License-Identifier: BSD-3-Clause */
/* What the files of this port share. */
#ifndef VHU_WIN32_H
#define VHU_WIN32_H

#include <vmm_vhost/types.h>
#include <windows.h>

/* GetLastError() to VHU_E*: the only place where that happens. */
int vhu__win32_error(DWORD error);

/*
 * What a handle is, whoever it came from, and what it may be used for. VHU_EINVAL if it is none;
 * so are the values that stand for the calling process, thread, or token.
 */
typedef enum vhu__handle_type {
    VHU__HANDLE_OTHER,
    VHU__HANDLE_EVENT,
    VHU__HANDLE_SECTION,
    VHU__HANDLE_FILE,
    VHU__HANDLE_PROCESS
} vhu__handle_type;

int vhu__handle_examine(HANDLE handle, vhu__handle_type *type, ACCESS_MASK *access);

/* Whether it is of this type and has at least this access: 0, VHU_EINVAL, VHU_EPERM. */
int vhu__handle_require(HANDLE handle, vhu__handle_type type, ACCESS_MASK access);

/* Whether both are of the same object. */
bool vhu__handle_same(HANDLE a, HANDLE b);

/* No child process is to inherit it. */
int vhu__handle_harden(HANDLE handle);

/* A duplicate that has this access alone. */
int vhu__handle_dup_as(HANDLE handle, ACCESS_MASK access, vhu_handle *out);

/* What the system tells of a section. */
typedef struct vhu__section {
    void *base;
    ULONG attributes; /* SEC_* */
    LARGE_INTEGER size;
} vhu__section;

/*
 * Whether a section, of which the handle has SECTION_QUERY, is memory and nothing else, which an
 * access need not wait for: VHU_EINVAL.
 */
int vhu__section_examine(HANDLE section, vhu__section *out);

/*
 * For new objects that others get a handle of: its access cannot be widened by duplicating it. The
 * descriptor is to be freed by LocalFree().
 */
int vhu__sealed_attributes(SECURITY_ATTRIBUTES *out);

#endif
