/* SPDX-License-Identifier: BSD-3-Clause */
#include "sheet.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>

enum { KEY_WIDTH = 24, LINE_WIDTH = 100, BYTES_IN_LINE = 16 };

/* --- JSON --- */

/* Everything that is not plain ASCII is taken for Latin-1: peers may put any bytes into a text. */
static void put_quoted(struct sheet *sheet, const char *text)
{
    fputc('"', sheet->file);
    for (const unsigned char *p = (const unsigned char *)text; *p; ++p) {
        if (*p == '"' || *p == '\\')
            fprintf(sheet->file, "\\%c", *p);
        else if (*p < 0x20 || *p > 0x7e)
            fprintf(sheet->file, "\\u%04x", *p);
        else
            fputc(*p, sheet->file);
    }
    fputc('"', sheet->file);
}

static void put_key(struct sheet *sheet, const char *key)
{
    fprintf(sheet->file, "%s\n%*s", sheet->comma ? "," : "", 2 * sheet->depth, "");
    sheet->comma = true;
    if (!key)
        return;
    put_quoted(sheet, key);
    fputs(": ", sheet->file);
}

static void put_open(struct sheet *sheet, const char *key, char bracket)
{
    put_key(sheet, key);
    fputc(bracket, sheet->file);
    sheet->comma = false;
    ++sheet->depth;
}

static void put_close(struct sheet *sheet, char bracket)
{
    fputc(bracket, sheet->file);
    sheet->comma = true;
    --sheet->depth;
}

/* --- text --- */

/* Nothing that a terminal would obey. */
static void put_printable(struct sheet *sheet, const char *text)
{
    for (; *text; ++text)
        fputc(isprint((unsigned char)*text) ? *text : '?', sheet->file);
}

static int put_words(struct sheet *sheet, const char *key)
{
    int len = 0;

    for (; key[len]; ++len)
        fputc(key[len] == '_' ? ' ' : key[len], sheet->file);
    return len;
}

static void put_label(struct sheet *sheet, const char *key)
{
    const int len = put_words(sheet, key);

    fprintf(sheet->file, "%*s", len < KEY_WIDTH ? KEY_WIDTH - len : 1, "");
}

/* --- both --- */

void sheet_begin(struct sheet *sheet)
{
    sheet->comma = false;
    sheet->depth = 1;
    if (sheet->json)
        fputc('{', sheet->file);
}

void sheet_end(struct sheet *sheet)
{
    if (sheet->json)
        fputs("\n}\n", sheet->file);
}

void sheet_text(struct sheet *sheet, const char *key, const char *text)
{
    if (sheet->json) {
        put_key(sheet, key);
        put_quoted(sheet, text);
        return;
    }
    put_label(sheet, key);
    put_printable(sheet, text);
    fputc('\n', sheet->file);
}

void sheet_number(struct sheet *sheet, const char *key, uint64_t number)
{
    if (sheet->json)
        put_key(sheet, key);
    else
        put_label(sheet, key);
    fprintf(sheet->file, "%" PRIu64 "%s", number, sheet->json ? "" : "\n");
}

void sheet_absent(struct sheet *sheet, const char *key, const char *why)
{
    if (!sheet->json) {
        sheet_text(sheet, key, why);
        return;
    }
    put_key(sheet, key);
    fputs("null", sheet->file);
}

static void put_hex_lines(struct sheet *sheet, const uint8_t *bytes, size_t len)
{
    size_t used = len;

    while (used > 0 && !bytes[used - 1])
        --used;
    for (size_t at = 0; at < used; at += BYTES_IN_LINE) {
        fprintf(sheet->file, "  %04zx ", at);
        for (size_t i = 0; i < BYTES_IN_LINE; ++i)
            if (at + i < len)
                fprintf(sheet->file, " %02x", bytes[at + i]);
            else
                fputs("   ", sheet->file);
        fputs("  ", sheet->file);
        for (size_t i = at; i < at + BYTES_IN_LINE && i < len; ++i)
            fputc(isprint(bytes[i]) ? bytes[i] : '.', sheet->file);
        fputc('\n', sheet->file);
    }
    used = (used + BYTES_IN_LINE - 1) / BYTES_IN_LINE * BYTES_IN_LINE;
    if (used < len)
        fprintf(sheet->file, "  %04zx  zeroes up to %04zx\n", used, len - 1);
}

