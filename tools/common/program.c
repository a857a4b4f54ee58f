/* SPDX-License-Identifier: BSD-3-Clause */
#include "program.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/version.h>

#include "program_os.h"

/* How long requests that were taken may go on when the program shall end. */
enum { STOP_MS = 2000 };

enum { MAX_OPTIONS = 32, MAX_LOGGED = 100 };

void program_say(const struct program *program, const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", program->info->name, line);
}

void program_init(struct program *program, const struct program_info *info)
{
    memset(program, 0, sizeof *program);
    program->info = info;
    program->settings = (struct program_settings){
        .fd = PROGRAM_NO_FD, .socket_mode = 0600, .num_queues = 1, .spin_us = 50};
}

/* --- options --- */

static void print_help(const struct program_info *info, const struct option_row *rows,
                       size_t num_rows)
{
    printf("%s: %s\n\nusage: %s [OPTION...]\n\n", info->name, info->summary, info->name);
    options_help(rows, num_rows);
}

static bool asks_for_capabilities(int argc, char **argv)
{
    for (int i = 1; i < argc; ++i)
        if (strcmp(argv[i], "--print-capabilities") == 0)
            return true;
    return false;
}

static enum program_verdict check_settings(struct program *program)
{
    struct program_settings *settings = &program->settings;
    const bool has_fd = settings->fd != PROGRAM_NO_FD;
    char text[256];

    if (!settings->socket_path && !has_fd) {
        program_say(program, "--socket-path=PATH or --fd=N is needed (see --help)");
        return PROGRAM_WRONG;
    }
    if (settings->socket_path && has_fd) {
        program_say(program, "--socket-path and --fd exclude each other");
        return PROGRAM_WRONG;
    }
    if (settings->withhold & VHU_BIT(VHU_PF_REPLY_ACK)) {
        program_say(program, "--withhold: REPLY_ACK is always offered");
        return PROGRAM_WRONG;
    }
    if (!program_os_check(settings, text, sizeof text)) {
        program_say(program, "%s", text);
        return PROGRAM_WRONG;
    }
    if (settings->workers == 0)
        settings->workers = uv_available_parallelism();
    if (settings->workers > settings->num_queues)
        settings->workers = settings->num_queues; /* more would have nothing to do */
    return PROGRAM_RUN;
}

/* All there are: how many. */
static size_t gather_rows(struct option_row *all, struct program_settings *settings,
                          bool *capabilities, const struct option_row *rows, size_t num_rows)
{
    const struct option_row common[] = {
        {"check-peer", OPTION_FLAG, &settings->check_peer, NULL,
         "turn away front-ends of users other than its own and root (Windows: SYSTEM)", 0, 0},
        {"once", OPTION_FLAG, &settings->once, NULL, "end when the first front-end has gone", 0, 0},
        {"num-queues", OPTION_NUMBER, &settings->num_queues, "N",
         "queues offered (as few as will do)", 1, VHU_MAX_RINGS},
        {"workers", OPTION_NUMBER, &settings->workers, "N",
         "threads (one for each queue, at most one for each processor)", 1, VHU_MAX_RINGS},
        {"spin-us", OPTION_NUMBER, &settings->spin_us, "N",
         "microseconds to look for more before sleeping (50)", 0, 1000000},
        {"inband", OPTION_FLAG, &settings->inband, NULL,
         "offer kicks and calls as messages, to front-ends that simulate time", 0, 0},
        {"postcopy", OPTION_FLAG, &settings->postcopy, NULL,
         "offer postcopy migration, to a front-end that is trusted with this process (Linux)", 0,
         0},
        {"sealed-memory", OPTION_FLAG, &settings->sealed_memory, NULL,
         "take only memory that front-ends cannot cut short, such as memfds with seals", 0, 0},
        {"withhold", OPTION_PROTOCOL, &settings->withhold, "NAME[,NAME...]",
         "protocol features not to be offered, such as CONFIGURE_MEM_SLOTS", 0, 0},
        {"print-capabilities", OPTION_FLAG, capabilities, NULL,
         "print what this program can do, as JSON", 0, 0},
        {"verbose", OPTION_FLAG, &settings->verbose, NULL,
         "tell who comes and goes, and every line of the log, on stderr", 0, 0},
        {"help", OPTION_FLAG, &settings->help, NULL, "print this", 0, 0},
        {"version", OPTION_FLAG, &settings->version, NULL, "print the version", 0, 0},
    };
    const size_t num_common = sizeof common / sizeof common[0];

    if (num_rows + PROGRAM_OS_ROWS + num_common > MAX_OPTIONS)
        return 0;
    memcpy(all, rows, num_rows * sizeof *rows);
    num_rows += program_os_rows(settings, all + num_rows);
    memcpy(all + num_rows, common, sizeof common);
    return num_rows + num_common;
}

