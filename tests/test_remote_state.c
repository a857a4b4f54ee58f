/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit moves the state of a device that is on a loop of another thread. */
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/backend.h>
#include <vmm_vhost/remote.h>
#include <vmm_vhost/shm.h>
#include <vmm_vhost/uv.h>

#include "os.h"
#include "support/fake_backend.h"
#include "support/leakcheck.h"
#include "support/pair.h"
#include "support/test_loop.h"

enum { MAX_STATE = 4 << 20 };

/* --- the device, which must not assert --- */

static struct {
    uv_thread_t thread;
    vhu_conn *conn;
    vhu_uv_device *device;
    uv_async_t quit;
    size_t size;     /* of its state */
    size_t quits_at; /* leaves in the middle of it; 0: never */
    size_t fails_at; /* 0: never */
    unsigned loaded; /* states, whole */
} dev;

static uint8_t byte_at(uint64_t offset)
{
    return (uint8_t)(offset * 5 + (offset >> 8) * 3 + (offset >> 16));
}

static int come_to(uint64_t offset)
{
    if (dev.quits_at > 0 && offset >= dev.quits_at)
        uv_async_send(&dev.quit);
    return dev.fails_at > 0 && offset >= dev.fails_at ? VHU_EIO : 0;
}

static int save_state(void *self, uint64_t offset, void *buf, size_t len)
{
    const size_t left = dev.size - (size_t)offset;
    const size_t n = left < len ? left : len;
    const int r = come_to(offset + n);

    (void)self;
    if (r < 0)
        return r;
    for (size_t i = 0; i < n; i++)
        ((uint8_t *)buf)[i] = byte_at(offset + i);
    return (int)n;
}

static int load_state(void *self, uint64_t offset, const void *buf, size_t len)
{
    int r = come_to(offset + len);

    (void)self;
    for (size_t i = 0; r == 0 && i < len; i++) {
        if (((const uint8_t *)buf)[i] != byte_at(offset + i))
            r = VHU_EINVAL;
    }
    if (r == 0 && len == 0) {
        dev.loaded++;
        r = offset == dev.size ? 0 : VHU_EINVAL;
    }
    return r;
}

static void handle_ring(void *self, vhu_ring *ring)
{
    (void)self;
    (void)ring;
}

static void on_closed(void *arg)
{
    (void)arg;
    uv_close((uv_handle_t *)&dev.quit, NULL);
}

static void leave(void)
{
    if (dev.device)
        vhu_uv_device_close(dev.device, on_closed, NULL);
    dev.device = NULL;
}

static void on_quit(uv_async_t *async)
{
    (void)async;
    leave();
}

static void on_disconnected(void *self, int error)
{
    (void)self;
    (void)error;
    leave();
}

static void device_thread(void *arg)
{
    const vhu_device_options device = {.size = sizeof(device), .num_rings = 1};
    const vhu_device_ops ops = {.size = sizeof(ops),
                                .handle_ring = handle_ring,
                                .save_state = arg ? save_state : NULL,
                                .load_state = arg ? load_state : NULL};
    const vhu_uv_device_options options = {
        .size = sizeof(options), .num_workers = 1, .disconnected = on_disconnected};
    uv_loop_t loop;

    uv_loop_init(&loop);
    uv_async_init(&loop, &dev.quit, on_quit);
    if (vhu_uv_device_new(&dev.device, &loop, &device, &ops, &dev, &options) < 0 ||
        vhu_uv_device_connect(dev.device, &dev.conn) < 0)
        abort();
    uv_run(&loop, UV_RUN_DEFAULT);
    uv_loop_close(&loop);
}

/* --- the VMM --- */

static struct {
    vhu_remote *remote;
    uint8_t *bytes;
    size_t size;
    size_t done;     /* that were given */
    size_t fails_at; /* give up there; 0: never */
} vmm;

/* What its back-end may ask; NULL: nothing. */
static const vhu_frontend_ops *vmm_ops;

