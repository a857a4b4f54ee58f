/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on a loop whose threads are woken late: whatever can come before the wake does. */
#include "test_uv_device_fixture.h"

/* The linker has all calls of uv_async_send() lead here. */
int __wrap_uv_async_send(uv_async_t *async);
int __real_uv_async_send(uv_async_t *async);

static atomic_bool late;

int __wrap_uv_async_send(uv_async_t *async)
{
    if (atomic_load(&late))
        sys_sleep_ms(20);
    return __real_uv_async_send(async);
}

/* Workers that turn all the time see that they are to end before they are woken for it. */
static void test_end(void **state)
{
    (void)state;
    for (unsigned workers = 1; workers <= UV_KIT_WORKERS; workers++) {
        const uv_kit_options options = {.workers = workers, .rings = 4};
        uv_kit *k = uv_kit_bare(&options);

        k->ticking = true;
        assert_int_equal(uv_kit_make(k, &options), 0);
        atomic_store(&late, true);
        uv_kit_close(k);
        atomic_store(&late, false);
        uv_kit_free(k);
    }
}

/* The same with rings that start, stop and die. */
static void test_life(void **state)
{
    const uv_kit_options options = {.workers = 2, .rings = 2};
    uv_kit *k = uv_kit_bare(&options);

    (void)state;
    k->ticking = true;
    assert_int_equal(uv_kit_make(k, &options), 0);
    atomic_store(&late, true);
    for (unsigned i = 1; i <= 3; i++) {
        uv_kit_pair(k, 2);
        frontend_start(&k->front);
        uv_kit_requests(k, i % 2, 3);
        frontend_close(&k->front);
        uv_kit_until(k, k->disconnected == i);
    }
    uv_kit_close(k);
    uv_kit_free(k);
    atomic_store(&late, false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_end),
        leakcheck_test(test_life),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
