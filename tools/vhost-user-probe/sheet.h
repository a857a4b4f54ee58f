/* SPDX-License-Identifier: BSD-3-Clause */
/* What is printed, as aligned text or as JSON: the same calls make both. */
#ifndef PROBE_SHEET_H
#define PROBE_SHEET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

struct sheet {
    FILE *file;
    bool json;
    bool comma; /* something precedes in this object or list */
    int depth;
};

/* One piece of a row: text, or a number that JSON shows as one, whatever the text is. */
struct cell {
    const char *key;
    int width;        /* in text; negative: to the left */
    const char *text; /* NULL: the number */
    bool is_number;
    uint64_t number;
};

void sheet_begin(struct sheet *sheet);
void sheet_end(struct sheet *sheet);

void sheet_text(struct sheet *sheet, const char *key, const char *text);
void sheet_number(struct sheet *sheet, const char *key, uint64_t number);

/* What is not known, and why. */
void sheet_absent(struct sheet *sheet, const char *key, const char *why);

/* Bytes in hexadecimal; in text with offsets, and a tail of zeroes shortened. */
void sheet_bytes(struct sheet *sheet, const char *key, const uint8_t *bytes, size_t len);

/* A set of bits; `name` gives NULL for one that has none. */
void sheet_bits(struct sheet *sheet, const char *key, uint64_t bits,
                const char *(*name)(const void *arg, unsigned bit), const void *arg);

/* A list of rows. */
void sheet_list(struct sheet *sheet, const char *key);
void sheet_row(struct sheet *sheet, const struct cell *cells, size_t num_cells);
void sheet_list_end(struct sheet *sheet);

#endif
