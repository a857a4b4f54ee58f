/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device's end of a connection: receives the front-end's requests and calls vhu_backend_ops.
 *
 * A request is served in three separate steps, because waiting differs between systems and belongs
 * to the caller:
 *
 *     for (;;) {
 *         r = vhu_backend_server_recv_header(server, NULL);
 *         if (r == 0) {
 *             if (vhu_backend_server_needs_wait_for_payload(server))
 *                 vhu_conn_wait(conn, -1);
 *             r = vhu_backend_server_process_message(server);
 *         }
 *         if (r == VHU_EAGAIN)
 *             vhu_conn_wait(conn, -1);
 *         else if (!vhu_conn_is_open(conn))
 *             break;
 *     }
 *
 * A loop of the caller's own waits for vhu_conn_wait_handle() and then calls
 * vhu_backend_server_serve(), which does the steps until nothing is left to do.
 *
 * What went wrong, and what follows:
 *   framing is lost                 the connection is closed
 *   well framed, but wrong          nothing has changed; a failure is replied if the reply can
 *                                   carry one, else the connection is closed
 *   an op failed                    the same
 *   handles that no op took         are closed
 *   the peer is silent in mid-message, or does not read its replies: closed after a time limit
 */
#ifndef VMM_VHOST_BACKEND_H
#define VMM_VHOST_BACKEND_H

#include <vmm_vhost/conn.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/*
 * What a device does for each request; `self` is the pointer given to vhu_backend_server_new().
 *
 * Arguments are checked before an op sees them: sizes, ring index < max_rings, flags, number of
 * handles. An op returns 0 or a negative VHU_E*; if it fails it must have changed nothing. An op
 * takes a handle by setting it to VHU_NO_HANDLE.
 *
 * An op may return VHU_EPENDING: the reply is then held back, and no other request is received,
 * until vhu_backend_server_complete(). Its arguments stay valid until then.
 *
 * A NULL op means that the request is not supported: it is refused, and the protocol feature that
 * needs it is not offered.
 */
