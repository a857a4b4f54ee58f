/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/fake_frontend.h"

#include <string.h>

#include "handles.h"

#define OP(name) offsetof(vhu_frontend_ops, name)
#define PF(name) VHU_PF_##name, SPEC_NO_GATE
#define VF(name) SPEC_NO_GATE, VHU_F_##name
#define ROW(name, op, size, handles, least, most, gate, own)                                       \
    {                                                                                              \
        VHU_BACKEND_REQ_##name, #name, OP(op), size, handles, least, most, gate, own               \
    }

const backend_spec backend_specs[BACKEND_SPECS] = {
    ROW(IOTLB_MSG, iotlb_msg, 32, 0, 0, 0, VF(ACCESS_PLATFORM), false),
    ROW(CONFIG_CHANGE_MSG, config_changed, 0, 0, 0, 0, PF(CONFIG), false),
    ROW(VRING_HOST_NOTIFIER_MSG, vring_host_notifier, 24, 1, 1, 1, PF(HOST_NOTIFIER), false),
    ROW(VRING_CALL, vring_call, 8, 0, 0, 0, PF(INBAND_NOTIFICATIONS), false),
    ROW(VRING_ERR, vring_err, 8, 0, 0, 0, PF(INBAND_NOTIFICATIONS), false),
    ROW(SHARED_OBJECT_ADD, shared_object_add, 16, 0, 0, 0, PF(SHARED_OBJECT), false),
    ROW(SHARED_OBJECT_REMOVE, shared_object_remove, 16, 0, 0, 0, PF(SHARED_OBJECT), false),
    ROW(SHARED_OBJECT_LOOKUP, shared_object_lookup, 16, 0, 0, 0, PF(SHARED_OBJECT), true),
    ROW(SHMEM_MAP, shmem_map, 40, 1, 1, 1, PF(SHMEM), false),
    ROW(SHMEM_UNMAP, shmem_unmap, 40, 0, 0, 0, PF(SHMEM), false),
};

static const vhu_iotlb_msg the_miss = {0x1000, 0, 0, VHU_IOTLB_RO, VHU_IOTLB_MISS, {0}};
static const uint64_t the_area[] = {3, 0x1000, 0x2000};
static const vhu_vring_state the_ring = {5, 0};
static const uint8_t the_uuid[16] = "sixteen  bytes.";
static const vhu_shmem_request the_shmem = {2, {0}, 0x3000, 0x1000, 0x2000, VHU_SHMEM_RW};

static void payload_of(const backend_spec *spec, const void **payload)
{
    switch (spec->code) {
    case VHU_BACKEND_REQ_IOTLB_MSG:
        *payload = &the_miss;
        break;
    case VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG:
        *payload = the_area;
        break;
    case VHU_BACKEND_REQ_VRING_CALL:
    case VHU_BACKEND_REQ_VRING_ERR:
        *payload = &the_ring;
        break;
    case VHU_BACKEND_REQ_SHMEM_MAP:
    case VHU_BACKEND_REQ_SHMEM_UNMAP:
        *payload = &the_shmem;
        break;
    default:
        *payload = the_uuid;
        break;
    }
}

void backend_request_build(const backend_spec *spec, uint32_t flags, message *m)
{
    const void *payload;

    memset(m, 0, sizeof(*m));
    m->header = (vhu_msg_header){spec->code, VHU_VERSION_1 | flags, spec->size};
    m->num_handles = spec->handles;
    payload_of(spec, &payload);
    memcpy(m->payload, payload, spec->size);
}

int backend_request_send(const backend_spec *spec, vhu_frontend_client *client, vhu_handle handle)
{
    switch (spec->code) {
    case VHU_BACKEND_REQ_IOTLB_MSG:
        return vhu_frontend_client_iotlb_msg(client, &the_miss);
    case VHU_BACKEND_REQ_CONFIG_CHANGE_MSG:
        return vhu_frontend_client_config_changed(client);
    case VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG:
        return vhu_frontend_client_vring_host_notifier(client, 3, 0x1000, 0x2000, handle);
    case VHU_BACKEND_REQ_VRING_CALL:
        return vhu_frontend_client_vring_call(client, 5);
    case VHU_BACKEND_REQ_VRING_ERR:
        return vhu_frontend_client_vring_err(client, 5);
    case VHU_BACKEND_REQ_SHARED_OBJECT_ADD:
        return vhu_frontend_client_shared_object_add(client, the_uuid);
    case VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE:
        return vhu_frontend_client_shared_object_remove(client, the_uuid);
    case VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP:
        return vhu_frontend_client_shared_object_lookup(client, the_uuid);
    case VHU_BACKEND_REQ_SHMEM_MAP:
        return vhu_frontend_client_shmem_map(client, &the_shmem, handle);
    default:
        assert_int_equal(spec->code, VHU_BACKEND_REQ_SHMEM_UNMAP);
        return vhu_frontend_client_shmem_unmap(client, &the_shmem);
    }
}

/* --- the ops --- */

static int called(fake_frontend *f, uint32_t request, vhu_handle *handles, size_t n)
{
    f->calls++;
    f->last = request;
    f->num_handles = 0;
    for (size_t i = 0; i < n; i++) {
        if (handles[i] == VHU_NO_HANDLE)
            continue;
        f->num_handles++;
        if (!f->take || f->result < 0)
            continue;
        vhu_handle_close(&f->taken[i]);
        f->taken[i] = handles[i];
        handles[i] = VHU_NO_HANDLE;
    }
    if (f->within)
        f->within(f->within_arg);
    return f->result;
}

