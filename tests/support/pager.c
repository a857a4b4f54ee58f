/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/pager.h"

#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "support/leakcheck.h"

void pager_open(pager *p, int memory, uint64_t size)
{
    *p = (pager){.uffd = VHU_NO_HANDLE,
                 .memory = memory,
                 .size = size,
                 .kept = calloc(1, size),
                 .missing = calloc(1, size / PAGER_PAGE)};
    assert_non_null(p->kept);
    assert_non_null(p->missing);
}

void pager_close(pager *p)
{
    pager_stop(p);
    vhu_handle_close(&p->uffd);
    free(p->kept);
    free(p->missing);
}

void pager_hide(pager *p, uint64_t offset, uint64_t len)
{
    const int mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;

    assert_int_equal(pread(p->memory, p->kept + offset, len, (off_t)offset), len);
    assert_int_equal(fallocate(p->memory, mode, (off_t)offset, (off_t)len), 0);
    memset(p->missing + offset / PAGER_PAGE, 1, len / PAGER_PAGE);
}

/* A page that was missed twice comes once. */
static void bring(pager *p, uint64_t offset)
{
    if (!p->missing[offset / PAGER_PAGE] ||
        pwrite(p->memory, p->kept + offset, PAGER_PAGE, (off_t)offset) != PAGER_PAGE)
        return;
    p->missing[offset / PAGER_PAGE] = 0;
    atomic_fetch_add(&p->brought, 1);
}

/* It must not assert. */
static void serve(void *arg)
{
    pager *p = arg;
    struct pollfd fds[] = {{.fd = p->uffd, .events = POLLIN},
                           {.fd = vhu_event_wait_handle(p->stop), .events = POLLIN}};
    struct uffd_msg m;

    while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
        struct uffdio_range range = {.len = PAGER_PAGE};

        if (read(p->uffd, &m, sizeof(m)) != sizeof(m) || m.event != UFFD_EVENT_PAGEFAULT)
            continue;
        range.start = m.arg.pagefault.address & ~(uint64_t)(PAGER_PAGE - 1);
        if (range.start - p->base < p->size)
            bring(p, range.start - p->base);
        ioctl(p->uffd, UFFDIO_WAKE, &range);
    }
}

void pager_start(pager *p)
{
    atomic_store(&p->brought, 0);
    assert_int_equal(vhu_event_new(&p->stop), 0);
    assert_int_equal(uv_thread_create(&p->thread, serve, p), 0);
}

void pager_stop(pager *p)
{
    if (!p->stop)
        return;
    vhu_event_signal(p->stop);
    uv_thread_join(&p->thread);
    vhu_event_free(p->stop);
    p->stop = NULL;
}

void pager_finish(pager *p)
{
    pager_stop(p);
    for (uint64_t offset = 0; offset < p->size; offset += PAGER_PAGE)
        bring(p, offset);
}

bool pager_is_missed(const pager *p)
{
    struct pollfd fd = {.fd = p->uffd, .events = POLLIN};

    return poll(&fd, 1, 0) > 0;
}
