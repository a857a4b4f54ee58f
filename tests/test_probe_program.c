/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vhost-user-probe: what it tells of a disk, and of what is no back-end. */
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

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
        {{"nowhere"}, "nowhere: nobody listens"},
        {{""}, "Invalid argument"},
    };
    static struct probed probed;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        probe_run(&probed, rows[i].args);
        assert_int_equal(probed.code, 2);
        assert_true(probe_says(&probed, rows[i].text));
        assert_true(probe_says(&probed, "vhost-user-probe: "));
    }
}

static void test_told_and_done(void **state)
{
    static struct probed probed;

    (void)state;
    probe_run(&probed, (const char *const[]){"--help", NULL});
    assert_int_equal(probed.code, 0);
    assert_true(probe_says(&probed, "|crypto|i2c|gpio"));
    probe_run(&probed, (const char *const[]){"--version", NULL});
    assert_int_equal(probed.code, 0);
    assert_true(probe_says(&probed, "vhost-user-probe 0."));
}

/* --- a disk --- */

static void test_disk(void **state)
{
    static const char *const args[] = {"--type=blk", "--read=1234", "--check", "disk", NULL};
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
    static struct probed probed;
    struct probe_disk disk;

    (void)state;
    probe_disk_start(&disk);
    probe_run(&probed, args);
    probe_disk_stop(&disk);
    assert_int_equal(probed.code, 0);
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; ++i)
        assert_true(probe_says(&probed, texts[i]));
    assert_null(strstr(probed.text, "warnings"));
    assert_null(strstr(probed.text, "not run"));
}

/* Nothing is guessed. */
static void test_without_type(void **state)
{
    static struct probed probed;
    struct probe_disk disk;

    (void)state;
    probe_disk_start(&disk);
    probe_run(&probed, (const char *const[]){"disk", NULL});
    probe_disk_stop(&disk);
    assert_int_equal(probed.code, 0);
    assert_true(probe_says(&probed, "type                    not given"));
    assert_true(probe_says(&probed, "configuration           256 bytes\n  0000  00 08 00 00 "));
    assert_null(strstr(probed.text, "FLUSH"));
}

static void test_sector_outside(void **state)
{
    static const char *const args[] = {"--type=blk", "--json", "--read=99999999999", "disk", NULL};
    static struct probed probed;
    struct probe_disk disk;

    (void)state;
    probe_disk_start(&disk);
    probe_run(&probed, args);
    probe_disk_stop(&disk);
    assert_int_equal(probed.code, 2);
    assert_true(probe_says(&probed, "sector 99999999999: the device answers with status 1"));
}

static void test_json(void **state)
{
    static const char *const args[][7] = {
        {"--json", "disk"},
        {"--json", "--type=blk", "--check", "--read=7", "disk"},
        {"--json", "--type=fs", "disk"},
        {"--json", "--type=net", "disk"},
        {"--json", "--type=input", "disk"},
        {"--json", "--type=rng", "disk"},
    };
    static struct probed probed;
    struct probe_disk disk;

    (void)state;
    probe_disk_start(&disk);
    for (size_t i = 0; i < sizeof args / sizeof args[0]; ++i) {
        probe_run(&probed, args[i]);
        assert_int_equal(probed.code, 0);
        assert_true(json_is_valid(probed.text));
        assert_true(probe_says(&probed, "{\"bit\": 3, \"name\": \"REPLY_ACK\"}"));
    }
    probe_run(&probed, args[1]);
    assert_true(probe_says(&probed, "\"name\": \"capacity\", \"value\": 2048,"));
    assert_true(probe_says(&probed, "\"data\": \"0700000000000000000000"));
    probe_disk_stop(&disk);
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
    int listener;
    const char *greeting; /* when it has heard something, and before it closes */
};

static void *greet_once(void *arg)
{
    const struct stranger *stranger = arg;
    const int fd = accept4(stranger->listener, NULL, NULL, SOCK_CLOEXEC);

    char request[64];

    assert_true(fd >= 0);
    if (stranger->greeting[0] && recv(fd, request, sizeof request, 0) > 0)
        assert_true(send(fd, stranger->greeting, strlen(stranger->greeting), MSG_NOSIGNAL) > 0);
    close(fd);
    return NULL;
}

static void test_strangers(void **state)
{
    static const struct {
        const char *greeting;
        const char *text;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "does not speak vhost-user: "},
        {"", "closed the connection instead of replying to GET_FEATURES"},
        {"220 ", "closed the connection instead of replying to GET_FEATURES"},
    };
    static struct probed probed;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct stranger stranger = {probe_listen("socket"), rows[i].greeting};
        pthread_t thread;
        assert_int_equal(pthread_create(&thread, NULL, greet_once, &stranger), 0);
        probe_run(&probed, (const char *const[]){"--json", "--check", "socket", NULL});
        pthread_join(thread, NULL);
        close(stranger.listener);
        assert_int_equal(probed.code, 2);
        assert_true(probe_says(&probed, rows[i].text));
    }
}

/* It is connected to, by the system, and nobody ever looks. */
static void test_silence(void **state)
{
    static struct probed probed;
    const int listener = probe_listen("socket");

    (void)state;
    probe_run(&probed, (const char *const[]){"--timeout=100", "socket", NULL});
    close(listener);
    assert_int_equal(probed.code, 2);
    assert_true(probe_says(&probed, "socket: no reply to GET_FEATURES within 100 ms"));
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

    return cmocka_run_group_tests(tests, probe_folder, probe_folder_remove);
}
