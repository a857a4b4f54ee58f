/* SPDX-License-Identifier: BSD-3-Clause */
/* Findings as JSON, an object a line. Numbers that others cannot hold exactly go as text. */
#include "trace.h"

#include <inttypes.h>

/* What others can hold exactly. */
#define MAX_NUMBER ((UINT64_C(1) << 53) - 1)

static const struct field_style style = {
    .between = ",",
    .quote = "\"",
    .equals = ":",
    .largest = MAX_NUMBER,
    .words = {"false", "true"},
    .bits = {"{\"value\":", ",\"bits\":[", ",", "]}"},
    .no_bits = true,
    .max_bytes = SIZE_MAX,
};

static void put_text(FILE *out, const char *text)
{
    putc('"', out);
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            putc(c, out);
    }
    putc('"', out);
}

static void put_number(FILE *out, uint64_t number)
{
    if (number <= MAX_NUMBER)
        fprintf(out, "%" PRIu64, number);
    else
        fprintf(out, "\"%" PRIu64 "\"", number);
}

static void put_bytes(FILE *out, const uint8_t *bytes, size_t len)
{
    putc('"', out);
    for (size_t i = 0; i < len; ++i)
        fprintf(out, "%02x", bytes[i]);
    putc('"', out);
}

static void put_head(struct trace *trace, const struct channel *channel, uint64_t ns,
                     const char *type)
{
    fprintf(trace->out, "{\"type\":\"%s\",\"time\":%.6f", type, trace_seconds(trace, ns));
    if (channel)
        fprintf(trace->out, ",\"connection\":%u,\"channel\":%u", channel->connection,
                channel->number);
}

static void put_handles(FILE *out, const struct record *record)
{
    fputs(",\"fds\":[", out);
    for (size_t i = 0; i < record->num_handles && i < TRACE_MAX_INFOS; ++i) {
        const struct handle_info *info = &record->infos[i];
        fprintf(out, "%s{\"fd\":%" PRIu64 ",\"kind\":\"%s\"", i ? "," : "", info->number,
                info->kind);
        if (info->name[0]) {
            fputs(",\"name\":", out);
            put_text(out, info->name);
        }
        if (info->has_size) {
            fputs(",\"size\":", out);
            put_number(out, info->size);
        }
        putc('}', out);
    }
    putc(']', out);
    if (record->num_handles > TRACE_MAX_INFOS)
        fprintf(out, ",\"num_fds\":%zu", record->num_handles);
}

static void put_faults(FILE *out, const struct finding *f)
{
    static const struct {
        unsigned found;
        const char *name;
    } rows[] = {
        {VHU_FOUND_UNKNOWN, "unknown"}, {VHU_FOUND_SHORT, "short"}, {VHU_FOUND_LONG, "long"},
        {VHU_FOUND_HANDLES, "fds"},     {VHU_FOUND_FLAGS, "flags"}, {VHU_FOUND_WRONG, "wrong"},
    };
    const char *between = "";

    if (!(f->found & VHU_FOUND_FAULTS))
        return;
    fputs(",\"faults\":[", out);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; ++i) {
        if (!(f->found & rows[i].found))
            continue;
        fprintf(out, "%s\"%s\"", between, rows[i].name);
        between = ",";
    }
    putc(']', out);
    if (f->why) {
        fputs(",\"why\":", out);
        put_text(out, f->why);
    }
}

void json_finding(struct trace *trace, const struct finding *f)
{
    const struct record *record = f->record;
    FILE *out = trace->out;

    put_head(trace, record->channel, record->received_ns, f->reply ? "reply" : "request");
    fprintf(out, ",\"seq\":%" PRIu64 ",\"from\":\"%s\",\"code\":%" PRIu32 ",\"name\":", f->seq,
            trace_side(record->from), record->header.request);
    if (f->name)
        put_text(out, f->name);
    else
        fputs("null", out);
    fprintf(out, ",\"flags\":%" PRIu32 ",\"need_reply\":%s,\"size\":%" PRIu32 ",\"fields\":{",
            record->header.flags, record->header.flags & VHU_FLAG_NEED_REPLY ? "true" : "false",
            record->header.size);
    fields_print(trace, &style, &f->message, false);
    putc('}', out);
    put_handles(out, record);
    if (f->paired)
        fprintf(out, ",\"reply_to\":%" PRIu64 ",\"latency_us\":%.3f", f->request_seq,
                (double)f->latency_ns / 1e3);
    else if (f->reply)
        fputs(",\"reply_to\":null", out);
    if (f->reply)
        fprintf(out, ",\"refused\":%s", f->found & VHU_FOUND_REFUSAL ? "true" : "false");
    put_faults(out, f);
    if (trace->options.hex) {
        fputs(",\"payload\":", out);
        put_bytes(out, record->payload, record->len);
    }
    fputs("}\n", out);
}

void json_event(struct trace *trace, const struct channel *channel, uint64_t ns, const char *text)
{
    put_head(trace, channel, ns, "event");
    fputs(",\"text\":", trace->out);
    put_text(trace->out, text);
    fputs("}\n", trace->out);
}

void json_summary(struct trace *trace)
{
    FILE *out = trace->out;

    for (size_t i = 0; i < trace->num_statistics; ++i) {
        const struct statistic *s = &trace->statistics[i];
        const char *name = trace_request_name(s->code, s->back_channel);
        fprintf(out,
                "{\"type\":\"statistic\",\"back_channel\":%s,\"code\":%" PRIu32 ",\"name\":%s%s%s"
                ",\"requests\":%" PRIu64 ",\"replies\":%" PRIu64 ",\"refused\":%" PRIu64
                ",\"faulty\":%" PRIu64,
                s->back_channel ? "true" : "false", s->code, name ? "\"" : "", name ? name : "null",
                name ? "\"" : "", s->requests, s->replies, s->refusals, s->faults);
        if (s->timed > 0)
            fprintf(out, ",\"min_us\":%.3f,\"mean_us\":%.3f,\"max_us\":%.3f",
                    (double)s->min_ns / 1e3, (double)s->sum_ns / (double)s->timed / 1e3,
                    (double)s->max_ns / 1e3);
        fputs("}\n", out);
    }
    fprintf(out,
            "{\"type\":\"summary\",\"connections\":%u,\"messages\":%" PRIu64 ",\"faulty\":%" PRIu64
            ",\"unpaired\":%" PRIu64 ",\"unanswered\":%" PRIu64 ",\"raw_bytes\":%" PRIu64 "}\n",
            trace->connections, trace->messages, trace->faulty, trace->unpaired, trace->unanswered,
            trace->raw_bytes);
}
