/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/fake_backend.h"

#include <string.h>

#include "handles.h"
#include "support/pair.h"

static int called(fake_backend *f, fake_op op)
{
    f->calls[op]++;
    if (op == FAKE_get_features || op == FAKE_get_protocol_features)
        return f->result[op];
    f->total++;
    f->last = op;
    return f->result[op];
}

/* Handles of a call; a failing op takes none. */
static int got(fake_backend *f, fake_op op, vhu_handle *handles, size_t n)
{
    int r = called(f, op);

    f->num_handles = 0;
    for (size_t i = 0; i < n; i++) {
        if (handles[i] == VHU_NO_HANDLE)
            continue;
        f->num_handles++;
        if (f->take && r == 0 && f->num_taken < FAKE_MAX_TAKEN) {
            f->taken[f->num_taken++] = handles[i];
            handles[i] = VHU_NO_HANDLE;
        }
    }
    return r;
}

static void give(fake_backend *f, vhu_handle *handle)
{
    if (f->give)
        handles_open(handle, 1);
}

static int op_get_features(void *self, uint64_t *features)
{
    fake_backend *f = self;

    *features = f->features;
    return called(f, FAKE_get_features);
}

static int op_set_features(void *self, uint64_t features)
{
    fake_backend *f = self;

    f->value = features;
    return called(f, FAKE_set_features);
}

static int op_set_owner(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_set_owner);
}

static int op_reset_owner(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_reset_owner);
}

static int op_set_mem_table(void *self, vhu_mem_region *regions, size_t n, vhu_handle *handles)
{
    fake_backend *f = self;

    f->num = (uint32_t)n;
    memcpy(f->regions, regions, n * sizeof(regions[0]));
    for (size_t i = 0; i < n; i++)
        regions[i].user_addr += 1;
    return got(f, FAKE_set_mem_table, handles, n);
}

static int op_set_log_base(void *self, const vhu_log_area *area, vhu_handle *handle)
{
    fake_backend *f = self;

    f->log = *area;
    return got(f, FAKE_set_log_base, handle, 1);
}

static int op_set_log_fd(void *self, vhu_handle *handle)
{
    fake_backend *f = self;

    return got(f, FAKE_set_log_fd, handle, 1);
}

static int op_set_vring_num(void *self, uint32_t ring, uint32_t num)
{
    fake_backend *f = self;

    f->ring = ring;
    f->num = num;
    return called(f, FAKE_set_vring_num);
}

static int op_set_vring_addr(void *self, uint32_t ring, const vhu_vring_addr *addr)
{
    fake_backend *f = self;

    f->ring = ring;
    f->addr = *addr;
    return called(f, FAKE_set_vring_addr);
}

static int op_set_vring_base(void *self, uint32_t ring, uint32_t base)
{
    fake_backend *f = self;

    f->ring = ring;
    f->num = base;
    return called(f, FAKE_set_vring_base);
}

static int op_get_vring_base(void *self, uint32_t ring, uint32_t *base)
{
    fake_backend *f = self;

    f->ring = ring;
    *base = f->base;
    return called(f, FAKE_get_vring_base);
}

static int op_set_vring_event(void *self, uint32_t ring, vhu_vring_event which, vhu_handle *handle)
{
    fake_backend *f = self;

    f->ring = ring;
    f->event = which;
    return got(f, FAKE_set_vring_event, handle, 1);
}

static int op_get_protocol_features(void *self, uint64_t *features)
{
    fake_backend *f = self;

    *features = f->protocol_features;
    return called(f, FAKE_get_protocol_features);
}

static int op_set_protocol_features(void *self, uint64_t features)
{
    fake_backend *f = self;

    f->value = features;
    return called(f, FAKE_set_protocol_features);
}

static int op_get_queue_num(void *self, uint64_t *num)
{
    fake_backend *f = self;

    *num = 7;
    return called(f, FAKE_get_queue_num);
}

static int op_set_vring_enable(void *self, uint32_t ring, bool enable)
{
    fake_backend *f = self;

    f->ring = ring;
    f->num = enable;
    return called(f, FAKE_set_vring_enable);
}

static int op_send_rarp(void *self, const uint8_t mac[6])
{
    fake_backend *f = self;

    memcpy(f->bytes, mac, 6);
    return called(f, FAKE_send_rarp);
}

static int op_net_set_mtu(void *self, uint64_t mtu)
{
    fake_backend *f = self;

    f->value = mtu;
    return called(f, FAKE_net_set_mtu);
}

static int op_set_backend_channel(void *self, vhu_conn **channel)
{
    fake_backend *f = self;
    int r = called(f, FAKE_set_backend_channel);

    f->num_handles = 1;
    if (f->take && (r == 0 || r == VHU_EPENDING)) {
        vhu_conn_free(f->channel);
        f->channel = *channel;
        *channel = NULL;
    }
    return r;
}

static int op_iotlb_msg(void *self, const vhu_iotlb_msg *msg)
{
    fake_backend *f = self;

    f->iotlb = *msg;
    return called(f, FAKE_iotlb_msg);
}

static int op_set_vring_endian(void *self, uint32_t ring, bool big_endian)
{
    fake_backend *f = self;

    f->ring = ring;
    f->num = big_endian;
    return called(f, FAKE_set_vring_endian);
}

static int op_get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    fake_backend *f = self;

    f->num = offset;
    f->len = len;
    for (uint32_t i = 0; i < len && f->give; i++)
        ((uint8_t *)buf)[i] = (uint8_t)(offset + i);
    return called(f, FAKE_get_config);
}

