/* SPDX-License-Identifier: BSD-3-Clause */
/* The examples are run: the back-ends by the VMM's kit, the VMM against disks of others. */
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/vmm_vhost.h>

#include "blk_driver.h"
#include "support/file.h"
#include "test_examples_fixture.h"

enum { DISK = 1 << 20 };

/* Entropy devices that serve one front-end. */
static void test_entropy_devices(void **state)
{
    static const char *const programs[] = {MINIMAL_BACKEND, CPP_BACKEND};

    (void)state;
    for (size_t i = 0; i < sizeof(programs) / sizeof(programs[0]); i++) {
        const char *const args[] = {programs[i], examples_address.text, NULL};

        examples_run_entropy(args);
    }
}

static void test_uv_backend(void **state)
{
    const char *const args[] = {UV_BACKEND, examples_address.text, NULL};
    program *p = program_start(examples_folder.path, args);

    (void)state;
    for (int i = 0; i < 3; i++)
        examples_use_entropy();
    program_stop(p, "ready on ");
    program_free(p);
}

/* --- disks --- */

static const char *const ours[] = {BLK_PROGRAM, "--blk-file=disk", "--socket-path",
                                   examples_address.text, NULL};
static char qemus_export[200];
static const char *const qemus[] = {
    "qemu-storage-daemon", "--blockdev", "driver=file,node-name=f,filename=disk", "--export",
    qemus_export,          NULL};

static const char *const example[] = {FILE_DISK, examples_address.text, "disk", NULL};

/* The example can read and write, and nothing else. */
static const char *const *const disks[] = {ours, qemus, example};
enum { NUM_DISKS = 3, NUM_WHOLE_DISKS = 2 };

static uint8_t byte_of_disk(size_t i)
{
    return (uint8_t)(i * 131 + i / 512);
}

static void make_disk(void)
{
    static uint8_t bytes[DISK];

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_of_disk(i);
    file_write(folder_at(&examples_folder, "disk").path, 0, bytes, sizeof(bytes));
}

/* NULL: it is not installed. */
static program *start_disk(const char *const *args)
{
    program *p;

    sys_address_clear(&examples_address); /* what was killed has left its socket */
    p = program_start(examples_folder.path, args);
    if (!p)
        print_message("SKIPPED: %s is not installed\n", args[0]);
    else
        examples_wait_for_listener();
    return p;
}

static void stop_disk(program *p)
{
    program_stop(p, "");
    program_free(p);
}

static void check_minimal_vmm(void)
{
    static const char *const just_read[] = {MINIMAL_VMM, examples_address.text, NULL};
    static const char *const and_write[] = {MINIMAL_VMM, examples_address.text, "7", NULL};
    folder_file disk = folder_at(&examples_folder, "disk");
    program *p = program_start(examples_folder.path, just_read);
    char expected[64];
    uint8_t byte;

    snprintf(expected, sizeof(expected), "2048 sectors, the first one:\n000: %02x %02x %02x ",
             byte_of_disk(0), byte_of_disk(1), byte_of_disk(2));
    program_expect(p, 0, "");
    assert_int_equal(strncmp(program_text(p, PROGRAM_OUT), expected, strlen(expected)), 0);
    assert_null(strstr(program_text(p, PROGRAM_OUT), "written"));
    program_free(p);
    p = program_start(examples_folder.path, and_write);
    program_expect(p, 0, "\nsector 7 written and read back\n");
    program_free(p);
    file_read(disk.path, 7 * 512 + 1, &byte, 1);
    assert_int_equal(byte, 14);
    file_read(disk.path, 8 * 512, &byte, 1);
    assert_int_equal(byte, byte_of_disk(8 * 512));
}

static void test_minimal_vmm(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_DISKS; i++) {
        program *p;

        make_disk();
        p = start_disk(disks[i]);
        if (!p)
            continue;
        check_minimal_vmm();
        stop_disk(p);
    }
}

static void test_minimal_vmm_without_disk(void **state)
{
    const char *const args[] = {MINIMAL_VMM, "nowhere", NULL};
    program *p = program_start(examples_folder.path, args);

    (void)state;
    assert_int_equal(program_end(p), 1);
    assert_string_equal(program_text(p, PROGRAM_OUT), "");
    program_free(p);
}

/* --- the driver of disks --- */

typedef struct disk {
    vhu_shm *memory;
    vhu_remote *remote;
    struct blk_driver *driver;
} disk;

static const struct blk_driver_options options_of_driver = {
    .depth = 16, .max_len = 8192, .memory = 1 << 20};

static void disk_open(disk *d)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = 1, .features = BLK_DRIVER_FEATURES};
    vhu_mem_region region = {.guest_addr = options_of_driver.memory,
                             .size = blk_driver_bytes(&options_of_driver)};

    assert_int_equal(vhu_remote_new(&d->remote, &options), 0);
    assert_int_equal(vhu_shm_new(&d->memory, region.size), 0);
    region.user_addr = (uintptr_t)vhu_shm_base(d->memory);
    examples_connect(d->remote);
    assert_int_equal(vhu_remote_add_memory(d->remote, &region, vhu_shm_handle(d->memory)), 0);
    assert_int_equal(blk_driver_new(&d->driver, d->remote, &options_of_driver), 0);
    assert_int_equal(vhu_remote_start(d->remote), 0);
}

static void disk_close(disk *d)
{
    blk_driver_free(d->driver);
    vhu_remote_free(d->remote);
    vhu_shm_free(d->memory);
}

