/* SPDX-License-Identifier: BSD-3-Clause */
/* Who may open a pipe, whose it is, and who has come; and what nobody can guess. */
#ifndef VHU_SECURITY_H
#define VHU_SECURITY_H

#include "win32.h"

/*
 * For a pipe: of this process's user, who alone may open it; or as the caller's SDDL says, of this
 * user unless it names an owner. The descriptor is to be freed by LocalFree(). VHU_EINVAL: wrong
 * SDDL.
 */
int vhu__security_attributes(SECURITY_ATTRIBUTES *out, const char *sddl);

/* Whether a pipe belongs to this process's user, or to the SID `owner` (may be NULL), or VHU_EPERM.
 */
int vhu__security_check_owner(HANDLE pipe, const char *owner);

/*
 * Whether who has connected to a server's end, from which something has been read, is this
 * process's user or SYSTEM, or VHU_EPERM. Blocks as long as a thread takes to come and go.
 */
int vhu__security_check_client(HANDLE pipe);

/* VHU_EOS. */
int vhu__security_random(void *out, size_t len);

#endif
