/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The dirty log (section "Migration"): memory that both sides share, with a bit for each page of
 * 4 KiB of guest addresses from 0 on; the first page's is the lowest of the first byte. Whoever
 * writes to guest memory sets bits, whoever copies it takes them back. The bits are all there is:
 * nothing that the other side writes is believed.
 *
 * Threads: any number may set and take bits while the log is open.
 */
#ifndef VHU_DIRTY_LOG_H
#define VHU_DIRTY_LOG_H

#include <stdbool.h>
#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#define VHU__LOG_PAGE UINT64_C(4096)

typedef struct vhu__dirty_log vhu__dirty_log;

/*
 * Map an area of any size and offset. *handle is taken on success. VHU_EINVAL, VHU_ENOMEM, or as
 * os_map_shared().
 */
int vhu__dirty_log_open(vhu__dirty_log **out, const vhu_log_area *area, vhu_handle *handle);

/* NULL is fine. */
void vhu__dirty_log_close(vhu__dirty_log *log);

/* Whether each of these bytes has a bit; none have one if they wrap round. */
bool vhu__dirty_log_covers(const vhu__dirty_log *log, uint64_t guest_addr, uint64_t len);

/* These bytes were written. Those without a bit are passed over. */
void vhu__dirty_log_mark(vhu__dirty_log *log, uint64_t guest_addr, uint64_t len);

/* Tells a run of pages: both numbers are multiples of VHU__LOG_PAGE. */
typedef void (*vhu__dirty_fn)(void *arg, uint64_t guest_addr, uint64_t len);

/* Take back the bits of these bytes' pages, and tell which were set, from low addresses to high. */
void vhu__dirty_log_take(vhu__dirty_log *log, uint64_t guest_addr, uint64_t len, vhu__dirty_fn fn,
                         void *arg);

#endif
