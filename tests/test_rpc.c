/* SPDX-License-Identifier: BSD-3-Clause */
/* When a request of a client is done, by way of the device's end of the back channel. */
#include <string.h>
#include <vmm_vhost/frontend.h>

#include "support/scripted.h"
#include "util.h"

enum { MAX_TOLD = 8, CALL_BYTES = 20 };

static scripted s;
static vhu_frontend_client *client;
static int told[MAX_TOLD];
static size_t num_told;

static void done(void *arg, uint32_t request, int status, vhu_handle *handle)
{
    (void)arg;
    (void)handle;
    assert_int_equal(request, VHU_BACKEND_REQ_VRING_CALL);
    assert_true(num_told < MAX_TOLD);
    told[num_told++] = status;
}

static void open_client(size_t out_room, int timeout_ms)
{
    const vhu_frontend_client_options options = {
        .size = sizeof(options),
        .timeout_ms = timeout_ms,
        .protocol_features = VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_INBAND_NOTIFICATIONS),
        .done = done};
    vhu_conn *conn;

    num_told = 0;
    scripted_open(&s, &conn, 0, NULL);
    s.out_room = out_room;
    assert_int_equal(vhu_frontend_client_new(&client, &conn, &options), 0);
}

static void send_call(bool ack)
{
    vhu_frontend_client_set_ack(client, ack);
    assert_int_equal(vhu_frontend_client_vring_call(client, 0), 0);
}

static void add_reply(uint32_t request, uint8_t status)
{
    message m = {.header = {request, 0x5, 8}, .payload = {status}};

    scripted_add(&s, &m);
}

/* What is not acknowledged is done when all of it has been sent. */
static void test_done_when_sent(void **state)
{
    static const size_t rooms[] = {0, 1, CALL_BYTES - 1, 2 * CALL_BYTES - 1};

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rooms); i++) {
        open_client(rooms[i], 0);
        for (int n = 0; n < 2; n++)
            send_call(false);
        assert_int_equal(vhu_frontend_client_finish(client), VHU_EAGAIN);
        assert_int_equal(num_told, 0);
        s.out_room = SIZE_MAX;
        assert_int_equal(vhu_frontend_client_finish(client), 0);
        assert_int_equal(num_told, 2);
        assert_int_equal(told[0], 0);
        assert_int_equal(s.out_len, 2 * CALL_BYTES);
        vhu_frontend_client_free(client);
    }
}

/* Until then it is under its limit. */
static void test_limit_until_sent(void **state)
{
    int r;

    (void)state;
    open_client(CALL_BYTES - 1, 1);
    send_call(false);
    assert_in_range(vhu_frontend_client_deadline_ms(client), 0, 1);
    while ((r = vhu_frontend_client_finish(client)) == VHU_EAGAIN)
        continue;
    assert_int_equal(r, VHU_ETIMEDOUT);
    assert_int_equal(num_told, 1);
    assert_int_equal(told[0], VHU_ETIMEDOUT);
    assert_string_equal(vhu_conn_last_error(vhu_frontend_client_conn(client)),
                        "VRING_CALL: the peer does not read it in time");
    vhu_frontend_client_free(client);
}

/* Replies are taken while something is queued: the peer may read no further before that. */
static void test_reply_while_queued(void **state)
{
    (void)state;
    for (uint8_t refused = 0; refused < 2; refused++) {
        open_client(2 * CALL_BYTES + 5, 0);
        send_call(false);
        send_call(true);
        send_call(false);
        assert_int_equal(vhu_frontend_client_finish(client), VHU_EAGAIN);
        assert_int_equal(num_told, 0);
        add_reply(VHU_BACKEND_REQ_VRING_CALL, refused);
        assert_int_equal(vhu_frontend_client_finish(client), VHU_EAGAIN);
        assert_int_equal(num_told, 2);
        assert_int_equal(told[0], 0);
        assert_int_equal(told[1], refused ? VHU_EREFUSED : 0);
        s.out_room = SIZE_MAX;
        assert_int_equal(vhu_frontend_client_finish(client), 0);
        assert_int_equal(num_told, 3);
        assert_int_equal(told[2], 0);
        vhu_frontend_client_free(client);
    }
}

/* A reply to something else says nothing of what was sent before. */
static void test_wrong_reply_while_queued(void **state)
{
    (void)state;
    open_client(0, 0);
    send_call(false);
    send_call(true);
    add_reply(VHU_BACKEND_REQ_VRING_ERR, 0);
    assert_int_equal(vhu_frontend_client_finish(client), VHU_EINVALID_MESSAGE);
    assert_int_equal(num_told, 2);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(told[i], VHU_EINVALID_MESSAGE);
    vhu_frontend_client_free(client);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_done_when_sent),
        leakcheck_test(test_limit_until_sent),
        leakcheck_test(test_reply_while_queued),
        leakcheck_test(test_wrong_reply_while_queued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
