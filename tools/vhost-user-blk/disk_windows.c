/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Files of Windows, opened for overlapped operations. The functions here wait for theirs; the
 * engine does not. Holes can be made in sparse files.
 */
#include "disk_windows.h"

#include <errno.h>
#include <winioctl.h>

#include "disk_os.h"

enum { FILE_BLOCK = 4096 };

/* One operation's bytes are 32 bits wide; what is left is asked for again. */
#define MAX_LEN ((size_t)1 << 30)

int disk_windows_error(DWORD error)
{
    static const struct {
        DWORD error;
        int code;
    } rows[] = {
        {ERROR_HANDLE_EOF, 0},
        {ERROR_FILE_NOT_FOUND, ENOENT},
        {ERROR_PATH_NOT_FOUND, ENOENT},
        {ERROR_INVALID_NAME, ENOENT},
        {ERROR_ACCESS_DENIED, EACCES},
        {ERROR_SHARING_VIOLATION, EBUSY},
        {ERROR_LOCK_VIOLATION, EBUSY},
        {ERROR_WRITE_PROTECT, EROFS},
        {ERROR_DISK_FULL, ENOSPC},
        {ERROR_HANDLE_DISK_FULL, ENOSPC},
        {ERROR_INVALID_PARAMETER, EINVAL},
        {ERROR_INVALID_FUNCTION, EOPNOTSUPP},
        {ERROR_NOT_SUPPORTED, EOPNOTSUPP},
        {ERROR_CALL_NOT_IMPLEMENTED, EOPNOTSUPP},
        {ERROR_NOT_ENOUGH_MEMORY, ENOMEM},
        {ERROR_NO_SYSTEM_RESOURCES, ENOMEM},
        {ERROR_TOO_MANY_OPEN_FILES, EMFILE},
    };

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i)
        if (rows[i].error == error)
            return -rows[i].code;
    return -EIO;
}

OVERLAPPED disk_windows_operation(uint64_t offset, HANDLE event)
{
    OVERLAPPED operation = {.hEvent = event};

    operation.Offset = (DWORD)offset;
    operation.OffsetHigh = (DWORD)(offset >> 32);
    return operation;
}

/* --- opening --- */

int disk_os_open(struct disk *disk, const char *path)
{
    const DWORD access = GENERIC_READ | (disk->read_only ? 0 : GENERIC_WRITE);
    const DWORD flags = FILE_FLAG_OVERLAPPED | (disk->direct ? FILE_FLAG_NO_BUFFERING : 0);
    /* Who looks at the image or makes a copy of it is not in the way; who would write is. */
    const DWORD share = FILE_SHARE_READ | (disk->read_only ? FILE_SHARE_WRITE : 0);
    const HANDLE file = CreateFileA(path, access, share, NULL, OPEN_EXISTING, flags, NULL);

    if (file == INVALID_HANDLE_VALUE)
        return disk_windows_error(GetLastError());
    disk->file = file;
    return 0;
}

/* Wait for what was begun, `begun` as its call has returned: how many bytes, or -errno. */
static int64_t wait_for(const struct disk *disk, BOOL begun, OVERLAPPED *operation)
{
    DWORD bytes;

    if (!begun && GetLastError() != ERROR_IO_PENDING)
        return disk_windows_error(GetLastError());
    if (!GetOverlappedResult(disk->file, operation, &bytes, TRUE))
        return disk_windows_error(GetLastError());
    return bytes;
}

static int64_t control(const struct disk *disk, DWORD code, void *in, DWORD len)
{
    const HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    OVERLAPPED operation = disk_windows_operation(0, event);

    if (!event)
        return -ENOMEM;
    const int64_t rc = wait_for(
        disk, DeviceIoControl(disk->file, code, in, len, NULL, 0, NULL, &operation), &operation);
    CloseHandle(event);
    return rc;
}

static int make_hole(const struct disk *disk, uint64_t offset, uint64_t len)
{
    FILE_ZERO_DATA_INFORMATION range;

    range.FileOffset.QuadPart = (LONGLONG)offset;
    range.BeyondFinalZero.QuadPart = (LONGLONG)(offset + len);
    return (int)control(disk, FSCTL_SET_ZERO_DATA, &range, sizeof range);
}

/* Past the end there is nothing to lose: an attempt tells whether holes can be made. */
static bool can_have_holes(const struct disk *disk)
{
    return control(disk, FSCTL_SET_SPARSE, NULL, 0) >= 0 &&
           make_hole(disk, disk->size, FILE_BLOCK) == 0;
}

int disk_os_inspect(struct disk *disk, uint32_t *physical_block)
{
    LARGE_INTEGER size;

    if (GetFileType(disk->file) != FILE_TYPE_DISK)
        return -ENODEV;
    if (!GetFileSizeEx(disk->file, &size))
        return disk_windows_error(GetLastError());
    disk->size = (uint64_t)size.QuadPart;
    disk->can_discard = !disk->read_only && can_have_holes(disk);
    *physical_block = FILE_BLOCK;
    return 0;
}

/* --- use --- */

static int64_t transfer(const struct disk *disk, bool write, const vhu_buf *buf, uint64_t offset,
                        HANDLE event)
{
    const DWORD len = (DWORD)(buf->len < MAX_LEN ? buf->len : MAX_LEN);
    OVERLAPPED operation = disk_windows_operation(offset, event);
    const BOOL begun = write ? WriteFile(disk->file, buf->base, len, NULL, &operation)
                             : ReadFile(disk->file, buf->base, len, NULL, &operation);

    return wait_for(disk, begun, &operation);
}

/* One buffer after the other; an error shows only if nothing was moved before it. */
static int64_t transfer_all(const struct disk *disk, bool write, const vhu_buf *bufs, uint32_t num,
                            uint64_t offset)
{
    const HANDLE event = CreateEventW(NULL, TRUE, FALSE, NULL);
    int64_t sum = 0;
    int64_t n = 0;

    if (!event)
        return -ENOMEM;
    for (uint32_t i = 0; i < num; ++i) {
        n = transfer(disk, write, &bufs[i], offset + (uint64_t)sum, event);
        if (n > 0)
            sum += n;
        if (n < 0 || (uint64_t)n < bufs[i].len)
            break;
    }
    CloseHandle(event);
    return n < 0 && sum == 0 ? n : sum;
}

int64_t disk_read(const struct disk *disk, const vhu_buf *bufs, uint32_t num, uint64_t offset)
{
    return transfer_all(disk, false, bufs, num, offset);
}

int64_t disk_write(const struct disk *disk, const vhu_buf *bufs, uint32_t num, uint64_t offset)
{
    return transfer_all(disk, true, bufs, num, offset);
}

int disk_flush(const struct disk *disk)
{
    /* Nothing was written to what cannot be written to, and Windows refuses to flush it. */
    if (disk->read_only || FlushFileBuffers(disk->file))
        return 0;
    return disk_windows_error(GetLastError());
}

int disk_os_discard(const struct disk *disk, uint64_t offset, uint64_t len)
{
    return disk->can_discard ? make_hole(disk, offset, len) : -EOPNOTSUPP;
}

int disk_os_zero(const struct disk *disk, uint64_t offset, uint64_t len, bool unmap)
{
    return unmap ? disk_os_discard(disk, offset, len) : -EOPNOTSUPP;
}
