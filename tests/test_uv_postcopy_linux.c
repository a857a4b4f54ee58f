/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Postcopy: a device on its workers in memory whose pages are missing, and a front-end that brings
 * them, or does not. Where the system does not let us, that is all that is tested.
 */
#include <unistd.h>

#include "os.h"
#include "support/pager.h"
#include "test_uv_device_fixture.h"

#define PROTOCOL (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_PAGEFAULT))

enum { REQUESTS = 6 };

static uv_kit *new_kit(bool postcopy)
{
    const uv_kit_options one_ring = {.workers = 1, .rings = 1};
    uv_kit *k = uv_kit_bare(&one_ring);

    k->postcopy = postcopy;
    uv_kit_listen(k, &one_ring, 0);
    return k;
}

static struct {
    uv_kit *k;
    pager pager;
} t;

/* --- the front-end's messages --- */

static int64_t ask(uint32_t request)
{
    return frontend_request(&t.k->front, request, NULL, 0, NULL, 0);
}

static int advise(void)
{
    frontend *f = &t.k->front;

    frontend_send(f, VHU_REQ_POSTCOPY_ADVISE, 0, NULL, 0, NULL, 0);
    assert_int_equal(frontend_recv(f, VHU_REQ_POSTCOPY_ADVISE, NULL, 0), 0);
    assert_int_equal(f->reply.num_handles, 1);
    f->reply.num_handles = 0;
    return f->reply.handle;
}

/* The only region, by a table or as a slot: answered with its address. */
static void share(bool by_table)
{
    struct {
        uint64_t head; /* their number, or nothing */
        vhu_mem_region region;
    } m = {.head = by_table, .region = t.k->front.memory.regions[0]}, answer;
    const uint32_t request = by_table ? VHU_REQ_SET_MEM_TABLE : VHU_REQ_ADD_MEM_REG;
    const uint64_t zero = 0;

    frontend_send(&t.k->front, request, 0, &m, sizeof(m), &t.pager.memory, 1);
    assert_int_equal(frontend_recv(&t.k->front, request, &answer, sizeof(answer)), sizeof(answer));
    t.pager.base = answer.region.user_addr;
    assert_int_equal(t.pager.base % PAGER_PAGE, 0);
    assert_int_not_equal(t.pager.base, m.region.user_addr);
    answer.region.user_addr = m.region.user_addr;
    assert_memory_equal(&answer, &m, sizeof(m));
    assert_int_equal(frontend_request(&t.k->front, request, &zero, sizeof(zero), NULL, 0), 0);
}

static void set_up(bool by_table)
{
    frontend *f;

    t.k = new_kit(true);
    f = &t.k->front;
    pager_open(&t.pager, driver_memory_handle(&f->memory), f->memory.size);
    frontend_handshake(f, PROTOCOL);
    t.pager.uffd = advise();
    assert_int_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    share(by_table);
}

static void tear_down(void)
{
    uv_kit_free(t.k);
    pager_close(&t.pager);
}

static unsigned completed(void)
{
    return atomic_load(&t.k->echo.rings[0].completed);
}

/* --- pages come --- */

/* From the first look at the ring on. */
static void test_pages_come(void **state)
{
    (void)state;
    for (int by_table = 0; by_table <= 1; by_table++) {
        set_up(by_table);
        assert_int_equal(frontend_submit(&t.k->front.rings[0], REQUESTS), REQUESTS);
        pager_hide(&t.pager, 0, t.pager.size);
        pager_start(&t.pager);
        frontend_start_ring(&t.k->front, 0, 0);
        uv_kit_until(t.k, completed() == REQUESTS);
        /* Also while it stops. */
        assert_int_equal(frontend_stop_ring(&t.k->front, 0), REQUESTS);
        pager_stop(&t.pager);
        assert_in_range(t.pager.brought, 2, t.pager.size / PAGER_PAGE);
        assert_int_equal(frontend_reap(&t.k->front.rings[0]), REQUESTS);
        assert_int_equal(ask(VHU_REQ_POSTCOPY_END), 0);
        /* Nothing is missed any more, and memory is as ever. */
        pager_hide(&t.pager, t.pager.size - PAGER_PAGE, PAGER_PAGE);
        frontend_start_ring(&t.k->front, 0, REQUESTS);
        uv_kit_requests(t.k, 0, REQUESTS);
        tear_down();
    }
}