typedef struct vhu_backend_ops {
    size_t size; /* sizeof(vhu_backend_ops) */

    /* The device's virtio features. The server adds VHU_F_PROTOCOL_FEATURES. */
    int (*get_features)(void *self, uint64_t *features);
    /* A subset of what get_features gives; VHU_F_PROTOCOL_FEATURES as the front-end sent it. */
    int (*set_features)(void *self, uint64_t features);
    int (*set_owner)(void *self);
    int (*reset_owner)(void *self);

    /*
     * `regions` and `handles` have `n` entries. In postcopy mode (after postcopy_listen) the op
     * stores in each user_addr where it has mapped the region, and waits for postcopy_mapped
     * before it lets page faults happen.
     */
    int (*set_mem_table)(void *self, vhu_mem_region *regions, size_t n, vhu_handle *handles);
    /* With LOG_SHMFD: area and handle. Without: area->offset is an address, *handle is none. */
    int (*set_log_base)(void *self, const vhu_log_area *area, vhu_handle *handle);
    int (*set_log_fd)(void *self, vhu_handle *handle);

    int (*set_vring_num)(void *self, uint32_t ring, uint32_t num);
    int (*set_vring_addr)(void *self, uint32_t ring, const vhu_vring_addr *addr);
    int (*set_vring_base)(void *self, uint32_t ring, uint32_t base);
    int (*get_vring_base)(void *self, uint32_t ring, uint32_t *base);
    /* SET_VRING_KICK, _CALL and _ERR; *handle is VHU_NO_HANDLE if the message had none. */
    int (*set_vring_event)(void *self, uint32_t ring, vhu_vring_event which, vhu_handle *handle);

    /*
     * *features holds those that the ops allow: take out what the device does not want. NULL: it
     * wants them all. The server always offers REPLY_ACK.
     */
    int (*get_protocol_features)(void *self, uint64_t *features);
    int (*set_protocol_features)(void *self, uint64_t features);
    int (*get_queue_num)(void *self, uint64_t *num);
    int (*set_vring_enable)(void *self, uint32_t ring, bool enable);

    int (*send_rarp)(void *self, const uint8_t mac[6]);
    int (*net_set_mtu)(void *self, uint64_t mtu);
    /* A connection on which the device may send requests of its own; taken like a handle. */
    int (*set_backend_channel)(void *self, vhu_conn **channel);
    int (*iotlb_msg)(void *self, const vhu_iotlb_msg *msg);
    int (*set_vring_endian)(void *self, uint32_t ring, bool big_endian);

    /* offset + len <= VHU_MAX_CONFIG. */
    int (*get_config)(void *self, uint32_t offset, void *buf, uint32_t len);
    int (*set_config)(void *self, uint32_t offset, const void *buf, uint32_t len, uint32_t flags);

    /* Parameters are passed as they came: front-ends differ in their layout. *id >= 0. */
    int (*create_crypto_session)(void *self, const void *params, uint32_t len, int64_t *id);
    int (*close_crypto_session)(void *self, uint64_t id);

    /* *uffd: a userfault handle that the server sends and closes. */
    int (*postcopy_advise)(void *self, vhu_handle *uffd);
    int (*postcopy_listen)(void *self);
    int (*postcopy_mapped)(void *self);
    int (*postcopy_end)(void *self);

    /* *area holds what the front-end asks for, then what it gets; *handle is sent and closed. */
    int (*get_inflight_fd)(void *self, vhu_inflight_area *area, vhu_handle *handle);
    int (*set_inflight_fd)(void *self, const vhu_inflight_area *area, vhu_handle *handle);

    int (*gpu_set_socket)(void *self, vhu_handle *handle);
    int (*reset_device)(void *self);
    int (*vring_kick)(void *self, uint32_t ring);

    int (*get_max_mem_slots)(void *self, uint64_t *slots);
    /* In postcopy mode as set_mem_table. */
    int (*add_mem_reg)(void *self, vhu_mem_region *region, vhu_handle *handle);
    int (*rem_mem_reg)(void *self, const vhu_mem_region *region);

    int (*set_status)(void *self, uint64_t status);
    int (*get_status)(void *self, uint64_t *status);

    /* *handle is sent and closed. */
    int (*get_shared_object)(void *self, const uint8_t uuid[16], vhu_handle *handle);
    /* *handle comes in as the front-end's; `*reply` may be set to one to send and close. */
    int (*set_device_state_fd)(void *self, const vhu_device_state *state, vhu_handle *handle,
                               vhu_handle *reply);
    int (*check_device_state)(void *self);
    int (*get_shmem_config)(void *self, vhu_shmem_config *config);

    /*
     * A request that the specification does not know, as it came: private codes. Answered as
     * requests without a reply of their own are.
     */
    int (*private_request)(void *self, uint32_t request, const void *payload, uint32_t len,
                           vhu_handle *handles, size_t num_handles);

    /*
     * Ops in place of others: each stands for a protocol feature that changes what a request means,
     * and is called once that was negotiated; the other is needed nevertheless.
     */

    /*
     * XEN_MMAP: set_mem_table and add_mem_reg, with how each region is to be mapped. Refused in
     * postcopy mode.
     */
    int (*set_xen_mem_table)(void *self, const vhu_mem_region *regions, const vhu_xen_mmap *xen,
                             size_t n, vhu_handle *handles);
    int (*add_xen_mem_reg)(void *self, const vhu_mem_region *region, const vhu_xen_mmap *xen,
                           vhu_handle *handle);
    /*
     * GPA_ADDRESSES: set_vring_addr, with guest addresses; unless VHU_F_ACCESS_PLATFORM was
     * acknowledged, which makes them IOVAs. An IOTLB message's user_addr is a guest address, too.
     */
    int (*set_vring_guest_addr)(void *self, uint32_t ring, const vhu_vring_addr *addr);
    /*
     * GET_VRING_BASE_INFLIGHT, with INFLIGHT_SHMFD: get_vring_base, but what was taken need not be
     * finished: nothing goes on with it, and the in-flight area says what it was.
     */
    int (*suspend_vring)(void *self, uint32_t ring, uint32_t *base);
} vhu_backend_ops;

