/* SPDX-License-Identifier: BSD-3-Clause */
/* The host of vhost-user-net: what it answers, and what it has no answer to. */
#include "host.h"

#include <stdlib.h>
#include <string.h>

#include "support/leakcheck.h"

static const struct host host = {{2, 0, 0, 0, 0, 1}, {10, 0, 2, 2}};

#define THEIR_MAC 2, 0, 0, 0, 0, 9
#define THEIR_IP 10, 0, 2, 15

static const uint8_t arp_request[42] = {255, 255, 255, 255, 255, 255, THEIR_MAC, 8,        6, 0, 1,
                                        8,   0,   6,   4,   0,   1,   THEIR_MAC, THEIR_IP, 0, 0, 0,
                                        0,   0,   0,   10,  0,   2,   2};

/* With an option in IP's header, and two bytes behind it that fill the frame up. */
enum { PING_IP = 14, PING_ICMP = 14 + 24, PING_BYTES = PING_ICMP + 10, PING_FILL = 2 };
static const uint8_t ping[PING_BYTES + PING_FILL] = {
    2, 0,        0,  0, 0, 1, THEIR_MAC, 8, 0, 0x46, 0, 0, 34,   0,    7, 0x40, 0, 64, 1,   0,
    0, THEIR_IP, 10, 0, 2, 2, 1,         1, 1, 1,    8, 0, 0xf7, 0xf8, 0, 1,    0, 5,  'h', 'i'};

static uint16_t sum_of(const uint8_t *bytes, size_t len)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < len; i += 2)
        sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

/* A copy of just these bytes, so that a sanitizer sees who reads behind them. */
static uint32_t answer(const uint8_t *frame, uint32_t len, uint8_t *out)
{
    uint8_t *copy = malloc(len ? len : 1);
    uint32_t n;

    assert_non_null(copy);
    memcpy(copy, frame, len);
    n = host_answer(&host, copy, len);
    assert_true(n <= len);
    memcpy(out, copy, n);
    free(copy);
    return n;
}

static void test_arp(void **state)
{
    static const uint8_t expected[42] = {THEIR_MAC, 2, 0, 0,  0, 0, 1, 8,         6,       0,
                                         1,         8, 0, 6,  4, 0, 2, 2,         0,       0,
                                         0,         0, 1, 10, 0, 2, 2, THEIR_MAC, THEIR_IP};
    uint8_t frame[64] = {0}, out[64];

    (void)state;
    memcpy(frame, arp_request, sizeof(arp_request));
    assert_int_equal(answer(frame, sizeof(frame), out), sizeof(expected));
    assert_memory_equal(out, expected, sizeof(expected));
}

static void test_ping(void **state)
{
    uint8_t frame[sizeof(ping)], out[sizeof(ping)];

    (void)state;
    /* Any checksum that is right stays right, also when it wraps. */
    for (uint32_t word = 0; word <= 0xffff; word++) {
        uint16_t sum;

        memcpy(frame, ping, sizeof(ping));
        frame[PING_ICMP + 8] = (uint8_t)(word >> 8);
        frame[PING_ICMP + 9] = (uint8_t)word;
        frame[PING_ICMP + 2] = frame[PING_ICMP + 3] = 0;
        sum = (uint16_t)~sum_of(frame + PING_ICMP, 10);
        frame[PING_ICMP + 2] = (uint8_t)(sum >> 8);
        frame[PING_ICMP + 3] = (uint8_t)sum;
        assert_int_equal(answer(frame, sizeof(frame), out), PING_BYTES);
        assert_int_equal(out[PING_ICMP], 0);
        assert_int_equal(sum_of(out + PING_ICMP, 10), 0xffff);
    }
    assert_memory_equal(out, ping + 6, 6);
    assert_memory_equal(out + 6, host.mac, 6);
    assert_memory_equal(out + PING_IP + 12, host.ip, 4);
    assert_memory_equal(out + PING_IP + 16, ping + PING_IP + 12, 4);
    assert_int_equal(sum_of(out + PING_IP, 24), sum_of(ping + PING_IP, 24));
    assert_memory_equal(out + PING_ICMP + 4, frame + PING_ICMP + 4, 6);
}

/* One byte changed, and there is no answer. */
static void test_not_for_us(void **state)
{
    static const struct {
        const uint8_t *frame;
        uint32_t len;
        uint32_t at;
        uint8_t value;
    } rows[] = {
        {arp_request, 42, 12, 9}, /* no ARP */
        {arp_request, 42, 15, 2}, /* not on Ethernet */
        {arp_request, 42, 16, 9}, /* not of IP */
        {arp_request, 42, 18, 7}, /* addresses of other sizes */
        {arp_request, 42, 19, 5},
        {arp_request, 42, 21, 2},       /* an answer */
        {arp_request, 42, 41, 3},       /* another's address */
        {ping, sizeof(ping), 14, 0x66}, /* not IPv4 */
        {ping, sizeof(ping), 14, 0x44}, /* a header too short */
        {ping, sizeof(ping), 14, 0x4f}, /* and one too long */
        {ping, sizeof(ping), 16, 1},    /* longer than its frame */
        {ping, sizeof(ping), 17, 31},   /* too short for a ping */
        {ping, sizeof(ping), 17, 0},
        {ping, sizeof(ping), 20, 0x20}, /* fragments: the first, and another */
        {ping, sizeof(ping), 21, 1},
        {ping, sizeof(ping), 23, 17},       /* UDP */
        {ping, sizeof(ping), 33, 3},        /* another's address */
        {ping, sizeof(ping), PING_ICMP, 0}, /* an answer */
        {ping, sizeof(ping), PING_ICMP + 1, 1},
    };
    uint8_t frame[64], out[64];

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        memcpy(frame, rows[i].frame, rows[i].len);
        assert_int_not_equal(answer(frame, rows[i].len, out), 0);
        frame[rows[i].at] = rows[i].value;
        if (answer(frame, rows[i].len, out) != 0)
            fail_msg("row %zu has an answer", i);
    }
}

static void test_cut_off(void **state)
{
    uint8_t out[64];

    (void)state;
    for (uint32_t len = 0; len < sizeof(arp_request); len++)
        assert_int_equal(answer(arp_request, len, out), 0);
    for (uint32_t len = 0; len < PING_BYTES; len++)
        assert_int_equal(answer(ping, len, out), 0);
    assert_int_equal(answer(ping, PING_BYTES, out), PING_BYTES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_arp),
        leakcheck_test(test_ping),
        leakcheck_test(test_not_for_us),
        leakcheck_test(test_cut_off),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
