/* SPDX-License-Identifier: BSD-3-Clause */
#include "program_os.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

const int program_os_signals[PROGRAM_SIGNALS] = {SIGTERM, SIGINT};

size_t program_os_rows(struct program_settings *settings, struct option_row *rows)
{
    const struct option_row own[] = {
        {"socket-path", OPTION_TEXT, &settings->socket_path, "PATH",
         "listen here; \"@NAME\" is abstract", 0, 0},
        {"fd", OPTION_NUMBER, &settings->fd, "N",
         "use this inherited socket, a connected or a listening one", 0, 0x7fffffff},
        {"socket-mode", OPTION_MODE, &settings->socket_mode, "MODE",
         "permission bits of the socket, octal (0600)", 0, 0777},
    };

    memcpy(rows, own, sizeof own);
    return sizeof own / sizeof own[0];
}

bool program_os_check(const struct program_settings *settings, char *text, size_t len)
{
    if (settings->fd == PROGRAM_NO_FD || fcntl((int)settings->fd, F_GETFD) != -1)
        return true;
    snprintf(text, len, "--fd=%u: %s", settings->fd, strerror(errno));
    return false;
}

vhu_handle program_os_handle(unsigned fd)
{
    return (vhu_handle)fd;
}

vhu_pipe_options program_os_pipe(const struct program_settings *settings)
{
    (void)settings;
    return (vhu_pipe_options){.size = sizeof(vhu_pipe_options)};
}

/* A file limit and a vanished reader are errors like others. */
void program_os_prepare(void)
{
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
}
