/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's state: saved to pipes and loaded from them, by peers that are none too kind. */
#include <string.h>
#include <vmm_vhost/shm.h>

#include "os.h"
#include "test_device_fixture.h"

#define PROTOCOL (FRONTEND_PROTOCOL | VHU_BIT(VHU_PF_DEVICE_STATE))

/* Of the answer to SET_DEVICE_STATE_FD. */
enum { NO_HANDLE_OF_ITS_OWN = 0x100 };

enum { MANY_TURNS = 100000 };

static const size_t sizes[] = {0, 1, 4095, 65535, 65536, 65537, 3 << 20};

/* --- a device whose state is so many bytes that follow a rule --- */

static struct {
    size_t size;     /* of its state, which it expects when it loads, too */
    size_t loaded;   /* bytes, since the last start */
    unsigned starts; /* from offset 0 */
    unsigned ends;   /* a state was loaded whole */
    size_t fails_at; /* SIZE_MAX: never */
    int failure;
    bool wrong;
} dev;

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 7 + (offset >> 8) * 13 + (offset >> 16));
}

static int save_state(void *self, uint64_t offset, void *buf, size_t len)
{
    size_t n;

    (void)self;
    dev.starts += offset == 0;
    if (offset >= dev.fails_at)
        return dev.failure;
    n = dev.size - (size_t)offset;
    if (n > len)
        n = len;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = byte_at(offset + i);
    return (int)n;
}

static int load_state(void *self, uint64_t offset, const void *buf, size_t len)
{
    (void)self;
    dev.starts += offset == 0;
    if (offset + len > dev.fails_at)
        return dev.failure;
    if (offset != 0 && offset != dev.loaded)
        dev.wrong = true;
    if (offset + len > dev.size)
        return VHU_EOVERFLOW;
    for (size_t i = 0; i < len; i++) {
        if (((const uint8_t *)buf)[i] != byte_at(offset + i))
            return VHU_EINVAL;
    }
    dev.loaded = (size_t)offset + len;
    if (len > 0)
        return 0;
    if (offset < dev.size)
        return VHU_EINVAL;
    dev.ends++;
    return 0;
}

static kit *new_kit(const kit_options *options, size_t size)
{
    static vhu_device_ops ops;
    kit_options o = *options;
    kit *k;

    memset(&dev, 0, sizeof(dev));
    dev.size = size;
    dev.fails_at = SIZE_MAX;
    ops = echo_ops;
    ops.save_state = save_state;
    ops.load_state = load_state;
    o.ops = &ops;
    k = kit_new(&o);
    frontend_handshake(&k->front, PROTOCOL);
    frontend_share(&k->front, k->front.memory.num_regions);
    return k;
}

static void free_kit(kit *k)
{
    assert_false(dev.wrong);
    kit_free(k);
}

/* --- a front-end --- */

static uint64_t set_fd(kit *k, uint32_t direction, vhu_handle handle)
{
    const vhu_device_state state = {direction, VHU_STATE_STOPPED};
    uint64_t answer = UINT64_MAX;

    frontend_send(&k->front, VHU_REQ_SET_DEVICE_STATE_FD, 0, &state, sizeof(state), &handle, 1);
    assert_int_equal(frontend_recv(&k->front, VHU_REQ_SET_DEVICE_STATE_FD, &answer, sizeof(answer)),
                     8);
    return answer;
}

/* The front-end's end of a transfer that has begun. */
static os_pipe *begin(kit *k, uint32_t direction)
{
    const unsigned ours = direction == VHU_STATE_SAVE ? VHU_WAIT_READ : VHU_WAIT_WRITE;
    vhu_handle peer;
    os_pipe *pipe;

    assert_int_equal(os_pipe_new(&pipe, &peer, ours), 0);
    assert_int_equal(set_fd(k, direction, peer), NO_HANDLE_OF_ITS_OWN);
    vhu_handle_close(&peer);
    return pipe;
}

/* Up to `max` bytes, while the device turns: how many, and whether they were the last. */
static size_t read_bytes(kit *k, os_pipe *pipe, size_t max, bool *ended)
{
    uint8_t bytes[5000];
    size_t total = 0;
    int turns = 0;

    *ended = false;
    while (total < max && !*ended) {
        int n =
            os_pipe_read(pipe, bytes, max - total < sizeof(bytes) ? max - total : sizeof(bytes));

        if (n == VHU_EAGAIN) {
            assert_true(turns++ < MANY_TURNS);
            assert_int_equal(kit_also(k, VHU_DEVICE_STATE).events, VHU_WAIT_WRITE);
            kit_turn(k);
            continue;
        }
        assert_true(n >= 0);
        for (int i = 0; i < n; i++)
            assert_int_equal(bytes[i], byte_at(total + (size_t)i));
        total += (size_t)n;
        *ended = n == 0;
    }
    return total;
}

