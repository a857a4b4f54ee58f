/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-trace: shows what a front-end and a back-end say to each other. */
#include "options.h"
#include "proxy.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/version.h>

enum { COLOR_AUTO, COLOR_ALWAYS, COLOR_NEVER };
/* How long what a command left behind may take to be passed on when it has ended. */
enum { DRAIN_MS = 1000, STOP_MS = 5000 };

static const char name[] = "vhost-user-trace";

/* The user's word to end, and the end of a terminal or console. */
static const int signal_numbers[] = {SIGTERM, SIGINT, SIGHUP};
enum { NUM_SIGNALS = sizeof signal_numbers / sizeof signal_numbers[0] };

struct settings {
    struct trace_options trace;
    const char *listen;
    const char *connect;
    char **command; /* NULL: none */
    const char *output;
    const char *device;
    unsigned color;
    unsigned wait; /* seconds */
    bool no_color;
    bool no_summary;
    bool summary_only;
    bool help;
    bool version;
};

struct program {
    struct settings settings;
    uv_loop_t loop;
    uv_signal_t signals[NUM_SIGNALS];
    uv_timer_t timer;
    uv_prepare_t flusher; /* lines are written when there is nothing else to do */
    struct trace trace;
    struct proxy proxy;
    uv_process_t command;
    bool command_runs;
    bool stopping;
    bool output_lost;
    int code;
};

static void say(const char *format, ...) TOOL_PRINTF(1, 2);

static void say(const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    fprintf(stderr, "%s: %s\n", name, line);
}

/* --- options --- */

static const char usage[] =
    "usage: vhost-user-trace [OPTION...] LISTEN CONNECT [-- COMMAND [ARGUMENT...]]\n"
    "\n"
    "Listens at LISTEN for front-ends (such as QEMU), connects each of them with the back-end "
    "that\n"
    "listens at CONNECT, passes all messages and descriptors on unchanged, both ways and on the\n"
    "back-end's own channel, too, and prints each of them. LISTEN and CONNECT are ADDRESSes: the\n"
    "path of a socket, @NAME, or \\\\.\\pipe\\NAME on Windows. COMMAND, a front-end or a back-end, "
    "is\n"
    "started when LISTEN can be connected to; its exit code becomes this program's.\n"
    "\n"
    "  vhost-user-trace /tmp/trace.sock /tmp/blk.sock\n"
    "  vhost-user-trace /tmp/trace.sock /tmp/blk.sock -- \\\n"
    "      vhost-user-blk --blk-file=disk.img --socket-path=/tmp/blk.sock\n"
    "\n"
    "A line has the time in seconds, the connection (#1; its back channel is #1b), -> from the\n"
    "front-end or <- from the back-end, the request's name, its fields or, behind =, those of the\n"
    "reply, descriptors and what they are, and <> the time from the request to its reply. What\n"
    "breaks the specification is told in [! ].\n"
    "\n";

static int parse_options(struct settings *s, int argc, char **argv, int *first, bool print_help)
{
    const struct option_row rows[] = {
        {"json", OPTION_FLAG, &s->trace.json, NULL, "an object a line, for machines", 0, 0},
        {"output", OPTION_TEXT, &s->output, "FILE", "-o FILE: write there (standard output)", 0, 0},
        {"summary-only", OPTION_FLAG, &s->summary_only, NULL, "-c: nothing but the table", 0, 0},
        {"no-summary", OPTION_FLAG, &s->no_summary, NULL, "no table at the end", 0, 0},
        {"hex", OPTION_FLAG, &s->trace.hex, NULL, "-x: the bytes of each payload, too", 0, 0},
        {"time", OPTION_CHOICE, &s->trace.time, "start|absolute|delta",
         "time since the start, since 1970, or since the line before (start)", 0, 0},
        {"device", OPTION_TEXT, &s->device, "KIND",
         "blk, net, scsi, fs, gpu, ...: names for the device's own feature bits", 0, 0},
        {"wait", OPTION_NUMBER, &s->wait, "SECONDS",
         "how long a front-end may wait for CONNECT to appear (5)", 0, 86400},
        {"color", OPTION_CHOICE, &s->color, "auto|always|never", "colours (auto: on a terminal)", 0,
         0},
        {"no-color", OPTION_FLAG, &s->no_color, NULL, "--color=never", 0, 0},
        {"help", OPTION_FLAG, &s->help, NULL, "print this", 0, 0},
        {"version", OPTION_FLAG, &s->version, NULL, "print the version", 0, 0},
    };
    const size_t num = sizeof rows / sizeof rows[0];

    if (!print_help)
        return options_parse_operands(name, rows, num, argc, argv, first);
    printf("%s: shows what a vhost-user front-end and back-end say to each other\n\n%s", name,
           usage);
    options_help(rows, num);
    return 0;
}

