/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-net: its command line, and what its host answers a driver. */
#include <string.h>

#include "support/sys.h"
#include "support/tool.h"
#include "support/vmm.h"

enum { RECEIVE = 0, TRANSMIT = 1, HEADER = 12, OLD_HEADER = 10, ARP = 42 };

/* --- options --- */

static void test_wrong_options(void **state)
{
    static const struct tool_case cases[] = {
        {{NULL}, "--socket-path=PATH or --fd=N is needed"},
        {{"--socket-path=s", "--address=10.0.2"}, "--address=10.0.2: is no IPv4 address"},
        {{"--socket-path=s", "--address=::1"}, "is no IPv4 address"},
        {{"--socket-path=s", "--num-queues=3"}, "--num-queues=3: they come in pairs"},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

static void test_told_and_done(void **state)
{
    static const struct tool_case cases[] = {
        {{"--print-capabilities"}, "\"type\": \"net\""},
        {{"--help"}, "--address=IP"},
        {{"--version"}, "vhost-user-net 0."},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 0);
}

/* --- frames --- */

/* Who has that address? */
static void ask(vmm *v, uint32_t pair, uint32_t header, uint8_t last)
{
    static const uint8_t question[ARP] = {255, 255, 255, 255, 255, 255, 2, 0, 0, 0, 0,  9, 8, 6,
                                          0,   1,   8,   0,   6,   4,   0, 1, 2, 0, 0,  0, 0, 9,
                                          10,  0,   2,   15,  0,   0,   0, 0, 0, 0, 10, 0, 2};
    uint8_t frame[HEADER + ARP] = {0};
    uint32_t len;

    memcpy(frame + header, question, sizeof(question));
    frame[header + ARP - 1] = last;
    vmm_add(v, 2 * pair + TRANSMIT, frame, header + ARP, 0);
    vmm_take(v, 2 * pair + TRANSMIT, &len);
}

static void expect_answer(vmm *v, uint32_t pair, uint32_t header, uint8_t last)
{
    uint32_t len;
    const uint8_t *frame = vmm_take(v, 2 * pair + RECEIVE, &len);

    assert_int_equal(len, header + ARP);
    for (uint32_t i = 0; i < header; i++)
        assert_int_equal(frame[i], header == HEADER && i == 10);
    assert_int_equal(frame[header + 21], 2);
    assert_int_equal(frame[header + 31], last);
}

/* What the counters are at the end. */
static void end(program *p, const char *text)
{
    program_stop(p, text);
    program_free(p);
}

/* Buffers before the frames and after them, for drivers old and new, in either layout. */
static void test_answers(void **state)
{
    static const struct {
        uint64_t features;
        uint32_t header;
    } rows[] = {
        {VHU_DRIVER_FEATURES, HEADER},
        {VHU_DRIVER_FEATURES & ~VHU_BIT(VHU_F_RING_PACKED), HEADER},
        {VHU_BIT(VHU_F_RING_EVENT_IDX), OLD_HEADER},
    };
    sys_address address;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const uint32_t header = rows[i].header;
        program *p;
        vmm v;

        sys_address_new(&address);
        p = tool_start((const char *[]){"--socket-path", address.text, "--address=10.0.2.7", NULL});
        vmm_open(&v, address.text, 2, rows[i].features);
        vmm_add(&v, RECEIVE, NULL, 0, 2048);
        ask(&v, 0, header, 7);
        expect_answer(&v, 0, header, 7);
        ask(&v, 0, header, 8);
        ask(&v, 0, header, 7);
        vmm_add(&v, RECEIVE, NULL, 0, 2048);
        expect_answer(&v, 0, header, 7);
        vmm_close(&v);
        end(p, "served requests=3 answers=2 announced=0 mtu=1500\n");
    }
}

/* Each pair answers on its own ring; a disabled one does not, and what it sends is lost. */
static void test_pairs_and_enabling(void **state)
{
    sys_address address;
    program *p;
    vmm v;

    (void)state;
    sys_address_new(&address);
    p = tool_start((const char *[]){"--socket-path", address.text, "--num-queues=4", NULL});
    vmm_open(&v, address.text, 4, VHU_DRIVER_FEATURES);
    vmm_add(&v, 2 + RECEIVE, NULL, 0, 2048);
    ask(&v, 1, HEADER, 2);
    expect_answer(&v, 1, HEADER, 2);
    assert_int_equal(vhu_remote_enable_ring(v.remote, TRANSMIT, false), 0);
    ask(&v, 0, HEADER, 2);
    assert_int_equal(vhu_remote_enable_ring(v.remote, TRANSMIT, true), 0);
    assert_int_equal(vhu_remote_enable_ring(v.remote, RECEIVE, false), 0);
    vmm_add(&v, RECEIVE, NULL, 0, 2048);
    ask(&v, 0, HEADER, 2);
    assert_int_equal(vhu_remote_enable_ring(v.remote, RECEIVE, true), 0);
    vmm_close(&v);
    end(p, "served requests=2 answers=1 announced=0 mtu=1500\n");
}

/* More than it keeps, frames of no host, of no length, and buffers that are too small. */
static void test_odd_frames(void **state)
{
    static const uint8_t nothing[VMM_SLOT];
    static const uint32_t sizes[] = {1, HEADER - 1, HEADER, HEADER + 1, VMM_SLOT};
    sys_address address;
    uint32_t len;
    program *p;
    vmm v;

    (void)state;
    sys_address_new(&address);
    p = tool_start((const char *[]){"--socket-path", address.text, NULL});
    vmm_open(&v, address.text, 2, VHU_DRIVER_FEATURES);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        vmm_add(&v, TRANSMIT, nothing, sizes[i], 0);
        vmm_take(&v, TRANSMIT, &len);
    }
    for (int i = 0; i < 20; i++)
        ask(&v, 0, HEADER, 2);
    vmm_add(&v, RECEIVE, NULL, 0, 5);
    vmm_take(&v, RECEIVE, &len);
    assert_int_equal(len, 5);
    for (int i = 1; i < 16; i++) {
        vmm_add(&v, RECEIVE, NULL, 0, 2048);
        expect_answer(&v, 0, HEADER, 2);
    }
    vmm_close(&v);
    end(p, "served requests=25 answers=16 announced=0 mtu=1500\n");
}

static int set_up(void **state)
{
    (void)state;
    return tool_setup(NET_PROGRAM, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options), leakcheck_test(test_told_and_done),
        leakcheck_test(test_answers),       leakcheck_test(test_pairs_and_enabling),
        leakcheck_test(test_odd_frames),
    };

    return cmocka_run_group_tests(tests, set_up, tool_teardown);
}
