/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a ring against the device's side, and against a device that lies. */
#include <string.h>
#include <uv.h>

#include "endian.h"
#include "test_driver_fixture.h"

static const uint64_t layouts[] = {0, PACKED};

#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static vhu__used *used_of(const rig *r)
{
    return vhu_memory_at(r->memory, r->config.layout.used, 4);
}

/* --- both sides --- */

/* Requests of all shapes, done in an order of the device's own. */
static void traffic(bool big_endian, uint64_t features, uint32_t num, uint32_t table_len)
{
    uint32_t table = features & INDIRECT ? table_len : 0;
    uint32_t most = table > num ? table : num;
    /* More than a split ring's indices can count; many laps of a packed one. */
    uint64_t enough = features & (PACKED | IN_ORDER) ? 5000 : 70000;
    uint64_t added = 0, done = 0;
    uint32_t seed = 1;
    rig r;

    rig_open_guest(&r, big_endian, features, num, table_len);
    most = most < MAX_BUFS ? most : MAX_BUFS;
    while (done < enough) {
        vhu_driver_used used[64];
        vhu_chain chains[64];
        uint32_t n;
        int got, status;

        do {
            vhu_guest_buf bufs[MAX_BUFS];
            uint32_t count, readable;

            seed = seed * 1103515245 + 12345;
            count = 1 + (seed >> 16) % most;
            readable = (seed >> 20) % (count + 1);
            for (uint32_t i = 0; i < count; i++)
                bufs[i] = (vhu_guest_buf){r.data + i * 64, i + 1};
            status = vhu_driver_ring_add(r.driver, bufs, readable, count - readable,
                                         (void *)(uintptr_t)(count - readable));
            added += status == 0;
        } while (status == 0);
        assert_int_equal(status, VHU_EAGAIN);
        vhu_driver_ring_publish(r.driver);
        n = rig_take(&r, chains, 64);
        assert_true(n > 0);
        for (uint32_t i = n; i-- > 0;) {
            chains[i].written = chains[i].num_writable;
            vhu_queue_complete(r.queue, &chains[i], 1);
        }
        got = vhu_driver_ring_collect(r.driver, used, 64);
        assert_int_equal(got, n);
        for (int i = 0; i < got; i++)
            assert_int_equal(used[i].len, (uintptr_t)used[i].token);
        done += (uint32_t)got;
    }
    assert_int_equal(added, done + vhu_driver_ring_in_use(r.driver));
    assert_string_equal(vhu_driver_ring_error(r.driver), "");
    rig_close(&r);
}

static void test_traffic(void **state)
{
    static const struct {
        uint64_t features;
        uint32_t num;
        uint32_t table_len;
    } rows[] = {{0, 1, 0},
                {0, 2, 0},
                {INDIRECT, 1, 8},
                {EVENT_IDX, 8, 0},
                {INDIRECT, 16, 4},
                {INDIRECT | EVENT_IDX, 64, 8},
                {INDIRECT, 64, 0},
                {0, 64, 8},
                {PACKED, 1, 0},
                {PACKED, 3, 0},
                {PACKED | INDIRECT, 1, 8},
                {PACKED | EVENT_IDX, 7, 0},
                {PACKED | INDIRECT, 16, 4},
                {PACKED | INDIRECT | EVENT_IDX, 64, 8},
                {IN_ORDER, 8, 0},
                {IN_ORDER | INDIRECT, 64, 4},
                {PACKED | IN_ORDER | INDIRECT | EVENT_IDX, 33, 4},
                {VHU_BIT(VHU_F_VERSION_1) | INDIRECT | EVENT_IDX, 64, 8}};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (int order = 0; order < 2; order++)
            traffic(order, rows[i].features, rows[i].num, rows[i].table_len);
    }
}

