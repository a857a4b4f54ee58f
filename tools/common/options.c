/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/protocol.h>

int option_choice(const char *words, unsigned choice, const char **word)
{
    for (; choice > 0; --choice)
        words += strcspn(words, "|") + 1;
    *word = words;
    return (int)strcspn(words, "|");
}

static int parse_number(const char *program, const struct option_row *row, const char *text)
{
    const bool octal = row->kind == OPTION_MODE;
    char *end;

    errno = 0;
    const unsigned long number = strtoul(text, &end, octal ? 8 : 10);
    if (isdigit((unsigned char)*text) && !*end && !errno && number >= row->min &&
        number <= row->max) {
        *(unsigned *)row->value = (unsigned)number;
        return 0;
    }
    fprintf(stderr,
            octal ? "%s: --%s=%s: must be an octal number, 0%o to 0%o\n"
                  : "%s: --%s=%s: must be a number, %u to %u\n",
            program, row->name, text, row->min, row->max);
    return -1;
}

static int parse_choice(const char *program, const struct option_row *row, const char *text)
{
    const char *word = row->argument;

    for (unsigned i = 0;; ++i) {
        const size_t len = strcspn(word, "|");
        if (len == strlen(text) && memcmp(word, text, len) == 0) {
            *(unsigned *)row->value = i;
            return 0;
        }
        if (!word[len])
            break;
        word += len + 1;
    }
    fprintf(stderr, "%s: --%s=%s: must be one of %s\n", program, row->name, text, row->argument);
    return -1;
}

/* The bit of the protocol feature whose name these `len` bytes are; -1: none. */
static int find_protocol_feature(const char *text, size_t len)
{
    for (int bit = 0; bit < 64; ++bit) {
        const char *name = vhu_protocol_feature_name((unsigned)bit);
        if (name && strlen(name) == len && memcmp(name, text, len) == 0)
            return bit;
    }
    return -1;
}

static int parse_protocol(const char *program, const struct option_row *row, const char *text)
{
    uint64_t features = 0;
    const char *name = text;

    for (;;) {
        const size_t len = strcspn(name, ",");
        const int bit = find_protocol_feature(name, len);
        if (bit < 0) {
            fprintf(stderr, "%s: --%s=%s: there is no protocol feature '%.*s'\n", program,
                    row->name, text, (int)len, name);
            return -1;
        }
        features |= VHU_BIT(bit);
        if (!name[len])
            break;
        name += len + 1;
    }
    *(uint64_t *)row->value = features;
    return 0;
}

static int parse_row(const char *program, const struct option_row *row, const char *text)
{
    switch (row->kind) {
    case OPTION_FLAG:
        *(bool *)row->value = true;
        return 0;
    case OPTION_TEXT:
        *(const char **)row->value = text;
        return 0;
    case OPTION_NUMBER:
    case OPTION_MODE:
        return parse_number(program, row, text);
    case OPTION_CHOICE:
        return parse_choice(program, row, text);
    case OPTION_PROTOCOL:
        return parse_protocol(program, row, text);
    }
    return -1;
}

static int complain(const char *program, const char *word, const char *what)
{
    fprintf(stderr, "%s: %s: %s (see --help)\n", program, word, what);
    return -1;
}

static const struct option_row *find_row(const struct option_row *rows, size_t num_rows,
                                         const char *name, size_t len)
{
    for (size_t i = 0; i < num_rows; ++i)
        if (strlen(rows[i].name) == len && memcmp(rows[i].name, name, len) == 0)
            return &rows[i];
    return NULL;
}

/* One option, whose argument may be `next`; how many words it takes, or -1. */
static int parse_option(const char *program, const struct option_row *rows, size_t num_rows,
                        const char *word, const char *next)
{
    const char *name = word + 2;
    const size_t len = word[1] == '-' ? strcspn(name, "=") : 0;
    const struct option_row *row = find_row(rows, num_rows, name, len);
    const char *text = len && name[len] ? name + len + 1 : NULL;
    int words = 1;

    if (!row)
        return complain(program, word, "no such option");
    if (row->kind == OPTION_FLAG && text)
        return complain(program, word, "the option takes no argument");
    if (row->kind != OPTION_FLAG && !text) {
        text = next;
        words = 2;
        if (!text)
            return complain(program, word, "the option needs an argument");
    }
    return parse_row(program, row, text) ? -1 : words;
}

int options_parse_operands(const char *program, const struct option_row *rows, size_t num_rows,
                           int argc, char **argv, int *first)
{
    int num = 0; /* operands so far: they gather behind the program's name */
    int i = 1;

    while (i < argc && strcmp(argv[i], "--") != 0) {
        if (argv[i][0] != '-' || !argv[i][1]) {
            argv[1 + num++] = argv[i++];
            continue;
        }
        const int words =
            parse_option(program, rows, num_rows, argv[i], i + 1 < argc ? argv[i + 1] : NULL);
        if (words < 0)
            return -1;
        i += words;
    }
    for (++i; i < argc; ++i)
        argv[1 + num++] = argv[i];
    *first = argc - num;
    memmove(argv + *first, argv + 1, (size_t)num * sizeof *argv);
    return 0;
}

int options_parse(const char *program, const struct option_row *rows, size_t num_rows, int argc,
                  char **argv)
{
    int first;

    if (options_parse_operands(program, rows, num_rows, argc, argv, &first))
        return -1;
    if (first < argc) {
        fprintf(stderr, "%s: '%s': not an option (see --help)\n", program, argv[first]);
        return -1;
    }
    return 0;
}

void options_help(const struct option_row *rows, size_t num_rows)
{
    for (size_t i = 0; i < num_rows; ++i) {
        char left[160];
        const char *argument = rows[i].argument;
        snprintf(left, sizeof left, "--%s%s%s", rows[i].name, argument ? "=" : "",
                 argument ? argument : "");
        printf("  %-36s %s\n", left, rows[i].help);
    }
}
