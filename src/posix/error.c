/* SPDX-License-Identifier: BSD-3-Clause */
#include "posix.h"

#include <errno.h>
#include <vmm_vhost/error.h>

#include "util.h"

static const struct {
    int errnum;
    int code;
} rows[] = {
    {EAGAIN, VHU_EAGAIN},
    {EINPROGRESS, VHU_EAGAIN},
    {ETIMEDOUT, VHU_ETIMEDOUT},
    {EPIPE, VHU_EDISCONNECT},
    {ECONNRESET, VHU_EDISCONNECT},
    {ENOTCONN, VHU_EDISCONNECT},
    {EINVAL, VHU_EINVAL},
    {EBADF, VHU_EINVAL},
    {ENOTSOCK, VHU_EINVAL},
    {ENOTDIR, VHU_EINVAL},
    {ENAMETOOLONG, VHU_EINVAL},
    {ENOMEM, VHU_ENOMEM},
    {ENOBUFS, VHU_ENOMEM},
    {ENOSYS, VHU_ENOSYS},
    {EOPNOTSUPP, VHU_ENOSYS},
    {EAFNOSUPPORT, VHU_ENOSYS},
    {EADDRINUSE, VHU_EADDRINUSE},
    {ENOENT, VHU_ENOENT},
    {ECONNREFUSED, VHU_ECONNREFUSED},
    {EPERM, VHU_EPERM},
    {EACCES, VHU_EPERM},
    {EROFS, VHU_EPERM},
    {EOVERFLOW, VHU_EOVERFLOW},
    {EFBIG, VHU_EOVERFLOW},
    {EMFILE, VHU_EMFILE},
    {ENFILE, VHU_EMFILE},
    {ETOOMANYREFS, VHU_EMFILE},
    {EIO, VHU_EIO},
};

int vhu__posix_error(int errnum)
{
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        if (rows[i].errnum == errnum)
            return rows[i].code;
    }
    return VHU_EOS;
}
