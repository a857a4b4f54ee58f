/* SPDX-License-Identifier: BSD-3-Clause */
#include "shm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmm_vhost/shm.h>

#include "posix.h"

/* A peer that maps it can see that it will never get a SIGBUS from it. */
int vhu__shm_object(int *out, off_t size)
{
    int fd = memfd_create("vmm_vhost", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int r = 0;

    if (fd < 0)
        return vhu__posix_error(errno);
    if (ftruncate(fd, size) != 0 ||
        fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0)
        r = vhu__posix_error(errno);
    if (r < 0)
        vhu_handle_close(&fd);
    else
        *out = fd;
    return r;
}

/*
 * That may not be possible, or have been done by somebody else: only what is there then counts.
 * Whoever touches a hole is given a page, but for huge ones, of which there may be none.
 */
bool vhu_shm_seal(vhu_handle handle)
{
    int seals;

    if (vhu__posix_huge_page(handle) > 0)
        return false;
    (void)fcntl(handle, F_ADD_SEALS, F_SEAL_SHRINK);
    seals = fcntl(handle, F_GET_SEALS);
    return seals >= 0 && (seals & F_SEAL_SHRINK);
}
