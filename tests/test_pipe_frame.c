/* SPDX-License-Identifier: BSD-3-Clause */
/* What goes over a pipe, as bytes: on every system, since it needs none. */
#include <string.h>

#include "pipe_frame.h"
#include "support/leakcheck.h"
#include "util.h"

enum { NONE = VHU__FRAME_OWNER_NONE, MINE = VHU__FRAME_OWNER_RECIPIENT };

/* --- heads --- */

static void test_good_heads(void **state)
{
    static const struct {
        vhu__frame frame;
        size_t size;
    } rows[] = {
        {{VHU__FRAME_TYPE_HELLO, VHU__FRAME_OWNER_NONE, 0, VHU__FRAME_HELLO}, 64},
        {{VHU__FRAME_TYPE_HELLO, VHU__FRAME_OWNER_NONE, 0, VHU__FRAME_HELLO_MAX}, 272},
        {{VHU__FRAME_TYPE_PROOF, VHU__FRAME_OWNER_RECIPIENT, 1, 0}, 24},
        {{VHU__FRAME_TYPE_PROOF, VHU__FRAME_OWNER_SENDER, 1, 0}, 24},
        {{VHU__FRAME_TYPE_MSG, VHU__FRAME_OWNER_NONE, 0, 1}, 17},
        {{VHU__FRAME_TYPE_MSG, VHU__FRAME_OWNER_SENDER, VHU__FRAME_HANDLES, VHU__FRAME_CONTENT},
         16 + 256 + 65548},
        {{VHU__FRAME_TYPE_BYE, VHU__FRAME_OWNER_NONE, 0, VHU__FRAME_NUMBER}, 20},
        {{VHU__FRAME_TYPE_TAKEN, VHU__FRAME_OWNER_NONE, 0, VHU__FRAME_NUMBER}, 20},
    };
    uint64_t values[VHU__FRAME_HANDLES];

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(values); i++)
        values[i] = i << 56 | (i + 1) * 4;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        uint8_t bytes[VHU__FRAME_HEAD + sizeof(values) + 1];
        const size_t before = VHU__FRAME_HEAD + rows[i].frame.num_handles * sizeof(uint64_t);
        vhu__frame frame;

        memset(bytes, 0xee, sizeof(bytes));
        assert_ptr_equal(vhu__frame_store(bytes, &rows[i].frame, values), bytes + before);
        assert_int_equal(bytes[before], 0xee);
        assert_true(vhu__frame_load(&frame, bytes));
        assert_int_equal(frame.type, rows[i].frame.type);
        assert_int_equal(frame.owner, rows[i].frame.owner);
        assert_int_equal(frame.num_handles, rows[i].frame.num_handles);
        assert_int_equal(frame.len, rows[i].frame.len);
        assert_int_equal(vhu__frame_size(&frame), rows[i].size);
        for (size_t k = 0; k < frame.num_handles; k++)
            assert_true(vhu__frame_load_value(bytes, k) == values[k]);
    }
}

