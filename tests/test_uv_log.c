/* SPDX-License-Identifier: BSD-3-Clause */
/* Logging goes on and off again and again under load, and the workers leave no write out. */
#include <string.h>
#include <vmm_vhost/shm.h>

#include "dirty_log.h"
#include "os.h"
#include "test_uv_device_fixture.h"

#define PROTOCOL (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_LOG_SHMFD))

enum { RINGS = 4, AREAS = 2, ROUNDS = 100 };

/* The front-end's side of a log. */
typedef struct area {
    vhu_shm *shm;
    vhu__dirty_log *log;
    bool dirty[RINGS]; /* the data of each ring */
} area;

static uint64_t page_of(const frontend *f, uint32_t ring)
{
    return f->rings[ring].data / VHU__LOG_PAGE * VHU__LOG_PAGE;
}

static void area_new(area *a, const frontend *f)
{
    const uint64_t end = f->memory.regions[0].guest_addr + f->memory.regions[0].size;
    const vhu_log_area where = {.size = end / VHU__LOG_PAGE / 8};
    vhu_handle handle;

    assert_int_equal(vhu_shm_new(&a->shm, where.size), 0);
    assert_int_equal(os_handle_dup(vhu_shm_handle(a->shm), &handle), 0);
    assert_int_equal(vhu__dirty_log_open(&a->log, &where, &handle), 0);
}

static void area_free(area *a)
{
    vhu__dirty_log_close(a->log);
    vhu_shm_free(a->shm);
}

static void set_area(frontend *f, const area *a)
{
    const vhu_log_area where = {.size = vhu_shm_size(a->shm)};
    const vhu_handle handle = vhu_shm_handle(a->shm);

    frontend_send(f, VHU_REQ_SET_LOG_BASE, 0, &where, sizeof(where), &handle, 1);
    assert_int_equal(frontend_recv(f, VHU_REQ_SET_LOG_BASE, NULL, 0), 0);
}

static void set_logging(frontend *f, bool on)
{
    const uint64_t features = f->features | (on ? VHU_BIT(VHU_F_LOG_ALL) : 0);

    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, features), 0);
}

static void count(void *arg, uint64_t addr, uint64_t len)
{
    *(uint64_t *)arg += len;
    (void)addr;
}

static void fetch(area *a, const frontend *f)
{
    for (uint32_t i = 0; i < RINGS; i++) {
        uint64_t dirty = 0;

        vhu__dirty_log_take(a->log, page_of(f, i), 1, count, &dirty);
        a->dirty[i] = a->dirty[i] || dirty > 0;
    }
}

static void begin(uv_kit *k)
{
    frontend *f = &k->front;

    for (uint32_t i = 0; i < RINGS; i++)
        f->rings[i].data = (f->rings[i].data + VHU__LOG_PAGE - 1) / VHU__LOG_PAGE * VHU__LOG_PAGE;
    frontend_handshake(f, PROTOCOL);
    frontend_share(f, 1);
    for (uint32_t i = 0; i < RINGS; i++)
        frontend_start_ring(f, i, 0);
}

static bool all_went_on(uv_kit *k, const unsigned *before)
{
    for (uint32_t i = 0; i < RINGS; i++) {
        if (atomic_load(&k->echo.rings[i].completed) == before[i])
            return false;
    }
    return true;
}

/* What a ring completes between the two replies is in the log; and what comes then is not. */
static void log_for_a_while(uv_kit *k, area *a)
{
    unsigned before[RINGS];

    memset(a->dirty, 0, sizeof(a->dirty));
    set_logging(&k->front, true);
    for (uint32_t i = 0; i < RINGS; i++)
        before[i] = atomic_load(&k->echo.rings[i].completed);
    while (!all_went_on(k, before)) {
        fetch(a, &k->front);
        sys_sleep_ms(1);
    }
    set_logging(&k->front, false);
    fetch(a, &k->front);
    for (uint32_t i = 0; i < RINGS; i++)
        assert_true(a->dirty[i]);
    memset(a->dirty, 0, sizeof(a->dirty));
    fetch(a, &k->front);
    for (uint32_t i = 0; i < RINGS; i++)
        assert_false(a->dirty[i]);
}

static void test_under_load(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= 3; workers++) {
        uv_kit *k = uv_kit_new(&(uv_kit_options){.workers = workers, .rings = RINGS}, 0);
        uv_driver drivers[RINGS];
        area areas[AREAS];

        begin(k);
        for (uint32_t i = 0; i < AREAS; i++)
            area_new(&areas[i], &k->front);
        for (uint32_t i = 0; i < RINGS; i++)
            uv_driver_start(&drivers[i], k, i, 0, 1 + i * 3);
        for (uint32_t round = 0; round < ROUNDS; round++) {
            set_area(&k->front, &areas[round % AREAS]);
            log_for_a_while(k, &areas[round % AREAS]);
        }
        for (uint32_t i = 0; i < RINGS; i++)
            atomic_store(&drivers[i].stop, true);
        for (uint32_t i = 0; i < RINGS; i++)
            uv_driver_join(&drivers[i]);
        uv_kit_free(k);
        for (uint32_t i = 0; i < AREAS; i++)
            area_free(&areas[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_under_load)};

    return cmocka_run_group_tests_name("uv_log", tests, test_loop_setup, NULL);
}
