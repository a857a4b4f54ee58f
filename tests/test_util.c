/* SPDX-License-Identifier: BSD-3-Clause */
#include "util.h"

#include <vmm_vhost/conn.h>

#include "support/leakcheck.h"

/* A structure of today, of a caller before `second` was appended, and of one after `third` was. */
typedef struct today {
    size_t size;
    uint64_t first;
    uint64_t second;
} today;

typedef struct tomorrow {
    today known;
    uint64_t third;
} tomorrow;

static void test_versions(void **state)
{
    static const struct {
        size_t size;
        uint64_t third;
        bool taken;
        uint64_t first, second;
    } cases[] = {
        {sizeof(today), 0, true, 1, 2},
        {sizeof(today), 3, true, 1, 2}, /* what is behind is not the caller's */
        {offsetof(today, second), 0, true, 1, 0},
        {offsetof(today, first), 0, true, 0, 0},
        {sizeof(tomorrow), 0, true, 1, 2},
        {sizeof(tomorrow), 3, false, 0, 0},
        {sizeof(size_t) - 1, 0, false, 0, 0},
        {0, 0, false, 0, 0},
        {SIZE_MAX, 0, false, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(cases); i++) {
        const tomorrow in = {{cases[i].size, 1, 2}, cases[i].third};
        today out = {0, 9, 9};

        assert_int_equal(vhu__copy_sized(&out, sizeof(out), &in), cases[i].taken);
        if (!cases[i].taken)
            continue;
        assert_int_equal(out.size, sizeof(out));
        assert_int_equal(out.first, cases[i].first);
        assert_int_equal(out.second, cases[i].second);
    }
}

/* The same through a function of the library. */
static void test_options(void **state)
{
    vhu_conn_options before_log = {.size = offsetof(vhu_conn_options, log)};
    struct {
        vhu_conn_options known;
        void *unknown;
    } after = {{.size = sizeof(after)}, &after};
    vhu_conn *conns[2];

    (void)state;
    assert_int_equal(vhu_conn_pair(conns, &before_log), 0);
    vhu_conn_free(conns[0]);
    vhu_conn_free(conns[1]);
    assert_int_equal(vhu_conn_pair(conns, &after.known), VHU_EINVAL);
    after.unknown = NULL;
    assert_int_equal(vhu_conn_pair(conns, &after.known), 0);
    vhu_conn_free(conns[0]);
    vhu_conn_free(conns[1]);
}

static void test_sums_and_ranges(void **state)
{
    uint64_t sum;

    (void)state;
    assert_true(vhu__add_u64(UINT64_MAX, 0, &sum));
    assert_false(vhu__add_u64(UINT64_MAX, 1, &sum));
    assert_true(vhu__ranges_meet(0, 2, 1, 2));
    assert_false(vhu__ranges_meet(0, 1, 1, 2));
    assert_false(vhu__ranges_meet(5, 1, 1, 4));
    assert_true(vhu__is_power_of_2(UINT64_C(1) << 63));
    assert_false(vhu__is_power_of_2(0));
    assert_false(vhu__is_power_of_2(6));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_versions),
        leakcheck_test(test_options),
        leakcheck_test(test_sums_and_ranges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
