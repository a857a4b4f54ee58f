/* SPDX-License-Identifier: BSD-3-Clause */
#include "disk_posix.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FILE_BLOCK = 4096 };

_Static_assert(sizeof(struct iovec) == sizeof(vhu_buf) &&
                   offsetof(struct iovec, iov_base) == offsetof(vhu_buf, base) &&
                   offsetof(struct iovec, iov_len) == offsetof(vhu_buf, len),
               "a vhu_buf is an iovec");

int disk_os_open(struct disk *disk, const char *path)
{
    /* O_NONBLOCK only keeps a FIFO from waiting for its other end here. */
    const int flags = (disk->read_only ? O_RDONLY : O_RDWR) | O_CLOEXEC | O_NONBLOCK;

    if (disk->direct && !disk_posix_direct)
        return -EINVAL;
    disk->file = open(path, flags | (disk->direct ? disk_posix_direct : 0));
    return disk->file < 0 ? -errno : 0;
}

int disk_os_inspect(struct disk *disk, uint32_t *physical_block)
{
    struct stat st;
    int rc = 0;

    if (fstat(disk->file, &st))
        return -errno;
    if (S_ISREG(st.st_mode)) {
        disk->size = (uint64_t)st.st_size;
        disk->can_discard = !disk->read_only && disk_posix_can_punch(disk);
        *physical_block = FILE_BLOCK;
    } else if (S_ISBLK(st.st_mode)) {
        disk->is_block_device = true;
        rc = disk_posix_inspect_device(disk, physical_block);
    } else {
        rc = -ENODEV;
    }
    /* Left on, it could turn a read that has to wait into an error. */
    fcntl(disk->file, F_SETFL, fcntl(disk->file, F_GETFL) & ~O_NONBLOCK);
    return rc;
}

int64_t disk_read(const struct disk *disk, const vhu_buf *bufs, uint32_t num, uint64_t offset)
{
    ssize_t n;

    do
        n = preadv(disk->file, (const struct iovec *)bufs, (int)num, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

int64_t disk_write(const struct disk *disk, const vhu_buf *bufs, uint32_t num, uint64_t offset)
{
    ssize_t n;

    do
        n = pwritev(disk->file, (const struct iovec *)bufs, (int)num, (off_t)offset);
    while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}