enum program_verdict program_parse(struct program *program, const struct option_row *rows,
                                   size_t num_rows, int argc, char **argv)
{
    struct program_settings *settings = &program->settings;
    bool capabilities = asks_for_capabilities(argc, argv);
    struct option_row all[MAX_OPTIONS];
    const size_t num = gather_rows(all, settings, &capabilities, rows, num_rows);

    /* Whatever else is given with it shall be ignored, right or wrong. */
    if (!capabilities && options_parse(program->info->name, all, num, argc, argv))
        return PROGRAM_WRONG;
    if (capabilities) {
        puts(program->info->capabilities);
        return PROGRAM_DONE;
    }
    if (settings->help) {
        print_help(program->info, all, num);
        return PROGRAM_DONE;
    }
    if (settings->version) {
        printf("%s %s\n", program->info->name, VHU_VERSION_STRING);
        return PROGRAM_DONE;
    }
    program->one_peer = settings->once;
    return check_settings(program);
}

/* --- the end --- */

static void release_loop(struct program *program)
{
    for (size_t i = 0; i < PROGRAM_SIGNALS; ++i)
        uv_close((uv_handle_t *)&program->signals[i], NULL);
    uv_close((uv_handle_t *)&program->deadline, NULL);
}

static void on_device_closed(void *arg)
{
    release_loop(arg);
}

/* A disk that hangs keeps its threads in the kernel: there is no clean end. */
static void on_deadline(uv_timer_t *timer)
{
    const struct program *program = timer->data;

    program_say(program, "requests have not finished within %d ms: giving up on them", STOP_MS);
    _Exit(EXIT_FAILURE);
}

static void stop(struct program *program)
{
    if (program->stopping)
        return;
    program->stopping = true;
    uv_timer_start(&program->deadline, on_deadline, STOP_MS, 0);
    vhu_uv_device_close(program->device, on_device_closed, program);
    program->device = NULL;
}

static void on_signal(uv_signal_t *signal_handle, int number)
{
    struct program *program = signal_handle->data;

    if (program->settings.verbose)
        program_say(program, "signal %d: ending", number);
    stop(program);
}

/* --- hooks of the library --- */

/* From any thread. A peer can cause lines without end: of those after the first only some show. */
static void on_log(void *arg, vhu_log_level level, const char *text)
{
    static const char *const names[] = {"error", "warning", "debug"};
    struct program *program = arg;
    unsigned n;

    if (level == VHU_LOG_DEBUG && !program->settings.verbose)
        return;
    n = atomic_fetch_add_explicit(&program->num_logged, 1, memory_order_relaxed);
    if (n < MAX_LOGGED || n % MAX_LOGGED == 0 || program->settings.verbose)
        program_say(program, "%s: %s%s", names[level], text,
                    n == MAX_LOGGED ? " (from now on one line in 100)" : "");
}

static void on_connected(void *self)
{
    const struct program *program = self;

    if (program->settings.verbose)
        program_say(program, "a front-end has connected");
}

static void on_disconnected(void *self, int error)
{
    struct program *program = self;

    if (program->settings.verbose)
        program_say(program, "the front-end has gone: %s", vhu_strerror(error));
    if (program->one_peer)
        stop(program);
}

/* --- the beginning --- */

static int prepare_loop(struct program *program)
{
    int rc = uv_loop_init(&program->loop);

    if (rc)
        goto fail;
    uv_timer_init(&program->loop, &program->deadline);
    program->deadline.data = program;
    for (size_t i = 0; i < PROGRAM_SIGNALS; ++i) {
        uv_signal_init(&program->loop, &program->signals[i]);
        program->signals[i].data = program;
    }
    for (size_t i = 0; i < PROGRAM_SIGNALS && program_os_signals[i] && !rc; ++i)
        rc = uv_signal_start(&program->signals[i], on_signal, program_os_signals[i]);
    if (!rc)
        return 0;
    release_loop(program);
    uv_run(&program->loop, UV_RUN_DEFAULT);
    uv_loop_close(&program->loop);
fail:
    program_say(program, "no event loop: %s", uv_strerror(rc));
    return -1;
}

