/* SPDX-License-Identifier: BSD-3-Clause */
/* What compilers can be told, where they listen. */
#ifndef TOOLS_ATTRIBUTES_H
#define TOOLS_ATTRIBUTES_H

/* A format of C's own, whatever the system's library thinks of them, and its arguments. */
#if defined(__clang__)
#define TOOL_PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#elif defined(__GNUC__)
#define TOOL_PRINTF(text, first) __attribute__((__format__(__gnu_printf__, text, first)))
#else
#define TOOL_PRINTF(text, first)
#endif

#endif
