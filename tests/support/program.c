/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/program.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#include "support/sys.h"

enum { FIRST_ROOM = 4096, MAX_DESCRIPTORS = 32 };

struct output {
    uv_pipe_t pipe;
    char *text; /* ends in '\0' */
    size_t len;
    size_t room;
    bool ended;
};

struct program {
    uv_loop_t loop;
    uv_process_t process;
    uv_thread_t thread; /* runs the loop */
    struct output outputs[2];
    char name[64]; /* as it begins its errors with */

    uv_mutex_t mutex; /* for the texts, and for what follows */
    uv_cond_t changed;
    bool exited;
    bool ended; /* exited, and nobody can print any more */
    int code;
};

/* --- the thread --- */

static void on_alloc(uv_handle_t *handle, size_t wanted, uv_buf_t *buf)
{
    struct program *p = handle->loop->data;
    struct output *o = handle->data;
    char *grown;

    (void)wanted;
    *buf = uv_buf_init(NULL, 0);
    uv_mutex_lock(&p->mutex);
    if (o->room - o->len < FIRST_ROOM) {
        grown = realloc(o->text, o->room * 2);
        if (grown) {
            o->text = grown;
            o->room *= 2;
        }
    }
    if (o->room - o->len > 1)
        *buf = uv_buf_init(o->text + o->len, (unsigned)(o->room - o->len - 1));
    uv_mutex_unlock(&p->mutex);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct program *p = stream->loop->data;
    struct output *o = stream->data;

    if (n == 0)
        return;
    uv_mutex_lock(&p->mutex);
    for (ssize_t i = 0; i < n; i++)
        if (buf->base[i] != '\r')
            o->text[o->len++] = buf->base[i];
    o->text[o->len] = '\0';
    o->ended = n < 0;
    uv_cond_broadcast(&p->changed);
    uv_mutex_unlock(&p->mutex);
    if (n < 0)
        uv_close((uv_handle_t *)stream, NULL);
}

static void on_exit_of(uv_process_t *process, int64_t status, int term_signal)
{
    struct program *p = process->loop->data;

    uv_mutex_lock(&p->mutex);
    p->exited = true;
    p->code = term_signal ? -term_signal : (int)status;
    uv_mutex_unlock(&p->mutex);
    uv_close((uv_handle_t *)process, NULL);
}

static void collect(void *arg)
{
    struct program *p = arg;

    uv_run(&p->loop, UV_RUN_DEFAULT);
    uv_mutex_lock(&p->mutex);
    p->ended = true;
    uv_cond_broadcast(&p->changed);
    uv_mutex_unlock(&p->mutex);
}

/* --- start and end --- */

static void release(program *p)
{
    assert_int_equal(uv_loop_close(&p->loop), 0);
    uv_cond_destroy(&p->changed);
    uv_mutex_destroy(&p->mutex);
    for (int i = 0; i < 2; i++)
        free(p->outputs[i].text);
    free(p);
}

static program *prepare(void)
{
    program *p = calloc(1, sizeof(*p));

    assert_non_null(p);
    assert_int_equal(uv_loop_init(&p->loop), 0);
    assert_int_equal(uv_mutex_init(&p->mutex), 0);
    assert_int_equal(uv_cond_init(&p->changed), 0);
    p->loop.data = p;
    for (int i = 0; i < 2; i++) {
        struct output *o = &p->outputs[i];

        o->room = FIRST_ROOM;
        o->text = calloc(1, o->room);
        assert_non_null(o->text);
        assert_int_equal(uv_pipe_init(&p->loop, &o->pipe, 0), 0);
        o->pipe.data = o;
    }
    return p;
}

static void set_name(program *p, const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *file = slash ? slash + 1 : path;

    snprintf(p->name, sizeof(p->name), "%.*s: ", (int)strcspn(file, "."), file);
}

/* A path is this process's, whatever folder, and drive, the program runs in. */
static const char *find_file(uv_fs_t *req, const char *name)
{
    if (strchr(name, '/') && uv_fs_realpath(NULL, req, name, NULL) == 0)
        return req->ptr;
    return name;
}

