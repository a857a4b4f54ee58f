/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_inflight_fixture.h"

#include <string.h>

#include "endian.h"

void keeper_open_with(keeper *k, uint64_t features, uint32_t num, uint16_t index)
{
    void *base;

    *k = (keeper){.packed = (features & VHU_BIT(VHU_F_RING_PACKED)) != 0,
                  .area = {.num_queues = AREA_RINGS, .queue_size = AREA_RING_SIZE},
                  .handle = VHU_NO_HANDLE};
    assert_int_equal(vhu__inflight_create(&k->area, k->packed, &k->handle), 0);
    assert_int_equal(
        os_map_shared(&k->map, k->handle, k->area.mmap_offset, k->area.mmap_size, &base), 0);
    k->bytes = base;
    k->rig = rig_new_at(num, features, index);
    vhu_queue_stop(k->rig->queue);
}

void keeper_open(keeper *k, uint32_t num, uint16_t index)
{
    keeper_open_with(k, VHU_BIT(VHU_F_RING_INDIRECT_DESC) | VHU_BIT(VHU_F_RING_EVENT_IDX), num,
                     index);
}

void keeper_close(keeper *k)
{
    keeper_kill(k);
    rig_free(k->rig);
    os_unmap(&k->map);
    vhu_handle_close(&k->handle);
}

int keeper_open_area(keeper *k)
{
    vhu_handle handle;
    int r;

    assert_null(k->inflight);
    assert_int_equal(os_handle_dup(k->handle, &handle), 0);
    r = vhu__inflight_open(&k->inflight, &k->area, k->packed, &handle);
    if (r == 0)
        assert_int_equal(handle, VHU_NO_HANDLE);
    vhu_handle_close(&handle);
    if (r == 0)
        r = vhu__inflight_check(k->inflight);
    if (r < 0)
        keeper_kill(k);
    return r;
}

int keeper_start(keeper *k)
{
    int r = keeper_open_area(k);

    if (r < 0)
        return r;
    assert_int_equal(vhu__inflight_track(k->inflight, 0, k->rig->queue), 0);
    /* Nobody knows that of a packed ring: the front-end has it from the beginning. */
    if (!k->packed)
        k->rig->config.base = vhu__le16(k->rig->ring.used->idx);
    return vhu_queue_start(k->rig->queue, &k->rig->config);
}

void keeper_kill(keeper *k)
{
    vhu_queue_free(k->rig->queue);
    assert_int_equal(vhu_queue_new(&k->rig->queue), 0);
    vhu__inflight_close(k->inflight);
    k->inflight = NULL;
}

uint64_t keeper_get(const keeper *k, size_t offset, size_t size)
{
    uint8_t u8;
    uint16_t u16;
    uint32_t u32;
    uint64_t u64;

    memcpy(&u8, k->bytes + offset, sizeof(u8));
    memcpy(&u16, k->bytes + offset, sizeof(u16));
    memcpy(&u32, k->bytes + offset, sizeof(u32));
    memcpy(&u64, k->bytes + offset, sizeof(u64));
    return size == 1 ? u8 : size == 2 ? u16 : size == 4 ? u32 : u64;
}

void keeper_set(keeper *k, size_t offset, size_t size, uint64_t value)
{
    const uint8_t u8 = (uint8_t)value;
    const uint16_t u16 = (uint16_t)value;
    const uint32_t u32 = (uint32_t)value;

    if (size == sizeof(u8))
        memcpy(k->bytes + offset, &u8, size);
    else if (size == sizeof(u16))
        memcpy(k->bytes + offset, &u16, size);
    else if (size == sizeof(u32))
        memcpy(k->bytes + offset, &u32, size);
    else
        memcpy(k->bytes + offset, &value, sizeof(value));
}

uint64_t keeper_entry(const keeper *k, uint32_t head, size_t offset, size_t size)
{
    return keeper_get(k, keeper_entry_at(k, head, offset), size);
}

size_t keeper_entry_at(const keeper *k, uint32_t head, size_t offset)
{
    return k->packed ? PACKED_ENTRIES + head * (size_t)PACKED_ENTRY + offset
                     : AREA_ENTRIES + head * (size_t)AREA_ENTRY + offset;
}

void keeper_publish(keeper *k, uint32_t n)
{
    driver_ring_publish(&k->rig->ring);
    assert_int_equal(take(k->rig, n), n);
}

void keeper_leave_two_out(keeper *k, bool first_has_table)
{
    assert_int_equal(keeper_start(k), 0);
    add_request(k->rig, first_has_table);
    add_request(k->rig, true);
    add_request(k->rig, true);
    keeper_publish(k, 3);
    vhu_queue_complete(k->rig->queue, &k->rig->chains[1], 1);
    assert_true(driver_ring_reap(&k->rig->ring, NULL) >= 0);
    keeper_kill(k);
}

/* Starts the ring; the word is written before the area is checked, or after that. */
static int start_with(keeper *k, const bad_word *row, bool later)
{
    int r;

    if (!later)
        keeper_set(k, row->offset, row->size, row->value);
    r = keeper_open_area(k);
    assert_int_equal(r, later ? 0 : row->opened);
    if (r < 0)
        return r;
    if (later)
        keeper_set(k, row->offset, row->size, row->value);
    assert_int_equal(vhu__inflight_track(k->inflight, 0, k->rig->queue), 0);
    return vhu_queue_start(k->rig->queue, &k->rig->config);
}

void keeper_try_words(void (*leave)(keeper *k), const bad_word *rows, size_t n)
{
    for (size_t i = 0; i < 2 * n; i++) {
        const bad_word *row = &rows[i / 2];
        const bool later = i % 2;
        const int expected = later || row->opened == 0 ? row->started : row->opened;
        const bool runs = expected >= 0;
        keeper k;

        leave(&k);
        if (start_with(&k, row, later) != (runs ? 0 : expected))
            fail_msg("row %u", (unsigned)i / 2);
        assert_int_equal(vhu_queue_is_running(k.rig->queue), runs);
        assert_int_equal(vhu__queue_num_again(k.rig->queue), runs ? expected : 0);
        assert_int_equal(take(k.rig, 1), runs ? 1 : VHU_ESTATE);
        if (later)
            assert_int_equal(vhu_queue_error(k.rig->queue)[0] != '\0', !runs);
        keeper_close(&k);
    }
}
