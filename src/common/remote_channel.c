/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VMM's kit: the channel on which the back-end asks. Its ops are the kit's own, which do what
 * is the kit's to do and pass on to the VMM's what is the VMM's.
 */
#include "remote_internal.h"

#define HOST_NOTIFIER (VHU_BIT(VHU_PF_HOST_NOTIFIER) | VHU_BIT(VHU_PF_BACKEND_SEND_FD))
#define SHMEM (VHU_BIT(VHU_PF_SHMEM) | VHU_BIT(VHU_PF_BACKEND_SEND_FD))

/* --- ops --- */

static int iotlb_msg(void *self, const vhu_iotlb_msg *msg)
{
    vhu_remote *remote = self;

    if (remote->options.translate && msg->type == VHU_IOTLB_MISS)
        return vhu__remote_answer_miss(remote, msg);
    return remote->ops.iotlb_msg ? remote->ops.iotlb_msg(remote->options.self, msg) : 0;
}

static int config_changed(void *self)
{
    const vhu_remote *remote = self;

    return remote->ops.config_changed(remote->options.self);
}

static int vring_host_notifier(void *self, uint32_t ring, uint64_t size, uint64_t offset,
                               vhu_handle *handle)
{
    const vhu_remote *remote = self;

    return remote->ops.vring_host_notifier(remote->options.self, ring, size, offset, handle);
}

/* As if the event had been passed, and the back-end had signalled that. */
static int notified(const vhu_remote *remote, uint32_t ring, vhu_vring_event which,
                    int (*op)(void *self, uint32_t ring))
{
    vhu__remote_poke(remote, ring, which);
    return op ? op(remote->options.self, ring) : 0;
}

static int vring_call(void *self, uint32_t ring)
{
    const vhu_remote *remote = self;

    return notified(remote, ring, VHU_VRING_CALL, remote->ops.vring_call);
}

static int vring_err(void *self, uint32_t ring)
{
    const vhu_remote *remote = self;

    return notified(remote, ring, VHU_VRING_ERR, remote->ops.vring_err);
}

static int private_request(void *self, uint32_t request, const void *payload, uint32_t len,
                           vhu_handle *handles, size_t num_handles)
{
    const vhu_remote *remote = self;

    return remote->ops.private_request(remote->options.self, request, payload, len, handles,
                                       num_handles);
}

/*
 * What neither the kit nor the VMM can do stays out, and is not known then. What was not negotiated
 * is refused in any case.
 */
static vhu_frontend_ops channel_ops(const vhu_remote *remote)
{
    const vhu_frontend_ops *vmm = &remote->ops;

    return (vhu_frontend_ops){
        .size = sizeof(vhu_frontend_ops),
        .iotlb_msg = remote->options.translate || vmm->iotlb_msg ? iotlb_msg : NULL,
        .config_changed = vmm->config_changed ? config_changed : NULL,
        .vring_host_notifier = vmm->vring_host_notifier ? vring_host_notifier : NULL,
        .vring_call = vring_call,
        .vring_err = vring_err,
        .shared_object_add = vhu__remote_object_add,
        .shared_object_remove = vhu__remote_object_remove,
        .shared_object_lookup = vhu__remote_object_lookup,
        .shmem_map = remote->has_shmem ? vhu__remote_shmem_map : NULL,
        .shmem_unmap = remote->has_shmem ? vhu__remote_shmem_unmap : NULL,
        .private_request = vmm->private_request ? private_request : NULL,
    };
}

/* --- the channel itself --- */

/* Whether anything may be asked. */
static bool is_of_use(const vhu_remote *remote, bool inband)
{
    return remote->options.ops || remote->options.translate || inband;
}

uint64_t vhu__remote_channel_features(const vhu_remote *remote)
{
    return (is_of_use(remote, remote->options.inband) ? VHU_BIT(VHU_PF_BACKEND_REQ) : 0) |
           (remote->options.ops ? VHU_BIT(VHU_PF_SHARED_OBJECT) : 0) |
           (remote->ops.vring_host_notifier ? HOST_NOTIFIER : 0) |
           (vhu__remote_wants_shmem(remote) ? SHMEM : 0);
}

int vhu__remote_open_channel(vhu_remote *remote)
{
    const vhu_frontend_ops ops = channel_ops(remote);
    const vhu_frontend_server_options options = {
        .size = sizeof(options),
        .max_rings = remote->options.num_rings,
        .features = vhu_backend_client_features(remote->client),
        .protocol_features = vhu_backend_client_protocol_features(remote->client),
    };
    vhu_handle peer = VHU_NO_HANDLE;
    vhu_conn *conn = NULL;
    int r;

    if (!is_of_use(remote, vhu__remote_is_inband(remote)) ||
        !vhu__remote_has(remote, VHU_PF_BACKEND_REQ))
        return 0;
    r = vhu_conn_open_channel(&conn, &peer, vhu_backend_client_conn(remote->client),
                              &remote->connection);
    if (r == 0)
        r = vhu_frontend_server_new(&remote->channel, &conn, &ops, remote, &options);
    if (r < 0) {
        vhu__remote_fail(remote, r, "no channel for the back-end: %s", vhu_strerror(r));
    } else {
        vhu_backend_client_attach(remote->client, remote->channel);
        r = vhu__remote_sent(remote, vhu_backend_client_set_backend_req_fd(remote->client, peer));
    }
    vhu_conn_free(conn);
    vhu_handle_close(&peer);
    return r;
}
