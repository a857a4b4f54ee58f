/* SPDX-License-Identifier: BSD-3-Clause */
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/listener.h>

#include "os.h"
#include "pipe.h"
#include "pipe_stream.h"
#include "security.h"
#include "util.h"

enum {
    /* Who comes while none of them is free is told so, and has to come again. */
    BACKLOG = 4,
    /* Clients that come and go in one call of accept. */
    MAX_GONE = 64
};

/* A server's end that waits for a client, or has one that is not accepted yet. */
typedef struct instance {
    HANDLE pipe;
    OVERLAPPED connect;
    bool pending;
} instance;

struct os_listener {
    wchar_t name[VHU__PIPE_NAME_MAX + 1];
    unsigned flags;
    SECURITY_ATTRIBUTES attributes;
    vhu_pipe_options pipe; /* for each stream; a duplicate of the process */
    HANDLE ready;          /* manual-reset: somebody has come */
    instance instances[BACKLOG];
};

/* --- instances --- */

/* Somebody may be there at once, or have gone again already. */
static int begin_connect(os_listener *listener, instance *i)
{
    for (int gone = 0; gone < MAX_GONE; gone++) {
        DWORD e;

        i->connect = (OVERLAPPED){.hEvent = listener->ready};
        i->pending = false;
        if (ConnectNamedPipe(i->pipe, &i->connect))
            return 0;
        e = GetLastError();
        if (e == ERROR_IO_PENDING)
            i->pending = true;
        if (e == ERROR_IO_PENDING || e == ERROR_PIPE_CONNECTED)
            return 0;
        if (e != ERROR_NO_DATA)
            return vhu__win32_error(e);
        DisconnectNamedPipe(i->pipe);
    }
    return VHU_EAGAIN;
}

static int open_instance(os_listener *listener, instance *i, bool first)
{
    int r = vhu__pipe_create(&i->pipe, listener->name, first, PIPE_UNLIMITED_INSTANCES,
                             &listener->attributes);

    if (r < 0)
        return r;
    r = begin_connect(listener, i);
    if (r < 0)
        vhu_handle_close(&i->pipe);
    return r;
}

static void close_instance(instance *i)
{
    if (!i->pipe)
        return;
    if (i->pending)
        vhu__pipe_cancel(i->pipe, &i->connect);
    vhu_handle_close(&i->pipe);
}

/* Whether a client is there: true also for one whose coming has failed. */
static bool has_client(const instance *i)
{
    return i->pipe && (!i->pending || HasOverlappedIoCompleted(&i->connect));
}

/* Tell of those who are there; beginning to wait for one has made the event forget the others. */
static void arm(os_listener *listener)
{
    ResetEvent(listener->ready);
    for (size_t i = 0; i < BACKLOG; i++) {
        if (has_client(&listener->instances[i]))
            SetEvent(listener->ready);
    }
}

/* --- life --- */

/*
 * Wine lets anybody add an instance to a pipe of somebody else, and other systems do if they may;
 * so it is looked first whether there is one. It is not connected to.
 */
static bool is_in_use(const wchar_t *name)
{
    return WaitNamedPipeW(name, 1) || GetLastError() == ERROR_SEM_TIMEOUT;
}

static int load_options(os_listener *listener, const vhu_pipe_options *pipe)
{
    vhu_handle given;
    int r;

    if (!pipe)
        return 0;
    if (!vhu__copy_sized(&listener->pipe, sizeof(listener->pipe), pipe))
        return VHU_EINVAL;
    r = vhu__handshake_check_options(&listener->pipe);
    given = listener->pipe.peer_process;
    listener->pipe.peer_process = VHU_NO_HANDLE;
    if (r < 0 || given == VHU_NO_HANDLE)
        return r;
    return os_handle_dup(given, &listener->pipe.peer_process);
}

static int prepare(os_listener *listener, const char *address, const vhu_pipe_options *pipe)
{
    int r = vhu__pipe_name(listener->name, address);

    if (r == 0)
        r = load_options(listener, pipe);
    if (r == 0)
        r = vhu__security_attributes(&listener->attributes, listener->pipe.security);
    if (r < 0)
        return r;
    listener->pipe.security = NULL; /* the caller's */
    listener->pipe.owner = NULL;
    listener->ready = CreateEventW(NULL, TRUE, FALSE, NULL);
    return listener->ready ? 0 : VHU_ENOMEM;
}