static int put(void *arg, const void *bytes, size_t len)
{
    (void)arg;
    if (vmm.fails_at > 0 && vmm.size + len >= vmm.fails_at)
        return VHU_EOVERFLOW;
    assert_in_range(len, 1, MAX_STATE - vmm.size);
    memcpy(vmm.bytes + vmm.size, bytes, len);
    vmm.size += len;
    return 0;
}

static int get(void *arg, void *bytes, size_t len)
{
    size_t n = vmm.size - vmm.done < len ? vmm.size - vmm.done : len;

    (void)arg;
    if (vmm.fails_at > 0 && vmm.done + n >= vmm.fails_at)
        return VHU_ENOMEM;
    memcpy(bytes, vmm.bytes + vmm.done, n);
    vmm.done += n;
    return (int)n;
}

static int save(void)
{
    vmm.size = 0;
    return vhu_remote_save_state(vmm.remote, put, NULL);
}

static int load(void)
{
    vmm.done = 0;
    return vhu_remote_load_state(vmm.remote, get, NULL);
}

/* The state that the device has, or would take. */
static void make_state(size_t size)
{
    vmm.size = size;
    for (size_t i = 0; i < size; i++)
        vmm.bytes[i] = byte_at(i);
}

static int connect_to_device(bool has_state)
{
    vhu_conn *conns[2];

    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    dev.conn = conns[1];
    assert_int_equal(uv_thread_create(&dev.thread, device_thread, has_state ? &dev : NULL), 0);
    return vhu_remote_connect_over(vmm.remote, &conns[0]);
}

static void end_device(void)
{
    vhu_remote_disconnect(vmm.remote);
    assert_int_equal(uv_thread_join(&dev.thread), 0);
}

static void open_vmm(int timeout_ms)
{
    const vhu_remote_options options = {
        .size = sizeof(options), .num_rings = 1, .ops = vmm_ops, .timeout_ms = timeout_ms};

    memset(&dev, 0, sizeof(dev));
    memset(&vmm, 0, sizeof(vmm));
    vmm.bytes = malloc(MAX_STATE);
    assert_non_null(vmm.bytes);
    assert_int_equal(vhu_remote_new(&vmm.remote, &options), 0);
}

static void set_up(size_t size)
{
    open_vmm(60000);
    dev.size = size;
    assert_int_equal(connect_to_device(true), 0);
}

static void close_vmm(void)
{
    vhu_remote_free(vmm.remote);
    free(vmm.bytes);
}

static void tear_down(void)
{
    end_device();
    close_vmm();
}

/* --- what is fine --- */

static void test_to_another(void **state)
{
    static const size_t sizes[] = {0, 1, 16384, 65537, 3 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        set_up(sizes[i]);
        assert_int_equal(save(), 0);
        assert_int_equal(vmm.size, sizes[i]);
        for (size_t k = 0; k < vmm.size; k++)
            assert_int_equal(vmm.bytes[k], byte_at(k));
        end_device();
        assert_int_equal(connect_to_device(true), 0);
        assert_int_equal(load(), 0);
        assert_int_equal(load(), 0);
        end_device();
        assert_int_equal(dev.loaded, 2);
        close_vmm();
    }
}

/* --- what goes wrong --- */

static void test_out_of_order(void **state)
{
    const vhu_mem_region region = {.guest_addr = 0x10000, .size = 0x10000};
    const vhu_ring_layout layout = {.num = 16, .desc = 0x10000, .avail = 0x11000, .used = 0x12000};
    vhu_mem_region placed = region;
    vhu_shm *shm;

    (void)state;
    open_vmm(60000);
    assert_int_equal(save(), VHU_ESTATE);
    assert_int_equal(load(), VHU_ESTATE);
    assert_int_equal(connect_to_device(false), 0);
    assert_int_equal(save(), VHU_ENOSYS);
    assert_int_equal(load(), VHU_ENOSYS);
    end_device();
    assert_int_equal(connect_to_device(true), 0);
    assert_int_equal(vhu_shm_new(&shm, region.size), 0);
    placed.user_addr = (uintptr_t)vhu_shm_base(shm);
    assert_int_equal(vhu_remote_add_memory(vmm.remote, &placed, vhu_shm_handle(shm)), 0);
    assert_int_equal(vhu_remote_set_ring(vmm.remote, 0, &layout, 0), 0);
    assert_int_equal(vhu_remote_start(vmm.remote), 0);
    assert_int_equal(save(), VHU_ESTATE);
    assert_int_equal(load(), VHU_ESTATE);
    assert_int_equal(vhu_remote_stop(vmm.remote), 0);
    assert_int_equal(save(), 0);
    tear_down();
    vhu_shm_free(shm);
}

