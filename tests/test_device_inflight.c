/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's in-flight area: who gets one, and rings that go on with what another left. */
#include <stdlib.h>
#include <string.h>

#include "inflight.h"
#include "os.h"
#include "test_device_fixture.h"

#define PROTOCOL (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_INFLIGHT_SHMFD))

enum { LEFT = 5, RING_SIZE = 16 };

static const kit_options two_rings = {.rings = 2};

/* The specification's layout. */
typedef struct left_entry {
    uint8_t out;
    uint8_t pad[5];
    uint16_t next;
    uint64_t counter;
} left_entry;

typedef struct left_region {
    uint64_t features;
    uint16_t version;
    uint16_t num;
    uint16_t last_batch_head;
    uint16_t used_idx;
    left_entry entries[RING_SIZE];
    uint8_t pad[48]; /* to a multiple of 64 */
} left_region;

typedef struct shared_area {
    vhu_inflight_area area;
    vhu_handle handle;
    os_map map;
    left_region *rings;
} shared_area;

static void get_area(kit *k, shared_area *a)
{
    void *base;

    a->area = (vhu_inflight_area){.num_queues = 2, .queue_size = RING_SIZE};
    frontend_get_area(&k->front, &a->area, &a->handle);
    assert_int_not_equal(a->handle, VHU_NO_HANDLE);
    assert_int_equal(a->area.mmap_size, 2 * sizeof(left_region));
    assert_int_equal(
        os_map_shared(&a->map, a->handle, a->area.mmap_offset, a->area.mmap_size, &base), 0);
    a->rings = base;
}

static void close_area(shared_area *a)
{
    os_unmap(&a->map);
    vhu_handle_close(&a->handle);
}

/* As if a device had taken the first `n` requests of ring 0 and had come no further. */
static void leave(kit *k, shared_area *a, uint32_t n)
{
    left_region *r = &a->rings[0];

    r->version = 1;
    r->num = RING_SIZE;
    for (uint32_t i = 0; i < n; i++) {
        uint16_t head = k->front.rings[0].driver.avail->ring[i];

        r->entries[head].out = 1;
        r->entries[head].counter = 100 + i;
    }
}

static uint32_t count_out(const shared_area *a)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < RING_SIZE; i++)
        n += a->rings[0].entries[i].out;
    return n;
}

/* A front-end whose rings are full of what another device has taken. */
static kit *open_left(const kit_options *options, shared_area *a)
{
    kit *k = kit_new(options);
    frontend *f = &k->front;

    frontend_handshake(f, PROTOCOL);
    frontend_share(f, f->memory.num_regions);
    get_area(k, a);
    assert_int_equal(frontend_submit(&f->rings[0], LEFT + 2), LEFT + 2);
    leave(k, a, LEFT);
    assert_int_equal(frontend_set_area(f, &a->area, a->handle), 0);
    frontend_signalled(f->rings[0].call);
    return k;
}

