/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-trace between two scripted peers: what goes in comes out, and is told. */
#include <stdio.h>
#include <string.h>
#include <uv.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/event.h>
#include <vmm_vhost/shm.h>

#include "support/trace_rig.h"

enum { UNKNOWN = 1006 };

static void test_request_and_reply(void **state)
{
    const uint64_t features = VHU_BIT(VHU_F_PROTOCOL_FEATURES) | VHU_BIT(VHU_F_VERSION_1);
    const vhu_vring_state vring = {1, 256};
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    run_between(&run, NULL, peers);
    pass(peers, FRONT_END, VHU_REQ_GET_FEATURES, 0, NULL, 0);
    pass(peers, BACK_END, VHU_REQ_GET_FEATURES, VHU_FLAG_REPLY, &features, 8);
    pass(peers, FRONT_END, VHU_REQ_SET_VRING_NUM, 0, &vring, 8);
    pass(peers, FRONT_END, UNKNOWN, 0, &vring, 3);
    pass(peers, BACK_END, VHU_REQ_GET_CONFIG, VHU_FLAG_REPLY, NULL, 0);
    vhu_stream_free(peers[FRONT_END]);
    expect_end(peers[BACK_END]);
    vhu_stream_free(peers[BACK_END]);
    run_stop(&run);
    expect_told(&run, "#1  -> GET_FEATURES()\n");
    expect_told(&run, "#1  <- GET_FEATURES = 0x140000000 (PROTOCOL_FEATURES|VERSION_1) <");
    expect_told(&run, "#1  -> SET_VRING_NUM(ring=1, num=256)\n");
    expect_told(&run, "#1  -> REQUEST_1006(bytes=010000) [!unknown request]\n");
    expect_told(&run, "#1  <- GET_CONFIG = {} <no request> refused\n");
    expect_told(&run, "+++ closed by the front-end +++\n");
    expect_told(&run, "5 messages on 1 connections; faulty: 1, replies without a request: 1");
    run_free(&run);
}

/* Lists, bits, words and numbers of any size, as text and as JSON. */
static void test_fields(void **state)
{
    const struct {
        uint32_t count;
        uint32_t padding;
        vhu_mem_region regions[2];
    } table = {2, 0, {{0, 0x1000, 0x7000, 0}, {0x2000, 0x3000, 0x9000, 0x40}}};
    const uint64_t ring = 0x103;
    const uint64_t failed = UINT64_MAX;
    const uint64_t huge = UINT64_C(1) << 60;
    static const struct {
        const char *option;
        const char *told[6];
    } rows[] = {
        {NULL,
         {"(num_regions=2, regions=[{guest_addr=0x0, size=0x1000, user_addr=0x7000, "
          "mmap_offset=0x0}, {guest_addr=0x2000, size=0x3000, user_addr=0x9000, "
          "mmap_offset=0x40}]) [",
          "SET_VRING_CALL(ring=3, nofd=yes) need_reply", "SET_VRING_CALL = -1 <",
          "SET_FEATURES(features=0x0)", "GET_MAX_MEM_SLOTS = 1152921504606846976 <"}},
        {"--json",
         {"\"fields\":{\"num_regions\":2,\"regions\":[{\"guest_addr\":\"0x0\",\"size\":\"0x1000\","
          "\"user_addr\":\"0x7000\",\"mmap_offset\":\"0x0\"},{\"guest_addr\":\"0x2000\",\"size\":"
          "\"0x3000\",\"user_addr\":\"0x9000\",\"mmap_offset\":\"0x40\"}]},\"fds\":[]",
          "\"fields\":{\"ring\":3,\"nofd\":true}", "\":-1},\"fds\":[]",
          "\"fields\":{\"features\":{\"value\":\"0x0\",\"bits\":[]}}",
          ":\"1152921504606846976\"}"}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        const uint64_t none = 0;
        struct run run;
        vhu_stream *peers[2];
        run_between(&run, rows[i].option, peers);
        pass(peers, FRONT_END, VHU_REQ_SET_MEM_TABLE, 0, &table, sizeof table);
        pass(peers, FRONT_END, VHU_REQ_SET_VRING_CALL, VHU_FLAG_NEED_REPLY, &ring, 8);
        pass(peers, BACK_END, VHU_REQ_SET_VRING_CALL, VHU_FLAG_REPLY, &failed, 8);
        pass(peers, FRONT_END, VHU_REQ_SET_FEATURES, 0, &none, 8);
        pass(peers, FRONT_END, VHU_REQ_GET_MAX_MEM_SLOTS, 0, NULL, 0);
        pass(peers, BACK_END, VHU_REQ_GET_MAX_MEM_SLOTS, VHU_FLAG_REPLY, &huge, 8);
        close_both(peers);
        run_stop(&run);
        for (size_t k = 0; rows[i].told[k]; ++k)
            expect_told(&run, rows[i].told[k]);
        run_free(&run);
    }
}

static void test_json(void **state)
{
    const uint64_t ring = 0x103;
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    run_between(&run, "--json", peers);
    pass(peers, FRONT_END, VHU_REQ_SET_VRING_CALL, VHU_FLAG_NEED_REPLY, &ring, 8);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "\"connection\":1,\"channel\":0,\"seq\":1,\"from\":\"front-end\",\"code\":13,"
                      "\"name\":\"SET_VRING_CALL\",\"flags\":9,\"need_reply\":true,\"size\":8,"
                      "\"fields\":{\"ring\":3,\"nofd\":true},\"fds\":[]}\n");
    expect_told(&run, "{\"type\":\"summary\",\"connections\":1,\"messages\":1,\"faulty\":0,");
    run_free(&run);
}

