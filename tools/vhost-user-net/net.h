/* SPDX-License-Identifier: BSD-3-Clause */
/* The network device on the library's device kit: frames between a driver and the host. */
#ifndef NET_H
#define NET_H

#include "host.h"
#include "program.h"

#define NET_FEATURES VHU_BIT(3) /* VIRTIO_NET_F_MTU */

/* There is one in a program, with one worker for all rings: those of a pair need each other. */
struct net {
    struct program program; /* first: see struct program */
    struct host host;
    const char *address; /* the host's, as it was given */
    unsigned mtu;
    uint64_t requests;
    uint64_t answers;
    uint64_t announced;
};

extern const vhu_device_ops net_ops;

#endif
