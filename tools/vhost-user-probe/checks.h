/* SPDX-License-Identifier: BSD-3-Clause */
/* Rules of the protocol that a back-end is held to, without touching the data of its device. */
#ifndef PROBE_CHECKS_H
#define PROBE_CHECKS_H

#include "attributes.h"
#include "facts.h"

enum verdict { OK, VIOLATION, NOT_APPLICABLE, NOT_RUN, NUM_VERDICTS };

struct check_result {
    enum verdict verdict;
    char detail[MAX_TEXT]; /* why */
};

/* What the checks work on, and what they notice by the way. */
struct subject {
    struct link *link;
    const struct facts *facts;
    bool gone;                  /* it could not be connected to again */
    char odd_replies[MAX_TEXT]; /* requests with wrong flags in their replies */
};

/* Instead of a protocol feature as a gate. */
enum { NO_GATE = -1, EXTENSION = -2 /* protocol features are offered */ };
enum {
    FRESH_LINK = 0x1, /* needs a connection on which nothing was sent */
    NEEDS_BYTES = 0x2 /* sends other than whole messages */
};

/* A message to send, and how it must be answered. */
struct probe_message {
    uint32_t request;
    uint32_t len;         /* bytes of payload */
    uint32_t num_handles; /* of 64 KiB of memory */
    uint32_t reply_len;   /* of a reply of its own */
    union {
        vhu_vring_state ring;
        vhu_config_header config;
        vhu_inflight_area inflight;
        uint64_t u64;
        struct {
            uint64_t count; /* or padding */
            vhu_mem_region region;
        } memory;
        uint8_t bytes[64];
    } payload;
};

struct check {
    const char *name;
    const char *rule;
    int gate; /* protocol feature */
    unsigned flags;
    void (*run)(struct subject *subject, const struct check *check, struct check_result *result);
    struct probe_message message;
};

const char *verdict_name(enum verdict verdict);

/*
 * All checks, one after another; `done` is called after each. The link is open and negotiated; it
 * is opened again when a check or the back-end has closed it.
 */
void checks_run(struct subject *subject,
                void (*done)(void *arg, const struct check *check,
                             const struct check_result *result),
                void *arg);

extern const struct check checks[];
extern const size_t num_checks;

/* --- for the checks themselves --- */

void check_ok(struct check_result *result, const char *format, ...) TOOL_PRINTF(2, 3);
void check_violated(struct check_result *result, const char *format, ...) TOOL_PRINTF(2, 3);

/* Send a message (`flags` as in its header, without the version), and take the reply. */
enum answer check_send(struct subject *subject, const struct probe_message *message,
                       uint32_t flags);
enum answer check_receive(struct subject *subject, struct reply *reply);
enum answer check_ask(struct subject *subject, const struct probe_message *message, uint32_t flags,
                      struct reply *reply);

/* The verdict on having no reply, or one to something else: true if the reply is good. */
bool check_answered(struct subject *subject, struct check_result *result, enum answer answer,
                    const struct reply *reply, uint32_t request);

extern const struct probe_message check_get_features;

/* That nothing is left to read: the next reply is that to the next request. */
bool check_nothing_left(struct subject *subject, struct check_result *result);

/* For rows of nothing but a message. */
void check_is_answered(struct subject *subject, const struct check *check,
                       struct check_result *result);
void check_is_done(struct subject *subject, const struct check *check, struct check_result *result);
void check_is_refused(struct subject *subject, const struct check *check,
                      struct check_result *result);

uint64_t reply_u64(const struct reply *reply);

#endif
