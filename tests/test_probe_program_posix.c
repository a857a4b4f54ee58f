/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-probe and what is no vhost-user at all, which a socket lets through. */
#include <string.h>
#include <uv.h>

#include "support/probe_rig.h"

struct stranger {
    struct probe_listener at;
    const char *greeting; /* when it has heard something, and before it closes */
};

static void greet_once(void *arg)
{
    const struct stranger *stranger = arg;
    vhu_stream *stream = probe_accept(&stranger->at);
    char request[64];
    size_t none = 0;

    assert_non_null(stream);
    if (probe_recv(stream, request, sizeof request, NULL, &none) > 0)
        assert_int_equal(
            probe_send(stream, stranger->greeting, strlen(stranger->greeting), NULL, 0), 0);
    vhu_stream_free(stream);
}

static void test_strangers(void **state)
{
    static const struct {
        const char *greeting;
        const char *text;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "does not speak vhost-user: "},
        {"220 ", "closed the connection instead of replying to GET_FEATURES"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct stranger stranger = {.greeting = rows[i].greeting};
        struct probed probed;
        uv_thread_t thread;
        probe_listen(&stranger.at);
        assert_int_equal(uv_thread_create(&thread, greet_once, &stranger), 0);
        probe_run(&probed, (const char *const[]){"--json", "--check", "SOCKET", NULL});
        uv_thread_join(&thread);
        probe_listener_free(&stranger.at);
        assert_int_equal(probed.code, 2);
        assert_true(probe_says(&probed, rows[i].text));
        probe_free(&probed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {leakcheck_test(test_strangers)};

    return cmocka_run_group_tests(tests, probe_setup, probe_teardown);
}
