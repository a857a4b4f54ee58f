/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-blk's disk and its engines on real files, through the device's requests. */
#include "support/leakcheck.h"

#include <blk.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { FILE_SIZE = 1 << 20, DEPTH = 64, DATA = 64 * 1024 };

/* What a worker has: a loop, an engine, a lane. */
struct rig {
    char path[64];
    struct disk disk;
    struct blk blk;
    uv_loop_t loop;
    struct blk_lane lane;
    struct blk_request *requests;
    unsigned done;
    uint8_t header[BLK_HEADER_SIZE];
    uint8_t status[DEPTH];
    uint8_t *data; /* page-aligned, with some bytes to spare */
};

static const char *const engines[] = {"uv", "io_uring"};

static void make_file(char *path, const char *folder, off_t size)
{
    snprintf(path, 64, "%s/test_blk.XXXXXX", folder);
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, size), 0);
    close(fd);
}

static void request_done(struct blk_request *request)
{
    struct rig *rig = request->owner;

    ++rig->done;
}

/* False if this machine cannot do what the test needs; that is said. */
static bool rig_open(struct rig *rig, const char *engine, const char *folder, bool direct)
{
    char error[256];
    const struct engine_ops *ops = engine_choose(engine, error, sizeof error);

    memset(rig, 0, sizeof *rig);
    if (!ops) {
        print_message("skipped: %s\n", error);
        return false;
    }
    make_file(rig->path, folder, FILE_SIZE);
    const struct disk_options options = {.path = rig->path, .direct = direct};
    if (disk_open(&rig->disk, &options, error, sizeof error)) {
        print_message("skipped: %s\n", error);
        unlink(rig->path);
        return false;
    }
    blk_init(&rig->blk, &rig->disk, "", 1);
    assert_int_equal(uv_loop_init(&rig->loop), 0);
    rig->lane.blk = &rig->blk;
    rig->lane.done = request_done;
    assert_int_equal(ops->start(&rig->lane.engine, &rig->disk, &rig->loop, DEPTH, blk_io_done), 0);
    rig->requests = calloc(DEPTH, sizeof *rig->requests);
    assert_non_null(rig->requests);
    assert_int_equal(posix_memalign((void **)&rig->data, 4096, DATA + 4096), 0);
    return true;
}

static void rig_close(struct rig *rig)
{
    rig->lane.engine->ops->free(rig->lane.engine);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    disk_close(&rig->disk);
    unlink(rig->path);
    free(rig->requests);
    free(rig->data);
}

