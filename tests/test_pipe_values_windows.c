/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: values that are no handles, or not the ones that they are said to be. */
#include <string.h>
#include <vmm_vhost/error.h>

#include "pipe_stream.h"
#include "support/raw_pipe.h"
#include "support/sys.h"
#include "util.h"

/* --- values --- */

/* What no process may name: none, of the wrong form, too long, and what nobody has. */
static const uint64_t never[] = {0,    1,          2,           3,          6,
                                 0x41, 0x80000000, 0x100000040, UINT64_MAX, 0x7ffffffc};

static void refuse_proof(raw_pipe *raw, uint64_t value)
{
    raw_frame frame = raw_proof(raw, value);

    raw_send(raw, &frame);
    raw_refusal(raw, VHU_EPERM, VHU__BYE_PROOF);
}

static void refuse_values(raw_pipe *raw, const uint64_t *values, size_t n)
{
    raw_frame frame = raw_message(raw, values, n);

    raw_send(raw, &frame);
    assert_int_equal(raw_end(raw), VHU_EINVALID_MESSAGE);
}

static void check_proof_value(raw_pipe *raw, const void *arg)
{
    raw_drop_proof(raw);
    refuse_proof(raw, *(const uint64_t *)arg);
}

static void check_message_value(raw_pipe *raw, const void *arg)
{
    refuse_values(raw, arg, 1);
}

static void refuse_everywhere(uint64_t value)
{
    raw_for_roles(RAW_BOTH, RAW_GREETED, check_proof_value, &value);
    raw_for_roles(RAW_BOTH, RAW_MET, check_message_value, &value);
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(never); i++)
        refuse_everywhere(never[i]);
    /* What stands for the caller: its process, its thread, its tokens; and cut to 32 bits. */
    for (uint32_t i = 1; i <= 12; i++) {
        refuse_everywhere(UINT64_MAX - i + 1);
        refuse_everywhere(UINT32_MAX - i + 1);
    }
}

/* Handles that the stream itself has; it goes on having them. */
static void check_own_handles(raw_pipe *raw, const void *arg)
{
    const HANDLE own[] = {raw->stream->pipe.handle, raw->stream->pipe.ready};
    const HANDLE handle = own[*(const int *)arg];

    if (raw->stream->open)
        refuse_values(raw, &(uint64_t){(uintptr_t)handle}, 1);
    else
        refuse_proof(raw, (uintptr_t)handle);
    assert_true(sys_handle_is_open(handle));
    assert_true(raw->stream->pipe.handle == own[0] && raw->stream->pipe.ready == own[1]);
}

static void test_own_handles(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_own_handles, &i);
        raw_for_roles(RAW_OTHER_SIDE, RAW_MET, check_own_handles, &i);
    }
}

/* Handles of this process, which nobody has given: before it was proved nothing happens to them. */
static void check_other_handles(raw_pipe *raw, const void *arg)
{
    const HANDLE handle = *(const HANDLE *)arg;

    refuse_proof(raw, (uintptr_t)handle);
    assert_true(sys_handle_is_open(handle));
    assert_true(sys_handle_is_inherited(handle));
}

static void check_values_twice(raw_pipe *raw, const void *arg)
{
    const HANDLE event = sys_handle_new();
    uint64_t values[3] = {raw_give(raw, event), raw_give(raw, sys_handle_new())};

    (void)arg;
    values[2] = values[0];
    refuse_values(raw, values, 3);
    for (size_t i = 0; i < 2; i++) {
        HANDLE left = (HANDLE)(uintptr_t)values[i];

        assert_true(sys_handle_is_open(left));
        vhu_handle_close(&left);
    }
}

static void test_values_twice(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_MET, check_values_twice, NULL);
}

/* --- objects --- */

static HANDLE new_section(void)
{
    return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, NULL);
}

static HANDLE new_process_handle(void)
{
    return OpenProcess(PROCESS_DUP_HANDLE, FALSE, GetCurrentProcessId());
}

static HANDLE new_thread_handle(void)
{
    return OpenThread(SYNCHRONIZE, FALSE, GetCurrentThreadId());
}

static HANDLE new_token(void)
{
    HANDLE token = NULL;

    OpenProcessToken(GetCurrentProcess(), TOKEN_QUERY, &token);
    return token;
}

static HANDLE new_key(void)
{
    HKEY key = NULL;

    RegOpenKeyExW(HKEY_CURRENT_USER, L"Software", 0, KEY_READ, &key);
    return key;
}

static HANDLE (*const objects[])(void) = {sys_odd_handle_new, new_process_handle, new_thread_handle,
                                          new_token, new_key};