/* The channel for the back-end's requests goes through the program, too. */
static void test_back_channel(void **state)
{
    const uint64_t ok = 0;
    const uint64_t acks = VHU_BIT(VHU_PF_REPLY_ACK);
    struct run run;
    vhu_stream *peers[2];
    vhu_stream *ends[2];
    vhu_handle handle;

    (void)state;
    run_between(&run, NULL, peers);
    pass(peers, FRONT_END, VHU_REQ_SET_PROTOCOL_FEATURES, 0, &acks, 8);
    assert_int_equal(vhu_stream_open_channel(&ends[FRONT_END], &handle, peers[FRONT_END]), 0);
    send_message(peers[FRONT_END], VHU_REQ_SET_BACKEND_REQ_FD, 0, NULL, 0, handle);
    vhu_handle_close(&handle);
    handle = expect_message(peers[BACK_END], VHU_REQ_SET_BACKEND_REQ_FD, 0, NULL, 0);
    assert_int_equal(vhu_stream_adopt_channel(&ends[BACK_END], &handle, peers[BACK_END]), 0);
    pass(ends, BACK_END, VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_FLAG_NEED_REPLY, NULL, 0);
    pass(ends, FRONT_END, VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, VHU_FLAG_REPLY, &ok, 8);
    vhu_stream_free(ends[BACK_END]);
    expect_end(ends[FRONT_END]);
    vhu_stream_free(ends[FRONT_END]);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "#1  -> SET_BACKEND_REQ_FD() fds=[");
    expect_told(&run, "#1b <- CONFIG_CHANGE_MSG() need_reply\n");
    expect_told(&run, "#1b -> CONFIG_CHANGE_MSG = 0 <");
    expect_told(&run, "CONFIG_CHANGE_MSG (of the back-end)\n");
    run_free(&run);
}

/* --- many of them --- */

struct flood {
    uint64_t messages;
    vhu_stream *to;
    vhu_handle handles[2];
};

/* Payloads of all lengths; every third goes without a handle. */
static uint32_t flood_size(uint64_t i)
{
    return (uint32_t)(8 + i % 32);
}

static void send_flood(void *arg)
{
    const struct flood *flood = arg;

    for (uint64_t i = 0; i < flood->messages; ++i) {
        const uint64_t words[5] = {i, i, i, i, i};
        send_message(flood->to, UNKNOWN, 0, words, flood_size(i),
                     i % 3 > 0 ? flood->handles[i % 2] : VHU_NO_HANDLE);
    }
}

