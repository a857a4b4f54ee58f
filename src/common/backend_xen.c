/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory of Xen (XEN_MMAP): regions that say how they are mapped, at both ends. */
#include <string.h>

#include "backend_client_internal.h"
#include "backend_server.h"

/* --- the back-end's server --- */

/* There are no page faults to wait for in memory that is mapped like this. */
static int check_mode(vhu_backend_server *b)
{
    if (!b->postcopy)
        return 0;
    return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "in postcopy, with XEN_MMAP");
}

static int refuse(vhu_backend_server *b, const char *why)
{
    return vhu__server_refuse(&b->base, VHU_EINVALID_MESSAGE, "%s", why);
}

int vhu__backend_set_xen_mem_table(vhu_backend_server *b)
{
    vhu__server *s = &b->base;
    const char *why;
    uint32_t n;
    int r = check_mode(b);

    if (r < 0)
        return r;
    if (!vhu__wire_load_xen_table(s->args.table.region, s->args.table.xen, &n, s->payload,
                                  s->header.size, &why))
        return refuse(b, why);
    r = vhu__server_check_handles(s, n);
    if (r < 0)
        return r;
    return b->ops.set_xen_mem_table(b->self, s->args.table.region, s->args.table.xen, n,
                                    s->handles);
}

int vhu__backend_add_xen_mem_reg(vhu_backend_server *b)
{
    vhu__server *s = &b->base;
    const char *why;
    int r = check_mode(b);

    if (r == 0)
        r = vhu__server_check_size(s, VHU__WIRE_XEN_REGION);
    if (r == 0 &&
        !vhu__wire_load_xen_region(s->args.table.region, s->args.table.xen, s->payload, &why))
        r = refuse(b, why);
    if (r == 0)
        r = vhu__server_check_handles(s, 1);
    if (r < 0)
        return r;
    return b->ops.add_xen_mem_reg(b->self, s->args.table.region, s->args.table.xen, s->handles);
}

/* --- the VMM's client --- */

static int send_regions(vhu_backend_client *client, const vhu__message *m)
{
    if (!vhu__rpc_has(&client->rpc, VHU_PF_XEN_MMAP))
        return vhu__rpc_refuse(&client->rpc, vhu_frontend_request_name(m->code), VHU_ENOSYS,
                               "XEN_MMAP was not negotiated");
    if (client->postcopy)
        return vhu__rpc_refuse(&client->rpc, vhu_frontend_request_name(m->code), VHU_ESTATE,
                               "not in postcopy");
    return vhu__backend_client_call(client, vhu__frontend_request(m->code), m);
}

int vhu_backend_client_set_xen_mem_table(vhu_backend_client *client, const vhu_mem_region *regions,
                                         const vhu_xen_mmap *xen, size_t n,
                                         const vhu_handle *handles)
{
    uint8_t payload[VHU__WIRE_TABLE_MAX];

    if (n > VHU_MAX_TABLE_REGIONS)
        return vhu__rpc_refuse(&client->rpc, "SET_MEM_TABLE", VHU_EINVAL, "more than 8 regions");
    return send_regions(client, &(vhu__message){.code = VHU_REQ_SET_MEM_TABLE,
                                                .payload = payload,
                                                .len = (uint32_t)vhu__wire_store_xen_table(
                                                    payload, regions, xen, (uint32_t)n),
                                                .handles = handles,
                                                .num_handles = n});
}

int vhu_backend_client_add_xen_mem_reg(vhu_backend_client *client, const vhu_mem_region *region,
                                       const vhu_xen_mmap *xen, vhu_handle handle)
{
    uint8_t payload[VHU__WIRE_XEN_REGION];

    vhu__wire_store_xen_region(payload, region, xen);
    return send_regions(client, &(vhu__message){.code = VHU_REQ_ADD_MEM_REG,
                                                .payload = payload,
                                                .len = sizeof(payload),
                                                .handles = &handle,
                                                .num_handles = 1});
}

int vhu_backend_client_rem_xen_mem_reg(vhu_backend_client *client, const vhu_mem_region *region,
                                       const vhu_xen_mmap *xen)
{
    uint8_t payload[VHU__WIRE_XEN_REGION];

    vhu__wire_store_xen_region(payload, region, xen);
    return send_regions(
        client,
        &(vhu__message){.code = VHU_REQ_REM_MEM_REG, .payload = payload, .len = sizeof(payload)});
}
