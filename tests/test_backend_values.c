/* SPDX-License-Identifier: BSD-3-Clause */
/* What ops are given and what their answers look like, byte by byte where peers insist. */
#include <string.h>

#include "support/rig.h"

static rig r;
static message m;

static void open_rig(void)
{
    rig_open(&r, PAIR_STREAM, NULL);
    rig_negotiate_for(&r, NULL);
}

static void build(uint32_t request)
{
    request_build(request_spec_of(request), VHU_FLAG_NEED_REPLY, &m);
}

static void serve(void)
{
    assert_int_equal(rig_send(&r, &m), VHU_EAGAIN);
}

static void expect_ack(void)
{
    assert_int_equal(rig_expect_u64(&r, m.header.request), 0);
    rig_expect_alive(&r);
}

static void expect_nack(void)
{
    assert_int_not_equal(rig_expect_u64(&r, m.header.request), 0);
    rig_expect_alive(&r);
}

static void test_rings(void **state)
{
    static const uint32_t codes[] = {VHU_REQ_SET_VRING_KICK, VHU_REQ_SET_VRING_CALL,
                                     VHU_REQ_SET_VRING_ERR};
    const vhu_vring_state last = {255, 32768};

    (void)state;
    open_rig();
    build(VHU_REQ_SET_VRING_NUM);
    memcpy(m.payload, &last, sizeof(last));
    serve();
    expect_ack();
    assert_int_equal(r.fake.ring, 255);
    assert_int_equal(r.fake.num, 32768);
    build(VHU_REQ_SET_VRING_ADDR);
    serve();
    expect_ack();
    assert_memory_equal(&r.fake.addr, m.payload, sizeof(r.fake.addr));
    for (int i = 0; i < 3; i++) {
        for (unsigned without = 0; without < 2; without++) {
            build(codes[i]);
            m.payload[0] = 0xff;
            m.payload[1] = (uint8_t)without;
            m.num_handles = !without;
            serve();
            expect_ack();
            assert_int_equal(r.fake.ring, 255);
            assert_int_equal(r.fake.event, i);
            assert_int_equal(r.fake.num_handles, !without);
        }
    }
    rig_close(&r);
}

/* The number of rings can be bounded further. */
static void test_fewer_rings(void **state)
{
    const vhu_backend_server_options options = {.size = sizeof(options), .max_rings = 2};
    static const uint32_t codes[] = {
        VHU_REQ_SET_VRING_NUM,  VHU_REQ_SET_VRING_BASE, VHU_REQ_SET_VRING_KICK,
        VHU_REQ_SET_VRING_ADDR, VHU_REQ_SET_VRING_CALL, VHU_REQ_SET_VRING_ENABLE,
        VHU_REQ_SET_VRING_ERR,  VHU_REQ_VRING_KICK,     VHU_REQ_SET_VRING_ENDIAN,
    };

    (void)state;
    rig_open_with(&r, PAIR_STREAM, NULL, &options);
    rig_negotiate_for(&r, NULL);
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        build(codes[i]);
        m.payload[0] = 1;
        serve();
        expect_ack();
        m.payload[0] = 2;
        serve();
        expect_nack();
    }
    rig_close(&r);
}

/* One front-end leaves junk where the answer will be; a packed ring needs all 32 bits. */
static void test_vring_base(void **state)
{
    const vhu_vring_state question = {3, 0xdeadbeef};
    const vhu_vring_state packed = {3, 0x80008000};
    vhu_vring_state answer;

    (void)state;
    open_rig();
    build(VHU_REQ_GET_VRING_BASE);
    memcpy(m.payload, &question, sizeof(question));
    serve();
    rig_expect_reply(&r, VHU_REQ_GET_VRING_BASE, 8, 0);
    memcpy(&answer, r.reply.payload, sizeof(answer));
    assert_int_equal(answer.index, 3);
    assert_int_equal(answer.num, 0x1234);
    build(VHU_REQ_SET_VRING_BASE);
    memcpy(m.payload, &packed, sizeof(packed));
    serve();
    expect_ack();
    assert_int_equal(r.fake.num, 0x80008000);
    rig_close(&r);
}

