/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-probe as a process, a disk for it to look at, and a place for others. */
#ifndef TEST_PROBE_RIG_H
#define TEST_PROBE_RIG_H

#include <vmm_vhost/event.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/stream.h>

#include "support/program.h"

enum { PROBE_MAX_ARGS = 10, PROBE_SECTORS = 2048 };

/* A group's setup and teardown. */
int probe_setup(void **state);
int probe_teardown(void **state);

/*
 * Run the probe with these arguments, up to NULL, to its end. DISK and SOCKET among them are the
 * addresses of the disk and of whoever else there is; NOWHERE is one of nobody.
 */
struct probed {
    program *program;
    int code; /* exit code */
};
void probe_run(struct probed *probed, const char *const *args);

/* The same in two steps. */
void probe_start(struct probed *probed, const char *const *args);
void probe_end(struct probed *probed);
/* On stdout or stderr. */
bool probe_says(const struct probed *probed, const char *text);
const char *probe_text(const struct probed *probed); /* stdout */
void probe_free(struct probed *probed);

/* vhost-user-blk at DISK; each sector begins with its own number, 8 bytes. */
program *probe_disk_start(void);
void probe_disk_stop(program *disk);
vhu_stream *probe_disk_connect(void);

/* A listener at SOCKET, for a thread. */
struct probe_listener {
    vhu_listener *listener;
    vhu_event *stop;
};
void probe_listen(struct probe_listener *l);
/* Wait for the next one; NULL: the thread is to end. */
vhu_stream *probe_accept(const struct probe_listener *l);
void probe_stop(const struct probe_listener *l);
void probe_listener_free(struct probe_listener *l);

/* Receive what has come, and wait for it: bytes, or the error that has ended it. */
int probe_recv(vhu_stream *from, void *out, size_t room, vhu_handle *handles, size_t *num);
/* All of it, or the error. */
int probe_send(vhu_stream *to, const void *bytes, size_t len, const vhu_handle *handles,
               size_t num);

#endif
