/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Linked into vhost-user-blk, makes a disk that offers to log what it writes and never does:
 * tests/interop/migrate has to notice.
 */
#include "queue_internal.h"

int __real_vhu__queue_set_log(vhu_queue *queue, const vhu__queue_log *log);
int __wrap_vhu__queue_set_log(vhu_queue *queue, const vhu__queue_log *log);

/* The linker has all calls of vhu__queue_set_log() lead here. */
int __wrap_vhu__queue_set_log(vhu_queue *queue, const vhu__queue_log *log)
{
    (void)log;
    return __real_vhu__queue_set_log(queue, NULL);
}
