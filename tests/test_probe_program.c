/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vhost-user-probe: what it tells of a disk, and of what is no back-end. */
#include <string.h>
#include <uv.h>
#include <vmm_vhost/protocol.h>

#include "support/json.h"
#include "support/probe_rig.h"

/* --- options --- */

static void test_wrong_options(void **state)
{
    static const struct {
        const char *args[4];
        const char *text;
    } rows[] = {
        {{NULL}, "one ADDRESS is needed"},
        {{"a", "b"}, "one ADDRESS is needed"},
        {{"--type=disk", "a"}, "blk|net|fs|"},
        {{"--timeout=0", "a"}, "--timeout=0: must be"},
        {{"--read=3", "a"}, "--read needs --type=blk"},
        {{"--read=3", "--type=net", "a"}, "--read needs --type=blk"},
        {{"--read=x", "--type=blk", "a"}, "--read: must be a number"},
        {{"--read=-1", "--type=blk", "a"}, "--read: must be a number"},
        {{"--bogus", "a"}, "--bogus: no such option"},
        {{"NOWHERE"}, ": no such address or file"},
        {{""}, ": an argument is wrong"},
    };
    struct probed probed;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        probe_run(&probed, rows[i].args);
        program_expect(probed.program, 2, rows[i].text);
        probe_free(&probed);
    }
}

static void test_told_and_done(void **state)
{
    static const struct {
        const char *option;
        const char *text;
    } rows[] = {{"--help", "|crypto|i2c|gpio"},
                {"--help", "@NAME, or \\\\.\\pipe\\NAME on Windows"},
                {"--version", "vhost-user-probe 0."}};
    struct probed probed;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        probe_run(&probed, (const char *const[]){rows[i].option, NULL});
        program_expect(probed.program, 0, rows[i].text);
        probe_free(&probed);
    }
}

/* --- a disk --- */

