/* SPDX-License-Identifier: BSD-3-Clause */
/* The back-end's server, between its public face and its handlers. */
#ifndef VHU_BACKEND_SERVER_H
#define VHU_BACKEND_SERVER_H

#include <vmm_vhost/backend.h>

#include "server.h"

struct vhu_backend_server {
    vhu__server base; /* first: handlers get there from it */
    vhu_backend_ops ops;
    void *self;
    bool postcopy;      /* between POSTCOPY_LISTEN and _END */
    bool mapping_acked; /* false: the next memory message only ends the last one */
    vhu_conn *channel;  /* of SET_BACKEND_REQ_FD, while its op may still take it */
};

/* The handlers of the four requests that negotiate features. */
int vhu__backend_get_features(vhu_backend_server *b);
int vhu__backend_set_features(vhu_backend_server *b);
int vhu__backend_get_protocol_features(vhu_backend_server *b);
int vhu__backend_set_protocol_features(vhu_backend_server *b);

/* SET_MEM_TABLE and ADD_MEM_REG with XEN_MMAP. */
int vhu__backend_set_xen_mem_table(vhu_backend_server *b);
int vhu__backend_add_xen_mem_reg(vhu_backend_server *b);

int vhu__backend_dispatch(vhu__server *server);
void vhu__backend_settle(vhu__server *server, int status);

#endif
