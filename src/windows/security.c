/* SPDX-License-Identifier: BSD-3-Clause */
#include "security.h"

#include <bcrypt.h>
#include <sddl.h>
#include <stdio.h>
#include <vmm_vhost/error.h>

static int last_error(void)
{
    return vhu__win32_error(GetLastError());
}

/* A token's user, which lies in the same memory. */
typedef union token_user {
    TOKEN_USER user;
    BYTE room[sizeof(TOKEN_USER) + SECURITY_MAX_SID_SIZE];
} token_user;

static int user_of(HANDLE token, token_user *out)
{
    DWORD len;

    return GetTokenInformation(token, TokenUser, out, sizeof(*out), &len) ? 0 : last_error();
}

static int my_user(token_user *out)
{
    HANDLE token;
    int r;

    if (!OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token))
        return last_error();
    r = user_of(token, out);
    vhu_handle_close(&token);
    return r;
}

/* --- who may open it --- */

enum { SDDL_ROOM = 1024 };

static int my_sid(wchar_t **out)
{
    token_user me;
    int r = my_user(&me);

    if (r < 0)
        return r;
    return ConvertSidToStringSidW(me.user.User.Sid, out) ? 0 : last_error();
}

static int convert(SECURITY_ATTRIBUTES *out, const wchar_t *sddl)
{
    *out = (SECURITY_ATTRIBUTES){.nLength = sizeof(*out)};
    return ConvertStringSecurityDescriptorToSecurityDescriptorW(sddl, SDDL_REVISION_1,
                                                                &out->lpSecurityDescriptor, NULL)
               ? 0
               : last_error();
}

/*
 * Nobody but me. Who logged in over the network is me, too: that no client is on another machine
 * the pipe itself sees to.
 */
static int convert_default(SECURITY_ATTRIBUTES *out, const wchar_t *me)
{
    wchar_t text[SDDL_ROOM];

    swprintf(text, SDDL_ROOM, L"O:%lsD:P(A;;GA;;;%ls)", me, me);
    return convert(out, text);
}

/*
 * I am the owner unless it names one: it would be a group for administrators, and clients refuse
 * that.
 */
static int convert_given(SECURITY_ATTRIBUTES *out, const wchar_t *me, const char *sddl)
{
    wchar_t given[SDDL_ROOM];
    wchar_t text[2 * SDDL_ROOM];
    BOOL by_default;
    PSID owner;

    if (MultiByteToWideChar(CP_UTF8, MB_ERR_INVALID_CHARS, sddl, -1, given, SDDL_ROOM) <= 0 ||
        convert(out, given) < 0)
        return VHU_EINVAL;
    if (GetSecurityDescriptorOwner(out->lpSecurityDescriptor, &owner, &by_default) && owner)
        return 0;
    LocalFree(out->lpSecurityDescriptor);
    swprintf(text, 2 * SDDL_ROOM, L"O:%ls%ls", me, given);
    return convert(out, text);
}

int vhu__security_attributes(SECURITY_ATTRIBUTES *out, const char *sddl)
{
    wchar_t *me;
    int r = sddl && sddl[0] == '\0' ? VHU_EINVAL : my_sid(&me);

    if (r < 0)
        return r;
    r = sddl ? convert_given(out, me, sddl) : convert_default(out, me);
    LocalFree(me);
    return r;
}

/* --- whose it is --- */

static bool is_sid(PSID sid, const char *text)
{
    PSID other;
    bool same;

    if (!text || !ConvertStringSidToSidA(text, &other))
        return false;
    same = EqualSid(sid, other);
    LocalFree(other);
    return same;
}

int vhu__security_check_owner(HANDLE pipe, const char *owner)
{
    union {
        SECURITY_DESCRIPTOR_RELATIVE descriptor;
        BYTE room[sizeof(SECURITY_DESCRIPTOR_RELATIVE) + SECURITY_MAX_SID_SIZE];
    } security;
    token_user me;
    PSID sid = NULL;
    BOOL by_default;
    DWORD len;
    int r = my_user(&me);

    if (r < 0)
        return r;
    if (!GetKernelObjectSecurity(pipe, OWNER_SECURITY_INFORMATION, &security, sizeof(security),
                                 &len) ||
        !GetSecurityDescriptorOwner(&security, &sid, &by_default) || !sid)
        return VHU_EPERM;
    return EqualSid(sid, me.user.User.Sid) || is_sid(sid, owner) ? 0 : VHU_EPERM;
}

/* --- who has come --- */

typedef struct client_check {
    HANDLE pipe;
    int result;
} client_check;

/*
 * In a thread of its own, which ends as the client's: whether it could be turned back into ours
 * does not matter then.
 */
static DWORD WINAPI check_in_thread(void *arg)
{
    client_check *check = arg;
    token_user client;
    token_user me;
    HANDLE token;

    check->result = my_user(&me);
    if (check->result < 0 || !ImpersonateNamedPipeClient(check->pipe)) {
        check->result = VHU_EPERM;
        return 0;
    }
    if (!OpenThreadToken(GetCurrentThread(), TOKEN_QUERY, TRUE, &token)) {
        check->result = VHU_EPERM;
        return 0;
    }
    check->result = user_of(token, &client);
    vhu_handle_close(&token);
    if (check->result == 0 && !EqualSid(client.user.User.Sid, me.user.User.Sid) &&
        !IsWellKnownSid(client.user.User.Sid, WinLocalSystemSid))
        check->result = VHU_EPERM;
    return 0;
}

int vhu__security_check_client(HANDLE pipe)
{
    client_check check = {.pipe = pipe, .result = VHU_EPERM};
    HANDLE thread = CreateThread(NULL, 0, check_in_thread, &check, 0, NULL);

    if (!thread)
        return VHU_ENOMEM;
    WaitForSingleObject(thread, INFINITE);
    vhu_handle_close(&thread);
    return check.result;
}

int vhu__security_random(void *out, size_t len)
{
    return BCryptGenRandom(NULL, out, (ULONG)len, BCRYPT_USE_SYSTEM_PREFERRED_RNG) >= 0 ? 0
                                                                                        : VHU_EOS;
}
