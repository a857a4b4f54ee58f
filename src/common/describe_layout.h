/* SPDX-License-Identifier: BSD-3-Clause */
/* Which fields a payload has: a table for each request and each kind of reply. Data only. */
#ifndef VHU_DESCRIBE_LAYOUT_H
#define VHU_DESCRIBE_LAYOUT_H

#include <vmm_vhost/describe.h>

#include "requests.h"

/* What a table cannot say is told by a function of describe.c. */
typedef enum vhu__special {
    VHU__PLAIN,
    VHU__SPECIAL_RING_EVENT, /* ring and NOFD bit */
    VHU__SPECIAL_RING_BASE,  /* where packed rings have four numbers */
    VHU__SPECIAL_TABLE,
    VHU__SPECIAL_REGION,
    VHU__SPECIAL_LOG,
    VHU__SPECIAL_CONFIG,
    VHU__SPECIAL_SESSION,
    VHU__SPECIAL_INFLIGHT,
    VHU__SPECIAL_STATE, /* error and NOFD bits */
    VHU__SPECIAL_SHMEM,
    VHU__SPECIAL_MAC
} vhu__special;

typedef struct vhu__layout_row {
    const char *name;
    const char *const *words;
    uint8_t num_words;
    uint8_t kind;   /* vhu_field_kind */
    uint8_t offset; /* bytes */
    uint8_t width;
    uint8_t bits; /* vhu_bits */
} vhu__layout_row;

/* First the rows, then what is special; `check` of wire.c says whether the values make sense. */
typedef struct vhu__layout {
    const vhu__layout_row *rows;
    uint8_t num_rows;
    uint8_t size; /* of the rows and padding between and behind them */
    uint8_t special;
    bool (*check)(const uint8_t *in, const char **why);
} vhu__layout;

/* A region without what stands in front of it; and what XEN_MMAP puts behind it. */
extern const vhu__layout vhu__layout_region;
extern const vhu__layout vhu__layout_xen;
extern const vhu__layout vhu__layout_log;
extern const vhu__layout vhu__layout_log_address;
extern const vhu__layout vhu__layout_config;
extern const vhu__layout vhu__layout_inflight;
extern const vhu__layout vhu__layout_status;

/* Of a code that has a row in requests.c. */
const vhu__layout *vhu__layout_of_request(uint32_t code, bool back_channel);
const vhu__layout *vhu__layout_of_reply(const vhu__request *row, bool back_channel, size_t len);

#endif
