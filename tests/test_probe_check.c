/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-probe --check finds each lie of a back-end, and accuses it of nothing else. */
#include <stdio.h>
#include <string.h>

#include "support/liar.h"
#include "support/probe_rig.h"

enum { MAX_FOUND = 8, UNKNOWN = 0x7fff0000 };

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
};

static void expect_found(const struct probed *probed, size_t row)
{
    static const char label[] = "\n  violation       ";
    const char *at = probed->text;
    size_t n = 0;

    while ((at = strstr(at, label)) != NULL) {
        char name[64] = "";
        at += strlen(label);
        sscanf(at, "%63s", name);
        if (n == MAX_FOUND || !lies[row].found[n] || strcmp(name, lies[row].found[n]) != 0)
            print_error("lie %zu: %s\n", row, probed->text);
        assert_true(n < MAX_FOUND);
        assert_non_null(lies[row].found[n]);
        assert_string_equal(name, lies[row].found[n++]);
    }
    if (n < MAX_FOUND && lies[row].found[n])
        print_error("lie %zu: no %s in %s\n", row, lies[row].found[n], probed->text);
    assert_true(n == MAX_FOUND || !lies[row].found[n]);
    assert_int_equal(probed->code, n > 0);
    assert_null(strstr(probed->text, "not run"));
}

static void test_lies(void **state)
{
    static const char *const args[] = {"--type=blk", "--check", "--timeout=1500", "socket", NULL};
    static struct probed probed;
    const pid_t disk = probe_disk_start();

    (void)state;
    for (size_t i = 0; i < sizeof lies / sizeof lies[0]; ++i) {
        struct liar liar;
        liar_start(&liar, lies[i].kind, lies[i].request);
        probe_run(&probed, args);
        liar_stop(&liar);
        expect_found(&probed, i);
    }
    probe_disk_stop(disk);
}

/* What is asked without --check is told as a warning; the rest is found out all the same. */
static void test_warnings(void **state)
{
    static const char *const args[] = {"--type=blk", "socket", NULL};
    static struct probed probed;
    const pid_t disk = probe_disk_start();
    struct liar liar;

    (void)state;
    liar_start(&liar, LIE_LONGER, VHU_REQ_GET_QUEUE_NUM);
    probe_run(&probed, args);
    liar_stop(&liar);
    probe_disk_stop(disk);
    assert_int_equal(probed.code, 0);
    assert_true(probe_says(&probed, "queues                  no answer\n"));
    assert_true(probe_says(&probed, "2048 sectors (1 MiB)"));
    assert_true(probe_says(&probed, "warnings\n  GET_QUEUE_NUM: "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_lies), leakcheck_test(test_warnings)};

    return cmocka_run_group_tests(tests, probe_folder, probe_folder_remove);
}
