/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vhost-user-blk: it is run, and what it says is looked at. */
#include <stdio.h>
#include <string.h>
#include <vmm_vhost/backend_client.h>
#include <vmm_vhost/listener.h>

#include "support/file.h"
#include "support/sys.h"
#include "support/tool.h"

enum { TRIES = 3000, PAUSE_MS = 20 };

/* --- options --- */

static void test_wrong_options(void **state)
{
    static const struct tool_case cases[] = {
        {{NULL}, "--socket-path=PATH or --fd=N is needed"},
        {{"--socket-path=s"}, "--blk-file=FILE is needed"},
        {{"--blk-file=disk"}, "--socket-path=PATH or --fd=N is needed"},
        {{"--blk-file=disk", "--socket-path=s", "--fd=20"}, "exclude each other"},
        {{"--blk-file=disk", "--fd=4000"}, "--fd=4000: "},
        {{"--blk-file=disk", "--fd=-1"}, "--fd=-1: must be a number"},
        {{"--blk-file=disk", "--fd=x"}, "--fd=x"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=0"}, "--num-queues=0: must be"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=257"}, "1 to 256"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=2x"}, "--num-queues=2x"},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues="}, "--num-queues="},
        {{"--blk-file=disk", "--socket-path=s", "--num-queues=99999999999999999999"}, "must be"},
        {{"--blk-file=disk", "--socket-path=s", "--engine=aio"}, "--engine=aio: must be one of"},
        {{"--blk-file=disk", "--socket-path=s", "--engine=aio"}, "|uv"},
        {{"--blk-file=disk", "--socket-path=s", "--engine=u"}, "--engine=u: must be one of auto|"},
        {{"--blk-file=disk", "--socket-path=s", "--cache=fast"}, "writeback|none"},
        {{"--blk-file=disk", "--socket-path=s", "--serial=123456789012345678901"}, "20 characters"},
        {{"--blk-file=disk", "--socket-path=s", "--logical-block-size=1000"}, "power of two"},
        {{"--blk-file=disk", "--socket-path=s", "--withhold=MQ,mq"}, "no protocol feature 'mq'"},
        {{"--blk-file=disk", "--socket-path=s", "--withhold=CONF"}, "no protocol feature 'CONF'"},
        {{"--blk-file=disk", "--socket-path=s", "--withhold=MQ,"}, "no protocol feature ''"},
        {{"--blk-file=disk", "--socket-path=s", "--withhold=MQ,REPLY_ACK"}, "always offered"},
        {{"--blk-file=disk", "--socket-path=s", "--spin"}, "--spin: no such option"},
        {{"--blk-file=disk", "--socket-path=s", "--spin-us-"}, "--spin-us-: no such option"},
        {{"--blk-file=disk", "--socket-path=s", "--serial"}, "--serial: the option needs an"},
        {{"--blk-file=disk", "--socket-path=s", "--bogus"}, "--bogus: no such option"},
        {{"--blk-file=disk", "--socket-path=s", "-s"}, "-s: no such option"},
        {{"--blk-file=disk", "--socket-path=s", "--=1"}, "--=1: no such option"},
        {{"--blk-file=disk", "--socket-path=s", "--read-only=1"},
         "--read-only=1: the option takes"},
        {{"--blk-file=disk", "--socket-path=s", "more"}, "'more'"},
        {{"--blk-file=disk", "--socket-path=s", "--", "--once"}, "'--once'"},
        {{"--blk-file=nowhere", "--socket-path=s"}, "nowhere: No such file"},
        {{"--blk-file=empty", "--socket-path=s"}, "empty: has no room"},
        {{"--blk-file=disk", "--socket-path=nowhere/s"}, "--socket-path=nowhere/s: "},
        {{"--blk-file=disk", "--socket-path=disk"}, "--socket-path=disk: "},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

static void test_told_and_done(void **state)
{
    static const struct tool_case cases[] = {
        {{"--print-capabilities"}, "\"type\": \"block\""},
        {{"--bogus", "--print-capabilities", "--fd=x"}, "\"blk-file\""},
        {{"--help"}, "--print-capabilities"},
        {{"--version"}, "vhost-user-blk 0."},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 0);
}

