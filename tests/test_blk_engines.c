/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-blk's disk and its engines on real files, through the device's requests. */
#include "test_blk_rig.h"

#include <stdlib.h>
#include <string.h>

#include "support/file.h"

/* --- cases; each runs with every engine --- */

static void write_and_read(struct rig *rig)
{
    uint8_t expected[8192];

    rig_fill(expected, sizeof expected, 1);
    memcpy(rig->data, expected, sizeof expected);
    assert_int_equal(rig_request(rig, BLK_T_OUT, 16, rig->data, sizeof expected), BLK_S_OK);
    assert_int_equal(rig_request(rig, BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
    memset(rig->data, 0, sizeof expected);
    assert_int_equal(rig_request(rig, BLK_T_IN, 16, rig->data, sizeof expected), BLK_S_OK);
    assert_memory_equal(rig->data, expected, sizeof expected);
    assert_int_equal(rig_request(rig, BLK_T_IN, 17, rig->data, 512), BLK_S_OK);
    assert_memory_equal(rig->data, expected + 512, 512);
    assert_int_equal(rig->lane.counters.bytes_read, sizeof expected + 512);
    assert_int_equal(rig->lane.counters.bytes_written, sizeof expected);
}

static void many_at_once(struct rig *rig)
{
    rig_fill(rig->data, RIG_DATA, 2);
    for (unsigned i = 0; i < RIG_DEPTH; ++i)
        rig_start(rig, i, BLK_T_OUT, i * 2, (vhu_buf){rig->data + i * 1024, 1024});
    rig_finish(rig, RIG_DEPTH);
    memset(rig->data, 0, RIG_DATA);
    for (unsigned i = 0; i < RIG_DEPTH; ++i)
        rig_start(rig, i, BLK_T_IN, i * 2, (vhu_buf){rig->data + i * 1024, 1024});
    rig_finish(rig, RIG_DEPTH);

    uint8_t *expected = malloc(RIG_DATA);
    assert_non_null(expected);
    rig_fill(expected, RIG_DATA, 2);
    assert_memory_equal(rig->data, expected, RIG_DATA);
    free(expected);
    assert_int_equal(rig->lane.counters.errors, 0);
}

/* Buffers that a file without page cache does not take; its requests are served all the same. */
static void odd_buffers(struct rig *rig)
{
    const size_t lens[] = {4096, 8192, RIG_DATA};

    for (size_t i = 0; i < sizeof lens / sizeof lens[0]; ++i) {
        uint8_t *odd = rig->data + 7;
        uint8_t *expected = malloc(lens[i]);
        assert_non_null(expected);
        rig_fill(expected, lens[i], (unsigned)i);
        memcpy(odd, expected, lens[i]);
        assert_int_equal(rig_request(rig, BLK_T_OUT, 8, odd, lens[i]), BLK_S_OK);
        memset(odd, 0, lens[i]);
        assert_int_equal(rig_request(rig, BLK_T_IN, 8, odd, lens[i]), BLK_S_OK);
        assert_memory_equal(odd, expected, lens[i]);
        assert_int_equal(rig_request(rig, BLK_T_IN, 8, rig->data, lens[i]), BLK_S_OK);
        assert_memory_equal(rig->data, expected, lens[i]);
        free(expected);
    }
}

/* The disk believes that it is longer than its file. */
static void behind_the_end(struct rig *rig)
{
    rig->disk.size += 8192;
    rig_fill(rig->data, 4096, 4);
    assert_int_equal(rig_request(rig, BLK_T_IN, RIG_FILE / 512 - 8, rig->data, 4096), BLK_S_OK);
    assert_int_equal(rig_request(rig, BLK_T_IN, RIG_FILE / 512 - 1, rig->data, 1024), BLK_S_IOERR);
    assert_int_equal(rig_request(rig, BLK_T_IN, RIG_FILE / 512, rig->data, 512), BLK_S_IOERR);
    assert_int_equal(rig_request(rig, BLK_T_IN, RIG_FILE / 512, rig->data, 4096), BLK_S_IOERR);
    assert_int_equal(rig->lane.counters.errors, 3);
}

/* A flush does no harm there. */
static void without_the_right_to_write(struct rig *rig)
{
    assert_int_equal(rig_request(rig, BLK_T_FLUSH, 0, NULL, 0), BLK_S_OK);
    assert_int_equal(rig_request(rig, BLK_T_IN, 0, rig->data, 512), BLK_S_OK);
    rig->disk.read_only = false; /* the device lets it through now */
    assert_int_equal(rig_request(rig, BLK_T_OUT, 0, rig->data, 512), BLK_S_IOERR);
    assert_int_equal(rig->lane.counters.errors, 1);
}

#define ENGINE_TEST(run, how)                                                                      \
    static void test_##run(void **state)                                                           \
    {                                                                                              \
        (void)state;                                                                               \
        rig_for_engines(run, ".", how);                                                            \
    }

ENGINE_TEST(write_and_read, 0)
ENGINE_TEST(many_at_once, 0)
ENGINE_TEST(rig_try_ranges, 0)
ENGINE_TEST(behind_the_end, 0)
ENGINE_TEST(without_the_right_to_write, RIG_READ_ONLY)
ENGINE_TEST(odd_buffers, RIG_DIRECT)

/* --- opening --- */

static void test_open(void **state)
{
    static const struct {
        int64_t size;
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
    rig_name(path, ".");
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct disk disk;
        struct disk_options options = rows[i].options;
        options.path = path;
        file_resize(path, rows[i].size);
        const int rc = disk_open(&disk, &options, error, sizeof error);
        if (rows[i].error) {
            assert_int_equal(rc, -1);
            assert_non_null(strstr(error, rows[i].error));
            continue;
        }
        assert_int_equal(rc, 0);
        assert_int_equal(disk.size, rows[i].disk_size);
        assert_int_equal(disk.physical_block, rows[i].physical);
        disk_close(&disk);
        assert_int_equal(file_size(path), rows[i].size);
    }
    file_remove(path);
}

static void test_open_nothing(void **state)
{
    const struct disk_options options = {.path = "/nowhere/disk"};
    char error[256];
    struct disk disk;

    (void)state;
    assert_int_equal(disk_open(&disk, &options, error, sizeof error), -1);
    assert_true(disk.file == VHU_NO_HANDLE);
    assert_non_null(strstr(error, "/nowhere/disk: No such file"));
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_write_and_read),
        leakcheck_test(test_many_at_once),
        leakcheck_test(test_rig_try_ranges),
        leakcheck_test(test_behind_the_end),
        leakcheck_test(test_odd_buffers),
        leakcheck_test(test_without_the_right_to_write),
        leakcheck_test(test_open),
        leakcheck_test(test_open_nothing),
        leakcheck_test(test_choice_of_engine),
    };

    return cmocka_run_group_tests(tests, rig_open_shared, NULL);
}
