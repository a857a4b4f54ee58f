/* SPDX-License-Identifier: BSD-3-Clause */
/* Where back-ends differ from each other and from the text: each has been seen on the wire. */
#include <string.h>

#include "support/client_rig.h"
#include "util.h"

static client_rig r;
static call c;
static message m;

static void open_for(uint32_t code)
{
    client_rig_open_peer(&r, PAIR_STREAM);
    client_rig_negotiate_without(&r, 0);
    call_open(&c, code);
    reply_build(request_spec_of(code), &m);
}

static void close_all(void)
{
    call_close(&c);
    client_rig_close(&r);
}

/* The in-flight area with and without the padding at its end. */
static void test_inflight_sizes(void **state)
{
    (void)state;
    for (uint32_t size = 20; size <= 24; size += 4) {
        open_for(VHU_REQ_GET_INFLIGHT_FD);
        m.header.size = size;
        assert_int_equal(client_rig_exchange(&r, &c, &m), 0);
        call_expect_results(&c);
        close_all();
    }
}

/* The reply to SET_LOG_BASE: nothing, the log's size, or the request again. */
static void test_log_base_sizes(void **state)
{
    (void)state;
    for (uint32_t size = 0; size <= 16; size += 8) {
        open_for(VHU_REQ_SET_LOG_BASE);
        m.header.size = size;
        assert_int_equal(client_rig_exchange(&r, &c, &m), 0);
        close_all();
    }
}

/* Without LOG_SHMFD it carries an address, and has no reply of its own. */
static void test_log_base_address(void **state)
{
    const vhu_log_area area = {.offset = 0x7f0000000000};

    (void)state;
    client_rig_open_peer(&r, PAIR_STREAM);
    client_rig_negotiate_without(&r, VHU_BIT(VHU_PF_LOG_SHMFD));
    vhu_backend_client_begin(r.client);
    assert_int_equal(vhu_backend_client_set_log_base(r.client, &area, VHU_NO_HANDLE), VHU_EPENDING);
    client_rig_expect_request(&r, VHU_REQ_SET_LOG_BASE, 0x9, &m);
    assert_int_equal(m.header.size, 8);
    assert_memory_equal(m.payload, &area.offset, 8);
    reply_build(request_spec_of(VHU_REQ_SET_VRING_NUM), &m);
    m.header.request = VHU_REQ_SET_LOG_BASE;
    client_rig_reply(&r, &m);
    assert_int_equal(client_rig_finish(&r), 0);
    client_rig_close(&r);
}

/* A configuration of no bytes is not a failure. */
static void test_config_of_nothing(void **state)
{
    static const struct {
        uint32_t size;
        int result;
    } cases[] = {{12, 0}, {0, VHU_EREFUSED}, {13, VHU_EINVALID_MESSAGE}};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        open_for(VHU_REQ_GET_CONFIG);
        vhu_backend_client_begin(r.client);
        assert_int_equal(vhu_backend_client_get_config(r.client, 4, c.config, 0), VHU_EPENDING);
        m.header.size = cases[i].size;
        memset(m.payload + 4, 0, 4);
        client_rig_reply(&r, &m);
        assert_int_equal(client_rig_finish(&r), cases[i].result);
        close_all();
    }
}

/* Flags are the back-end's own affair. */
static void test_config_flags(void **state)
{
    (void)state;
    open_for(VHU_REQ_GET_CONFIG);
    memset(m.payload + 8, 0xff, 4);
    assert_int_equal(client_rig_exchange(&r, &c, &m), 0);
    call_expect_results(&c);
    close_all();
}

/* An object's reply may repeat the question. */
static void test_shared_object_sizes(void **state)
{
    static const struct {
        uint32_t size;
        size_t handles;
        int result;
    } cases[] = {
        {0, 1, 0},
        {16, 1, 0},
        {16, 0, VHU_EREFUSED},
        {8, 1, VHU_EINVALID_MESSAGE},
        {0, 2, VHU_EINVALID_MESSAGE},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        open_for(VHU_REQ_GET_SHARED_OBJECT);
        m.header.size = cases[i].size;
        m.num_handles = cases[i].handles;
        assert_int_equal(client_rig_exchange(&r, &c, &m), cases[i].result);
        assert_int_equal(c.result != VHU_NO_HANDLE, cases[i].result == 0);
        close_all();
    }
}