/* 0, or why the device takes no more. */
static int write_bytes(kit *k, os_pipe *pipe, size_t size)
{
    uint8_t bytes[5000];
    int turns = 0;

    for (size_t done = 0; done < size;) {
        size_t len = size - done < sizeof(bytes) ? size - done : sizeof(bytes);
        int n;

        for (size_t i = 0; i < len; i++)
            bytes[i] = byte_at(done + i);
        n = os_pipe_write(pipe, bytes, len);
        if (n < 0 && n != VHU_EAGAIN)
            return n;
        done += n > 0 ? (size_t)n : 0;
        if (n == VHU_EAGAIN) {
            assert_true(turns++ < MANY_TURNS);
            kit_turn(k);
        }
    }
    while (os_pipe_flush(pipe) == VHU_EAGAIN)
        kit_turn(k);
    return 0;
}

static uint64_t check(kit *k)
{
    uint64_t status = frontend_get(&k->front, VHU_REQ_CHECK_DEVICE_STATE);

    assert_int_equal(kit_also(k, VHU_DEVICE_STATE).handle, VHU_NO_HANDLE);
    return status;
}

static uint64_t save(kit *k, size_t *size)
{
    os_pipe *pipe = begin(k, VHU_STATE_SAVE);
    bool ended;

    *size = read_bytes(k, pipe, SIZE_MAX, &ended);
    os_pipe_free(pipe);
    return check(k);
}

static uint64_t load(kit *k, size_t size)
{
    os_pipe *pipe = begin(k, VHU_STATE_LOAD);

    write_bytes(k, pipe, size);
    os_pipe_free(pipe);
    return check(k);
}

/* --- what is fine --- */

static const kit_options two_rings = {.rings = 2};

static void save_and_load(const kit_options *options)
{
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        kit *k = new_kit(options, sizes[i]);
        size_t size;

        assert_int_equal(save(k, &size), 0);
        assert_int_equal(size, sizes[i]);
        assert_int_equal(load(k, sizes[i]), 0);
        assert_int_equal(dev.loaded, sizes[i]);
        assert_int_equal(dev.ends, 1);
        /* Asked once more, it says the same. */
        assert_int_equal(check(k), 0);
        for (uint32_t ring = 0; ring < 2; ring++) {
            frontend_start_ring(&k->front, ring, 0);
            kit_requests(k, ring, 3);
        }
        free_kit(k);
    }
}

static void test_save_and_load(void **state)
{
    (void)state;
    kit_each(save_and_load, two_rings);
}

/* The loader has closed its end before the device has looked. */
static void test_check_reads_the_rest(void **state)
{
    kit *k = new_kit(&two_rings, 3000);
    os_pipe *pipe = begin(k, VHU_STATE_LOAD);

    (void)state;
    assert_int_equal(write_bytes(k, pipe, 3000), 0);
    assert_int_equal(dev.loaded, 0);
    os_pipe_free(pipe);
    assert_int_equal(check(k), 0);
    assert_int_equal(dev.ends, 1);
    free_kit(k);
}

/* One that is begun while another is under way ends that one. */
static void test_another_one(void **state)
{
    kit *k = new_kit(&two_rings, 1 << 20);
    os_pipe *first = begin(k, VHU_STATE_SAVE);
    bool ended;
    size_t size;

    (void)state;
    assert_int_equal(read_bytes(k, first, 1000, &ended), 1000);
    assert_int_equal(save(k, &size), 0);
    assert_int_equal(size, 1 << 20);
    assert_int_equal(dev.starts, 2);
    os_pipe_free(first);
    free_kit(k);
}

/* --- rings --- */