static void test_other_handles(void **state)
{
    HANDLE(*const own[])
    (void) = {sys_handle_new, new_section, sys_odd_handle_new, new_process_handle};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(own); i++) {
        HANDLE handle = own[i]();

        assert_true(SetHandleInformation(handle, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
        raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_other_handles, &handle);
        vhu_handle_close(&handle);
    }
}

/* One that nobody takes, among some that are fine. What was pulled of them is closed. */
static void check_object(raw_pipe *raw, const void *arg)
{
    HANDLE (*const make)(void) = *(HANDLE(*const *)(void))arg;
    HANDLE odd = make();
    uint64_t values[3];

    assert_non_null(odd);
    values[0] = raw_give(raw, sys_handle_new());
    values[1] = raw_give(raw, odd);
    values[2] = raw_give(raw, new_section());
    refuse_values(raw, values, 3);
    odd = (HANDLE)(uintptr_t)values[1];
    assert_int_equal(sys_handle_is_open(odd), !raw->role.transfers);
    if (!raw->role.transfers)
        vhu_handle_close(&odd);
    for (size_t i = 0; i < 3; i += 2)
        assert_false(sys_handle_is_open((HANDLE)(uintptr_t)values[i]));
}

static void test_objects(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(objects); i++)
        raw_for_roles(RAW_BOTH, RAW_MET, check_object, &objects[i]);
}

/* Values of the other side's process, or none at all where there have to be some. */
static void check_owner(raw_pipe *raw, const void *arg)
{
    HANDLE event = sys_handle_new();
    const uint64_t value = (uintptr_t)event;
    raw_frame frame = *(const bool *)arg ? raw_proof(raw, value) : raw_message(raw, &value, 1);

    frame.head.owner = frame.head.owner == VHU__FRAME_OWNER_SENDER ? VHU__FRAME_OWNER_RECIPIENT
                                                                   : VHU__FRAME_OWNER_SENDER;
    if (*(const bool *)arg)
        raw_drop_proof(raw);
    raw_send(raw, &frame);
    assert_int_equal(raw_end(raw), VHU_EINVALID_MESSAGE);
    assert_true(sys_handle_is_open(event));
    vhu_handle_close(&event);
}

static void check_empty_proof(raw_pipe *raw, const void *arg)
{
    raw_frame frame = {.head = {.type = VHU__FRAME_TYPE_PROOF}};

    (void)arg;
    raw_drop_proof(raw);
    raw_send(raw, &frame);
    assert_int_equal(raw_end(raw), VHU_EINVALID_MESSAGE);
}

static void test_owners(void **state)
{
    static const bool proof[] = {true, false};

    (void)state;
    raw_for_roles(RAW_BOTH, RAW_GREETED, check_owner, &proof[0]);
    raw_for_roles(RAW_BOTH, RAW_MET, check_owner, &proof[1]);
    raw_for_roles(RAW_BOTH, RAW_GREETED, check_empty_proof, NULL);
}

/* --- proofs --- */

static HANDLE with_access(HANDLE handle, ACCESS_MASK access)
{
    HANDLE self = GetCurrentProcess();

    assert_true(
        DuplicateHandle(self, handle, self, &handle, access, FALSE, DUPLICATE_CLOSE_SOURCE));
    return handle;
}

static HANDLE reserved_section(const raw_pipe *raw)
{
    (void)raw;
    return with_access(CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE | SEC_RESERVE,
                                          0, 65536, NULL),
                       SECTION_QUERY | SECTION_MAP_READ);
}

static HANDLE wrong_nonce(const raw_pipe *raw)
{
    uint8_t content[RAW_PROOF];

    raw_proof_content(raw, content);
    content[RAW_PROOF - 1] ^= 1;
    return raw_proof_new(content);
}

/* What the stream has shown itself, or would show if it were asked the same. */
static HANDLE reflected(const raw_pipe *raw)
{
    uint8_t content[RAW_PROOF];

    raw_proof_content(raw, content);
    content[0] ^= 'T' ^ 'O';
    return raw_proof_new(content);
}

static HANDLE fill_section(HANDLE section, const raw_pipe *raw, ACCESS_MASK access)
{
    uint8_t *view = MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, 0);

    assert_non_null(view);
    raw_proof_content(raw, view);
    UnmapViewOfFile(view);
    return with_access(section, access);
}

/* All that is right but the rights: as memory that is shared has them. */
static HANDLE writable_section(const raw_pipe *raw)
{
    return fill_section(new_section(), raw, SECTION_QUERY | SECTION_MAP_READ | SECTION_MAP_WRITE);
}

