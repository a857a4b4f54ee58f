/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What servers of either role share: the three steps, the checks that a request's row asks for, and
 * the one exit that replies. Handlers only return a status.
 */
#ifndef VHU_SERVER_H
#define VHU_SERVER_H

#include "conn.h"
#include "requests.h"
#include "wire.h"

/* A request's arguments, and what its reply is made of; ops get pointers into it. */
typedef union vhu__args {
    uint64_t u64;
    int64_t session;
    vhu_vring_state vring;
    vhu_vring_addr addr;
    struct {
        vhu_mem_region region[VHU_MAX_TABLE_REGIONS];
        vhu_xen_mmap xen[VHU_MAX_TABLE_REGIONS];
        uint32_t n;
    } table;
    vhu_log_area log;
    vhu_iotlb_msg iotlb;
    vhu_config_header config;
    vhu_inflight_area inflight;
    vhu_device_state state;
    vhu_shmem_config shmem;
    vhu_shmem_request shmem_request;
} vhu__args;

typedef enum vhu__server_state {
    VHU__IDLE,
    VHU__HEADER,
    VHU__IN_OP, /* which may wait for other things, and come by here again */
    VHU__PENDING
} vhu__server_state;

typedef struct vhu__server vhu__server;

/* What makes a role of it. */
typedef struct vhu__role {
    const vhu__request *(*find)(uint32_t code);
    /* Decode the payload into args and call the op. */
    int (*dispatch)(vhu__server *server);
    /* The status is final: what follows from it for the server itself, before the reply; or NULL.
     */
    void (*settle)(vhu__server *server, int status);
} vhu__role;

struct vhu__server {
    const vhu__role *role;
    vhu_conn *conn;
    uint32_t max_rings;
    vhu__server_state state;

    /* The message that is being served. */
    vhu_msg_header header;
    const vhu__request *request; /* NULL: unknown */
    const uint8_t *payload;
    size_t num_handles; /* that came; the first VHU_MAX_HANDLES of them are kept */
    vhu_handle handles[VHU_MAX_HANDLES];
    vhu__args args;
    vhu_handle reply_handle;
    bool refused;       /* the last error says why already */
    bool reply_regions; /* VHU__REPLY_MEMORY: with regions instead of a status */

    /* What was negotiated. */
    uint64_t features;
    uint64_t protocol_features;

    uint8_t reply[VHU__WIRE_MESSAGE_MAX];
};

/* Where a reply's payload goes. */
static inline uint8_t *vhu__server_reply(vhu__server *server)
{
    return server->reply + VHU__WIRE_HEADER;
}

static inline bool vhu__server_has(const vhu__server *server, vhu_protocol_feature feature)
{
    return (server->protocol_features & VHU_BIT(feature)) != 0;
}

/* *conn is taken. `max_rings` 0: VHU_MAX_RINGS. */
void vhu__server_init(vhu__server *server, const vhu__role *role, vhu_conn **conn,
                      uint32_t max_rings);
void vhu__server_release(vhu__server *server);

/* As in vmm_vhost/backend.h. */
int vhu__server_recv_header(vhu__server *server, vhu_msg_header *header);
bool vhu__server_needs_wait(const vhu__server *server);
int vhu__server_process(vhu__server *server);
int vhu__server_serve(vhu__server *server);
int vhu__server_complete(vhu__server *server, int status);

/* Refuse the current request: sets the last error, "NAME: " and what is wrong with it. */
int vhu__server_refuse(vhu__server *server, int code, const char *format, ...) VHU__PRINTF(3, 4);

/* --- help for handlers: 0, or the request is refused --- */

int vhu__server_check_ring(vhu__server *server, uint32_t ring);
int vhu__server_check_handles(vhu__server *server, size_t expected);
/* Rows whose size spans several layouts say which one it must be. */
int vhu__server_check_size(vhu__server *server, uint32_t expected);

/* The payload as a vring state, its ring checked. */
int vhu__server_load_vring(vhu__server *server, vhu_vring_state **vring);
/* A number of a ring and NOFD bit, checked against the handles that came. */
int vhu__server_check_ring_handle(vhu__server *server, uint64_t value, uint32_t *ring);

/* Whether there is an op at this offset of a table of ops. */
bool vhu__has_op(const void *ops, size_t op);

/* A request that has no row, or one without its op. */
typedef int vhu__private_op(void *self, uint32_t request, const void *payload, uint32_t len,
                            vhu_handle *handles, size_t num_handles);
int vhu__server_private(vhu__server *server, vhu__private_op *op, void *self);
int vhu__server_unsupported(vhu__server *server);

/* The same, but if nobody waits for an answer it is let pass with a warning. */
int vhu__server_pass_over(vhu__server *server);

#endif
