/* SPDX-License-Identifier: BSD-3-Clause */
/* Small things for everybody; the only place for what a compiler has to be told. */
#ifndef VHU_UTIL_H
#define VHU_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define VHU__COUNT(array) (sizeof(array) / sizeof((array)[0]))

#if defined(__GNUC__)
#define vhu__likely(x) __builtin_expect(!!(x), 1)
#define vhu__unlikely(x) __builtin_expect(!!(x), 0)
/* C's own formats, whatever the system's library thinks of them. */
#ifdef __clang__
#define VHU__PRINTF(text, first) __attribute__((__format__(__printf__, text, first)))
#else
#define VHU__PRINTF(text, first) __attribute__((__format__(__gnu_printf__, text, first)))
#endif
#define VHU__ALWAYS_INLINE static inline __attribute__((always_inline))
/* What would take registers from where it is called. */
#define VHU__NEVER_INLINE static __attribute__((noinline))
#else
#define vhu__likely(x) (x)
#define vhu__unlikely(x) (x)
#define VHU__PRINTF(text, first)
#define VHU__ALWAYS_INLINE static inline
#define VHU__NEVER_INLINE static
#endif

/* *sum = a + b; false if that is over 64 bits. */
static inline bool vhu__add_u64(uint64_t a, uint64_t b, uint64_t *sum)
{
    *sum = a + b;
    return *sum >= a;
}

/* Whether [a, a + a_len) and [b, b + b_len) meet; neither wraps. */
static inline bool vhu__ranges_meet(uint64_t a, uint64_t a_len, uint64_t b, uint64_t b_len)
{
    return a < b + b_len && b < a + a_len;
}

static inline bool vhu__is_power_of_2(uint64_t x)
{
    return x != 0 && (x & (x - 1)) == 0;
}

/* The earlier of two times, 0 being none. */
static inline uint64_t vhu__earlier(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Milliseconds until a time, 0 if it has passed; -1: none. */
static inline int vhu__ms_until(uint64_t time, uint64_t now)
{
    if (time == 0)
        return -1;
    return now < time ? (int)(time - now) : 0;
}

/* No structure of any version is as large. */
#define VHU__SIZED_MAX 4096u

/*
 * Copy a structure led by its size from a caller of another version: `known` bytes at `out`, which
 * hold this version's size, from `in`. What the caller does not have becomes zero. False if it has
 * members beyond `known` that are not zero.
 */
static inline bool vhu__copy_sized(void *out, size_t known, const void *in)
{
    size_t size;

    memcpy(&size, in, sizeof(size));
    if (size < sizeof(size) || size > VHU__SIZED_MAX)
        return false;
    for (size_t i = known; i < size; i++) {
        if (((const unsigned char *)in)[i] != 0)
            return false;
    }
    memset(out, 0, known);
    memcpy(out, in, size < known ? size : known);
    memcpy(out, &known, sizeof(known));
    return true;
}

#endif