typedef struct vhu_backend_server_options {
    size_t size;        /* sizeof(vhu_backend_server_options) */
    uint32_t max_rings; /* requests for rings from here on are refused; 0: VHU_MAX_RINGS */
} vhu_backend_server_options;

/*
 * *conn is taken on success; keep a copy of the pointer for waiting. `ops` is copied; `options`
 * may be NULL. VHU_EINVAL, VHU_ENOMEM.
 */
VHU_API int vhu_backend_server_new(vhu_backend_server **out, vhu_conn **conn,
                                   const vhu_backend_ops *ops, void *self,
                                   const vhu_backend_server_options *options);

/* Frees the connection, too. Not from within an op. */
VHU_API void vhu_backend_server_free(vhu_backend_server *server);

/*
 * Step 1: receive a header, and the handles attached to it. Nothing is known of its request yet
 * but that it is framed. `header` may be NULL. Never blocks.
 *   0                      go on with step 2; calling step 1 again gives the same header
 *   VHU_EAGAIN             bytes are missing, or a held back reply is: wait, call again. Bytes
 *                          that have come since the last receive may not be seen before waiting
 *   VHU_ECLIENT_EXIT       the peer closed between messages
 *   VHU_EDISCONNECT        the peer closed inside a header, or the connection is closed already
 *   VHU_EINVALID_MESSAGE   framing is lost
 *   VHU_ETIMEDOUT          a deadline has passed
 * After any negative code but VHU_EAGAIN the connection is closed.
 */
VHU_API int vhu_backend_server_recv_header(vhu_backend_server *server, vhu_msg_header *header);

/*
 * Step 2: whether the payload must be waited for before step 3. False if it is here already.
 */
VHU_API bool vhu_backend_server_needs_wait_for_payload(vhu_backend_server *server);

/*
 * Step 3: receive the payload, check it, call the op, reply. Never blocks by itself.
 *   0                      served, or its op returned VHU_EPENDING
 *   VHU_EAGAIN             bytes are missing: wait, call again
 *   VHU_ESTATE             there is no header
 *   another                the request was refused (VHU_EINVALID_MESSAGE, VHU_ENOSYS) or its op
 *                          failed; vhu_conn_is_open() tells whether the connection goes on
 */
VHU_API int vhu_backend_server_process_message(vhu_backend_server *server);

/*
 * All steps, until nothing is left to do without waiting: VHU_EAGAIN, or the error with which the
 * connection was closed. Requests that were refused with a reply do not end it. 0: enough for one
 * turn of a loop, call again in the next one without waiting.
 */
VHU_API int vhu_backend_server_serve(vhu_backend_server *server);

/*
 * Answer the request whose op returned VHU_EPENDING, with the status that it would have returned.
 * Afterwards call vhu_backend_server_serve() if vhu_conn_pending(). On the connection's thread.
 * Returns as step 3 does; VHU_ESTATE if no op is pending.
 */
VHU_API int vhu_backend_server_complete(vhu_backend_server *server, int status);

/* The connection, borrowed. What was negotiated on it: virtio and protocol features. */
VHU_API vhu_conn *vhu_backend_server_conn(const vhu_backend_server *server);
VHU_API uint64_t vhu_backend_server_features(const vhu_backend_server *server);
VHU_API uint64_t vhu_backend_server_protocol_features(const vhu_backend_server *server);

#ifdef __cplusplus
}
#endif

#endif
