/* SPDX-License-Identifier: BSD-3-Clause */
#include "handles.h"
#include "os.h"
#include "support/pair.h"
#include "support/sys.h"

static vhu__handles set;

static void push(size_t n, uint64_t position)
{
    vhu_handle handles[VHU__HANDLES_MAX];

    handles_open(handles, n);
    assert_true(vhu__handles_push(&set, handles, n, position));
    for (size_t i = 0; i < n; i++)
        assert_int_equal(handles[i], VHU_NO_HANDLE);
}

static void test_take_by_position(void **state)
{
    vhu_handle out[8];
    vhu_handle second;

    (void)state;
    push(1, 5);
    push(2, 9);
    push(1, UINT64_C(1) << 40);
    second = set.handle[1];
    assert_int_equal(vhu__handles_take(&set, 5, out, 8), 0);
    assert_int_equal(vhu__handles_take(&set, 6, out, 8), 1);
    handles_close(out, 1);
    assert_int_equal(vhu__handles_take(&set, 10, out, 8), 2);
    assert_int_equal(out[0], second);
    handles_close(out, 2);
    assert_int_equal(set.count, 1);
    assert_int_equal(vhu__handles_take(&set, UINT64_MAX, out, 8), 1);
    handles_close(out, 1);
    assert_int_equal(vhu__handles_take(&set, UINT64_MAX, out, 8), 0);
}

/* Those for which there is no room are counted and closed. */
static void test_take_without_room(void **state)
{
    vhu_handle out[2];

    (void)state;
    push(5, 1);
    push(1, 2);
    assert_int_equal(vhu__handles_take(&set, 2, out, 2), 5);
    assert_int_equal(set.count, 1);
    handles_close(out, 2);
    assert_int_equal(vhu__handles_take(&set, 3, NULL, 0), 1);
    assert_int_equal(set.count, 0);
}

static void test_bound(void **state)
{
    vhu_handle more[2];

    (void)state;
    push(VHU__HANDLES_MAX - 1, 1);
    handles_open(more, 2);
    assert_false(vhu__handles_push(&set, more, 2, 2));
    assert_int_equal(more[0], VHU_NO_HANDLE);
    assert_int_equal(more[1], VHU_NO_HANDLE);
    assert_int_equal(set.count, VHU__HANDLES_MAX - 1);
    push(1, 2);
    assert_true(vhu__handles_push(&set, NULL, 0, 3));
    vhu__handles_drop(&set, 0);
    vhu__handles_drop(&set, 3);
    assert_int_equal(set.count, VHU__HANDLES_MAX - 3);
    vhu__handles_clear(&set);
    assert_int_equal(set.count, 0);
    vhu__handles_clear(&set);
}

static void test_close(void **state)
{
    vhu_handle handle = VHU_NO_HANDLE;
    vhu_handle same;

    (void)state;
    vhu_handle_close(&handle);
    handles_open(&handle, 1);
    same = handle;
    sys_error_set(25);
    vhu_handle_close(&handle);
    assert_int_equal(sys_error(), 25);
    assert_int_equal(handle, VHU_NO_HANDLE);
    assert_false(sys_handle_is_open(same));
    sys_error_set(25);
    handle = same;
    vhu_handle_close(&handle); /* was closed already: the error is kept all the same */
    assert_int_equal(sys_error(), 25);
}

static void test_dup(void **state)
{
    vhu_handle handle[1];
    vhu_handle copy;

    (void)state;
    handles_open(handle, 1);
    assert_int_equal(os_handle_dup(handle[0], &copy), 0);
    assert_int_not_equal(copy, handle[0]);
    assert_true(sys_handles_same(copy, handle[0]));
    assert_false(sys_handle_is_inherited(copy));
    vhu_handle_close(&copy);
    handles_close(handle, 1);
    assert_int_equal(os_handle_dup(VHU_NO_HANDLE, &copy), VHU_EINVAL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_take_by_position),
        leakcheck_test(test_take_without_room),
        leakcheck_test(test_bound),
        leakcheck_test(test_close),
        leakcheck_test(test_dup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
