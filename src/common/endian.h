/* SPDX-License-Identifier: BSD-3-Clause */
/* Little-endian loads and stores for what lies in guest memory; free on little-endian hosts. */
#ifndef VHU_ENDIAN_H
#define VHU_ENDIAN_H

#include <stdint.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define VHU__BIG_ENDIAN 1
#else
#define VHU__BIG_ENDIAN 0
#endif

static inline uint16_t vhu__le16(uint16_t x)
{
    return VHU__BIG_ENDIAN ? (uint16_t)((x >> 8) | (x << 8)) : x;
}

static inline uint32_t vhu__le32(uint32_t x)
{
    if (!VHU__BIG_ENDIAN)
        return x;
    return ((uint32_t)vhu__le16((uint16_t)x) << 16) | vhu__le16((uint16_t)(x >> 16));
}

static inline uint64_t vhu__le64(uint64_t x)
{
    if (!VHU__BIG_ENDIAN)
        return x;
    return ((uint64_t)vhu__le32((uint32_t)x) << 32) | vhu__le32((uint32_t)(x >> 32));
}

#endif
