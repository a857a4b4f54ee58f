/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/raw_pipe.h"

#include <string.h>
#include <vmm_vhost/error.h>

#include "support/sys.h"

enum { PATIENCE_MS = 60000, MAX_WAKES = 40, QUOTA = 65536 };

const raw_role raw_roles[RAW_ROLES] = {{false, false}, {false, true}, {true, false}, {true, true}};

/* --- life --- */

static void begin(raw_pipe *raw, raw_role role)
{
    *raw = (raw_pipe){.role = role};
    for (size_t i = 0; i < sizeof(raw->nonce); i++)
        raw->nonce[i] = (uint8_t)(i * 7 + 1);
}

void raw_open(raw_pipe *raw, raw_role role, int ms)
{
    const vhu_pipe_options options = {.size = sizeof(options),
                                      .transfer = role.transfers ? VHU_TRANSFER_BY_SELF
                                                                 : VHU_TRANSFER_BY_PEER,
                                      .handshake_ms = ms};
    const DWORD overlapped = FILE_FLAG_OVERLAPPED;
    sys_address address;
    HANDLE server;
    HANDLE client;
    HANDLE *end = role.serves ? &server : &client;

    begin(raw, role);
    raw->process = GetCurrentProcess();
    sys_address_new(&address);
    server =
        CreateNamedPipeA(address.text, PIPE_ACCESS_DUPLEX | (role.serves ? overlapped : 0),
                         PIPE_TYPE_BYTE | PIPE_READMODE_BYTE | PIPE_WAIT, 1, QUOTA, QUOTA, 0, NULL);
    assert_true(server != INVALID_HANDLE_VALUE);
    client = CreateFileA(address.text, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING,
                         role.serves ? 0 : overlapped, NULL);
    assert_true(client != INVALID_HANDLE_VALUE);
    raw->pipe = role.serves ? client : server;
    assert_int_equal(vhu_stream_adopt(&raw->stream, end, &options), 0);
    assert_null(*end);
}

void raw_dial(raw_pipe *raw, raw_role role, const char *address)
{
    ULONG pid;

    begin(raw, role);
    raw->pipe = CreateFileA(address, GENERIC_READ | GENERIC_WRITE, 0, NULL, OPEN_EXISTING, 0, NULL);
    assert_true(raw->pipe != INVALID_HANDLE_VALUE);
    assert_true(GetNamedPipeServerProcessId(raw->pipe, &pid));
    raw->process = OpenProcess(PROCESS_DUP_HANDLE, FALSE, pid);
    assert_non_null(raw->process);
}

void raw_hang_up(raw_pipe *raw)
{
    vhu_handle_close(&raw->pipe);
}

void raw_close(raw_pipe *raw)
{
    raw_hang_up(raw);
    vhu_stream_free(raw->stream);
    vhu_handle_close(&raw->process);
}

/* --- the stream --- */

int raw_turn(raw_pipe *raw, size_t *num_handles)
{
    uint8_t bytes[VHU__FRAME_CONTENT];
    vhu_handle handles[VHU__FRAME_HANDLES];
    size_t n = VHU__FRAME_HANDLES;
    int r = vhu_stream_transport(raw->stream)->recv(raw->stream, bytes, sizeof(bytes), handles, &n);

    if (r < 0)
        assert_int_equal(n, 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(sys_handle_is_open(handles[i]));
        assert_false(sys_handle_is_inherited(handles[i]));
        vhu_handle_close(&handles[i]);
    }
    if (num_handles)
        *num_handles = n;
    return r;
}

int raw_end(raw_pipe *raw)
{
    const vhu_transport *transport = vhu_stream_transport(raw->stream);
    int r = 0;

    for (int wakes = 0; wakes < MAX_WAKES; wakes++) {
        r = raw_turn(raw, NULL);
        if (r < 0 && r != VHU_EAGAIN)
            break;
        transport->arm(raw->stream, VHU_WAIT_READ);
        assert_int_equal(WaitForSingleObject(transport->wait_handle(raw->stream), PATIENCE_MS), 0);
    }
    assert_int_not_equal(r, VHU_EAGAIN);
    /* It stays so, and whoever waits is told. */
    assert_int_equal(raw_turn(raw, NULL), r);
    assert_int_equal(transport->wait(raw->stream, VHU_WAIT_READ, -1), 0);
    assert_true(transport->send(raw->stream, "x", 1, NULL, 0) < 0);
    return r;
}

/* --- frames --- */

