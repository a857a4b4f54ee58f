/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

/* Requests under way on one channel; of more, the oldest are forgotten. */
enum { MAX_WAITING = 1 << 16 };

void trace_init(struct trace *trace, const struct trace_options *options, FILE *out)
{
    *trace = (struct trace){.options = *options, .out = out};
    trace->start_ns = uv_hrtime();
    trace->start_wall_us = sys_wall_us();
    trace->last_ns = trace->start_ns;
}

void trace_free(struct trace *trace)
{
    free(trace->statistics);
    trace->statistics = NULL;
    trace->num_statistics = 0;
}

const char *trace_side(unsigned side)
{
    return side == FRONT ? "front-end" : "back-end";
}

const char *trace_request_name(uint32_t code, bool back_channel)
{
    return back_channel ? vhu_backend_request_name(code) : vhu_frontend_request_name(code);
}

double trace_seconds(struct trace *trace, uint64_t ns)
{
    const uint64_t since = ns - trace->start_ns;
    const uint64_t last = trace->last_ns;

    switch (trace->options.time) {
    case TRACE_TIME_ABSOLUTE:
        return (double)trace->start_wall_us / 1e6 + (double)since / 1e9;
    case TRACE_TIME_DELTA:
        trace->last_ns = ns > last ? ns : last;
        return ns > last ? (double)(ns - last) / 1e9 : 0;
    default:
        return (double)since / 1e9;
    }
}

/* --- which reply belongs to which request --- */

void channel_init(struct channel *channel, unsigned connection, unsigned number,
                  struct negotiated *negotiated)
{
    *channel =
        (struct channel){.connection = connection, .number = number, .negotiated = negotiated};
}

/* Room for one more behind the last. */
static bool make_room(struct channel *channel)
{
    const size_t num = channel->end - channel->first;

    if (channel->end < channel->room)
        return true;
    if (channel->first > channel->room / 2) {
        memmove(channel->waiting, channel->waiting + channel->first,
                num * sizeof *channel->waiting);
        channel->first = 0;
        channel->end = num;
        return true;
    }
    const size_t room = channel->room ? channel->room * 2 : 16;
    struct pending *grown = realloc(channel->waiting, room * sizeof *grown);
    if (!grown)
        return false;
    channel->waiting = grown;
    channel->room = room;
    return true;
}

static void expect_reply(struct trace *trace, struct channel *channel,
                         const struct pending *request)
{
    if (channel->end - channel->first == MAX_WAITING) {
        ++channel->first;
        ++trace->unanswered;
    }
    if (make_room(channel))
        channel->waiting[channel->end++] = *request;
    else
        trace->out_of_memory = true;
}

/* The oldest request with this code; else one to which no reply was due. */
static bool find_request(struct channel *channel, uint32_t code, struct pending *out)
{
    struct pending *last = &channel->last[code % TRACE_CODES];

    for (size_t i = channel->first; i < channel->end; ++i) {
        if (channel->waiting[i].code != code)
            continue;
        *out = channel->waiting[i];
        memmove(channel->waiting + channel->first + 1, channel->waiting + channel->first,
                (i - channel->first) * sizeof *channel->waiting);
        ++channel->first;
        return true;
    }
    if (last->seq == 0 || last->code != code)
        return false;
    *out = *last;
    last->seq = 0;
    return true;
}

static void pair(struct trace *trace, struct finding *f)
{
    struct channel *channel = f->record->channel;
    const struct pending this = {f->record->header.request, f->seq, f->record->sent_ns};
    struct pending request;

    if (!f->reply && (f->found & VHU_FOUND_ANSWERED)) {
        expect_reply(trace, channel, &this);
    } else if (!f->reply) {
        channel->last[this.code % TRACE_CODES] = this;
    } else if (find_request(channel, this.code, &request)) {
        f->paired = true;
        f->request_seq = request.seq;
        f->request_ns = request.sent_ns;
        if (f->record->received_ns > request.sent_ns)
            f->latency_ns = f->record->received_ns - request.sent_ns;
    } else {
        ++trace->unpaired;
    }
}

void channel_end(struct trace *trace, struct channel *channel)
{
    const size_t num = channel->end - channel->first;

    if (num > 0) {
        const char *name =
            trace_request_name(channel->waiting[channel->first].code, channel->number > 0);
        trace->unanswered += num;
        trace_event(trace, channel, "requests without an answer: %zu, the first is %s", num,
                    name ? name : "unknown");
    }
    free(channel->waiting);
    channel->waiting = NULL;
    channel->first = channel->end = channel->room = 0;
}