/* --- serving --- */

static const char nothing_served[] =
    "\nvhost-user-blk: served requests=0 reads=0 writes=0 flushes=0 discards=0 zeroes=0 errors=0 "
    "bytes_read=0 bytes_written=0\n";

static void test_ready_and_served(void **state)
{
    sys_address address;
    char ready[256];

    (void)state;
    sys_address_new(&address);
    const char *const args[] = {"--blk-file", "disk", "--socket-path",  address.text,
                                "--engine",   "uv",   "--num-queues=3", NULL};
    snprintf(ready, sizeof(ready),
             "vhost-user-blk: ready on %s (engine uv, cache writeback, 2048 sectors, 3 queues, ",
             address.text);
    for (int i = 0; i < 2; i++) {
        program *p = tool_start(args);

        assert_true(program_says(p, PROGRAM_OUT, "workers)\n"));
        program_stop(p, nothing_served);
        assert_int_equal(strncmp(program_text(p, PROGRAM_OUT), ready, strlen(ready)), 0);
        program_free(p);
    }
}

static vhu_conn *connect_to(const char *address, unsigned flags)
{
    vhu_conn *conn = NULL;
    int r = VHU_EAGAIN;

    for (int i = 0; i < TRIES && r < 0; i++) {
        r = vhu_connect(&conn, address, flags, NULL);
        if (r < 0)
            sys_sleep_ms(PAUSE_MS);
    }
    assert_int_equal(r, 0);
    return conn;
}

/* Of its own user, it lets this one in; and it ends with it. */
static void test_once(void **state)
{
    sys_address address;
    program *p;
    vhu_conn *conn;

    (void)state;
    sys_address_new(&address);
    const char *const args[] = {"--blk-file=disk", "--socket-path", address.text, "--once",
                                "--verbose",       "--check-peer",  NULL};
    p = tool_start(args);
    conn = connect_to(address.text, VHU_CHECK_PEER);
    assert_true(program_says(p, PROGRAM_ERR, "has connected"));
    vhu_conn_free(conn);
    program_expect(p, 0, nothing_served);
    assert_non_null(strstr(program_text(p, PROGRAM_ERR), "has gone"));
    program_free(p);
    sys_address_clear(&address);
}

/* It would give the front-end more power over this process than others have. */
static void test_no_postcopy_unasked(void **state)
{
    const vhu_backend_client_options options = {.size = sizeof(options)};
    vhu_backend_client *client;
    sys_address address;
    uint64_t features;
    program *p;
    vhu_conn *conn;

    (void)state;
    sys_address_new(&address);
    const char *const args[] = {"--blk-file=disk", "--socket-path", address.text, "--once", NULL};
    p = tool_start(args);
    conn = connect_to(address.text, 0);
    assert_int_equal(vhu_backend_client_new(&client, &conn, &options), 0);
    assert_int_equal(vhu_backend_client_get_features(client, &features), 0);
    assert_int_equal(vhu_backend_client_get_protocol_features(client, &features), 0);
    assert_true(features & VHU_BIT(VHU_PF_REPLY_ACK));
    assert_false(features & VHU_BIT(VHU_PF_PAGEFAULT));
    vhu_backend_client_free(client);
    program_expect(p, 0, nothing_served);
    program_free(p);
    sys_address_clear(&address);
}

static int set_up(void **state)
{
    (void)state;
    if (tool_setup(BLK_PROGRAM, NULL))
        return -1;
    file_resize(folder_at(&tool_folder, "disk").path, 1 << 20);
    file_resize(folder_at(&tool_folder, "empty").path, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options),       leakcheck_test(test_told_and_done),
        leakcheck_test(test_ready_and_served),    leakcheck_test(test_once),
        leakcheck_test(test_no_postcopy_unasked),
    };

    return cmocka_run_group_tests(tests, set_up, tool_teardown);
}