static void fill_table(uint32_t n)
{
    memcpy(m.payload, &n, sizeof(n));
    for (uint32_t i = 0; i < n; i++) {
        const vhu_mem_region region = {0x100000 * i, 0x1001, 0x7f00000000 + 0x100000 * i, 0x800};

        memcpy(m.payload + 8 + 32 * i, &region, sizeof(region));
    }
    m.header.size = 8 + 32 * n;
    m.num_handles = n;
}

/* From none to eight regions; and with room behind them, as User-Mode Linux sends it. */
static void test_mem_table(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        rig_open(&r, kind, NULL);
        rig_negotiate_for(&r, NULL);
        for (uint32_t n = 0; n <= VHU_MAX_TABLE_REGIONS; n++) {
            build(VHU_REQ_SET_MEM_TABLE);
            fill_table(n);
            serve();
            expect_ack();
            assert_int_equal(r.fake.num, n);
            assert_int_equal(r.fake.num_handles, n);
            assert_memory_equal(r.fake.regions, m.payload + 8, 32 * n);
        }
        build(VHU_REQ_SET_MEM_TABLE);
        fill_table(1);
        m.header.size = 72;
        serve();
        expect_ack();
        assert_int_equal(r.fake.num, 1);
        /* But handles and regions are as many. */
        m.num_handles = 2;
        serve();
        expect_nack();
        fill_table(8);
        m.num_handles = 7;
        serve();
        expect_nack();
        m.num_handles = 9;
        serve();
        expect_nack();
        rig_close(&r);
    }
}

/* Some front-ends send the region's handle along when they remove it. */
static void test_remove_region(void **state)
{
    (void)state;
    open_rig();
    for (size_t handles = 0; handles < 2; handles++) {
        build(VHU_REQ_REM_MEM_REG);
        m.num_handles = handles;
        serve();
        expect_ack();
        assert_memory_equal(r.fake.regions, m.payload + 8, 32);
    }
    rig_close(&r);
}

/* Without LOG_SHMFD an address comes, and an acknowledgement goes only to those who ask. */
static void test_log_base(void **state)
{
    const uint64_t address = 0x7f0012345000;
    const uint64_t ack = VHU_BIT(VHU_PF_REPLY_ACK);

    (void)state;
    open_rig();
    build(VHU_REQ_SET_LOG_BASE);
    serve();
    rig_expect_reply(&r, VHU_REQ_SET_LOG_BASE, 0, 0);
    assert_memory_equal(&r.fake.log, m.payload, 16);
    assert_int_equal(r.fake.num_handles, 1);
    rig_close(&r);

    rig_open(&r, PAIR_STREAM, NULL);
    rig_negotiate(&r, 0, ack);
    assert_int_equal(rig_request(&r, VHU_REQ_SET_LOG_BASE, 0, &address, 8, 0), VHU_EAGAIN);
    rig_expect_alive(&r);
    assert_int_equal(r.fake.log.offset, address);
    assert_int_equal(r.fake.log.size, 0);
    assert_int_equal(r.fake.num_handles, 0);
    assert_int_equal(rig_request(&r, VHU_REQ_SET_LOG_BASE, 8, &address, 8, 0), VHU_EAGAIN);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_SET_LOG_BASE), 0);
    r.fake.result[FAKE_set_log_base] = VHU_EIO;
    assert_int_equal(rig_request(&r, VHU_REQ_SET_LOG_BASE, 8, &address, 8, 0), VHU_EAGAIN);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_SET_LOG_BASE), 0);
    /* Both layouts are told apart by what was negotiated, and not by what comes. */
    build(VHU_REQ_SET_LOG_BASE);
    serve();
    expect_nack();
    rig_close(&r);
}

/* The fields make 20 bytes, the structure of most front-ends 24: the answer is as the question. */
static void test_inflight_sizes(void **state)
{
    (void)state;
    open_rig();
    for (uint32_t size = 20; size <= 24; size++) {
        build(VHU_REQ_GET_INFLIGHT_FD);
        m.header.size = size;
        serve();
        if (size == 20 || size == 24) {
            vhu_inflight_area area = {0};

            rig_expect_reply(&r, VHU_REQ_GET_INFLIGHT_FD, size, 1);
            memcpy(&area, r.reply.payload, size);
            assert_int_equal(area.mmap_size, 0x10000);
            assert_int_equal(area.mmap_offset, 0x40);
            assert_int_equal(area.num_queues, 2);
            assert_int_equal(area.queue_size, 128);
        } else {
            rig_expect_reply(&r, VHU_REQ_GET_INFLIGHT_FD, 24, 0);
        }
        build(VHU_REQ_SET_INFLIGHT_FD);
        m.header.size = size;
        serve();
        if (size == 20 || size == 24)
            expect_ack();
        else
            expect_nack();
    }
    rig_close(&r);
}