static int spawn(program *p, const char *folder, const char *const *args, int fd, int as)
{
    uv_fs_t found = {0};
    uv_stdio_container_t stdio[MAX_DESCRIPTORS] = {{.flags = UV_IGNORE}};
    char *argv[PROGRAM_MAX_ARGS + 1] = {NULL};
    uv_process_options_t options = {.exit_cb = on_exit_of,
                                    .file = find_file(&found, args[0]),
                                    .args = argv,
                                    .cwd = folder,
                                    .flags = UV_PROCESS_WINDOWS_HIDE_CONSOLE,
                                    .stdio = stdio,
                                    .stdio_count = as > 2 ? as + 1 : 3};
    int r;

    assert_in_range(options.stdio_count, 3, MAX_DESCRIPTORS);
    for (int i = 0; i < 2; i++) {
        stdio[1 + i].flags = (uv_stdio_flags)(UV_CREATE_PIPE | UV_WRITABLE_PIPE);
        stdio[1 + i].data.stream = (uv_stream_t *)&p->outputs[i].pipe;
    }
    if (as > 0) {
        stdio[as].flags = UV_INHERIT_FD;
        stdio[as].data.fd = fd;
    }
    for (int i = 0; args[i]; i++) {
        assert_in_range(i, 0, PROGRAM_MAX_ARGS - 1);
        memcpy(&argv[i], &args[i], sizeof(argv[i])); /* nobody writes there */
    }
    r = uv_spawn(&p->loop, &p->process, &options);
    uv_fs_req_cleanup(&found);
    return r;
}

static void on_walk(uv_handle_t *handle, void *arg)
{
    (void)arg;
    uv_close(handle, NULL);
}

program *program_start_with(const char *folder, const char *const *args, int fd, int as)
{
    program *p = prepare();
    int r = spawn(p, folder, args, fd, as);

    if (r != 0) {
        uv_walk(&p->loop, on_walk, NULL);
        uv_run(&p->loop, UV_RUN_DEFAULT);
        release(p);
        assert_int_equal(r, UV_ENOENT);
        return NULL;
    }
    set_name(p, args[0]);
    for (int i = 0; i < 2; i++)
        assert_int_equal(uv_read_start((uv_stream_t *)&p->outputs[i].pipe, on_alloc, on_read), 0);
    assert_int_equal(uv_thread_create(&p->thread, collect, p), 0);
    return p;
}

program *program_start(const char *folder, const char *const *args)
{
    return program_start_with(folder, args, -1, 0);
}

void program_free(program *p)
{
    if (!p)
        return;
    program_kill(p);
    uv_thread_join(&p->thread);
    release(p);
}

/* --- while it runs --- */

/* With the mutex; gives it back when it is too late. */
static void wait_for_change(program *p, uint64_t deadline)
{
    uint64_t now = uv_hrtime();

    if (now < deadline && uv_cond_timedwait(&p->changed, &p->mutex, deadline - now) == 0)
        return;
    print_error("stdout:\n%.4000s\nstderr:\n%.4000s\n", p->outputs[PROGRAM_OUT].text,
                p->outputs[PROGRAM_ERR].text);
    uv_mutex_unlock(&p->mutex);
    fail_msg("the program neither goes on nor ends");
}

static uint64_t deadline_from_now(void)
{
    return uv_hrtime() + (uint64_t)PROGRAM_PATIENCE_MS * 1000000;
}

bool program_says(program *p, enum program_stream stream, const char *text)
{
    struct output *o = &p->outputs[stream];
    uint64_t deadline = deadline_from_now();
    bool said;

    uv_mutex_lock(&p->mutex);
    while (!(said = strstr(o->text, text) != NULL) && !o->ended)
        wait_for_change(p, deadline);
    uv_mutex_unlock(&p->mutex);
    return said;
}

int program_end(program *p)
{
    uint64_t deadline = deadline_from_now();

    uv_mutex_lock(&p->mutex);
    while (!p->ended)
        wait_for_change(p, deadline);
    uv_mutex_unlock(&p->mutex);
    return p->code;
}

const char *program_text(const program *p, enum program_stream stream)
{
    return p->outputs[stream].text;
}

static void expect_text(const program *p, enum program_stream stream, const char *text)
{
    if (!strstr(program_text(p, stream), text))
        fail_msg("'%s' is not in\n%.4000s", text, program_text(p, stream));
}

void program_expect(program *p, int code, const char *text)
{
    assert_int_equal(program_end(p), code);
    expect_text(p, code == 0 ? PROGRAM_OUT : PROGRAM_ERR, text);
    if (code != 0)
        expect_text(p, PROGRAM_ERR, p->name);
}

void program_stop(program *p, const char *text)
{
    program_interrupt(p);
    program_expect(p, 0, text);
}

int program_id(const program *p)
{
    return p->process.pid;
}

void program_interrupt(program *p)
{
    uv_mutex_lock(&p->mutex);
    if (!p->exited)
        sys_interrupt(p->process.pid);
    uv_mutex_unlock(&p->mutex);
}

void program_kill(program *p)
{
    uv_mutex_lock(&p->mutex);
    if (!p->exited)
        uv_process_kill(&p->process, SIGKILL);
    uv_mutex_unlock(&p->mutex);
}

int program_try(const char *path)
{
    const char *const args[] = {path, "--version", NULL};
    program *p = program_start(NULL, args);
    int code = p ? program_end(p) : -1;

    program_free(p);
    return code == 0 ? 0 : -1;
}
