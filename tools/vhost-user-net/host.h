/* SPDX-License-Identifier: BSD-3-Clause */
/* A host on an Ethernet that answers whoever asks for its address (ARP), or pings it (ICMP). */
#ifndef HOST_H
#define HOST_H

#include <stdint.h>

struct host {
    uint8_t mac[6];
    uint8_t ip[4];
};

/*
 * Turns a frame of `len` bytes into the answer to it: how many bytes that has, 0 if there is none.
 * Nobody vouches for what is in the frame.
 */
uint32_t host_answer(const struct host *host, uint8_t *frame, uint32_t len);

#endif