static void check_one_at_a_time(disk *d)
{
    static uint8_t in[40 * 512];
    /* Not every system's files can have holes. */
    const bool can_discard = vhu_remote_features(d->remote) & VHU_BIT(BLK_F_DISCARD);
    uint64_t sectors;
    char id[BLK_ID_SIZE + 1];

    assert_int_equal(blk_driver_capacity(d->remote, &sectors), 0);
    assert_int_equal(sectors, DISK / 512);
    assert_int_equal(blk_driver_read(d->driver, 3, in, sizeof(in)), 0);
    for (size_t i = 0; i < sizeof(in); i++)
        assert_int_equal(in[i], byte_of_disk(3 * 512 + i));
    memset(in, 0x5a, sizeof(in));
    assert_int_equal(blk_driver_write(d->driver, 100, in, sizeof(in)), 0);
    assert_int_equal(blk_driver_flush(d->driver), 0);
    memset(in, 0, sizeof(in));
    assert_int_equal(blk_driver_read(d->driver, 100, in, sizeof(in)), 0);
    for (size_t i = 0; i < sizeof(in); i++)
        assert_int_equal(in[i], 0x5a);
    assert_int_equal(blk_driver_write_zeroes(d->driver, 104, 8), 0);
    assert_int_equal(blk_driver_discard(d->driver, 120, 8), can_discard ? 0 : VHU_EREFUSED);
    assert_int_equal(blk_driver_read(d->driver, 103, in, 10 * 512), 0);
    assert_int_equal(in[0], 0x5a);
    assert_int_equal(in[512], 0);
    assert_int_equal(in[9 * 512], 0x5a);
    assert_int_equal(blk_driver_get_id(d->driver, id), 0);
    assert_int_equal(blk_driver_read(d->driver, sectors, in, 512), VHU_EREFUSED);
    assert_non_null(strstr(blk_driver_error(d->driver), "status 1"));
    assert_int_equal(blk_driver_read(d->driver, 0, in, 100), VHU_EINVAL);
}

static void submit_reads(disk *d, uint32_t *next, uint32_t n)
{
    while (*next < n) {
        struct blk_driver_request *request = blk_driver_get(d->driver);

        if (!request)
            break;
        request->type = BLK_T_IN;
        request->sector = *next * 7 % 64;
        request->len = 1024;
        assert_int_equal(blk_driver_submit(d->driver, request), 0);
        ++*next;
    }
    blk_driver_kick(d->driver);
}

/* How many are done; all as they should be. */
static uint32_t reap_reads(disk *d)
{
    struct blk_driver_request *done[16];
    int got;

    assert_int_equal(blk_driver_wait(d->driver, 60000), 0);
    got = blk_driver_reap(d->driver, done, 16);
    assert_true(got > 0);
    for (int k = 0; k < got; k++) {
        const uint8_t *data = done[k]->data;

        assert_int_equal(done[k]->status, 0);
        for (size_t i = 0; i < done[k]->len; i++)
            assert_int_equal(data[i], byte_of_disk(done[k]->sector * 512 + i));
        blk_driver_put(d->driver, done[k]);
    }
    return (uint32_t)got;
}

static void check_many_at_once(disk *d, uint32_t n)
{
    uint32_t next = 0;

    for (uint32_t done = 0; done < n; done += reap_reads(d))
        submit_reads(d, &next, n);
}

static void test_driver(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_WHOLE_DISKS; i++) {
        program *p;
        disk d;

        make_disk();
        p = start_disk(disks[i]);
        if (!p)
            continue;
        disk_open(&d);
        check_many_at_once(&d, 500);
        check_one_at_a_time(&d);
        disk_close(&d);
        stop_disk(p);
    }
}

/* It is killed with requests out, and another one takes its place. */
static program *replace(program *p, disk *d, const char *const *args)
{
    uint32_t next = 0, done = 0;

    submit_reads(d, &next, 16);
    program_kill(p);
    program_free(p);
    /* What it has done before that is no business of the next one. */
    while (blk_driver_wait(d->driver, 0) == 0)
        done += reap_reads(d);
    assert_false(vhu_remote_is_connected(d->remote));
    sys_address_clear(&examples_address);
    assert_int_equal(blk_driver_replay(d->driver), 0);
    p = program_start(examples_folder.path, args);
    examples_connect(d->remote);
    while (done < 16)
        done += reap_reads(d);
    check_many_at_once(d, 50);
    return p;
}

static void test_driver_reconnects(void **state)
{
    (void)state;
    for (size_t i = 0; i < NUM_WHOLE_DISKS; i++) {
        program *p;
        disk d;

        make_disk();
        p = start_disk(disks[i]);
        if (!p)
            continue;
        disk_open(&d);
        for (int k = 0; k < 3; k++)
            p = replace(p, &d, disks[i]);
        disk_close(&d);
        stop_disk(p);
    }
}

/* --- the folder --- */

static int make_folder(void **state)
{
    if (examples_setup(state) != 0)
        return -1;
    snprintf(qemus_export, sizeof(qemus_export),
             "type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path=%s,writable=on",
             examples_address.text);
    return program_try(BLK_PROGRAM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_entropy_devices), leakcheck_test(test_uv_backend),
        leakcheck_test(test_minimal_vmm),     leakcheck_test(test_minimal_vmm_without_disk),
        leakcheck_test(test_driver),          leakcheck_test(test_driver_reconnects),
    };

    return cmocka_run_group_tests(tests, make_folder, examples_teardown);
}
