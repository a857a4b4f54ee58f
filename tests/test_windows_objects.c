/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: what handles may be used for, and which objects are taken. */
#include <vmm_vhost/error.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/memory.h>
#include <vmm_vhost/shm.h>

#include "os.h"
#include "support/leakcheck.h"
#include "support/sys.h"
#include "util.h"
#include "win32.h"

enum { SHM_ACCESS = SECTION_MAP_READ | SECTION_MAP_WRITE | SECTION_QUERY };

/* --- errors --- */

/* No error becomes success, or something to be tried again that should not be. */
static void test_errors(void **state)
{
    (void)state;
    for (DWORD error = 0; error < 2000; error++) {
        int code = vhu__win32_error(error);

        assert_in_range(-code, 1, 20);
        if (error != ERROR_IO_PENDING && error != ERROR_IO_INCOMPLETE)
            assert_int_not_equal(code, VHU_EAGAIN);
        assert_int_not_equal(code, VHU_EPENDING);
    }
    assert_int_equal(vhu__win32_error(ERROR_BROKEN_PIPE), VHU_EDISCONNECT);
    assert_int_equal(vhu__win32_error(ERROR_COMMITMENT_LIMIT), VHU_ENOMEM);
    assert_int_equal(vhu__win32_error(ERROR_PRINTER_NOT_FOUND), VHU_EOS);
}

/* --- handles --- */

static ACCESS_MASK access_of(HANDLE handle)
{
    vhu__handle_type type;
    ACCESS_MASK access = 0;

    assert_int_equal(vhu__handle_examine(handle, &type, &access), 0);
    return access;
}

static HANDLE new_file(void)
{
    wchar_t folder[MAX_PATH], path[MAX_PATH];

    GetTempPathW(MAX_PATH, folder);
    assert_true(GetTempFileNameW(folder, L"vhu", 0, path));
    return CreateFileW(path, GENERIC_READ | GENERIC_WRITE, 0, NULL, CREATE_ALWAYS,
                       FILE_FLAG_DELETE_ON_CLOSE, NULL);
}

static HANDLE new_process_handle(void)
{
    return OpenProcess(PROCESS_DUP_HANDLE, FALSE, GetCurrentProcessId());
}

static HANDLE new_event(void)
{
    return CreateEventW(NULL, FALSE, FALSE, NULL);
}

static HANDLE new_section(void)
{
    return CreateFileMappingW(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, 4096, NULL);
}

static HANDLE new_mutex(void)
{
    return CreateMutexW(NULL, FALSE, NULL);
}

static const struct {
    HANDLE (*make)(void);
    vhu__handle_type type;
} objects[] = {
    {new_event, VHU__HANDLE_EVENT}, {new_section, VHU__HANDLE_SECTION},
    {new_file, VHU__HANDLE_FILE},   {new_process_handle, VHU__HANDLE_PROCESS},
    {new_mutex, VHU__HANDLE_OTHER},
};

/* The process, its thread, its tokens. */
static HANDLE pseudo_handle(intptr_t number)
{
    return (HANDLE)-number;
}

static void test_examine(void **state)
{
    vhu__handle_type type;
    ACCESS_MASK access;

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(objects); i++) {
        HANDLE handle = objects[i].make();

        assert_int_equal(vhu__handle_examine(handle, &type, &access), 0);
        assert_int_equal(type, objects[i].type);
        assert_int_not_equal(access, 0);
        vhu_handle_close(&handle);
    }
    for (intptr_t i = 0; i <= 6; i++)
        assert_int_equal(vhu__handle_examine(pseudo_handle(i), &type, &access), VHU_EINVAL);
}

static void test_dup(void **state)
{
    vhu_handle event = new_event(), copy = VHU_NO_HANDLE;

    (void)state;
    assert_true(SetHandleInformation(event, HANDLE_FLAG_INHERIT, HANDLE_FLAG_INHERIT));
    assert_int_equal(os_handle_dup(event, &copy), 0);
    assert_int_equal(access_of(copy), access_of(event));
    assert_false(sys_handle_is_inherited(copy));
    vhu_handle_close(&copy);
    vhu_handle_close(&event);
    for (intptr_t i = 0; i <= 6; i++)
        assert_int_equal(os_handle_dup(pseudo_handle(i), &copy), VHU_EINVAL);
    assert_null(copy);
}

static void test_close_keeps_the_error(void **state)
{
    vhu_handle event = new_event(), none = VHU_NO_HANDLE, self = GetCurrentProcess();
    const vhu_handle closed = event;

    (void)state;
    SetLastError(ERROR_BROKEN_PIPE);
    vhu_handle_close(&event);
    vhu_handle_close(&none);
    vhu_handle_close(&self);
    assert_int_equal(GetLastError(), ERROR_BROKEN_PIPE);
    assert_null(event);
    assert_false(sys_handle_is_open(closed));
    /* One that is closed already is the worst of them. */
    event = closed;
    SetLastError(ERROR_BROKEN_PIPE);
    vhu_handle_close(&event);
    assert_int_equal(GetLastError(), ERROR_BROKEN_PIPE);
}