/* The short names that a user of strace has in his fingers. */
static void expand_short_names(int argc, char **argv)
{
    static const struct {
        const char *word;
        const char *meaning;
    } rows[] = {{"-o", "--output"}, {"-c", "--summary-only"}, {"-x", "--hex"}, {"-h", "--help"}};
    static char words[sizeof rows / sizeof rows[0]][16];

    for (int i = 1; i < argc; ++i) {
        for (size_t k = 0; k < sizeof rows / sizeof rows[0]; ++k) {
            if (strcmp(argv[i], rows[k].word) != 0)
                continue;
            snprintf(words[k], sizeof words[k], "%s", rows[k].meaning);
            argv[i] = words[k];
        }
    }
}

static int check_settings(struct settings *s, int argc, char **argv, int first)
{
    if (argc - first != 2) {
        say(argc - first < 2 ? "LISTEN and CONNECT are needed (see --help)"
                             : "'%s': only LISTEN and CONNECT are expected (see --help)",
            argc - first < 2 ? "" : argv[first + 2]);
        return -1;
    }
    s->listen = argv[first];
    s->connect = argv[first + 1];
    if (strcmp(s->listen, s->connect) == 0) {
        say("%s: LISTEN and CONNECT are the same", s->listen);
        return -1;
    }
    if (s->device && !(s->trace.device = vhu_device_number(s->device))) {
        say("--device=%s: no such kind of device", s->device);
        return -1;
    }
    if (s->command && !s->command[0]) {
        say("a command is needed behind --");
        return -1;
    }
    s->trace.lines = !s->summary_only;
    s->trace.summary = !s->no_summary;
    return 0;
}

/* 0: run; 1: done; -1: wrong. */
static int parse(struct settings *s, int argc, char **argv)
{
    int first;
    int own = 1;

    while (own < argc && strcmp(argv[own], "--") != 0)
        ++own;
    if (own < argc) {
        s->command = argv + own + 1;
        argv[own] = NULL;
    }
    expand_short_names(own, argv);
    if (parse_options(s, own, argv, &first, false))
        return -1;
    if (s->help) {
        parse_options(s, own, argv, &first, true);
        return 1;
    }
    if (s->version) {
        printf("%s %s\n", name, VHU_VERSION_STRING);
        return 1;
    }
    return check_settings(s, own, argv, first);
}

/* --- the end --- */

static void close_all(struct program *p)
{
    if (uv_is_closing((uv_handle_t *)&p->timer))
        return;
    for (size_t i = 0; i < NUM_SIGNALS; ++i)
        uv_close((uv_handle_t *)&p->signals[i], NULL);
    uv_close((uv_handle_t *)&p->timer, NULL);
    uv_close((uv_handle_t *)&p->flusher, NULL);
}

static void on_too_long(uv_timer_t *timer)
{
    struct program *p = timer->data;

    if (p->command_runs)
        uv_process_kill(&p->command, SIGKILL);
}

static void stop(struct program *p)
{
    p->stopping = true;
    proxy_stop(&p->proxy);
    if (p->command_runs)
        uv_timer_start(&p->timer, on_too_long, STOP_MS, 0);
    else
        close_all(p);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct program *p = handle->data;

    (void)number;
    if (p->command_runs && p->stopping)
        uv_process_kill(&p->command, SIGKILL);
    else if (p->command_runs)
        sys_ask_to_end(p->command.pid);
    if (!p->stopping)
        stop(p);
}

static void on_drained(uv_timer_t *timer)
{
    stop(timer->data);
}

static void on_idle(void *arg)
{
    struct program *p = arg;

    if (!p->stopping && p->settings.command && !p->command_runs)
        stop(p);
}

static void on_command_closed(uv_handle_t *handle)
{
    struct program *p = handle->data;

    if (p->stopping)
        close_all(p);
    else if (proxy_is_idle(&p->proxy))
        stop(p);
    else
        uv_timer_start(&p->timer, on_drained, DRAIN_MS, 0);
}

static void on_command_exit(uv_process_t *process, int64_t status, int term_signal)
{
    struct program *p = process->data;

    p->command_runs = false;
    /* As a shell tells it. Who ended this program has ended the command, too. */
    if (!p->stopping)
        p->code = term_signal ? 128 + term_signal : (int)status;
    proxy_stop_listening(&p->proxy);
    uv_close((uv_handle_t *)process, on_command_closed);
}

