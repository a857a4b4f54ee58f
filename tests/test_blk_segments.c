/* SPDX-License-Identifier: BSD-3-Clause */
/* DISCARD and WRITE_ZEROES of vhost-user-blk, its configuration and features. */
#include "test_blk_fixture.h"

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/error.h>

/* --- DISCARD and WRITE_ZEROES --- */

struct segment {
    uint64_t sector;
    uint32_t count;
    uint32_t flags;
};

struct segment_row {
    const char *name;
    uint32_t type;
    unsigned num; /* segments */
    struct segment segments[3];
    uint32_t spare; /* bytes more than the segments take */
    int status;
    unsigned num_ops;
    enum engine_op ops[3];
};

static const struct segment_row segment_rows[] = {
    {"discard", BLK_T_DISCARD, 1, {{8, 16, 0}}, 0, BLK_S_OK, 1, {ENGINE_DISCARD}},
    {"discard two",
     BLK_T_DISCARD,
     2,
     {{8, 16, 0}, {0, 1, 0}},
     0,
     BLK_S_OK,
     2,
     {ENGINE_DISCARD, ENGINE_DISCARD}},
    {"discard all", BLK_T_DISCARD, 1, {{0, SECTORS, 0}}, 0, BLK_S_OK, 1, {ENGINE_DISCARD}},
    {"discard nothing", BLK_T_DISCARD, 1, {{8, 0, 0}}, 0, BLK_S_OK, 0, {0}},
    {"zero", BLK_T_WRITE_ZEROES, 1, {{8, 16, 0}}, 0, BLK_S_OK, 1, {ENGINE_ZERO}},
    {"zero, unmap", BLK_T_WRITE_ZEROES, 1, {{8, 16, 1}}, 0, BLK_S_OK, 1, {ENGINE_ZERO_UNMAP}},
    {"zero both ways",
     BLK_T_WRITE_ZEROES,
     3,
     {{8, 16, 1}, {3, 0, 0}, {0, 1, 0}},
     0,
     BLK_S_OK,
     2,
     {ENGINE_ZERO_UNMAP, ENGINE_ZERO}},
    {"discard, unmap", BLK_T_DISCARD, 1, {{8, 16, 1}}, 0, BLK_S_UNSUPP, 0, {0}},
    {"discard, unknown flag", BLK_T_DISCARD, 1, {{8, 16, 1u << 31}}, 0, BLK_S_UNSUPP, 0, {0}},
    {"zero, unknown flag", BLK_T_WRITE_ZEROES, 1, {{8, 16, 2}}, 0, BLK_S_UNSUPP, 0, {0}},
    {"zero, unknown flag in the second",
     BLK_T_WRITE_ZEROES,
     2,
     {{SECTORS, 16, 0}, {8, 16, 3}},
     0,
     BLK_S_UNSUPP,
     0,
     {0}},
    {"discard behind the end", BLK_T_DISCARD, 1, {{SECTORS, 1, 0}}, 0, BLK_S_IOERR, 0, {0}},
    {"discard, sum wraps", BLK_T_DISCARD, 1, {{UINT64_MAX, 2, 0}}, 0, BLK_S_IOERR, 0, {0}},
    {"discard, the second is wrong",
     BLK_T_DISCARD,
     2,
     {{0, 1, 0}, {SECTORS, 1, 0}},
     0,
     BLK_S_IOERR,
     0,
     {0}},
    {"zero over the end", BLK_T_WRITE_ZEROES, 1, {{SECTORS - 1, 2, 0}}, 0, BLK_S_IOERR, 0, {0}},
    {"discard no segment", BLK_T_DISCARD, 0, {{0, 0, 0}}, 0, BLK_S_IOERR, 0, {0}},
    {"discard a piece", BLK_T_DISCARD, 0, {{0, 0, 0}}, 15, BLK_S_IOERR, 0, {0}},
    {"zero a piece more", BLK_T_WRITE_ZEROES, 1, {{0, 1, 0}}, 1, BLK_S_IOERR, 0, {0}},
    {"zero too many",
     BLK_T_WRITE_ZEROES,
     1,
     {{0, 1, 0}},
     16 * BLK_MAX_SEGMENTS,
     BLK_S_IOERR,
     0,
     {0}},
};

