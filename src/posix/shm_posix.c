/* SPDX-License-Identifier: BSD-3-Clause */
#include "shm_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>
#include <vmm_vhost/shm.h>

#include "posix.h"

/* A name is needed for a moment only. Others may have the same one, so go on with the next. */
static int open_nameless(void)
{
    static _Atomic unsigned next;

    for (int tries = 0; tries < 100; tries++) {
        char name[40];
        int fd;

        snprintf(name, sizeof(name), "/vhu.%ld.%u", (long)getpid(), atomic_fetch_add(&next, 1));
        fd = shm_open(name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (fd >= 0)
            shm_unlink(name);
        if (fd >= 0 || errno != EEXIST)
            return fd;
    }
    return -1;
}

int vhu__shm_object(int *out, off_t size)
{
    int fd = open_nameless();
    int r = 0;

    if (fd < 0)
        return vhu__posix_error(errno);
    if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ftruncate(fd, size) != 0)
        r = vhu__posix_error(errno);
    if (r < 0)
        vhu_handle_close(&fd);
    else
        *out = fd;
    return r;
}

bool vhu_shm_seal(vhu_handle handle)
{
    (void)handle;
    return false;
}
