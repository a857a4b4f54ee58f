/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The VMM's end of a connection: sends front-end requests and takes the replies.
 *
 * Every request is a function. By default it sends, waits for the reply or acknowledgement and
 * returns its outcome: for simple callers, on a thread that may block. A loop calls
 * vhu_backend_client_begin() first: from then on the functions only send, and return VHU_EPENDING;
 * vhu_backend_client_finish() takes the replies as they come. Many requests may be under way.
 *
 *     vhu_backend_client_begin(client);
 *     vhu_backend_client_set_vring_num(client, 0, 256);
 *     vhu_backend_client_get_vring_base(client, 1, &base);
 *     while ((r = vhu_backend_client_finish(client)) == VHU_EAGAIN)
 *         ... wait for vhu_conn_wait_handle(), or vhu_backend_client_wait() ...
 *
 * Arguments of `const` pointers are copied before a function returns; results are stored when the
 * reply has come, so their variables must live until then.
 *
 * Outcomes of any request:
 *   0                      done, as far as the protocol lets one know
 *   VHU_EREFUSED           the back-end says that it failed; the connection goes on
 *   VHU_ENOSYS             the feature for it was not negotiated: nothing was sent
 *   VHU_EINVALID_MESSAGE   the reply breaks the protocol: the connection is closed
 *   VHU_ETIMEDOUT          no reply in time: the connection is closed
 *   VHU_ECLIENT_EXIT, VHU_EDISCONNECT   the back-end has gone
 *   VHU_EINVAL, VHU_EOVERFLOW           an argument is wrong: nothing was sent
 *   VHU_ESTATE             out of order: nothing was sent; or its transport cannot wait, so that
 *                          requests can only be begun: the connection is closed
 * vhu_conn_last_error() says it in words.
 *
 * A reply tells which request it is for by nothing but the code. So a duplicate that comes late is
 * taken for the reply to the next request, and is found out only if that has another code, or if
 * what is in it does not fit.
 *
 * Handles given to a request are sent and stay the caller's. One thread at a time.
 */
#ifndef VMM_VHOST_BACKEND_CLIENT_H
#define VMM_VHOST_BACKEND_CLIENT_H

#include <vmm_vhost/conn.h>
#include <vmm_vhost/error.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct vhu_backend_client_options {
    size_t size; /* sizeof(vhu_backend_client_options) */
    /*
     * Milliseconds for a request until its reply has come or, without one, until the back-end has
     * made room for it; 0: 10000, negative: no limit.
     */
    int timeout_ms;
} vhu_backend_client_options;

/* *conn is taken on success. `options` may be NULL. VHU_EINVAL, VHU_ENOMEM. */
VHU_API int vhu_backend_client_new(vhu_backend_client **out, vhu_conn **conn,
                                   const vhu_backend_client_options *options);

/* Frees the connection, too. Requests under way are given up. */
VHU_API void vhu_backend_client_free(vhu_backend_client *client);

/* The connection, borrowed. */
VHU_API vhu_conn *vhu_backend_client_conn(const vhu_backend_client *client);

/*
 * For the requests that follow: whether to ask for an acknowledgement where a request has no reply
 * of its own (true at first; it takes REPLY_ACK to be negotiated), and their time limit, as in the
 * options.
 */
VHU_API void vhu_backend_client_set_ack(vhu_backend_client *client, bool ack);
VHU_API void vhu_backend_client_set_timeout(vhu_backend_client *client, int timeout_ms);

/*
 * While a blocking request waits, messages that the back-end sends on its own channel are served,
 * so that neither side waits for the other. Its ops may send requests on this client. `server` is
 * borrowed; NULL: no more.
 */
VHU_API void vhu_backend_client_attach(vhu_backend_client *client, vhu_frontend_server *server);

/* The requests that follow are only sent, until finish returns anything but VHU_EAGAIN. */
VHU_API void vhu_backend_client_begin(vhu_backend_client *client);

/*
 * Take the replies that are here, without blocking. VHU_EAGAIN: some are still to come. 0: all
 * requests are done. Otherwise all have ended, and this is the first failure among them. With none
 * under way it finds out whether the back-end has left.
 */
VHU_API int vhu_backend_client_finish(vhu_backend_client *client);

/*
 * Block until finish can go on, serving the attached channel. Milliseconds, negative: no limit but
 * those of the requests. 0, VHU_ETIMEDOUT or another error.
 */
