/* SPDX-License-Identifier: BSD-3-Clause */
/* Byte orders of what lies in guest memory: from the host's, and back. Free where it is the same.
 */
#ifndef VHU_ENDIAN_H
#define VHU_ENDIAN_H

#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define VHU__BIG_ENDIAN 1
#else
#define VHU__BIG_ENDIAN 0
#endif

static inline uint16_t vhu__swap16(uint16_t x)
{
    return (uint16_t)((x >> 8) | (x << 8));
}

static inline uint32_t vhu__swap32(uint32_t x)
{
    return ((uint32_t)vhu__swap16((uint16_t)x) << 16) | vhu__swap16((uint16_t)(x >> 16));
}

static inline uint64_t vhu__swap64(uint64_t x)
{
    return ((uint64_t)vhu__swap32((uint32_t)x) << 32) | vhu__swap32((uint32_t)(x >> 32));
}

static inline uint16_t vhu__le16(uint16_t x)
{
    return VHU__BIG_ENDIAN ? vhu__swap16(x) : x;
}

static inline uint32_t vhu__le32(uint32_t x)
{
    return VHU__BIG_ENDIAN ? vhu__swap32(x) : x;
}

static inline uint64_t vhu__le64(uint64_t x)
{
    return VHU__BIG_ENDIAN ? vhu__swap64(x) : x;
}

static inline uint16_t vhu__be16(uint16_t x)
{
    return VHU__BIG_ENDIAN ? x : vhu__swap16(x);
}

static inline uint32_t vhu__be32(uint32_t x)
{
    return VHU__BIG_ENDIAN ? x : vhu__swap32(x);
}

static inline uint64_t vhu__be64(uint64_t x)
{
    return VHU__BIG_ENDIAN ? x : vhu__swap64(x);
}

#endif
