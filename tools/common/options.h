/* SPDX-License-Identifier: BSD-3-Clause */
/* Command lines from a table: one row makes parsing, checking, message and help. */
#ifndef TOOLS_OPTIONS_H
#define TOOLS_OPTIONS_H

#include <stddef.h>

enum option_kind {
    OPTION_FLAG,    /* bool; takes no argument */
    OPTION_TEXT,    /* const char *, points into argv */
    OPTION_NUMBER,  /* unsigned, decimal, min .. max */
    OPTION_MODE,    /* unsigned, octal, min .. max */
    OPTION_CHOICE,  /* unsigned, the word's place in `argument`, such as "auto|io_uring|uv" */
    OPTION_PROTOCOL /* uint64_t, protocol features by their names, such as "MQ,CONFIG" */
};

struct option_row {
    const char *name;
    enum option_kind kind;
    void *value; /* written only if the option is given */
    const char *argument;
    const char *help;
    unsigned min;
    unsigned max;
};

/* 0, or -1 with a message on stderr that names the option and what is wrong with it. */
int options_parse(const char *program, const struct option_row *rows, size_t num_rows, int argc,
                  char **argv);

/*
 * The same for a program that takes words which are no options: they are moved to the end of argv,
 * *first is the place of the first of them, argc if there is none. Whatever follows "--" is one.
 */
int options_parse_operands(const char *program, const struct option_row *rows, size_t num_rows,
                           int argc, char **argv, int *first);

/* One line for each row, on stdout. */
void options_help(const struct option_row *rows, size_t num_rows);

/* Word number `choice` of "a|b|c": its length, and *word is set to its beginning. */
int option_choice(const char *words, unsigned choice, const char **word);

#endif
