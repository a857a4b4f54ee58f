/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What every back-end program does alike (vhost-user specification, "Backend program
 * conventions"): its options, where it is reached, signals, the ready line, and a clean end.
 */
#ifndef TOOLS_PROGRAM_H
#define TOOLS_PROGRAM_H

#include "attributes.h"
#include "options.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <uv.h>
#include <vmm_vhost/uv.h>

/* What a program is. */
struct program_info {
    const char *name;
    const char *summary;      /* one line for --help */
    const char *capabilities; /* JSON, as vhost-user.json describes it */
};

/* Options of every program; defaults are those of program_init(). */
struct program_settings {
    const char *socket_path;
    unsigned fd; /* PROGRAM_NO_FD: none */
    bool check_peer;
    bool once;
    unsigned socket_mode;      /* POSIX */
    unsigned transfer;         /* Windows, as all below: VHU_TRANSFER_* */
    unsigned peer_process;     /* a handle; 0: none */
    const char *pipe_security; /* SDDL; NULL: the default */

    unsigned num_queues;
    unsigned workers; /* after program_parse() 1 .. num_queues */
    unsigned spin_us;
    bool inband;
    bool postcopy;
    uint64_t withhold; /* protocol features */
    bool sealed_memory;
    bool verbose;
    bool help;
    bool version;
};

#define PROGRAM_NO_FD (~0u)

enum { PROGRAM_SIGNALS = 3 };

/* A running program. A device's `self` must begin with it: the library's hooks lead here. */
struct program {
    const struct program_info *info;
    struct program_settings settings;
    uv_loop_t loop;
    uv_signal_t signals[PROGRAM_SIGNALS];
    uv_timer_t deadline;
    vhu_uv_device *device;
    bool one_peer; /* the first front-end is the last one */
    bool stopping;
    atomic_uint num_logged; /* lines of the library's log */
};

/* The device that a program serves. `self` is the struct program. */
struct program_device {
    const vhu_device_ops *ops;
    uint64_t features;   /* virtio's, offered */
    bool serve_disabled; /* as in vhu_device_options */
    int (*worker_start)(void *self, unsigned worker, uv_loop_t *loop);
    void (*worker_stop)(void *self, unsigned worker);
};

/* An exit code, or to go on. */
enum program_verdict {
    PROGRAM_RUN = -1,
    PROGRAM_DONE = EXIT_SUCCESS, /* all that was asked for has been printed */
    PROGRAM_WRONG = EXIT_FAILURE /* the message is on stderr */
};

void program_init(struct program *program, const struct program_info *info);

/* Reads the options of every program and those of `rows`. */
enum program_verdict program_parse(struct program *program, const struct option_row *rows,
                                   size_t num_rows, int argc, char **argv);

/* Serves until it is told to end; the rest is for the ready line. Returns the exit code. */
int program_serve(struct program *program, const struct program_device *device, const char *format,
                  ...) TOOL_PRINTF(3, 4);

/* A line on stderr, led by the program's name. Any thread. */
void program_say(const struct program *program, const char *format, ...) TOOL_PRINTF(2, 3);

#endif