static void test_config(void **state)
{
    static uint8_t payload[12 + 4096];
    const vhu_config_header all = {0, 4096, 0};
    const vhu_config_header none = {4096, 0, 0};

    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        rig_open(&r, kind, NULL);
        rig_negotiate_for(&r, NULL);
        memcpy(payload, &all, 12);
        assert_int_equal(rig_request(&r, VHU_REQ_GET_CONFIG, 8, payload, sizeof(payload), 0),
                         VHU_EAGAIN);
        rig_expect_reply(&r, VHU_REQ_GET_CONFIG, sizeof(payload), 0);
        assert_memory_equal(r.reply.payload, &all, 12);
        for (size_t i = 0; i < 4096; i++)
            assert_int_equal(r.reply.payload[12 + i], i & 0xff);
        assert_int_equal(rig_request(&r, VHU_REQ_GET_CONFIG, 0, &none, 12, 0), VHU_EAGAIN);
        rig_expect_reply(&r, VHU_REQ_GET_CONFIG, 12, 0);
        /* What a device leaves out is zero, and not what was sent to somebody before. */
        r.fake.give = false;
        assert_int_equal(rig_request(&r, VHU_REQ_GET_CONFIG, 0, payload, sizeof(payload), 0),
                         VHU_EAGAIN);
        rig_expect_reply(&r, VHU_REQ_GET_CONFIG, sizeof(payload), 0);
        assert_memory_equal(r.reply.payload + 12, payload + 12, 4096);
        /* Migration may write what else cannot be written: the device is told. */
        build(VHU_REQ_SET_CONFIG);
        m.payload[8] = VHU_CONFIG_MIGRATION;
        m.payload[12] = 0x5a;
        serve();
        expect_ack();
        assert_int_equal(r.fake.num, 4);
        assert_int_equal(r.fake.len, 8);
        assert_int_equal(r.fake.flags, VHU_CONFIG_MIGRATION);
        assert_int_equal(r.fake.bytes[0], 0x5a);
        rig_close(&r);
    }
}

static void test_crypto_session(void **state)
{
    static const uint32_t sizes[] = {16, 17, 1000, VHU_MAX_PAYLOAD};
    int64_t id;

    (void)state;
    open_rig();
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        build(VHU_REQ_CREATE_CRYPTO_SESSION);
        m.header.size = sizes[i];
        memset(m.payload, 0x11, sizes[i]);
        serve();
        rig_expect_reply(&r, VHU_REQ_CREATE_CRYPTO_SESSION, sizes[i], 0);
        memcpy(&id, r.reply.payload, sizeof(id));
        assert_int_equal(id, 77);
        assert_memory_equal(r.reply.payload + 8, m.payload + 8, sizes[i] - 8);
        assert_int_equal(r.fake.len, sizes[i]);
    }
    rig_close(&r);
}

/* Either a handle or the bit that says there is none. */
static void test_device_state(void **state)
{
    (void)state;
    open_rig();
    build(VHU_REQ_SET_DEVICE_STATE_FD);
    m.payload[0] = VHU_STATE_LOAD;
    serve();
    rig_expect_reply(&r, VHU_REQ_SET_DEVICE_STATE_FD, 8, 1);
    assert_int_equal(r.reply.payload[1], 0);
    assert_int_equal(r.fake.state.direction, VHU_STATE_LOAD);
    r.fake.give = false;
    serve();
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_SET_DEVICE_STATE_FD), 0x100);
    rig_close(&r);
}

