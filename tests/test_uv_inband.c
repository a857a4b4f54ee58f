/* SPDX-License-Identifier: BSD-3-Clause */
/* Rings on workers whose kicks and calls are messages: none is lost, read soon or late. */
#include "test_uv_device_fixture.h"

enum { REQUESTS = 3000, UNREAD = 2000 };

#define INBAND (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS))

static uv_kit *start(uv_kit_options options)
{
    uv_kit *k;
    frontend *f;

    options.inband = true;
    k = uv_kit_new(&options, 0);
    f = &k->front;
    frontend_handshake(f, INBAND);
    frontend_share(f, 1);
    for (uint32_t i = 0; i < options.rings; i++) {
        frontend_start_ring(f, i, 0);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_CALL, i, NULL), 0);
        assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, i, NULL), 0);
    }
    return k;
}

static void submit(frontend *f, uint32_t ring, uint32_t n)
{
    frontend_submit(&f->rings[ring], n);
    if (frontend_signalled(f->rings[ring].kick))
        assert_int_equal(frontend_vring(f, VHU_REQ_VRING_KICK, ring, 0), 0);
}

/* Sleep until a call comes. */
static void await_call(uv_kit *k)
{
    uint32_t ring;
    uint32_t code;

    while ((code = frontend_recv_inband(&k->front, &ring)) == 0)
        test_loop_turn(&k->loop);
    assert_int_equal(code, VHU_BACKEND_REQ_VRING_CALL);
    assert_true(ring < k->front.num_rings);
}

/* Do one request, by looking at the ring. */
static void poll_one(uv_kit *k)
{
    frontend_ring *r = &k->front.rings[0];

    driver_ring_enable_calls(&r->driver, true);
    submit(&k->front, 0, 1);
    while (frontend_reap(r) == 0)
        uv_run(&k->loop.uv, UV_RUN_NOWAIT);
}

/* Every call is slept for, by rings that share two workers. */
static void test_traffic(void **state)
{
    static const unsigned spins[] = {0, 50};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        uv_kit *k = start((uv_kit_options){.workers = 2, .rings = 3, .spin_us = spins[i]});
        frontend *f = &k->front;
        uint64_t left = REQUESTS;

        while (left > 0) {
            bool any = false;

            for (uint32_t r = 0; r < f->num_rings; r++) {
                uint32_t done;

                if (f->rings[r].submitted - f->rings[r].reaped < 3 * r + 1)
                    submit(f, r, r + 1);
                driver_ring_enable_calls(&f->rings[r].driver, true);
                done = frontend_reap(&f->rings[r]);
                any = any || done > 0;
                left -= done < left ? done : left;
                assert_null(f->rings[r].error);
            }
            if (!any)
                await_call(k);
        }
        uv_kit_free(k);
    }
}

/* Many calls that nobody reads do not hold up the rings, and the last of them comes. */
static void test_not_read(void **state)
{
    uv_kit *k = start((uv_kit_options){.workers = 1, .rings = 1});
    frontend *f = &k->front;
    frontend_ring *r = &f->rings[0];
    uint32_t told = 0;
    uint32_t ring;

    (void)state;
    for (uint32_t i = 0; i < UNREAD; i++)
        poll_one(k);
    while (frontend_recv_inband(f, &ring) != 0)
        told++;
    assert_in_range(told, 1, UNREAD - 1);
    /* What had to wait goes when there is room. */
    await_call(k);
    driver_ring_enable_calls(&r->driver, true);
    submit(f, 0, 1);
    do
        await_call(k);
    while (frontend_reap(r) == 0);
    uv_kit_free(k);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_traffic),
        leakcheck_test(test_not_read),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