/* --- postcopy --- */

static void put_region(size_t at, uint64_t guest_addr, uint64_t size, uint64_t user_addr)
{
    const vhu_mem_region region = {guest_addr, size, user_addr, 0};

    memcpy(m.payload + at, &region, sizeof(region));
}

static void listen_for_faults(void)
{
    message reply;

    client_rig_open_peer(&r, PAIR_STREAM);
    client_rig_negotiate_without(&r, 0);
    call_open(&c, VHU_REQ_POSTCOPY_LISTEN);
    reply_build(request_spec_of(c.code), &reply);
    assert_int_equal(client_rig_exchange(&r, &c, &reply), 0);
    assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
}

/* Ended by a message of the same code, which nobody answers. */
static void expect_mapped(uint32_t request)
{
    static const uint8_t zeroes[8];

    assert_int_equal(vhu_backend_client_mem_mapped(r.client), 0);
    client_rig_expect_request(&r, request, 0x1, &m);
    assert_int_equal(m.header.size, 8);
    assert_memory_equal(m.payload, zeroes, 8);
    assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
    client_rig_expect_no_request(&r);
}

static void end_postcopy(void)
{
    message reply;
    vhu_mem_region region = c.region;

    call_close(&c);
    call_open(&c, VHU_REQ_POSTCOPY_END);
    reply_build(request_spec_of(c.code), &reply);
    assert_int_equal(client_rig_exchange(&r, &c, &reply), 0);
    /* From now on memory is acknowledged again. */
    call_close(&c);
    call_open(&c, VHU_REQ_ADD_MEM_REG);
    reply_build(request_spec_of(c.code), &reply);
    assert_int_equal(client_rig_exchange(&r, &c, &reply), 0);
    assert_memory_equal(&c.region, &region, sizeof(region));
    assert_int_equal(vhu_backend_client_mem_mapped(r.client), VHU_ESTATE);
    close_all();
}

static void test_postcopy_table(void **state)
{
    vhu_mem_region regions[2] = {{0, 0x1000, 0x100000, 0}, {0x1000, 0x2000, 0x200000, 0x1000}};
    const uint32_t two = 2;
    vhu_handle handles[2];

    (void)state;
    listen_for_faults();
    handles_open(handles, 2);
    vhu_backend_client_begin(r.client);
    assert_int_equal(vhu_backend_client_set_mem_table(r.client, regions, 2, handles), VHU_EPENDING);
    handles_close(handles, 2);
    client_rig_expect_request(&r, VHU_REQ_SET_MEM_TABLE, 0x1, &m);
    m.header.flags = 0x5;
    m.num_handles = 0;
    memcpy(m.payload, &two, 4);
    put_region(8, 0, 0x1000, 0xaaa000);
    put_region(40, 0x1000, 0x2000, 0xbbb000);
    client_rig_reply(&r, &m);
    assert_int_equal(client_rig_finish(&r), 0);
    assert_int_equal(regions[0].user_addr, 0xaaa000);
    assert_int_equal(regions[1].user_addr, 0xbbb000);
    assert_int_equal(regions[1].mmap_offset, 0x1000);
    expect_mapped(VHU_REQ_SET_MEM_TABLE);
    end_postcopy();
}

static void test_postcopy_slot(void **state)
{
    message reply;

    (void)state;
    listen_for_faults();
    call_open(&c, VHU_REQ_ADD_MEM_REG);
    memset(&m, 0, sizeof(m));
    m.header = (vhu_msg_header){VHU_REQ_ADD_MEM_REG, 0x5, 40};
    put_region(8, c.region.guest_addr, c.region.size, 0xccc000);
    reply = m;
    assert_int_equal(client_rig_exchange(&r, &c, &reply), 0);
    assert_int_equal(c.region.user_addr, 0xccc000);
    expect_mapped(VHU_REQ_ADD_MEM_REG);
    c.region.user_addr = 0x7f0000010000;
    end_postcopy();
}