static void test_segments(void **state)
{
    static const uint32_t out[MAX_PARTS] = {1};
    struct fixture *fixture = fixture_new();

    (void)state;
    for (size_t i = 0; i < sizeof segment_rows / sizeof segment_rows[0]; ++i) {
        const struct segment_row *row = &segment_rows[i];
        const uint32_t len = row->num * BLK_SEGMENT_SIZE + row->spare;
        /* The header's end and the first segment's begin share a descriptor. */
        const uint32_t in[MAX_PARTS] = {len ? 20 : 16, len > 4 ? len - 4 : 0};
        fixture_reset(fixture);
        fixture_put_header(fixture, row->type, 0);
        for (unsigned j = 0; j < row->num; ++j) {
            uint8_t *segment = fixture->in + BLK_HEADER_SIZE + j * BLK_SEGMENT_SIZE;
            store_le(segment, 8, row->segments[j].sector);
            store_le(segment + 8, 4, row->segments[j].count);
            store_le(segment + 12, 4, row->segments[j].flags);
        }
        fixture_run(fixture, in, out, fixture_all_full, false);
        if (fixture_status(fixture) != row->status || fixture->fake.num_ops != row->num_ops)
            print_error("row: %s\n", row->name);
        assert_int_equal(fixture_status(fixture), row->status);
        assert_int_equal(fixture->fake.num_ops, row->num_ops);
        for (unsigned j = 0; j < row->num_ops; ++j)
            assert_int_equal(fixture->fake.ops[j].op, row->ops[j]);
        if (row->num_ops) {
            assert_int_equal(fixture->fake.ops[0].offset, row->segments[0].sector * BLK_SECTOR);
            assert_int_equal(fixture->fake.ops[0].len,
                             (uint64_t)row->segments[0].count * BLK_SECTOR);
        }
    }
    free(fixture);
}

/* Zeroes are writes: without a cache they must stay. A segment over the limit is refused. */
static void test_zeroes_through_and_limit(void **state)
{
    static const uint32_t in[MAX_PARTS] = {32};
    static const uint32_t out[MAX_PARTS] = {1};
    struct fixture *fixture = fixture_new();

    (void)state;
    fixture_reset(fixture);
    fixture_put_header(fixture, BLK_T_WRITE_ZEROES, 0);
    store_le(fixture->in + 16, 8, 0);
    store_le(fixture->in + 24, 8, 4);
    fixture_run(fixture, in, out, fixture_all_full, true);
    assert_int_equal(fixture_status(fixture), BLK_S_OK);
    assert_int_equal(fixture->fake.num_ops, 2);
    assert_int_equal(fixture->fake.ops[1].op, ENGINE_FLUSH);
    assert_int_equal(fixture->lane.counters.zeroes, 1);

    fixture->disk.size = UINT64_C(1) << 40;
    fixture_reset(fixture);
    fixture_put_header(fixture, BLK_T_WRITE_ZEROES, 0);
    store_le(fixture->in + 16, 8, 0);
    store_le(fixture->in + 24, 8, BLK_MAX_ZEROES + 1);
    fixture_run(fixture, in, out, fixture_all_full, true);
    assert_int_equal(fixture_status(fixture), BLK_S_IOERR);
    free(fixture);
}

/* A request that the device does not offer is none that it knows. */
static void test_discard_not_offered(void **state)
{
    static const uint32_t in[MAX_PARTS] = {32};
    static const uint32_t out[MAX_PARTS] = {1};
    struct fixture *fixture = fixture_new();

    (void)state;
    fixture->disk.can_discard = false;
    fixture_make_blk(fixture);
    fixture_reset(fixture);
    fixture_put_header(fixture, BLK_T_DISCARD, 0);
    fixture_run(fixture, in, out, fixture_all_full, false);
    assert_int_equal(fixture_status(fixture), BLK_S_UNSUPP);
    free(fixture);
}

