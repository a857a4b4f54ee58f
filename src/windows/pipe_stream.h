/* SPDX-License-Identifier: BSD-3-Clause */
/* A stream: a pipe, its handshake, and how handles pass on it. */
#ifndef VHU_PIPE_STREAM_H
#define VHU_PIPE_STREAM_H

#include <vmm_vhost/stream.h>

#include "handle_pass.h"
#include "handshake.h"
#include "pipe.h"

struct vhu_stream {
    vhu__pipe pipe;
    vhu__pass pass;
    bool open; /* the handshake is done, or there was none */
    bool gone; /* the peer, when this side closed */
    vhu__handshake handshake;
    int error;       /* why nothing can follow */
    PTP_TIMER timer; /* for the handshake, or for a frame's rest; signals pipe.ready */
    volatile LONG late;
    /* Of the frame that is on its way. */
    uint64_t values[VHU__FRAME_HANDLES];
    size_t num_values;
    uint32_t num_taken; /* pulled, and the peer is still to be told */
};

/* A stream at the beginning of its handshake; *handle is taken on success. `options` may be NULL.
 */
int vhu__stream_begin(vhu_stream **out, HANDLE *handle, bool is_server, unsigned flags,
                      const vhu_pipe_options *options);

/* Have whoever waits woken in so many milliseconds, to find that it is late. VHU_ENOMEM. */
int vhu__stream_set_deadline(vhu_stream *stream, int ms);
void vhu__stream_clear_deadline(vhu_stream *stream);

/* No more bytes either way; the peer sees the end. */
void vhu__stream_shut(vhu_stream *stream);

#endif
