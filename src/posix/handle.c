/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "os.h"
#include "posix.h"

void vhu_handle_close(vhu_handle *handle)
{
    int saved = errno;

    if (*handle < 0)
        return;
    /* Not repeated on EINTR: the descriptor is gone all the same. */
    close(*handle);
    *handle = VHU_NO_HANDLE;
    errno = saved;
}

int os_handle_dup(vhu_handle handle, vhu_handle *out)
{
    int fd = fcntl(handle, F_DUPFD_CLOEXEC, 0);

    if (fd < 0)
        return vhu__posix_error(errno);
    *out = fd;
    return 0;
}
