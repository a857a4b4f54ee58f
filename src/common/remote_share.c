/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: what a back-end has mapped into regions of shared memory, and its objects. */
#include <string.h>

#include "remote_internal.h"

/* --- regions --- */

bool vhu__remote_wants_shmem(const vhu_remote *remote)
{
    return remote->ops.shmem_map && remote->ops.shmem_unmap;
}

int vhu__remote_ask_shmem(vhu_remote *remote)
{
    vhu_shmem_config config = {0};
    bool has = vhu__remote_wants_shmem(remote) && vhu__remote_has(remote, VHU_PF_SHMEM);
    int r = 0;

    if (has)
        r = vhu__remote_sent(remote, vhu_backend_client_get_shmem_config(remote->client, &config));
    if (r < 0)
        return r;
    if (vhu__remote_is_known(remote) &&
        memcmp(config.sizes, remote->shmem.sizes, sizeof(config.sizes)) != 0)
        return vhu__remote_fail(remote, VHU_ENOSYS,
                                "the back-end's regions of shared memory are not what they were");
    remote->shmem = config;
    remote->has_shmem = has;
    return 0;
}

const vhu_shmem_config *vhu_remote_shmem(const vhu_remote *remote)
{
    return remote->has_shmem ? &remote->shmem : NULL;
}

/* --- pieces --- */

static bool meet(const vhu_shmem_request *a, const vhu_shmem_request *b)
{
    return a->region == b->region &&
           vhu__ranges_meet(a->region_offset, a->len, b->region_offset, b->len);
}

/* Offset and length are known not to wrap. */
static int check_piece(const vhu_remote *remote, const vhu_shmem_request *piece)
{
    if (piece->region_offset + piece->len > remote->shmem.sizes[piece->region])
        return VHU_EINVALID_MESSAGE;
    for (size_t i = 0; i < remote->num_pieces; i++) {
        if (meet(&remote->pieces[i], piece))
            return VHU_EADDRINUSE;
    }
    return remote->num_pieces < VHU__COUNT(remote->pieces) ? 0 : VHU_EOVERFLOW;
}

int vhu__remote_shmem_map(void *self, const vhu_shmem_request *piece, vhu_handle *handle)
{
    vhu_remote *remote = self;
    int r = check_piece(remote, piece);

    if (r == 0)
        r = remote->ops.shmem_map(remote->options.self, piece, handle);
    if (r == 0)
        remote->pieces[remote->num_pieces++] = *piece;
    return r;
}

int vhu__remote_shmem_unmap(void *self, const vhu_shmem_request *piece)
{
    vhu_remote *remote = self;
    vhu_shmem_request *p = remote->pieces;
    vhu_shmem_request *end = p + remote->num_pieces;
    int r;

    while (p < end && !(p->region == piece->region && p->region_offset == piece->region_offset &&
                        p->len == piece->len))
        p++;
    if (p == end)
        return VHU_ENOENT;
    r = remote->ops.shmem_unmap(remote->options.self, p);
    if (r == 0) {
        *p = end[-1];
        remote->num_pieces--;
    }
    return r;
}

void vhu__remote_drop_pieces(vhu_remote *remote)
{
    while (remote->num_pieces > 0)
        remote->ops.shmem_unmap(remote->options.self, &remote->pieces[--remote->num_pieces]);
}

/* --- objects --- */

/* Which one it is; num_objects if it is none of them. */
static size_t find(const vhu_remote *remote, const uint8_t uuid[16])
{
    size_t i = 0;

    while (i < remote->num_objects && memcmp(remote->objects[i].uuid, uuid, 16) != 0)
        i++;
    return i;
}

bool vhu_remote_has_object(const vhu_remote *remote, const uint8_t uuid[16])
{
    return find(remote, uuid) < remote->num_objects;
}

int vhu__remote_object_add(void *self, const uint8_t uuid[16])
{
    vhu_remote *remote = self;
    int r = 0;

    if (vhu_remote_has_object(remote, uuid))
        return VHU_EADDRINUSE;
    if (remote->num_objects == VHU__COUNT(remote->objects))
        return VHU_EOVERFLOW;
    if (remote->ops.shared_object_add)
        r = remote->ops.shared_object_add(remote->options.self, uuid);
    if (r == 0)
        memcpy(remote->objects[remote->num_objects++].uuid, uuid, 16);
    return r;
}

int vhu__remote_object_remove(void *self, const uint8_t uuid[16])
{
    vhu_remote *remote = self;
    size_t i = find(remote, uuid);
    int r = 0;

    if (i == remote->num_objects)
        return VHU_ENOENT;
    if (remote->ops.shared_object_remove)
        r = remote->ops.shared_object_remove(remote->options.self, uuid);
    if (r == 0)
        remote->objects[i] = remote->objects[--remote->num_objects];
    return r;
}

/* Those of other devices are known to the VMM alone. */
int vhu__remote_object_lookup(void *self, const uint8_t uuid[16], vhu_handle *handle)
{
    const vhu_remote *remote = self;

    return remote->ops.shared_object_lookup
               ? remote->ops.shared_object_lookup(remote->options.self, uuid, handle)
               : VHU_ENOENT;
}

int vhu_remote_get_object(vhu_remote *remote, const uint8_t uuid[16], vhu_handle *out)
{
    if (!vhu_remote_is_connected(remote))
        return vhu__remote_fail(remote, VHU_ESTATE, "not connected");
    if (!vhu_remote_has_object(remote, uuid))
        return vhu__remote_fail(remote, VHU_ENOENT, "the back-end has no such object");
    return vhu__remote_sent(remote,
                            vhu_backend_client_get_shared_object(remote->client, uuid, out));
}

/* --- both --- */

void vhu__remote_drop_share(vhu_remote *remote)
{
    vhu__remote_drop_pieces(remote);
    remote->num_objects = 0;
}