/* --- the beginning --- */

static void on_prepare(uv_prepare_t *handle)
{
    struct program *p = handle->data;

    if (fflush(p->trace.out) == 0 || p->output_lost)
        return;
    say("cannot write: %s; the connections go on", strerror(errno));
    p->output_lost = true;
    p->trace.options.lines = false;
    p->trace.options.summary = false;
    p->code = EXIT_FAILURE;
}

static int prepare_loop(struct program *p)
{
    int rc = uv_loop_init(&p->loop);

    if (rc) {
        say("no event loop: %s", uv_strerror(rc));
        return rc;
    }
    uv_timer_init(&p->loop, &p->timer);
    p->timer.data = p;
    uv_prepare_init(&p->loop, &p->flusher);
    p->flusher.data = p;
    uv_prepare_start(&p->flusher, on_prepare);
    for (size_t i = 0; i < NUM_SIGNALS; ++i) {
        uv_signal_init(&p->loop, &p->signals[i]);
        p->signals[i].data = p;
        uv_signal_start(&p->signals[i], on_signal, signal_numbers[i]);
    }
    return 0;
}

static int start_listening(struct program *p)
{
    const struct settings *s = &p->settings;
    vhu_listener *listener = NULL;
    int rc = vhu_listener_new(&listener, s->listen, NULL);

    if (rc) {
        say("%s: %s", s->listen, vhu_strerror(rc));
        return rc;
    }
    p->proxy = (struct proxy){.loop = &p->loop,
                              .trace = &p->trace,
                              .connect = s->connect,
                              .wait_ms = s->wait * 1000,
                              .idle = on_idle,
                              .arg = p};
    rc = proxy_start(&p->proxy, &listener);
    vhu_listener_free(listener);
    if (rc)
        say("%s: %s", s->listen, vhu_strerror(rc));
    return rc;
}

static int start_command(struct program *p)
{
    uv_stdio_container_t stdio[3];
    const uv_process_options_t options = {.exit_cb = on_command_exit,
                                          .file = p->settings.command[0],
                                          .args = p->settings.command,
                                          .stdio = stdio,
                                          .stdio_count = 3};

    for (int i = 0; i < 3; ++i) {
        stdio[i].flags = UV_INHERIT_FD;
        stdio[i].data.fd = i;
    }
    p->command.data = p;
    const int rc = uv_spawn(&p->loop, &p->command, &options);
    p->command_runs = rc == 0;
    if (rc) {
        say("%s: %s", options.file, uv_strerror(rc));
        uv_close((uv_handle_t *)&p->command, NULL);
    }
    return rc;
}

static int open_output(struct program *p, FILE **out)
{
    *out = p->settings.output ? sys_create(p->settings.output) : stdout;
    if (!*out) {
        say("%s: %s", p->settings.output, strerror(errno));
        return -1;
    }
    setvbuf(*out, NULL, _IOFBF, 1 << 16);
    return 0;
}

static bool wants_color(const struct settings *s)
{
    const char *no_color = getenv("NO_COLOR");

    if (s->no_color || s->trace.json || s->color == COLOR_NEVER)
        return false;
    if (s->color == COLOR_ALWAYS)
        return true;
    return !s->output && uv_guess_handle(1) == UV_TTY && !(no_color && *no_color);
}

static int run(struct program *p)
{
    int rc = prepare_loop(p);

    if (rc)
        return EXIT_FAILURE;
    rc = start_listening(p);
    if (!rc) {
        say("listening at %s, connecting to %s", p->settings.listen, p->settings.connect);
        if (p->settings.command)
            rc = start_command(p);
    }
    if (rc)
        stop(p);
    uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_loop_close(&p->loop);
    trace_summary(&p->trace);
    on_prepare(&p->flusher);
    if (p->trace.out_of_memory)
        say("memory ran out: some replies could not be paired");
    return rc ? EXIT_FAILURE : p->code;
}

int main(int argc, char **argv)
{
    static struct program p = {.settings = {.wait = 5}};
    FILE *out;
    int code;

    switch (parse(&p.settings, argc, argv)) {
    case 0:
        break;
    case 1:
        return EXIT_SUCCESS;
    default:
        return EXIT_FAILURE;
    }
    sys_prepare();
    if (open_output(&p, &out))
        return EXIT_FAILURE;
    p.settings.trace.color = wants_color(&p.settings);
    trace_init(&p.trace, &p.settings.trace, out);
    code = run(&p);
    trace_free(&p.trace);
    if (out != stdout)
        fclose(out);
    return code;
}