/* Nothing is lost, nothing changes places, no handle goes to another message. */
static void test_flood(void **state)
{
    struct flood flood = {.messages = sys_is_wine() ? 5000 : 100000};
    struct run run;
    vhu_stream *peers[2];
    uv_thread_t thread;
    vhu_event *event;
    vhu_shm *memory;

    (void)state;
    assert_int_equal(vhu_event_new(&event), 0);
    assert_int_equal(vhu_shm_new(&memory, 4096), 0);
    run_between(&run, NULL, peers);
    flood.to = peers[FRONT_END];
    flood.handles[0] = vhu_event_wait_handle(event);
    flood.handles[1] = vhu_shm_handle(memory);
    assert_int_equal(uv_thread_create(&thread, send_flood, &flood), 0);
    for (uint64_t i = 0; i < flood.messages; ++i) {
        const uint64_t words[5] = {i, i, i, i, i};
        vhu_handle handle = expect_message(peers[BACK_END], UNKNOWN, 0, words, flood_size(i));
        assert_int_equal(handle != VHU_NO_HANDLE, i % 3 > 0);
        if (handle != VHU_NO_HANDLE)
            assert_true(sys_handles_same(handle, flood.handles[i % 2]));
        vhu_handle_close(&handle);
    }
    uv_thread_join(&thread);
    close_both(peers);
    vhu_event_free(event);
    vhu_shm_free(memory);
    run_stop(&run);
    assert_int_equal(count_told(&run, "-> REQUEST_1006("), flood.messages);
    expect_told(&run, "000 messages on 1 connections;");
    run_free(&run);
}

/* Send until nothing is taken any more. */
static size_t send_until_full(vhu_stream *to)
{
    static const struct {
        vhu_msg_header header;
        uint8_t payload[8];
    } m = {.header = {VHU_REQ_NET_SET_MTU, VHU_VERSION_1, 8}, .payload = {7}};
    const vhu_transport *transport = vhu_stream_transport(to);
    size_t sent = 0;

    for (int quiet = 0; quiet < 10;) {
        const int n = transport->send(to, &m, sizeof m, NULL, 0);
        if (n == (int)sizeof m) {
            ++sent;
        } else {
            assert_int_equal(n, VHU_EAGAIN);
            quiet += transport->wait(to, VHU_WAIT_WRITE, 20) == VHU_ETIMEDOUT;
        }
        assert_true(sent < 1000000);
    }
    return sent;
}

static bool is_writable(vhu_stream *stream)
{
    return vhu_stream_transport(stream)->wait(stream, VHU_WAIT_WRITE, 0) == 0;
}

/* While nobody reads, the sender is held up; what it sent arrives, and then its end. */
static void test_backpressure(void **state)
{
    const uint64_t value = 7;
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    run_between(&run, "--summary-only", peers);
    const size_t sent = send_until_full(peers[FRONT_END]);
    for (size_t i = 0; i < sent; ++i) {
        /* Not before the system has all that was sent. */
        if (peers[FRONT_END] && is_writable(peers[FRONT_END])) {
            vhu_stream_free(peers[FRONT_END]);
            peers[FRONT_END] = NULL;
        }
        expect_message(peers[BACK_END], VHU_REQ_NET_SET_MTU, 0, &value, 8);
    }
    vhu_stream_free(peers[FRONT_END]);
    expect_end(peers[BACK_END]);
    vhu_stream_free(peers[BACK_END]);
    run_stop(&run);
    expect_not_told(&run, "->");
    expect_told(&run, "NET_SET_MTU\n");
    run_free(&run);
}

/* --- ends --- */