static void start(struct rig *rig, unsigned index, uint32_t type, uint64_t sector, vhu_buf data)
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
    if (data.len > 1024) { /* in two parts, so that both forms of calls are used */
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
static void finish(struct rig *rig, unsigned num)
{
    while (rig->done < num)
        if (!rig->lane.engine->ops->poll(rig->lane.engine))
            uv_run(&rig->loop, UV_RUN_ONCE);
    assert_int_equal(rig->done, num);
    rig->done = 0;
}

static int request(struct rig *rig, uint32_t type, uint64_t sector, void *data, size_t len)
{
    start(rig, 0, type, sector, (vhu_buf){data, len});
    finish(rig, 1);
    return rig->status[0];
}

static int segment(struct rig *rig, uint32_t type, uint64_t sector, uint32_t count, uint32_t flags)
{
    uint8_t raw[BLK_SEGMENT_SIZE];

    store_le(raw, 8, sector);
    store_le(raw + 8, 4, count);
    store_le(raw + 12, 4, flags);
    return request(rig, type, 0, raw, sizeof raw);
}

static void fill(uint8_t *data, size_t len, unsigned seed)
{
    for (size_t i = 0; i < len; ++i)
        data[i] = (uint8_t)(i * 31 + i / 509 + seed);
}

static off_t size_of(const struct rig *rig)
{
    struct stat st;

    assert_int_equal(fstat(rig->disk.file, &st), 0);
    return st.st_size;
}

/* --- cases; each runs with every engine --- */

static void write_and_read(struct rig *rig)
{
    uint8_t expected[8192];

    fill(expected, sizeof expected, 1);
    memcpy(rig->data, expected, sizeof expected);
    assert_int_equal(request(rig, BLK_T_OUT, 16, rig->data, sizeof expected), BLK_S_OK);
    assert_int_equal(request(rig, BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
    memset(rig->data, 0, sizeof expected);
    assert_int_equal(request(rig, BLK_T_IN, 16, rig->data, sizeof expected), BLK_S_OK);
    assert_memory_equal(rig->data, expected, sizeof expected);
    assert_int_equal(request(rig, BLK_T_IN, 17, rig->data, 512), BLK_S_OK);
    assert_memory_equal(rig->data, expected + 512, 512);
    assert_int_equal(rig->lane.counters.bytes_read, sizeof expected + 512);
    assert_int_equal(rig->lane.counters.bytes_written, sizeof expected);
}

static void many_at_once(struct rig *rig)
{
    fill(rig->data, DATA, 2);
    for (unsigned i = 0; i < DEPTH; ++i)
        start(rig, i, BLK_T_OUT, i * 2, (vhu_buf){rig->data + i * 1024, 1024});
    finish(rig, DEPTH);
    memset(rig->data, 0, DATA);
    for (unsigned i = 0; i < DEPTH; ++i)
        start(rig, i, BLK_T_IN, i * 2, (vhu_buf){rig->data + i * 1024, 1024});
    finish(rig, DEPTH);

    uint8_t *expected = malloc(DATA);
    assert_non_null(expected);
    fill(expected, DATA, 2);
    assert_memory_equal(rig->data, expected, DATA);
    free(expected);
    assert_int_equal(rig->lane.counters.errors, 0);
}

static void file_shrinks(struct rig *rig)
{
    assert_int_equal(truncate(rig->path, 4096), 0);
    assert_int_equal(request(rig, BLK_T_IN, 0, rig->data, 4096), BLK_S_OK);
    assert_int_equal(request(rig, BLK_T_IN, 7, rig->data, 1024), BLK_S_IOERR);
    assert_int_equal(request(rig, BLK_T_IN, 8, rig->data, 512), BLK_S_IOERR);
    assert_int_equal(rig->lane.counters.errors, 2);
    assert_int_equal(request(rig, BLK_T_IN, 0, rig->data, 512), BLK_S_OK);
}

/* As a full disk does: a part is written, then there is an error. */
static void file_cannot_grow(struct rig *rig)
{
    struct rlimit limit;
    struct rlimit small;
    void (*old)(int) = signal(SIGXFSZ, SIG_IGN);

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    small = limit;
    small.rlim_cur = 8192;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const int inside = request(rig, BLK_T_OUT, 0, rig->data, 4096);
    const int across = request(rig, BLK_T_OUT, 15, rig->data, 1024);
    const int outside = request(rig, BLK_T_OUT, 32, rig->data, 512);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, old);
    assert_int_equal(inside, BLK_S_OK);
    assert_int_equal(across, BLK_S_IOERR);
    assert_int_equal(outside, BLK_S_IOERR);
    assert_int_equal(request(rig, BLK_T_OUT, 32, rig->data, 512), BLK_S_OK);
}

static void ranges(struct rig *rig)
{
    static const struct {
        uint32_t type;
        uint32_t flags;
    } rows[] = {{BLK_T_DISCARD, 0}, {BLK_T_WRITE_ZEROES, 0}, {BLK_T_WRITE_ZEROES, 1}};
    uint8_t expected[4096];

    if (!rig->disk.can_discard) {
        print_message("skipped: no holes in files of this folder\n");
        return;
    }
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        fill(expected, sizeof expected, 3);
        memcpy(rig->data, expected, sizeof expected);
        assert_int_equal(request(rig, BLK_T_OUT, 0, rig->data, 4096), BLK_S_OK);
        assert_int_equal(segment(rig, rows[i].type, 2, 4, rows[i].flags), BLK_S_OK);
        /* The whole disk's end is inside, and the file must not grow. */
        assert_int_equal(segment(rig, rows[i].type, FILE_SIZE / 512 - 9, 9, rows[i].flags),
                         BLK_S_OK);
        memset(expected + 1024, 0, 2048);
        assert_int_equal(request(rig, BLK_T_IN, 0, rig->data, 4096), BLK_S_OK);
        assert_memory_equal(rig->data, expected, sizeof expected);
        assert_int_equal(size_of(rig), FILE_SIZE);
    }
    assert_int_equal(rig->lane.counters.discards, 2);
    assert_int_equal(rig->lane.counters.zeroes, 4);
}

/* Buffers that a file without page cache does not take; its requests are served all the same. */
static void odd_buffers(struct rig *rig)
{
    const size_t lens[] = {4096, 8192, DATA};

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; ++i) {
        uint8_t *odd = rig->data + 7;
        uint8_t *expected = malloc(lens[i]);
        assert_non_null(expected);
        fill(expected, lens[i], (unsigned)i);
        memcpy(odd, expected, lens[i]);
        assert_int_equal(request(rig, BLK_T_OUT, 8, odd, lens[i]), BLK_S_OK);
        memset(odd, 0, lens[i]);
        assert_int_equal(request(rig, BLK_T_IN, 8, odd, lens[i]), BLK_S_OK);
        assert_memory_equal(odd, expected, lens[i]);
        assert_int_equal(request(rig, BLK_T_IN, 8, rig->data, lens[i]), BLK_S_OK);
        assert_memory_equal(rig->data, expected, lens[i]);
        free(expected);
    }
}

