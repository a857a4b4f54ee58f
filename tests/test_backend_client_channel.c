/* SPDX-License-Identifier: BSD-3-Clause */
/* Both directions at once: the back-end asks while the front-end waits for it. */
#include <string.h>
#include <uv.h>
#include <vmm_vhost/wait.h>

#include "support/client_rig.h"
#include "support/fake_frontend.h"
#include "util.h"

#define PROTOCOL (VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_CONFIG) | VHU_BIT(VHU_PF_BACKEND_REQ))

/* --- the front-end's side, on the test's thread --- */

static struct {
    vhu_backend_client *client;
    vhu_frontend_server *server;
    fake_frontend fake;
    peer main; /* the device's ends */
    peer channel;
    int nested; /* of a request that an op of the channel sent */
} v;

/* What was negotiated is set from outside: the device here is no more than it needs to be. */
static void set_up(const vhu_conn_options *options)
{
    const vhu_frontend_server_options server_options = {.size = sizeof(server_options),
                                                        .features = VHU_BIT(VHU_F_ACCESS_PLATFORM),
                                                        .protocol_features = PROTOCOL};
    vhu_conn *conn;

    memset(&v, 0, sizeof(v));
    pair_open(&v.main, &conn, PAIR_STREAM, NULL);
    assert_int_equal(vhu_backend_client_new(&v.client, &conn, NULL), 0);
    pair_open(&v.channel, &conn, PAIR_STREAM, options);
    fake_frontend_init(&v.fake);
    assert_int_equal(
        vhu_frontend_server_new(&v.server, &conn, &fake_frontend_ops, &v.fake, &server_options), 0);
    vhu_backend_client_attach(v.client, v.server);
}

static void tear_down(void)
{
    vhu_backend_client_free(v.client);
    vhu_frontend_server_free(v.server);
    fake_frontend_release(&v.fake);
    peer_close(&v.main);
    peer_close(&v.channel);
}

/* --- a device with our server and client, on a thread --- */

typedef struct device {
    vhu_backend_server *server;
    vhu_frontend_client *channel;
    int when; /* the op waits for its own request: */
    unsigned requests;
    int last; /* what became of the last one */
    unsigned asked;
    unsigned answered;
} device;

enum { NOT_AT_ALL, PENDING, INSIDE };

static int get_features(void *self, uint64_t *features)
{
    (void)self;
    *features = VHU_BIT(VHU_F_ACCESS_PLATFORM);
    return 0;
}

static int set_any(void *self, uint64_t features)
{
    (void)self;
    (void)features;
    return 0;
}

static int set_backend_channel(void *self, vhu_conn **channel)
{
    (void)self;
    (void)channel;
    return 0;
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    (void)self;
    (void)offset;
    memset(buf, 0x5a, len);
    return 0;
}

static int ask_front_end(device *d)
{
    for (unsigned i = 0; i < d->requests; i++) {
        if (vhu_frontend_client_config_changed(d->channel) < 0)
            return VHU_EIO;
        d->asked++;
    }
    if (d->when == NOT_AT_ALL)
        return 0;
    if (d->when == PENDING)
        return VHU_EPENDING;
    while (vhu_frontend_client_finish(d->channel) == VHU_EAGAIN)
        vhu_conn_wait(vhu_frontend_client_conn(d->channel), -1);
    return d->last;
}

static int reset_owner(void *self)
{
    return ask_front_end(self);
}

static int get_queue_num(void *self, uint64_t *num)
{
    *num = 42;
    return ask_front_end(self);
}

static int iotlb_msg(void *self, const vhu_iotlb_msg *msg)
{
    (void)self;
    return msg->iova == 0x1000 ? 0 : VHU_EIO;
}

static int set_owner(void *self)
{
    const vhu_iotlb_msg miss = {.iova = 0x1000, .perm = VHU_IOTLB_RO, .type = VHU_IOTLB_MISS};
    device *d = self;

    /* A miss, and then this is refused: the answers cross. */
    vhu_frontend_client_iotlb_msg(d->channel, &miss);
    return VHU_EIO;
}

static void done(void *arg, uint32_t request, int status, vhu_handle *handle)
{
    device *d = arg;

    (void)request;
    (void)handle;
    d->last = status;
    d->answered++;
}

