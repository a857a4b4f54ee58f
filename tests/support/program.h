/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program as a process of its own. A thread collects what it prints, so that it never waits for
 * a reader. Whatever takes longer than PROGRAM_PATIENCE_MS fails the test.
 */
#ifndef TEST_PROGRAM_H
#define TEST_PROGRAM_H

#include <stdbool.h>

#include "support/leakcheck.h"

enum { PROGRAM_PATIENCE_MS = 60000, PROGRAM_MAX_ARGS = 24 };

/* What it prints there; lines end in '\n' on every system. */
enum program_stream { PROGRAM_OUT, PROGRAM_ERR };

typedef struct program program;

/*
 * Runs in `folder`, NULL: in this process's. args[0] is its path, or a name that is looked for in
 * PATH; up to NULL. NULL: there is no such program.
 */
program *program_start(const char *folder, const char *const *args);

/* The same, with a descriptor `fd` that it gets as its descriptor `as`. POSIX only. */
program *program_start_with(const char *folder, const char *const *args, int fd, int as);

/* Wait until it has said that, or can say nothing more: whether it has. */
bool program_says(program *p, enum program_stream stream, const char *text);

/* As Ctrl-C does, or a signal to end; and without a chance to end well. */
void program_interrupt(program *p);
void program_kill(program *p);

int program_id(const program *p);

/* Wait for its end: its exit code, or minus the signal that has ended it. More than once is fine.
 */
int program_end(program *p);

/* All that it has said, after its end; valid as long as `p`. */
const char *program_text(const program *p, enum program_stream stream);

/*
 * Wait for its end, which must come with this exit code; it must have said `text`: on stdout, or if
 * it fails on stderr, where its own name must be, too.
 */
void program_expect(program *p, int code, const char *text);

/* Interrupt it, and expect that to be a success. */
void program_stop(program *p, const char *text);

/* It is killed, if it still runs. NULL is fine. */
void program_free(program *p);

/*
 * For a group's setup, since tests count handles: run it once with --version, so that whatever is
 * opened for good by starting programs is open. 0, or -1.
 */
int program_try(const char *path);

#endif
