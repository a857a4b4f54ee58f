/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-blk's engines on files that others change, that may not grow, or that are none. */
#include "test_blk_rig.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

static void file_shrinks(struct rig *rig)
{
    assert_int_equal(truncate(rig->path, 4096), 0);
    assert_int_equal(rig_request(rig, BLK_T_IN, 0, rig->data, 4096), BLK_S_OK);
    assert_int_equal(rig_request(rig, BLK_T_IN, 7, rig->data, 1024), BLK_S_IOERR);
    assert_int_equal(rig_request(rig, BLK_T_IN, 8, rig->data, 512), BLK_S_IOERR);
    assert_int_equal(rig->lane.counters.errors, 2);
    assert_int_equal(rig_request(rig, BLK_T_IN, 0, rig->data, 512), BLK_S_OK);
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
    const int inside = rig_request(rig, BLK_T_OUT, 0, rig->data, 4096);
    const int across = rig_request(rig, BLK_T_OUT, 15, rig->data, 1024);
    const int outside = rig_request(rig, BLK_T_OUT, 32, rig->data, 512);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    signal(SIGXFSZ, old);
    assert_int_equal(inside, BLK_S_OK);
    assert_int_equal(across, BLK_S_IOERR);
    assert_int_equal(outside, BLK_S_IOERR);
    assert_int_equal(rig_request(rig, BLK_T_OUT, 32, rig->data, 512), BLK_S_OK);
}

static void test_file_shrinks(void **state)
{
    (void)state;
    rig_for_engines(file_shrinks, ".", 0);
}

static void test_file_cannot_grow(void **state)
{
    (void)state;
    rig_for_engines(file_cannot_grow, ".", 0);
}

/* There zeroes cannot be made without being written. */
static void test_ranges_in_memory(void **state)
{
    (void)state;
    if (access("/dev/shm", W_OK))
        skip();
    rig_for_engines(rig_try_ranges, "/dev/shm", 0);
}

static void test_open_no_disk(void **state)
{
    static const char *const rows[][2] = {{"/", "directory"},
                                          {"/dev/null", "neither a regular file"}};
    char error[256];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct disk disk;
        const struct disk_options options = {.path = rows[i][0]};
        assert_int_equal(disk_open(&disk, &options, error, sizeof error), -1);
        assert_int_equal(disk.file, -1);
        assert_non_null(strstr(error, rows[i][0]));
        assert_non_null(strstr(error, rows[i][1]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_file_shrinks),
        leakcheck_test(test_file_cannot_grow),
        leakcheck_test(test_ranges_in_memory),
        leakcheck_test(test_open_no_disk),
    };

    return cmocka_run_group_tests(tests, rig_open_shared, NULL);
}
