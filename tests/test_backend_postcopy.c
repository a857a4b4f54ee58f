/* SPDX-License-Identifier: BSD-3-Clause */
/* Postcopy migration: memory messages are answered with addresses, and another one ends each. */
#include <string.h>

#include "support/rig.h"

static rig r;
static message m;

static const uint32_t requests[] = {VHU_REQ_SET_MEM_TABLE, VHU_REQ_ADD_MEM_REG};

static void listen_rig(int kind)
{
    rig_open(&r, kind, NULL);
    rig_negotiate_for(&r, NULL);
    assert_int_equal(rig_request(&r, VHU_REQ_POSTCOPY_ADVISE, 8, NULL, 0, 0), VHU_EAGAIN);
    rig_expect_reply(&r, VHU_REQ_POSTCOPY_ADVISE, 0, 1);
    assert_int_equal(rig_request(&r, VHU_REQ_POSTCOPY_LISTEN, 8, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_POSTCOPY_LISTEN), 0);
}

static void map(uint32_t request, uint32_t flags)
{
    request_build(request_spec_of(request), flags, &m);
    assert_int_equal(rig_send(&r, &m), VHU_EAGAIN);
}

/* The message as it was, with the device's own address in it, whatever was asked for. */
static void expect_addresses(uint32_t request)
{
    uint64_t theirs;
    uint64_t ours;

    rig_expect_reply(&r, request, 40, 0);
    memcpy(&theirs, m.payload + 24, 8);
    memcpy(&ours, r.reply.payload + 24, 8);
    assert_int_equal(ours, theirs + 1);
    memcpy(r.reply.payload + 24, &theirs, 8);
    assert_memory_equal(r.reply.payload, m.payload, 40);
    rig_expect_silence(&r);
}

static void end_mapping(uint32_t request, uint32_t flags)
{
    const uint64_t zero = 0;

    assert_int_equal(rig_request(&r, request, flags, &zero, 8, 0), VHU_EAGAIN);
}

static void test_flow(void **state)
{
    (void)state;
    for (int kind = 0; kind < pair_num_kinds(); kind++) {
        for (size_t i = 0; i < 4; i++) {
            uint32_t request = requests[i / 2];
            uint32_t flags = i % 2 ? VHU_FLAG_NEED_REPLY : 0;

            listen_rig(kind);
            for (unsigned round = 1; round < 3; round++) {
                map(request, flags);
                expect_addresses(request);
                assert_int_equal(r.fake.calls[FAKE_postcopy_mapped], round - 1);
                end_mapping(request, 0);
                assert_int_equal(r.fake.calls[FAKE_postcopy_mapped], round);
                rig_expect_alive(&r);
            }
            assert_int_equal(rig_request(&r, VHU_REQ_POSTCOPY_END, 8, NULL, 0, 0), VHU_EAGAIN);
            assert_int_equal(rig_expect_u64(&r, VHU_REQ_POSTCOPY_END), 0);
            /* From here on memory messages are ordinary again. */
            map(request, VHU_FLAG_NEED_REPLY);
            assert_int_equal(rig_expect_u64(&r, request), 0);
            rig_expect_alive(&r);
            rig_close(&r);
        }
    }
}

/* Several slots, each answered, and one message that ends them all. */
static void test_slots(void **state)
{
    (void)state;
    listen_rig(PAIR_STREAM);
    for (int i = 0; i < 3; i++) {
        map(VHU_REQ_ADD_MEM_REG, 0);
        expect_addresses(VHU_REQ_ADD_MEM_REG);
    }
    end_mapping(VHU_REQ_ADD_MEM_REG, 0);
    assert_int_equal(r.fake.calls[FAKE_postcopy_mapped], 1);
    rig_expect_alive(&r);
    rig_close(&r);
}

