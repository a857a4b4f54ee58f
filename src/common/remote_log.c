/* SPDX-License-Identifier: BSD-3-Clause */
/* The VMM's kit: the dirty log, which outlives back-ends and grows with the memory. */
#include <vmm_vhost/remote_log.h>

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/shm.h>

#include "dirty_log.h"
#include "memory_internal.h"
#include "os.h"
#include "remote_internal.h"

_Static_assert(VHU_LOG_PAGE == VHU__LOG_PAGE, "pages of the dirty log");

enum { BITS = 8 };

struct vhu__remote_log {
    vhu_shm *shm;
    vhu__dirty_log *pages;
};

/* --- the log itself --- */

static void free_log(vhu__remote_log *log)
{
    if (!log)
        return;
    vhu__dirty_log_close(log->pages);
    vhu_shm_free(log->shm);
    free(log);
}

/* For all the memory that there is, and what comes behind it in the last page of bits. */
static int new_log(const vhu_remote *remote, vhu__remote_log **out)
{
    const uint64_t bits = vhu__memory_end(remote->memory) / VHU__LOG_PAGE;
    const vhu_log_area area = {.size = (bits / BITS / VHU__LOG_PAGE + 1) * VHU__LOG_PAGE};
    vhu__remote_log *log = calloc(1, sizeof(*log));
    vhu_handle handle = VHU_NO_HANDLE;
    int r;

    if (!log)
        return VHU_ENOMEM;
    r = vhu_shm_new(&log->shm, area.size);
    if (r == 0)
        r = os_handle_dup(vhu_shm_handle(log->shm), &handle);
    if (r == 0)
        r = vhu__dirty_log_open(&log->pages, &area, &handle);
    vhu_handle_close(&handle);
    if (r < 0) {
        free_log(log);
        return r;
    }
    *out = log;
    return 0;
}

/* --- what the back-end is told --- */

static bool is_at_work(const vhu_remote *remote)
{
    return remote->running && vhu_remote_is_connected(remote);
}

static int send_log(vhu_remote *remote, const vhu__remote_log *log)
{
    const vhu_log_area area = {.size = vhu_shm_size(log->shm)};

    if (!remote->offers_log || !vhu__remote_has(remote, VHU_PF_LOG_SHMFD))
        return vhu__remote_fail(remote, VHU_ENOSYS, "the back-end does not log what it writes");
    return vhu__remote_sent(
        remote, vhu_backend_client_set_log_base(remote->client, &area, vhu_shm_handle(log->shm)));
}

/* A new log, of which a back-end at work knows. */
static int renew(vhu_remote *remote, vhu__remote_log **out)
{
    vhu__remote_log *log;
    int r = new_log(remote, &log);

    if (r < 0) {
        vhu__remote_fail(remote, r, "no memory for a log: %s", vhu_strerror(r));
        return r;
    }
    if (is_at_work(remote))
        r = send_log(remote, log);
    if (r < 0)
        free_log(log);
    else
        *out = log;
    return r;
}

int vhu__remote_share_log(vhu_remote *remote)
{
    return remote->log ? send_log(remote, remote->log) : 0;
}

/* Without acknowledgements only a reply tells that what came before it is done. */
static int wait_until_done(vhu_remote *remote)
{
    uint64_t features;

    if (vhu__remote_has(remote, VHU_PF_REPLY_ACK))
        return 0;
    return vhu__remote_sent(remote, vhu_backend_client_get_features(remote->client, &features));
}

/* As QEMU does it: first what the device writes, then its rings. */
static int announce(vhu_remote *remote)
{
    int r = vhu__remote_send_features(remote);

    if (r == 0)
        r = vhu__remote_resend_addrs(remote);
    return r == 0 ? wait_until_done(remote) : r;
}

/* --- on and off --- */

int vhu_remote_start_log(vhu_remote *remote)
{
    vhu__remote_log *log;
    int r;

    if (remote->log)
        return vhu__remote_fail(remote, VHU_ESTATE, "the device is logged already");
    r = renew(remote, &log);
    if (r < 0)
        return r;
    remote->log = log;
    r = is_at_work(remote) ? announce(remote) : 0;
    if (r < 0) {
        char why[sizeof(remote->error)];

        memcpy(why, remote->error, sizeof(why));
        vhu_remote_stop_log(remote);
        memcpy(remote->error, why, sizeof(why));
    }
    return r;
}

int vhu_remote_stop_log(vhu_remote *remote)
{
    if (!remote->log)
        return vhu__remote_fail(remote, VHU_ESTATE, "the device is not logged");
    vhu__remote_drop_log(remote);
    return is_at_work(remote) ? announce(remote) : 0;
}

bool vhu_remote_is_logging(const vhu_remote *remote)
{
    return remote->log != NULL;
}

void vhu__remote_drop_log(vhu_remote *remote)
{
    free_log(remote->log);
    remote->log = NULL;
}

/* --- pages --- */

int vhu_remote_fetch_log(vhu_remote *remote, vhu_dirty_fn fn, void *arg)
{
    if (!remote->log)
        return vhu__remote_fail(remote, VHU_ESTATE, "the device is not logged");
    for (size_t i = 0; i < remote->num_regions; i++) {
        const vhu_mem_region *region = &remote->regions[i].region;

        vhu__dirty_log_take(remote->log->pages, region->guest_addr, region->size, fn, arg);
    }
    return 0;
}

void vhu__remote_mark(vhu_remote *remote, uint64_t addr, uint64_t len)
{
    while (remote->log && len > 0) {
        uint64_t guest_addr;
        uint64_t here = vhu__remote_look(remote, addr, len, &guest_addr);

        vhu__dirty_log_mark(remote->log->pages, guest_addr, here);
        /* Nobody writes to a page that means nothing. */
        if (here == 0)
            here = VHU_LOG_PAGE - addr % VHU_LOG_PAGE;
        addr += here;
        len -= here < len ? here : len;
    }
}

static void copy_run(void *arg, uint64_t guest_addr, uint64_t len)
{
    vhu__dirty_log_mark(arg, guest_addr, len);
}

/* What the old one says is final when the back-end has agreed to the new one. */
int vhu__remote_fit_log(vhu_remote *remote)
{
    vhu__remote_log *log;
    int r;

    if (!remote->log ||
        vhu__dirty_log_covers(remote->log->pages, 0, vhu__memory_end(remote->memory)))
        return 0;
    r = renew(remote, &log);
    if (r < 0)
        return r;
    vhu__dirty_log_take(remote->log->pages, 0, UINT64_MAX, copy_run, log->pages);
    vhu__remote_drop_log(remote);
    remote->log = log;
    return 0;
}