static void rings(const kit_options *options)
{
    kit *k = new_kit(options, 100000);
    frontend *f = &k->front;
    os_pipe *pipe;
    vhu_handle peer;
    size_t size;

    frontend_start_ring(f, 0, 0);
    kit_requests(k, 0, 3);
    assert_int_equal(os_pipe_new(&pipe, &peer, VHU_WAIT_READ), 0);
    assert_int_not_equal(set_fd(k, VHU_STATE_SAVE, peer) & 0xff, 0);
    vhu_handle_close(&peer);
    os_pipe_free(pipe);
    assert_int_equal(dev.starts, 0);
    assert_int_not_equal(check(k), 0);

    frontend_stop_ring(f, 0);
    pipe = begin(k, VHU_STATE_SAVE);
    /* Only what would start it is refused. */
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_BASE, 0, 3), 0);
    assert_int_equal(frontend_vring(f, VHU_REQ_SET_VRING_ENABLE, 0, 1), 0);
    assert_int_not_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 0);
    assert_false(kit_runs(k, 0));
    os_pipe_free(pipe);
    kit_turn(k);
    assert_int_not_equal(check(k), 0);
    assert_int_equal(save(k, &size), 0);
    assert_int_equal(size, 100000);
    assert_int_equal(frontend_event(f, VHU_REQ_SET_VRING_KICK, 0, f->rings[0].kick), 0);
    kit_requests(k, 0, 3);
    free_kit(k);
}

static void test_rings(void **state)
{
    (void)state;
    kit_each(rings, two_rings);
}

/* --- what goes wrong --- */

static void test_front_end_gives_up(void **state)
{
    static const struct {
        uint32_t direction;
        size_t after; /* bytes */
    } cases[] = {
        {VHU_STATE_SAVE, 0},      {VHU_STATE_SAVE, 1000},
        {VHU_STATE_SAVE, 300000}, {VHU_STATE_LOAD, 0}, /* which is a state that is too short */
        {VHU_STATE_LOAD, 1000},   {VHU_STATE_LOAD, 300000},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit *k = new_kit(&two_rings, 1 << 20);
        os_pipe *pipe = begin(k, cases[i].direction);
        size_t size;
        bool ended;

        if (cases[i].direction == VHU_STATE_SAVE)
            assert_int_equal(read_bytes(k, pipe, cases[i].after, &ended), cases[i].after);
        else
            assert_int_equal(write_bytes(k, pipe, cases[i].after), 0);
        os_pipe_free(pipe);
        assert_int_not_equal(check(k), 0);
        assert_int_equal(dev.ends, 0);
        /* That is all: the next one finds it as ever. */
        assert_int_equal(save(k, &size), 0);
        assert_int_equal(size, 1 << 20);
        assert_int_equal(load(k, 1 << 20), 0);
        free_kit(k);
    }
}

static void test_device_fails(void **state)
{
    static const struct {
        uint32_t direction;
        size_t at;
        int failure;
    } cases[] = {
        {VHU_STATE_SAVE, 0, VHU_EIO},         {VHU_STATE_SAVE, 100000, VHU_EIO},
        {VHU_STATE_SAVE, 0, VHU_EAGAIN},      {VHU_STATE_SAVE, 100000, VHU_EPENDING},
        {VHU_STATE_LOAD, 0, VHU_EIO},         {VHU_STATE_LOAD, 100000, VHU_EINVAL},
        {VHU_STATE_LOAD, 100000, VHU_EAGAIN}, {VHU_STATE_LOAD, 0, 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        kit *k = new_kit(&two_rings, 1 << 20);
        size_t size = 0;

        dev.fails_at = cases[i].at;
        dev.failure = cases[i].failure;
        if (cases[i].direction == VHU_STATE_SAVE)
            assert_int_not_equal(save(k, &size), 0);
        else
            assert_int_not_equal(load(k, 1 << 20), 0);
        assert_true(size < 1 << 20);
        assert_int_equal(dev.ends, 0);
        dev.fails_at = SIZE_MAX;
        assert_int_equal(load(k, 1 << 20), 0);
        free_kit(k);
    }
}

/* A state that is longer than the device's, or of other bytes. */
static void test_wrong_states(void **state)
{
    kit *k = new_kit(&two_rings, 1000);
    uint8_t bytes[1000] = {1};
    os_pipe *pipe;

    (void)state;
    assert_int_not_equal(load(k, 1001), 0);
    assert_int_not_equal(load(k, 1 << 20), 0);
    assert_int_not_equal(load(k, 999), 0);
    pipe = begin(k, VHU_STATE_LOAD);
    assert_int_equal(os_pipe_write(pipe, bytes, sizeof(bytes)), sizeof(bytes));
    os_pipe_free(pipe);
    assert_int_not_equal(check(k), 0);
    assert_int_equal(dev.ends, 0);
    assert_int_equal(load(k, 1000), 0);
    free_kit(k);
}

/* Without a transfer, or before its time: the answer is no, and it does not wait. */
static void test_asked_too_early(void **state)
{
    kit *k = new_kit(&two_rings, 1 << 20);
    os_pipe *pipe;

    (void)state;
    assert_int_not_equal(check(k), 0);
    pipe = begin(k, VHU_STATE_LOAD);
    assert_int_equal(write_bytes(k, pipe, 1000), 0);
    assert_int_not_equal(check(k), 0);
    assert_int_equal(os_pipe_write(pipe, "x", 1), VHU_EDISCONNECT);
    os_pipe_free(pipe);
    pipe = begin(k, VHU_STATE_SAVE);
    kit_turn(k);
    assert_int_not_equal(check(k), 0);
    os_pipe_free(pipe);
    free_kit(k);
}

static void test_odd_handles(void **state)
{
    kit *k = new_kit(&two_rings, 1000);
    vhu_event *event = frontend_event_new();
    vhu_handle signal;
    vhu_shm *shm;
    size_t size;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, 4096), 0);
    assert_int_equal(vhu_event_dup_signal(event, &signal), 0);
    for (uint32_t direction = VHU_STATE_SAVE; direction <= VHU_STATE_LOAD; direction++) {
        assert_int_not_equal(set_fd(k, direction, vhu_shm_handle(shm)) & 0xff, 0);
        assert_int_not_equal(set_fd(k, direction, signal) & 0xff, 0);
    }
    assert_int_equal(dev.starts, 0);
    assert_int_equal(save(k, &size), 0);
    vhu_handle_close(&signal);
    vhu_event_free(event);
    vhu_shm_free(shm);
    free_kit(k);
}