/* All but that it is memory: who reads it may have to wait for whoever keeps the file. */
static HANDLE file_section(const raw_pipe *raw)
{
    wchar_t folder[MAX_PATH], path[MAX_PATH];
    HANDLE file, section;

    GetTempPathW(MAX_PATH, folder);
    assert_true(GetTempFileNameW(folder, L"vhu", 0, path));
    file = CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_FLAG_DELETE_ON_CLOSE, NULL);
    section = CreateFileMappingW(file, NULL, PAGE_READWRITE, 0, 4096, NULL);
    vhu_handle_close(&file);
    return fill_section(section, raw, SECTION_QUERY | SECTION_MAP_READ);
}

static HANDLE an_event(const raw_pipe *raw)
{
    (void)raw;
    return sys_handle_new();
}

static HANDLE a_process(const raw_pipe *raw)
{
    (void)raw;
    return new_process_handle();
}

typedef HANDLE (*make_proof)(const raw_pipe *raw);

/* What is no proof is left alone, whoever has it. */
static void check_bad_proof(raw_pipe *raw, const void *arg)
{
    HANDLE proof = (*(const make_proof *)arg)(raw);
    uint64_t value;

    assert_non_null(proof);
    raw_drop_proof(raw);
    value = raw_give(raw, proof);
    refuse_proof(raw, value);
    proof = (HANDLE)(uintptr_t)value;
    assert_true(sys_handle_is_open(proof));
    vhu_handle_close(&proof);
}

static void test_bad_proofs(void **state)
{
    static const make_proof rows[] = {reserved_section, wrong_nonce, reflected, writable_section,
                                      file_section,     an_event,    a_process};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++)
        raw_for_roles(RAW_BOTH, RAW_GREETED, check_bad_proof, &rows[i]);
}

/* A nonce is good for one connection. */
static void check_earlier_proof(raw_pipe *raw, const void *arg)
{
    raw_pipe later;
    uint8_t content[RAW_PROOF];
    HANDLE proof;

    (void)arg;
    raw_open(&later, raw->role, 0);
    raw_go(&later, RAW_GREETED);
    raw_drop_proof(&later);
    raw_proof_content(raw, content);
    proof = raw_proof_new(content);
    refuse_proof(&later, (uintptr_t)proof);
    vhu_handle_close(&proof);
    raw_close(&later);
}

static void test_earlier_proof(void **state)
{
    (void)state;
    raw_for_roles(RAW_BOTH, RAW_MET, check_earlier_proof, NULL);
}

/*
 * One peer at two pipes, of which each transfers at one end. What is made for the one, by a nonce
 * of the peer's choice, would do at the other.
 */
static void check_proof_for_another(raw_pipe *raw, const void *arg)
{
    raw_pipe other;

    (void)arg;
    raw_open(&other, (raw_role){.transfers = true}, 0);
    memcpy(other.nonce, raw->hello.nonce, sizeof(other.nonce));
    raw_go(&other, RAW_GREETED);
    raw_drop_proof(&other);
    refuse_proof(raw, (uintptr_t)other.stream->handshake.proof);
    raw_close(&other);
}

static void test_proof_for_another(void **state)
{
    (void)state;
    raw_for_roles(RAW_OTHER_SIDE, RAW_GREETED, check_proof_for_another, NULL);
}

/* Who does not answer leaves the proof where it was put; it is taken back, if it is still there. */
static void check_proof_taken_back(raw_pipe *raw, const void *arg)
{
    HANDLE proof;
    raw_frame frame;

    raw_recv(raw, &frame);
    proof = (HANDLE)(uintptr_t)frame.values[0];
    assert_true(sys_handle_is_open(proof));
    if (*(const bool *)arg) {
        HANDLE event;

        vhu_handle_close(&proof);
        event = sys_handle_new();
        vhu_stream_free(raw->stream);
        raw->stream = NULL;
        assert_true(sys_handle_is_open(event));
        vhu_handle_close(&event);
    } else {
        vhu_stream_free(raw->stream);
        raw->stream = NULL;
        assert_false(sys_handle_is_open(proof));
    }
}

static void test_proof_taken_back(void **state)
{
    static const bool closes[] = {false, true};

    (void)state;
    for (size_t i = 0; i < 2; i++)
        raw_for_roles(RAW_TRANSFERRER, RAW_GREETED, check_proof_taken_back, &closes[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_values),
        leakcheck_test(test_own_handles),
        leakcheck_test(test_values_twice),
        leakcheck_test(test_other_handles),
        leakcheck_test(test_objects),
        leakcheck_test(test_owners),
        leakcheck_test(test_bad_proofs),
        leakcheck_test(test_earlier_proof),
        leakcheck_test(test_proof_for_another),
        leakcheck_test(test_proof_taken_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
