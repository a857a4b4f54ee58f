/* SPDX-License-Identifier: BSD-3-Clause */
/* Findings as lines for people. */
#include "trace.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

/* Bytes of a field that are shown; all of them are in --hex. */
enum { MAX_BYTES = 32 };

#define DIM "2"
#define REQUEST "1;36"
#define REPLY "1;32"
#define HANDLES "33"
#define BAD "1;31"
#define EVENT "1;35"

static void begin_color(const struct trace *trace, const char *color)
{
    if (trace->options.color)
        fprintf(trace->out, "\033[%sm", color);
}

static void end_color(const struct trace *trace)
{
    if (trace->options.color)
        fputs("\033[0m", trace->out);
}

/* What others have named: nothing in it may reach the terminal as more than text. */
static void put_safely(FILE *out, const char *text)
{
    for (; *text; ++text) {
        const unsigned char c = (unsigned char)*text;
        if (iscntrl(c))
            fprintf(out, "\\x%02x", c);
        else
            putc(c, out);
    }
}

static void put_where(struct trace *trace, const struct channel *channel, uint64_t ns)
{
    char label[24] = "";

    if (channel && channel->number > 0)
        snprintf(label, sizeof label, "#%u%c", channel->connection,
                 (char)('a' + (channel->number < 25 ? channel->number : 25)));
    else if (channel)
        snprintf(label, sizeof label, "#%u", channel->connection);
    begin_color(trace, DIM);
    fprintf(trace->out, "%11.6f %-4s", trace_seconds(trace, ns), label);
    end_color(trace);
}

/* --- fields --- */

static const struct field_style style = {.between = ", ",
                                         .quote = "",
                                         .equals = "=",
                                         .words = {"no", "yes"},
                                         .bits = {"", " (", "|", ")"},
                                         .max_bytes = MAX_BYTES};

static void count_field(void *arg, const vhu_field *field)
{
    *(unsigned *)arg += field->kind < VHU_FIELD_LIST ? 1 : 2;
}

static void put_fields(const struct trace *trace, const struct finding *f)
{
    unsigned fields = 0;
    const char *begin = "(";
    const char *end = ")";

    if (f->reply) {
        vhu_describe(&f->message, count_field, &fields, NULL);
        begin = fields == 1 ? " = " : " = {";
        end = fields == 1 ? "" : "}";
    }
    fputs(begin, trace->out);
    fields_print(trace, &style, &f->message, fields == 1);
    fputs(end, trace->out);
}

/* --- the rest of a line --- */

static void put_handles(const struct trace *trace, const struct record *record)
{
    if (record->num_handles == 0)
        return;
    begin_color(trace, HANDLES);
    fputs(" fds=[", trace->out);
    for (size_t i = 0; i < record->num_handles && i < TRACE_MAX_INFOS; ++i) {
        const struct handle_info *info = &record->infos[i];
        fprintf(trace->out, "%s%" PRIu64 ":%s", i ? ", " : "", info->number, info->kind);
        if (info->name[0]) {
            putc(':', trace->out);
            put_safely(trace->out, info->name);
        }
        if (info->has_size)
            fprintf(trace->out, " size=0x%" PRIx64, info->size);
    }
    if (record->num_handles > TRACE_MAX_INFOS)
        fprintf(trace->out, ", %zu more", record->num_handles - TRACE_MAX_INFOS);
    putc(']', trace->out);
    end_color(trace);
}

static void put_pairing(const struct trace *trace, const struct finding *f)
{
    if (!f->reply)
        return;
    if (!f->paired) {
        begin_color(trace, BAD);
        fputs(" <no request>", trace->out);
        end_color(trace);
        return;
    }
    begin_color(trace, DIM);
    fprintf(trace->out, " <%.0f us", (double)f->latency_ns / 1e3);
    /* With others in between it is told which one this answers. */
    if (f->seq - f->request_seq > 1 && f->request_ns >= trace->start_ns)
        fprintf(trace->out, " since %.6f", (double)(f->request_ns - trace->start_ns) / 1e9);
    putc('>', trace->out);
    end_color(trace);
}

