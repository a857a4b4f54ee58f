/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What servers of either role share: the three steps, the checks that a request's row asks for, and
 * the one exit that replies. Handlers only return a status.
 */
#ifndef VHU_SERVER_H
#define VHU_SERVER_H

#include <vmm_vhost/backend.h>

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
        uint32_t n;
    } table;
    vhu_log_area log;
    vhu_iotlb_msg iotlb;
    vhu_config_header config;
    vhu_inflight_area inflight;
    vhu_device_state state;
    vhu_shmem_config shmem;
} vhu__args;

typedef enum vhu__server_state { VHU__IDLE, VHU__HEADER, VHU__PENDING } vhu__server_state;

typedef struct vhu__server vhu__server;

/* What makes a role of it. */
typedef struct vhu__role {
    const vhu__request *(*find)(uint32_t code);
    /* Decode the payload into args and call the op. */
    int (*dispatch)(vhu__server *server);
    /* The status is final: what follows from it for the server itself, before the reply. */
    void (*settle)(vhu__server *server, int status);
} vhu__role;

struct vhu__server {
    const vhu__role *role;
    vhu_conn *conn;
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

/* *conn is taken. */
void vhu__server_init(vhu__server *server, const vhu__role *role, vhu_conn **conn);
void vhu__server_release(vhu__server *server);

/* As in vmm_vhost/backend.h. */
int vhu__server_recv_header(vhu__server *server, vhu_msg_header *header);
bool vhu__server_needs_wait(const vhu__server *server);
int vhu__server_process(vhu__server *server);
int vhu__server_serve(vhu__server *server);
int vhu__server_complete(vhu__server *server, int status);

/* Refuse the current request: sets the last error, "NAME: " and what is wrong with it. */
int vhu__server_refuse(vhu__server *server, int code, const char *format, ...) VHU__PRINTF(3, 4);

#endif