static void room(uint64_t layout)
{
    rig r;
    vhu_chain chains[ANY_NUM];

    rig_open(&r, layout, ANY_NUM, 0);
    assert_int_equal(vhu_driver_ring_room(r.driver), ANY_NUM);
    for (uint32_t i = 0; i < ANY_NUM / 2; i++)
        assert_int_equal(rig_add(&r, i), 0);
    assert_int_equal(rig_add(&r, 0), VHU_EAGAIN);
    assert_int_equal(vhu_driver_ring_room(r.driver), 0);
    assert_int_equal(vhu_driver_ring_in_use(r.driver), ANY_NUM / 2);
    /* Nothing is shown before it is published. */
    assert_false(vhu_queue_has_avail(r.queue));
    vhu_driver_ring_publish(r.driver);
    assert_int_equal(rig_take(&r, chains, ANY_NUM), ANY_NUM / 2);
    vhu_queue_complete(r.queue, &chains[3], 1);
    assert_int_equal(rig_collect(&r), 3);
    assert_int_equal(vhu_driver_ring_room(r.driver), 2);
    assert_int_equal(rig_add(&r, 3), 0);
    rig_close(&r);
}

static void test_room(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUTS; i++)
        room(layouts[i]);
}

static void test_wrong_requests(void **state)
{
    static const vhu_guest_buf fine[ANY_NUM + 1];
    static const vhu_guest_buf huge[] = {{BASE, UINT64_C(1) << 32}};
    static const vhu_guest_buf sum[] = {{BASE, UINT32_MAX}, {BASE, 1}};
    static const struct {
        const vhu_guest_buf *bufs;
        uint32_t readable, writable;
        int result;
    } rows[] = {
        {fine, 0, 0, VHU_EINVAL}, {fine, ANY_NUM, 1, VHU_EINVAL}, {fine, UINT32_MAX, 2, VHU_EINVAL},
        {huge, 1, 0, VHU_EINVAL}, {huge, 0, 1, VHU_EINVAL},       {sum, 0, 2, VHU_EINVAL},
        {sum, 2, 0, 0},
    };
    rig r;

    (void)state;
    rig_open(&r, 0, ANY_NUM, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_int_equal(
            vhu_driver_ring_add(r.driver, rows[i].bufs, rows[i].readable, rows[i].writable, NULL),
            rows[i].result);
    assert_int_equal(vhu_driver_ring_in_use(r.driver), 1);
    rig_close(&r);
}

static void test_wrong_configs(void **state)
{
    static const struct {
        uint64_t features;
        uint32_t num, table_len;
        uint64_t desc, avail, used, tables;
        int result;
    } rows[] = {
        {0, 16, 0, BASE, BASE + 4096, BASE + 8192, 0, 0},
        {PACKED, 16, 0, BASE, BASE + 4096, BASE + 8192, 0, 0},
        {PACKED, 3, 0, BASE, BASE + 4096, BASE + 4100, 0, 0},
        {PACKED, 0, 0, BASE, BASE + 4096, BASE + 4100, 0, VHU_EINVAL},
        {PACKED, 32769, 0, BASE, BASE + 4096, BASE + 4100, 0, VHU_EINVAL},
        {PACKED, 3, 0, BASE, BASE + 4098, BASE + 4100, 0, VHU_EINVAL},
        {PACKED, 3, 0, BASE, BASE + SIZE, BASE + 4100, 0, VHU_EFAULT},
        {0, 0, 0, BASE, BASE + 4096, BASE + 8192, 0, VHU_EINVAL},
        {0, 3, 0, BASE, BASE + 4096, BASE + 8192, 0, VHU_EINVAL},
        {0, 65536, 0, BASE, BASE + 4096, BASE + 8192, 0, VHU_EINVAL},
        {0, 16, 0, BASE + 8, BASE + 4096, BASE + 8192, 0, VHU_EINVAL},
        {0, 16, 0, BASE, BASE + 1, BASE + 8192, 0, VHU_EINVAL},
        {0, 16, 0, BASE, BASE + 4096, BASE + 2, 0, VHU_EINVAL},
        {INDIRECT, 16, 4, BASE, BASE + 4096, BASE + 8192, BASE + 8, VHU_EINVAL},
        {INDIRECT, 16, 40000, BASE, BASE + 4096, BASE + 8192, BASE, VHU_EINVAL},
        {INDIRECT, 16, 4, BASE, BASE + 4096, BASE + 8192, BASE + SIZE, VHU_EFAULT},
        {0, 16, 4, BASE, BASE + 4096, BASE + 8192, BASE + SIZE, 0},
        {0, 16, 0, 0, BASE + 4096, BASE + 8192, 0, VHU_EFAULT},
        {0, 16, 0, BASE, BASE + SIZE - 36, BASE + 8192, 0, VHU_EFAULT},
        {0, 16, 0, BASE, BASE + 4096, UINT64_MAX - 3, 0, VHU_EFAULT},
    };
    rig r;

    (void)state;
    rig_open(&r, 0, ANY_NUM, 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const vhu_driver_ring_config config = {
            .size = sizeof(config),
            .memory = r.memory,
            .features = rows[i].features,
            .layout = {rows[i].num, 0, rows[i].desc, rows[i].avail, rows[i].used},
            .tables = rows[i].tables,
            .table_len = rows[i].table_len};
        vhu_driver_ring *ring = NULL;

        assert_int_equal(vhu_driver_ring_new(&ring, &config), rows[i].result);
        vhu_driver_ring_free(ring);
    }
    assert_int_equal(vhu_driver_ring_place(&r.config, UINT64_MAX - 64), 0);
    rig_close(&r);
}

/* --- kicks and calls --- */

static void test_kicks(void **state)
{
    static const uint64_t features[] = {0, EVENT_IDX, PACKED, PACKED | EVENT_IDX};
    vhu_chain chain;

    (void)state;
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        rig r;

        rig_open(&r, features[i], ANY_NUM, 0);
        assert_false(vhu_driver_ring_publish(r.driver));
        assert_int_equal(rig_add(&r, 0), 0);
        assert_true(vhu_driver_ring_publish(r.driver));
        vhu_queue_disable_kicks(r.queue);
        assert_int_equal(rig_take(&r, &chain, 1), 1);
        assert_int_equal(rig_add(&r, 1), 0);
        assert_false(vhu_driver_ring_publish(r.driver));
        assert_true(vhu_queue_enable_kicks(r.queue));
        assert_int_equal(rig_take(&r, &chain, 1), 1);
        assert_false(vhu_queue_enable_kicks(r.queue));
        assert_int_equal(rig_add(&r, 2), 0);
        assert_true(vhu_driver_ring_publish(r.driver));
        rig_close(&r);
    }
}

