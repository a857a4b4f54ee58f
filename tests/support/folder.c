/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/folder.h"

#include <stdio.h>
#include <uv.h>

int folder_new(folder *f)
{
    char place[256];
    size_t len = sizeof(place);
    char pattern[300];
    uv_fs_t req;
    int r = uv_os_tmpdir(place, &len);

    if (r != 0)
        return -1;
    snprintf(pattern, sizeof(pattern), "%s/vhu-test-XXXXXX", place);
    r = uv_fs_mkdtemp(NULL, &req, pattern, NULL);
    if (r == 0)
        snprintf(f->path, sizeof(f->path), "%s", req.path);
    uv_fs_req_cleanup(&req);
    return r == 0 ? 0 : -1;
}

folder_file folder_at(const folder *f, const char *name)
{
    folder_file file;

    snprintf(file.path, sizeof(file.path), "%s/%s", f->path, name);
    return file;
}

int64_t folder_size_of(const folder *f, const char *name)
{
    folder_file file = folder_at(f, name);
    uv_fs_t req;
    int r = uv_fs_stat(NULL, &req, file.path, NULL);
    int64_t size = (int64_t)req.statbuf.st_size;

    uv_fs_req_cleanup(&req);
    return r == 0 ? size : -1;
}

int folder_remove(folder *f)
{
    uv_fs_t list;
    uv_fs_t req;
    uv_dirent_t entry;
    int r = uv_fs_scandir(NULL, &list, f->path, 0, NULL);

    while (r >= 0 && uv_fs_scandir_next(&list, &entry) == 0) {
        folder_file file = folder_at(f, entry.name);

        uv_fs_unlink(NULL, &req, file.path, NULL);
        uv_fs_req_cleanup(&req);
    }
    uv_fs_req_cleanup(&list);
    r = uv_fs_rmdir(NULL, &req, f->path, NULL);
    uv_fs_req_cleanup(&req);
    return r == 0 ? 0 : -1;
}
