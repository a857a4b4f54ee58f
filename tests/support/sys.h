/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests want of the operating system, beyond what the library has: one file a port. Threads
 * and processes are libuv's; memory, events, streams and waiting are the library's.
 */
#ifndef TEST_SYS_H
#define TEST_SYS_H

#include <vmm_vhost/stream.h>
#include <vmm_vhost/types.h>

/* Handles that this process has open now; -1 if that cannot be told. */
int sys_count_handles(void);

/* A handle that can be passed and does nothing; and one that no event, memory or stream is. */
vhu_handle sys_handle_new(void);
vhu_handle sys_odd_handle_new(void);

bool sys_handle_is_open(vhu_handle handle);

/* Whether a child process would get it. */
bool sys_handle_is_inherited(vhu_handle handle);

/* Whether both are of the same object. */
bool sys_handles_same(vhu_handle a, vhu_handle b);

/* Maps of shared memory that this process has now; -1 if that cannot be told. */
int sys_count_maps(void);

/* An address of this process's own that nobody listens on, and what is left of it. */
typedef struct sys_address {
    char text[104];
} sys_address;

void sys_address_new(sys_address *out);
void sys_address_clear(sys_address *address);

/* What is none, up to a NULL. */
extern const char *const sys_bad_addresses[];

/* Whether there are SEQPACKET sockets; two that are connected, or an error. */
extern const bool sys_has_seqpacket;
int sys_seqpacket_pair(vhu_stream *out[2]);

/* Give a stream as little room as there can be; false: it has what it was made with. */
bool sys_stream_make_small(vhu_handle wait_handle);

/* This thread's error: errno, GetLastError. */
void sys_error_set(unsigned error);
unsigned sys_error(void);

void sys_sleep_ms(unsigned ms);

/* Tell a process of one's own to end: by SIGTERM; by Ctrl-C in its console. */
void sys_interrupt(int process);

/* Handles that another process has open; -1 if that cannot be told. */
int sys_count_handles_of(int process);

/* Some rules are only enforced by Windows itself, and can be tested only there. */
bool sys_is_wine(void);

#endif
