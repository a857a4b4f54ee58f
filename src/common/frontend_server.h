/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's end of the back channel, for the kit that it is part of. */
#ifndef VHU_FRONTEND_SERVER_H
#define VHU_FRONTEND_SERVER_H

#include <vmm_vhost/frontend.h>

/* Have IOTLB_MSG, and nothing else, come here instead of to the op and the self of the server. */
void vhu__frontend_server_take_iotlb(vhu_frontend_server *server,
                                     int (*op)(void *self, const vhu_iotlb_msg *msg), void *self);

#endif
