/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/file.h"

#include <string.h>
#include <uv.h>

#include "support/leakcheck.h"

static ssize_t finish(uv_fs_t *req)
{
    ssize_t r = req->result;

    uv_fs_req_cleanup(req);
    return r;
}

static uv_file open_file(const char *path, int flags)
{
    uv_fs_t req;
    ssize_t file;

    uv_fs_open(NULL, &req, path, flags, 0600, NULL);
    file = finish(&req);
    assert_true(file >= 0);
    return (uv_file)file;
}

static void close_file(uv_file file)
{
    uv_fs_t req;

    uv_fs_close(NULL, &req, file, NULL);
    assert_int_equal(finish(&req), 0);
}

void file_resize(const char *path, int64_t size)
{
    uv_file file = open_file(path, UV_FS_O_RDWR | UV_FS_O_CREAT);
    uv_fs_t req;

    uv_fs_ftruncate(NULL, &req, file, size, NULL);
    assert_int_equal(finish(&req), 0);
    close_file(file);
}

void file_write(const char *path, int64_t offset, const void *bytes, size_t len)
{
    uv_file file = open_file(path, UV_FS_O_RDWR | UV_FS_O_CREAT);
    uv_buf_t buf = {.len = (unsigned)len};
    uv_fs_t req;

    memcpy(&buf.base, &bytes, sizeof(buf.base)); /* nobody writes there */
    uv_fs_write(NULL, &req, file, &buf, 1, offset, NULL);
    assert_int_equal(finish(&req), len);
    close_file(file);
}

void file_read(const char *path, int64_t offset, void *bytes, size_t len)
{
    uv_file file = open_file(path, UV_FS_O_RDONLY);
    uv_buf_t buf = {.base = bytes, .len = (unsigned)len};
    uv_fs_t req;

    uv_fs_read(NULL, &req, file, &buf, 1, offset, NULL);
    assert_int_equal(finish(&req), len);
    close_file(file);
}

int64_t file_size(const char *path)
{
    uv_fs_t req;
    int64_t size;

    uv_fs_stat(NULL, &req, path, NULL);
    size = (int64_t)req.statbuf.st_size;
    return finish(&req) == 0 ? size : -1;
}

void file_remove(const char *path)
{
    uv_fs_t req;

    uv_fs_unlink(NULL, &req, path, NULL);
    uv_fs_req_cleanup(&req);
}