/* --- access --- */

/* What a peer gets cannot be made more of than it is. */
static void check_access(vhu_handle *handle, ACCESS_MASK access)
{
    static const ACCESS_MASK more[] = {EVENT_ALL_ACCESS,    EVENT_MODIFY_STATE, SYNCHRONIZE,
                                       SECTION_MAP_EXECUTE, SECTION_ALL_ACCESS, GENERIC_ALL,
                                       READ_CONTROL,        WRITE_DAC};
    HANDLE self = GetCurrentProcess(), grown = NULL;

    assert_int_equal(access_of(*handle), access);
    assert_false(sys_handle_is_inherited(*handle));
    for (size_t i = 0; i < VHU__COUNT(more); i++) {
        bool standard = (more[i] & STANDARD_RIGHTS_ALL) == more[i];

        /* Wine gives an owner these, whatever the descriptor says. */
        if ((more[i] & access) == more[i] || (standard && sys_is_wine()))
            continue;
        assert_false(DuplicateHandle(self, *handle, self, &grown, more[i], FALSE, 0));
        assert_int_equal(GetLastError(), ERROR_ACCESS_DENIED);
    }
    vhu_handle_close(handle);
}

static void test_access(void **state)
{
    vhu_handle handle = VHU_NO_HANDLE;
    vhu_event *event = NULL;
    vhu_shm *shm = NULL;

    (void)state;
    assert_int_equal(vhu_event_new(&event), 0);
    assert_int_equal(vhu_event_dup_signal(event, &handle), 0);
    check_access(&handle, EVENT_MODIFY_STATE);
    assert_int_equal(vhu_event_dup_wait(event, &handle), 0);
    check_access(&handle, SYNCHRONIZE);
    vhu_event_free(event);
    assert_int_equal(vhu_shm_new(&shm, 4096), 0);
    assert_int_equal(os_handle_dup(vhu_shm_handle(shm), &handle), 0);
    check_access(&handle, SHM_ACCESS);
    vhu_shm_free(shm);
}

/* --- received handles --- */

static HANDLE reduced(HANDLE handle, ACCESS_MASK access)
{
    HANDLE self = GetCurrentProcess(), out = NULL;

    assert_true(DuplicateHandle(self, handle, self, &out, access, TRUE, DUPLICATE_CLOSE_SOURCE));
    return out;
}

static void test_adopt(void **state)
{
    int (*const adopts[])(vhu_event **, vhu_handle *) = {vhu_event_adopt_wait,
                                                         vhu_event_adopt_signal};
    const ACCESS_MASK needed[] = {SYNCHRONIZE, EVENT_MODIFY_STATE};

    (void)state;
    for (size_t a = 0; a < 2; a++) {
        vhu_event *event = NULL;
        vhu_handle handle;

        for (size_t i = 1; i < VHU__COUNT(objects); i++) {
            handle = objects[i].make();
            assert_int_equal(adopts[a](&event, &handle), VHU_EINVAL);
            assert_non_null(handle);
            vhu_handle_close(&handle);
        }
        for (intptr_t i = 1; i <= 6; i++) {
            handle = pseudo_handle(i);
            assert_int_equal(adopts[a](&event, &handle), VHU_EINVAL);
        }
        handle = reduced(new_event(), EVENT_ALL_ACCESS & ~needed[a]);
        assert_int_equal(adopts[a](&event, &handle), VHU_EINVAL);
        vhu_handle_close(&handle);
        assert_null(event);

        handle = reduced(new_event(), needed[a]);
        const vhu_handle taken = handle;
        assert_true(sys_handle_is_inherited(taken));
        assert_int_equal(adopts[a](&event, &handle), 0);
        assert_false(sys_handle_is_inherited(taken));
        vhu_event_free(event);
    }
}

/* --- mapping --- */

static void refuse_map(HANDLE handle, uint64_t offset, uint64_t size, int error)
{
    os_map map = {0};
    void *pointer = NULL;

    assert_int_equal(os_map_shared(&map, handle, offset, size, &pointer), error);
    assert_null(map.base);
    assert_null(pointer);
    vhu_handle_close(&handle);
}

static HANDLE section_of(HANDLE file, DWORD protect, DWORD size)
{
    HANDLE section = CreateFileMappingW(file, NULL, protect, 0, size, NULL);

    assert_non_null(section);
    return section;
}

static HANDLE file_section(void)
{
    HANDLE file = new_file();
    HANDLE section = section_of(file, PAGE_READWRITE, 4096);

    CloseHandle(file);
    return section;
}

