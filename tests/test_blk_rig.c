/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_blk_rig.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/file.h"

enum { PAGE = 4096 };

void rig_name(char path[64], const char *folder)
{
    static unsigned number;

    snprintf(path, 64, "%s/test_blk.%d.%u", folder, (int)uv_os_getpid(), ++number);
}

static void request_done(struct blk_request *request)
{
    struct rig *rig = request->owner;

    ++rig->done;
}

static bool rig_open(struct rig *rig, const struct engine_ops *ops, const char *folder,
                     unsigned how)
{
    char error[256];

    memset(rig, 0, sizeof *rig);
    rig_name(rig->path, folder);
    file_resize(rig->path, RIG_FILE);
    const struct disk_options options = {
        .path = rig->path, .direct = how & RIG_DIRECT, .read_only = how & RIG_READ_ONLY};
    if (disk_open(&rig->disk, &options, error, sizeof error)) {
        print_message("skipped: %s\n", error);
        file_remove(rig->path);
        return false;
    }
    blk_init(&rig->blk, &rig->disk, "", 1);
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    rig->lane.blk = &rig->blk;
    rig->lane.done = request_done;
    assert_int_equal(ops->start(&rig->lane.engine, &rig->disk, &rig->loop, RIG_DEPTH, blk_io_done),
                     0);
    rig->requests = calloc(RIG_DEPTH, sizeof *rig->requests);
    rig->memory = malloc(RIG_DATA + 2 * PAGE);
    assert_non_null(rig->requests);
    assert_non_null(rig->memory);
    rig->data = (uint8_t *)rig->memory + (PAGE - (uintptr_t)rig->memory % PAGE);
    return true;
}

static void rig_close(struct rig *rig)
{
    rig->lane.engine->ops->free(rig->lane.engine);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    disk_close(&rig->disk);
    file_remove(rig->path);
    free(rig->requests);
    free(rig->memory);
}

void rig_for_engines(void (*run)(struct rig *rig), const char *folder, unsigned how)
{
    unsigned num = 0;

    for (size_t i = 0; engine_table[i]; ++i) {
        struct rig rig;
        if (engine_table[i]->probe()) {
            print_message("skipped: no %s here\n", engine_table[i]->name);
            continue;
        }
        ++num;
        if (!rig_open(&rig, engine_table[i], folder, how))
            continue;
        run(&rig);
        rig_close(&rig);
    }
    assert_true(num > 0);
}

void rig_start(struct rig *rig, unsigned index, uint32_t type, uint64_t sector, vhu_buf data)
{
    struct blk_request *request = &rig->requests[index];
    vhu_chain *chain = &request->chain;
    uint32_t n = 0;
    const bool reads = type == BLK_T_IN;

    store_le(rig->header, 4, type);
    store_le(rig->header + 8, 8, sector);
    rig->status[index] = 0xff;
    *chain = (vhu_chain){.bufs = request->bufs, .capacity = BLK_BUFS};
    request->bufs[n++] = (vhu_buf){rig->header, sizeof rig->header};
    if (data.len > 1024) { /* so that both forms of calls are used */
        request->bufs[n++] = (vhu_buf){data.base, 512};
        request->bufs[n++] = (vhu_buf){(uint8_t *)data.base + 512, data.len - 512};
    } else if (data.len > 0) {
        request->bufs[n++] = data;
    }
    request->bufs[n++] = (vhu_buf){&rig->status[index], 1};
    chain->num_readable = reads ? 1 : n - 1;
    chain->num_writable = n - chain->num_readable;
    chain->readable_len = sizeof rig->header + (reads ? 0 : data.len);
    chain->writable_len = 1 + (reads ? data.len : 0);
    request->owner = rig;
    blk_start(&rig->lane, request, false);
}

/* As a worker does: poll, and sleep on the loop until something happens. */
void rig_finish(struct rig *rig, unsigned num)
{
    while (rig->done < num)
        if (!rig->lane.engine->ops->poll(rig->lane.engine))
            uv_run(&rig->loop, UV_RUN_ONCE);
    assert_int_equal(rig->done, num);
    rig->done = 0;
}

int rig_request(struct rig *rig, uint32_t type, uint64_t sector, void *data, size_t len)
{
    rig_start(rig, 0, type, sector, (vhu_buf){data, len});
    rig_finish(rig, 1);
    return rig->status[0];
}

int rig_segment(struct rig *rig, uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
    uint8_t raw[BLK_SEGMENT_SIZE];

    store_le(raw, 8, sector);
    store_le(raw + 8, 4, count);
    store_le(raw + 12, 4, flags);
    return rig_request(rig, type, 0, raw, sizeof raw);
}

void rig_fill(uint8_t *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; ++i)
        data[i] = (uint8_t)(i * 31 + i / 509 + seed);
}

static void try_range(struct rig *rig, uint32_t type, uint32_t flags)
{
    uint8_t expected[4096];

    rig_fill(expected, sizeof expected, 3);
    memcpy(rig->data, expected, sizeof expected);
    assert_int_equal(rig_request(rig, BLK_T_OUT, 0, rig->data, 4096), BLK_S_OK);
    assert_int_equal(rig_segment(rig, type, 2, 4, flags), BLK_S_OK);
    /* The whole disk's end is inside, and the file must not grow. */
    assert_int_equal(rig_segment(rig, type, RIG_FILE / 512 - 9, 9, flags), BLK_S_OK);
    memset(expected + 1024, 0, 2048);
    assert_int_equal(rig_request(rig, BLK_T_IN, 0, rig->data, 4096), BLK_S_OK);
    assert_memory_equal(rig->data, expected, sizeof expected);
    assert_int_equal(file_size(rig->path), RIG_FILE);
}

void rig_try_ranges(struct rig *rig)
{
    try_range(rig, BLK_T_WRITE_ZEROES, 0);
    try_range(rig, BLK_T_WRITE_ZEROES, 1);
    assert_int_equal(rig->lane.counters.zeroes, 4);
    if (!rig->disk.can_discard) {
        print_message("skipped: no holes in files of this folder\n");
        return;
    }
    try_range(rig, BLK_T_DISCARD, 0);
    assert_int_equal(rig->lane.counters.discards, 2);
}

int rig_open_shared(void **state)
{
    uv_loop_t loop;

    (void)state;
    return uv_loop_init(&loop) || uv_loop_close(&loop);
}
