/* SPDX-License-Identifier: BSD-3-Clause */
/* What vhost-user-blk makes of requests that move data, and of those that are none. */
#include "test_blk_fixture.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- transfers, flush and what is no request --- */

enum { NO_STATUS = -1, READ_ONLY = 1, WRITE_THROUGH = 2, BLOCK_4K = 4, DIRECT = 8, ONE_BUF = 16 };

struct request_row {
    const char *name;
    uint32_t type;
    uint64_t sector;
    uint32_t in[MAX_PARTS]; /* lengths of the descriptors */
    uint32_t out[MAX_PARTS];
    int status;
    unsigned ops; /* that the engine is given */
    unsigned how;
    int64_t answers[4]; /* of the engine; none: all are full */
};

static const struct request_row request_rows[] = {
    /* framings */
    {"read", BLK_T_IN, 3, {16}, {1024, 1}, BLK_S_OK, 1, 0, {0}},
    {"read, status in the data's descriptor", BLK_T_IN, 3, {16}, {1025}, BLK_S_OK, 1, 0, {0}},
    {"read, header in pieces", BLK_T_IN, 3, {1, 7, 8}, {512, 1}, BLK_S_OK, 1, 0, {0}},
    {"read, data in odd pieces", BLK_T_IN, 3, {16}, {1, 510, 514}, BLK_S_OK, 1, 0, {0}},
    {"read nothing", BLK_T_IN, 3, {16}, {1}, BLK_S_OK, 0, 0, {0}},
    {"read the last sector", BLK_T_IN, SECTORS - 1, {16}, {512, 1}, BLK_S_OK, 1, 0, {0}},
    {"write", BLK_T_OUT, 5, {16, 1024}, {1}, BLK_S_OK, 1, 0, {0}},
    {"write, all in one", BLK_T_OUT, 5, {16 + 512}, {1}, BLK_S_OK, 1, 0, {0}},
    {"write, odd pieces", BLK_T_OUT, 5, {10, 7, 1, 510}, {1}, BLK_S_OK, 1, 0, {0}},
    {"write all", BLK_T_OUT, 0, {16, DISK_SIZE}, {1}, BLK_S_OK, 1, 0, {0}},
    {"flush", BLK_T_FLUSH, 0, {16}, {1}, BLK_S_OK, 1, 0, {0}},
    {"id", BLK_T_GET_ID, 0, {16}, {20, 1}, BLK_S_OK, 0, 0, {0}},
    {"id, odd pieces", BLK_T_GET_ID, 0, {4, 12}, {3, 4, 14}, BLK_S_OK, 0, 0, {0}},
    {"id, short", BLK_T_GET_ID, 0, {16}, {4, 1}, BLK_S_OK, 0, 0, {0}},
    {"id, long", BLK_T_GET_ID, 0, {16}, {64, 1}, BLK_S_OK, 0, 0, {0}},
    {"read, read-only", BLK_T_IN, 3, {16}, {512, 1}, BLK_S_OK, 1, READ_ONLY, {0}},
    {"flush, read-only", BLK_T_FLUSH, 0, {16}, {1}, BLK_S_OK, 1, READ_ONLY, {0}},
    {"read a block", BLK_T_IN, 8, {16}, {4096, 1}, BLK_S_OK, 1, BLOCK_4K, {0}},
    /* what the engine has in more than one go */
    {"read, short", BLK_T_IN, 3, {16}, {512, 512, 1}, BLK_S_OK, 2, 0, {700, FULL}},
    {"read, by and by", BLK_T_IN, 3, {16}, {511, 2, 511, 1}, BLK_S_OK, 4, 0, {1, 511, 511, FULL}},
    {"read, interrupted", BLK_T_IN, 3, {16}, {512, 1}, BLK_S_OK, 3, 0, {-EINTR, -EAGAIN, FULL}},
    {"write, short", BLK_T_OUT, 3, {16, 1024}, {1}, BLK_S_OK, 3, 0, {512, 100, FULL}},
    {"write through", BLK_T_OUT, 3, {16, 512}, {1}, BLK_S_OK, 2, WRITE_THROUGH, {FULL, FULL}},
    {"read with write-through", BLK_T_IN, 3, {16}, {512, 1}, BLK_S_OK, 1, WRITE_THROUGH, {0}},
    {"read, bounced", BLK_T_IN, 3, {16}, {511, 514}, BLK_S_OK, 2, DIRECT, {-EINVAL, FULL}},
    {"read, bounced, short",
     BLK_T_IN,
     3,
     {16},
     {1000, 25},
     BLK_S_OK,
     3,
     DIRECT,
     {-EINVAL, 512, FULL}},
    {"write, bounced", BLK_T_OUT, 3, {17, 1023}, {1}, BLK_S_OK, 2, DIRECT, {-EINVAL, FULL}},
    {"write, bounced, short",
     BLK_T_OUT,
     3,
     {17, 1023},
     {1},
     BLK_S_OK,
     3,
     DIRECT,
     {-EINVAL, 512, FULL}},
    /* by an engine that takes but one buffer */
    {"read, in one", BLK_T_IN, 3, {16}, {1024, 1}, BLK_S_OK, 1, ONE_BUF, {0}},
    {"read, gathered", BLK_T_IN, 3, {16}, {1, 510, 514}, BLK_S_OK, 1, ONE_BUF, {0}},
    {"read, gathered, short", BLK_T_IN, 3, {16}, {700, 837}, BLK_S_OK, 2, ONE_BUF, {600, FULL}},
    {"write, in one", BLK_T_OUT, 5, {16, 1024}, {1}, BLK_S_OK, 1, ONE_BUF, {0}},
    {"write, gathered", BLK_T_OUT, 5, {10, 7, 1, 510}, {1}, BLK_S_OK, 1, ONE_BUF, {0}},
    {"write, gathered, short", BLK_T_OUT, 3, {17, 1023}, {1}, BLK_S_OK, 2, ONE_BUF, {100, FULL}},
    {"write, gathered, failed", BLK_T_OUT, 3, {17, 511}, {1}, BLK_S_IOERR, 1, ONE_BUF, {-EIO}},
    /* what the engine fails at */
    {"read at the end of a file that shrank",
     BLK_T_IN,
     3,
     {16},
     {512, 1},
     BLK_S_IOERR,
     1,
     0,
     {0, FULL}},
    {"read beyond it", BLK_T_IN, 3, {16}, {1024, 1}, BLK_S_IOERR, 2, 0, {512, 0}},
    {"read error", BLK_T_IN, 3, {16}, {512, 1}, BLK_S_IOERR, 1, 0, {-EIO}},
    {"read refused", BLK_T_IN, 3, {16}, {512, 1}, BLK_S_IOERR, 1, 0, {-EINVAL}},
    {"bounced read refused",
     BLK_T_IN,
     3,
     {16},
     {512, 1},
     BLK_S_IOERR,
     2,
     DIRECT,
     {-EINVAL, -EINVAL}},
    {"disk full", BLK_T_OUT, 3, {16, 512}, {1}, BLK_S_IOERR, 1, 0, {-ENOSPC}},
    {"disk full half-way", BLK_T_OUT, 3, {16, 1024}, {1}, BLK_S_IOERR, 2, 0, {512, -ENOSPC}},
    {"write of nothing", BLK_T_OUT, 3, {16, 512}, {1}, BLK_S_IOERR, 1, 0, {0, FULL}},
    {"flush error", BLK_T_FLUSH, 0, {16}, {1}, BLK_S_IOERR, 1, 0, {-EIO}},
    {"write through, flush error",
     BLK_T_OUT,
     3,
     {16, 512},
     {1},
     BLK_S_IOERR,
     2,
     WRITE_THROUGH,
     {FULL, -EIO}},
    /* what the driver must not ask for */
    {"read behind the end", BLK_T_IN, SECTORS, {16}, {512, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"read over the end", BLK_T_IN, SECTORS - 1, {16}, {1024, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"read, sector wraps", BLK_T_IN, UINT64_MAX, {16}, {512, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"read, offset wraps", BLK_T_IN, UINT64_C(1) << 55, {16}, {512, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"write over the end", BLK_T_OUT, SECTORS, {16, 512}, {1}, BLK_S_IOERR, 0, 0, {0}},
    {"read half a sector", BLK_T_IN, 3, {16}, {256, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"write a byte more", BLK_T_OUT, 3, {16, 513}, {1}, BLK_S_IOERR, 0, 0, {0}},
    {"read less than a block", BLK_T_IN, 8, {16}, {512, 1}, BLK_S_IOERR, 0, BLOCK_4K, {0}},
    {"read between blocks", BLK_T_IN, 4, {16}, {4096, 1}, BLK_S_IOERR, 0, BLOCK_4K, {0}},
    {"read with data", BLK_T_IN, 3, {16, 512}, {512, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"write with room", BLK_T_OUT, 3, {16, 512}, {512, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"write, read-only", BLK_T_OUT, 3, {16, 512}, {1}, BLK_S_IOERR, 0, READ_ONLY, {0}},
    {"discard, read-only", BLK_T_DISCARD, 0, {16, 16}, {1}, BLK_S_IOERR, 0, READ_ONLY, {0}},
    {"id without room", BLK_T_GET_ID, 0, {16}, {1}, BLK_S_IOERR, 0, 0, {0}},
    {"no header", BLK_T_IN, 0, {0}, {512, 1}, BLK_S_IOERR, 0, 0, {0}},
    {"half a header", BLK_T_IN, 0, {8, 7}, {1}, BLK_S_IOERR, 0, 0, {0}},
    {"unknown type", 2, 0, {16}, {1}, BLK_S_UNSUPP, 0, 0, {0}},
    {"unknown type, high", 0x80000001, 0, {16, 512}, {1}, BLK_S_UNSUPP, 0, 0, {0}},
    {"secure erase", 14, 0, {16, 16}, {1}, BLK_S_UNSUPP, 0, 0, {0}},
    {"no status", BLK_T_OUT, 0, {16, 512}, {0}, NO_STATUS, 0, 0, {0}},
    {"nothing", 0, 0, {0}, {0}, NO_STATUS, 0, 0, {0}},
};

/* Where the data lies that the request moves, and whether the disk has it, too. */
static void check_data(const struct fixture *fixture, const struct request_row *row)
{
    const vhu_chain *chain = &fixture->request.chain;
    const uint8_t *disk = fixture->fake.disk + row->sector * BLK_SECTOR;

    if (row->type == BLK_T_IN) {
        assert_memory_equal(fixture->out, disk, chain->writable_len - 1);
        assert_int_equal(fixture->lane.counters.bytes_read, chain->writable_len - 1);
        assert_int_equal(fixture->lane.counters.reads, 1);
    } else if (row->type == BLK_T_OUT) {
        assert_memory_equal(fixture->in + BLK_HEADER_SIZE, disk,
                            chain->readable_len - BLK_HEADER_SIZE);
        assert_int_equal(fixture->lane.counters.bytes_written,
                         chain->readable_len - BLK_HEADER_SIZE);
        assert_int_equal(fixture->lane.counters.writes, 1);
    } else if (row->type == BLK_T_GET_ID) {
        const uint8_t id[BLK_ID_SIZE] = "serial-0";
        const uint64_t len = chain->writable_len - 1;
        assert_memory_equal(fixture->out, id, len < sizeof id ? len : sizeof id);
    }
}

static void run_row(struct fixture *fixture, const struct request_row *row)
{
    const bool scripted = row->answers[0] || row->answers[1];

    fixture_reset(fixture);
    fixture->disk.read_only = row->how & READ_ONLY;
    fixture->disk.direct = row->how & DIRECT;
    fixture->fake.kind.one_buf = row->how & ONE_BUF;
    fixture->disk.logical_block = row->how & BLOCK_4K ? 4096 : 512;
    fixture_make_blk(fixture);
    fixture_put_header(fixture, row->type, row->sector);
    fixture_run(fixture, row->in, row->out, scripted ? row->answers : fixture_all_full,
                row->how & WRITE_THROUGH);

    if (fixture_status(fixture) != row->status || fixture->fake.num_ops != row->ops)
        print_error("row: %s\n", row->name);
    assert_int_equal(fixture_status(fixture), row->status);
    assert_int_equal(fixture->fake.num_ops, row->ops);
    for (unsigned i = 0; row->how & ONE_BUF && i < row->ops; ++i)
        assert_int_equal(fixture->fake.ops[i].num_bufs, 1);
    assert_int_equal(fixture->request.chain.written, fixture->request.chain.writable_len);
    assert_int_equal(fixture->lane.counters.errors, row->status != BLK_S_OK);
    if (row->status == BLK_S_OK)
        check_data(fixture, row);
}

static void test_requests(void **state)
{
    struct fixture *fixture = fixture_new();

    (void)state;
    for (size_t i = 0; i < sizeof request_rows / sizeof request_rows[0]; ++i)
        run_row(fixture, &request_rows[i]);
    free(fixture);
}

/* A failed operation is told to the lane, a wrong request is not. */
static void test_error_is_told(void **state)
{
    static const int64_t no_space[] = {-ENOSPC};
    static const uint32_t in[MAX_PARTS] = {16, 512};
    static const uint32_t out[MAX_PARTS] = {1};
    struct fixture *fixture = fixture_new();

    (void)state;
    fixture_reset(fixture);
    fixture_put_header(fixture, BLK_T_OUT, 0);
    fixture_run(fixture, in, out, no_space, false);
    assert_int_equal(fixture->request.error, ENOSPC);
    fixture_reset(fixture);
    fixture_put_header(fixture, BLK_T_OUT, SECTORS);
    fixture_run(fixture, in, out, fixture_all_full, false);
    assert_int_equal(fixture->request.error, 0);
    free(fixture);
}

/* What write-through adds comes last; a short transfer goes on where it ended. */
static void test_order_of_operations(void **state)
{
    static const int64_t answers[] = {512, FULL, FULL};
    static const uint32_t in[MAX_PARTS] = {16, 700, 324};
    static const uint32_t out[MAX_PARTS] = {1};
    static const struct op expected[] = {
        {ENGINE_WRITE, 1024, 1024, 2}, {ENGINE_WRITE, 1536, 512, 2}, {ENGINE_FLUSH, 0, 0, 0}};
    struct fixture *fixture = fixture_new();

    (void)state;
    fixture_reset(fixture);
    fixture_put_header(fixture, BLK_T_OUT, 2);
    fixture_run(fixture, in, out, answers, true);
    assert_int_equal(fixture->fake.num_ops, 3);
    for (size_t i = 0; i < 3; ++i) {
        assert_int_equal(fixture->fake.ops[i].op, expected[i].op);
        assert_int_equal(fixture->fake.ops[i].len, expected[i].len);
        assert_int_equal(fixture->fake.ops[i].num_bufs, expected[i].num_bufs);
        if (expected[i].op != ENGINE_FLUSH)
            assert_int_equal(fixture->fake.ops[i].offset, expected[i].offset);
    }
    free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_requests),
        leakcheck_test(test_error_is_told),
        leakcheck_test(test_order_of_operations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
