/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Every structure led by its size, from callers of other versions: older ones, which lack what was
 * appended since, and newer ones, which have more. A row for each; tests/symbols sees to that.
 */
#include <stdio.h>
#include <string.h>

#include <vmm_vhost/uv.h>
#include <vmm_vhost/vmm_vhost.h>

#include "support/leakcheck.h"
#include "support/sys.h"
#include "support/test_loop.h"
#include "util.h"

enum { MEMORY_SIZE = 0x10000, GUEST = 0x10000, NUM = 16 };

/* --- what a structure is given to; what is made of it is freed at once --- */

static int conn_options(const void *s)
{
    vhu_conn *conns[2];
    int r = vhu_conn_pair(conns, s);

    for (unsigned i = 0; r == 0 && i < 2; i++)
        vhu_conn_free(conns[i]);
    return r;
}

static int recv_nothing(void *self, void *buf, size_t capacity, vhu_handle *handles,
                        size_t *num_handles)
{
    (void)self, (void)buf, (void)capacity, (void)handles;
    *num_handles = 0;
    return VHU_EAGAIN;
}

static int send_nothing(void *self, const void *buf, size_t len, const vhu_handle *handles,
                        size_t num_handles)
{
    (void)self, (void)buf, (void)len, (void)handles, (void)num_handles;
    return VHU_EAGAIN;
}

static const vhu_transport a_transport = {.recv = recv_nothing, .send = send_nothing};

static int transport(const void *s)
{
    vhu_conn *conn = NULL;
    int r = vhu_conn_new(&conn, s, NULL, NULL);

    vhu_conn_free(conn);
    return r;
}

static vhu_conn *new_conn(void)
{
    vhu_transport copy = a_transport;
    vhu_conn *conn;

    copy.size = sizeof(copy);
    assert_int_equal(vhu_conn_new(&conn, &copy, NULL, NULL), 0);
    return conn;
}

static int backend(const vhu_backend_ops *ops, const vhu_backend_server_options *options)
{
    vhu_conn *conn = new_conn();
    vhu_backend_server *server = NULL;
    int r = vhu_backend_server_new(&server, &conn, ops, NULL, options);

    vhu_backend_server_free(server);
    vhu_conn_free(conn);
    return r;
}

static int backend_ops(const void *s)
{
    return backend(s, NULL);
}

static int backend_server_options(const void *s)
{
    const vhu_backend_ops ops = {.size = sizeof(ops)};

    return backend(&ops, s);
}

static int backend_client_options(const void *s)
{
    vhu_conn *conn = new_conn();
    vhu_backend_client *client = NULL;
    int r = vhu_backend_client_new(&client, &conn, s);

    vhu_backend_client_free(client);
    vhu_conn_free(conn);
    return r;
}

static int frontend(const vhu_frontend_ops *ops, const vhu_frontend_server_options *options)
{
    vhu_conn *conn = new_conn();
    vhu_frontend_server *server = NULL;
    int r = vhu_frontend_server_new(&server, &conn, ops, NULL, options);

    vhu_frontend_server_free(server);
    vhu_conn_free(conn);
    return r;
}

static int frontend_ops(const void *s)
{
    return frontend(s, NULL);
}

static int frontend_server_options(const void *s)
{
    const vhu_frontend_ops ops = {.size = sizeof(ops)};

    return frontend(&ops, s);
}

static int frontend_client_options(const void *s)
{
    vhu_conn *conn = new_conn();
    vhu_frontend_client *client = NULL;
    int r = vhu_frontend_client_new(&client, &conn, s);

    vhu_frontend_client_free(client);
    vhu_conn_free(conn);
    return r;
}

static int listener_options(const void *s)
{
    sys_address address;
    vhu_listener *listener = NULL;
    int r;

    sys_address_new(&address);
    r = vhu_listener_new(&listener, address.text, s);
    vhu_listener_free(listener);
    sys_address_clear(&address);
    return r;
}

/* Nobody listens, if it comes to that. */
static int pipe_options(const void *s)
{
    sys_address address;
    vhu_stream *stream = NULL;
    int r;

    sys_address_new(&address);
    r = vhu_stream_connect(&stream, address.text, 0, s);
    sys_address_clear(&address);
    return r == VHU_ENOENT ? 0 : r;
}

static int message(const void *s)
{
    return vhu_describe(s, NULL, NULL, NULL) == VHU_FOUND_FAULTS ? VHU_EINVAL : 0;
}

/* --- of the kits --- */

static void handle_ring(void *self, vhu_ring *ring)
{
    (void)self, (void)ring;
}

