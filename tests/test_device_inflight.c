/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's in-flight area: who gets one, and rings that go on with what another left. */
#include <string.h>
#include <uv.h>

#include "device_internal.h"
#include "test_left_fixture.h"
#include "util.h"

static const kit_options two_rings = {.rings = 2};
static const kit_options two_packed = {.rings = 2, .features = PACKED};
static const kit_options *const layouts[] = {&two_rings, &two_packed};

/* Both layouts, on any number of workers. */
static void each_layout(void (*test)(const kit_options *options))
{
    for (size_t i = 0; i < VHU__COUNT(layouts); i++)
        kit_each(test, *layouts[i]);
}

/* --- who gets one --- */

static void test_offer(void **state)
{
    kit_options options = two_rings;

    (void)state;
    for (int i = 0; i < 2; i++) {
        kit *k;

        options.withhold = i == 1 ? VHU_BIT(VHU_PF_INFLIGHT_SHMFD) : 0;
        k = kit_new(&options);
        assert_int_equal(
            (frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES) >> VHU_PF_INFLIGHT_SHMFD) & 1,
            i == 0);
        kit_free(k);
    }
}

static void test_no_area(void **state)
{
    static const vhu_inflight_area rows[] = {
        {.num_queues = 3, .queue_size = 16},
        {.num_queues = 0, .queue_size = 16},
        {.num_queues = 1, .queue_size = 0},
        {.num_queues = 1, .queue_size = VHU_MAX_RING_SIZE + 1},
    };
    kit *k = kit_new(&two_rings);

    (void)state;
    frontend_handshake(&k->front, PROTOCOL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        vhu_inflight_area area = rows[i];
        vhu_handle handle;

        frontend_get_area(&k->front, &area, &handle);
        assert_int_equal(area.mmap_size, 0);
        assert_int_equal(handle, VHU_NO_HANDLE);
    }
    kit_free(k);
}

/* Without a driver it is not known whose records are there: there is room for either's. */
static void before_features(const kit_options *options)
{
    static const uint64_t before[] = {0, VHU_BIT(VHU_F_PROTOCOL_FEATURES)};

    for (size_t i = 0; i < VHU__COUNT(before); i++) {
        shared_area a;
        kit *k = open_left_early(options, &a, before[i]);

        for (uint32_t ring = 0; ring < 2; ring++)
            frontend_start_ring(&k->front, ring, 0);
        kit_reap(k, 0, LEFT + 2);
        kit_requests(k, 1, 4);
        expect_used(k, &a, 0, LEFT + 2);
        expect_used(k, &a, 1, 4);
        assert_int_equal(k->logged, 0);
        close_left(k, &a);
    }
}

static void test_before_features(void **state)
{
    (void)state;
    each_layout(before_features);
}

typedef struct turner {
    vhu_device *device;
    unsigned worker;
    uv_barrier_t *both;
} turner;

static void turn_once(void *arg)
{
    const turner *t = arg;

    uv_barrier_wait(t->both);
    vhu_device_poll(t->device, t->worker);
}

/* In postcopy workers start rings, all at once: by then it is settled whose records there are. */
static void test_started_by_workers(void **state)
{
    kit_options options = two_packed;
    kit *k;
    vhu_inflight_area area = {.num_queues = 2, .queue_size = RING_SIZE};
    uv_thread_t threads[KIT_WORKERS];
    turner turners[KIT_WORKERS];
    uv_barrier_t both;
    vhu_handle handle;

    (void)state;
    options.workers = KIT_WORKERS;
    k = kit_new(&options);
    frontend_handshake(&k->front, PROTOCOL);
    frontend_get_area(&k->front, &area, &handle);
    assert_int_equal(frontend_set_area(&k->front, &area, handle), 0);
    vhu_handle_close(&handle);
    frontend_share(&k->front, k->front.memory.num_regions);
    k->manual = true;
    atomic_store(&k->device->postcopy.listening, true);
    for (uint32_t i = 0; i < KIT_WORKERS; i++)
        frontend_start_ring(&k->front, i, 0);
    atomic_store(&k->device->postcopy.listening, false);
    assert_int_equal(uv_barrier_init(&both, KIT_WORKERS), 0);
    for (unsigned i = 0; i < KIT_WORKERS; i++) {
        turners[i] = (turner){k->device, i, &both};
        assert_int_equal(uv_thread_create(&threads[i], turn_once, &turners[i]), 0);
    }
    for (unsigned i = 0; i < KIT_WORKERS; i++)
        uv_thread_join(&threads[i]);
    uv_barrier_destroy(&both);
    k->manual = false;
    for (uint32_t i = 0; i < KIT_WORKERS; i++) {
        assert_true(k->device->rings[i].queue->tracked);
        kit_requests(k, i, 4);
    }
    kit_free(k);
}

