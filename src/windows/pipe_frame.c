/* SPDX-License-Identifier: BSD-3-Clause */
#include "pipe_frame.h"

#include <string.h>

static const uint8_t magic[4] = {'V', 'U', 'W', '1'};

/* --- integers --- */

static uint64_t load(const uint8_t *bytes, size_t size)
{
    uint64_t value = 0;

    for (size_t i = size; i > 0; i--)
        value = (value << 8) | bytes[i - 1];
    return value;
}

static void store(uint8_t *bytes, size_t size, uint64_t value)
{
    for (size_t i = 0; i < size; i++, value >>= 8)
        bytes[i] = (uint8_t)value;
}

/* --- frames --- */

size_t vhu__frame_size(const vhu__frame *frame)
{
    return VHU__FRAME_HEAD + frame->num_handles * sizeof(uint64_t) + frame->len;
}

/* How much of each, by type. */
static const struct {
    uint32_t min_len;
    uint32_t max_len;
    uint16_t max_handles;
} limits[] = {
    [VHU__FRAME_TYPE_HELLO] = {VHU__FRAME_HELLO, VHU__FRAME_HELLO_MAX, 0},
    [VHU__FRAME_TYPE_PROOF] = {0, 0, 1},
    [VHU__FRAME_TYPE_MSG] = {1, VHU__FRAME_CONTENT, VHU__FRAME_HANDLES},
    [VHU__FRAME_TYPE_BYE] = {VHU__FRAME_NUMBER, VHU__FRAME_NUMBER, 0},
    [VHU__FRAME_TYPE_TAKEN] = {VHU__FRAME_NUMBER, VHU__FRAME_NUMBER, 0},
};

bool vhu__frame_load(vhu__frame *frame, const uint8_t *head)
{
    uint8_t type = head[4];
    uint8_t owner = head[5];

    if (memcmp(head, magic, sizeof(magic)) != 0 || load(head + 12, 4) != 0)
        return false;
    if (type < VHU__FRAME_TYPE_HELLO || type > VHU__FRAME_TYPE_TAKEN)
        return false;
    *frame = (vhu__frame){.type = (vhu__frame_type)type,
                          .owner = (vhu__frame_owner)owner,
                          .num_handles = (uint16_t)load(head + 6, 2),
                          .len = (uint32_t)load(head + 8, 4)};
    if (frame->num_handles == 0
            ? owner != VHU__FRAME_OWNER_NONE
            : owner != VHU__FRAME_OWNER_RECIPIENT && owner != VHU__FRAME_OWNER_SENDER)
        return false;
    return frame->len >= limits[type].min_len && frame->len <= limits[type].max_len &&
           frame->num_handles <= limits[type].max_handles;
}

uint64_t vhu__frame_load_value(const uint8_t *bytes, size_t i)
{
    return load(bytes + VHU__FRAME_HEAD + i * sizeof(uint64_t), sizeof(uint64_t));
}

uint8_t *vhu__frame_store(uint8_t *bytes, const vhu__frame *frame, const uint64_t *values)
{
    memcpy(bytes, magic, sizeof(magic));
    bytes[4] = (uint8_t)frame->type;
    bytes[5] = (uint8_t)frame->owner;
    store(bytes + 6, 2, frame->num_handles);
    store(bytes + 8, 4, frame->len);
    store(bytes + 12, 4, 0);
    bytes += VHU__FRAME_HEAD;
    for (size_t i = 0; i < frame->num_handles; i++, bytes += sizeof(uint64_t))
        store(bytes, sizeof(uint64_t), values[i]);
    return bytes;
}

/* --- contents --- */

void vhu__hello_store(uint8_t *bytes, const vhu__hello *hello)
{
    store(bytes, 2, hello->version_min);
    store(bytes + 2, 2, hello->version_max);
    store(bytes + 4, 4, hello->caps);
    store(bytes + 8, 4, hello->pid);
    store(bytes + 12, 4, 0);
    memcpy(bytes + 16, hello->nonce, sizeof(hello->nonce));
}

bool vhu__hello_load(vhu__hello *hello, const uint8_t *bytes, size_t len)
{
    if (len < VHU__FRAME_HELLO)
        return false;
    hello->version_min = (uint16_t)load(bytes, 2);
    hello->version_max = (uint16_t)load(bytes + 2, 2);
    hello->caps = (uint32_t)load(bytes + 4, 4);
    hello->pid = (uint32_t)load(bytes + 8, 4);
    memcpy(hello->nonce, bytes + 16, sizeof(hello->nonce));
    return hello->version_min <= hello->version_max;
}

uint32_t vhu__number_load(const uint8_t *bytes)
{
    return (uint32_t)load(bytes, 4);
}

void vhu__number_store(uint8_t *bytes, uint32_t number)
{
    store(bytes, 4, number);
}