static void test_calls(void **state)
{
    static const uint64_t features[] = {0, EVENT_IDX, PACKED, PACKED | EVENT_IDX};
    vhu_chain chains[4];

    (void)state;
    for (size_t i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        rig r;

        rig_open(&r, features[i], ANY_NUM, 0);
        for (uint32_t k = 0; k < 4; k++)
            assert_int_equal(rig_add(&r, k), 0);
        vhu_driver_ring_publish(r.driver);
        assert_int_equal(rig_take(&r, chains, 4), 4);
        vhu_queue_complete(r.queue, &chains[0], 1);
        assert_true(vhu_queue_needs_call(r.queue));
        vhu_driver_ring_disable_calls(r.driver);
        vhu_queue_complete(r.queue, &chains[1], 1);
        assert_false(vhu_queue_needs_call(r.queue));
        assert_true(vhu_driver_ring_enable_calls(r.driver));
        rig_collect(&r);
        rig_collect(&r);
        assert_false(vhu_driver_ring_enable_calls(r.driver));
        vhu_queue_complete(r.queue, &chains[2], 1);
        assert_true(vhu_queue_needs_call(r.queue));
        rig_close(&r);
    }
}

/* --- a device that lies --- */

typedef struct lie {
    const char *error;
    uint16_t idx;
    vhu__used_elem elems[4];
    int good; /* entries before the fault */
} lie;

/* Requests with heads 0, 2, 4, 6 are out; each takes two descriptors and 8 bytes. */
static const lie lies[] = {
    {"used index is 5 ahead, with 4 requests in use", 5, {{0, 0}}, 0},
    {"used index is 65535 ahead", 65535, {{0, 0}}, 0},
    {"used entry 0 names 1, which is not in use", 1, {{1, 0}}, 0},
    {"used entry 0 names 16, which is not in use", 1, {{16, 0}}, 0},
    {"used entry 0 names 65536, which is not in use", 1, {{65536, 0}}, 0},
    {"used entry 0 names 4294967295", 1, {{UINT32_MAX, 0}}, 0},
    {"used entry 0 names 8, which is not in use", 1, {{8, 0}}, 0},
    {"used entry 1 names 4, which is not in use", 2, {{4, 8}, {4, 8}}, 1},
    {"used entry 0 tells of 9 bytes written, of 8", 1, {{0, 9}}, 0},
    {"used entry 2 tells of 4294967295 bytes", 3, {{6, 0}, {0, 8}, {2, UINT32_MAX}}, 2},
};

