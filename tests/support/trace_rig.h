/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-trace as a process, and the scripted peers on both of its sides. */
#ifndef TEST_TRACE_RIG_H
#define TEST_TRACE_RIG_H

#include <sys/stat.h>
#include <sys/types.h>
#include <vmm_vhost/protocol.h>

#include "support/leakcheck.h"

enum { TRACE_MAX_ARGS = 12 };

struct run {
    pid_t pid;
    int errors; /* its stderr */
    char said[4096];
    size_t len;
    char *told; /* its stdout, after run_end(); to be freed */
};

/* A folder for sockets and output, which is where the program runs. */
int make_folder(void **state);
int remove_folder(void **state);
void in_folder(char *path, const char *file); /* at most 100 bytes */

void run_start(struct run *run, const char *const *args);
/* Read on until the text is on stderr, or the end of it; whether it is there. */
bool run_says(struct run *run, const char *text);
/* Its exit code. */
int run_end(struct run *run);
/* By a signal, which is a success. */
void run_stop(struct run *run);
void expect_told(const struct run *run, const char *text);
void expect_not_told(const struct run *run, const char *text);

/* The program with an option or NULL, between the ends of `peers`: the front-end's, the back-end's.
 */
void run_between(struct run *run, const char *option, int peers[2]);

int listen_at(const char *file);
int connect_to(const char *file);
int accept_from(int listener);
void close_both(int peers[2]);

void send_bytes(int fd, const void *bytes, size_t len, const int *fds, size_t n);
void send_message(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                  const int *fds, size_t n);
/* Receive just `len` bytes; descriptors must come with the first of them. Returns how many. */
size_t recv_bytes(int fd, void *out, size_t len, int fds[8]);
/* Receive a message that must be this one; returns how many descriptors came with it. */
size_t expect_message(int fd, uint32_t request, uint32_t flags, const void *payload, uint32_t size,
                      int fds[8]);
void expect_end(int fd);
ino_t inode(int fd);

#endif