static void for_engines(void (*run)(struct rig *rig), const char *folder, bool direct)
{
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; ++i) {
        struct rig rig;
        if (!rig_open(&rig, engines[i], folder, direct))
            continue;
        run(&rig);
        rig_close(&rig);
    }
}

#define ENGINE_TEST(run, folder, direct)                                                           \
    static void test_##run(void **state)                                                           \
    {                                                                                              \
        (void)state;                                                                               \
        for_engines(run, folder, direct);                                                          \
    }

ENGINE_TEST(write_and_read, ".", false)
ENGINE_TEST(many_at_once, ".", false)
ENGINE_TEST(file_shrinks, ".", false)
ENGINE_TEST(file_cannot_grow, ".", false)
ENGINE_TEST(ranges, ".", false)
ENGINE_TEST(odd_buffers, ".", true)

/* There zeroes cannot be made without being written. */
static void test_ranges_in_memory(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK))
        skip();
    for_engines(ranges, "/dev/shm", false);
}

/* --- opening --- */

static void test_open(void **state)
{
    static const struct {
        off_t size;
        struct disk_options options;
        const char *error; /* part of the message; NULL: it opens */
        uint64_t disk_size;
        uint32_t physical;
    } rows[] = {
        {4096, {.logical_block = 0}, NULL, 4096, 4096},
        {4096, {.logical_block = 4096}, NULL, 4096, 4096},
        {4096, {.physical_block = 512}, NULL, 4096, 512},
        {4096, {.read_only = true}, NULL, 4096, 4096},
        {1000, {.logical_block = 0}, NULL, 512, 4096},
        {0, {.logical_block = 0}, "no room", 0, 0},
        {511, {.logical_block = 0}, "no room", 0, 0},
        {4095, {.logical_block = 4096}, "no room", 0, 0},
        {4096, {.logical_block = 513}, "--logical-block-size=513", 0, 0},
        {4096, {.logical_block = 256}, "--logical-block-size=256", 0, 0},
        {4096, {.logical_block = 1 << 20}, "--logical-block-size=1048576", 0, 0},
        {4096, {.physical_block = 1000}, "--physical-block-size=1000", 0, 0},
        {4096, {.logical_block = 1024, .physical_block = 512}, "--physical-block-size=512", 0, 0},
    };
    char path[64];
    char error[256];

    (void)state;
    make_file(path, ".", 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct disk disk;
        struct disk_options options = rows[i].options;
        options.path = path;
        assert_int_equal(truncate(path, rows[i].size), 0);
        const int rc = disk_open(&disk, &options, error, sizeof error);
        if (rows[i].error) {
            assert_int_equal(rc, -1);
            assert_non_null(strstr(error, rows[i].error));
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(disk.size, rows[i].disk_size);
        assert_int_equal(disk.physical_block, rows[i].physical);
        assert_int_equal(size_of(&(struct rig){.disk = disk}), rows[i].size);
        disk_close(&disk);
    }
    unlink(path);
}

static void test_open_no_disk(void **state)
{
    static const char *const rows[][2] = {{"/nowhere/disk", "No such file"},
                                          {"/", "directory"},
                                          {"/dev/null", "neither a regular file"}};
    char error[256];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct disk disk;
        const struct disk_options options = {.path = rows[i][0]};
        assert_int_equal(disk_open(&disk, &options, error, sizeof error), -1);
        assert_true(disk.file == VHU_NO_HANDLE);
        assert_non_null(strstr(error, rows[i][0]));
        assert_non_null(strstr(error, rows[i][1]));
    }
}

static void test_choice_of_engine(void **state)
{
    char error[256] = "";

    (void)state;
    assert_non_null(engine_choose("auto", error, sizeof error));
    assert_string_equal(engine_choose("uv", error, sizeof error)->name, "uv");
    assert_null(engine_choose("none", error, sizeof error));
    assert_non_null(strstr(error, "none"));
}

/* Those that libuv opens with its first loop and keeps. */
static int open_shared_descriptors(void **state)
{
    uv_loop_t loop;

    (void)state;
    return uv_loop_init(&loop) || uv_loop_close(&loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_write_and_read), leakcheck_test(test_many_at_once),
        leakcheck_test(test_file_shrinks),   leakcheck_test(test_file_cannot_grow),
        leakcheck_test(test_ranges),         leakcheck_test(test_ranges_in_memory),
        leakcheck_test(test_odd_buffers),    leakcheck_test(test_open),
        leakcheck_test(test_open_no_disk),   leakcheck_test(test_choice_of_engine),
    };

    return cmocka_run_group_tests(tests, open_shared_descriptors, NULL);
}