/* A back-end that ends is seen by the front-end, with all that it said before. */
static void test_back_end_dies(void **state)
{
    const uint64_t value = 5;
    struct run run;
    vhu_stream *peers[2];

    (void)state;
    run_between(&run, NULL, peers);
    pass(peers, FRONT_END, VHU_REQ_GET_QUEUE_NUM, 0, NULL, 0);
    pass(peers, FRONT_END, VHU_REQ_GET_MAX_MEM_SLOTS, 0, NULL, 0);
    send_message(peers[BACK_END], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8, VHU_NO_HANDLE);
    vhu_stream_free(peers[BACK_END]);
    expect_message(peers[FRONT_END], VHU_REQ_GET_QUEUE_NUM, VHU_FLAG_REPLY, &value, 8);
    expect_end(peers[FRONT_END]);
    vhu_stream_free(peers[FRONT_END]);
    run_stop(&run);
    expect_told(&run, "+++ closed by the back-end +++\n");
    expect_told(&run, "the first is GET_MAX_MEM_SLOTS");
    run_free(&run);
}

/* Told when its handles have been closed. */
static void wait_for_end_of(const struct run *run, int connection)
{
    char text[64];

    snprintf(text, sizeof text, "#%d  +++ closed by the ", connection);
    assert_true(program_says(run->program, PROGRAM_OUT, text));
}

static void test_connections(void **state)
{
    enum { CONNECTIONS = 5 };
    struct run run;
    vhu_stream *peers[2];
    vhu_stream *more[CONNECTIONS][2];
    vhu_listener *listener;
    int handles;

    (void)state;
    run_between(&run, NULL, peers);
    pass(peers, FRONT_END, VHU_REQ_SET_OWNER, 0, NULL, 0);
    close_both(peers);
    wait_for_end_of(&run, 1);
    handles = sys_count_handles_of(program_id(run.program));
    listener = listen_at(&run.back);
    for (int i = 0; i < CONNECTIONS; ++i) {
        more[i][FRONT_END] = connect_to(&run.front);
        more[i][BACK_END] = accept_from(listener);
        pass(more[i], FRONT_END, VHU_REQ_SET_OWNER, 0, NULL, 0);
    }
    assert_true(sys_count_handles_of(program_id(run.program)) >= handles + 2 * CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; ++i) {
        pass(more[i], BACK_END, VHU_REQ_SET_OWNER, VHU_FLAG_REPLY, NULL, 0);
        close_both(more[i]);
        wait_for_end_of(&run, 2 + i);
    }
    vhu_listener_free(listener);
    /* A system may open a few for good; but not one for each. */
    assert_true(sys_count_handles_of(program_id(run.program)) < handles + CONNECTIONS);
    run_stop(&run);
    expect_told(&run, "#6  -> SET_OWNER()\n");
    expect_told(&run, "on 6 connections;");
    run_free(&run);
}

static void test_back_end_absent(void **state)
{
    const char *const impatient[] = {"FRONT", "BACK", "--wait=0", NULL};
    const char *const patient[] = {"FRONT", "BACK", NULL};
    char given_up[256];
    vhu_stream *peers[2];
    vhu_listener *listener;
    struct run run;
    int rc;

    (void)state;
    run_start(&run, impatient);
    assert_true(program_says(run.program, PROGRAM_ERR, "listening at"));
    rc = vhu_stream_connect(&peers[FRONT_END], run.front.text, 0, NULL);
    if (rc == 0) {
        expect_end(peers[FRONT_END]);
        vhu_stream_free(peers[FRONT_END]);
    } else {
        assert_int_equal(rc, VHU_EDISCONNECT); /* it may be over as soon as that */
    }
    run_stop(&run);
    snprintf(given_up, sizeof given_up, "given up, no back-end at %s: no such address or file",
             run.back.text);
    expect_told(&run, given_up);
    run_free(&run);

    run_start(&run, patient);
    assert_true(program_says(run.program, PROGRAM_ERR, "listening at"));
    peers[FRONT_END] = connect_to(&run.front);
    assert_true(program_says(run.program, PROGRAM_OUT, "waiting for a back-end at "));
    listener = listen_at(&run.back);
    peers[BACK_END] = accept_from(listener);
    pass(peers, FRONT_END, VHU_REQ_SET_OWNER, 0, NULL, 0);
    vhu_listener_free(listener);
    close_both(peers);
    run_stop(&run);
    expect_told(&run, "-> SET_OWNER()\n");
    run_free(&run);
}