static void test_numbers(void **state)
{
    vhu_shmem_config shmem;

    (void)state;
    open_rig();
    assert_int_equal(rig_request(&r, VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_GET_QUEUE_NUM), 7);
    assert_int_equal(rig_request(&r, VHU_REQ_GET_MAX_MEM_SLOTS, 0, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_GET_MAX_MEM_SLOTS), 509);
    assert_int_equal(rig_request(&r, VHU_REQ_GET_STATUS, 0, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_GET_STATUS), 0xf);
    assert_int_equal(rig_request(&r, VHU_REQ_GET_SHMEM_CONFIG, 0, NULL, 0, 0), VHU_EAGAIN);
    rig_expect_reply(&r, VHU_REQ_GET_SHMEM_CONFIG, 2056, 0);
    memcpy(&shmem, r.reply.payload, sizeof(shmem));
    assert_int_equal(shmem.num_regions, 1);
    assert_int_equal(shmem.sizes[3], 0x200000);
    assert_int_equal(rig_request(&r, VHU_REQ_SEND_RARP, 0, "\1\2\3\4\5\6\0\0", 8, 0), VHU_EAGAIN);
    assert_memory_equal(r.fake.bytes, "\1\2\3\4\5\6", 6);
    build(VHU_REQ_IOTLB_MSG);
    serve();
    expect_ack();
    assert_int_equal(r.fake.iotlb.type, VHU_IOTLB_UPDATE);
    /* An invalidation's user address is garbage. */
    m.payload[25] = VHU_IOTLB_INVALIDATE;
    memset(m.payload + 16, 0xff, 8);
    serve();
    expect_ack();
    rig_close(&r);
}

/* A front-end may send the channel again; one that is no stream is refused. */
static void test_backend_channel(void **state)
{
    (void)state;
    open_rig();
    r.fake.take = true;
    for (int i = 0; i < 2; i++) {
        build(VHU_REQ_SET_BACKEND_REQ_FD);
        serve();
        expect_ack();
        assert_non_null(r.fake.channel);
    }
    build(VHU_REQ_SET_BACKEND_REQ_FD);
    handles_open(m.handles, 1);
    peer_send_message(&r.peer, &m);
    message_close_handles(&m);
    assert_int_equal(rig_serve(&r), VHU_EAGAIN);
    expect_nack();
    assert_int_equal(r.fake.calls[FAKE_set_backend_channel], 2);
    rig_close(&r);
}

/* Private codes reach the hook as they came, and are answered as requests without a reply are. */
static void test_private(void **state)
{
    static const uint32_t codes[] = {1006, 1007, 45, UINT32_MAX};

    (void)state;
    open_rig();
    r.fake.take = true;
    for (size_t i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        assert_int_equal(rig_request(&r, codes[i], 0, "abc", 3, 8), VHU_EAGAIN);
        rig_expect_alive(&r);
        assert_int_equal(r.fake.value, codes[i]);
        assert_int_equal(r.fake.len, 3);
        assert_memory_equal(r.fake.bytes, "abc", 3);
        assert_int_equal(r.fake.num_handles, 8);
        assert_int_equal(rig_request(&r, codes[i], 8, NULL, 0, 0), VHU_EAGAIN);
        assert_int_equal(rig_expect_u64(&r, codes[i]), 0);
        r.fake.result[FAKE_private_request] = VHU_ENOSYS;
        assert_int_equal(rig_request(&r, codes[i], 8, NULL, 0, 1), VHU_EAGAIN);
        assert_int_not_equal(rig_expect_u64(&r, codes[i]), 0);
        r.fake.result[FAKE_private_request] = 0;
        assert_int_equal(rig_request(&r, codes[i], 8, NULL, 0, 9), VHU_EAGAIN);
        assert_int_not_equal(rig_expect_u64(&r, codes[i]), 0);
        fake_backend_release(&r.fake);
    }
    rig_close(&r);
}

/* An owner is somebody's affair only if the device makes it its own. */
static void test_owner_without_op(void **state)
{
    const vhu_backend_ops ops = fake_backend_ops_without(FAKE_set_owner);

    (void)state;
    rig_open(&r, PAIR_STREAM, &ops);
    rig_negotiate_for(&r, NULL);
    build(VHU_REQ_SET_OWNER);
    serve();
    expect_ack();
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_rings),          leakcheck_test(test_fewer_rings),
        leakcheck_test(test_vring_base),     leakcheck_test(test_mem_table),
        leakcheck_test(test_remove_region),  leakcheck_test(test_log_base),
        leakcheck_test(test_inflight_sizes), leakcheck_test(test_config),
        leakcheck_test(test_crypto_session), leakcheck_test(test_device_state),
        leakcheck_test(test_numbers),        leakcheck_test(test_backend_channel),
        leakcheck_test(test_private),        leakcheck_test(test_owner_without_op),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