/* What is refused changes nothing: the area before is in use still. */
static void refused(const kit_options *options)
{
    shared_area a;
    vhu_inflight_area wrong;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;
    uint16_t *version;

    wrong = a.area;
    wrong.num_queues = 3;
    assert_int_not_equal(frontend_set_area(f, &wrong, a.handle), 0);
    wrong = a.area;
    wrong.mmap_size--;
    assert_int_not_equal(frontend_set_area(f, &wrong, a.handle), 0);
    assert_int_not_equal(frontend_set_area(f, &a.area, vhu_event_wait_handle(f->rings[0].kick)), 0);
    version = a.is_packed ? &a.packed[1].version : &a.rings[1].version;
    *version = 2;
    assert_int_not_equal(frontend_set_area(f, &a.area, a.handle), 0);
    assert_non_null(strstr(k->last_log, a.is_packed ? "packed rings is refused" : "split rings"));
    *version = 0;
    frontend_start_ring(f, 0, 0);
    kit_reap(k, 0, LEFT + 2);
    close_left(k, &a);
}

static void test_refused(void **state)
{
    (void)state;
    each_layout(refused);
}

/* --- going on --- */

/* Each request once, in order, and a call even if there was nothing to do. */
static void goes_on(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;

    for (uint32_t i = 0; i < 2; i++)
        frontend_start_ring(f, i, 0);
    kit_reap(k, 0, LEFT + 2);
    assert_int_equal(k->echo.rings[0].taken, LEFT + 2);
    assert_true(frontend_signalled(f->rings[0].call));
    assert_true(frontend_signalled(f->rings[1].call));
    assert_int_equal(count_out(&a), 0);
    expect_used(k, &a, 0, LEFT + 2);
    kit_requests(k, 0, 4);
    kit_requests(k, 1, 4);
    expect_used(k, &a, 1, 4);
    assert_int_equal(frontend_stop_ring(f, 0), base_after(k, 0, LEFT + 6));
    expect_used(k, &a, 0, LEFT + 6);
    /* The next front-end brings none. */
    frontend_hang_up(f);
    kit_turn(k);
    kit_connect(k);
    frontend_start(f);
    memset(a.rings, 0xff, a.area.mmap_size);
    kit_requests(k, 0, 4);
    assert_int_equal(a.rings[0].used_idx, UINT16_MAX);
    close_left(k, &a);
}

static void test_goes_on(void **state)
{
    (void)state;
    each_layout(goes_on);
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        kit_options in_order = *layouts[i];

        in_order.features |= VHU_BIT(VHU_F_IN_ORDER);
        kit_each(goes_on, in_order);
    }
}

/* The device keeps the record while it works. */
static void out(const kit_options *options)
{
    shared_area a;
    kit *k = kit_new(options);
    frontend *f = &k->front;

    frontend_handshake(f, PROTOCOL);
    frontend_share(f, f->memory.num_regions);
    get_area(k, &a);
    assert_int_equal(frontend_set_area(f, &a.area, a.handle), 0);
    frontend_start_ring(f, 0, 0);
    atomic_store(&k->echo.hold, true);
    frontend_submit(&f->rings[0], 3);
    kit_turn(k);
    assert_int_equal(count_out(&a), 3);
    atomic_store(&k->echo.hold, false);
    kit_reap(k, 0, 3);
    assert_int_equal(count_out(&a), 0);
    close_left(k, &a);
}

static void test_out(void **state)
{
    (void)state;
    each_layout(out);
}

