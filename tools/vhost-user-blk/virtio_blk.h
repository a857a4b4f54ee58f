/* SPDX-License-Identifier: BSD-3-Clause */
/* What virtio 1.3 fixes in 5.2 "Block Device". All integers on the wire are little-endian. */
#ifndef VIRTIO_BLK_H
#define VIRTIO_BLK_H

#include <stdint.h>

/* Feature bits, by number. */
enum {
    BLK_F_SEG_MAX = 2,
    BLK_F_RO = 5,
    BLK_F_BLK_SIZE = 6,
    BLK_F_FLUSH = 9,
    BLK_F_TOPOLOGY = 10,
    BLK_F_CONFIG_WCE = 11,
    BLK_F_MQ = 12,
    BLK_F_DISCARD = 13,
    BLK_F_WRITE_ZEROES = 14
};

/* Offsets in the configuration. */
enum {
    BLK_CONFIG_CAPACITY = 0,                  /* le64 sectors */
    BLK_CONFIG_SEG_MAX = 12,                  /* le32 */
    BLK_CONFIG_BLK_SIZE = 20,                 /* le32 bytes */
    BLK_CONFIG_PHYSICAL_BLOCK_EXP = 24,       /* u8, log2 of logical blocks */
    BLK_CONFIG_MIN_IO_SIZE = 26,              /* le16 logical blocks */
    BLK_CONFIG_WRITEBACK = 32,                /* u8 */
    BLK_CONFIG_NUM_QUEUES = 34,               /* le16 */
    BLK_CONFIG_MAX_DISCARD_SECTORS = 36,      /* le32 */
    BLK_CONFIG_MAX_DISCARD_SEG = 40,          /* le32 */
    BLK_CONFIG_DISCARD_SECTOR_ALIGNMENT = 44, /* le32 sectors */
    BLK_CONFIG_MAX_WRITE_ZEROES_SECTORS = 48, /* le32 */
    BLK_CONFIG_MAX_WRITE_ZEROES_SEG = 52,     /* le32 */
    BLK_CONFIG_WRITE_ZEROES_MAY_UNMAP = 56,   /* u8 */
    BLK_CONFIG_SIZE = 96                      /* with secure erase and zones */
};

enum {
    BLK_T_IN = 0,
    BLK_T_OUT = 1,
    BLK_T_FLUSH = 4,
    BLK_T_GET_ID = 8,
    BLK_T_DISCARD = 11,
    BLK_T_WRITE_ZEROES = 13
};

enum { BLK_S_OK = 0, BLK_S_IOERR = 1, BLK_S_UNSUPP = 2 };

/* A request begins with: le32 type, le32 reserved, le64 sector. */
enum { BLK_HEADER_SIZE = 16, BLK_HEADER_TYPE = 0, BLK_HEADER_SECTOR = 8 };

/* A segment of DISCARD and WRITE_ZEROES: le64 sector, le32 sectors, le32 flags. */
enum { BLK_SEGMENT_SIZE = 16, BLK_SEGMENT_COUNT = 8, BLK_SEGMENT_FLAGS = 12 };
enum { BLK_SEGMENT_UNMAP = 0x1 };

enum { BLK_ID_SIZE = 20, BLK_SECTOR = 512 };

static inline uint32_t load_le32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t load_le64(const uint8_t *p)
{
    return load_le32(p) | (uint64_t)load_le32(p + 4) << 32;
}

static inline void store_le(uint8_t *p, unsigned bytes, uint64_t value)
{
    for (unsigned i = 0; i < bytes; ++i)
        p[i] = (uint8_t)(value >> (8 * i));
}

#endif