int os_listener_new(os_listener **out, const char *address, unsigned flags, unsigned mode,
                    const vhu_pipe_options *pipe)
{
    os_listener *listener;
    int r;

    (void)mode;
    if (flags & VHU_SOCKET_SEQPACKET)
        return VHU_ENOSYS;
    listener = calloc(1, sizeof(*listener));
    if (!listener)
        return VHU_ENOMEM;
    listener->flags = flags;
    listener->pipe = (vhu_pipe_options){.size = sizeof(listener->pipe)};
    r = prepare(listener, address, pipe);
    if (r == 0 && is_in_use(listener->name))
        r = VHU_EADDRINUSE;
    for (size_t i = 0; i < BACKLOG && r == 0; i++)
        r = open_instance(listener, &listener->instances[i], i == 0);
    if (r < 0) {
        os_listener_free(listener);
        return r;
    }
    arm(listener);
    *out = listener;
    return 0;
}

/* An end of a pipe has a name, but not the right to make another one of it. */
int os_listener_adopt(os_listener **out, vhu_handle *handle, unsigned flags,
                      const vhu_pipe_options *pipe)
{
    (void)out;
    (void)handle;
    (void)flags;
    (void)pipe;
    return VHU_EINVAL;
}

void os_listener_free(os_listener *listener)
{
    if (!listener)
        return;
    for (size_t i = 0; i < BACKLOG; i++)
        close_instance(&listener->instances[i]);
    vhu_handle_close(&listener->ready);
    vhu_handle_close(&listener->pipe.peer_process);
    LocalFree(listener->attributes.lpSecurityDescriptor);
    free(listener);
}

/* --- accepting --- */

/*
 * Whether a client is there indeed. The thread that began to wait may have ended, which ends the
 * wait; who has come since is still there.
 */
static bool settle_connect(os_listener *listener, instance *i)
{
    DWORD n;

    if (!i->pending || GetOverlappedResult(i->pipe, &i->connect, &n, FALSE))
        return true;
    if (GetLastError() != ERROR_OPERATION_ABORTED)
        DisconnectNamedPipe(i->pipe);
    i->pending = false;
    if (begin_connect(listener, i) < 0) {
        close_instance(i);
        return false;
    }
    return has_client(i);
}

/*
 * Hand the client's end over. Its successor is there before, so that the name is never free for
 * somebody else to take.
 */
static int accept_from(os_listener *listener, instance *i, vhu_stream **out)
{
    instance client;
    int r;

    if (!settle_connect(listener, i))
        return VHU_EAGAIN;
    client = *i;
    i->pipe = NULL;
    r = open_instance(listener, i, false);
    if (r < 0) {
        *i = client;
        i->pending = false;
        return r;
    }
    r = vhu__stream_begin(out, &client.pipe, true, listener->flags, &listener->pipe);
    vhu_handle_close(&client.pipe);
    /* Who has gone again already was never here. */
    return r == VHU_EDISCONNECT ? VHU_EAGAIN : r;
}

int os_listener_accept(os_listener *listener, vhu_stream **out)
{
    int r = VHU_EAGAIN;

    for (size_t n = 0; n < BACKLOG && r == VHU_EAGAIN; n++) {
        instance *i = &listener->instances[n];

        if (has_client(i))
            r = accept_from(listener, i, out);
        if (!i->pipe)
            (void)open_instance(listener, i, false); /* or the next time */
    }
    arm(listener);
    return r;
}

vhu_handle os_listener_wait_handle(const os_listener *listener)
{
    return listener->ready;
}

int os_listener_wait(os_listener *listener, int timeout_ms)
{
    switch (WaitForSingleObject(listener->ready, timeout_ms < 0 ? INFINITE : (DWORD)timeout_ms)) {
    case WAIT_OBJECT_0:
        return 0;
    case WAIT_TIMEOUT:
        return VHU_ETIMEDOUT;
    default:
        return vhu__win32_error(GetLastError());
    }
}