/* Without a mapping there is none to end; and the end carries no handle. */
static void test_end_out_of_place(void **state)
{
    const uint64_t zero = 0;

    (void)state;
    listen_rig(PAIR_STREAM);
    end_mapping(VHU_REQ_ADD_MEM_REG, VHU_FLAG_NEED_REPLY);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_ADD_MEM_REG), 0);
    map(VHU_REQ_ADD_MEM_REG, 0);
    expect_addresses(VHU_REQ_ADD_MEM_REG);
    assert_int_equal(rig_request(&r, VHU_REQ_ADD_MEM_REG, 8, &zero, 8, 1), VHU_EAGAIN);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_ADD_MEM_REG), 0);
    assert_int_equal(r.fake.calls[FAKE_postcopy_mapped], 0);
    /* A refused end has ended nothing. */
    r.fake.result[FAKE_postcopy_mapped] = VHU_EIO;
    end_mapping(VHU_REQ_ADD_MEM_REG, VHU_FLAG_NEED_REPLY);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_ADD_MEM_REG), 0);
    r.fake.result[FAKE_postcopy_mapped] = 0;
    end_mapping(VHU_REQ_ADD_MEM_REG, VHU_FLAG_NEED_REPLY);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_ADD_MEM_REG), 0);
    assert_int_equal(r.fake.calls[FAKE_postcopy_mapped], 2);
    rig_expect_alive(&r);
    rig_close(&r);
}

/* An answer with addresses has no room for a failure. */
static void test_failed_mapping(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        listen_rig(PAIR_STREAM);
        r.fake.result[i == 0 ? FAKE_set_mem_table : FAKE_add_mem_reg] = VHU_ENOMEM;
        request_build(request_spec_of(requests[i]), VHU_FLAG_NEED_REPLY, &m);
        assert_int_equal(rig_send(&r, &m), VHU_ENOMEM);
        rig_expect_closed(&r);
        rig_close(&r);
    }
}

/* The mode begins and ends when the device has said so, now or later. */
static void test_decided_later(void **state)
{
    (void)state;
    rig_open(&r, PAIR_STREAM, NULL);
    rig_negotiate_for(&r, NULL);
    r.fake.result[FAKE_postcopy_listen] = VHU_EIO;
    assert_int_equal(rig_request(&r, VHU_REQ_POSTCOPY_LISTEN, 8, NULL, 0, 0), VHU_EAGAIN);
    assert_int_not_equal(rig_expect_u64(&r, VHU_REQ_POSTCOPY_LISTEN), 0);
    map(VHU_REQ_SET_MEM_TABLE, VHU_FLAG_NEED_REPLY);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_SET_MEM_TABLE), 0);

    r.fake.result[FAKE_postcopy_listen] = VHU_EPENDING;
    assert_int_equal(rig_request(&r, VHU_REQ_POSTCOPY_LISTEN, 8, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(vhu_backend_server_complete(r.server, 0), 0);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_POSTCOPY_LISTEN), 0);
    r.fake.result[FAKE_set_mem_table] = VHU_EPENDING;
    map(VHU_REQ_SET_MEM_TABLE, 0);
    rig_expect_silence(&r);
    assert_int_equal(vhu_backend_server_complete(r.server, 0), 0);
    expect_addresses(VHU_REQ_SET_MEM_TABLE);
    end_mapping(VHU_REQ_SET_MEM_TABLE, 0);

    r.fake.result[FAKE_postcopy_end] = VHU_EPENDING;
    r.fake.result[FAKE_set_mem_table] = 0;
    assert_int_equal(rig_request(&r, VHU_REQ_POSTCOPY_END, 0, NULL, 0, 0), VHU_EAGAIN);
    assert_int_equal(vhu_backend_server_complete(r.server, 0), 0);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_POSTCOPY_END), 0);
    map(VHU_REQ_SET_MEM_TABLE, VHU_FLAG_NEED_REPLY);
    assert_int_equal(rig_expect_u64(&r, VHU_REQ_SET_MEM_TABLE), 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_flow),
        leakcheck_test(test_slots),
        leakcheck_test(test_end_out_of_place),
        leakcheck_test(test_failed_mapping),
        leakcheck_test(test_decided_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
