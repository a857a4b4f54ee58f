/* SPDX-License-Identifier: BSD-3-Clause */
/* Windows: who may open a pipe and whose it is; and when a stream wakes its waiter. */
#include <vmm_vhost/listener.h>
#include <vmm_vhost/stream.h>

#include "handle_pass.h"
#include "pipe_frame.h"
#include "security.h"
#include "support/pair.h"
#include "support/sys.h"
#include "util.h"

/* --- whose it is --- */

/* NULL: nobody but me. The last is for those alone who may give things to others. */
static const char *const descriptors[] = {NULL, "D:P(A;;GA;;;WD)", "O:SYD:P(A;;GA;;;WD)"};

/* An owner that is named is kept; else it is this user, whom clients trust. */
static void test_owner(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(descriptors) - !sys_is_wine(); i++) {
        const vhu_pipe_options pipe = {.size = sizeof(pipe), .security = descriptors[i]};
        const vhu_conn_options conn = {.size = sizeof(conn), .pipe = &pipe};
        const vhu_listener_options options = {.size = sizeof(options), .connection = &conn};
        const bool is_mine = i < 2;
        vhu_pipe_options owned = {.size = sizeof(owned), .owner = "SY"};
        vhu_listener *listener;
        vhu_stream *stream = NULL;
        sys_address address;

        sys_address_new(&address);
        assert_int_equal(vhu_listener_new(&listener, address.text, &options), 0);
        assert_int_equal(vhu_stream_connect(&stream, address.text, 0, NULL),
                         is_mine ? 0 : VHU_EPERM);
        vhu_stream_free(stream);
        stream = NULL;
        assert_int_equal(vhu_stream_connect(&stream, address.text, 0, &owned), 0);
        vhu_stream_free(stream);
        vhu_listener_free(listener);
        sys_address_clear(&address);
    }
}

/* --- waking --- */

/* A server's end that nothing can be written to that is not read at once. */
static HANDLE new_small_pipe(const char *address)
{
    SECURITY_ATTRIBUTES attributes;
    HANDLE pipe;

    assert_int_equal(vhu__security_attributes(&attributes, NULL), 0);
    pipe = CreateNamedPipeA(address, PIPE_ACCESS_DUPLEX, PIPE_TYPE_BYTE | PIPE_WAIT, 1, 0, 0, 0,
                            &attributes);
    LocalFree(attributes.lpSecurityDescriptor);
    assert_ptr_not_equal(pipe, INVALID_HANDLE_VALUE);
    return pipe;
}

static void say_hello(HANDLE pipe)
{
    const vhu__frame frame = {.type = VHU__FRAME_TYPE_HELLO, .len = VHU__FRAME_HELLO};
    const vhu__hello hello = {.version_min = 1,
                              .version_max = 1,
                              .caps = VHU__CAP_ACCEPT_TRANSFER,
                              .pid = GetCurrentProcessId()};
    uint8_t bytes[VHU__FRAME_HEAD + VHU__FRAME_HELLO];
    DWORD n;

    vhu__hello_store(vhu__frame_store(bytes, &frame, NULL), &hello);
    assert_true(WriteFile(pipe, bytes, sizeof(bytes), &n, NULL));
    assert_int_equal(n, sizeof(bytes));
}

/* Its proof is due, but its hello has not been read: there is nothing that it could do. */
static void test_proof_that_waits(void **state)
{
    const vhu_transport *transport;
    vhu_stream *stream;
    sys_address address;
    HANDLE server;

    (void)state;
    sys_address_new(&address);
    server = new_small_pipe(address.text);
    assert_int_equal(vhu_stream_connect(&stream, address.text, 0, NULL), 0);
    transport = vhu_stream_transport(stream);
    transport->arm(stream, VHU_WAIT_READ);
    say_hello(server);
    assert_int_equal(transport->wait(stream, VHU_WAIT_READ, 0), VHU_ETIMEDOUT);
    for (int again = 0; again < 2; again++) {
        transport->arm(stream, VHU_WAIT_READ);
        assert_int_equal(WaitForSingleObject(transport->wait_handle(stream), 0), WAIT_TIMEOUT);
    }
    vhu_stream_free(stream);
    vhu_handle_close(&server);
    sys_address_clear(&address);
}

/* --- what was pulled --- */

/* A message of nothing would be another one to read, and the next, for ever. */
static void test_nothing_taken(void **state)
{
    vhu__pass pass = {0};

    (void)state;
    assert_false(vhu__pass_taken(&pass, 0));
    assert_false(vhu__pass_taken(&pass, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_owner),
        leakcheck_test(test_proof_that_waits),
        leakcheck_test(test_nothing_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