VHU_API int vhu_backend_client_wait(vhu_backend_client *client, int timeout_ms);

/* Milliseconds until the first request's time is up; -1: none. Then call finish. */
VHU_API int vhu_backend_client_deadline_ms(const vhu_backend_client *client);

/*
 * What was negotiated by the functions below, which decides what may be sent. Features count when
 * SET_FEATURES is done; while it is under way, or if it is refused, those before them do. Protocol
 * features, which are never acknowledged, count as soon as they are set.
 */
VHU_API uint64_t vhu_backend_client_features(const vhu_backend_client *client);
VHU_API uint64_t vhu_backend_client_protocol_features(const vhu_backend_client *client);

/*
 * Requests in the order of the specification, section "Front-end message types", each under its
 * name there. `ring` is below VHU_MAX_RINGS for the three event messages.
 */

VHU_API int vhu_backend_client_get_features(vhu_backend_client *client, uint64_t *features);
/* Masked by what get_features gave last, and remembered. */
VHU_API int vhu_backend_client_set_features(vhu_backend_client *client, uint64_t features);
VHU_API int vhu_backend_client_set_owner(vhu_backend_client *client);
VHU_API int vhu_backend_client_reset_owner(vhu_backend_client *client);
/*
 * n <= VHU_MAX_TABLE_REGIONS, one handle for each. In postcopy `regions` come back with the
 * back-end's addresses in user_addr; then call mem_mapped.
 */
VHU_API int vhu_backend_client_set_mem_table(vhu_backend_client *client, vhu_mem_region *regions,
                                             size_t n, const vhu_handle *handles);
/* With LOG_SHMFD; without it area->offset is the log's address and handle is VHU_NO_HANDLE. */
VHU_API int vhu_backend_client_set_log_base(vhu_backend_client *client, const vhu_log_area *area,
                                            vhu_handle handle);
VHU_API int vhu_backend_client_set_log_fd(vhu_backend_client *client, vhu_handle handle);
VHU_API int vhu_backend_client_set_vring_num(vhu_backend_client *client, uint32_t ring,
                                             uint32_t num);
/* With GPA_ADDRESSES, guest addresses. */
VHU_API int vhu_backend_client_set_vring_addr(vhu_backend_client *client,
                                              const vhu_vring_addr *addr);
VHU_API int vhu_backend_client_set_vring_base(vhu_backend_client *client, uint32_t ring,
                                              uint32_t base);
VHU_API int vhu_backend_client_get_vring_base(vhu_backend_client *client, uint32_t ring,
                                              uint32_t *base);
/* SET_VRING_KICK, _CALL, _ERR; VHU_NO_HANDLE: polling, or in-band messages. */
VHU_API int vhu_backend_client_set_vring_event(vhu_backend_client *client, uint32_t ring,
                                               vhu_vring_event which, vhu_handle handle);
/* VHU_ENOSYS unless get_features gave VHU_F_PROTOCOL_FEATURES. */
VHU_API int vhu_backend_client_get_protocol_features(vhu_backend_client *client,
                                                     uint64_t *features);
/* Masked by what get_protocol_features gave last, and remembered. */
VHU_API int vhu_backend_client_set_protocol_features(vhu_backend_client *client, uint64_t features);
VHU_API int vhu_backend_client_get_queue_num(vhu_backend_client *client, uint64_t *num);
VHU_API int vhu_backend_client_set_vring_enable(vhu_backend_client *client, uint32_t ring,
                                                bool enable);
VHU_API int vhu_backend_client_send_rarp(vhu_backend_client *client, const uint8_t mac[6]);
VHU_API int vhu_backend_client_net_set_mtu(vhu_backend_client *client, uint64_t mtu);
VHU_API int vhu_backend_client_set_backend_req_fd(vhu_backend_client *client, vhu_handle handle);
VHU_API int vhu_backend_client_iotlb_msg(vhu_backend_client *client, const vhu_iotlb_msg *msg);
VHU_API int vhu_backend_client_set_vring_endian(vhu_backend_client *client, uint32_t ring,
                                                bool big_endian);
/* len <= VHU_MAX_CONFIG - offset. The reply must be of the bytes that were asked for. */
VHU_API int vhu_backend_client_get_config(vhu_backend_client *client, uint32_t offset, void *buf,
                                          uint32_t len);