void raw_write(raw_pipe *raw, const void *bytes, size_t len)
{
    DWORD n;

    assert_true(WriteFile(raw->pipe, bytes, (DWORD)len, &n, NULL));
    assert_int_equal(n, len);
}

void raw_send(raw_pipe *raw, const raw_frame *frame)
{
    uint8_t bytes[sizeof(*frame)];
    uint8_t *content = vhu__frame_store(bytes, &frame->head, frame->values);

    memcpy(content, frame->content, frame->head.len);
    raw_write(raw, bytes, vhu__frame_size(&frame->head));
}

static bool is_here(const raw_pipe *raw)
{
    DWORD n;

    assert_true(PeekNamedPipe(raw->pipe, NULL, 0, NULL, &n, NULL));
    return n > 0;
}

static void read_some(raw_pipe *raw, void *out, size_t len)
{
    uint8_t *at = out;

    while (len > 0) {
        DWORD n;

        assert_true(ReadFile(raw->pipe, at, (DWORD)len, &n, NULL));
        at += n;
        len -= n;
    }
}

void raw_recv(raw_pipe *raw, raw_frame *frame)
{
    uint8_t head[VHU__FRAME_HEAD];

    for (int i = 0; raw->stream && !is_here(raw); i++) {
        assert_true(i < MAX_WAKES);
        assert_int_equal(raw_turn(raw, NULL), VHU_EAGAIN);
    }
    read_some(raw, head, sizeof(head));
    assert_true(vhu__frame_load(&frame->head, head));
    for (size_t i = 0; i < frame->head.num_handles; i++)
        read_some(raw, &frame->values[i], sizeof(frame->values[i]));
    assert_in_range(frame->head.len, 0, sizeof(frame->content));
    read_some(raw, frame->content, frame->head.len);
}

void raw_refusal(raw_pipe *raw, int error, uint32_t reason)
{
    raw_frame frame;

    assert_int_equal(raw_end(raw), error);
    if (reason == 0)
        return;
    do
        raw_recv(raw, &frame);
    while (frame.head.type == VHU__FRAME_TYPE_HELLO || frame.head.type == VHU__FRAME_TYPE_PROOF);
    assert_int_equal(frame.head.type, VHU__FRAME_TYPE_BYE);
    assert_int_equal(vhu__number_load(frame.content), reason);
}

raw_frame raw_hello(const raw_pipe *raw)
{
    raw_frame frame = {.head = {.type = VHU__FRAME_TYPE_HELLO, .len = VHU__FRAME_HELLO}};
    vhu__hello hello = {.version_min = 1,
                        .version_max = 1,
                        .caps =
                            raw->role.transfers ? VHU__CAP_ACCEPT_TRANSFER : VHU__CAP_WILL_TRANSFER,
                        .pid = GetCurrentProcessId()};

    memcpy(hello.nonce, raw->nonce, sizeof(hello.nonce));
    vhu__hello_store(frame.content, &hello);
    return frame;
}

static vhu__frame_owner owner(const raw_pipe *raw)
{
    return raw->role.transfers ? VHU__FRAME_OWNER_SENDER : VHU__FRAME_OWNER_RECIPIENT;
}

raw_frame raw_proof(const raw_pipe *raw, uint64_t value)
{
    return (raw_frame){
        .head = {.type = VHU__FRAME_TYPE_PROOF, .owner = owner(raw), .num_handles = 1},
        .values = {value}};
}

raw_frame raw_message(const raw_pipe *raw, const uint64_t *values, size_t n)
{
    raw_frame frame = {
        .head = {.type = VHU__FRAME_TYPE_MSG, .num_handles = (uint16_t)n, .len = 12},
    };

    if (n > 0)
        frame.head.owner = owner(raw);
    for (size_t i = 0; i < n; i++)
        frame.values[i] = values[i];
    return frame;
}

raw_frame raw_number(vhu__frame_type type, uint32_t number)
{
    raw_frame frame = {.head = {.type = type, .len = VHU__FRAME_NUMBER}};

    vhu__number_store(frame.content, number);
    return frame;
}

/* --- handles --- */

uint64_t raw_give(const raw_pipe *raw, HANDLE handle)
{
    HANDLE copy = handle;

    if (!raw->role.transfers)
        assert_true(DuplicateHandle(GetCurrentProcess(), handle, raw->process, &copy, 0, FALSE,
                                    DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE));
    return (uint64_t)(uintptr_t)copy;
}

