/* SPDX-License-Identifier: BSD-3-Clause */
/* A pair of transports through memory, for one thread. */
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/conn.h>

#include "handles.h"
#include "os.h"
#include "util.h"
#include "wire.h"

/* Bytes that may be under way in one direction. */
enum { CAPACITY = 16 * VHU__WIRE_MESSAGE_MAX };

/* What one send took. */
typedef struct packet {
    struct packet *next;
    size_t len;
    size_t done;
    size_t num_handles;
    vhu_handle handles[VHU__HANDLES_PER_RECV];
    uint8_t bytes[];
} packet;

typedef struct end {
    struct end *peer; /* NULL: closed */
    bool messages;
    bool shut; /* the peer will send nothing more */
    size_t bytes;
    packet *first; /* received and not read yet */
    packet **last;
} end;

static void drop_first(end *e)
{
    packet *p = e->first;

    e->first = p->next;
    if (!e->first)
        e->last = &e->first;
    e->bytes -= p->len;
    vhu__close_all(p->handles, p->num_handles);
    free(p);
}

static int memory_recv(void *self, void *buf, size_t capacity, vhu_handle *handles,
                       size_t *num_handles)
{
    end *e = self;
    size_t n = 0;
    size_t room = *num_handles;
    bool done = false;

    *num_handles = 0;
    if (!e->first)
        return e->shut ? VHU_EDISCONNECT : VHU_EAGAIN;
    if (e->messages && e->first->len > capacity)
        return VHU_EINVALID_MESSAGE;
    /* As sockets do, a receive ends behind what carries handles. */
    while (e->first && n < capacity && !done) {
        packet *p = e->first;
        size_t part = p->len - p->done < capacity - n ? p->len - p->done : capacity - n;

        memcpy((uint8_t *)buf + n, p->bytes + p->done, part);
        n += part;
        p->done += part;
        done = e->messages || p->num_handles > 0;
        if (p->num_handles > room)
            return VHU_EINVALID_MESSAGE;
        if (p->num_handles > 0) {
            memcpy(handles, p->handles, p->num_handles * sizeof(handles[0]));
            *num_handles = p->num_handles;
            p->num_handles = 0;
        }
        if (p->done == p->len)
            drop_first(e);
    }
    return (int)n;
}

static int memory_send(void *self, const void *buf, size_t len, const vhu_handle *handles,
                       size_t num_handles)
{
    end *e = self;
    end *peer = e->peer;
    packet *p;

    if (!peer || e->shut)
        return VHU_EDISCONNECT;
    if (num_handles > VHU__HANDLES_PER_RECV || len > CAPACITY)
        return VHU_EOVERFLOW;
    if (len > CAPACITY - peer->bytes)
        return VHU_EAGAIN;
    p = malloc(sizeof(*p) + len);
    if (!p)
        return VHU_ENOMEM;
    p->next = NULL;
    p->len = len;
    p->done = 0;
    memcpy(p->bytes, buf, len);
    for (p->num_handles = 0; p->num_handles < num_handles; p->num_handles++) {
        int r = os_handle_dup(handles[p->num_handles], &p->handles[p->num_handles]);

        if (r < 0) {
            vhu__close_all(p->handles, p->num_handles);
            free(p);
            return r;
        }
    }
    *peer->last = p;
    peer->last = &p->next;
    peer->bytes += len;
    return (int)len;
}

static void memory_shutdown(void *self)
{
    end *e = self;

    e->shut = true;
    if (e->peer)
        e->peer->shut = true;
}

static void memory_close(void *self)
{
    end *e = self;

    memory_shutdown(e);
    if (e->peer)
        e->peer->peer = NULL;
    while (e->first)
        drop_first(e);
    free(e);
}

static end *new_end(bool messages)
{
    end *e = calloc(1, sizeof(*e));

    if (e) {
        e->messages = messages;
        e->last = &e->first;
    }
    return e;
}

int vhu_conn_memory_pair(vhu_conn *out[2], unsigned mode, const vhu_conn_options *options)
{
    const vhu_transport transport = {
        .size = sizeof(transport),
        .flags = mode == VHU_MEMORY_MESSAGES ? VHU_TRANSPORT_MESSAGES : 0,
        .recv = memory_recv,
        .send = memory_send,
        .shutdown = memory_shutdown,
        .close = memory_close,
    };
    end *ends[2] = {NULL, NULL};
    int r = VHU_ENOMEM;

    if (mode > VHU_MEMORY_MESSAGES)
        return VHU_EINVAL;
    for (int i = 0; i < 2; i++) {
        ends[i] = new_end(mode == VHU_MEMORY_MESSAGES);
        if (!ends[i])
            goto fail;
    }
    ends[0]->peer = ends[1];
    ends[1]->peer = ends[0];
    r = vhu_conn_new(&out[0], &transport, ends[0], options);
    if (r < 0)
        goto fail;
    r = vhu_conn_new(&out[1], &transport, ends[1], options);
    if (r < 0) {
        ends[0] = NULL;
        vhu_conn_free(out[0]);
        goto fail;
    }
    return 0;

fail:
    for (int i = 0; i < 2; i++)
        free(ends[i]);
    return r;
}