/* A ring that shall stop before it has run does not leave behind what the base passes over. */
static void stops_at_once(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;
    uint32_t base;

    frontend_start_ring(f, 0, 0);
    base = frontend_stop_ring(f, 0);
    assert_int_equal(count_out(&a), 0);
    assert_int_equal(frontend_reap(&f->rings[0]), LEFT + 2);
    assert_int_equal(base, base_after(k, 0, LEFT + 2));
    close_left(k, &a);
}

static void test_stops_at_once(void **state)
{
    (void)state;
    each_layout(stops_at_once);
}

/* The same while the worker sleeps: it takes what was out, since nobody else knows of that. */
static void test_stops_before_it_begins(void **state)
{
    const vhu_vring_state enable = {0, 1};
    vhu_vring_state base = {0, 0};
    kit_options options = two_rings;
    shared_area a;
    frontend *f;
    kit *k;

    (void)state;
    options.workers = 1;
    k = open_left(&options, &a);
    f = &k->front;
    frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, RING_SIZE);
    frontend_addr(f, 0);
    frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick);
    k->manual = true;
    frontend_send(f, VHU_REQ_SET_VRING_ENABLE, 0, &enable, sizeof(enable), NULL, 0);
    frontend_send(f, VHU_REQ_GET_VRING_BASE, 0, &base, sizeof(base), NULL, 0);
    kit_turn(k);
    assert_int_equal(k->echo.rings[0].started, 0);
    k->manual = false;
    assert_int_equal(frontend_recv(f, VHU_REQ_GET_VRING_BASE, &base, sizeof(base)), 8);
    assert_int_equal(base.num, frontend_reap(&f->rings[0]));
    assert_true(base.num >= LEFT);
    assert_int_equal(count_out(&a), 0);
    close_left(k, &a);
}

/* A device without room leaves it where it was, for the next time. */
static void no_room(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;

    atomic_store(&k->echo.room, 0);
    frontend_start_ring(f, 0, 0);
    kit_turn(k);
    assert_int_equal(frontend_stop_ring(f, 0),
                     a.is_packed ? (uint32_t)VHU__POS_START << 16 | VHU__POS_START | LEFT_DESCS
                                 : LEFT);
    assert_int_equal(count_out(&a), LEFT);
    atomic_store(&k->echo.room, 2);
    frontend_start_ring(f, 0, LEFT);
    kit_reap(k, 0, LEFT + 2);
    assert_int_equal(count_out(&a), 0);
    close_left(k, &a);
}

static void test_no_room(void **state)
{
    (void)state;
    each_layout(no_room);
}

/* Rings of a device that was reset are new ones. */
static void reset(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;

    atomic_store(&k->echo.room, 0);
    frontend_start_ring(f, 0, 0);
    assert_int_equal(frontend_request(f, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    atomic_store(&k->echo.room, ECHO_SLOTS);
    /* As the base says: what was out is not. */
    k->echo.rings[0].next_seq = LEFT;
    frontend_start_ring(f, 0, a.is_packed ? VHU__POS_START | LEFT_DESCS : LEFT);
    kit_turn(k);
    assert_int_equal(k->echo.rings[0].taken, 2);
    assert_int_equal(count_out(&a), 0);
    close_left(k, &a);
}

static void test_reset(void **state)
{
    (void)state;
    each_layout(reset);
}

/* Until the next driver is known its rings are split ones: no record of a packed one is theirs. */
static void reset_and_no_driver(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    const left_packed left = a.packed[0];
    frontend *f = &k->front;

    assert_int_equal(frontend_request(f, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    a.packed[0] = left;
    frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, RING_SIZE);
    frontend_addr(f, 0);
    frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick);
    assert_int_not_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    assert_false(kit_runs(k, 0));
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    frontend_start_ring(f, 0, 0);
    kit_reap(k, 0, LEFT + 2);
    close_left(k, &a);
}

static void test_reset_and_no_driver(void **state)
{
    (void)state;
    kit_each(reset_and_no_driver, two_packed);
}

/* An area that has become wrong fails the start, and says so. */
static void spoilt(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;
    uint16_t *head = a.is_packed ? &a.packed[0].old_free_head : &a.rings[0].last_batch_head;
    uint16_t was = *head;

    *head = RING_SIZE + 1;
    frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, RING_SIZE);
    frontend_addr(f, 0);
    frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick);
    assert_int_not_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    assert_false(kit_runs(k, 0));
    assert_string_equal(k->last_log,
                        "ring 0: the record of what is out is damaged, or that of another ring");
    *head = was;
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    kit_reap(k, 0, LEFT + 2);
    close_left(k, &a);
}

