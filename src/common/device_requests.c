/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Requests that need no ring parked: the device's own are passed on to it and, if it has no op for
 * one, not known; the status is only kept.
 */
#include <string.h>

#include "device_internal.h"

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    const vhu_device *device = self;

    return device->ops.get_config(device->self, offset, buf, len);
}

static int set_config(void *self, uint32_t offset, const void *buf, uint32_t len, uint32_t flags)
{
    const vhu_device *device = self;

    return device->ops.set_config(device->self, offset, buf, len, flags);
}

static int send_rarp(void *self, const uint8_t mac[6])
{
    const vhu_device *device = self;

    return device->ops.send_rarp(device->self, mac);
}

static int net_set_mtu(void *self, uint64_t mtu)
{
    const vhu_device *device = self;

    return device->ops.net_set_mtu(device->self, mtu);
}

static int create_crypto_session(void *self, const void *params, uint32_t len, int64_t *id)
{
    const vhu_device *device = self;

    return device->ops.create_crypto_session(device->self, params, len, id);
}

static int close_crypto_session(void *self, uint64_t id)
{
    const vhu_device *device = self;

    return device->ops.close_crypto_session(device->self, id);
}

static int gpu_set_socket(void *self, vhu_handle *handle)
{
    const vhu_device *device = self;

    return device->ops.gpu_set_socket(device->self, handle);
}

/*
 * Zero resets nothing here: QEMU sends it before it asks the rings for their bases, also if its
 * guest only pauses.
 */
static int set_status(void *self, uint64_t status)
{
    ((vhu_device *)self)->status = status;
    return 0;
}

static int get_status(void *self, uint64_t *status)
{
    *status = ((const vhu_device *)self)->status;
    return 0;
}

static const vhu_backend_ops requests = {
    .get_config = get_config,
    .set_config = set_config,
    .send_rarp = send_rarp,
    .net_set_mtu = net_set_mtu,
    .create_crypto_session = create_crypto_session,
    .close_crypto_session = close_crypto_session,
    .gpu_set_socket = gpu_set_socket,
    .set_status = set_status,
    .get_status = get_status,
};

static const struct {
    size_t request;
    size_t op; /* of the device, without which it is not known */
} rows[] = {
#define ROW(request, op)                                                                           \
    {                                                                                              \
        offsetof(vhu_backend_ops, request), offsetof(vhu_device_ops, op)                           \
    }
    ROW(get_config, get_config),
    ROW(set_config, set_config),
    ROW(send_rarp, send_rarp),
    ROW(net_set_mtu, net_set_mtu),
    ROW(create_crypto_session, create_crypto_session),
    ROW(close_crypto_session, close_crypto_session),
    ROW(gpu_set_socket, gpu_set_socket),
    ROW(set_status, size),
    ROW(get_status, size),
#undef ROW
};

void vhu__device_add_requests(vhu_device *device)
{
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        if (vhu__has_op(&device->ops, rows[i].op))
            memcpy((char *)&device->backend_ops + rows[i].request,
                   (const char *)&requests + rows[i].request, sizeof(void (*)(void)));
    }
}

/* --- on the back-end's channel --- */

int vhu_device_config_changed(vhu_device *device)
{
    vhu_frontend_client *channel;
    int r = vhu__device_channel(device, &channel);

    return r < 0 ? r : vhu__device_sent(device, vhu_frontend_client_config_changed(channel));
}

int vhu_device_set_host_notifier(vhu_device *device, uint32_t ring, uint64_t size, uint64_t offset,
                                 vhu_handle handle)
{
    vhu_frontend_client *channel;
    int r = vhu__device_channel(device, &channel);

    if (r < 0)
        return r;
    if (ring >= device->options.num_rings)
        return VHU_EINVAL;
    return vhu__device_sent(
        device, vhu_frontend_client_vring_host_notifier(channel, ring, size, offset, handle));
}
