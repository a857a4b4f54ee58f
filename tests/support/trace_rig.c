/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/trace_rig.h"

#include <stdio.h>
#include <string.h>
#include <vmm_vhost/error.h>

/* --- the program --- */

int trace_setup(void **state)
{
    (void)state;
    return program_try(TRACE_PROGRAM);
}

static const char *put_in(const struct run *run, const char *arg)
{
    if (strcmp(arg, "FRONT") == 0)
        return run->front.text;
    return strcmp(arg, "BACK") == 0 ? run->back.text : arg;
}

void run_start(struct run *run, const char *const *args)
{
    const char *argv[TRACE_MAX_ARGS + 2] = {TRACE_PROGRAM};

    sys_address_new(&run->front);
    sys_address_new(&run->back);
    for (int i = 0; args[i]; ++i) {
        assert_in_range(i, 0, TRACE_MAX_ARGS - 1);
        argv[i + 1] = put_in(run, args[i]);
    }
    run->program = program_start(NULL, argv);
    assert_non_null(run->program);
}

int run_end(struct run *run)
{
    return program_end(run->program);
}

void run_stop(struct run *run)
{
    program_interrupt(run->program);
    assert_int_equal(run_end(run), 0);
}

void run_free(struct run *run)
{
    program_free(run->program);
    sys_address_clear(&run->front);
    sys_address_clear(&run->back);
}

static const char *told(const struct run *run)
{
    return program_text(run->program, PROGRAM_OUT);
}

void expect_told(const struct run *run, const char *text)
{
    if (!strstr(told(run), text))
        print_error("'%s' is not in\n%.4000s\n", text, told(run));
    assert_non_null(strstr(told(run), text));
}

void expect_not_told(const struct run *run, const char *text)
{
    if (strstr(told(run), text))
        print_error("'%s' is in\n%.4000s\n", text, told(run));
    assert_null(strstr(told(run), text));
}

size_t count_told(const struct run *run, const char *text)
{
    const size_t len = strlen(text);
    size_t n = 0;

    /* Not by strstr, which measures all of the rest first where it is watched. */
    for (const char *at = told(run); *at; ++at) {
        if (*at == *text && strncmp(at, text, len) == 0)
            ++n;
    }
    return n;
}

/* --- peers --- */

vhu_listener *listen_at(const sys_address *address)
{
    vhu_listener *listener;

    assert_int_equal(vhu_listener_new(&listener, address->text, NULL), 0);
    return listener;
}

vhu_stream *connect_to(const sys_address *address)
{
    vhu_stream *stream;

    assert_int_equal(vhu_stream_connect(&stream, address->text, 0, NULL), 0);
    return stream;
}

vhu_stream *accept_from(vhu_listener *listener)
{
    vhu_stream *stream;

    do {
        assert_int_equal(vhu_listener_wait(listener, PROGRAM_PATIENCE_MS), 0);
    } while (vhu_listener_accept_stream(listener, &stream) == VHU_EAGAIN);
    return stream;
}

void close_both(vhu_stream *peers[2])
{
    vhu_stream_free(peers[0]);
    vhu_stream_free(peers[1]);
}

void run_between(struct run *run, const char *option, vhu_stream *peers[2])
{
    const char *const args[] = {"FRONT", "BACK", option, NULL};
    char listening[256];
    vhu_listener *listener;

    run_start(run, args);
    listener = listen_at(&run->back);
    snprintf(listening, sizeof listening, "listening at %s, connecting to %s\n", run->front.text,
             run->back.text);
    assert_true(program_says(run->program, PROGRAM_ERR, listening));
    peers[FRONT_END] = connect_to(&run->front);
    peers[BACK_END] = accept_from(listener);
    vhu_listener_free(listener);
}

/* --- bytes --- */

static void wait_for(vhu_stream *stream, unsigned events)
{
    assert_int_equal(vhu_stream_transport(stream)->wait(stream, events, PROGRAM_PATIENCE_MS), 0);
}

void send_bytes(vhu_stream *to, const void *bytes, size_t len, vhu_handle handle)
{
    size_t handles = handle != VHU_NO_HANDLE;

    for (size_t done = 0; done < len;) {
        const int n = vhu_stream_transport(to)->send(to, (const char *)bytes + done, len - done,
                                                     &handle, handles);
        if (n == VHU_EAGAIN) {
            wait_for(to, VHU_WAIT_WRITE);
            continue;
        }
        assert_true(n > 0);
        handles = 0;
        done += (size_t)n;
    }
}

void send_message(vhu_stream *to, uint32_t request, uint32_t flags, const void *payload,
                  uint32_t size, vhu_handle handle)
{
    struct {
        vhu_msg_header header;
        uint8_t payload[TRACE_MAX_PAYLOAD];
    } m = {.header = {request, VHU_VERSION_1 | flags, size}};

    assert_in_range(size, 0, sizeof m.payload);
    if (size > 0)
        memcpy(m.payload, payload, size);
    send_bytes(to, &m, sizeof m.header + size, handle);
}

/* What is there, at most `room` bytes, or the end. */
static int recv_some(vhu_stream *from, void *out, size_t room, vhu_handle *handle)
{
    vhu_handle handles[TRACE_MAX_HANDLES];
    size_t num = TRACE_MAX_HANDLES;
    int n;

    while ((n = vhu_stream_transport(from)->recv(from, out, room, handles, &num)) == VHU_EAGAIN) {
        wait_for(from, VHU_WAIT_READ);
        num = TRACE_MAX_HANDLES;
    }
    assert_in_range(num, 0, n > 0);
    *handle = num > 0 ? handles[0] : VHU_NO_HANDLE;
    return n;
}

vhu_handle recv_bytes(vhu_stream *from, void *out, size_t len)
{
    vhu_handle first = VHU_NO_HANDLE;

    for (size_t done = 0; done < len;) {
        vhu_handle handle;
        const int n = recv_some(from, (char *)out + done, len - done, &handle);
        assert_true(n > 0);
        if (done == 0)
            first = handle;
        else
            assert_true(handle == VHU_NO_HANDLE);
        done += (size_t)n;
    }
    return first;
}

/* Such a message is small, and would be received whole in any case. */
vhu_handle expect_message(vhu_stream *from, uint32_t request, uint32_t flags, const void *payload,
                          uint32_t size)
{
    struct {
        vhu_msg_header header;
        uint8_t payload[TRACE_MAX_PAYLOAD];
    } m;
    vhu_handle handle;

    assert_in_range(size, 0, sizeof m.payload);
    if (vhu_stream_transport(from)->flags & VHU_TRANSPORT_MESSAGES)
        assert_int_equal(recv_some(from, &m, sizeof m, &handle), sizeof m.header + size);
    else
        handle = recv_bytes(from, &m, sizeof m.header + size);
    assert_int_equal(m.header.request, request);
    assert_int_equal(m.header.flags, VHU_VERSION_1 | flags);
    assert_int_equal(m.header.size, size);
    if (size > 0)
        assert_memory_equal(m.payload, payload, size);
    return handle;
}

void pass(vhu_stream *peers[2], unsigned from, uint32_t request, uint32_t flags,
          const void *payload, uint32_t size)
{
    send_message(peers[from], request, flags, payload, size, VHU_NO_HANDLE);
    assert_true(expect_message(peers[!from], request, flags, payload, size) == VHU_NO_HANDLE);
}

void expect_end(vhu_stream *from)
{
    char bytes[TRACE_MAX_PAYLOAD];
    vhu_handle handle;

    assert_int_equal(recv_some(from, bytes, sizeof bytes, &handle), VHU_EDISCONNECT);
}