static void test_disk(void **state)
{
    static const char *const args[] = {"--type=blk", "--read=1234", "--check", "DISK", NULL};
    static const char *const texts[] = {
        "type                    blk\n",
        "9 FLUSH",
        "3 REPLY_ACK",
        "queues                  2\n",
        "memory slots            ",
        "     0    8  capacity                          2048 sectors (1 MiB)\n",
        "    34    2  num_queues                        2\n",
        "sector                  1234\n",
        "  0000  d2 04 00 00 00 00 00 00",
        "  ok              ring-size-zero                refused with ",
        "  not applicable  GET_SHMEM_CONFIG              SHMEM is not offered\n",
        "violations              0\n",
    };
    struct probed probed;
    program *disk;

    (void)state;
    disk = probe_disk_start();
    probe_run(&probed, args);
    probe_disk_stop(disk);
    assert_int_equal(probed.code, 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        assert_true(probe_says(&probed, texts[i]));
    assert_null(strstr(probe_text(&probed), "warnings"));
    assert_null(strstr(probe_text(&probed), "not run"));
    probe_free(&probed);
}

/* Nothing is guessed. */
static void test_without_type(void **state)
{
    struct probed probed;
    program *disk;

    (void)state;
    disk = probe_disk_start();
    probe_run(&probed, (const char *const[]){"DISK", NULL});
    probe_disk_stop(disk);
    assert_int_equal(probed.code, 0);
    assert_true(probe_says(&probed, "type                    not given"));
    assert_true(probe_says(&probed, "configuration           256 bytes\n  0000  00 08 00 00 "));
    assert_null(strstr(probe_text(&probed), "FLUSH"));
    probe_free(&probed);
}

static void test_sector_outside(void **state)
{
    static const char *const args[] = {"--type=blk", "--json", "--read=99999999999", "DISK", NULL};
    struct probed probed;
    program *disk;

    (void)state;
    disk = probe_disk_start();
    probe_run(&probed, args);
    probe_disk_stop(disk);
    assert_int_equal(probed.code, 2);
    assert_true(probe_says(&probed, "sector 99999999999: the device answers with status 1"));
    probe_free(&probed);
}

static void test_json(void **state)
{
    static const char *const args[][7] = {
        {"--json", "DISK"},
        {"--json", "--type=blk", "--check", "--read=7", "DISK"},
        {"--json", "--type=fs", "DISK"},
        {"--json", "--type=net", "DISK"},
        {"--json", "--type=input", "DISK"},
        {"--json", "--type=rng", "DISK"},
    };
    struct probed probed;
    program *disk;

    (void)state;
    disk = probe_disk_start();
    for (size_t i = 0; i < sizeof args / sizeof args[0]; ++i) {
        probe_run(&probed, args[i]);
        assert_int_equal(probed.code, 0);
        assert_true(json_is_valid(probe_text(&probed)));
        assert_true(probe_says(&probed, "{\"bit\": 3, \"name\": \"REPLY_ACK\"}"));
        probe_free(&probed);
    }
    probe_run(&probed, args[1]);
    assert_true(probe_says(&probed, "\"name\": \"capacity\", \"value\": 2048,"));
    assert_true(probe_says(&probed, "\"data\": \"0700000000000000000000"));
    probe_free(&probed);
    probe_disk_stop(disk);
}

/* The judge is judged. */
static void test_json_validator(void **state)
{
    static const char *const good[] = {"{}", "[]", " [1, -0.5e+3, 0] ",
                                       "{\"a\": [null, true, false], \"b\": \"\\u00e4\\n\"}", "0"};
    static const char *const bad[] = {"",      "{",   "{a: 1}",   "[1,]",    "01",
                                      "[1] 2", "\"a", "\"\\x\"",  "{\"a\"}", "[1 2]",
                                      "nul",   "1.",  "\"\x01\"", "1e",      "{\"a\": 1,}"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; ++i)
        assert_true(json_is_valid(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; ++i)
        assert_false(json_is_valid(bad[i]));
}

/* --- no back-end --- */

struct stranger {
    struct probe_listener at;
    const vhu_msg_header *reply; /* to the first thing it hears; NULL: it closes at once */
};

static void answer_once(void *arg)
{
    const struct stranger *stranger = arg;
    vhu_stream *stream = probe_accept(&stranger->at);
    uint8_t request[sizeof(vhu_msg_header) + VHU_MAX_PAYLOAD];
    size_t none = 0;

    assert_non_null(stream);
    if (stranger->reply && probe_recv(stream, request, sizeof request, NULL, &none) > 0)
        assert_int_equal(probe_send(stream, stranger->reply, sizeof *stranger->reply, NULL, 0), 0);
    vhu_stream_free(stream);
}

static void test_strangers(void **state)
{
    static const vhu_msg_header request = {VHU_REQ_GET_FEATURES, VHU_VERSION_1, 0};
    static const vhu_msg_header version_2 = {VHU_REQ_GET_FEATURES, 2 | VHU_FLAG_REPLY, 0};
    static const struct {
        const vhu_msg_header *reply;
        const char *text;
    } rows[] = {
        {&request, "does not speak vhost-user: "},
        {&version_2, "does not speak vhost-user: "},
        {NULL, "closed the connection instead of replying to GET_FEATURES"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct stranger stranger = {.reply = rows[i].reply};
        struct probed probed;
        uv_thread_t thread;
        probe_listen(&stranger.at);
        assert_int_equal(uv_thread_create(&thread, answer_once, &stranger), 0);
        probe_run(&probed, (const char *const[]){"--json", "--check", "SOCKET", NULL});
        uv_thread_join(&thread);
        probe_listener_free(&stranger.at);
        assert_int_equal(probed.code, 2);
        assert_true(probe_says(&probed, rows[i].text));
        probe_free(&probed);
    }
}

/* It is connected to, by the system, and nobody ever looks. */
static void test_silence(void **state)
{
    struct probe_listener listener;
    struct probed probed;

    (void)state;
    probe_listen(&listener);
    probe_run(&probed, (const char *const[]){"--timeout=100", "SOCKET", NULL});
    probe_listener_free(&listener);
    assert_int_equal(probed.code, 2);
    assert_true(probe_says(&probed, ": no reply to GET_FEATURES within 100 ms"));
    probe_free(&probed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options),  leakcheck_test(test_told_and_done),
        leakcheck_test(test_disk),           leakcheck_test(test_without_type),
        leakcheck_test(test_sector_outside), leakcheck_test(test_json),
        leakcheck_test(test_json_validator), leakcheck_test(test_strangers),
        leakcheck_test(test_silence),
    };

    return cmocka_run_group_tests(tests, probe_setup, probe_teardown);
}