/* The VMM gives up: the device does not mind. */
static void test_given_up(void **state)
{
    static const size_t at[] = {1, 100000, 1 << 20};

    (void)state;
    set_up(2 << 20);
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        vmm.fails_at = at[i];
        assert_int_equal(save(), VHU_EOVERFLOW);
        make_state(2 << 20);
        assert_int_equal(load(), VHU_ENOMEM);
        vmm.fails_at = 0;
        assert_int_equal(load(), 0);
        assert_int_equal(save(), 0);
        assert_int_equal(vmm.size, 2 << 20);
    }
    tear_down();
}

static void test_device_refuses(void **state)
{
    static const size_t at[] = {1, 100000, 1 << 20};

    (void)state;
    for (size_t i = 0; i < sizeof(at) / sizeof(at[0]); i++) {
        set_up(1 << 20);
        dev.fails_at = at[i];
        assert_int_equal(save(), VHU_EREFUSED);
        make_state(1 << 20);
        assert_int_equal(load(), VHU_EREFUSED);
        assert_string_not_equal(vhu_remote_last_error(vmm.remote), "");
        assert_true(vhu_remote_is_connected(vmm.remote));
        tear_down();
    }
    /* One that is too short, one that is too long. */
    set_up(1000);
    make_state(999);
    assert_int_equal(load(), VHU_EREFUSED);
    make_state(1001);
    assert_int_equal(load(), VHU_EREFUSED);
    make_state(1000);
    assert_int_equal(load(), 0);
    tear_down();
}

/* It leaves in the middle: what has come is not taken for a state. */
static void test_device_leaves(void **state)
{
    (void)state;
    for (int loads = 0; loads <= 1; loads++) {
        set_up(3 << 20);
        dev.quits_at = 1;
        make_state(3 << 20);
        assert_true((loads ? load() : save()) < 0);
        assert_false(vhu_remote_is_connected(vmm.remote));
        tear_down();
    }
}

/* --- back-ends that are no device of the kit --- */

typedef struct other {
    vhu_backend_server *server;
    const vhu_backend_ops *ops;
    void *self;
} other;

static void other_thread(void *arg)
{
    other *o = arg;
    int r = 0;

    while (r == 0 || r == VHU_EAGAIN) {
        r = vhu_backend_server_serve(o->server);
        if (r == VHU_EAGAIN)
            r = vhu_conn_wait(vhu_backend_server_conn(o->server), -1);
    }
}

static void with_other(other *o, int timeout_ms, void (*test)(void))
{
    vhu_conn *conns[2];
    uv_thread_t thread;

    open_vmm(timeout_ms);
    assert_int_equal(vhu_conn_pair(conns, NULL), 0);
    assert_int_equal(vhu_backend_server_new(&o->server, &conns[1], o->ops, o->self, NULL), 0);
    assert_int_equal(uv_thread_create(&thread, other_thread, o), 0);
    assert_int_equal(vhu_remote_connect_over(vmm.remote, &conns[0]), 0);
    test();
    vhu_remote_disconnect(vmm.remote);
    assert_int_equal(uv_thread_join(&thread), 0);
    vhu_backend_server_free(o->server);
    close_vmm();
}

static int own_features(void *self, uint64_t *features)
{
    (void)self;
    *features = 0;
    return 0;
}

