/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's end of the back channel, for the VMM's kit. */
#ifndef VHU_FRONTEND_SERVER_H
#define VHU_FRONTEND_SERVER_H

#include <vmm_vhost/frontend.h>

/* Have IOTLB_MSG, and nothing else, come here instead of to the op and the self of the server. */
void vhu__frontend_server_take_iotlb(vhu_frontend_server *server,
                                     int (*op)(void *self, const vhu_iotlb_msg *msg), void *self);

/* Be told of each VRING_CALL and VRING_ERR, before the ops, if there are any, are called for it. */
typedef void vhu__notified(void *arg, uint32_t ring, vhu_vring_event which);
void vhu__frontend_server_listen(vhu_frontend_server *server, vhu__notified *notified, void *arg);

/* Have the ops about shared memory and shared objects be these, with a `self` of their own. */
void vhu__frontend_server_take_share(vhu_frontend_server *server, const vhu_frontend_ops *ops,
                                     void *self);

#endif