/* Addresses for other memory than was announced. */
static void test_postcopy_wrong(void **state)
{
    static const struct {
        uint32_t code;
        uint32_t size;
        uint32_t n;
        uint64_t guest_addr;
        uint64_t len;
        size_t handles;
    } cases[] = {
        {VHU_REQ_ADD_MEM_REG, 40, 0, 0x20000, 0x4000, 0},
        {VHU_REQ_ADD_MEM_REG, 40, 0, 0x10000, 0x4001, 0},
        {VHU_REQ_ADD_MEM_REG, 39, 0, 0x10000, 0x4000, 0},
        {VHU_REQ_ADD_MEM_REG, 40, 0, 0x10000, 0x4000, 1},
        {VHU_REQ_ADD_MEM_REG, 8, 0, 0x10000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 40, 1, 0x20000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 40, 1, 0x10000, 0x1000, 0},
        {VHU_REQ_SET_MEM_TABLE, 40, 2, 0x10000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 72, 2, 0x10000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 40, 0, 0x10000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 40, 9, 0x10000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 4, 1, 0x10000, 0x4000, 0},
        {VHU_REQ_SET_MEM_TABLE, 40, 1, 0x10000, 0x4000, 1},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        message reply;

        listen_for_faults();
        call_open(&c, cases[i].code);
        memset(&m, 0, sizeof(m));
        m.header = (vhu_msg_header){cases[i].code, 0x5, cases[i].size};
        m.num_handles = cases[i].handles;
        memcpy(m.payload, &cases[i].n, 4);
        put_region(8, cases[i].guest_addr, cases[i].len, 0xccc000);
        put_region(40, 0x100000, 0x1000, 0xddd000);
        reply = m;
        assert_int_equal(client_rig_exchange(&r, &c, &reply), VHU_EINVALID_MESSAGE);
        assert_int_equal(c.region.user_addr, 0x7f0000010000);
        client_rig_expect_closed(&r, "reply to ");
        close_all();
    }
}

/* The same against our own server. */
static void test_postcopy_with_server(void **state)
{
    static const uint32_t codes[] = {VHU_REQ_SET_MEM_TABLE, VHU_REQ_ADD_MEM_REG};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        client_rig_open(&r, PAIR_STREAM, RIG_BLOCKING, NULL);
        client_rig_negotiate_without(&r, 0);
        call_open(&c, VHU_REQ_POSTCOPY_ADVISE);
        assert_int_equal(client_rig_call(&r, &c), 0);
        call_close(&c);
        assert_int_equal(vhu_backend_client_postcopy_listen(r.client), 0);
        for (unsigned n = 1; n <= 3; n++) {
            call_open(&c, codes[i]);
            assert_int_equal(client_rig_call(&r, &c), 0);
            /* The fake maps everything one byte further. */
            assert_int_equal(c.region.user_addr, 0x7f0000010001);
            call_close(&c);
            assert_int_equal(vhu_backend_client_mem_mapped(r.client), 0);
            rig_serve(&r.back);
            assert_int_equal(r.back.fake.calls[FAKE_postcopy_mapped], n);
        }
        assert_int_equal(vhu_backend_client_postcopy_end(r.client), 0);
        client_rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_inflight_sizes),   leakcheck_test(test_log_base_sizes),
        leakcheck_test(test_log_base_address), leakcheck_test(test_config_of_nothing),
        leakcheck_test(test_config_flags),     leakcheck_test(test_shared_object_sizes),
        leakcheck_test(test_postcopy_table),   leakcheck_test(test_postcopy_slot),
        leakcheck_test(test_postcopy_wrong),   leakcheck_test(test_postcopy_with_server),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
