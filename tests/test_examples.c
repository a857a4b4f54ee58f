/* SPDX-License-Identifier: BSD-3-Clause */
/* The examples are run: the back-ends by the VMM's kit, the VMM against disks of others. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <vmm_vhost/vmm_vhost.h>

#include "blk_driver.h"
#include "support/leakcheck.h"

extern char **environ;

enum { MAX_ARGS = 8, TRIES = 3000, PAUSE_US = 20000, DISK = 1 << 20 };

static char folder[] = "/tmp/test_examples.XXXXXX";

/* --- programs --- */

/* In the folder, `output` as its stdout. 0: there is no such program. */
static pid_t spawn(const char *const *args, int output)
{
    char *argv[MAX_ARGS + 1] = {NULL};
    posix_spawn_file_actions_t actions;
    pid_t pid;
    int r;

    for (int i = 0; args[i]; i++)
        argv[i] = strdup(args[i]);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    if (output >= 0)
        posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
    r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 0; argv[i]; i++)
        free(argv[i]);
    if (r == ENOENT)
        return 0;
    assert_int_equal(r, 0);
    return pid;
}

static int reap(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

/* Run to the end, with what it prints. */
static int run(const char *const *args, char *text, size_t size)
{
    size_t len = 0;
    ssize_t n;
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid = spawn(args, ends[1]);
    assert_true(pid > 0);
    close(ends[1]);
    while (len + 1 < size && (n = read(ends[0], text + len, size - 1 - len)) > 0)
        len += (size_t)n;
    text[len] = '\0';
    close(ends[0]);
    return reap(pid);
}

static void in_folder(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", folder, name);
}

/* Programs take a while until they listen. */
static void connect_to(vhu_remote *remote)
{
    char address[64];
    int r = VHU_ENOENT;

    in_folder(address, sizeof(address), "s");
    for (int i = 0; i < TRIES && (r == VHU_ENOENT || r == VHU_ECONNREFUSED); i++) {
        r = vhu_remote_connect(remote, address);
        if (r < 0)
            usleep(PAUSE_US);
    }
    assert_int_equal(r, 0);
}

static void wait_until_it_listens(void)
{
    const vhu_remote_options options = {.size = sizeof(options), .num_rings = 1};
    vhu_remote *remote;

    assert_int_equal(vhu_remote_new(&remote, &options), 0);
    connect_to(remote);
    vhu_remote_free(remote);
}

static void remove_socket(void)
{
    char path[64];

    in_folder(path, sizeof(path), "s");
    unlink(path);
}

/* --- entropy --- */

static void read_entropy(vhu_remote *remote, vhu_driver_ring *ring, uint64_t addr)
{
    static const uint8_t zeroes[64];
    vhu_event *call = vhu_remote_event(remote, 0, VHU_VRING_CALL);
    const vhu_guest_buf buf = {addr, sizeof(zeroes)};
    uint8_t *bytes = vhu_memory_at(vhu_remote_memory(remote), addr, sizeof(zeroes));
    vhu_driver_used used;

    memset(bytes, 0, sizeof(zeroes));
    assert_int_equal(vhu_driver_ring_add(ring, &buf, 0, 1, NULL), 0);
    if (vhu_driver_ring_publish(ring))
        vhu_event_signal(vhu_remote_event(remote, 0, VHU_VRING_KICK));
    while (!vhu_driver_ring_enable_calls(ring)) {
        assert_int_equal(vhu_event_wait(call, 60000), 0);
        vhu_event_clear(call);
    }
    assert_int_equal(vhu_driver_ring_collect(ring, &used, 1), 1);
    assert_int_equal(used.len, sizeof(zeroes));
    assert_memory_not_equal(bytes, zeroes, sizeof(zeroes));
}

static void use_entropy_device(void)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = 1, .features = VHU_DRIVER_FEATURES};
    vhu_driver_ring_config config = {.size = sizeof(config), .layout.num = 8};
    vhu_mem_region region = {.guest_addr = 4096, .size = 65536};
    vhu_driver_ring *ring;
    vhu_remote *remote;
    vhu_shm *memory;
    uint64_t end;

    assert_int_equal(vhu_remote_new(&remote, &options), 0);
    assert_int_equal(vhu_shm_new(&memory, region.size), 0);
    region.user_addr = (uintptr_t)vhu_shm_base(memory);
    connect_to(remote);
    assert_int_equal(vhu_remote_add_memory(remote, &region, vhu_shm_handle(memory)), 0);
    end = vhu_driver_ring_place(&config, region.guest_addr);
    config.memory = vhu_remote_memory(remote);
    config.features = vhu_remote_features(remote);
    assert_int_equal(vhu_driver_ring_new(&ring, &config), 0);
    assert_int_equal(vhu_remote_set_ring(remote, 0, vhu_driver_ring_layout(ring), 0), 0);
    assert_int_equal(vhu_remote_start(remote), 0);
    for (int i = 0; i < 100; i++)
        read_entropy(remote, ring, end);
    assert_int_equal(vhu_remote_stop(remote), 0);
    assert_int_equal(vhu_remote_ring_base(remote, 0), 100);
    vhu_remote_free(remote);
    vhu_driver_ring_free(ring);
    vhu_shm_free(memory);
}

static void test_minimal_backend(void **state)
{
    const char *const args[] = {MINIMAL_BACKEND, "s", NULL};
    pid_t pid;

    (void)state;
    remove_socket();
    pid = spawn(args, -1);
    use_entropy_device();
    assert_int_equal(reap(pid), 0);
}

