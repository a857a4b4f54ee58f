/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-trace as a process, and the scripted peers on both of its sides. */
#ifndef TEST_TRACE_RIG_H
#define TEST_TRACE_RIG_H

#include <vmm_vhost/listener.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/stream.h>

#include "support/program.h"
#include "support/sys.h"

enum { TRACE_MAX_ARGS = 12, TRACE_MAX_HANDLES = 8, TRACE_MAX_PAYLOAD = 256 };

struct run {
    struct program *program;
    sys_address front; /* where it listens: FRONT among its arguments */
    sys_address back;  /* where it connects: BACK */
};

/* The sides, as places in an array of peers. */
enum { FRONT_END, BACK_END };

/* A group's setup. */
int trace_setup(void **state);

/* Of these arguments, up to NULL, FRONT and BACK are put in. */
void run_start(struct run *run, const char *const *args);
/* Its exit code. */
int run_end(struct run *run);
/* It is told to end, which is a success. */
void run_stop(struct run *run);
void run_free(struct run *run);

/* After its end. */
void expect_told(const struct run *run, const char *text);
void expect_not_told(const struct run *run, const char *text);
/* How often the text is there. */
size_t count_told(const struct run *run, const char *text);

/* The program with an option or NULL, between two peers. */
void run_between(struct run *run, const char *option, vhu_stream *peers[2]);

vhu_listener *listen_at(const sys_address *address);
vhu_stream *connect_to(const sys_address *address);
vhu_stream *accept_from(vhu_listener *listener);
void close_both(vhu_stream *peers[2]);

/* Bytes, or on transports of messages one message, with a handle, VHU_NO_HANDLE: none. */
void send_bytes(vhu_stream *to, const void *bytes, size_t len, vhu_handle handle);
void send_message(vhu_stream *to, uint32_t request, uint32_t flags, const void *payload,
                  uint32_t size, vhu_handle handle);

/*
 * Receive a message that must be this one; the handle that came with it, VHU_NO_HANDLE if there was
 * none. More than one is a failure.
 */
vhu_handle expect_message(vhu_stream *from, uint32_t request, uint32_t flags, const void *payload,
                          uint32_t size);

/* One side sends a message, without a handle, and it reaches the other unchanged. */
void pass(vhu_stream *peers[2], unsigned from, uint32_t request, uint32_t flags,
          const void *payload, uint32_t size);

/* Just these bytes, whatever was sent at once; a handle must come with the first. */
vhu_handle recv_bytes(vhu_stream *from, void *out, size_t len);

void expect_end(vhu_stream *from);

#endif