static void serve_device(device *d)
{
    vhu_wait waits[2];
    vhu_conn *conn = vhu_backend_server_conn(d->server);
    vhu_conn *channel = vhu_frontend_client_conn(d->channel);
    bool pending = false;
    int r = VHU_EAGAIN;

    while (r == VHU_EAGAIN || vhu_conn_is_open(conn)) {
        waits[0] = (vhu_wait){vhu_conn_wait_handle(conn), vhu_conn_wait_events(conn), false};
        waits[1] = (vhu_wait){vhu_conn_wait_handle(channel), vhu_conn_wait_events(channel), false};
        vhu_wait_any(waits, vhu_conn_is_open(channel) ? 2 : 1, -1);
        r = vhu_backend_server_serve(d->server);
        pending = vhu_conn_wait_events(conn) == 0;
        vhu_frontend_client_finish(d->channel);
        if (d->when == PENDING && pending && d->answered == d->asked)
            r = vhu_backend_server_complete(d->server, d->last) == 0 ? VHU_EAGAIN : r;
    }
}

static void device_thread(void *arg)
{
    static const vhu_backend_ops ops = {
        .size = sizeof(ops),
        .get_features = get_features,
        .set_features = set_any,
        .set_protocol_features = set_any,
        .set_backend_channel = set_backend_channel,
        .get_config = get_config,
        .get_queue_num = get_queue_num,
        .set_owner = set_owner,
        .reset_owner = reset_owner,
        .iotlb_msg = iotlb_msg,
    };
    device *d = arg;
    const vhu_frontend_client_options options = {.size = sizeof(options),
                                                 .features = VHU_BIT(VHU_F_ACCESS_PLATFORM),
                                                 .protocol_features = PROTOCOL,
                                                 .done = done,
                                                 .arg = d};
    vhu_conn *conn = NULL;
    vhu_conn *channel = NULL;

    if (vhu_conn_from_stream(&conn, &v.main.stream, NULL) == 0 &&
        vhu_conn_from_stream(&channel, &v.channel.stream, NULL) == 0 &&
        vhu_backend_server_new(&d->server, &conn, &ops, d, NULL) == 0 &&
        vhu_frontend_client_new(&d->channel, &channel, &options) == 0)
        serve_device(d);
    vhu_backend_server_free(d->server);
    vhu_frontend_client_free(d->channel);
}

static void negotiate(void)
{
    uint64_t features;

    assert_int_equal(vhu_backend_client_get_features(v.client, &features), 0);
    assert_int_equal(vhu_backend_client_set_features(v.client, features), 0);
    assert_int_equal(vhu_backend_client_get_protocol_features(v.client, &features), 0);
    assert_int_equal(vhu_backend_client_set_protocol_features(v.client, features), 0);
}

static void run(device *d, void (*body)(void))
{
    uv_thread_t thread;

    set_up(NULL);
    assert_int_equal(uv_thread_create(&thread, device_thread, d), 0);
    negotiate();
    body();
    vhu_backend_client_attach(v.client, NULL);
    vhu_backend_client_free(v.client);
    v.client = NULL;
    assert_int_equal(uv_thread_join(&thread), 0);
    tear_down();
}

static void ask_it(void)
{
    uint64_t num = 0;

    for (int i = 0; i < 3; i++) {
        assert_int_equal(vhu_backend_client_reset_owner(v.client), 0);
        assert_int_equal(vhu_backend_client_get_queue_num(v.client, &num), 0);
        assert_int_equal(num, 42);
    }
}

/* From inside of a request: without waiting, answering later, or even waiting right there. */
static void test_asked_while_waiting(void **state)
{
    static const unsigned counts[] = {1, 10, VHU_MAX_CALLS};

    (void)state;
    for (int when = NOT_AT_ALL; when <= INSIDE; when++) {
        for (size_t i = 0; i < VHU__COUNT(counts); i++) {
            device d = {.when = when, .requests = counts[i]};

            if (when == PENDING)
                d.requests = 1;
            if (when == NOT_AT_ALL && counts[i] == VHU_MAX_CALLS)
                d.requests = 8;
            run(&d, ask_it);
            assert_true(d.answered > 0);
            assert_int_equal(d.last, 0);
        }
    }
}

/* An op of the channel asks in turn, on the connection that waits. */
static void update(void *arg)
{
    const vhu_iotlb_msg msg = {.iova = 0x1000,
                               .size = 0x1000,
                               .user_addr = 0x1000,
                               .perm = VHU_IOTLB_RO,
                               .type = VHU_IOTLB_UPDATE};
    uint8_t config[8] = {0};

    (void)arg;
    v.nested = vhu_backend_client_iotlb_msg(v.client, &msg);
    if (v.nested == 0)
        v.nested = vhu_backend_client_get_config(v.client, 0, config, sizeof(config));
    if (config[7] != 0x5a)
        v.nested = VHU_EFAULT;
}