static HANDLE image_section(void)
{
    wchar_t path[MAX_PATH];
    HANDLE file, section;

    assert_int_not_equal(GetModuleFileNameW(NULL, path, MAX_PATH), 0);
    file = CreateFileW(path, GENERIC_READ | GENERIC_EXECUTE, FILE_SHARE_READ, NULL, OPEN_EXISTING,
                       0, NULL);
    section = section_of(file, PAGE_READONLY | SEC_IMAGE, 0);
    CloseHandle(file);
    return section;
}

static void test_map_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(objects); i++) {
        if (objects[i].type != VHU__HANDLE_SECTION)
            refuse_map(objects[i].make(), 0, 4096, VHU_EINVAL);
    }
    for (intptr_t i = 0; i <= 6; i++)
        refuse_map(pseudo_handle(i), 0, 4096, VHU_EINVAL);
    refuse_map(file_section(), 0, 4096, VHU_EINVAL);
    refuse_map(reduced(image_section(), SHM_ACCESS), 0, 4096, VHU_EINVAL);
    refuse_map(section_of(INVALID_HANDLE_VALUE, PAGE_READWRITE | SEC_COMMIT | SEC_NOCACHE, 4096), 0,
               4096, VHU_EINVAL);
    /* Nothing but all that is needed. */
    for (ACCESS_MASK bit = 1; bit <= SECTION_ALL_ACCESS; bit <<= 1) {
        if (bit & SHM_ACCESS)
            refuse_map(reduced(new_section(), SECTION_ALL_ACCESS & ~bit), 0, 4096, VHU_EPERM);
    }
    /* Smaller than it was said to be. */
    refuse_map(new_section(), 0, 4097, VHU_EOVERFLOW);
    refuse_map(new_section(), 1, 4096, VHU_EOVERFLOW);
    refuse_map(new_section(), 4096, 1, VHU_EOVERFLOW);
    refuse_map(new_section(), UINT64_MAX, 1, VHU_EOVERFLOW);
    refuse_map(new_section(), 1, UINT64_MAX, VHU_EOVERFLOW);
    refuse_map(new_section(), UINT64_C(1) << 32, 4096, VHU_EOVERFLOW);
    refuse_map(new_section(), 0, 0, VHU_EINVAL);
}

/* Views begin at multiples of 64 KiB; what is asked for need not. */
static void test_map_offsets(void **state)
{
    enum { SIZE = 0x40000 };
    static const uint64_t offsets[] = {0, 8, 0x1000, 0xfff8, 0x10000, 0x10008, SIZE - 8};
    vhu_shm *shm = NULL;
    uint8_t *base;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, SIZE), 0);
    base = vhu_shm_base(shm);
    for (size_t i = 0; i < VHU__COUNT(offsets); i++) {
        os_map map = {0};
        void *pointer = NULL;

        assert_int_equal(
            os_map_shared(&map, vhu_shm_handle(shm), offsets[i], SIZE - offsets[i], &pointer), 0);
        base[offsets[i]] = (uint8_t)(i + 1);
        base[SIZE - 1] = (uint8_t)(i + 100);
        assert_int_equal(*(uint8_t *)pointer, i + 1);
        assert_int_equal(((uint8_t *)pointer)[SIZE - offsets[i] - 1], i + 100);
        os_unmap(&map);
        assert_null(map.base);
    }
    vhu_shm_free(shm);
}

/* Memory that its maker has but reserved is all there when it was mapped. */
static void test_map_reserved(void **state)
{
    enum { SIZE = 0x100000, OFFSET = 0x2345 };
    HANDLE section = section_of(INVALID_HANDLE_VALUE, PAGE_READWRITE | SEC_RESERVE, SIZE);
    MEMORY_BASIC_INFORMATION info;
    os_map map = {0};
    void *pointer = NULL;

    (void)state;
    assert_int_equal(os_map_shared(&map, section, OFFSET, SIZE - OFFSET, &pointer), 0);
    CloseHandle(section);
    assert_int_equal(VirtualQuery(map.base, &info, sizeof(info)), sizeof(info));
    assert_int_equal(info.State, MEM_COMMIT);
    assert_int_equal(info.RegionSize, SIZE);
    for (size_t at = 0; at < SIZE - OFFSET; at += 0x800) {
        assert_int_equal(((uint8_t *)pointer)[at], 0);
        ((uint8_t *)pointer)[at] = 1;
    }
    os_unmap(&map);
    os_unmap(&map);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_errors),       leakcheck_test(test_examine),
        leakcheck_test(test_dup),          leakcheck_test(test_close_keeps_the_error),
        leakcheck_test(test_access),       leakcheck_test(test_adopt),
        leakcheck_test(test_map_refused),  leakcheck_test(test_map_offsets),
        leakcheck_test(test_map_reserved),
    };

    return cmocka_run_group_tests_name("windows_objects", tests, NULL, NULL);
}