static int own_set_fd(void *self, const vhu_device_state *s, vhu_handle *handle, vhu_handle *reply)
{
    os_pipe **kept = self;
    const bool saves = s->direction == VHU_STATE_SAVE;
    int r = os_pipe_new(kept, reply, saves ? VHU_WAIT_WRITE : VHU_WAIT_READ);

    (void)handle;
    if (r < 0 || !saves)
        return r;
    r = os_pipe_write(*kept, "state", 5) == 5 ? 0 : VHU_EIO;
    os_pipe_free(*kept);
    *kept = NULL;
    return r;
}

static int own_check(void *self)
{
    os_pipe **kept = self;
    char text[8];
    int n = *kept ? os_pipe_read(*kept, text, sizeof(text)) : 0;

    if (*kept && (n != 5 || memcmp(text, "state", 5) != 0))
        return VHU_EIO;
    os_pipe_free(*kept);
    *kept = NULL;
    return 0;
}

static void use_own_pipe(void)
{
    assert_int_equal(save(), 0);
    assert_int_equal(vmm.size, 5);
    assert_memory_equal(vmm.bytes, "state", 5);
    assert_int_equal(load(), 0);
}

/* It answers with a pipe of its own, which is used instead. */
static void test_own_pipe(void **state)
{
    static os_pipe *kept;
    const vhu_backend_ops ops = {.size = sizeof(ops),
                                 .get_features = own_features,
                                 .set_device_state_fd = own_set_fd,
                                 .check_device_state = own_check};
    other o = {.ops = &ops, .self = &kept};

    (void)state;
    with_other(&o, 60000, use_own_pipe);
}

/* One that nobody reads, or something else. */
static void use_odd_pipe(void)
{
    assert_int_equal(save(), VHU_EINVAL);
    make_state(10);
    assert_true(load() < 0);
    assert_true(vhu_remote_is_connected(vmm.remote));
}

/* What it answers with is of no use. */
static void test_odd_pipe(void **state)
{
    static fake_backend fake;
    other o = {.ops = &fake_backend_ops, .self = &fake};

    (void)state;
    fake_backend_init(&fake);
    with_other(&o, 60000, use_odd_pipe);
    fake_backend_release(&fake);
}

static void use_stuck_pipe(void)
{
    assert_int_equal(save(), VHU_EREFUSED);
    make_state(MAX_STATE);
    assert_int_equal(load(), VHU_EREFUSED);
    assert_true(vhu_remote_is_connected(vmm.remote));
}

/* It takes the pipe, and does nothing with it. */
static void test_stuck_pipe(void **state)
{
    static fake_backend fake;
    other o = {.ops = &fake_backend_ops, .self = &fake};

    (void)state;
    fake_backend_init(&fake);
    fake.take = true;
    fake.give = false;
    with_other(&o, 300, use_stuck_pipe);
    fake_backend_release(&fake);
}

static fake_backend talkative;

/* One request after another, as fast as they are served. */
static int say_more(void *self)
{
    const vhu_msg_header header = {VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0x1, 0};
    peer p = peer_under(talkative.channel);

    (void)self;
    peer_send(&p, &header, sizeof(header), NULL, 0);
    return 0;
}

static void use_stuck_pipe_and_listen(void)
{
    say_more(NULL);
    use_stuck_pipe();
}

/* The same, and asks for things meanwhile: that gives it no more time. */
static void test_stuck_and_talkative(void **state)
{
    const vhu_frontend_ops ops = {.size = sizeof(ops), .config_changed = say_more};
    other o = {.ops = &fake_backend_ops, .self = &talkative};

    (void)state;
    fake_backend_init(&talkative);
    talkative.take = true;
    talkative.give = false;
    vmm_ops = &ops;
    with_other(&o, 300, use_stuck_pipe_and_listen);
    vmm_ops = NULL;
    fake_backend_release(&talkative);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_to_another),
        leakcheck_test(test_out_of_order),
        leakcheck_test(test_given_up),
        leakcheck_test(test_device_refuses),
        leakcheck_test(test_device_leaves),
        leakcheck_test(test_own_pipe),
        leakcheck_test(test_odd_pipe),
        leakcheck_test(test_stuck_pipe),
        leakcheck_test(test_stuck_and_talkative),
    };

    return cmocka_run_group_tests(tests, test_loop_setup, NULL);
}