static void ask_nested(void)
{
    v.fake.within = update;
    for (unsigned i = 1; i <= 20; i++) {
        v.nested = VHU_EAGAIN;
        /* Each gets its own outcome, in whatever order they come. */
        assert_int_equal(vhu_backend_client_set_owner(v.client), VHU_EREFUSED);
        while (v.fake.calls < i) {
            vhu_conn_wait(vhu_frontend_server_conn(v.server), -1);
            vhu_frontend_server_serve(v.server);
        }
        assert_int_equal(v.nested, 0);
    }
}

static void test_nested(void **state)
{
    device d = {.when = NOT_AT_ALL};

    (void)state;
    run(&d, ask_nested);
    assert_int_equal(d.answered, 20);
}

/* The caller's requests are only begun; those of the op are waited for all the same. */
static void ask_nested_begun(void)
{
    uint8_t config[8] = {0};
    uint64_t num = 0;

    v.fake.within = update;
    v.nested = VHU_EAGAIN;
    vhu_backend_client_begin(v.client);
    assert_int_equal(vhu_backend_client_get_queue_num(v.client, &num), VHU_EPENDING);
    while (v.fake.calls == 0)
        assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    assert_int_equal(v.nested, 0);
    assert_int_equal(vhu_backend_client_get_config(v.client, 0, config, sizeof(config)),
                     VHU_EPENDING);
    while (vhu_backend_client_finish(v.client) == VHU_EAGAIN)
        assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    assert_int_equal(num, 42);
    assert_int_equal(config[7], 0x5a);
}

static void test_nested_begun(void **state)
{
    device d = {.when = NOT_AT_ALL, .requests = 1};

    (void)state;
    run(&d, ask_nested_begun);
}

/* --- a device that is no more than bytes --- */

/* Wait for a message of this length. */
static bool read_message(peer *p, void *bytes, size_t len)
{
    void *self;
    const vhu_transport *transport = peer_transport(p, &self);
    uint8_t *next = bytes;

    while (len > 0) {
        vhu_handle handles[1];
        size_t num_handles = 0;
        int n = transport->recv(self, next, len, handles, &num_handles);

        if (n == VHU_EAGAIN)
            n = transport->wait(self, VHU_WAIT_READ, -1);
        if (n < 0)
            return false;
        next += n;
        len -= (size_t)n;
    }
    return true;
}

static void write_reply(void)
{
    const struct {
        vhu_msg_header header;
        uint8_t value[8];
    } reply = {{VHU_REQ_GET_FEATURES, 0x5, 8}, {77}};

    peer_send(&v.main, &reply, sizeof(reply), NULL, 0);
}

enum { FLOOD = 600 };

/* Many requests in one piece, more than are served in one go; the reply follows the last answer. */
static void flood_thread(void *arg)
{
    static vhu_msg_header requests[FLOOD];
    uint8_t buf[20];

    (void)arg;
    if (!read_message(&v.main, buf, 12))
        return;
    for (size_t i = 0; i < FLOOD; i++)
        requests[i] = (vhu_msg_header){VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0x9, 0};
    peer_send_burst(&v.channel, requests, sizeof(requests));
    for (size_t i = 0; i < FLOOD; i++) {
        if (!read_message(&v.channel, buf, 20))
            return;
    }
    write_reply();
}

static void test_flood(void **state)
{
    uv_thread_t thread;
    uint64_t features = 0;

    (void)state;
    set_up(NULL);
    assert_int_equal(uv_thread_create(&thread, flood_thread, NULL), 0);
    assert_int_equal(vhu_backend_client_get_features(v.client, &features), 0);
    assert_int_equal(features, 77);
    assert_int_equal(v.fake.calls, FLOOD);
    assert_int_equal(uv_thread_join(&thread), 0);
    tear_down();
}

/* The same without answers, which would keep the loop awake: what was read is served, too. */
static void test_flood_of_one_way(void **state)
{
    static vhu_msg_header requests[FLOOD];
    uint64_t features = 0;

    (void)state;
    set_up(NULL);
    for (size_t i = 0; i < FLOOD; i++)
        requests[i] = (vhu_msg_header){VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0x1, 0};
    peer_send_burst(&v.channel, requests, sizeof(requests));
    vhu_backend_client_begin(v.client);
    assert_int_equal(vhu_backend_client_get_features(v.client, &features), VHU_EPENDING);
    while (v.fake.calls < FLOOD)
        assert_int_equal(vhu_backend_client_wait(v.client, 1000), 0);
    write_reply();
    assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    assert_int_equal(vhu_backend_client_finish(v.client), 0);
    tear_down();
}