/* A ring runs on at the end of the migration, and gets more memory. */
static void test_end_while_running(void **state)
{
    (void)state;
    set_up(false);
    frontend_start_ring(&t.k->front, 0, 0);
    uv_kit_requests(t.k, 0, REQUESTS);
    assert_int_equal(ask(VHU_REQ_POSTCOPY_END), 0);
    uv_kit_requests(t.k, 0, REQUESTS);
    assert_int_equal(frontend_region(&t.k->front, VHU_REQ_REM_MEM_REG, 0), 0);
    assert_int_equal(frontend_region(&t.k->front, VHU_REQ_ADD_MEM_REG, 0), 0);
    uv_kit_requests(t.k, 0, REQUESTS);
    tear_down();
}

/* --- nobody brings them --- */

static void wait_for_fault(void)
{
    uv_kit_until(t.k, pager_is_missed(&t.pager));
}

/* The page with what requests say, or all of it. */
static void hide_some(bool all)
{
    uint64_t data = t.k->front.rings[0].data - t.k->front.memory.regions[0].guest_addr;

    if (all)
        pager_hide(&t.pager, 0, t.pager.size);
    else
        pager_hide(&t.pager, data / PAGER_PAGE * PAGER_PAGE, PAGER_PAGE);
}

/* The worker waits for a page; `asks` requests, of which the first wants the ring parked, too. */
static void get_stuck(bool all, unsigned asks)
{
    const vhu_vring_state ring = {.index = 0};

    set_up(true);
    assert_int_equal(frontend_submit(&t.k->front.rings[0], REQUESTS), REQUESTS);
    hide_some(all);
    frontend_start_ring(&t.k->front, 0, 0);
    wait_for_fault();
    for (unsigned i = 0; i < asks; i++) {
        test_loop_pause(&t.k->loop, 10);
        frontend_send(&t.k->front, VHU_REQ_GET_VRING_BASE, 0, &ring, sizeof(ring), NULL, 0);
    }
    test_loop_pause(&t.k->loop, 10);
    assert_int_equal(t.k->disconnected, 0);
}

/*
 * Workers go on when the front-end goes, also while one of its requests waits for them, with more
 * behind it. The device gets none of the requests whose pages have not come, and the next front-end
 * has all of it.
 */
static void test_front_end_goes(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 6; way++) {
        get_stuck(way / 3, way % 3);
        frontend_call_again(&t.k->front, uv_kit_dial(t.k));
        frontend_handshake(&t.k->front, PROTOCOL);
        assert_int_equal(t.k->disconnected, 1);
        assert_int_equal(atomic_load(&t.k->echo.rings[0].taken), 0);
        tear_down();
    }
}

/* The device is told to end, with its front-end there, or with nobody left. */
static void test_device_ends(void **state)
{
    (void)state;
    for (unsigned way = 0; way < 12; way++) {
        get_stuck(way / 6, way % 3);
        if (way / 3 % 2)
            frontend_hang_up(&t.k->front);
        tear_down();
    }
}

/* A worker finds out that a ring does not start. */
static void test_bad_ring(void **state)
{
    frontend *f;
    frontend_ring *r;
    vhu_vring_addr addr = {.index = 0};

    (void)state;
    set_up(true);
    f = &t.k->front;
    r = &f->rings[0];
    assert_int_equal(frontend_submit(r, REQUESTS), REQUESTS);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, r->driver.num), 0);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, r->kick), 0);
    assert_int_equal(frontend_request(f, VHU_REQ_SET_VRING_ADDR, &addr, sizeof(addr), NULL, 0), 0);
    assert_false(frontend_signalled(r->err));
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    uv_kit_until(t.k, frontend_signalled(r->err));
    assert_int_equal(frontend_stop_ring(f, 0), 0);
    frontend_signalled(r->err);
    frontend_start_ring(f, 0, 0);
    uv_kit_until(t.k, completed() == REQUESTS);
    assert_int_equal(frontend_reap(r), REQUESTS);
    assert_false(frontend_signalled(r->err));
    tear_down();
}