static const vhu_device_ops some_ops = {.size = sizeof(some_ops), .handle_ring = handle_ring};
static const vhu_device_options one_ring = {.size = sizeof(one_ring), .num_rings = 1};

static int device(const vhu_device_options *options, const vhu_device_ops *ops,
                  const vhu_executor *executor)
{
    vhu_device *made = NULL;
    int r = vhu_device_new(&made, options, ops, NULL, executor, NULL);

    vhu_device_free(made);
    return r;
}

static int device_ops(const void *s)
{
    return device(&one_ring, s, NULL);
}

static int device_options(const void *s)
{
    return device(s, &some_ops, NULL);
}

static int executor(const void *s)
{
    return device(&one_ring, &some_ops, s);
}

static int uv_device(const vhu_device_options *options, const vhu_device_ops *ops,
                     const vhu_uv_device_options *uv)
{
    vhu_uv_device *made = NULL;
    test_loop loop;
    int r;

    test_loop_open(&loop);
    r = vhu_uv_device_new(&made, &loop.uv, options, ops, NULL, uv);
    if (made)
        vhu_uv_device_close(made, NULL, NULL);
    test_loop_close(&loop);
    return r;
}

static int uv_device_options(const void *s)
{
    return uv_device(&one_ring, &some_ops, s);
}

static int uv_device_device(const void *s)
{
    const vhu_uv_device_options uv = {.size = sizeof(uv)};

    return uv_device(s, &some_ops, &uv);
}

static int remote_options(const void *s)
{
    vhu_remote *remote = NULL;
    int r = vhu_remote_new(&remote, s);

    vhu_remote_free(remote);
    return r;
}

static int advised(void *self, vhu_handle *userfault)
{
    (void)self, (void)userfault;
    return 0;
}

static void placed(void *self, uint64_t guest_addr, uint64_t size, uint64_t backend_addr)
{
    (void)self, (void)guest_addr, (void)size, (void)backend_addr;
}

static int postcopy_ops(const void *s)
{
    const vhu_remote_options options = {.size = sizeof(options), .num_rings = 1};
    vhu_remote *remote;
    int r;

    assert_int_equal(vhu_remote_new(&remote, &options), 0);
    r = vhu_remote_begin_postcopy(remote, s, NULL);
    vhu_remote_free(remote);
    return r;
}

/* --- of rings, with memory for them --- */

static _Alignas(16) uint8_t bytes[MEMORY_SIZE];
static vhu_memory *memory;

static int set_up(void **state)
{
    const vhu_mem_region region = {.guest_addr = GUEST, .size = sizeof(bytes), .user_addr = GUEST};

    if (test_loop_setup(state) != 0 || vhu_memory_new(&memory) < 0)
        return -1;
    return vhu_memory_add_local(memory, &region, bytes);
}

static int tear_down(void **state)
{
    (void)state;
    vhu_memory_free(memory);
    return 0;
}

static int driver_ring_config(const void *s)
{
    vhu_driver_ring *ring = NULL;
    int r = vhu_driver_ring_new(&ring, s);

    vhu_driver_ring_free(ring);
    return r;
}

static int queue_config(const void *s)
{
    vhu_queue *queue;
    int r;

    assert_int_equal(vhu_queue_new(&queue), 0);
    r = vhu_queue_start(queue, s);
    vhu_queue_free(queue);
    return r;
}

/* --- the table --- */

/* Room for any of them, and for what another version has behind it. */
typedef union any {
    size_t size;
    unsigned char bytes[1024];
    vhu_transport transport;
    vhu_message message;
    vhu_device_ops device_ops;
    vhu_device_options device_options;
    vhu_executor executor;
    vhu_remote_options remote_options;
    vhu_postcopy_ops postcopy_ops;
    vhu_driver_ring_config driver_ring_config;
    vhu_queue_config queue_config;
} any;

static void fill_transport(any *a)
{
    a->transport = a_transport;
}

static void fill_message(any *a)
{
    a->message.header = (vhu_msg_header){.request = VHU_REQ_GET_FEATURES, .flags = VHU_VERSION_1};
}

static void fill_device_ops(any *a)
{
    a->device_ops = some_ops;
}

static void fill_device_options(any *a)
{
    a->device_options = one_ring;
}

static void fill_executor(any *a)
{
    a->executor.num_workers = 1;
}

static void fill_remote_options(any *a)
{
    a->remote_options.num_rings = 1;
}

static void fill_postcopy_ops(any *a)
{
    a->postcopy_ops.advised = advised;
    a->postcopy_ops.placed = placed;
}

static void fill_driver_ring_config(any *a)
{
    a->driver_ring_config.memory = memory;
    a->driver_ring_config.layout.num = NUM;
    vhu_driver_ring_place(&a->driver_ring_config, GUEST);
}

