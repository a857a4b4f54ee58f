/* SPDX-License-Identifier: BSD-3-Clause */
#include "handle_pass.h"

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/error.h>

#include "handles.h"
#include "os.h"
#include "util.h"

/*
 * What may be passed, and the most that a peer gets of it: memory to map but not to execute or to
 * grow, events to wait for or to signal but not to change. A pipe's end goes as it is.
 */
static const struct {
    vhu__handle_type type;
    ACCESS_MASK access; /* 0: all that the handle has */
} passable[] = {
    {VHU__HANDLE_EVENT, SYNCHRONIZE | EVENT_MODIFY_STATE},
    {VHU__HANDLE_SECTION, SECTION_QUERY | SECTION_MAP_READ | SECTION_MAP_WRITE},
    {VHU__HANDLE_FILE, 0},
};

/* VHU_EINVAL unless it may be passed; and with which access. */
static int look_at(HANDLE handle, ACCESS_MASK *access)
{
    vhu__handle_type type;
    ACCESS_MASK granted;
    int r = vhu__handle_examine(handle, &type, &granted);

    if (r < 0)
        return r;
    for (size_t i = 0; i < VHU__COUNT(passable); i++) {
        if (passable[i].type != type)
            continue;
        *access = passable[i].access ? granted & passable[i].access : granted;
        return 0;
    }
    return VHU_EINVAL;
}

/* --- the peer --- */

void vhu__pass_inside(vhu__pass *pass, bool transfers)
{
    *pass = (vhu__pass){.transfers = transfers, .process = transfers ? GetCurrentProcess() : NULL};
}

int vhu__pass_copy(vhu__pass *out, const vhu__pass *pass)
{
    *out = (vhu__pass){.transfers = pass->transfers, .process = pass->process};
    /* This process itself stands for nothing that can be duplicated. */
    if (!pass->process || pass->process == GetCurrentProcess())
        return 0;
    out->process = NULL;
    return os_handle_dup(pass->process, &out->process);
}

/* --- what the peer is to pull --- */

static int remember(vhu__pass *pass, HANDLE handle)
{
    vhu__export *e;

    if (pass->num_exports == pass->max_exports) {
        size_t n = pass->max_exports + VHU__FRAME_HANDLES;
        vhu__export *more = realloc(pass->exports, n * sizeof(more[0]));

        if (!more)
            return VHU_ENOMEM;
        pass->exports = more;
        pass->max_exports = n;
    }
    e = &pass->exports[pass->num_exports];
    e->handle = handle;
    if (os_handle_dup(handle, &e->same) < 0)
        return VHU_EMFILE;
    pass->num_exports++;
    return 0;
}

/* The first `n`; closed, unless the peer has closed them and they are something else by now. */
static void forget(vhu__pass *pass, size_t n, bool closes)
{
    for (size_t i = 0; i < n; i++) {
        vhu__export *e = &pass->exports[i];

        if (closes && vhu__handle_same(e->handle, e->same))
            CloseHandle(e->handle);
        CloseHandle(e->same);
    }
    pass->num_exports -= n;
    if (pass->num_exports > 0)
        memmove(pass->exports, pass->exports + n, pass->num_exports * sizeof(pass->exports[0]));
}

bool vhu__pass_taken(vhu__pass *pass, size_t n)
{
    if (n == 0 || n > pass->num_exports)
        return false;
    forget(pass, n, false);
    return true;
}

void vhu__pass_release(vhu__pass *pass, bool gone)
{
    forget(pass, pass->num_exports, gone);
    free(pass->exports);
    vhu_handle_close(&pass->process);
    *pass = (vhu__pass){0};
}

vhu__frame_owner vhu__pass_owner(const vhu__pass *pass, bool sends)
{
    return pass->transfers == sends ? VHU__FRAME_OWNER_RECIPIENT : VHU__FRAME_OWNER_SENDER;
}

/* --- sending --- */

int vhu__pass_export_as(vhu__pass *pass, HANDLE handle, ACCESS_MASK access, uint64_t *value)
{
    HANDLE target = pass->transfers ? pass->process : GetCurrentProcess();
    HANDLE copy;

    if (!DuplicateHandle(GetCurrentProcess(), handle, target, &copy, access, FALSE, 0)) {
        DWORD e = GetLastError();

        return e == ERROR_ACCESS_DENIED ? VHU_EDISCONNECT : vhu__win32_error(e);
    }
    if (!pass->transfers) {
        int r = remember(pass, copy);

        if (r < 0) {
            CloseHandle(copy);
            return r;
        }
    }
    *value = (uint64_t)(uintptr_t)copy;
    return 0;
}

