/* SPDX-License-Identifier: BSD-3-Clause */
#include "trace.h"

#include <inttypes.h>

/* On the way through a message. */
struct walk {
    FILE *out;
    const struct field_style *style;
    uint32_t device;
    bool bare;
    bool first; /* nothing stands before the next field */
    unsigned depth;
};

static void put_number(const struct walk *w, bool negative, uint64_t magnitude)
{
    const char *quote = magnitude > w->style->largest ? w->style->quote : "";

    fprintf(w->out, "%s%s%" PRIu64 "%s", quote, negative ? "-" : "", magnitude, quote);
}

static void put_signed(const struct walk *w, uint64_t number)
{
    const bool negative = (int64_t)number < 0;

    put_number(w, negative, negative ? 0 - number : number);
}

static void put_hex(const struct walk *w, uint64_t number)
{
    fprintf(w->out, "%s0x%" PRIx64 "%s", w->style->quote, number, w->style->quote);
}

static void put_quoted(const struct walk *w, const char *word)
{
    fprintf(w->out, "%s%s%s", w->style->quote, word, w->style->quote);
}

static void put_bits(const struct walk *w, const vhu_field *field)
{
    const char *const *marks = w->style->bits;
    const char *between = "";

    fputs(marks[0], w->out);
    put_hex(w, field->number);
    if (field->number == 0 && !w->style->no_bits)
        return;
    fputs(marks[1], w->out);
    for (unsigned bit = 0; bit < 64; ++bit) {
        if (!(field->number & VHU_BIT(bit)))
            continue;
        const char *name = vhu_bit_name(field->bits, w->device, bit);
        fputs(between, w->out);
        if (name)
            put_quoted(w, name);
        else
            fprintf(w->out, "%u", bit);
        between = marks[2];
    }
    fputs(marks[3], w->out);
}

static void put_bytes(const struct walk *w, const vhu_field *field)
{
    const size_t most = w->style->max_bytes;
    const size_t n = field->len < most ? field->len : most;

    fputs(w->style->quote, w->out);
    for (size_t i = 0; i < n; ++i)
        fprintf(w->out, "%02x", field->bytes[i]);
    if (n < field->len)
        fprintf(w->out, "...%zu", field->len);
    fputs(w->style->quote, w->out);
}

static void put_value(const struct walk *w, const vhu_field *field)
{
    switch (field->kind) {
    case VHU_FIELD_SIGNED:
        put_signed(w, field->number);
        break;
    case VHU_FIELD_HEX:
        put_hex(w, field->number);
        break;
    case VHU_FIELD_BOOL:
        fputs(w->style->words[field->number != 0], w->out);
        break;
    case VHU_FIELD_WORD:
        if (field->word)
            put_quoted(w, field->word);
        else
            put_number(w, false, field->number);
        break;
    case VHU_FIELD_BITS:
        put_bits(w, field);
        break;
    case VHU_FIELD_BYTES:
        put_bytes(w, field);
        break;
    default:
        put_number(w, false, field->number);
        break;
    }
}

/* Lists hold items, and items hold lists. */
static void put_field(void *arg, const vhu_field *field)
{
    struct walk *w = arg;

    if (field->kind == VHU_FIELD_END) {
        putc(w->depth-- % 2 == 0 ? '}' : ']', w->out);
        w->first = false;
        return;
    }
    if (!w->first)
        fputs(w->style->between, w->out);
    w->first = false;
    if (field->name && !w->bare) {
        put_quoted(w, field->name);
        fputs(w->style->equals, w->out);
    }
    if (field->kind < VHU_FIELD_LIST) {
        put_value(w, field);
        return;
    }
    putc(field->kind == VHU_FIELD_ITEM ? '{' : '[', w->out);
    ++w->depth;
    w->first = true;
}

void fields_print(const struct trace *trace, const struct field_style *style,
                  const vhu_message *message, bool bare)
{
    struct walk w = {.out = trace->out,
                     .style = style,
                     .device = trace->options.device,
                     .bare = bare,
                     .first = true};

    vhu_describe(message, put_field, &w, NULL);
}
