/* SPDX-License-Identifier: BSD-3-Clause */
/* What has been seen, and how it is told: requests and replies paired, lines, a table at the end.
 */
#ifndef TRACE_TRACE_H
#define TRACE_TRACE_H

#include "attributes.h"
#include "sys.h"

#include <stdio.h>
#include <vmm_vhost/describe.h>

enum { FRONT = 0, BACK = 1 };

/* Descriptors of one message that are told; there may be more. */
enum { TRACE_MAX_INFOS = 32 };

enum trace_time { TRACE_TIME_START, TRACE_TIME_ABSOLUTE, TRACE_TIME_DELTA };

struct trace_options {
    bool json;
    bool color;
    bool lines;   /* each message */
    bool summary; /* the table */
    bool hex;     /* payloads, too */
    unsigned time;
    uint32_t device; /* virtio's number, 0: unknown */
};

/* A request whose reply has not been seen. */
struct pending {
    uint32_t code;
    uint64_t seq;
    uint64_t sent_ns;
};

enum { TRACE_CODES = 64 };

/* What was negotiated, for all channels of a connection. */
struct negotiated {
    uint64_t features;
    uint64_t protocol_features;
};

/* One channel as the tracer sees it. */
struct channel {
    unsigned connection;
    unsigned number; /* 0: the main one; 1 ..: the back-end's, one after another */
    struct negotiated *negotiated;
    uint64_t seq;
    /* In the order of sending: waiting[first .. end). */
    struct pending *waiting;
    size_t first;
    size_t end;
    size_t room;
    /* By code: the last one for which no reply was due. One may come all the same. */
    struct pending last[TRACE_CODES];
};

/* A message that has been passed on. */
struct record {
    struct channel *channel;
    unsigned from;        /* FRONT, BACK */
    uint64_t received_ns; /* uv_hrtime() */
    uint64_t sent_ns;
    vhu_msg_header header;
    const uint8_t *payload;
    size_t len; /* less than the header says if the sender left in its midst */
    size_t num_handles;
    const struct handle_info *infos;
};

/* The record and what follows from it: what the printers get. */
struct finding {
    const struct record *record;
    vhu_message message;
    const char *name; /* NULL: unknown */
    unsigned found;   /* VHU_FOUND_* */
    const char *why;
    bool reply;
    bool paired;
    uint64_t seq;
    uint64_t request_seq;
    uint64_t request_ns;
    uint64_t latency_ns;
};

struct statistic {
    bool back_channel;
    uint32_t code;
    uint64_t requests;
    uint64_t replies;
    uint64_t refusals;
    uint64_t faults;
    uint64_t timed; /* replies whose request is known */
    uint64_t min_ns;
    uint64_t max_ns;
    uint64_t sum_ns;
};

struct trace {
    struct trace_options options;
    FILE *out;
    uint64_t start_ns;
    uint64_t start_wall_us;
    uint64_t last_ns;
    struct statistic *statistics;
    size_t num_statistics;
    uint64_t messages;
    uint64_t faulty;
    uint64_t unpaired;
    uint64_t unanswered;
    uint64_t raw_bytes; /* passed on without being understood */
    unsigned connections;
    bool out_of_memory;
};

void trace_init(struct trace *trace, const struct trace_options *options, FILE *out);
void trace_free(struct trace *trace);

void channel_init(struct channel *channel, unsigned connection, unsigned number,
                  struct negotiated *negotiated);
/* Tells which requests have not been answered. */
void channel_end(struct trace *trace, struct channel *channel);

void trace_message(struct trace *trace, const struct record *record);
/* Something that is no message, such as "closed by the front-end". channel: NULL, or whose. */
void trace_event(struct trace *trace, const struct channel *channel, const char *format, ...)
    TOOL_PRINTF(3, 4);
void trace_summary(struct trace *trace);

const char *trace_side(unsigned side);
const char *trace_request_name(uint32_t code, bool back_channel);
/* In the unit and from the zero that were asked for. */
double trace_seconds(struct trace *trace, uint64_t ns);

/* How the fields of a message are written, as text or as JSON. */
struct field_style {
    const char *between; /* one field and the next */
    const char *quote;   /* what is no plain number, and names */
    const char *equals;
    uint64_t largest;     /* number that goes without quotes */
    const char *words[2]; /* no, yes */
    const char *bits[4];  /* before the number, behind it, between names, at the end */
    bool no_bits;         /* the list is there if no bit is set, too */
    size_t max_bytes;     /* of a field that are shown */
};

/* `bare`: the one field of a message goes without its name. */
void fields_print(const struct trace *trace, const struct field_style *style,
                  const vhu_message *message, bool bare);

/* Printers of text and of JSON. */
void text_finding(struct trace *trace, const struct finding *finding);
void text_event(struct trace *trace, const struct channel *channel, uint64_t ns, const char *text);
void text_summary(struct trace *trace);
void json_finding(struct trace *trace, const struct finding *finding);
void json_event(struct trace *trace, const struct channel *channel, uint64_t ns, const char *text);
void json_summary(struct trace *trace);

#endif