/* --- counting --- */

static struct statistic *statistic_of(struct trace *trace, uint32_t code, bool back_channel)
{
    for (size_t i = 0; i < trace->num_statistics; ++i) {
        struct statistic *s = &trace->statistics[i];
        if (s->code == code && s->back_channel == back_channel)
            return s;
    }
    /* A peer can make up codes without end: those behind the first thousand go without a row. */
    if (trace->num_statistics == 1000)
        return NULL;
    struct statistic *grown =
        realloc(trace->statistics, (trace->num_statistics + 1) * sizeof *grown);
    if (!grown) {
        trace->out_of_memory = true;
        return NULL;
    }
    trace->statistics = grown;
    grown[trace->num_statistics] = (struct statistic){.back_channel = back_channel, .code = code};
    return &grown[trace->num_statistics++];
}

static void count(struct trace *trace, const struct finding *f)
{
    struct statistic *s =
        statistic_of(trace, f->record->header.request, f->record->channel->number > 0);

    ++trace->messages;
    trace->faulty += (f->found & VHU_FOUND_FAULTS) != 0;
    if (!s)
        return;
    s->requests += !f->reply;
    s->replies += f->reply;
    s->refusals += (f->found & VHU_FOUND_REFUSAL) != 0;
    s->faults += (f->found & VHU_FOUND_FAULTS) != 0;
    if (!f->paired)
        return;
    if (s->timed == 0 || f->latency_ns < s->min_ns)
        s->min_ns = f->latency_ns;
    if (f->latency_ns > s->max_ns)
        s->max_ns = f->latency_ns;
    s->sum_ns += f->latency_ns;
    ++s->timed;
}

/* --- telling --- */

static void note_negotiated(const struct record *record)
{
    struct negotiated *negotiated = record->channel->negotiated;
    uint64_t value;

    if (record->channel->number > 0 || record->from != FRONT || record->len != sizeof value)
        return;
    memcpy(&value, record->payload, sizeof value);
    if (record->header.request == VHU_REQ_SET_FEATURES)
        negotiated->features = value;
    else if (record->header.request == VHU_REQ_SET_PROTOCOL_FEATURES)
        negotiated->protocol_features = value;
}

void trace_message(struct trace *trace, const struct record *record)
{
    struct channel *channel = record->channel;
    struct finding f = {.record = record, .seq = ++channel->seq};

    note_negotiated(record);
    f.message = (vhu_message){.size = sizeof f.message,
                              .header = record->header,
                              .payload = record->payload,
                              .len = record->len,
                              .num_handles = record->num_handles,
                              .back_channel = channel->number > 0,
                              .features = channel->negotiated->features,
                              .protocol_features = channel->negotiated->protocol_features};
    f.name = trace_request_name(record->header.request, f.message.back_channel);
    f.reply = (record->header.flags & VHU_FLAG_REPLY) != 0;
    f.found = vhu_describe(&f.message, NULL, NULL, &f.why);
    pair(trace, &f);
    count(trace, &f);
    if (!trace->options.lines)
        return;
    if (trace->options.json)
        json_finding(trace, &f);
    else
        text_finding(trace, &f);
}

void trace_event(struct trace *trace, const struct channel *channel, const char *format, ...)
{
    char text[512];
    va_list args;

    if (!trace->options.lines)
        return;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (trace->options.json)
        json_event(trace, channel, uv_hrtime(), text);
    else
        text_event(trace, channel, uv_hrtime(), text);
}

static int by_time_then_count(const void *a, const void *b)
{
    const struct statistic *x = a;
    const struct statistic *y = b;

    if (x->sum_ns != y->sum_ns)
        return x->sum_ns < y->sum_ns ? 1 : -1;
    if (x->requests != y->requests)
        return x->requests < y->requests ? 1 : -1;
    return x->code < y->code ? -1 : x->code > y->code;
}

void trace_summary(struct trace *trace)
{
    if (!trace->options.summary)
        return;
    if (trace->num_statistics > 0)
        qsort(trace->statistics, trace->num_statistics, sizeof *trace->statistics,
              by_time_then_count);
    if (trace->options.json)
        json_summary(trace);
    else
        text_summary(trace);
}
