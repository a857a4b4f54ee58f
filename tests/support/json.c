/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/json.h"

#include <ctype.h>
#include <stddef.h>
#include <string.h>

/* Each takes what it knows from *p on; false: it is not there, or wrong. */
static bool take_value(const char **p, int depth);

enum { MAX_DEPTH = 32 };

static bool take(const char **p, char c)
{
    *p += strspn(*p, " \t\r\n");
    if (**p != c)
        return false;
    ++*p;
    return true;
}

static bool take_escape(const char **p)
{
    const char c = *(*p)++;

    if (c == 'u') {
        for (int i = 0; i < 4; ++i)
            if (!isxdigit((unsigned char)*(*p)++))
                return false;
        return true;
    }
    return c != '\0' && strchr("\"\\/bfnrt", c) != NULL;
}

static bool take_string(const char **p)
{
    if (!take(p, '"'))
        return false;
    for (;;) {
        const unsigned char c = (unsigned char)*(*p)++;
        if (c == '"')
            return true;
        if (c < 0x20 || (c == '\\' && !take_escape(p)))
            return false;
    }
}

static bool take_digits(const char **p)
{
    const size_t n = strspn(*p, "0123456789");

    *p += n;
    return n > 0;
}

static bool take_number(const char **p)
{
    *p += **p == '-';
    if (**p == '0' && isdigit((unsigned char)(*p)[1]))
        return false;
    if (!take_digits(p))
        return false;
    if (**p == '.' && (++*p, !take_digits(p)))
        return false;
    if (**p != 'e' && **p != 'E')
        return true;
    ++*p;
    *p += **p == '+' || **p == '-';
    return take_digits(p);
}

/* An object or a list, behind its opening bracket. */
static bool take_members(const char **p, char end, int depth)
{
    if (take(p, end))
        return true;
    do {
        if (end == '}' && (!take_string(p) || !take(p, ':')))
            return false;
        if (!take_value(p, depth + 1))
            return false;
    } while (take(p, ','));
    return take(p, end);
}

static bool take_value(const char **p, int depth)
{
    static const char *const words[] = {"null", "true", "false"};

    if (depth > MAX_DEPTH)
        return false;
    if (take(p, '{'))
        return take_members(p, '}', depth);
    if (take(p, '['))
        return take_members(p, ']', depth);
    if (**p == '"')
        return take_string(p);
    for (size_t i = 0; i < sizeof words / sizeof words[0]; ++i) {
        const size_t len = strlen(words[i]);
        if (strncmp(*p, words[i], len) == 0) {
            *p += len;
            return true;
        }
    }
    return take_number(p);
}

bool json_is_valid(const char *text)
{
    if (!take_value(&text, 0))
        return false;
    return text[strspn(text, " \t\r\n")] == 0;
}
