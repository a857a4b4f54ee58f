/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A program of somebody else's, with nothing but what is installed: a request over a connection,
 * and one over a ring. It is also compiled with the headers of older releases, so it uses what all
 * releases of this ABI have.
 */
#include <stdio.h>
#include <string.h>

#include <vmm_vhost/vmm_vhost.h>

enum { GUEST = 0x10000, MEMORY = 0x10000, NUM = 8 };

static const char text[] = "over the ring";

static int failed(const char *what, int error)
{
    fprintf(stderr, "%s: %s\n", what, vhu_strerror(error));
    return 1;
}

/* What is compiled in and what runs mean the same by a number. */
static int check_names(void)
{
#define CHECK_ERROR(name, value, class, words)                                                     \
    if (strcmp(vhu_error_name(value), "VHU_" #name) != 0 ||                                        \
        vhu_error_classify(value) != VHU_CLASS_##class)                                            \
        return failed(#name, value);
    VHU_ERROR_MAP(CHECK_ERROR)
#undef CHECK_ERROR
    return 0;
}

static int get_features(void *self, uint64_t *features)
{
    *features = *(const uint64_t *)self;
    return 0;
}

static int ask(vhu_backend_client *client, vhu_backend_server *server, uint64_t *features)
{
    int r;

    vhu_backend_client_begin(client);
    r = vhu_backend_client_get_features(client, features);
    if (r != VHU_EPENDING)
        return r;
    do {
        r = vhu_backend_server_serve(server);
        if (r == 0 || r == VHU_EAGAIN)
            r = vhu_backend_client_finish(client);
    } while (r == VHU_EAGAIN);
    return r;
}

static int check_connection(void)
{
    const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = 5000};
    const vhu_backend_ops ops = {.size = sizeof(ops), .get_features = get_features};
    uint64_t offered = VHU_QUEUE_FEATURES, features = 0;
    vhu_conn *conns[2] = {NULL, NULL};
    vhu_backend_server *server = NULL;
    vhu_backend_client *client = NULL;
    int r = vhu_conn_pair(conns, &options);

    if (r == 0)
        r = vhu_backend_server_new(&server, &conns[0], &ops, &offered, NULL);
    if (r == 0)
        r = vhu_backend_client_new(&client, &conns[1], NULL);
    if (r == 0)
        r = ask(client, server, &features);
    if (r == 0 && (features & offered) != offered)
        r = VHU_EINVALID_MESSAGE;
    vhu_backend_client_free(client);
    vhu_backend_server_free(server);
    vhu_conn_free(conns[0]);
    vhu_conn_free(conns[1]);
    return r < 0 ? failed("connection", r) : 0;
}

static int transfer(vhu_driver_ring *driver, vhu_queue *queue, uint64_t data)
{
    const vhu_guest_buf buf = {data, sizeof(text)};
    vhu_driver_used used;
    vhu_buf piece;
    vhu_chain chain = {.bufs = &piece, .capacity = 1};
    int r = vhu_driver_ring_add(driver, &buf, 1, 0, &used);

    if (r < 0)
        return r;
    vhu_driver_ring_publish(driver);
    r = vhu_queue_take(queue, &chain, 1);
    if (r != 1 || chain.readable_len != sizeof(text) || memcmp(piece.base, text, sizeof(text)) != 0)
        return r < 0 ? r : VHU_EBROKEN_RING;
    vhu_queue_complete(queue, &chain, 1);
    r = vhu_driver_ring_collect(driver, &used, 1);
    return r == 1 && used.token == &used ? 0 : VHU_EBROKEN_RING;
}

static int run_ring(const vhu_memory *memory, vhu_driver_ring **driver, vhu_queue **queue)
{
    vhu_driver_ring_config config = {
        .size = sizeof(config), .memory = memory, .layout = {.num = NUM}};
    vhu_queue_config served = {.size = sizeof(served), .memory = memory, .num = NUM};
    uint64_t data = vhu_driver_ring_place(&config, GUEST);
    int r = vhu_driver_ring_new(driver, &config);

    if (r < 0)
        return r;
    served.addr.desc = config.layout.desc;
    served.addr.avail = config.layout.avail;
    served.addr.used = config.layout.used;
    r = vhu_queue_new(queue);
    if (r == 0)
        r = vhu_queue_start(*queue, &served);
    if (r < 0)
        return r;
    memcpy(vhu_memory_at(memory, data, sizeof(text)), text, sizeof(text));
    return transfer(*driver, *queue, data);
}

static int check_ring(void)
{
    vhu_mem_region region = {.guest_addr = GUEST, .size = MEMORY, .user_addr = GUEST};
    vhu_memory *memory = NULL;
    vhu_shm *shm = NULL;
    vhu_driver_ring *driver = NULL;
    vhu_queue *queue = NULL;
    int r = vhu_shm_new(&shm, MEMORY);

    if (r == 0)
        r = vhu_memory_new(&memory);
    if (r == 0)
        r = vhu_memory_add_local(memory, &region, vhu_shm_base(shm));
    if (r == 0)
        r = run_ring(memory, &driver, &queue);
    vhu_queue_free(queue);
    vhu_driver_ring_free(driver);
    vhu_memory_free(memory);
    vhu_shm_free(shm);
    return r < 0 ? failed("ring", r) : 0;
}

int main(void)
{
    if (check_names() != 0 || check_connection() != 0 || check_ring() != 0)
        return 1;
    printf("core: made for %s, runs with %s\n", VHU_VERSION_STRING, vhu_version());
    return 0;
}