int vhu__pass_export(vhu__pass *pass, const vhu_handle *handles, size_t n, uint64_t *values)
{
    for (size_t i = 0; i < n; i++) {
        ACCESS_MASK access;
        int r = look_at(handles[i], &access);

        if (r == 0)
            r = vhu__pass_export_as(pass, handles[i], access, &values[i]);
        if (r < 0) {
            vhu__pass_withdraw(pass, values, i);
            return r;
        }
    }
    return 0;
}

/* The way to close another process's handle that every system has: make it ours, close that. */
static void pull_back(HANDLE process, HANDLE theirs)
{
    HANDLE copy;

    if (DuplicateHandle(process, theirs, GetCurrentProcess(), &copy, 0, FALSE,
                        DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE))
        CloseHandle(copy);
}

void vhu__pass_withdraw(vhu__pass *pass, const uint64_t *values, size_t n)
{
    if (pass->transfers) {
        for (size_t i = 0; i < n; i++)
            pull_back(pass->process, (HANDLE)(uintptr_t)values[i]);
        return;
    }
    for (; n > 0 && pass->num_exports > 0; n--) {
        vhu__export *e = &pass->exports[--pass->num_exports];

        CloseHandle(e->handle);
        CloseHandle(e->same);
    }
}

/* --- receiving --- */

/* Handles have 31 significant bits and come in steps of 4; pseudo-handles are negative. */
static bool is_value(uint64_t value)
{
    return value != 0 && value % 4 == 0 && value < 0x80000000u;
}

static bool is_among(HANDLE handle, const HANDLE *handles, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (handles[i] == handle)
            return true;
    }
    return false;
}

/* Before anything is done with one: what nobody may name, or name twice, spoils all. */
static int check_values(const uint64_t *values, size_t n, const HANDLE *mine, size_t num_mine)
{
    for (size_t i = 0; i < n; i++) {
        if (!is_value(values[i]) || is_among((HANDLE)(uintptr_t)values[i], mine, num_mine))
            return VHU_EINVALID_MESSAGE;
        for (size_t j = 0; j < i; j++) {
            if (values[j] == values[i])
                return VHU_EINVALID_MESSAGE;
        }
    }
    return 0;
}

/* It may be that it has gone, or is going, and not that it has lied. */
static int pull_error(HANDLE process)
{
    return GetLastError() == ERROR_ACCESS_DENIED || WaitForSingleObject(process, 0) == WAIT_OBJECT_0
               ? VHU_EDISCONNECT
               : VHU_EINVALID_MESSAGE;
}

static int pull(HANDLE process, HANDLE theirs, HANDLE *out)
{
    if (DuplicateHandle(process, theirs, GetCurrentProcess(), out, 0, FALSE,
                        DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE))
        return 0;
    return pull_error(process);
}

int vhu__pass_look(const vhu__pass *pass, uint64_t value, HANDLE *out)
{
    HANDLE owner = pass->transfers ? pass->process : GetCurrentProcess();

    if (!is_value(value))
        return VHU_EINVALID_MESSAGE;
    if (DuplicateHandle(owner, (HANDLE)(uintptr_t)value, GetCurrentProcess(), out, 0, FALSE,
                        DUPLICATE_SAME_ACCESS))
        return 0;
    return pull_error(owner);
}

void vhu__pass_take(const vhu__pass *pass, uint64_t value)
{
    pull_back(pass->transfers ? pass->process : GetCurrentProcess(), (HANDLE)(uintptr_t)value);
}

int vhu__pass_import(const vhu__pass *pass, const uint64_t *values, size_t n, const HANDLE *mine,
                     size_t num_mine, vhu_handle *out)
{
    /* What is pulled is a value of another process: it means nothing here. */
    int r = check_values(values, n, mine, pass->transfers ? 0 : num_mine);
    ACCESS_MASK access;

    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        out[i] = VHU_NO_HANDLE;
    for (size_t i = 0; i < n; i++) {
        HANDLE theirs = (HANDLE)(uintptr_t)values[i];
        int pulled = 0;

        if (pass->transfers)
            pulled = pull(pass->process, theirs, &out[i]);
        else
            out[i] = theirs;
        if (pulled == 0 && (look_at(out[i], &access) < 0 || vhu__handle_harden(out[i]) < 0)) {
            pulled = VHU_EINVALID_MESSAGE;
            /* Pulled, it is ours to close. Pushed, it may be anything, or nothing at all. */
            if (!pass->transfers)
                out[i] = VHU_NO_HANDLE;
        }
        r = r < 0 ? r : pulled;
    }
    if (r < 0)
        vhu__close_all(out, n);
    return r;
}
