/* SPDX-License-Identifier: BSD-3-Clause */
#include "handshake.h"

#include <string.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/listener.h>
#include <vmm_vhost/shm.h>

#include "os.h"
#include "security.h"
#include "util.h"

enum {
    VERSION = 1,
    PROOF_SIZE = 4096,
    PROOF = 1 + VHU__FRAME_NONCE, /* what is in it: see store_proof() */
    /* Nothing else that is shared is so: no other memory of ours can be named as a proof. */
    PROOF_ACCESS = SECTION_QUERY | SECTION_MAP_READ,
    PROCESS_ACCESS = PROCESS_DUP_HANDLE | SYNCHRONIZE
};

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

/* --- proofs --- */

/* Whose it is, lest what one side has written be shown to it as the other's; and the nonce. */
static void store_proof(uint8_t *bytes, bool transfers, const uint8_t *nonce)
{
    bytes[0] = transfers ? 'T' : 'O';
    memcpy(bytes + 1, nonce, VHU__FRAME_NONCE);
}

/*
 * While it stands here it has more access than a proof: who is at the other end of another pipe of
 * this process may have chosen what is in it, and shall not name it as his.
 */
static int new_proof(const vhu__handshake *hs, vhu_handle *out)
{
    vhu_shm *shm;
    int r = vhu_shm_new(&shm, PROOF_SIZE);

    if (r < 0)
        return r;
    store_proof(vhu_shm_base(shm), hs->transfers, hs->peer_nonce);
    r = os_handle_dup(vhu_shm_handle(shm), out);
    vhu_shm_free(shm);
    return r;
}

/* In a time that tells nothing of where they differ. */
static bool same(const uint8_t *a, const uint8_t *b, size_t n)
{
    unsigned char differ = 0;

    for (size_t i = 0; i < n; i++)
        differ |= (unsigned char)(a[i] ^ b[i]);
    return differ == 0;
}

/*
 * Whatever lies behind the handle, it is copied or not: no access of ours can fault, or wait for a
 * file.
 */
static bool read_proof(uint8_t out[PROOF], HANDLE handle)
{
    vhu__handle_type type;
    vhu__section section;
    ACCESS_MASK access;
    void *view;
    BOOL read;

    if (vhu__handle_examine(handle, &type, &access) < 0 || type != VHU__HANDLE_SECTION ||
        access != PROOF_ACCESS || vhu__section_examine(handle, &section) < 0)
        return false;
    view = MapViewOfFile(handle, FILE_MAP_READ, 0, 0, PROOF);
    if (!view)
        return false;
    read = ReadProcessMemory(GetCurrentProcess(), view, out, PROOF, NULL);
    UnmapViewOfFile(view);
    return read;
}

/*
 * Memory of ours with the peer's nonce: who can give or take it has power over our process, or we
 * over his.
 */
static int send_proof(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass)
{
    const vhu__frame frame = {
        .type = VHU__FRAME_TYPE_PROOF, .owner = vhu__pass_owner(pass, true), .num_handles = 1};
    int r = vhu__pipe_writable(pipe);

    if (r < 0)
        return r;
    r = new_proof(hs, &hs->proof);
    if (r < 0)
        return r;
    r = vhu__pass_export_as(pass, hs->proof, PROOF_ACCESS, &hs->proof_value);
    if (r == 0) {
        r = send_frame(pipe, &frame, &hs->proof_value, "");
        if (r < 0)
            vhu__pass_withdraw(pass, &hs->proof_value, 1);
    }
    /* The side that transfers may have to take it back. */
    if (r < 0 || !hs->transfers)
        vhu_handle_close(&hs->proof);
    if (r == 0)
        hs->proof_due = false;
    return r;
}

/*
 * Until it has proved itself the peer may name any handle, in this process or in one that is not
 * its own. So the handle is left alone unless it is the proof.
 */
static int check_proof(const vhu__handshake *hs, const vhu__pass *pass, uint64_t value)
{
    uint8_t expected[PROOF];
    uint8_t told[PROOF];
    HANDLE handle;
    int r = vhu__pass_look(pass, value, &handle);

    if (r < 0)
        return r;
    store_proof(expected, !hs->transfers, hs->nonce);
    if (!read_proof(told, handle) || !same(told, expected, PROOF))
        r = VHU_EPERM;
    vhu_handle_close(&handle);
    if (r == 0)
        vhu__pass_take(pass, value);
    return r;
}

/* Who has not answered may never have looked at our proof. */
static void take_back_proof(const vhu__handshake *hs, const vhu__pass *pass)
{
    HANDLE handle;

    if (vhu__pass_look(pass, hs->proof_value, &handle) < 0)
        return;
    if (vhu__handle_same(handle, hs->proof))
        vhu__pass_take(pass, hs->proof_value);
    vhu_handle_close(&handle);
}

/* --- the end of it --- */

/* The peer is told why, as far as that goes. */
static int refuse(vhu__pipe *pipe, uint32_t reason, int error)
{
    const vhu__frame frame = {.type = VHU__FRAME_TYPE_BYE, .len = VHU__FRAME_NUMBER};
    uint8_t bytes[VHU__FRAME_NUMBER];

    vhu__number_store(bytes, reason);
    (void)send_frame(pipe, &frame, NULL, bytes);
    return error;
}

