/* SPDX-License-Identifier: BSD-3-Clause */
#include "options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_ROWS = 32 };

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
    }
    return -1;
}

int options_parse_operands(const char *program, const struct option_row *rows, size_t num_rows,
                           int argc, char **argv, int *first)
{
    struct option table[MAX_ROWS + 1] = {{0}};
    int index;
    int found;

    if (num_rows > MAX_ROWS)
        return -1;
    for (size_t i = 0; i < num_rows; ++i) {
        table[i].name = rows[i].name;
        table[i].has_arg = rows[i].kind == OPTION_FLAG ? no_argument : required_argument;
    }
    opterr = 0;
    while ((found = getopt_long(argc, argv, ":", table, &index)) != -1) {
        if (found == 0) {
            if (parse_row(program, &rows[index], optarg))
                return -1;
            continue;
        }
        /* A flag with "=value" is told as an unknown option, too. */
        fprintf(stderr, "%s: %s: %s (see --help)\n", program, argv[optind - 1],
                found == ':' ? "the option needs an argument" : "no such option");
        return -1;
    }
    *first = optind;
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
