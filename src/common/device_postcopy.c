/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device kit in the second half of a migration that moves the guest before its memory: who
 * touches a page that has not come yet waits in the kernel, and the front-end has it brought.
 *
 * Only workers may wait like that. So rings are started by them, and whoever keeps the connection
 * touches nothing of the guest's. When the front-end has gone nobody brings pages any more: they
 * come empty then, which is why all that a device is to read is touched before it gets a request.
 */
#include "device_internal.h"
#include "memory_internal.h"
#include "os.h"

/* A page is no smaller. */
enum { PAGE = 4096 };

/* --- on a worker --- */

static void touch(const vhu_buf *buf)
{
    const volatile uint8_t *byte = buf->base;

    for (size_t i = 0; i < buf->len; i += PAGE)
        (void)byte[i];
    if (buf->len > 0)
        (void)byte[buf->len - 1];
}

uint32_t vhu__ring_await_pages(vhu_ring *ring, const vhu_chain *chains, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t k = 0; k < chains[i].num_readable; k++)
            touch(&chains[i].bufs[k]);
    }
    if (!atomic_load_explicit(&ring->device->postcopy.lost, memory_order_acquire))
        return n;
    vhu__queue_break(ring->queue, "the front-end has gone, and with it what was to come");
    vhu_queue_complete(ring->queue, chains, n);
    return 0;
}

/* --- on the connection's thread --- */

bool vhu__device_can_postcopy(const vhu_device *device)
{
    vhu_handle userfault;

    /* A ring that waits for a translation is started by the connection's thread. */
    if (!device->options.postcopy || !device->executor.watch_also ||
        (device->options.features & VHU_BIT(VHU_F_ACCESS_PLATFORM)) ||
        os_userfault_new(&userfault) < 0)
        return false;
    vhu_handle_close(&userfault);
    return true;
}

void vhu__device_place(vhu_device *device, vhu_mem_region *regions, size_t n)
{
    for (size_t i = 0; i < n; i++)
        regions[i].user_addr =
            (uintptr_t)vhu_memory_at_user(device->memory, regions[i].user_addr, regions[i].size);
    device->postcopy.unmapped = true;
}

/* Whoever waits for a page goes on with what is there. */
static void stop_waiting(vhu_device *device)
{
    vhu__postcopy *p = &device->postcopy;
    size_t len;
    void *base;

    for (size_t i = 0; vhu__memory_map(device->memory, i, &base, &len); i++)
        os_userfault_remove(p->userfault, base, len);
    vhu_handle_close(&p->userfault);
}

void vhu__device_lose_pages(vhu_device *device)
{
    vhu__postcopy *p = &device->postcopy;

    if (p->userfault == VHU_NO_HANDLE)
        return;
    atomic_store_explicit(&p->lost, true, memory_order_release);
    stop_waiting(device);
}

/*
 * A request that waits for a ring to park may wait for a page, which a front-end that has gone will
 * never bring; and nobody receives from it meanwhile.
 */
void vhu__device_watch_life(vhu_device *device, bool watch)
{
    vhu__postcopy *p = &device->postcopy;
    vhu_conn *conn;
    int r;

    vhu__device_watch(device, VHU_DEVICE_LIFE, VHU_NO_HANDLE, 0);
    vhu_handle_close(&p->life);
    if (!watch || !atomic_load_explicit(&p->listening, memory_order_relaxed))
        return;
    conn = vhu_backend_server_conn(device->server);
    r = os_userfault_life(vhu_conn_wait_handle(conn), &p->life);
    if (r == 0)
        r = vhu__device_watch(device, VHU_DEVICE_LIFE, p->life, VHU_WAIT_READ);
    if (r < 0)
        vhu__device_log(device, VHU_LOG_WARNING, "the front-end's end will not be noticed: %s",
                        vhu_strerror(r));
}

void vhu__device_postcopy_settle(vhu_device *device)
{
    if (device->postcopy.life == VHU_NO_HANDLE || !os_userfault_is_over(device->postcopy.life))
        return;
    vhu__device_lose_pages(device);
    vhu__device_watch_life(device, false);
}

void vhu__device_postcopy_forget(vhu_device *device)
{
    vhu__postcopy *p = &device->postcopy;

    vhu_handle_close(&p->userfault);
    atomic_store_explicit(&p->listening, false, memory_order_relaxed);
    atomic_store_explicit(&p->lost, false, memory_order_relaxed);
    p->unmapped = false;
}

/* --- vhu_backend_ops --- */

int vhu__device_postcopy_advise(void *self, vhu_handle *uffd)
{
    vhu_device *device = self;
    vhu_handle userfault;
    int r;

    if (atomic_load_explicit(&device->postcopy.listening, memory_order_relaxed))
        return VHU_ESTATE;
    r = os_userfault_new(&userfault);
    if (r == 0)
        r = os_handle_dup(userfault, uffd);
    if (r < 0) {
        vhu_handle_close(&userfault);
        return r;
    }
    vhu_handle_close(&device->postcopy.userfault);
    device->postcopy.userfault = userfault;
    return 0;
}

/* Memory that is there already holds what nobody could bring anew. */
int vhu__device_postcopy_listen(void *self)
{
    vhu_device *device = self;

    if (device->postcopy.userfault == VHU_NO_HANDLE || vhu_memory_count(device->memory) > 0)
        return VHU_ESTATE;
    atomic_store_explicit(&device->postcopy.listening, true, memory_order_relaxed);
    return 0;
}

int vhu__device_postcopy_mapped(void *self)
{
    vhu_device *device = self;
    size_t len;
    void *base;
    int r = 0;

    for (size_t i = 0; r == 0 && vhu__memory_map(device->memory, i, &base, &len); i++)
        r = os_userfault_add(device->postcopy.userfault, base, len);
    if (r < 0)
        return r;
    device->postcopy.unmapped = false;
    vhu__device_start_rings(device, 0, device->options.num_rings);
    return 0;
}

/* All pages are there. */
int vhu__device_postcopy_end(void *self)
{
    vhu_device *device = self;

    if (device->postcopy.userfault == VHU_NO_HANDLE)
        return VHU_ESTATE;
    stop_waiting(device);
    atomic_store_explicit(&device->postcopy.listening, false, memory_order_relaxed);
    device->postcopy.unmapped = false;
    vhu__device_start_rings(device, 0, device->options.num_rings);
    return 0;
}