static void put_faults(const struct trace *trace, const struct finding *f)
{
    FILE *out = trace->out;

    if (f->found & VHU_FOUND_REFUSAL) {
        begin_color(trace, BAD);
        fputs(" refused", out);
        end_color(trace);
    }
    if (!(f->found & VHU_FOUND_FAULTS))
        return;
    begin_color(trace, BAD);
    if (f->found & VHU_FOUND_UNKNOWN)
        fputs(" [!unknown request]", out);
    if (f->found & VHU_FOUND_SHORT)
        fprintf(out, " [!short payload: %zu bytes]", f->record->len);
    if (f->found & VHU_FOUND_LONG)
        fprintf(out, " [!long payload: %zu bytes]", f->record->len);
    if (f->found & VHU_FOUND_HANDLES)
        fprintf(out, " [!number of descriptors: %zu]", f->record->num_handles);
    if (f->found & VHU_FOUND_FLAGS)
        fprintf(out, " [!flags: 0x%" PRIx32 "]", f->record->header.flags);
    if (f->found & VHU_FOUND_WRONG)
        fprintf(out, " [!%s]", f->why ? f->why : "wrong value");
    end_color(trace);
}

static void put_hex(const struct trace *trace, const struct record *record)
{
    enum { ROW = 16 };
    FILE *out = trace->out;

    for (size_t at = 0; at < record->len; at += ROW) {
        const size_t n = record->len - at < ROW ? record->len - at : ROW;
        fprintf(out, "%20s%04zx ", "", at);
        for (size_t i = 0; i < ROW; ++i) {
            if (i < n)
                fprintf(out, " %02x", record->payload[at + i]);
            else
                fputs("   ", out);
        }
        fputs("  ", out);
        for (size_t i = 0; i < n; ++i) {
            const unsigned char c = record->payload[at + i];
            putc(c >= 0x20 && c < 0x7f ? c : '.', out);
        }
        putc('\n', out);
    }
}

void text_finding(struct trace *trace, const struct finding *f)
{
    const struct record *record = f->record;

    put_where(trace, record->channel, record->received_ns);
    fputs(record->from == FRONT ? "-> " : "<- ", trace->out);
    begin_color(trace, f->reply ? REPLY : REQUEST);
    if (f->name)
        fputs(f->name, trace->out);
    else
        fprintf(trace->out, "REQUEST_%" PRIu32, record->header.request);
    end_color(trace);
    put_fields(trace, f);
    if (record->header.flags & VHU_FLAG_NEED_REPLY)
        fputs(" need_reply", trace->out);
    put_handles(trace, record);
    put_pairing(trace, f);
    put_faults(trace, f);
    putc('\n', trace->out);
    if (trace->options.hex)
        put_hex(trace, record);
}

void text_event(struct trace *trace, const struct channel *channel, uint64_t ns, const char *text)
{
    put_where(trace, channel, ns);
    begin_color(trace, EVENT);
    fputs("+++ ", trace->out);
    put_safely(trace->out, text);
    fputs(" +++", trace->out);
    end_color(trace);
    putc('\n', trace->out);
}

void text_summary(struct trace *trace)
{
    FILE *out = trace->out;

    fprintf(out,
            "%" PRIu64 " messages on %u connections; faulty: %" PRIu64
            ", replies without a request: %" PRIu64 ", requests without an answer: %" PRIu64 "\n",
            trace->messages, trace->connections, trace->faulty, trace->unpaired, trace->unanswered);
    if (trace->raw_bytes > 0)
        fprintf(out, "bytes that were passed on without being understood: %" PRIu64 "\n",
                trace->raw_bytes);
    if (trace->num_statistics == 0)
        return;
    fprintf(out, "%9s %9s %8s %7s %9s %9s %9s %10s  %s\n", "requests", "replies", "refused",
            "faulty", "min us", "mean us", "max us", "total us", "request");
    for (size_t i = 0; i < trace->num_statistics; ++i) {
        const struct statistic *s = &trace->statistics[i];
        const char *name = trace_request_name(s->code, s->back_channel);
        char number[24];
        fprintf(out, "%9" PRIu64 " %9" PRIu64 " %8" PRIu64 " %7" PRIu64, s->requests, s->replies,
                s->refusals, s->faults);
        if (s->timed > 0)
            fprintf(out, " %9.0f %9.0f %9.0f %10.0f", (double)s->min_ns / 1e3,
                    (double)s->sum_ns / (double)s->timed / 1e3, (double)s->max_ns / 1e3,
                    (double)s->sum_ns / 1e3);
        else
            fprintf(out, " %9s %9s %9s %10s", "-", "-", "-", "-");
        snprintf(number, sizeof number, "REQUEST_%" PRIu32, s->code);
        fprintf(out, "  %s%s\n", name ? name : number, s->back_channel ? " (of the back-end)" : "");
    }
}
