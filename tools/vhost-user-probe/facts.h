/* SPDX-License-Identifier: BSD-3-Clause */
/* What a back-end tells of itself, and what is odd about it. */
#ifndef PROBE_FACTS_H
#define PROBE_FACTS_H

#include "device_types.h"
#include "link.h"

enum { MAX_WARNINGS = 32, MAX_TEXT = 200, RAW_CONFIG = 256 };

struct facts {
    const struct device_type *type; /* NULL: not told */
    uint64_t features;              /* offered */
    uint64_t protocol_features;     /* offered */
    uint64_t acknowledged;          /* features */
    uint64_t negotiated;            /* protocol features */
    uint64_t answered;              /* of those, whose question had an answer */
    uint64_t queues;
    uint64_t memory_slots;
    vhu_shmem_config shmem;
    uint8_t config[RAW_CONFIG];
    uint32_t config_len;
    char warnings[MAX_WARNINGS][MAX_TEXT];
    size_t num_warnings;
};

/* Whether it was negotiated; and whether the question that it allows was answered. */
bool facts_has(const struct facts *facts, unsigned protocol_feature);
bool facts_answered(const struct facts *facts, unsigned protocol_feature);

/*
 * Connect, negotiate and ask everything; `facts->type` is set before. 0, or -1 with `error` saying
 * what is not as it must be. The link stays open, unless the back-end has gone for good.
 */
int facts_learn(struct link *link, struct facts *facts, char *error, size_t size);

/* Connect and negotiate once more. */
int facts_reconnect(struct link *link, char *error, size_t size);

#endif
