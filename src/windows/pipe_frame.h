/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What goes over a pipe: frames, each written in one piece. A head, the values of handles, and
 * content; little-endian. docs/windows-transport.md, "Frames".
 */
#ifndef VHU_PIPE_FRAME_H
#define VHU_PIPE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VHU__FRAME_HEAD = 16,
    /* More than any message has, too: so that who is sent as many can say what is wrong. */
    VHU__FRAME_HANDLES = 32,
    /* More than any message has; who passes unknown ones on needs the room. */
    VHU__FRAME_CONTENT = 65536 + 12,
    VHU__FRAME_NONCE = 32,
    VHU__FRAME_HELLO = 16 + VHU__FRAME_NONCE,
    VHU__FRAME_HELLO_MAX = 256,
    VHU__FRAME_NUMBER = 4
};

typedef enum vhu__frame_type {
    VHU__FRAME_TYPE_HELLO = 1,
    VHU__FRAME_TYPE_PROOF = 2,
    VHU__FRAME_TYPE_MSG = 3,
    VHU__FRAME_TYPE_BYE = 4,
    VHU__FRAME_TYPE_TAKEN = 5
} vhu__frame_type;

/* In whose process the values are handles. */
typedef enum vhu__frame_owner {
    VHU__FRAME_OWNER_NONE = 0,
    VHU__FRAME_OWNER_RECIPIENT = 1,
    VHU__FRAME_OWNER_SENDER = 2
} vhu__frame_owner;

typedef struct vhu__frame {
    vhu__frame_type type;
    vhu__frame_owner owner;
    uint16_t num_handles;
    uint32_t len; /* of the content */
} vhu__frame;

/* Of the whole frame. */
size_t vhu__frame_size(const vhu__frame *frame);

/* Its head, checked by itself: false if no frame may begin so. */
bool vhu__frame_load(vhu__frame *frame, const uint8_t *head);
uint64_t vhu__frame_load_value(const uint8_t *bytes, size_t i);

/* Head and values; where the content goes is returned. */
uint8_t *vhu__frame_store(uint8_t *bytes, const vhu__frame *frame, const uint64_t *values);

/* What a side can do. */
enum {
    VHU__CAP_WILL_TRANSFER = 0x1,   /* copies handles, with power over the peer's process */
    VHU__CAP_ACCEPT_TRANSFER = 0x2, /* lets the peer do that */
    VHU__CAP_BROKER = 0x4           /* a third process could do it; not used yet */
};

typedef struct vhu__hello {
    uint16_t version_min;
    uint16_t version_max;
    uint32_t caps;
    uint32_t pid;
    uint8_t nonce[VHU__FRAME_NONCE];
} vhu__hello;

void vhu__hello_store(uint8_t *bytes, const vhu__hello *hello);

/* False if it is none of any version. */
bool vhu__hello_load(vhu__hello *hello, const uint8_t *bytes, size_t len);

/* Why one side ends the other's beginning. */
enum {
    VHU__BYE_VERSION = 1,    /* no version in common */
    VHU__BYE_TRANSFER = 2,   /* no side may transfer, or both insist */
    VHU__BYE_PERMISSION = 3, /* the peer's process cannot be opened, or the peer is not allowed */
    VHU__BYE_PROOF = 4       /* the proof is wrong, or the PID is not the pipe's */
};

/* The content of BYE, a reason, and of TAKEN, how many handles were pulled. */
uint32_t vhu__number_load(const uint8_t *bytes);
void vhu__number_store(uint8_t *bytes, uint32_t number);

#endif