static void fill_queue_config(any *a)
{
    a->queue_config.memory = memory;
    a->queue_config.num = NUM;
    a->queue_config.addr =
        (vhu_vring_addr){.desc = GUEST, .avail = GUEST + 0x1000, .used = GUEST + 0x2000};
}

typedef struct sized {
    const char *name;
    size_t known; /* its size today */
    size_t least; /* so much of it is enough */
    int (*use)(const void *structure);
    void (*fill)(any *a); /* with what makes it work; NULL: it does when it is empty */
} sized;

#define ROW(type, least, ...)                                                                      \
    {                                                                                              \
#type, sizeof(type), (least), __VA_ARGS__                                                  \
    }
#define UP_TO(type, member, ...) ROW(type, offsetof(type, member), __VA_ARGS__)

static const sized rows[] = {
    UP_TO(vhu_backend_client_options, timeout_ms, backend_client_options, NULL),
    UP_TO(vhu_backend_ops, get_features, backend_ops, NULL),
    UP_TO(vhu_backend_server_options, max_rings, backend_server_options, NULL),
    UP_TO(vhu_conn_options, log, conn_options, NULL),
    UP_TO(vhu_device_ops, poll, device_ops, fill_device_ops),
    UP_TO(vhu_device_options, log, device_options, fill_device_options),
    UP_TO(vhu_device_options, log, uv_device_device, fill_device_options),
    UP_TO(vhu_driver_ring_config, tables, driver_ring_config, fill_driver_ring_config),
    UP_TO(vhu_executor, wake, executor, fill_executor),
    UP_TO(vhu_frontend_client_options, done, frontend_client_options, NULL),
    UP_TO(vhu_frontend_ops, iotlb_msg, frontend_ops, NULL),
    UP_TO(vhu_frontend_server_options, max_rings, frontend_server_options, NULL),
    UP_TO(vhu_listener_options, connection, listener_options, NULL),
    UP_TO(vhu_message, features, message, fill_message),
    UP_TO(vhu_pipe_options, peer_process, pipe_options, NULL),
    ROW(vhu_postcopy_ops, sizeof(vhu_postcopy_ops), postcopy_ops, fill_postcopy_ops),
    ROW(vhu_queue_config, sizeof(vhu_queue_config), queue_config, fill_queue_config),
    UP_TO(vhu_remote_options, protocol_features, remote_options, fill_remote_options),
    UP_TO(vhu_transport, wait_handle, transport, fill_transport),
    UP_TO(vhu_uv_device_options, worker_start, uv_device_options, NULL),
};

/* What is not the caller's has bits set that would do harm. */
static int use(const sized *row, size_t size, size_t last_byte)
{
    any a = {.bytes = {0}};

    if (row->fill)
        row->fill(&a);
    if (size < sizeof(a))
        memset(a.bytes + size, 0xff, sizeof(a) - size);
    if (last_byte)
        a.bytes[last_byte] = 1;
    a.size = size;
    return row->use(&a);
}

static void expect(const sized *row, size_t size, size_t last_byte, int result)
{
    int r = use(row, size, last_byte);

    if (r != result)
        fail_msg("%s of %zu bytes, not %zu: %s, not %s", row->name, size, row->known,
                 vhu_error_name(r), vhu_error_name(result));
}

static void test_versions(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        const sized *row = &rows[i];
        const size_t newer = row->known + 3 * sizeof(void *);

        assert_true(newer < sizeof(any));
        expect(row, row->known, 0, 0);
        expect(row, row->least, 0, 0);
        expect(row, newer, 0, 0);
        expect(row, newer, row->known, VHU_EINVAL);
        expect(row, newer, newer - 1, VHU_EINVAL);
    }
}

static void test_wrong_sizes(void **state)
{
    static const size_t sizes[] = {0, 1, sizeof(size_t) - 1, VHU__SIZED_MAX + 1, SIZE_MAX};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        for (size_t k = 0; k < VHU__COUNT(sizes); k++)
            expect(&rows[i], sizes[k], 0, VHU_EINVAL);
    }
}

/* What the header says, what the program was compiled with, and what runs are of one version. */
static void test_version(void **state)
{
    char text[32];

    (void)state;
    snprintf(text, sizeof(text), "%d.%d.%d", VHU_VERSION_MAJOR, VHU_VERSION_MINOR,
             VHU_VERSION_PATCH);
    assert_string_equal(text, VHU_VERSION_STRING);
    assert_string_equal(vhu_version(), VHU_VERSION_STRING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_versions),
        leakcheck_test(test_wrong_sizes),
        leakcheck_test(test_version),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
