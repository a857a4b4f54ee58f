/* SPDX-License-Identifier: BSD-3-Clause */
/* One of the project's programs, in a folder of the test's own. */
#ifndef TEST_TOOL_H
#define TEST_TOOL_H

#include <stddef.h>

#include "support/folder.h"
#include "support/program.h"

enum { TOOL_MAX_ARGS = 8 };

/* What tool_setup() has made. */
extern folder tool_folder;

/*
 * For a group's setup: the program, and an option that it gets before all others, or NULL. 0, or
 * -1. The teardown is the group's as it is.
 */
int tool_setup(const char *path, const char *option);
int tool_teardown(void **state);

/* Runs there, with these arguments, up to NULL. */
program *tool_start(const char *const *args);

/* The same, with a descriptor `fd` that it gets as its descriptor `as`. POSIX only. */
program *tool_start_with(const char *const *args, int fd, int as);

/*
 * Each of these must make it end with `code`, as program_expect() has it; a socket `s`, which the
 * arguments may name, must not be left.
 */
struct tool_case {
    const char *args[TOOL_MAX_ARGS];
    const char *text;
};
void tool_expect(const struct tool_case *cases, size_t num, int code);

#endif