static void test_lies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        vhu_driver_used used[8];
        vhu__used *area;
        rig r;

        rig_open(&r, 0, ANY_NUM, 0);
        for (uint32_t k = 0; k < 4; k++)
            assert_int_equal(rig_add(&r, k), 0);
        vhu_driver_ring_publish(r.driver);
        area = used_of(&r);
        for (uint32_t k = 0; k < 4; k++)
            area->ring[k] =
                (vhu__used_elem){vhu__le32(lies[i].elems[k].id), vhu__le32(lies[i].elems[k].len)};
        area->idx = vhu__le16(lies[i].idx);
        if (lies[i].good > 0)
            assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), lies[i].good);
        assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), VHU_EBROKEN_RING);
        assert_non_null(strstr(vhu_driver_ring_error(r.driver), lies[i].error));
        /* From now on. */
        area->idx = 0;
        assert_int_equal(vhu_driver_ring_collect(r.driver, used, 8), VHU_EBROKEN_RING);
        assert_int_equal(rig_add(&r, 5), VHU_EBROKEN_RING);
        assert_int_equal(vhu_driver_ring_replay(r.driver), VHU_EBROKEN_RING);
        rig_close(&r);
    }
}

/* What it writes over the descriptors does not lead the driver astray. */
static void descriptors_overwritten(uint64_t layout)
{
    vhu_chain chains[8];
    rig r;

    rig_open(&r, layout, ANY_NUM, 0);
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t k = 0; k < 8; k++)
            assert_int_equal(rig_add(&r, k), 0);
        vhu_driver_ring_publish(r.driver);
        assert_int_equal(rig_take(&r, chains, 8), 8);
        memset(vhu_memory_at(r.memory, r.config.layout.desc, 1), 0xff, vhu__desc_bytes(ANY_NUM));
        vhu_queue_complete(r.queue, chains, 8);
        for (uint32_t k = 0; k < 8; k++)
            assert_int_equal(rig_collect(&r), k);
    }
    assert_int_equal(vhu_driver_ring_room(r.driver), ANY_NUM);
    rig_close(&r);
}

static void test_descriptors_overwritten(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUTS; i++)
        descriptors_overwritten(layouts[i]);
}

/* --- another device --- */

static void replay(uint64_t layout)
{
    vhu_chain chains[8];
    rig r;

    rig_open(&r, layout, ANY_NUM, 0);
    for (uint32_t k = 0; k < 6; k++)
        assert_int_equal(rig_add(&r, k), 0);
    vhu_driver_ring_publish(r.driver);
    assert_int_equal(rig_take(&r, chains, 8), 6);
    vhu_queue_complete(r.queue, &chains[4], 1);
    vhu_queue_complete(r.queue, &chains[1], 1);
    vhu_queue_stop(r.queue);
    assert_int_equal(vhu_driver_ring_replay(r.driver), VHU_ESTATE);
    assert_int_equal(rig_collect(&r), 4);
    assert_int_equal(rig_collect(&r), 1);
    /* One is added, and not yet published. */
    assert_int_equal(rig_add(&r, 6), 0);
    assert_int_equal(vhu_driver_ring_replay(r.driver), 0);
    rig_start_queue(&r, vhu_driver_ring_base(r.driver));
    assert_int_equal(rig_take(&r, chains, 8), 5);
    vhu_queue_complete(r.queue, chains, 5);
    assert_int_equal(rig_collect(&r), 0);
    assert_int_equal(rig_collect(&r), 2);
    assert_int_equal(rig_collect(&r), 3);
    assert_int_equal(rig_collect(&r), 5);
    assert_int_equal(rig_collect(&r), 6);
    assert_int_equal(vhu_driver_ring_replay(r.driver), 0);
    rig_close(&r);
}