/* Byte by byte, so that both ends of other machines and versions agree. */
static void test_layout(void **state)
{
    static const uint8_t expected[] = {'V', 'U', 'W',  '1',  3,    2,    2, 0, 5, 0, 0,
                                       0,   0,   0,    0,    0,    0x34, 0, 0, 0, 0, 0,
                                       0,   0,   0xfc, 0xff, 0xff, 0x7f, 0, 0, 0, 0};
    const vhu__frame frame = {VHU__FRAME_TYPE_MSG, VHU__FRAME_OWNER_SENDER, 2, 5};
    const uint64_t values[] = {0x34, 0x7ffffffc};
    uint8_t bytes[sizeof(expected)];

    (void)state;
    vhu__frame_store(bytes, &frame, values);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void test_bad_heads(void **state)
{
    /* As they follow the magic: type, owner, handles, length, reserved. */
    static const uint8_t rows[][12] = {
        {0, NONE, 0, 0, 4, 0, 0, 0}, /* types that there are not */
        {6, NONE, 0, 0, 4, 0, 0, 0},
        {255, NONE, 0, 0, 4, 0, 0, 0},
        {1, NONE, 0, 0, 47, 0, 0, 0}, /* too short, too long */
        {1, NONE, 0, 0, 1, 1, 0, 0},
        {2, MINE, 1, 0, 1, 0, 0, 0},
        {3, NONE, 0, 0, 0, 0, 0, 0},
        {3, NONE, 0, 0, 13, 0, 1, 0},
        {3, NONE, 0, 0, 255, 255, 255, 255},
        {4, NONE, 0, 0, 3, 0, 0, 0},
        {5, NONE, 0, 0, 5, 0, 0, 0},
        {1, MINE, 1, 0, 48, 0, 0, 0}, /* handles that may not be there */
        {4, MINE, 1, 0, 4, 0, 0, 0},
        {5, MINE, 1, 0, 4, 0, 0, 0},
        {2, MINE, 2, 0, 0, 0, 0, 0},
        {3, MINE, 33, 0, 1, 0, 0, 0},
        {3, MINE, 0, 1, 1, 0, 0, 0},
        {3, NONE, 1, 0, 1, 0, 0, 0}, /* whose? */
        {3, 3, 1, 0, 1, 0, 0, 0},
        {3, MINE, 0, 0, 1, 0, 0, 0},
        {1, NONE, 0, 0, 48, 0, 0, 0, 1, 0, 0, 0}, /* reserved */
        {1, NONE, 0, 0, 48, 0, 0, 0, 0, 0, 0, 0x80},
    };
    uint8_t head[VHU__FRAME_HEAD] = {'V', 'U', 'W', '1', 1, NONE, 0, 0, 48};
    vhu__frame frame;

    (void)state;
    assert_true(vhu__frame_load(&frame, head));
    for (size_t i = 0; i < 4; i++) {
        head[i] ^= 0x20;
        assert_false(vhu__frame_load(&frame, head));
        head[i] ^= 0x20;
    }
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        memcpy(head + 4, rows[i], sizeof(rows[i]));
        assert_false(vhu__frame_load(&frame, head));
    }
}

/* --- contents --- */

static void test_hello(void **state)
{
    vhu__hello hello = {.version_min = 1, .version_max = 0x203, .caps = 7, .pid = 0xfedcba98};
    uint8_t bytes[VHU__FRAME_HELLO_MAX] = {0};
    vhu__hello got;

    (void)state;
    memset(hello.nonce, 0x5a, sizeof(hello.nonce));
    vhu__hello_store(bytes, &hello);
    /* A later version may say more, and what is reserved may mean something. */
    for (size_t len = VHU__FRAME_HELLO; len <= VHU__FRAME_HELLO_MAX; len += 104) {
        memset(bytes + 12, (int)len, 4);
        assert_true(vhu__hello_load(&got, bytes, len));
        assert_int_equal(got.version_min, hello.version_min);
        assert_int_equal(got.version_max, hello.version_max);
        assert_int_equal(got.caps, hello.caps);
        assert_int_equal(got.pid, hello.pid);
        assert_memory_equal(got.nonce, hello.nonce, sizeof(hello.nonce));
    }
    assert_false(vhu__hello_load(&got, bytes, VHU__FRAME_HELLO - 1));
    hello.version_min = 0x204;
    vhu__hello_store(bytes, &hello);
    assert_false(vhu__hello_load(&got, bytes, VHU__FRAME_HELLO));
}

static void test_numbers(void **state)
{
    static const uint32_t numbers[] = {0, 1, 0x12345678, UINT32_MAX};
    static const uint8_t third[] = {0x78, 0x56, 0x34, 0x12};
    uint8_t bytes[VHU__FRAME_NUMBER];

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(numbers); i++) {
        vhu__number_store(bytes, numbers[i]);
        assert_int_equal(vhu__number_load(bytes), numbers[i]);
    }
    vhu__number_store(bytes, numbers[2]);
    assert_memory_equal(bytes, third, sizeof(third));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_good_heads), leakcheck_test(test_layout),
        leakcheck_test(test_bad_heads),  leakcheck_test(test_hello),
        leakcheck_test(test_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
