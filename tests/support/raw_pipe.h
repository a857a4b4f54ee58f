/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A pipe's end in a test's hand, frame by frame, and the stream at its other end: in this process,
 * or in another one, which a test begins by running itself again. Windows only.
 */
#ifndef TEST_RAW_PIPE_H
#define TEST_RAW_PIPE_H

#include <vmm_vhost/stream.h>
#include <windows.h>

#include "pipe_frame.h"
#include "support/leakcheck.h"

/* What the stream is; the raw end is the other one. */
typedef struct raw_role {
    bool serves;
    bool transfers;
} raw_role;

enum { RAW_ROLES = 4, RAW_CONTENT = 256 };

extern const raw_role raw_roles[RAW_ROLES];

typedef struct raw_pipe {
    raw_role role;
    vhu_stream *stream; /* NULL: in another process */
    HANDLE pipe;        /* takes one operation at a time */
    HANDLE process;     /* the stream's */
    uint8_t nonce[VHU__FRAME_NONCE];
    vhu__hello hello; /* the stream's, once it was received */
} raw_pipe;

/* What comes and what goes. */
typedef struct raw_frame {
    vhu__frame head;
    uint64_t values[VHU__FRAME_HANDLES];
    uint8_t content[RAW_CONTENT];
} raw_frame;

/* `ms` for the handshake, 0: the default. */
void raw_open(raw_pipe *raw, raw_role role, int ms);

/* Connect to a stream of another process. */
void raw_dial(raw_pipe *raw, raw_role role, const char *address);

/* The raw end alone; and what is left. */
void raw_hang_up(raw_pipe *raw);
void raw_close(raw_pipe *raw);

void raw_write(raw_pipe *raw, const void *bytes, size_t len);
void raw_send(raw_pipe *raw, const raw_frame *frame);

/* The stream's next frame; it is turned until that is there. */
void raw_recv(raw_pipe *raw, raw_frame *frame);

/* Have the stream go on once: what its recv says. What is received is closed, and counted. */
int raw_turn(raw_pipe *raw, size_t *num_handles);

/* Turn the stream until it has ended: its error. It may not be woken for nothing. */
int raw_end(raw_pipe *raw);

/* The same, and that it was told why: a reason of BYE, or 0 for none. */
void raw_refusal(raw_pipe *raw, int error, uint32_t reason);

/* --- frames that are as they should be --- */

raw_frame raw_hello(const raw_pipe *raw);
raw_frame raw_proof(const raw_pipe *raw, uint64_t value);
raw_frame raw_message(const raw_pipe *raw, const uint64_t *values, size_t n);
raw_frame raw_number(vhu__frame_type type, uint32_t number);

/* A value for the stream of a handle that is taken: pushed, or to be pulled. */
uint64_t raw_give(const raw_pipe *raw, HANDLE handle);

/* What is pushed to the raw end, or to be pulled by it. */
HANDLE raw_take(const raw_pipe *raw, uint64_t value);

/* Memory that proves the raw end; what tells that is told by `content`, of this size. */
enum { RAW_PROOF = 1 + VHU__FRAME_NONCE };

void raw_proof_content(const raw_pipe *raw, uint8_t content[RAW_PROOF]);
HANDLE raw_proof_new(const uint8_t content[RAW_PROOF]);

/* --- the beginning, step by step --- */

/* What the raw end does between one frame of the other end's and the next. */
typedef enum raw_stage {
    RAW_SILENT,
    RAW_GREETED, /* both have said hello */
    RAW_PROVED,  /* the raw end has sent its proof */
    RAW_MET
} raw_stage;

enum { RAW_STAGES = RAW_MET + 1 };

void raw_go(raw_pipe *raw, raw_stage stage);

/* Close the proof of a stream that transfers, which comes first. */
void raw_drop_proof(raw_pipe *raw);

/* Up to that stage in each role, counting handles around each. */
enum { RAW_OTHER_SIDE, RAW_TRANSFERRER, RAW_BOTH };

void raw_for_roles(int transfers, raw_stage stage, void (*check)(raw_pipe *raw, const void *arg),
                   const void *arg);

#endif