/* --- configuration and features --- */

static void test_config(void **state)
{
    struct fixture *fixture = fixture_new();
    uint8_t config[256];
    uint8_t part[8];

    (void)state;
    memset(config, 0xff, sizeof config);
    assert_int_equal(blk_get_config(&fixture->blk, 0, config, sizeof config), 0);
    assert_int_equal(load_le64(config), SECTORS);
    assert_int_equal(load_le32(config + 8), 0);            /* size_max */
    assert_int_equal(load_le32(config + 12), 126);         /* seg_max */
    assert_int_equal(load_le32(config + 20), 512);         /* blk_size */
    assert_int_equal(load_le32(config + 24), 3 | 8 << 16); /* 8 blocks in a physical one */
    assert_int_equal(config[34] | config[35] << 8, 2);     /* num_queues */
    assert_int_equal(load_le32(config + 36), BLK_MAX_DISCARD);
    assert_int_equal(load_le32(config + 40), BLK_MAX_SEGMENTS);
    assert_int_equal(load_le32(config + 44), 8);
    assert_int_equal(load_le32(config + 48), BLK_MAX_ZEROES);
    assert_int_equal(load_le32(config + 52), BLK_MAX_SEGMENTS);
    assert_int_equal(load_le32(config + 56), 1); /* may_unmap, and three reserved bytes */
    for (size_t i = 60; i < sizeof config; ++i)
        assert_int_equal(config[i], 0);

    assert_int_equal(blk_get_config(&fixture->blk, 20, part, 4), 0);
    assert_memory_equal(part, config + 20, 4);
    assert_int_equal(blk_get_config(&fixture->blk, BLK_CONFIG_SIZE - 4, part, 8), 0);
    assert_int_equal(load_le64(part), 0);
    assert_int_equal(blk_get_config(&fixture->blk, BLK_CONFIG_SIZE, part, 0), 0);
    assert_int_equal(blk_get_config(&fixture->blk, BLK_CONFIG_SIZE + 1, part, 1), VHU_EINVAL);
    assert_int_equal(blk_get_config(&fixture->blk, UINT32_MAX, part, 8), VHU_EINVAL);
    free(fixture);
}

static void test_features(void **state)
{
    static const struct {
        bool read_only;
        bool can_discard;
        unsigned queues;
        uint64_t with;
        uint64_t without;
    } rows[] = {
        {false, true, 1, VHU_BIT(BLK_F_DISCARD) | VHU_BIT(BLK_F_WRITE_ZEROES),
         VHU_BIT(BLK_F_RO) | VHU_BIT(BLK_F_MQ) | VHU_BIT(BLK_F_CONFIG_WCE)},
        {false, false, 2, VHU_BIT(BLK_F_WRITE_ZEROES) | VHU_BIT(BLK_F_MQ), VHU_BIT(BLK_F_DISCARD)},
        {true, true, 1, VHU_BIT(BLK_F_RO), VHU_BIT(BLK_F_DISCARD) | VHU_BIT(BLK_F_WRITE_ZEROES)},
    };
    const uint64_t always = VHU_BIT(BLK_F_FLUSH) | VHU_BIT(BLK_F_SEG_MAX) |
                            VHU_BIT(BLK_F_BLK_SIZE) | VHU_BIT(BLK_F_TOPOLOGY);
    struct fixture *fixture = fixture_new();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        fixture->disk.read_only = rows[i].read_only;
        fixture->disk.can_discard = rows[i].can_discard;
        blk_init(&fixture->blk, &fixture->disk, "", rows[i].queues);
        assert_int_equal(fixture->blk.features & always, always);
        assert_int_equal(fixture->blk.features & rows[i].with, rows[i].with);
        assert_int_equal(fixture->blk.features & rows[i].without, 0);
    }
    free(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_segments),
        leakcheck_test(test_zeroes_through_and_limit),
        leakcheck_test(test_discard_not_offered),
        leakcheck_test(test_config),
        leakcheck_test(test_features),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
