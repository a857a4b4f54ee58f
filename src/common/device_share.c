/* SPDX-License-Identifier: BSD-3-Clause */
/* The device kit's shared memory and shared objects: what it asks on the back channel. */
#include <vmm_vhost/device_share.h>

#include "device_internal.h"

/* --- the channel, and what was asked on it --- */

/* In the order of asking; the channel carries other requests, too. */
static bool is_ours(uint32_t request)
{
    return request >= VHU_BACKEND_REQ_SHARED_OBJECT_ADD && request <= VHU_BACKEND_REQ_SHMEM_UNMAP;
}

static void take_answer(vhu_device *device, int status, vhu_handle *handle)
{
    const vhu__question q = device->questions[device->first_question];

    device->first_question = (device->first_question + 1) % VHU_MAX_CALLS;
    device->num_questions--;
    if (q.answer)
        q.answer(q.arg, status, handle);
}

void vhu__device_answered(void *arg, uint32_t request, int status, vhu_handle *handle)
{
    if (is_ours(request))
        take_answer(arg, status, handle);
}

void vhu__device_end_questions(vhu_device *device)
{
    vhu_handle none = VHU_NO_HANDLE;

    while (device->num_questions > 0)
        take_answer(device, VHU_EDISCONNECT, &none);
}

/* --- asking --- */

typedef struct share {
    vhu_backend_request request;
    const uint8_t *uuid;
    const vhu_shmem_request *piece;
    vhu_handle handle;
} share;

static int send(vhu_frontend_client *channel, const share *s)
{
    switch (s->request) {
    case VHU_BACKEND_REQ_SHARED_OBJECT_ADD:
        return vhu_frontend_client_shared_object_add(channel, s->uuid);
    case VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE:
        return vhu_frontend_client_shared_object_remove(channel, s->uuid);
    case VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP:
        return vhu_frontend_client_shared_object_lookup(channel, s->uuid);
    case VHU_BACKEND_REQ_SHMEM_MAP:
        return vhu_frontend_client_shmem_map(channel, s->piece, s->handle);
    default:
        return vhu_frontend_client_shmem_unmap(channel, s->piece);
    }
}

static int ask(vhu_device *device, const share *s, vhu_device_answer answer, void *arg)
{
    uint32_t end = (device->first_question + device->num_questions) % VHU_MAX_CALLS;
    vhu_frontend_client *channel;
    int r = vhu__device_channel(device, &channel);

    if (r < 0)
        return r;
    if (!(vhu_backend_server_protocol_features(device->server) & VHU_BIT(VHU_PF_REPLY_ACK)))
        return VHU_ENOSYS;
    vhu_frontend_client_set_ack(channel, true);
    r = send(channel, s);
    vhu_frontend_client_set_ack(channel, false);
    if (r < 0)
        return r;
    device->questions[end] = (vhu__question){answer, arg};
    device->num_questions++;
    /* Nobody would wait for the answer: the next turn ends that. This may be within another's. */
    if (vhu__device_watch_channel(device) < 0)
        device->executor.notify(device->executor_arg);
    return 0;
}

static int ask_for_piece(vhu_device *device, const share *s, vhu_device_answer answer, void *arg)
{
    const uint64_t size = device->shmem.sizes[s->piece->region];
    const vhu_shmem_request *p = s->piece;

    if (p->len == 0 || p->len > size || p->region_offset > size - p->len ||
        (p->flags & ~(uint64_t)VHU_SHMEM_RW))
        return VHU_EINVAL;
    return ask(device, s, answer, arg);
}

int vhu_device_shmem_map(vhu_device *device, const vhu_shmem_request *piece, vhu_handle handle,
                         vhu_device_answer answer, void *arg)
{
    const share s = {.request = VHU_BACKEND_REQ_SHMEM_MAP, .piece = piece, .handle = handle};

    return ask_for_piece(device, &s, answer, arg);
}

int vhu_device_shmem_unmap(vhu_device *device, const vhu_shmem_request *piece,
                           vhu_device_answer answer, void *arg)
{
    const share s = {.request = VHU_BACKEND_REQ_SHMEM_UNMAP, .piece = piece};

    return ask_for_piece(device, &s, answer, arg);
}

int vhu_device_object_add(vhu_device *device, const uint8_t uuid[16], vhu_device_answer answer,
                          void *arg)
{
    const share s = {.request = VHU_BACKEND_REQ_SHARED_OBJECT_ADD, .uuid = uuid};

    return ask(device, &s, answer, arg);
}

int vhu_device_object_remove(vhu_device *device, const uint8_t uuid[16], vhu_device_answer answer,
                             void *arg)
{
    const share s = {.request = VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE, .uuid = uuid};

    return ask(device, &s, answer, arg);
}

int vhu_device_object_lookup(vhu_device *device, const uint8_t uuid[16], vhu_device_answer answer,
                             void *arg)
{
    const share s = {.request = VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, .uuid = uuid};

    return ask(device, &s, answer, arg);
}

/* --- vhu_backend_ops --- */

/* Their number and sizes agree. */
bool vhu__device_set_shmem(vhu_device *device, const vhu_shmem_config *config)
{
    uint32_t n = 0;

    for (size_t i = 0; i < VHU__COUNT(config->sizes); i++)
        n += config->sizes[i] != 0;
    device->shmem = *config;
    return n > 0 && n == config->num_regions;
}

int vhu__device_get_shmem_config(void *self, vhu_shmem_config *config)
{
    *config = ((const vhu_device *)self)->shmem;
    return 0;
}

int vhu__device_get_shared_object(void *self, const uint8_t uuid[16], vhu_handle *handle)
{
    const vhu_device *device = self;

    return device->ops.get_shared_object(device->self, uuid, handle);
}