static int op_set_config(void *self, uint32_t offset, const void *buf, uint32_t len, uint32_t flags)
{
    fake_backend *f = self;

    f->num = offset;
    f->len = len;
    f->flags = flags;
    memcpy(f->bytes, buf, len);
    return called(f, FAKE_set_config);
}

static int op_create_crypto_session(void *self, const void *params, uint32_t len, int64_t *id)
{
    fake_backend *f = self;

    f->len = len;
    memcpy(f->bytes, params, len);
    *id = 77;
    return called(f, FAKE_create_crypto_session);
}

static int op_close_crypto_session(void *self, uint64_t id)
{
    fake_backend *f = self;

    f->value = id;
    return called(f, FAKE_close_crypto_session);
}

static int op_postcopy_advise(void *self, vhu_handle *uffd)
{
    fake_backend *f = self;

    give(f, uffd);
    return called(f, FAKE_postcopy_advise);
}

static int op_postcopy_listen(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_postcopy_listen);
}

static int op_postcopy_mapped(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_postcopy_mapped);
}

static int op_postcopy_end(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_postcopy_end);
}

static int op_get_inflight_fd(void *self, vhu_inflight_area *area, vhu_handle *handle)
{
    fake_backend *f = self;

    f->inflight = *area;
    area->mmap_size = 0x10000;
    area->mmap_offset = 0x40;
    give(f, handle);
    return called(f, FAKE_get_inflight_fd);
}

static int op_set_inflight_fd(void *self, const vhu_inflight_area *area, vhu_handle *handle)
{
    fake_backend *f = self;

    f->inflight = *area;
    return got(f, FAKE_set_inflight_fd, handle, 1);
}

static int op_gpu_set_socket(void *self, vhu_handle *handle)
{
    fake_backend *f = self;

    return got(f, FAKE_gpu_set_socket, handle, 1);
}

static int op_reset_device(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_reset_device);
}

static int op_vring_kick(void *self, uint32_t ring)
{
    fake_backend *f = self;

    f->ring = ring;
    return called(f, FAKE_vring_kick);
}

static int op_get_max_mem_slots(void *self, uint64_t *slots)
{
    fake_backend *f = self;

    *slots = f->slots ? f->slots : 509;
    return called(f, FAKE_get_max_mem_slots);
}

static int op_add_mem_reg(void *self, vhu_mem_region *region, vhu_handle *handle)
{
    fake_backend *f = self;

    f->regions[0] = *region;
    region->user_addr += 1;
    return got(f, FAKE_add_mem_reg, handle, 1);
}

static int op_rem_mem_reg(void *self, const vhu_mem_region *region)
{
    fake_backend *f = self;

    f->regions[0] = *region;
    return called(f, FAKE_rem_mem_reg);
}

static int op_set_status(void *self, uint64_t status)
{
    fake_backend *f = self;

    f->value = status;
    return called(f, FAKE_set_status);
}

static int op_get_status(void *self, uint64_t *status)
{
    fake_backend *f = self;

    *status = 0xf;
    return called(f, FAKE_get_status);
}

static int op_get_shared_object(void *self, const uint8_t uuid[16], vhu_handle *handle)
{
    fake_backend *f = self;

    memcpy(f->bytes, uuid, 16);
    give(f, handle);
    return called(f, FAKE_get_shared_object);
}

static int op_set_device_state_fd(void *self, const vhu_device_state *state, vhu_handle *handle,
                                  vhu_handle *reply)
{
    fake_backend *f = self;

    f->state = *state;
    give(f, reply);
    return got(f, FAKE_set_device_state_fd, handle, 1);
}

static int op_check_device_state(void *self)
{
    fake_backend *f = self;

    return called(f, FAKE_check_device_state);
}

static int op_get_shmem_config(void *self, vhu_shmem_config *config)
{
    fake_backend *f = self;

    config->num_regions = 1;
    config->sizes[3] = 0x200000;
    return called(f, FAKE_get_shmem_config);
}

static int op_private_request(void *self, uint32_t request, const void *payload, uint32_t len,
                              vhu_handle *handles, size_t num_handles)
{
    fake_backend *f = self;

    f->value = request;
    f->len = len;
    memcpy(f->bytes, payload, len);
    return got(f, FAKE_private_request, handles, num_handles);
}

/* --- as a whole --- */

const vhu_backend_ops fake_backend_ops = {.size = sizeof(fake_backend_ops),
#define MEMBER(name) .name = op_##name,
                                          FAKE_OP_MAP(MEMBER)
#undef MEMBER
};

vhu_backend_ops fake_backend_ops_without(fake_op op)
{
    static const size_t offsets[] = {
#define OFFSET(name) [FAKE_##name] = offsetof(vhu_backend_ops, name),
        FAKE_OP_MAP(OFFSET)
#undef OFFSET
    };
    vhu_backend_ops ops = fake_backend_ops;

    memset((char *)&ops + offsets[op], 0, sizeof(ops.get_features));
    return ops;
}

const char *fake_op_name(fake_op op)
{
    static const char *const names[] = {
#define NAME(name) [FAKE_##name] = #name,
        FAKE_OP_MAP(NAME)
#undef NAME
    };

    return names[op];
}

void fake_backend_init(fake_backend *f)
{
    memset(f, 0, sizeof(*f));
    f->give = true;
    f->features = VHU_BIT(VHU_F_VERSION_1) | VHU_BIT(VHU_F_ACCESS_PLATFORM) |
                  VHU_BIT(VHU_F_LOG_ALL) | VHU_BIT(0);
    f->protocol_features = UINT64_MAX;
    f->base = 0x1234;
}

void fake_backend_release(fake_backend *f)
{
    vhu__close_all(f->taken, f->num_taken);
    f->num_taken = 0;
    vhu_conn_free(f->channel);
    f->channel = NULL;
}
