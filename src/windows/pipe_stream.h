/* SPDX-License-Identifier: BSD-3-Clause */
/* What the listener wants of streams. */
#ifndef VHU_PIPE_STREAM_H
#define VHU_PIPE_STREAM_H

#include <vmm_vhost/stream.h>

#include "win32.h"

/* A stream at the beginning of its handshake; *handle is taken on success. `options` may be NULL.
 */
int vhu__stream_begin(vhu_stream **out, HANDLE *handle, bool is_server, unsigned flags,
                      const vhu_pipe_options *options);

#endif
