/* SPDX-License-Identifier: BSD-3-Clause */
#include "handshake.h"

#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/shm.h>

#include "os.h"
#include "security.h"
#include "util.h"

enum { VERSION = 1, PROOF_SIZE = 4096 };

/* What each choice makes of the two ends. */
static uint32_t caps_of(unsigned transfer, bool is_server)
{
    bool mine =
        transfer == VHU_TRANSFER_BY_SELF || (transfer == VHU_TRANSFER_BY_CLIENT && !is_server);

    return mine ? VHU__CAP_WILL_TRANSFER : VHU__CAP_ACCEPT_TRANSFER;
}

/* --- sending --- */

static int send_frame(vhu__pipe *pipe, const vhu__frame *frame, const uint64_t *values,
                      const void *content)
{
    size_t size = vhu__frame_size(frame);
    int r = vhu__pipe_writable(pipe);
    uint8_t *room;

    if (r < 0)
        return r;
    room = vhu__pipe_room(pipe, size);
    if (!room)
        return VHU_ENOMEM;
    memcpy(vhu__frame_store(room, frame, values), content, frame->len);
    return vhu__pipe_write(pipe, size);
}

static int send_hello(vhu__handshake *hs, vhu__pipe *pipe)
{
    const vhu__frame frame = {.type = VHU__FRAME_TYPE_HELLO, .len = VHU__FRAME_HELLO};
    vhu__hello hello = {.version_min = VERSION,
                        .version_max = VERSION,
                        .caps = hs->caps,
                        .pid = GetCurrentProcessId()};
    uint8_t bytes[VHU__FRAME_HELLO];

    memcpy(hello.nonce, hs->nonce, sizeof(hello.nonce));
    vhu__hello_store(bytes, &hello);
    return send_frame(pipe, &frame, NULL, bytes);
}

/* Memory of ours with the peer's nonce: who can give or take it has power over our process, or we
 * over his. */
static int send_proof(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass)
{
    const vhu__frame frame = {
        .type = VHU__FRAME_TYPE_PROOF, .owner = vhu__pass_owner(pass, true), .num_handles = 1};
    vhu_handle handle;
    uint64_t value;
    vhu_shm *proof;
    int r = vhu__pipe_writable(pipe);

    if (r < 0)
        return r;
    r = vhu_shm_new(&proof, PROOF_SIZE);
    if (r < 0)
        return r;
    memcpy(vhu_shm_base(proof), hs->peer_nonce, sizeof(hs->peer_nonce));
    handle = vhu_shm_handle(proof);
    r = vhu__pass_export(pass, &handle, 1, &value);
    if (r == 0) {
        r = send_frame(pipe, &frame, &value, "");
        if (r < 0)
            vhu__pass_withdraw(pass, &value, 1);
    }
    vhu_shm_free(proof);
    if (r == 0)
        hs->proof_due = false;
    return r;
}

/* The peer is told why, as far as that goes. */
static int refuse(vhu__pipe *pipe, uint32_t reason, int error)
{
    const vhu__frame frame = {.type = VHU__FRAME_TYPE_BYE, .len = VHU__FRAME_NUMBER};
    uint8_t bytes[VHU__FRAME_NUMBER];

    vhu__number_store(bytes, reason);
    (void)send_frame(pipe, &frame, NULL, bytes);
    return error;
}

static int refused(uint32_t reason)
{
    switch (reason) {
    case VHU__BYE_VERSION:
    case VHU__BYE_TRANSFER:
        return VHU_ENOSYS;
    case VHU__BYE_PERMISSION:
    case VHU__BYE_PROOF:
        return VHU_EPERM;
    default:
        return VHU_EDISCONNECT;
    }
}

/* --- the peer's hello --- */

/* The side that has offered to; the client, if both could be either. */
static int choose_side(vhu__handshake *hs, uint32_t theirs)
{
    bool mine = (hs->caps & VHU__CAP_WILL_TRANSFER) && (theirs & VHU__CAP_ACCEPT_TRANSFER);
    bool peers = (hs->caps & VHU__CAP_ACCEPT_TRANSFER) && (theirs & VHU__CAP_WILL_TRANSFER);

    if (!mine && !peers)
        return VHU_ENOSYS;
    hs->transfers = mine && !(peers && hs->is_server);
    return 0;
}

/*
 * The process that the pipe reports, or that was given. It is kept, so that its PID names no other
 * one from here on; what the report is worth, the proofs show.
 */
static int open_process(vhu__handshake *hs, const vhu__pipe *pipe, uint32_t told, vhu__pass *pass)
{
    ULONG pid;
    BOOL known;

    pass->process = hs->process;
    hs->process = NULL;
    if (pass->process)
        return 0;
    known = hs->is_server ? GetNamedPipeClientProcessId(pipe->handle, &pid)
                          : GetNamedPipeServerProcessId(pipe->handle, &pid);
    if (!known || pid != told)
        return VHU_EINVAL;
    pass->process = OpenProcess(PROCESS_DUP_HANDLE | SYNCHRONIZE, FALSE, pid);
    return pass->process ? 0 : vhu__win32_error(GetLastError());
}

