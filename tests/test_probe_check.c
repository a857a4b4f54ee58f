/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-probe --check finds each lie of a back-end, and accuses it of nothing else. */
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "support/fake_backend.h"
#include "support/liar.h"
#include "support/probe_rig.h"

enum { MAX_FOUND = 8, UNKNOWN = 0x7fff0000 };

static bool messages_go_whole;

static const struct {
    enum lie_kind kind;
    uint32_t request;
    const char *found[MAX_FOUND]; /* names of the checks, in their order */
} lies[] = {
    {LIE_NONE, 0, {NULL}},
    {LIE_ACKNOWLEDGE, UNKNOWN, {"unknown-request"}},
    {LIE_SILENT, UNKNOWN, {"unknown-request"}},
    {LIE_ACKNOWLEDGE,
     VHU_REQ_SET_VRING_NUM,
     {"ring-size-zero", "ring-size-odd", "ring-size-huge", "short-payload", "ring-index-size"}},
    {LIE_ACKNOWLEDGE, VHU_REQ_SET_VRING_ENABLE, {"ring-index-enable"}},
    {LIE_ACKNOWLEDGE, VHU_REQ_SET_MEM_TABLE, {"memory-no-handle", "memory-count", "memory-wraps"}},
    {LIE_ACKNOWLEDGE, VHU_REQ_ADD_MEM_REG, {"memory-remove", "memory-add-no-handle"}},
    {LIE_ACKNOWLEDGE, VHU_REQ_REM_MEM_REG, {"memory-remove-unknown"}},
    {LIE_ACKNOWLEDGE, VHU_REQ_SET_FEATURES, {"features-unoffered"}},
    {LIE_ACKNOWLEDGE, VHU_REQ_SET_PROTOCOL_FEATURES, {"protocol-features-unoffered"}},
    {LIE_REFUSE, VHU_REQ_SET_MEM_TABLE, {"memory-table"}},
    {LIE_REFUSE, VHU_REQ_SET_VRING_CALL, {"ring-call-polled"}},
    {LIE_REFUSE, VHU_REQ_RESET_DEVICE, {"reset-device"}},
    {LIE_REFUSE, VHU_REQ_SET_VRING_BASE, {"ring-base", "ack-at-once"}},
    {LIE_ALWAYS_ACKNOWLEDGE,
     VHU_REQ_SET_VRING_BASE,
     {"no-ack-unasked", "ring-base-kept", "in-two-pieces", "ring-index-base"}},
    {LIE_WAIT, VHU_REQ_GET_FEATURES, {"too-long"}},
    {LIE_KEEP_HANDLES, VHU_REQ_GET_FEATURES, {"surplus-handle"}},
    {LIE_NO_OFFSET, VHU_REQ_GET_CONFIG, {"config-offset", "config-outside"}},
    {LIE_AT_MOST_256, VHU_REQ_GET_CONFIG, {"config-long"}},
    {LIE_NEED_REPLY, VHU_REQ_GET_QUEUE_NUM, {"reply-flags"}},
    {LIE_LONGER, VHU_REQ_GET_QUEUE_NUM, {"GET_QUEUE_NUM"}},
    {LIE_TWICE, VHU_REQ_GET_QUEUE_NUM, {"GET_QUEUE_NUM"}},
    {LIE_OTHER_CODE, VHU_REQ_GET_MAX_MEM_SLOTS, {"GET_MAX_MEM_SLOTS"}},
    {LIE_EVERY_OTHER, VHU_REQ_GET_FEATURES, {"features-stable"}},
    {LIE_EVERY_OTHER, VHU_REQ_GET_PROTOCOL_FEATURES, {"protocol-features-stable"}},
    {LIE_ONE_MORE, VHU_REQ_GET_VRING_BASE, {"ring-base-kept"}},
    {LIE_MANY_HANDLES, VHU_REQ_GET_VRING_BASE, {"GET_VRING_BASE", "ring-base-kept"}},
};

/* The next one that is to be found. Where only whole messages can be sent, some rules cannot be
 * tried. */
static const char *next_expected(size_t row, size_t *n)
{
    static const char *const needs_bytes[] = {"too-long", "in-two-pieces"};
    const char *name = *n < MAX_FOUND ? lies[row].found[*n] : NULL;

    for (size_t i = 0; name && messages_go_whole && i < 2; ++i) {
        if (strcmp(name, needs_bytes[i]) == 0) {
            ++*n;
            return next_expected(row, n);
        }
    }
    *n += name != NULL;
    return name;
}

