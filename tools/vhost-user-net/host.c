/* SPDX-License-Identifier: BSD-3-Clause */
#include "host.h"

#include <stdbool.h>
#include <string.h>

/* Where things are: in a frame; in what it carries, from there on. */
enum { ETH_FROM = 6, ETH_TYPE = 12, ETH_BYTES = 14 };
enum {
    ARP_OPERATION = 6,
    ARP_FROM = 8,
    ARP_FROM_IP = 14,
    ARP_TO = 18,
    ARP_TO_IP = 24,
    ARP_BYTES = 28
};
enum { IP_LEN = 2, IP_FRAGMENT = 6, IP_PROTOCOL = 9, IP_FROM = 12, IP_TO = 16, IP_BYTES = 20 };
enum { ICMP_CHECKSUM = 2, ICMP_BYTES = 8 };

enum {
    TYPE_IP = 0x0800,
    TYPE_ARP = 0x0806,
    ARP_REQUEST = 1,
    ARP_REPLY = 2,
    ICMP = 1,
    ICMP_ECHO = 8
};

static uint32_t load(const uint8_t *at)
{
    return (uint32_t)at[0] << 8 | at[1];
}

static void store(uint8_t *at, uint32_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}

static void address_back(const struct host *host, uint8_t *frame)
{
    memcpy(frame, frame + ETH_FROM, 6);
    memcpy(frame + ETH_FROM, host->mac, 6);
}

static uint32_t answer_arp(const struct host *host, uint8_t *frame, uint32_t len)
{
    static const uint8_t ip_on_ethernet[] = {0, 1, 8, 0, 6, 4};
    uint8_t *arp = frame + ETH_BYTES;

    if (len < ETH_BYTES + ARP_BYTES || memcmp(arp, ip_on_ethernet, sizeof ip_on_ethernet) != 0 ||
        load(arp + ARP_OPERATION) != ARP_REQUEST || memcmp(arp + ARP_TO_IP, host->ip, 4) != 0)
        return 0;
    address_back(host, frame);
    store(arp + ARP_OPERATION, ARP_REPLY);
    memcpy(arp + ARP_TO, arp + ARP_FROM, 10);
    memcpy(arp + ARP_FROM, host->mac, 6);
    memcpy(arp + ARP_FROM_IP, host->ip, 4);
    return ETH_BYTES + ARP_BYTES;
}

/* Whether it is one whole ping for us; its parts are `*header` and `*total` bytes long. */
static bool is_ping(const struct host *host, const uint8_t *ip, uint32_t len, uint32_t *header,
                    uint32_t *total)
{
    if (len < IP_BYTES || ip[0] >> 4 != 4)
        return false;
    *header = (ip[0] & 15u) * 4;
    *total = load(ip + IP_LEN);
    return *header >= IP_BYTES && *total <= len && *total >= *header + ICMP_BYTES &&
           (load(ip + IP_FRAGMENT) & 0x3fff) == 0 && ip[IP_PROTOCOL] == ICMP &&
           memcmp(ip + IP_TO, host->ip, 4) == 0 && load(ip + *header) == ICMP_ECHO << 8;
}

/* IP's checksum is the same with its addresses changed over; ICMP's loses what its type does. */
static uint32_t answer_ping(const struct host *host, uint8_t *frame, uint32_t len)
{
    uint8_t *ip = frame + ETH_BYTES;
    uint32_t header, total, sum;

    if (!is_ping(host, ip, len - ETH_BYTES, &header, &total))
        return 0;
    address_back(host, frame);
    memcpy(ip + IP_TO, ip + IP_FROM, 4);
    memcpy(ip + IP_FROM, host->ip, 4);
    store(ip + header, 0);
    sum = load(ip + header + ICMP_CHECKSUM) + (ICMP_ECHO << 8);
    store(ip + header + ICMP_CHECKSUM, sum + (sum >> 16));
    return ETH_BYTES + total;
}

uint32_t host_answer(const struct host *host, uint8_t *frame, uint32_t len)
{
    if (len < ETH_BYTES)
        return 0;
    switch (load(frame + ETH_TYPE)) {
    case TYPE_ARP:
        return answer_arp(host, frame, len);
    case TYPE_IP:
        return answer_ping(host, frame, len);
    default:
        return 0;
    }
}
