/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-probe as a process, and a disk for it to look at. */
#ifndef TEST_PROBE_RIG_H
#define TEST_PROBE_RIG_H

#include <stdbool.h>
#include <sys/types.h>

#include "support/leakcheck.h"

enum { PROBE_MAX_ARGS = 10, PROBE_SECTORS = 2048 };

struct probed {
    int code;           /* exit code */
    char text[1 << 16]; /* what it has printed, stdout and stderr */
};

/* A folder for sockets, in which the programs run. A group's setup and teardown. */
int probe_folder(void **state);
int probe_folder_remove(void **state);

/* Run the probe with these arguments, up to NULL, to its end. */
void probe_run(struct probed *probed, const char *const *args);
bool probe_says(const struct probed *probed, const char *text);

/* vhost-user-blk at the socket "disk"; each sector begins with its own number, 8 bytes. */
struct probe_disk {
    pid_t pid;
    int output;
};
void probe_disk_start(struct probe_disk *disk);
void probe_disk_stop(struct probe_disk *disk);

int probe_listen(const char *name);
int probe_connect(const char *name);

#endif