/* What becomes of the channel does not matter to the request. */
static void test_channel_ends(void **state)
{
    static const struct {
        size_t bytes; /* of rubbish, before it ends */
        bool close;
    } ways[] = {{0, true}, {5, true}, {12, true}, {12, false}};
    static const uint8_t rubbish[12] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(ways); i++) {
        uint64_t features = 0;

        set_up(NULL);
        peer_send(&v.channel, rubbish, ways[i].bytes, NULL, 0);
        if (ways[i].close)
            peer_close(&v.channel);
        vhu_backend_client_begin(v.client);
        assert_int_equal(vhu_backend_client_get_features(v.client, &features), VHU_EPENDING);
        while (vhu_conn_is_open(vhu_frontend_server_conn(v.server)))
            assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
        assert_int_equal(vhu_backend_client_finish(v.client), VHU_EAGAIN);
        write_reply();
        assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
        assert_int_equal(vhu_backend_client_finish(v.client), 0);
        assert_int_equal(features, 77);
        tear_down();
    }
}

/* Silence in the middle of a message, or what is none, ends the channel, and no more. */
static void test_channel_deadline(void **state)
{
    const vhu_conn_options options = {.size = sizeof(options), .timeout_ms = 1};
    uint64_t features = 0;

    (void)state;
    set_up(&options);
    peer_send(&v.channel, "\2\0\0", 3, NULL, 0);
    vhu_backend_client_set_timeout(v.client, -1);
    vhu_backend_client_begin(v.client);
    assert_int_equal(vhu_backend_client_get_features(v.client, &features), VHU_EPENDING);
    while (vhu_conn_is_open(vhu_frontend_server_conn(v.server)))
        assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    write_reply();
    assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    assert_int_equal(vhu_backend_client_finish(v.client), 0);
    tear_down();
}

/* An op of the channel that is not done yet holds nothing up. */
static void pend(bool leaves)
{
    const vhu_msg_header header = {VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0x9, 0};
    uint64_t features = 0;
    uint8_t ack[20];

    set_up(NULL);
    v.fake.result = VHU_EPENDING;
    peer_send(&v.channel, &header, sizeof(header), NULL, 0);
    peer_send(&v.channel, &header, sizeof(header), NULL, 0);
    vhu_backend_client_begin(v.client);
    assert_int_equal(vhu_backend_client_get_features(v.client, &features), VHU_EPENDING);
    while (v.fake.calls == 0)
        assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    /* Nothing to do there until it completes, not even if its peer leaves. */
    if (leaves)
        peer_close(&v.channel);
    assert_int_equal(vhu_backend_client_wait(v.client, 1), VHU_ETIMEDOUT);
    assert_int_equal(v.fake.calls, 1);
    v.fake.result = 0;
    if (leaves) {
        vhu_frontend_server_complete(v.server, 0);
    } else {
        assert_int_equal(vhu_frontend_server_complete(v.server, 0), 0);
        while (v.fake.calls == 1)
            assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
        assert_true(read_message(&v.channel, ack, sizeof(ack)));
    }
    write_reply();
    assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    assert_int_equal(vhu_backend_client_finish(v.client), 0);
    tear_down();
}

static void test_channel_pending(void **state)
{
    (void)state;
    pend(false);
    pend(true);
}

/* Not attached any more: not served. */
static void test_detached(void **state)
{
    const vhu_msg_header header = {VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, 0x9, 0};

    (void)state;
    set_up(NULL);
    vhu_backend_client_attach(v.client, NULL);
    peer_send(&v.channel, &header, sizeof(header), NULL, 0);
    assert_int_equal(vhu_backend_client_wait(v.client, 1), VHU_ETIMEDOUT);
    assert_int_equal(v.fake.calls, 0);
    vhu_backend_client_attach(v.client, v.server);
    assert_int_equal(vhu_backend_client_wait(v.client, -1), 0);
    assert_int_equal(v.fake.calls, 1);
    tear_down();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_asked_while_waiting),
        leakcheck_test(test_nested),
        leakcheck_test(test_nested_begun),
        leakcheck_test(test_flood),
        leakcheck_test(test_flood_of_one_way),
        leakcheck_test(test_channel_ends),
        leakcheck_test(test_channel_deadline),
        leakcheck_test(test_channel_pending),
        leakcheck_test(test_detached),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
