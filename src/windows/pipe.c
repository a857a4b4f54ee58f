/* SPDX-License-Identifier: BSD-3-Clause */
#include "pipe.h"

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/transport.h>

#include "util.h"

enum {
    FIRST_ROOM = 8192,
    /* A peer of Windows can write nothing, which is read as nothing: no end, and no loop either. */
    MAX_EMPTY = 16
};

static int last_error(void)
{
    return vhu__win32_error(GetLastError());
}

int vhu__pipe_open(vhu__pipe *pipe, HANDLE *handle)
{
    *pipe = (vhu__pipe){.in_room = FIRST_ROOM, .out_room = FIRST_ROOM};
    pipe->in = malloc(pipe->in_room);
    pipe->out = malloc(pipe->out_room);
    pipe->ready = CreateEventW(NULL, TRUE, FALSE, NULL);
    if (!pipe->in || !pipe->out || !pipe->ready) {
        vhu__pipe_close(pipe);
        return VHU_ENOMEM;
    }
    pipe->handle = *handle;
    *handle = NULL;
    return 0;
}

/* Who cannot be written to any more may have said something before. So reading is tried still. */
static int fail(vhu__pipe *pipe, int error)
{
    if (pipe->error == 0)
        pipe->error = error;
    return error;
}

/* --- reading --- */

/* Have room for `need` bytes from in_start. Not while the system has the buffer. */
static int make_room(vhu__pipe *pipe, size_t need)
{
    uint8_t *bigger;

    if (pipe->in_start > 0) {
        memmove(pipe->in, pipe->in + pipe->in_start, pipe->in_end - pipe->in_start);
        pipe->in_end -= pipe->in_start;
        pipe->in_start = 0;
    }
    if (need <= pipe->in_room)
        return 0;
    bigger = realloc(pipe->in, need);
    if (!bigger)
        return VHU_ENOMEM;
    pipe->in = bigger;
    pipe->in_room = need;
    return 0;
}

/* 0: it has ended, well or not; VHU_EAGAIN. */
static int ended(vhu__pipe *pipe, OVERLAPPED *op, bool *under_way, DWORD *bytes, int *error)
{
    *error = 0;
    *bytes = 0;
    if (!GetOverlappedResult(pipe->handle, op, bytes, FALSE)) {
        DWORD e = GetLastError();

        if (e == ERROR_IO_INCOMPLETE)
            return VHU_EAGAIN;
        /* The thread that began a read may have ended, which ends the read: the next takes over. */
        if (e != ERROR_OPERATION_ABORTED || op != &pipe->read)
            *error = vhu__win32_error(e);
    }
    *under_way = false;
    return 0;
}

/* A read is under way after 0; it may have ended already. */
static int begin_read(vhu__pipe *pipe, size_t need)
{
    int r = make_room(pipe, need);

    if (r < 0)
        return r;
    pipe->read = (OVERLAPPED){.hEvent = pipe->ready};
    if (!ReadFile(pipe->handle, pipe->in + pipe->in_end, (DWORD)(pipe->in_room - pipe->in_end),
                  NULL, &pipe->read) &&
        GetLastError() != ERROR_IO_PENDING)
        return last_error();
    pipe->reading = true;
    return 0;
}

int vhu__pipe_fill(vhu__pipe *pipe, size_t need)
{
    int empty = 0;
    DWORD n;
    int r = 0;
    int error;

    while (pipe->in_end - pipe->in_start < need) {
        if (!pipe->handle)
            return VHU_EDISCONNECT;
        if (!pipe->reading)
            r = begin_read(pipe, need);
        if (r < 0)
            return fail(pipe, r);
        /* Who cannot be written to any more may have said something before. */
        if (ended(pipe, &pipe->read, &pipe->reading, &n, &error) < 0)
            return pipe->error < 0 ? pipe->error : VHU_EAGAIN;
        if (error < 0)
            return fail(pipe, error);
        pipe->in_end += n;
        if (n == 0 && ++empty == MAX_EMPTY)
            return VHU_EAGAIN;
    }
    return 0;
}

void vhu__pipe_consume(vhu__pipe *pipe, size_t n)
{
    pipe->in_start += n;
    /* The system may be writing behind in_end. */
    if (pipe->in_start == pipe->in_end && !pipe->reading)
        pipe->in_start = pipe->in_end = 0;
}

/* --- writing --- */

int vhu__pipe_writable(vhu__pipe *pipe)
{
    DWORD n;
    int error;

    if (pipe->writing) {
        if (ended(pipe, &pipe->write, &pipe->writing, &n, &error) < 0)
            return VHU_EAGAIN;
        pipe->lost = error < 0;
        if (error < 0)
            fail(pipe, error);
    }
    return pipe->error;
}

uint8_t *vhu__pipe_room(vhu__pipe *pipe, size_t len)
{
    uint8_t *bigger;

    if (len <= pipe->out_room)
        return pipe->out;
    bigger = realloc(pipe->out, len);
    if (bigger) {
        pipe->out = bigger;
        pipe->out_room = len;
    }
    return bigger;
}

int vhu__pipe_write(vhu__pipe *pipe, size_t len)
{
    pipe->write = (OVERLAPPED){.hEvent = pipe->ready};
    if (WriteFile(pipe->handle, pipe->out, (DWORD)len, NULL, &pipe->write))
        return 0;
    if (GetLastError() != ERROR_IO_PENDING) {
        pipe->lost = true;
        return fail(pipe, last_error());
    }
    pipe->writing = true;
    return 0;
}

/* --- waiting --- */

void vhu__pipe_arm(vhu__pipe *pipe, unsigned events)
{
    bool told = pipe->error < 0 || !pipe->handle;

    /*
     * What ends from here on sets it by itself. Beginning an operation resets it, too, so whoever
     * begins one does so before this.
     */
    ResetEvent(pipe->ready);
    if ((events & VHU_WAIT_READ) && !(pipe->reading && !HasOverlappedIoCompleted(&pipe->read)))
        told = true;
    if ((events & VHU_WAIT_WRITE) && !(pipe->writing && !HasOverlappedIoCompleted(&pipe->write)))
        told = true;
    if (told)
        SetEvent(pipe->ready);
}

/* --- the end --- */

/*
 * Its event is that of others, too. GetOverlappedResult() would wait for no more than the event,
 * and give memory back to us that the system has still to write to.
 */
bool vhu__pipe_cancel(HANDLE handle, OVERLAPPED *op)
{
    DWORD n;

    CancelIoEx(handle, op);
    for (;;) {
        ResetEvent(op->hEvent);
        if (HasOverlappedIoCompleted(op))
            return GetOverlappedResult(handle, op, &n, FALSE);
        WaitForSingleObject(op->hEvent, INFINITE);
    }
}

void vhu__pipe_shut(vhu__pipe *pipe)
{
    if (pipe->handle) {
        if (pipe->writing && !vhu__pipe_cancel(pipe->handle, &pipe->write))
            pipe->lost = true;
        if (pipe->reading)
            vhu__pipe_cancel(pipe->handle, &pipe->read);
        pipe->reading = pipe->writing = false;
        /* Not DisconnectNamedPipe(), which takes away what the peer has not read yet. */
        vhu_handle_close(&pipe->handle);
    }
    if (pipe->ready)
        SetEvent(pipe->ready);
}

void vhu__pipe_close(vhu__pipe *pipe)
{
    vhu__pipe_shut(pipe);
    vhu_handle_close(&pipe->ready);
    free(pipe->in);
    free(pipe->out);
    *pipe = (vhu__pipe){0};
}
