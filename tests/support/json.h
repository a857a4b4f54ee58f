/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether a text is one JSON value (RFC 8259), and nothing else. */
#ifndef TEST_JSON_H
#define TEST_JSON_H

#include <stdbool.h>

bool json_is_valid(const char *text);

#endif
