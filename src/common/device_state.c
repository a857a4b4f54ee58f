/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's state on its way to another process or from there, a piece at a time. */
#include <stdlib.h>

#include "device_internal.h"
#include "os.h"

/* Bytes of a piece, and pieces of one turn. */
enum { PIECE = 65536, PIECES_PER_TURN = 16 };

struct vhu__transfer {
    os_pipe *pipe;
    bool loads;
    uint64_t offset; /* of the next piece */
    size_t have;     /* of this one: bytes[done .. have) are yet to be written */
    size_t done;
    uint8_t bytes[PIECE];
};

enum { THROUGH = 1 };

/* --- a piece: 0, THROUGH at the end, or an error --- */

/* A device cannot have a piece wait. */
static int refused(int r)
{
    return r == VHU_EAGAIN || r == VHU_EPENDING || r > 0 ? VHU_EINVAL : r;
}

static int save_piece(vhu_device *device, vhu__transfer *t)
{
    int n;

    if (t->done == t->have) {
        n = device->ops.save_state(device->self, t->offset, t->bytes, sizeof(t->bytes));
        if (n < 0)
            return refused(n);
        if (n == 0) {
            n = os_pipe_flush(t->pipe);
            return n == 0 ? THROUGH : n;
        }
        if ((size_t)n > sizeof(t->bytes))
            return VHU_EINVAL;
        t->offset += (uint64_t)n;
        t->have = (size_t)n;
        t->done = 0;
    }
    n = os_pipe_write(t->pipe, t->bytes + t->done, t->have - t->done);
    if (n < 0)
        return n;
    t->done += (size_t)n;
    return 0;
}

static int load_piece(vhu_device *device, vhu__transfer *t)
{
    int n = os_pipe_read(t->pipe, t->bytes, sizeof(t->bytes));
    int r;

    if (n < 0)
        return n;
    r = refused(device->ops.load_state(device->self, t->offset, t->bytes, (size_t)n));
    t->offset += (uint64_t)n;
    return r == 0 && n == 0 ? THROUGH : r;
}

/* --- a transfer --- */

static void end(vhu_device *device, int result)
{
    vhu__transfer *t = device->transfer;

    if (!t)
        return;
    vhu__device_watch(device, VHU_DEVICE_STATE, VHU_NO_HANDLE, 0);
    os_pipe_free(t->pipe);
    device->transfer = NULL;
    device->transfer_result = result;
    if (result < 0)
        vhu__device_log(device, VHU_LOG_WARNING, "the state was not %s: %s",
                        t->loads ? "loaded" : "saved", vhu_strerror(result));
    free(t);
}

static int watch(vhu_device *device, vhu__transfer *t)
{
    return vhu__device_watch(device, VHU_DEVICE_STATE, os_pipe_wait_handle(t->pipe),
                             t->loads ? VHU_WAIT_READ : VHU_WAIT_WRITE);
}

/* VHU_EAGAIN if the pipe is not ready; else it has ended, or goes on in the next turn. */
static int turn(vhu_device *device)
{
    vhu__transfer *t = device->transfer;
    int r = 0;

    for (int i = 0; r == 0 && i < PIECES_PER_TURN; i++)
        r = t->loads ? load_piece(device, t) : save_piece(device, t);
    if (r == 0 || r == VHU_EAGAIN) {
        int status = watch(device, t);

        if (status < 0)
            end(device, status);
    } else {
        end(device, r == THROUGH ? 0 : r);
    }
    return r;
}

/*
 * A front-end that asks has done its part: what it has written can be read to the end, and it has
 * read all. So there is nothing to wait for, and nobody can be made to wait.
 */
static int conclude(vhu_device *device)
{
    if (device->transfer && turn(device) == VHU_EAGAIN)
        end(device, VHU_ESTATE);
    return device->transfer ? VHU_EPENDING : device->transfer_result;
}

void vhu__device_state_settle(vhu_device *device)
{
    int r;

    if (!device->checking) {
        if (device->transfer)
            turn(device);
        return;
    }
    r = conclude(device);
    if (r == VHU_EPENDING)
        return;
    device->checking = false;
    vhu_backend_server_complete(device->server, r);
}

void vhu__device_state_forget(vhu_device *device)
{
    end(device, VHU_EDISCONNECT);
    device->checking = false;
    device->transfer_result = VHU_ESTATE;
}

/* --- vhu_backend_ops --- */

int vhu__device_set_state_fd(void *self, const vhu_device_state *state, vhu_handle *handle,
                             vhu_handle *reply)
{
    vhu_device *device = self;
    vhu__transfer *t;
    int r;

    (void)reply;
    if (!vhu__device_all_parked(device, 0, device->options.num_rings))
        return VHU_ESTATE;
    t = malloc(sizeof(*t));
    if (!t)
        return VHU_ENOMEM;
    t->loads = state->direction == VHU_STATE_LOAD;
    t->offset = 0;
    t->have = t->done = 0;
    r = os_pipe_adopt(&t->pipe, handle, t->loads ? VHU_WAIT_READ : VHU_WAIT_WRITE);
    if (r < 0) {
        free(t);
        return r;
    }
    /* The one before, which the front-end has given up. */
    end(device, VHU_EDISCONNECT);
    device->transfer = t;
    r = watch(device, t);
    if (r < 0)
        end(device, r);
    return r;
}

int vhu__device_check_state(void *self)
{
    vhu_device *device = self;
    int r = conclude(device);

    device->checking = r == VHU_EPENDING;
    return r;
}