HANDLE raw_take(const raw_pipe *raw, uint64_t value)
{
    HANDLE copy = (HANDLE)(uintptr_t)value;

    if (!raw->role.transfers)
        assert_true(DuplicateHandle(raw->process, (HANDLE)(uintptr_t)value, GetCurrentProcess(),
                                    &copy, 0, FALSE,
                                    DUPLICATE_SAME_ACCESS | DUPLICATE_CLOSE_SOURCE));
    return copy;
}

void raw_proof_content(const raw_pipe *raw, uint8_t content[RAW_PROOF])
{
    content[0] = raw->role.transfers ? 'O' : 'T';
    memcpy(content + 1, raw->hello.nonce, VHU__FRAME_NONCE);
}

HANDLE raw_proof_new(const uint8_t content[RAW_PROOF])
{
    HANDLE self = GetCurrentProcess();
    HANDLE section = CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, NULL);
    void *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 4096);

    assert_non_null(view);
    memcpy(view, content, RAW_PROOF);
    UnmapViewOfFile(view);
    assert_true(DuplicateHandle(self, section, self, &section, SECTION_QUERY | SECTION_MAP_READ,
                                FALSE, DUPLICATE_CLOSE_SOURCE));
    return section;
}

/* --- the beginning --- */

static void greet(raw_pipe *raw)
{
    raw_frame frame = raw_hello(raw);

    raw_send(raw, &frame);
    raw_recv(raw, &frame);
    assert_int_equal(frame.head.type, VHU__FRAME_TYPE_HELLO);
    assert_true(vhu__hello_load(&raw->hello, frame.content, frame.head.len));
}

static void take_proof(raw_pipe *raw)
{
    raw_frame frame;
    HANDLE section;
    uint8_t *view;

    raw_recv(raw, &frame);
    assert_int_equal(frame.head.type, VHU__FRAME_TYPE_PROOF);
    assert_int_equal(frame.head.owner,
                     raw->role.transfers ? VHU__FRAME_OWNER_RECIPIENT : VHU__FRAME_OWNER_SENDER);
    section = raw_take(raw, frame.values[0]);
    view = MapViewOfFile(section, FILE_MAP_READ, 0, 0, RAW_PROOF);
    assert_non_null(view);
    assert_int_equal(view[0], raw->role.transfers ? 'T' : 'O');
    assert_memory_equal(view + 1, raw->nonce, sizeof(raw->nonce));
    UnmapViewOfFile(view);
    vhu_handle_close(&section);
}

static void prove(raw_pipe *raw)
{
    uint8_t content[RAW_PROOF];
    raw_frame frame;

    if (raw->role.transfers)
        take_proof(raw);
    raw_proof_content(raw, content);
    frame = raw_proof(raw, raw_give(raw, raw_proof_new(content)));
    raw_send(raw, &frame);
}

/* The side that transfers has pulled the other's proof, and tells so. */
static void meet(raw_pipe *raw)
{
    raw_frame frame = raw_number(VHU__FRAME_TYPE_TAKEN, 1);

    if (!raw->role.transfers) {
        take_proof(raw);
        raw_send(raw, &frame);
        return;
    }
    raw_recv(raw, &frame);
    assert_int_equal(frame.head.type, VHU__FRAME_TYPE_TAKEN);
    assert_int_equal(vhu__number_load(frame.content), 1);
}

void raw_go(raw_pipe *raw, raw_stage stage)
{
    static void (*const steps[])(raw_pipe *) = {
        [RAW_GREETED] = greet, [RAW_PROVED] = prove, [RAW_MET] = meet};

    for (int s = RAW_GREETED; s <= (int)stage; s++)
        steps[s](raw);
}

void raw_drop_proof(raw_pipe *raw)
{
    raw_frame frame;
    HANDLE proof;

    if (!raw->role.transfers)
        return;
    raw_recv(raw, &frame);
    proof = raw_take(raw, frame.values[0]);
    vhu_handle_close(&proof);
}

void raw_for_roles(int transfers, raw_stage stage, void (*check)(raw_pipe *raw, const void *arg),
                   const void *arg)
{
    for (size_t i = 0; i < RAW_ROLES; i++) {
        raw_pipe raw;
        int before = leakcheck_count();

        if (transfers != RAW_BOTH && transfers != (int)raw_roles[i].transfers)
            continue;
        raw_open(&raw, raw_roles[i], 0);
        raw_go(&raw, stage);
        check(&raw, arg);
        raw_close(&raw);
        assert_int_equal(leakcheck_count(), before);
    }
}
