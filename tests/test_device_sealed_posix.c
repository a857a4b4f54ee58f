/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's sealed_memory: files that others could cut short are not taken. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test_device_fixture.h"

enum { SIZE = 1 << 20 };

static const kit_options sealed = {.rings = 1, .sealed_memory = true};

static int file_of(size_t size)
{
    char name[] = "/tmp/vhu-test-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    unlink(name);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    return fd;
}

/* What shares memory by requests that are acknowledged. */
static int64_t share_table(kit *k, int fd)
{
    struct {
        uint32_t n;
        uint32_t pad;
        vhu_mem_region region;
    } table = {.n = 1, .region = {.guest_addr = 1 << 30, .size = SIZE, .user_addr = 1 << 30}};

    return frontend_request(&k->front, VHU_REQ_SET_MEM_TABLE, &table, sizeof(table), &fd, 1);
}

static int64_t share_region(kit *k, int fd)
{
    struct {
        uint64_t pad;
        vhu_mem_region region;
    } message = {.region = {.guest_addr = 1 << 30, .size = SIZE, .user_addr = 1 << 30}};

    return frontend_request(&k->front, VHU_REQ_ADD_MEM_REG, &message, sizeof(message), &fd, 1);
}

static int64_t share_area(kit *k, int fd)
{
    const vhu_inflight_area area = {.mmap_size = SIZE, .num_queues = 1, .queue_size = 16};

    return frontend_set_area(&k->front, &area, fd);
}

static int64_t share_log(kit *k, int fd)
{
    const vhu_log_area area = {.size = SIZE};

    frontend_send(&k->front, VHU_REQ_SET_LOG_BASE, 0, &area, sizeof(area), &fd, 1);
    return frontend_recv(&k->front, VHU_REQ_SET_LOG_BASE, NULL, 0);
}

static void test_files(void **state)
{
    int64_t (*const share[])(kit * k, int fd) = {share_table, share_region, share_area, share_log};

    (void)state;
    for (size_t i = 0; i < 2 * sizeof(share) / sizeof(share[0]); i++) {
        kit_options options = sealed;
        int fd = file_of(SIZE);
        kit *k;

        options.sealed_memory = i % 2;
        k = kit_new(&options);
        frontend_handshake(&k->front, FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_INFLIGHT_SHMFD) |
                                          VHU_BIT(VHU_PF_LOG_SHMFD));
        frontend_set(&k->front, VHU_REQ_SET_FEATURES, k->front.features);
        assert_int_equal(share[i / 2](k, fd) == 0, !options.sealed_memory);
        assert_int_equal(k->logged > 0, options.sealed_memory);
        assert_int_equal(strstr(k->last_log, "not sealed") != NULL, options.sealed_memory);
        /* Nothing of it was done to a file. */
        assert_int_equal(ftruncate(fd, 0), 0);
        close(fd);
        kit_free(k);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_files)};

    return cmocka_run_group_tests_name("device_sealed_posix", tests, NULL, NULL);
}