/* --- command line --- */

static void test_wrong_options(void **state)
{
    static const struct {
        const char *args[TRACE_MAX_ARGS];
        const char *text;
    } rows[] = {
        {{NULL}, "LISTEN and CONNECT are needed"},
        {{"a"}, "LISTEN and CONNECT are needed"},
        {{"a", "b", "c"}, "'c': only LISTEN and CONNECT are expected"},
        {{"a", "a"}, "a: LISTEN and CONNECT are the same"},
        {{"a", "b", "--"}, "a command is needed behind --"},
        {{"--bogus", "a", "b"}, "--bogus: no such option"},
        {{"a", "b", "--time=never"}, "start|absolute|delta"},
        {{"a", "b", "--color=red"}, "auto|always|never"},
        {{"a", "b", "--wait=x"}, "--wait=x: must be a number"},
        {{"a", "b", "--device=toaster"}, "--device=toaster: no such kind of device"},
        {{"a", "b", "-o"}, "needs an argument"},
        {{"a", "b", "-o", "nowhere/out"}, "nowhere/out: No such file"},
        {{"", "b"}, ": an argument is wrong"},
        {{"FRONT", "b", "--", "nowhere/program"}, "nowhere/program: no such file"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        struct run run;
        run_start(&run, rows[i].args);
        program_expect(run.program, 1, rows[i].text);
        run_free(&run);
    }
}

static void test_told_and_done(void **state)
{
    static const struct {
        const char *option;
        const char *texts[2];
    } rows[] = {{"--help", {"LISTEN CONNECT [-- COMMAND", "--summary-only"}},
                {"--help", {"@NAME", "\\\\.\\pipe\\NAME on Windows"}},
                {"--version", {"vhost-user-trace 0."}}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        const char *const args[] = {rows[i].option, NULL};
        struct run run;
        run_start(&run, args);
        assert_int_equal(run_end(&run), 0);
        for (size_t k = 0; k < 2 && rows[i].texts[k]; ++k)
            expect_told(&run, rows[i].texts[k]);
        run_free(&run);
    }
}

/* The command's exit code becomes the program's; its output is its own. */
static void test_command(void **state)
{
    const char *const fails[] = {"FRONT", "BACK", "--", TRACE_PROGRAM, "--bogus", NULL};
    const char *const succeeds[] = {"FRONT",     "BACK", "--no-summary", "--", TRACE_PROGRAM,
                                    "--version", NULL};
    const char *runs[] = {"FRONT", "BACK", "--", TRACE_PROGRAM, NULL, "BACK", NULL};
    sys_address inner;
    vhu_stream *stream;
    struct run run;

    (void)state;
    run_start(&run, fails);
    program_expect(run.program, 1, "--bogus: no such option");
    run_free(&run);
    run_start(&run, succeeds);
    assert_int_equal(run_end(&run), 0);
    assert_memory_equal(program_text(run.program, PROGRAM_OUT), "vhost-user-trace 0.", 19);
    run_free(&run);

    sys_address_new(&inner);
    runs[4] = inner.text;
    run_start(&run, runs);
    assert_true(program_says(run.program, PROGRAM_ERR, inner.text));
    run_stop(&run);
    assert_int_equal(vhu_stream_connect(&stream, inner.text, 0, NULL), VHU_ENOENT);
    assert_int_equal(vhu_stream_connect(&stream, run.front.text, 0, NULL), VHU_ENOENT);
    run_free(&run);
    sys_address_clear(&inner);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_request_and_reply),
        leakcheck_test(test_fields),
        leakcheck_test(test_json),
        leakcheck_test(test_back_channel),
        leakcheck_test(test_flood),
        leakcheck_test(test_backpressure),
        leakcheck_test(test_back_end_dies),
        leakcheck_test(test_connections),
        leakcheck_test(test_back_end_absent),
        leakcheck_test(test_wrong_options),
        leakcheck_test(test_told_and_done),
        leakcheck_test(test_command),
    };

    return cmocka_run_group_tests(tests, trace_setup, NULL);
}