int vhu__handshake_refused(const uint8_t *reason)
{
    switch (vhu__number_load(reason)) {
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
static int open_process(vhu__handshake *hs, vhu__pipe *pipe, uint32_t told, vhu__pass *pass)
{
    ULONG pid;
    BOOL known;
    DWORD e;

    pass->process = hs->process;
    hs->process = NULL;
    if (pass->process)
        return 0;
    known = hs->is_server ? GetNamedPipeClientProcessId(pipe->handle, &pid)
                          : GetNamedPipeServerProcessId(pipe->handle, &pid);
    if (!known || pid != told)
        return refuse(pipe, VHU__BYE_PROOF, VHU_EPERM);
    pass->process = OpenProcess(PROCESS_ACCESS, FALSE, pid);
    if (pass->process)
        return 0;
    e = GetLastError();
    if (e == ERROR_INVALID_PARAMETER) /* nobody is it any more */
        return VHU_EDISCONNECT;
    return refuse(pipe, VHU__BYE_PERMISSION, vhu__win32_error(e));
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
    hs->proof_due = r == 0;
    return r;
}

/* --- the peer's proof --- */

static int on_proof(vhu__handshake *hs, vhu__pipe *pipe, const vhu__frame *frame,
                    const uint8_t *bytes, const vhu__pass *pass)
{
    int r;

    if (frame->num_handles != 1 || frame->owner != vhu__pass_owner(pass, false))
        return VHU_EINVALID_MESSAGE;
    r = check_proof(hs, pass, vhu__frame_load_value(bytes, 0));
    if (r == VHU_EDISCONNECT)
        return r;
    if (r < 0)
        return refuse(pipe, VHU__BYE_PROOF, VHU_EPERM);
    vhu_handle_close(&hs->proof);
    hs->state = VHU__HANDSHAKE_DONE;
    hs->proof_due = !hs->transfers;
    return 0;
}

/* --- turning --- */

/* What may come next; all else is not even waited for. */
static bool is_expected(const vhu__handshake *hs, vhu__frame_type type)
{
    switch (type) {
    case VHU__FRAME_TYPE_HELLO:
        return hs->state == VHU__HANDSHAKE_HELLO;
    case VHU__FRAME_TYPE_PROOF:
        return hs->state == VHU__HANDSHAKE_PROOF && !hs->proof_due;
    default:
        return type == VHU__FRAME_TYPE_BYE;
    }
}

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
    if (!vhu__frame_load(&frame, pipe->in + pipe->in_start) || !is_expected(hs, frame.type))
        return VHU_EINVALID_MESSAGE;
    r = vhu__pipe_fill(pipe, vhu__frame_size(&frame));
    if (r < 0)
        return r;
    bytes = pipe->in + pipe->in_start;
    content = bytes + vhu__frame_size(&frame) - frame.len;
    if (frame.type == VHU__FRAME_TYPE_BYE)
        r = vhu__handshake_refused(content);
    else if (frame.type == VHU__FRAME_TYPE_PROOF)
        r = on_proof(hs, pipe, &frame, bytes, pass);
    else if (vhu__hello_load(&hello, content, frame.len))
        r = on_hello(hs, pipe, &hello, pass);
    else
        r = VHU_EINVALID_MESSAGE;
    vhu__pipe_consume(pipe, vhu__frame_size(&frame));
    return r;
}

/* Who cannot be written to any more has gone, but may have said why. */
static int last_word(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass)
{
    int r = receive(hs, pipe, pass);

    return r == VHU_ENOSYS || r == VHU_EPERM ? r : VHU_EDISCONNECT;
}

int vhu__handshake_turn(vhu__handshake *hs, vhu__pipe *pipe, vhu__pass *pass)
{
    while (hs->state != VHU__HANDSHAKE_DONE || hs->proof_due) {
        bool sends = hs->proof_due;
        int r = sends ? send_proof(hs, pipe, pass) : receive(hs, pipe, pass);

        if (r == VHU_EDISCONNECT && sends)
            return last_word(hs, pipe, pass);
        if (r < 0)
            return r;
    }
    return 0;
}

int vhu__handshake_check_options(const vhu_pipe_options *options)
{
    if (options->transfer > VHU_TRANSFER_BY_PEER)
        return VHU_EINVAL;
    return options->peer_process == VHU_NO_HANDLE
               ? 0
               : vhu__handle_require(options->peer_process, VHU__HANDLE_PROCESS, PROCESS_ACCESS);
}

int vhu__handshake_begin(vhu__handshake *hs, vhu__pipe *pipe, bool is_server, unsigned flags,
                         const vhu_pipe_options *options)
{
    unsigned transfer = options ? options->transfer : VHU_TRANSFER_BY_CLIENT;
    int r;

    *hs = (vhu__handshake){.is_server = is_server,
                           .check_client = is_server && (flags & VHU_CHECK_PEER),
                           .caps = caps_of(transfer, is_server)};
    r = vhu__security_random(hs->nonce, sizeof(hs->nonce));
    if (r == 0 && options && options->peer_process != VHU_NO_HANDLE)
        r = os_handle_dup(options->peer_process, &hs->process);
    if (r == 0)
        r = send_hello(hs, pipe);
    if (r < 0)
        vhu__handshake_release(hs, NULL);
    return r;
}

void vhu__handshake_release(vhu__handshake *hs, const vhu__pass *pass)
{
    if (hs->proof)
        take_back_proof(hs, pass);
    vhu_handle_close(&hs->proof);
    vhu_handle_close(&hs->process);
}