VHU_API int vhu_backend_client_set_config(vhu_backend_client *client, uint32_t offset,
                                          const void *buf, uint32_t len, uint32_t flags);
/* `params` begin with 8 bytes for the session's number, as the back-end lays them out. */
VHU_API int vhu_backend_client_create_crypto_session(vhu_backend_client *client, const void *params,
                                                     uint32_t len, int64_t *id);
VHU_API int vhu_backend_client_close_crypto_session(vhu_backend_client *client, uint64_t id);
/* *uffd is the caller's. */
VHU_API int vhu_backend_client_postcopy_advise(vhu_backend_client *client, vhu_handle *uffd);
/* Memory requests are VHU_ESTATE while this or postcopy_end is under way. */
VHU_API int vhu_backend_client_postcopy_listen(vhu_backend_client *client);
VHU_API int vhu_backend_client_postcopy_end(vhu_backend_client *client);
/*
 * In postcopy: the faults of what the last memory request announced may happen now. Not
 * acknowledged. VHU_ESTATE if there is none.
 */
VHU_API int vhu_backend_client_mem_mapped(vhu_backend_client *client);
/* *area: num_queues and queue_size asked for; comes back as the back-end made it, with a handle. */
VHU_API int vhu_backend_client_get_inflight_fd(vhu_backend_client *client, vhu_inflight_area *area,
                                               vhu_handle *handle);
VHU_API int vhu_backend_client_set_inflight_fd(vhu_backend_client *client,
                                               const vhu_inflight_area *area, vhu_handle handle);
VHU_API int vhu_backend_client_gpu_set_socket(vhu_backend_client *client, vhu_handle handle);
VHU_API int vhu_backend_client_reset_device(vhu_backend_client *client);
VHU_API int vhu_backend_client_vring_kick(vhu_backend_client *client, uint32_t ring);
VHU_API int vhu_backend_client_get_max_mem_slots(vhu_backend_client *client, uint64_t *slots);
/* In postcopy as set_mem_table. */
VHU_API int vhu_backend_client_add_mem_reg(vhu_backend_client *client, vhu_mem_region *region,
                                           vhu_handle handle);
VHU_API int vhu_backend_client_rem_mem_reg(vhu_backend_client *client,
                                           const vhu_mem_region *region);
VHU_API int vhu_backend_client_set_status(vhu_backend_client *client, uint64_t status);
VHU_API int vhu_backend_client_get_status(vhu_backend_client *client, uint64_t *status);
VHU_API int vhu_backend_client_get_shared_object(vhu_backend_client *client, const uint8_t uuid[16],
                                                 vhu_handle *handle);
/* *reply: the back-end's own handle to use instead, or VHU_NO_HANDLE. */
VHU_API int vhu_backend_client_set_device_state_fd(vhu_backend_client *client,
                                                   const vhu_device_state *state, vhu_handle handle,
                                                   vhu_handle *reply);
VHU_API int vhu_backend_client_check_device_state(vhu_backend_client *client);
VHU_API int vhu_backend_client_get_shmem_config(vhu_backend_client *client,
                                                vhu_shmem_config *config);
/*
 * SET_MEM_TABLE, ADD_MEM_REG and REM_MEM_REG with XEN_MMAP, which has functions of its own for
 * them: those above are VHU_EINVAL then. VHU_ESTATE in postcopy.
 */
VHU_API int vhu_backend_client_set_xen_mem_table(vhu_backend_client *client,
                                                 const vhu_mem_region *regions,
                                                 const vhu_xen_mmap *xen, size_t n,
                                                 const vhu_handle *handles);
VHU_API int vhu_backend_client_add_xen_mem_reg(vhu_backend_client *client,
                                               const vhu_mem_region *region,
                                               const vhu_xen_mmap *xen, vhu_handle handle);
VHU_API int vhu_backend_client_rem_xen_mem_reg(vhu_backend_client *client,
                                               const vhu_mem_region *region,
                                               const vhu_xen_mmap *xen);
/*
 * A request that the specification does not know (VHU_EINVAL if it does); acknowledged if that was
 * asked for.
 */
VHU_API int vhu_backend_client_private_request(vhu_backend_client *client, uint32_t request,
                                               const void *payload, uint32_t len,
                                               const vhu_handle *handles, size_t num_handles);

#ifdef __cplusplus
}
#endif

#endif