/* --- out of order --- */

static void test_out_of_order(void **state)
{
    frontend *f;
    int uffd, second;

    (void)state;
    t.k = new_kit(true);
    f = &t.k->front;
    frontend_handshake(f, PROTOCOL);
    assert_int_not_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    assert_int_not_equal(ask(VHU_REQ_POSTCOPY_END), 0);
    frontend_share(f, 1);
    uffd = advise();
    /* Memory that is there already has no place in it. */
    assert_int_not_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    assert_int_equal(frontend_region(f, VHU_REQ_REM_MEM_REG, 0), 0);
    assert_int_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    frontend_call_again(f, uv_kit_dial(t.k));
    close(uffd);
    /* Nothing of that is known to the next; who is advised twice has the second. */
    frontend_handshake(f, PROTOCOL);
    assert_int_not_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    uffd = advise();
    second = advise();
    close(uffd);
    close(second);
    assert_int_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    assert_int_equal(ask(VHU_REQ_POSTCOPY_END), 0);
    assert_int_not_equal(ask(VHU_REQ_POSTCOPY_END), 0);
    frontend_share(f, 1);
    frontend_start_ring(f, 0, 0);
    uv_kit_requests(t.k, 0, REQUESTS);
    uv_kit_free(t.k);
}

/* No ring runs before the front-end knows where the memory is. */
static void test_not_mapped_yet(void **state)
{
    const uint64_t zero = 0;
    vhu_mem_region answer[2];
    frontend *f;
    int uffd;

    (void)state;
    t.k = new_kit(true);
    f = &t.k->front;
    frontend_handshake(f, PROTOCOL);
    uffd = advise();
    assert_int_equal(ask(VHU_REQ_POSTCOPY_LISTEN), 0);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    frontend_submit(&f->rings[0], REQUESTS);
    f->acks = false;
    frontend_region(f, VHU_REQ_ADD_MEM_REG, 0);
    assert_int_equal(frontend_recv(f, VHU_REQ_ADD_MEM_REG, answer, sizeof(answer)), 40);
    f->acks = true;
    frontend_start_ring(f, 0, 0);
    test_loop_pause(&t.k->loop, 10);
    assert_int_equal(atomic_load(&t.k->echo.rings[0].started), 0);
    assert_int_equal(frontend_request(f, VHU_REQ_ADD_MEM_REG, &zero, sizeof(zero), NULL, 0), 0);
    uv_kit_until(t.k, completed() == REQUESTS);
    assert_int_equal(frontend_reap(&f->rings[0]), REQUESTS);
    uv_kit_free(t.k);
    close(uffd);
}

/* --- who offers it --- */

static bool is_offered(bool postcopy)
{
    uv_kit *k = new_kit(postcopy);
    uint64_t features = frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES);
    uv_kit_free(k);
    return features & VHU_BIT(VHU_PF_PAGEFAULT);
}

static void test_offer(void **state)
{
    vhu_handle userfault;
    int r = os_userfault_new(&userfault);

    (void)state;
    vhu_handle_close(&userfault);
    assert_false(is_offered(false));
    assert_int_equal(is_offered(true), r == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_pages_come),     leakcheck_test(test_end_while_running),
        leakcheck_test(test_front_end_goes), leakcheck_test(test_device_ends),
        leakcheck_test(test_bad_ring),       leakcheck_test(test_out_of_order),
        leakcheck_test(test_not_mapped_yet),
    };
    const struct CMUnitTest everywhere[] = {leakcheck_test(test_offer)};
    vhu_handle userfault;
    int failed = 0;

    if (os_userfault_new(&userfault) == 0)
        failed = cmocka_run_group_tests(tests, test_loop_setup, NULL);
    vhu_handle_close(&userfault);
    return failed + cmocka_run_group_tests(everywhere, test_loop_setup, NULL);
}