static int start_device(struct program *program, const struct program_device *device)
{
    const struct program_settings *settings = &program->settings;
    const vhu_device_options options = {.size = sizeof options,
                                        .features = device->features | VHU_QUEUE_FEATURES,
                                        .num_rings = settings->num_queues,
                                        .withhold = settings->withhold,
                                        .sealed_memory = settings->sealed_memory,
                                        .inband = settings->inband,
                                        .serve_disabled = device->serve_disabled,
                                        .postcopy = settings->postcopy,
                                        .log = on_log,
                                        .log_arg = program};
    const vhu_uv_device_options uv_options = {.size = sizeof uv_options,
                                              .num_workers = settings->workers,
                                              .spin_us = settings->spin_us,
                                              .worker_start = device->worker_start,
                                              .worker_stop = device->worker_stop,
                                              .connected = on_connected,
                                              .disconnected = on_disconnected};
    const int rc = vhu_uv_device_new(&program->device, &program->loop, &options, device->ops,
                                     program, &uv_options);

    if (rc)
        program_say(program, "the device cannot start: %s", vhu_strerror(rc));
    return rc;
}

static int connect_inherited(struct program *program, const vhu_listener_options *options)
{
    vhu_handle handle = program_os_handle(program->settings.fd);
    vhu_listener *listener = NULL;
    vhu_conn *conn = NULL;
    int rc = vhu_listener_adopt(&listener, &handle, options);

    if (!rc) {
        rc = vhu_uv_device_listen(program->device, &listener);
        vhu_listener_free(listener);
    } else if (program->settings.check_peer) {
        program_say(program, "--check-peer: whoever made the connection has chosen the front-end");
        return rc;
    } else {
        rc = vhu_conn_adopt(&conn, &handle, options->connection);
        program->one_peer = true;
        if (!rc)
            rc = vhu_uv_device_connect(program->device, &conn);
        vhu_conn_free(conn);
    }
    if (rc)
        program_say(program, "--fd=%u: %s", program->settings.fd,
                    rc == VHU_EINVAL ? "neither connected nor listening" : vhu_strerror(rc));
    return rc;
}

static int become_reachable(struct program *program)
{
    const struct program_settings *settings = &program->settings;
    const vhu_pipe_options pipe = program_os_pipe(settings);
    const vhu_conn_options connection = {
        .size = sizeof connection, .log = on_log, .log_arg = program, .pipe = &pipe};
    const vhu_listener_options options = {.size = sizeof options,
                                          .flags = settings->check_peer ? VHU_CHECK_PEER : 0,
                                          .mode = settings->socket_mode,
                                          .connection = &connection};
    vhu_listener *listener = NULL;

    if (!settings->socket_path)
        return connect_inherited(program, &options);

    int rc = vhu_listener_new(&listener, settings->socket_path, &options);
    if (!rc)
        rc = vhu_uv_device_listen(program->device, &listener);
    vhu_listener_free(listener);
    if (rc)
        program_say(program, "--socket-path=%s: %s", settings->socket_path,
                    rc == VHU_EINVAL ? "no address, or too long for one" : vhu_strerror(rc));
    return rc;
}

static void print_ready(const struct program *program, const char *description)
{
    const struct program_settings *settings = &program->settings;
    char fd[24];

    snprintf(fd, sizeof fd, "fd %u", settings->fd);
    printf("%s: ready on %s (%s)\n", program->info->name,
           settings->socket_path ? settings->socket_path : fd, description);
    fflush(stdout); /* scripts wait for it */
}

int program_serve(struct program *program, const struct program_device *device, const char *format,
                  ...)
{
    char description[256];
    va_list args;
    int rc;

    va_start(args, format);
    vsnprintf(description, sizeof description, format, args);
    va_end(args);
    program_os_prepare();
    if (prepare_loop(program))
        return EXIT_FAILURE;
    rc = start_device(program, device);
    if (rc) {
        release_loop(program);
    } else {
        rc = become_reachable(program);
        if (rc)
            stop(program);
        else
            print_ready(program, description);
    }
    uv_run(&program->loop, UV_RUN_DEFAULT);
    uv_loop_close(&program->loop);
    return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}