/* The front-end hangs up in the middle: nothing is left, and nothing is known to the next. */
static void hang_up(const kit_options *options)
{
    for (uint32_t direction = VHU_STATE_SAVE; direction <= VHU_STATE_LOAD; direction++) {
        kit *k = new_kit(options, 1 << 20);
        os_pipe *pipe = begin(k, direction);
        bool ended;

        if (direction == VHU_STATE_SAVE)
            read_bytes(k, pipe, 70000, &ended);
        else
            write_bytes(k, pipe, 70000);
        frontend_hang_up(&k->front);
        kit_turn(k);
        assert_true(vhu_device_is_idle(k->device));
        assert_int_equal(kit_also(k, VHU_DEVICE_STATE).handle, VHU_NO_HANDLE);
        os_pipe_free(pipe);
        kit_connect(k);
        frontend_handshake(&k->front, PROTOCOL);
        assert_int_not_equal(check(k), 0);
        assert_int_equal(load(k, 1 << 20), 0);
        free_kit(k);
    }
}

static void test_hang_up(void **state)
{
    (void)state;
    kit_each(hang_up, two_rings);
}

/* --- who offers it --- */

static uint64_t offer(const vhu_device_ops *ops, unsigned workers)
{
    const kit_options options = {.rings = 1, .ops = ops, .workers = workers};
    kit *k = kit_new(&options);
    uint64_t features = frontend_get(&k->front, VHU_REQ_GET_PROTOCOL_FEATURES);

    kit_free(k);
    return features & VHU_BIT(VHU_PF_DEVICE_STATE);
}

static void test_offer(void **state)
{
    vhu_device_ops ops = echo_ops;

    (void)state;
    for (unsigned workers = 0; workers <= 1; workers++) {
        assert_int_equal(offer(&echo_ops, workers), 0);
        ops.save_state = save_state;
        ops.load_state = NULL;
        assert_int_equal(offer(&ops, workers), 0);
        ops.load_state = load_state;
        assert_int_not_equal(offer(&ops, workers), 0);
        ops.save_state = NULL;
        assert_int_equal(offer(&ops, workers), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_save_and_load),
        leakcheck_test(test_check_reads_the_rest),
        leakcheck_test(test_another_one),
        leakcheck_test(test_rings),
        leakcheck_test(test_front_end_gives_up),
        leakcheck_test(test_device_fails),
        leakcheck_test(test_wrong_states),
        leakcheck_test(test_asked_too_early),
        leakcheck_test(test_odd_handles),
        leakcheck_test(test_hang_up),
        leakcheck_test(test_offer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