static void expect_found(const struct probed *probed, size_t row)
{
    static const char label[] = "\n  violation       ";
    const char *text = probe_text(probed);
    const char *at = text;
    size_t n = 0;
    int found = 0;

    while ((at = strstr(at, label)) != NULL) {
        const char *expected = next_expected(row, &n);
        char name[64] = "";
        at += strlen(label);
        sscanf(at, "%63s", name);
        if (!expected || strcmp(name, expected) != 0)
            print_error("lie %zu: %s\n", row, text);
        assert_non_null(expected);
        assert_string_equal(name, expected);
        ++found;
    }
    const char *missing = next_expected(row, &n);
    if (missing)
        print_error("lie %zu: no %s in %s\n", row, missing, text);
    assert_null(missing);
    assert_int_equal(probed->code, found > 0);
    assert_null(strstr(text, "not run"));
}

static void test_lies(void **state)
{
    static const char *const args[] = {"--type=blk", "--check", "--timeout=1500", "SOCKET", NULL};
    program *disk = probe_disk_start();

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; ++i) {
        struct probed probed;
        liar_meet(lies[i].kind, lies[i].request, &probed, args);
        expect_found(&probed, i);
        probe_free(&probed);
    }
    probe_disk_stop(disk);
}

/* What is asked without --check is told as a warning; the rest is found out all the same. */
static void test_warnings(void **state)
{
    static const char *const args[] = {"--type=blk", "SOCKET", NULL};
    program *disk = probe_disk_start();
    struct probed probed;

    (void)state;
    liar_meet(LIE_LONGER, VHU_REQ_GET_QUEUE_NUM, &probed, args);
    probe_disk_stop(disk);
    assert_int_equal(probed.code, 0);
    assert_true(probe_says(&probed, "queues                  no answer\n"));
    assert_true(probe_says(&probed, "2048 sectors (1 MiB)"));
    assert_true(probe_says(&probed, "warnings\n  GET_QUEUE_NUM: "));
    probe_free(&probed);
}

/* --- what the disk does not have --- */

/* A device that does all there is, and believes everything. */
static void serve_fake(void *arg)
{
    const struct probe_listener *l = arg;
    vhu_stream *front;

    while ((front = probe_accept(l)) != NULL) {
        static fake_backend fake;
        vhu_backend_server *server = NULL;
        vhu_conn *conn = NULL;
        fake_backend_init(&fake);
        assert_int_equal(vhu_conn_from_stream(&conn, &front, NULL), 0);
        vhu_conn *borrowed = conn;
        assert_int_equal(vhu_backend_server_new(&server, &conn, &fake_backend_ops, &fake, NULL), 0);
        while (vhu_conn_is_open(borrowed)) {
            vhu_conn_wait(borrowed, -1);
            vhu_backend_server_serve(server);
        }
        vhu_backend_server_free(server);
        fake_backend_release(&fake);
    }
}

static void test_every_feature(void **state)
{
    static const char *const args[] = {"--type=net", "--check", "SOCKET", NULL};
    static const char *const texts[] = {
        "\nqueues                  7\n",
        "\nshared memory\n      3               2097152\n",
        "  ok              GET_STATUS                    8 bytes\n",
        "  ok              GET_SHMEM_CONFIG              2056 bytes\n",
        "  ok              shmem-regions                 1 regions\n",
        "  ok              status-reset                  acknowledged\n",
        "  violation       inflight                      GET_INFLIGHT_FD gives an area",
    };
    struct probed probed;
    struct probe_listener listener;
    uv_thread_t thread;

    (void)state;
    probe_listen(&listener);
    assert_int_equal(uv_thread_create(&thread, serve_fake, &listener), 0);
    probe_run(&probed, args);
    probe_stop(&listener);
    uv_thread_join(&thread);
    probe_listener_free(&listener);
    assert_int_equal(probed.code, 1);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        assert_true(probe_says(&probed, texts[i]));
    assert_null(strstr(probe_text(&probed), "  not applicable  GET"));
    probe_free(&probed);
}

static int setup(void **state)
{
    vhu_stream *pair[2];

    if (vhu_stream_pair(pair) != 0)
        return -1;
    messages_go_whole = vhu_stream_transport(pair[0])->flags & VHU_TRANSPORT_MESSAGES;
    vhu_stream_free(pair[0]);
    vhu_stream_free(pair[1]);
    return probe_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_lies), leakcheck_test(test_warnings),
                                       leakcheck_test(test_every_feature)};

    return cmocka_run_group_tests(tests, setup, probe_teardown);
}
