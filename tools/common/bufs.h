/* SPDX-License-Identifier: BSD-3-Clause */
/* Walking along scattered memory. */
#ifndef BUFS_H
#define BUFS_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <vmm_vhost/types.h>

struct bufs {
    vhu_buf *at;
    uint32_t num;
};

/* Copy up to `len` bytes from or to the beginning; returns how many. */
static inline size_t bufs_read(const struct bufs *bufs, void *to, size_t len)
{
    size_t done = 0;

    for (uint32_t i = 0; i < bufs->num && done < len; ++i) {
        const size_t n = bufs->at[i].len < len - done ? bufs->at[i].len : len - done;
        memcpy((uint8_t *)to + done, bufs->at[i].base, n);
        done += n;
    }
    return done;
}

static inline size_t bufs_write(const struct bufs *bufs, const void *from, size_t len)
{
    size_t done = 0;

    for (uint32_t i = 0; i < bufs->num && done < len; ++i) {
        const size_t n = bufs->at[i].len < len - done ? bufs->at[i].len : len - done;
        memcpy(bufs->at[i].base, (const uint8_t *)from + done, n);
        done += n;
    }
    return done;
}

/* Drop `len` bytes from the beginning. */
static inline void bufs_skip(struct bufs *bufs, size_t len)
{
    while (bufs->num > 0 && bufs->at->len <= len) {
        len -= bufs->at->len;
        ++bufs->at;
        --bufs->num;
    }
    if (bufs->num > 0) {
        bufs->at->base = (uint8_t *)bufs->at->base + len;
        bufs->at->len -= len;
    }
}

/* Drop the last byte; returns where it is, NULL if there is none. */
static inline uint8_t *bufs_drop_last(struct bufs *bufs)
{
    while (bufs->num > 0 && bufs->at[bufs->num - 1].len == 0)
        --bufs->num;
    if (bufs->num == 0)
        return NULL;

    vhu_buf *last = &bufs->at[bufs->num - 1];
    if (--last->len == 0)
        --bufs->num;
    return (uint8_t *)last->base + last->len;
}

#endif