static void test_replay(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUTS; i++)
        replay(layouts[i]);
}

/* The largest ring, all of it in use: what took the square of that many steps would never end. */
static void test_replay_of_many(void **state)
{
    enum { NUM = VHU_MAX_RING_SIZE, ROUNDS = 300 };
    const vhu_guest_buf buf = {BASE, 8};
    vhu__avail *avail;
    rig r;

    (void)state;
    rig_open(&r, 0, NUM, 0);
    avail = vhu_memory_at(r.memory, r.config.layout.avail, vhu__avail_bytes(NUM));
    for (uint32_t i = 0; i < NUM; i++)
        assert_int_equal(vhu_driver_ring_add(r.driver, &buf, 0, 1, &r), 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        vhu_driver_used used;

        /* The oldest is done, and added once more. */
        used_of(&r)->ring[round].id = vhu__le32(round);
        used_of(&r)->idx = vhu__le16((uint16_t)(round + 1));
        assert_int_equal(vhu_driver_ring_collect(r.driver, &used, 1), 1);
        assert_int_equal(vhu_driver_ring_add(r.driver, &buf, 0, 1, &r), 0);
        assert_int_equal(vhu_driver_ring_replay(r.driver), 0);
        assert_int_equal(vhu__le16(avail->idx), (uint16_t)(round + 1 + NUM));
        for (uint32_t i = round + 1; i <= round + NUM; i++)
            if (vhu__le16(avail->ring[i % NUM]) != i % NUM)
                fail_msg("round %u: entry %u is wrong", round, i);
    }
    rig_close(&r);
}

/* --- threads --- */

enum { MANY = 10000 };

/* Complements what it reads, until it has done MANY. */
static void device_main(void *arg)
{
    rig *r = arg;
    uint32_t done = 0;

    while (done < MANY) {
        vhu_chain chain;
        uint64_t number;

        if (rig_take(r, &chain, 1) != 1)
            continue;
        memcpy(&number, chain.bufs[0].base, sizeof(number));
        number = ~number;
        memcpy(chain.bufs[1].base, &number, sizeof(number));
        chain.written = sizeof(number);
        vhu_queue_complete(r->queue, &chain, 1);
        done++;
    }
}

static void threads(uint64_t layout)
{
    uint32_t added = 0, done = 0;
    uv_thread_t device;
    rig r;

    rig_open(&r, INDIRECT | EVENT_IDX | layout, ANY_NUM, 2);
    assert_int_equal(uv_thread_create(&device, device_main, &r), 0);
    while (done < MANY) {
        vhu_driver_used used;

        while (added < MANY && added - done < ANY_NUM) {
            uint64_t number = added;

            memcpy(vhu_memory_at(r.memory, r.data + added % 1024 * 16, 8), &number, 8);
            assert_int_equal(
                vhu_driver_ring_add(r.driver,
                                    (const vhu_guest_buf[]){{r.data + added % 1024 * 16, 8},
                                                            {r.data + added % 1024 * 16 + 8, 8}},
                                    1, 1, (void *)(uintptr_t)added),
                0);
            added++;
        }
        vhu_driver_ring_publish(r.driver);
        while (vhu_driver_ring_collect(r.driver, &used, 1) == 1) {
            uint64_t answer;

            assert_int_equal((uintptr_t)used.token, done);
            memcpy(&answer, vhu_memory_at(r.memory, r.data + done % 1024 * 16 + 8, 8), 8);
            assert_true(answer == ~(uint64_t)done);
            done++;
        }
    }
    assert_int_equal(uv_thread_join(&device), 0);
    rig_close(&r);
}

static void test_threads(void **state)
{
    (void)state;
    for (size_t i = 0; i < LAYOUTS; i++)
        threads(layouts[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_traffic),        leakcheck_test(test_room),
        leakcheck_test(test_wrong_requests), leakcheck_test(test_wrong_configs),
        leakcheck_test(test_kicks),          leakcheck_test(test_calls),
        leakcheck_test(test_lies),           leakcheck_test(test_descriptors_overwritten),
        leakcheck_test(test_replay),         leakcheck_test(test_replay_of_many),
        leakcheck_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
