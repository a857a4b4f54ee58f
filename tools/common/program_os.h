/* SPDX-License-Identifier: BSD-3-Clause */
/* What a back-end program has of a system's own: one file a port. */
#ifndef TOOLS_PROGRAM_OS_H
#define TOOLS_PROGRAM_OS_H

#include "program.h"

#include <vmm_vhost/stream.h>

enum { PROGRAM_OS_ROWS = 8 };

/* The options that say where and for whom it is reached: how many. */
size_t program_os_rows(struct program_settings *settings, struct option_row *rows);

/* Whether the inherited handles are there; if not, `text` says what is wrong. */
bool program_os_check(const struct program_settings *settings, char *text, size_t len);

vhu_handle program_os_handle(unsigned fd);

/* What a connection wants to know of the settings, which must last. */
vhu_pipe_options program_os_pipe(const struct program_settings *settings);

/* Before the first thing is done: what shall not end the program. */
void program_os_prepare(void);

/* The signals that do; 0: no more. */
extern const int program_os_signals[PROGRAM_SIGNALS];

#endif