static void close_left(kit *k, shared_area *a)
{
    kit_free(k);
    close_area(a);
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

/* Packed rings keep no record yet. */
static void test_packed(void **state)
{
    vhu_inflight_area area = {.num_queues = 1, .queue_size = 16};
    kit_options options = two_rings;
    vhu_handle handle;
    kit *k;

    (void)state;
    options.features = VHU_BIT(VHU_F_RING_PACKED);
    k = kit_new(&options);
    frontend_handshake(&k->front, PROTOCOL);
    frontend_share(&k->front, k->front.memory.num_regions);
    frontend_get_area(&k->front, &area, &handle);
    assert_int_equal(area.mmap_size, 0);
    assert_int_equal(handle, VHU_NO_HANDLE);
    kit_free(k);
}

/* What is refused changes nothing: the area before is in use still. */
static void test_refused(void **state)
{
    shared_area a;
    vhu_inflight_area wrong;
    kit *k = open_left(&two_rings, &a);
    frontend *f = &k->front;

    (void)state;
    wrong = a.area;
    wrong.num_queues = 3;
    assert_int_not_equal(frontend_set_area(f, &wrong, a.handle), 0);
    wrong = a.area;
    wrong.mmap_size--;
    assert_int_not_equal(frontend_set_area(f, &wrong, a.handle), 0);
    assert_int_not_equal(frontend_set_area(f, &a.area, vhu_event_wait_handle(f->rings[0].kick)), 0);
    a.rings[1].version = 2;
    assert_int_not_equal(frontend_set_area(f, &a.area, a.handle), 0);
    frontend_start_ring(f, 0, 0);
    kit_reap(k, 0, LEFT + 2);
    close_left(k, &a);
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
    assert_int_equal(a.rings[0].used_idx, LEFT + 2);
    kit_requests(k, 0, 4);
    kit_requests(k, 1, 4);
    assert_int_equal(a.rings[1].used_idx, 4);
    assert_int_equal(frontend_stop_ring(f, 0), LEFT + 6);
    /* The next front-end brings none. */
    frontend_hang_up(f);
    kit_turn(k);
    kit_connect(k);
    frontend_start(f);
    kit_requests(k, 0, 4);
    assert_int_equal(a.rings[0].used_idx, LEFT + 6);
    close_left(k, &a);
}

static void test_goes_on(void **state)
{
    kit_options in_order = two_rings;

    (void)state;
    in_order.features = VHU_BIT(VHU_F_IN_ORDER);
    kit_each(goes_on, two_rings);
    kit_each(goes_on, in_order);
}

/* The device keeps the record while it works. */
static void test_out(void **state)
{
    shared_area a;
    kit *k = kit_new(&two_rings);
    frontend *f = &k->front;

    (void)state;
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

/* A ring that shall stop before it has run does not leave behind what the base passes over. */
static void stops_at_once(const kit_options *options)
{
    shared_area a;
    kit *k = open_left(options, &a);
    frontend *f = &k->front;

    frontend_start_ring(f, 0, 0);
    assert_int_equal(frontend_stop_ring(f, 0), LEFT + 2);
    assert_int_equal(count_out(&a), 0);
    assert_int_equal(frontend_reap(&f->rings[0]), LEFT + 2);
    close_left(k, &a);
}

static void test_stops_at_once(void **state)
{
    (void)state;
    kit_each(stops_at_once, two_rings);
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
static void test_no_room(void **state)
{
    shared_area a;
    kit *k = open_left(&two_rings, &a);
    frontend *f = &k->front;

    (void)state;
    atomic_store(&k->echo.room, 0);
    frontend_start_ring(f, 0, 0);
    kit_turn(k);
    assert_int_equal(frontend_stop_ring(f, 0), LEFT);
    assert_int_equal(count_out(&a), LEFT);
    atomic_store(&k->echo.room, 2);
    frontend_start_ring(f, 0, LEFT);
    kit_reap(k, 0, LEFT + 2);
    assert_int_equal(count_out(&a), 0);
    close_left(k, &a);
}

/* Rings of a device that was reset are new ones. */
static void test_reset(void **state)
{
    shared_area a;
    kit *k = open_left(&two_rings, &a);
    frontend *f = &k->front;

    (void)state;
    atomic_store(&k->echo.room, 0);
    frontend_start_ring(f, 0, 0);
    assert_int_equal(frontend_request(f, VHU_REQ_RESET_DEVICE, NULL, 0, NULL, 0), 0);
    assert_int_equal(frontend_set(f, VHU_REQ_SET_FEATURES, f->features), 0);
    atomic_store(&k->echo.room, ECHO_SLOTS);
    /* As the base says: what was out is not. */
    k->echo.rings[0].next_seq = LEFT;
    frontend_start_ring(f, 0, LEFT);
    kit_turn(k);
    assert_int_equal(k->echo.rings[0].taken, 2);
    assert_int_equal(count_out(&a), 0);
    close_left(k, &a);
}

/* An area that has become wrong fails the start, and says so. */
static void test_spoilt(void **state)
{
    shared_area a;
    kit *k = open_left(&two_rings, &a);
    frontend *f = &k->front;

    (void)state;
    a.rings[0].last_batch_head = RING_SIZE;
    frontend_vring(f, VHU_REQ_SET_VRING_NUM, 0, RING_SIZE);
    frontend_addr(f, 0);
    frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick);
    assert_int_not_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    assert_false(kit_runs(k, 0));
    a.rings[0].last_batch_head = 0;
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    kit_reap(k, 0, LEFT + 2);
    close_left(k, &a);
}

/* QEMU's area has its device's queue size, whatever a driver chooses: no record is better than no
 * ring. */
static void test_larger_ring(void **state)
{
    kit *k = kit_new(&two_rings);
    frontend *f = &k->front;
    shared_area a = {.area = {.num_queues = 2, .queue_size = RING_SIZE / 2}};
    unsigned logged;
    void *base;

    (void)state;
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_offer),         leakcheck_test(test_no_area),
        leakcheck_test(test_packed),        leakcheck_test(test_refused),
        leakcheck_test(test_goes_on),       leakcheck_test(test_out),
        leakcheck_test(test_stops_at_once), leakcheck_test(test_stops_before_it_begins),
        leakcheck_test(test_no_room),       leakcheck_test(test_reset),
        leakcheck_test(test_spoilt),        leakcheck_test(test_larger_ring),
    };

    return cmocka_run_group_tests_name("device_inflight", tests, NULL, NULL);
}