static void test_uv_backend(void **state)
{
    const char *const args[] = {UV_BACKEND, "s", NULL};
    pid_t pid;

    (void)state;
    remove_socket();
    pid = spawn(args, -1);
    for (int i = 0; i < 3; i++)
        use_entropy_device();
    kill(pid, SIGTERM);
    assert_int_equal(reap(pid), 0);
}

/* --- disks --- */

static const char *const ours[] = {BLK_PROGRAM, "--socket-path=s", "--blk-file=disk", NULL};
static const char *const qemus[] = {
    "qemu-storage-daemon",
    "--blockdev",
    "driver=file,node-name=f,filename=disk",
    "--export",
    "type=vhost-user-blk,id=e,node-name=f,addr.type=unix,addr.path=s,writable=on",
    NULL};

static const char *const *const disks[] = {ours, qemus};

static uint8_t byte_of_disk(size_t i)
{
    return (uint8_t)(i * 131 + i / 512);
}

static int open_disk(int flags)
{
    char path[64];
    int fd;

    in_folder(path, sizeof(path), "disk");
    fd = open(path, flags | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    return fd;
}

static void make_disk(void)
{
    static uint8_t bytes[DISK];
    int fd = open_disk(O_RDWR | O_CREAT | O_TRUNC);

    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = byte_of_disk(i);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    close(fd);
}

/* It listens; or skipped, since it is not installed. */
static pid_t start_disk(const char *const *args)
{
    pid_t pid;

    remove_socket();
    make_disk();
    pid = spawn(args, -1);
    if (pid == 0)
        print_message("SKIPPED: %s is not installed\n", args[0]);
    else
        wait_until_it_listens();
    return pid;
}

static void test_minimal_vmm(void **state)
{
    static const char *const just_read[] = {MINIMAL_VMM, "s", NULL};
    static const char *const and_write[] = {MINIMAL_VMM, "s", "7", NULL};
    char expected[64], text[8192];

    (void)state;
    snprintf(expected, sizeof(expected), "2048 sectors, the first one:\n000: %02x %02x %02x ",
             byte_of_disk(0), byte_of_disk(1), byte_of_disk(2));
    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        pid_t pid = start_disk(disks[i]);
        uint8_t byte;
        int fd;

        if (pid == 0)
            continue;
        assert_int_equal(run(just_read, text, sizeof(text)), 0);
        assert_true(strncmp(text, expected, strlen(expected)) == 0);
        assert_null(strstr(text, "written"));
        assert_int_equal(run(and_write, text, sizeof(text)), 0);
        assert_non_null(strstr(text, "\nsector 7 written and read back\n"));
        fd = open_disk(O_RDONLY);
        assert_int_equal(pread(fd, &byte, 1, 7 * 512 + 1), 1);
        assert_int_equal(byte, 14);
        assert_int_equal(pread(fd, &byte, 1, 8 * 512), 1);
        assert_int_equal(byte, byte_of_disk(8 * 512));
        close(fd);
        kill(pid, SIGTERM);
        assert_int_equal(reap(pid), 0);
    }
}

static void test_minimal_vmm_without_disk(void **state)
{
    static const char *const args[] = {MINIMAL_VMM, "nowhere", NULL};
    char text[256];

    (void)state;
    assert_int_equal(run(args, text, sizeof(text)), 1);
    assert_string_equal(text, "");
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
    connect_to(d->remote);
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
    assert_int_equal(blk_driver_discard(d->driver, 120, 8), 0);
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
    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        pid_t pid = start_disk(disks[i]);
        disk d;

        if (pid == 0)
            continue;
        disk_open(&d);
        check_many_at_once(&d, 500);
        check_one_at_a_time(&d);
        disk_close(&d);
        kill(pid, SIGTERM);
        assert_int_equal(reap(pid), 0);
    }
}

/* Killed with requests out, and another one in its place, twice. */
static void test_driver_reconnects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(disks) / sizeof(disks[0]); i++) {
        pid_t pid = start_disk(disks[i]);
        disk d;

        if (pid == 0)
            continue;
        disk_open(&d);
        for (int k = 0; k < 3; k++) {
            uint32_t next = 0, done = 0;

            submit_reads(&d, &next, 16);
            kill(pid, SIGKILL);
            reap(pid);
            /* What it has done before that is no business of the next one. */
            while (blk_driver_wait(d.driver, 0) == 0)
                done += reap_reads(&d);
            assert_false(vhu_remote_is_connected(d.remote));
            remove_socket();
            assert_int_equal(blk_driver_replay(d.driver), 0);
            pid = spawn(disks[i], -1);
            connect_to(d.remote);
            while (done < 16)
                done += reap_reads(&d);
            check_many_at_once(&d, 50);
        }
        disk_close(&d);
        kill(pid, SIGTERM);
        assert_int_equal(reap(pid), 0);
    }
}

/* --- the folder --- */

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    char path[64];

    (void)state;
    remove_socket();
    in_folder(path, sizeof(path), "disk");
    unlink(path);
    return rmdir(folder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_minimal_backend), leakcheck_test(test_uv_backend),
        leakcheck_test(test_minimal_vmm),     leakcheck_test(test_minimal_vmm_without_disk),
        leakcheck_test(test_driver),          leakcheck_test(test_driver_reconnects),
    };

    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
