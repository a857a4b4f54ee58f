/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/scripted.h"

#include <string.h>

#include "os.h"
#include "wire.h"

static size_t at_most(size_t a, size_t b)
{
    return a < b ? a : b;
}

static int scripted_recv(void *self, void *buf, size_t capacity, vhu_handle *handles,
                         size_t *num_handles)
{
    scripted *s = self;
    size_t n = at_most(capacity, s->in_len - s->in_done);

    s->recvs++;
    *num_handles = 0;
    s->stall_in = s->in_stalls && !s->stall_in;
    if (s->stall_in)
        return VHU_EAGAIN;
    if (n == 0)
        return s->in_end;
    if (s->in_step)
        n = at_most(n, s->in_step);
    if (s->attached && s->in_done <= s->attach_at && s->attach_at < s->in_done + n) {
        n = s->attach_at + 1 - s->in_done;
        for (size_t i = 0; i < s->attached; i++)
            assert_int_equal(os_handle_dup(s->attach[i], &handles[i]), 0);
        *num_handles = s->attached;
    }
    memcpy(buf, s->in + s->in_done, n);
    s->in_done += n;
    return (int)n;
}

static int scripted_send(void *self, const void *buf, size_t len, const vhu_handle *handles,
                         size_t num_handles)
{
    scripted *s = self;
    size_t n = at_most(len, s->out_room);

    s->sends++;
    s->stall_out = s->out_stalls && !s->stall_out;
    if (s->out_error)
        return s->out_error;
    if (s->stall_out || n == 0)
        return VHU_EAGAIN;
    if (s->out_step)
        n = at_most(n, s->out_step);
    assert_true(s->out_len + n <= sizeof(s->out));
    memcpy(s->out + s->out_len, buf, n);
    s->out_len += n;
    if (s->out_room != SIZE_MAX)
        s->out_room -= n;
    if (num_handles > 0) {
        vhu_msg_header header;

        vhu__wire_load_header(&header, buf);
        s->handles_alone = s->handles_alone && len == VHU__WIRE_HEADER + header.size;
        for (size_t i = 0; i < num_handles; i++) {
            vhu_handle copy;

            /* It must still be open when it is sent. */
            assert_int_equal(os_handle_dup(handles[i], &copy), 0);
            vhu_handle_close(&copy);
        }
    }
    s->handles_sent += num_handles;
    return (int)n;
}

static void scripted_shutdown(void *self)
{
    ((scripted *)self)->shutdowns++;
}

static void scripted_close(void *self)
{
    ((scripted *)self)->closes++;
}

void scripted_open(scripted *s, vhu_conn **conn, unsigned flags, const vhu_conn_options *options)
{
    const vhu_transport transport = {
        .size = sizeof(transport),
        .flags = flags,
        .recv = scripted_recv,
        .send = scripted_send,
        .shutdown = scripted_shutdown,
        .close = scripted_close,
    };

    memset(s, 0, sizeof(*s));
    s->in_end = VHU_EAGAIN;
    s->out_room = SIZE_MAX;
    s->handles_alone = true;
    assert_int_equal(vhu_conn_new(conn, &transport, s, options), 0);
}

void scripted_add(scripted *s, const message *m)
{
    assert_true(s->in_len + VHU__WIRE_HEADER + m->header.size <= sizeof(s->in));
    s->in_len += message_bytes(m, s->in + s->in_len);
}
