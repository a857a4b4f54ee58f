/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The channel on which a back-end sends requests of its own (SET_BACKEND_REQ_FD; section "Back-end
 * message types"): the VMM's end serves them, the device's end sends them.
 */
#ifndef VMM_VHOST_FRONTEND_H
#define VMM_VHOST_FRONTEND_H

#include <vmm_vhost/conn.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* --- The VMM's end --- */

/*
 * What a VMM does for each request; as vhu_backend_ops: arguments are checked before, an op returns
 * 0, a negative VHU_E* or VHU_EPENDING, and takes a handle by setting it to VHU_NO_HANDLE.
 *
 * A failure is told to a back-end that waits for an answer, and else closes the channel. A request
 * that is not known here (its op is NULL, or returns VHU_ENOSYS) does not: without an answer to
 * give it is passed over with a line for the log, VHU_LOG_WARNING, and the channel goes on.
 */
typedef struct vhu_frontend_ops {
    size_t size; /* sizeof(vhu_frontend_ops) */
    int (*iotlb_msg)(void *self, const vhu_iotlb_msg *msg);
    int (*config_changed)(void *self);
    /* *handle is VHU_NO_HANDLE: no notifier any more. Bytes. */
    int (*vring_host_notifier)(void *self, uint32_t ring, uint64_t size, uint64_t offset,
                               vhu_handle *handle);
    int (*vring_call)(void *self, uint32_t ring);
    int (*vring_err)(void *self, uint32_t ring);
    int (*shared_object_add)(void *self, const uint8_t uuid[16]);
    int (*shared_object_remove)(void *self, const uint8_t uuid[16]);
    /* *handle is sent and closed. Done without a handle means that there is no such object. */
    int (*shared_object_lookup)(void *self, const uint8_t uuid[16], vhu_handle *handle);
    int (*shmem_map)(void *self, const vhu_shmem_request *request, vhu_handle *handle);
    int (*shmem_unmap)(void *self, const vhu_shmem_request *request);
    int (*private_request)(void *self, uint32_t request, const void *payload, uint32_t len,
                           vhu_handle *handles, size_t num_handles);
} vhu_frontend_ops;

typedef struct vhu_frontend_server_options {
    size_t size;        /* sizeof(vhu_frontend_server_options) */
    uint32_t max_rings; /* 0: VHU_MAX_RINGS */
    /* What was negotiated on the main connection: gates and acknowledgements go by it. */
    uint64_t features;
    uint64_t protocol_features;
} vhu_frontend_server_options;

/* *conn is taken on success. `ops` is copied; `options` may be NULL. VHU_EINVAL, VHU_ENOMEM. */
VHU_API int vhu_frontend_server_new(vhu_frontend_server **out, vhu_conn **conn,
                                    const vhu_frontend_ops *ops, void *self,
                                    const vhu_frontend_server_options *options);
VHU_API void vhu_frontend_server_free(vhu_frontend_server *server);

/* After the main connection negotiated something else. */
VHU_API void vhu_frontend_server_set_features(vhu_frontend_server *server, uint64_t features,
                                              uint64_t protocol_features);

/* The three steps, and all of them: exactly as those of vhu_backend_server in backend.h. */
VHU_API int vhu_frontend_server_recv_header(vhu_frontend_server *server, vhu_msg_header *header);
VHU_API bool vhu_frontend_server_needs_wait_for_payload(vhu_frontend_server *server);
VHU_API int vhu_frontend_server_process_message(vhu_frontend_server *server);
VHU_API int vhu_frontend_server_serve(vhu_frontend_server *server);
VHU_API int vhu_frontend_server_complete(vhu_frontend_server *server, int status);

/* The connection, borrowed. */
VHU_API vhu_conn *vhu_frontend_server_conn(const vhu_frontend_server *server);

/* --- The device's end --- */

/*
 * Requests are sent without ever waiting, since the front-end may be waiting for this side: each
 * function returns 0 when the request is under way. Its outcome comes later, in the order of
 * sending, to `done` of vhu_frontend_client_options, out of vhu_frontend_client_finish(): 0,
 * VHU_EREFUSED, or what ended the connection. A request that is not acknowledged (REPLY_ACK was not
 * negotiated, or no acknowledgement is wanted, and it has no reply of its own) is done when it was
 * sent, which finish tells as well.
 *
 * Errors: VHU_ENOSYS (feature not negotiated), VHU_EOVERFLOW (VHU_MAX_CALLS), VHU_EINVAL, or the
 * connection's; nothing was sent then and `done` is not called. Handles stay the caller's.
 */
typedef struct vhu_frontend_client_options {
    size_t size;    /* sizeof(vhu_frontend_client_options) */
    int timeout_ms; /* for each request; 0: 10000, negative: no limit */
    uint64_t features;
    uint64_t protocol_features;
    /* handle: of a SHARED_OBJECT_LOOKUP, taken by setting it to VHU_NO_HANDLE. NULL: nothing. */
    void (*done)(void *arg, uint32_t request, int status, vhu_handle *handle);
    void *arg;
} vhu_frontend_client_options;

/* *conn is taken on success, as an op set_backend_channel gets it. `options` may be NULL. */
VHU_API int vhu_frontend_client_new(vhu_frontend_client **out, vhu_conn **conn,
                                    const vhu_frontend_client_options *options);
VHU_API void vhu_frontend_client_free(vhu_frontend_client *client);
VHU_API void vhu_frontend_client_set_features(vhu_frontend_client *client, uint64_t features,
                                              uint64_t protocol_features);

/* For the requests that follow: whether to ask for an acknowledgement; true at first. */
VHU_API void vhu_frontend_client_set_ack(vhu_frontend_client *client, bool ack);

/*
 * Take the replies that are here, without blocking: VHU_EAGAIN while some are to come, 0 if none
 * are, or the error that ended the connection. To be called when the connection's wait handle
 * fires and after vhu_frontend_client_deadline_ms() (-1: none). `done` may send other requests, but
 * not free the client.
 */
VHU_API int vhu_frontend_client_finish(vhu_frontend_client *client);
VHU_API int vhu_frontend_client_deadline_ms(const vhu_frontend_client *client);
VHU_API vhu_conn *vhu_frontend_client_conn(const vhu_frontend_client *client);

/* Requests, section "Back-end message types" of the specification, each under its name there. */

VHU_API int vhu_frontend_client_iotlb_msg(vhu_frontend_client *client, const vhu_iotlb_msg *msg);
VHU_API int vhu_frontend_client_config_changed(vhu_frontend_client *client);
VHU_API int vhu_frontend_client_vring_host_notifier(vhu_frontend_client *client, uint32_t ring,
                                                    uint64_t size, uint64_t offset,
                                                    vhu_handle handle);
VHU_API int vhu_frontend_client_vring_call(vhu_frontend_client *client, uint32_t ring);
VHU_API int vhu_frontend_client_vring_err(vhu_frontend_client *client, uint32_t ring);
VHU_API int vhu_frontend_client_shared_object_add(vhu_frontend_client *client,
                                                  const uint8_t uuid[16]);
VHU_API int vhu_frontend_client_shared_object_remove(vhu_frontend_client *client,
                                                     const uint8_t uuid[16]);
VHU_API int vhu_frontend_client_shared_object_lookup(vhu_frontend_client *client,
                                                     const uint8_t uuid[16]);
VHU_API int vhu_frontend_client_shmem_map(vhu_frontend_client *client,
                                          const vhu_shmem_request *request, vhu_handle handle);
VHU_API int vhu_frontend_client_shmem_unmap(vhu_frontend_client *client,
                                            const vhu_shmem_request *request);
/* A request that the specification does not know (VHU_EINVAL if it does). */
VHU_API int vhu_frontend_client_private_request(vhu_frontend_client *client, uint32_t request,
                                                const void *payload, uint32_t len,
                                                const vhu_handle *handles, size_t num_handles);

#ifdef __cplusplus
}
#endif

#endif
