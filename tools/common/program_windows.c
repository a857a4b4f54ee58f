/* SPDX-License-Identifier: BSD-3-Clause */
#include "program_os.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

/* Ctrl-C, Ctrl-Break, and the end of the console. */
const int program_os_signals[PROGRAM_SIGNALS] = {SIGINT, SIGBREAK, SIGHUP};

size_t program_os_rows(struct program_settings *settings, struct option_row *rows)
{
    const struct option_row own[] = {
        {"socket-path", OPTION_TEXT, &settings->socket_path, "PIPE",
         "listen on this pipe, \\\\.\\pipe\\NAME", 0, 0},
        {"fd", OPTION_NUMBER, &settings->fd, "N", "use this inherited handle of a pipe's end", 1,
         0x7fffffff},
        {"transfer", OPTION_CHOICE, &settings->transfer, "client|self|peer",
         "who copies handles, and so has power over the other's process (client)", 0, 0},
        {"peer-process", OPTION_NUMBER, &settings->peer_process, "N",
         "inherited handle of the front-end's process, if handles are copied here", 1, 0x7fffffff},
        {"pipe-security", OPTION_TEXT, &settings->pipe_security, "SDDL",
         "who may connect (this program's user)", 0, 0},
    };

    memcpy(rows, own, sizeof own);
    return sizeof own / sizeof own[0];
}

vhu_handle program_os_handle(unsigned fd)
{
    return (vhu_handle)(uintptr_t)fd;
}

bool program_os_check(const struct program_settings *settings, char *text, size_t len)
{
    const struct {
        const char *name;
        unsigned value;
        unsigned none;
    } rows[] = {{"fd", settings->fd, PROGRAM_NO_FD}, {"peer-process", settings->peer_process, 0}};
    DWORD flags;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        if (rows[i].value == rows[i].none ||
            GetHandleInformation(program_os_handle(rows[i].value), &flags))
            continue;
        snprintf(text, len, "--%s=%u: no open handle", rows[i].name, rows[i].value);
        return false;
    }
    return true;
}

vhu_pipe_options program_os_pipe(const struct program_settings *settings)
{
    return (vhu_pipe_options){.size = sizeof(vhu_pipe_options),
                              .transfer = settings->transfer,
                              .peer_process = program_os_handle(settings->peer_process),
                              .security = settings->pipe_security};
}

void program_os_prepare(void)
{
}
