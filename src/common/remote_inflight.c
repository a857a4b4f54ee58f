/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: the in-flight area, which has to survive the back-end that made it. */
#include <string.h>

#include "remote_internal.h"

void vhu__remote_drop_inflight(vhu_remote *remote)
{
    vhu_handle_close(&remote->inflight_handle);
    memset(&remote->inflight, 0, sizeof(remote->inflight));
}

static int ask_for_inflight(vhu_remote *remote)
{
    vhu_inflight_area area = {.num_queues = (uint16_t)remote->options.num_rings};
    int r;

    for (uint32_t i = 0; i < remote->options.num_rings; i++) {
        if (remote->rings[i].layout.num > area.queue_size)
            area.queue_size = (uint16_t)remote->rings[i].layout.num;
    }
    r = vhu_backend_client_get_inflight_fd(remote->client, &area, &remote->inflight_handle);
    if (r == 0)
        remote->inflight = area;
    /* Then there is none. */
    return r == VHU_EREFUSED ? 0 : vhu__remote_sent(remote, r);
}

/* The back-end that made it gives it; those after it are given it. */
int vhu__remote_share_inflight(vhu_remote *remote)
{
    bool has = vhu__remote_has(remote, VHU_PF_INFLIGHT_SHMFD);
    bool lost = remote->inflight_handle != VHU_NO_HANDLE && !has;
    int r = 0;

    if (lost && remote->running)
        return vhu__remote_fail(remote, VHU_ENOSYS, "the back-end takes no in-flight area");
    if (lost)
        vhu__remote_drop_inflight(remote);
    if (has && remote->inflight_handle == VHU_NO_HANDLE)
        r = ask_for_inflight(remote);
    if (r < 0 || remote->inflight_handle == VHU_NO_HANDLE)
        return r;
    return vhu__remote_sent(remote,
                            vhu_backend_client_set_inflight_fd(remote->client, &remote->inflight,
                                                               remote->inflight_handle));
}