static int on_hello(vhu__handshake *hs, vhu__pipe *pipe, const vhu__hello *hello, vhu__pass *pass)
{
    int r;

    if (hello->version_min > VERSION || hello->version_max < VERSION)
        return refuse(pipe, VHU__BYE_VERSION, VHU_ENOSYS);
    if (hs->check_client && vhu__security_check_client(pipe->handle) < 0)
        return refuse(pipe, VHU__BYE_PERMISSION, VHU_EPERM);
    if (choose_side(hs, hello->caps) < 0)
        return refuse(pipe, VHU__BYE_TRANSFER, VHU_ENOSYS);
    memcpy(hs->peer_nonce, hello->nonce, sizeof(hs->peer_nonce));
    hs->state = VHU__HANDSHAKE_PROOF;
    pass->transfers = hs->transfers;
    if (!hs->transfers)
        return 0;
    r = open_process(hs, pipe, hello->pid, pass);
    if (r == VHU_EINVAL)
        return refuse(pipe, VHU__BYE_PROOF, VHU_EPERM);
    if (r < 0)
        return refuse(pipe, VHU__BYE_PERMISSION, r);
    hs->proof_due = true;
    return 0;
}

/* --- the peer's proof --- */

/* In a time that tells nothing of where they differ. */
static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned char differ = 0;

    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

static int check_proof(const vhu__handshake *hs, const vhu__pipe *pipe, const vhu__pass *pass,
                       uint64_t value)
{
    const HANDLE mine[] = {pipe->handle, pipe->ready};
    uint8_t told[VHU__FRAME_NONCE];
    vhu_handle section;
    os_map map = {0};
    void *bytes;
    int r = vhu__pass_import(pass, &value, 1, mine, VHU__COUNT(mine), &section);

    if (r < 0)
        return r;
    r = os_map_shared(&map, section, 0, sizeof(told), &bytes);
    if (r == 0) {
        memcpy(told, bytes, sizeof(told));
        if (!same(told, hs->nonce, sizeof(told)))
            r = VHU_EPERM;
    }
    os_unmap(&map);
    vhu_handle_close(&section);
    return r;
}

static int on_proof(vhu__handshake *hs, vhu__pipe *pipe, const vhu__frame *frame, uint64_t value,
                    vhu__pass *pass)
{
    if (frame->num_handles != 1 || frame->owner != vhu__pass_owner(pass, false))
        return VHU_EINVALID_MESSAGE;
    if (check_proof(hs, pipe, pass, value) < 0)
        return refuse(pipe, VHU__BYE_PROOF, VHU_EPERM);
    hs->state = VHU__HANDSHAKE_DONE;
    hs->proof_due = !hs->transfers;
    return 0;
}

/* --- turning --- */

/* One frame of the peer's. */
static int receive(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass)
{
    const uint8_t *bytes;
    const uint8_t *content;
    vhu__frame frame;
    vhu__hello hello;
    int r = vhu__pipe_fill(pipe, VHU__FRAME_HEAD);

    if (r < 0)
        return r;
    if (!vhu__frame_load(&frame, pipe->in + pipe->in_start))
        return VHU_EINVALID_MESSAGE;
    r = vhu__pipe_fill(pipe, vhu__frame_size(&frame));
    if (r < 0)
        return r;
    bytes = pipe->in + pipe->in_start;
    content = bytes + vhu__frame_size(&frame) - frame.len;
    if (frame.type == VHU__FRAME_TYPE_BYE)
        r = refused(vhu__number_load(content));
    else if (hs->state == VHU__HANDSHAKE_HELLO && frame.type == VHU__FRAME_TYPE_HELLO)
        r = vhu__hello_load(&hello, content, frame.len) ? on_hello(hs, pipe, &hello, pass)
                                                        : VHU_EINVALID_MESSAGE;
    else if (hs->state == VHU__HANDSHAKE_PROOF && frame.type == VHU__FRAME_TYPE_PROOF &&
             !hs->proof_due)
        r = on_proof(hs, pipe, &frame, vhu__frame_load_value(bytes, 0), pass);
    else
        r = VHU_EINVALID_MESSAGE;
    vhu__pipe_consume(pipe, vhu__frame_size(&frame));
    return r;
}

int vhu__handshake_turn(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass)
{
    while (hs->state != VHU__HANDSHAKE_DONE || hs->proof_due) {
        int r = hs->proof_due ? send_proof(hs, pipe, pass) : receive(hs, pipe, pass);

        if (r < 0)
            return r;
    }
    return 0;
}

int vhu__handshake_begin(vhu__handshake *hs, vhu__pipe *pipe, bool is_server, unsigned flags,
                         const vhu_pipe_options *options)
{
    unsigned transfer = options ? options->transfer : VHU_TRANSFER_BY_CLIENT;
    int r;

    if (transfer > VHU_TRANSFER_BY_PEER)
        return VHU_EINVAL;
    *hs = (vhu__handshake){.is_server = is_server,
                           .check_client = is_server && (flags & VHU_CHECK_PEER),
                           .caps = caps_of(transfer, is_server)};
    r = vhu__security_random(hs->nonce, sizeof(hs->nonce));
    if (r == 0 && options && options->peer_process != VHU_NO_HANDLE)
        r = os_handle_dup(options->peer_process, &hs->process);
    if (r == 0)
        r = send_hello(hs, pipe);
    if (r < 0)
        vhu__handshake_release(hs);
    return r;
}

void vhu__handshake_release(vhu__handshake *hs)
{
    vhu_handle_close(&hs->process);
}