static int op_iotlb_msg(void *self, const vhu_iotlb_msg *msg)
{
    fake_frontend *f = self;

    f->iotlb = *msg;
    return called(f, VHU_BACKEND_REQ_IOTLB_MSG, NULL, 0);
}

static int op_config_changed(void *self)
{
    return called(self, VHU_BACKEND_REQ_CONFIG_CHANGE_MSG, NULL, 0);
}

static int op_vring_host_notifier(void *self, uint32_t ring, uint64_t size, uint64_t offset,
                                  vhu_handle *handle)
{
    fake_frontend *f = self;

    f->ring = ring;
    f->size = size;
    f->offset = offset;
    return called(f, VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG, handle, 1);
}

static int op_vring_call(void *self, uint32_t ring)
{
    fake_frontend *f = self;

    f->ring = ring;
    return called(f, VHU_BACKEND_REQ_VRING_CALL, NULL, 0);
}

static int op_vring_err(void *self, uint32_t ring)
{
    fake_frontend *f = self;

    f->ring = ring;
    return called(f, VHU_BACKEND_REQ_VRING_ERR, NULL, 0);
}

static int op_shared_object_add(void *self, const uint8_t uuid[16])
{
    fake_frontend *f = self;

    memcpy(f->bytes, uuid, 16);
    return called(f, VHU_BACKEND_REQ_SHARED_OBJECT_ADD, NULL, 0);
}

static int op_shared_object_remove(void *self, const uint8_t uuid[16])
{
    fake_frontend *f = self;

    memcpy(f->bytes, uuid, 16);
    return called(f, VHU_BACKEND_REQ_SHARED_OBJECT_REMOVE, NULL, 0);
}

static int op_shared_object_lookup(void *self, const uint8_t uuid[16], vhu_handle *handle)
{
    fake_frontend *f = self;

    memcpy(f->bytes, uuid, 16);
    if (!f->not_found)
        handles_open(handle, 1);
    return called(f, VHU_BACKEND_REQ_SHARED_OBJECT_LOOKUP, NULL, 0);
}

static int op_shmem_map(void *self, const vhu_shmem_request *request, vhu_handle *handle)
{
    fake_frontend *f = self;

    f->shmem = *request;
    return called(f, VHU_BACKEND_REQ_SHMEM_MAP, handle, 1);
}

static int op_shmem_unmap(void *self, const vhu_shmem_request *request)
{
    fake_frontend *f = self;

    f->shmem = *request;
    return called(f, VHU_BACKEND_REQ_SHMEM_UNMAP, NULL, 0);
}

static int op_private_request(void *self, uint32_t request, const void *payload, uint32_t len,
                              vhu_handle *handles, size_t num_handles)
{
    fake_frontend *f = self;

    f->len = len;
    memcpy(f->bytes, payload, len < sizeof(f->bytes) ? len : sizeof(f->bytes));
    return called(f, request, handles, num_handles);
}

const vhu_frontend_ops fake_frontend_ops = {
    .size = sizeof(fake_frontend_ops),
    .iotlb_msg = op_iotlb_msg,
    .config_changed = op_config_changed,
    .vring_host_notifier = op_vring_host_notifier,
    .vring_call = op_vring_call,
    .vring_err = op_vring_err,
    .shared_object_add = op_shared_object_add,
    .shared_object_remove = op_shared_object_remove,
    .shared_object_lookup = op_shared_object_lookup,
    .shmem_map = op_shmem_map,
    .shmem_unmap = op_shmem_unmap,
    .private_request = op_private_request,
};

/* --- as a whole --- */

void fake_frontend_init(fake_frontend *f)
{
    memset(f, 0, sizeof(*f));
    for (size_t i = 0; i < VHU_MAX_HANDLES; i++)
        f->taken[i] = VHU_NO_HANDLE;
}

void fake_frontend_release(fake_frontend *f)
{
    vhu__close_all(f->taken, VHU_MAX_HANDLES);
}

void fake_frontend_expect(const fake_frontend *f, const backend_spec *spec)
{
    assert_int_equal(f->last, spec->code);
    assert_int_equal(f->num_handles, spec->handles);
    switch (spec->code) {
    case VHU_BACKEND_REQ_IOTLB_MSG:
        assert_memory_equal(&f->iotlb, &the_miss, sizeof(the_miss));
        break;
    case VHU_BACKEND_REQ_CONFIG_CHANGE_MSG:
        break;
    case VHU_BACKEND_REQ_VRING_HOST_NOTIFIER_MSG:
        assert_int_equal(f->ring, 3);
        assert_int_equal(f->size, 0x1000);
        assert_int_equal(f->offset, 0x2000);
        break;
    case VHU_BACKEND_REQ_VRING_CALL:
    case VHU_BACKEND_REQ_VRING_ERR:
        assert_int_equal(f->ring, 5);
        break;
    case VHU_BACKEND_REQ_SHMEM_MAP:
    case VHU_BACKEND_REQ_SHMEM_UNMAP:
        assert_memory_equal(&f->shmem, &the_shmem, sizeof(the_shmem));
        break;
    default:
        assert_memory_equal(f->bytes, the_uuid, sizeof(the_uuid));
        break;
    }
}
