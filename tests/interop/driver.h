/* SPDX-License-Identifier: BSD-3-Clause */
/* What the devices of interop_driver share: a VMM's memory and connection. */
#ifndef INTEROP_DRIVER_H
#define INTEROP_DRIVER_H

#include <vmm_vhost/vmm_vhost.h>

enum { GUEST_BASE = 0x100000, MEMORY = 4 << 20 };

struct machine {
    vhu_remote *remote;
    vhu_shm *memory;
    uint64_t next; /* guest address that is free */
};

/* A line on stderr; -1. */
int complain(const char *what, int error, const char *detail);

/* 0, or -1 after a complaint. */
int machine_connect(struct machine *m, const char *address, const vhu_remote_options *options);
int machine_start(struct machine *m);
int machine_stop(struct machine *m);
void machine_free(struct machine *m);

/* A line about what was negotiated. */
void machine_tell_rings(const struct machine *m);

/* Guest memory: its address, and where it is here. */
void *machine_allocate(struct machine *m, uint64_t len, uint64_t *addr);

int machine_add_ring(struct machine *m, uint32_t number, uint32_t num, vhu_driver_ring **out);
void machine_publish(struct machine *m, uint32_t number, vhu_driver_ring *ring);

/* The next request that is done. */
int machine_collect(struct machine *m, uint32_t number, vhu_driver_ring *ring,
                    vhu_driver_used *used);

/* The commands, with their arguments up to NULL; 0, or negative after a complaint. */
int run_blk_write(char **args);
int run_blk_read(char **args);
int run_pattern(char **args);
int run_net(char **args);
int run_arp(char **args);

#endif