static void test_spoilt(void **state)
{
    (void)state;
    each_layout(spoilt);
}

/* Records of the other layout, which an area's front-end knows nothing of. */
static void test_other_layout(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(layouts); i++) {
        const bool now_packed = i == 0;
        vhu_inflight_area area;
        shared_area a;
        kit *k = open_left(layouts[i], &a);
        frontend *f = &k->front;

        area = a.area;
        area.mmap_size = UINT32_MAX; /* as if it had been made for either */
        frontend_hang_up(f);
        kit_turn(k);
        kit_connect(k);
        frontend_handshake(f, PROTOCOL);
        f->features ^= PACKED;
        frontend_share(f, f->memory.num_regions);
        assert_int_not_equal(frontend_set_area(f, &area, a.handle), 0);
        assert_non_null(strstr(k->last_log, now_packed ? "packed rings" : "split rings"));
        close_left(k, &a);
    }
}

/* A firmware's driver with one layout, the system's with the other; the area stays. */
static void test_change_of_layout(void **state)
{
    kit *k = kit_new(&two_packed);
    frontend *f = &k->front;
    driver_ring *d = &f->rings[0].driver;
    shared_area a;

    (void)state;
    frontend_handshake(f, PROTOCOL);
    frontend_share(f, f->memory.num_regions);
    get_area(k, &a);
    assert_int_equal(frontend_set_area(f, &a.area, a.handle), 0);
    for (int i = 0; i < 4; i++) {
        frontend_start_ring(f, 0, driver_ring_base(d));
        kit_requests(k, 0, 3);
        assert_true(k->device->rings[0].queue->tracked);
        a.is_packed = is_packed(k);
        expect_used(k, &a, 0, 3);
        frontend_stop_ring(f, 0);
        f->features ^= PACKED;
        assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
        assert_int_equal(driver_ring_init(d, &f->memory, d->desc_addr, d->num, f->features), 0);
    }
    close_left(k, &a);
}

/* QEMU's area has its device's queue size, whatever a driver chooses: no record is better than no
 * ring. */
static void larger_ring(const kit_options *options)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;
    shared_area a = {.area = {.num_queues = 2, .queue_size = RING_SIZE / 2}};
    unsigned logged;
    void *base;

    frontend_handshake(f, PROTOCOL);
    frontend_share(f, f->memory.num_regions);
    frontend_get_area(f, &a.area, &a.handle);
    assert_int_equal(os_map_shared(&a.map, a.handle, 0, a.area.mmap_size, &base), 0);
    assert_int_equal(frontend_set_area(f, &a.area, a.handle), 0);
    logged = k->logged;
    frontend_start_ring(f, 0, 0);
    assert_int_equal(k->logged, logged + 1);
    assert_non_null(strstr(k->last_log, "in-flight area"));
    kit_requests(k, 0, RING_SIZE / 2);
    for (uint64_t i = 0; i < a.area.mmap_size; i++)
        assert_int_equal(((const uint8_t *)base)[i], 0);
    close_left(k, &a);
}

static void test_larger_ring(void **state)
{
    (void)state;
    each_layout(larger_ring);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_offer),
        leakcheck_test(test_no_area),
        leakcheck_test(test_before_features),
        leakcheck_test(test_started_by_workers),
        leakcheck_test(test_other_layout),
        leakcheck_test(test_change_of_layout),
        leakcheck_test(test_refused),
        leakcheck_test(test_goes_on),
        leakcheck_test(test_out),
        leakcheck_test(test_stops_at_once),
        leakcheck_test(test_stops_before_it_begins),
        leakcheck_test(test_no_room),
        leakcheck_test(test_reset),
        leakcheck_test(test_reset_and_no_driver),
        leakcheck_test(test_spoilt),
        leakcheck_test(test_larger_ring),
    };

    return cmocka_run_group_tests_name("device_inflight", tests, NULL, NULL);
}