void sheet_bytes(struct sheet *sheet, const char *key, const uint8_t *bytes, size_t len)
{
    if (!sheet->json) {
        put_label(sheet, key);
        fprintf(sheet->file, "%zu bytes\n", len);
        put_hex_lines(sheet, bytes, len);
        return;
    }
    put_key(sheet, key);
    fputc('"', sheet->file);
    for (size_t i = 0; i < len; ++i)
        fprintf(sheet->file, "%02x", bytes[i]);
    fputc('"', sheet->file);
}

static void put_bit_objects(struct sheet *sheet, uint64_t bits,
                            const char *(*name)(const void *arg, unsigned bit), const void *arg)
{
    for (unsigned bit = 0; bit < 64; ++bit) {
        if (!(bits >> bit & 1))
            continue;
        const char *text = name(arg, bit);
        put_key(sheet, NULL);
        fprintf(sheet->file, "{\"bit\": %u, \"name\": ", bit);
        if (text)
            put_quoted(sheet, text);
        else
            fputs("null", sheet->file);
        fputc('}', sheet->file);
    }
}

static void put_bit_words(struct sheet *sheet, uint64_t bits,
                          const char *(*name)(const void *arg, unsigned bit), const void *arg)
{
    int column = LINE_WIDTH;

    for (unsigned bit = 0; bit < 64; ++bit) {
        char word[64];
        if (!(bits >> bit & 1))
            continue;
        const char *text = name(arg, bit);
        const int len =
            snprintf(word, sizeof word, "  %u", bit) +
            (text ? snprintf(word + strlen(word), sizeof word - strlen(word), " %s", text) : 0);
        if (column + len > LINE_WIDTH) {
            fprintf(sheet->file, "\n%*s", KEY_WIDTH - 2, "");
            column = KEY_WIDTH - 2;
        }
        fputs(word, sheet->file);
        column += len;
    }
    fputc('\n', sheet->file);
}

void sheet_bits(struct sheet *sheet, const char *key, uint64_t bits,
                const char *(*name)(const void *arg, unsigned bit), const void *arg)
{
    if (!sheet->json) {
        put_label(sheet, key);
        fprintf(sheet->file, "0x%" PRIx64, bits);
        put_bit_words(sheet, bits, name, arg);
        return;
    }
    put_open(sheet, key, '{');
    put_key(sheet, "value");
    fprintf(sheet->file, "\"0x%" PRIx64 "\"", bits);
    put_open(sheet, "bits", '[');
    put_bit_objects(sheet, bits, name, arg);
    put_close(sheet, ']');
    put_close(sheet, '}');
}

void sheet_list(struct sheet *sheet, const char *key)
{
    if (sheet->json) {
        put_open(sheet, key, '[');
        return;
    }
    put_words(sheet, key);
    fputc('\n', sheet->file);
}

static void put_object(struct sheet *sheet, const struct cell *cells, size_t num_cells)
{
    put_key(sheet, NULL);
    fputc('{', sheet->file);
    for (size_t i = 0; i < num_cells; ++i) {
        fputs(i ? ", " : "", sheet->file);
        put_quoted(sheet, cells[i].key);
        fputs(": ", sheet->file);
        if (!cells[i].is_number)
            put_quoted(sheet, cells[i].text);
        else
            fprintf(sheet->file, "%" PRIu64, cells[i].number);
    }
    fputc('}', sheet->file);
}

void sheet_row(struct sheet *sheet, const struct cell *cells, size_t num_cells)
{
    if (sheet->json) {
        put_object(sheet, cells, num_cells);
        return;
    }
    int gap = 0;
    for (size_t i = 0; i < num_cells; ++i) {
        char number[24];
        const char *text = cells[i].text;
        const int width = cells[i].width;
        snprintf(number, sizeof number, "%" PRIu64, cells[i].number);
        if (!text)
            text = number;
        const int len = (int)strlen(text);
        const int pad = (width < 0 ? -width : width) - len;
        gap += 2 + (width > 0 && pad > 0 ? pad : 0);
        if (len > 0) {
            fprintf(sheet->file, "%*s", gap, "");
            put_printable(sheet, text);
            gap = 0;
        }
        gap += width < 0 && pad > 0 ? pad : 0;
    }
    fputc('\n', sheet->file);
}

void sheet_list_end(struct sheet *sheet)
{
    if (sheet->json)
        put_close(sheet, ']');
}
