/* SPDX-License-Identifier: BSD-3-Clause */
/* The device's IOTLB: what is kept of updates and invalidations, and what is found then. */
#include "iotlb.h"

#include <uv.h>

#include "support/leakcheck.h"

enum { RO = VHU_IOTLB_RO, WO = VHU_IOTLB_WO, RW = VHU_IOTLB_RW, PAGE = 4096 };

#define USER UINT64_C(0x7f0000000000)

static vhu__iotlb *make(void)
{
    vhu__iotlb *iotlb;

    assert_int_equal(vhu__iotlb_new(&iotlb), 0);
    assert_int_equal(vhu__iotlb_count(iotlb), 0);
    return iotlb;
}

static vhu_iotlb_msg message(uint64_t iova, uint64_t size, uint64_t user, uint8_t perm)
{
    return (vhu_iotlb_msg){iova, size, user, perm, VHU_IOTLB_UPDATE, {0}};
}

static void update(vhu__iotlb *iotlb, uint64_t iova, uint64_t size, uint64_t user, uint8_t perm)
{
    const vhu_iotlb_msg msg = message(iova, size, user, perm);

    vhu__iotlb_update(iotlb, &msg);
}

/* Pages 0, 1, .. behind each other, in both addresses. */
static void update_pages(vhu__iotlb *iotlb, uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        update(iotlb, i * PAGE, PAGE, USER + i * PAGE, RW);
}

static vhu__iotlb_result look(vhu__iotlb *iotlb, uint64_t iova, uint8_t perm)
{
    vhu__translation t;

    return vhu__iotlb_look(iotlb, iova, 1, perm, &t);
}

static bool has(vhu__iotlb *iotlb, uint64_t iova)
{
    return look(iotlb, iova, RO) == VHU__IOTLB_FOUND;
}

/* Every address of a translation is found, those beside it are not. */
static void test_bounds(void **state)
{
    static const struct {
        uint64_t iova, size, user;
    } rows[] = {
        {0, 1, USER},
        {0, PAGE, 0},
        {0x1000, PAGE, USER + 0x123},
        {0x1001, 3, USER},
        {UINT64_MAX, 1, USER},
        {UINT64_MAX - PAGE + 1, PAGE, UINT64_MAX - PAGE + 1},
        {0, UINT64_MAX, 0},
        {1, UINT64_MAX, 1},
    };

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        uint64_t last = rows[i].iova + rows[i].size - 1;
        vhu__iotlb *iotlb = make();
        vhu__translation t;

        update(iotlb, rows[i].iova, rows[i].size, rows[i].user, RW);
        assert_int_equal(vhu__iotlb_count(iotlb), 1);
        assert_int_equal(vhu__iotlb_look(iotlb, last, UINT64_MAX, RW, &t), VHU__IOTLB_FOUND);
        assert_true(t.iova == rows[i].iova && t.size == rows[i].size);
        assert_true(t.user_addr == rows[i].user && t.perm == RW);
        assert_true(has(iotlb, rows[i].iova));
        assert_false(rows[i].iova > 0 && has(iotlb, rows[i].iova - 1));
        assert_false(last < UINT64_MAX && has(iotlb, last + 1));
        vhu__iotlb_free(iotlb);
    }
}

/* What is no translation is not kept, and harms none. */
static void test_malformed(void **state)
{
    const vhu_iotlb_msg rows[] = {
        message(0x1000, 0, USER, RW),          message(0, 0, 0, RW),
        message(UINT64_MAX, 2, USER, RW),      message(2, UINT64_MAX, 0, RW),
        message(0x1000, PAGE, UINT64_MAX, RW), message(0x1000, PAGE, USER, 0),
        message(0x1000, PAGE, USER, 4),        message(0x1000, PAGE, USER, 255),
    };
    vhu__iotlb *iotlb = make();

    (void)state;
    update(iotlb, 0, UINT64_MAX, 0, RW);
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        assert_false(vhu__iotlb_contradicts(iotlb, &rows[i]));
        vhu__iotlb_update(iotlb, &rows[i]);
        assert_int_equal(vhu__iotlb_count(iotlb), 1);
        assert_true(has(iotlb, 0x1000));
    }
    vhu__iotlb_free(iotlb);
}

static void test_permissions(void **state)
{
    (void)state;
    for (unsigned given = RO; given <= RW; given++) {
        for (unsigned wanted = RO; wanted <= RW; wanted++) {
            vhu__iotlb *iotlb = make();

            update(iotlb, 0x1000, PAGE, USER, (uint8_t)given);
            assert_int_equal(look(iotlb, 0x1000, (uint8_t)wanted),
                             (given & wanted) == wanted ? VHU__IOTLB_FOUND : VHU__IOTLB_DENIED);
            /* Once more, with what was asked for. */
            update(iotlb, 0x1000, PAGE, USER, (uint8_t)wanted);
            assert_int_equal(look(iotlb, 0x1000, (uint8_t)(given | wanted)), VHU__IOTLB_FOUND);
            assert_int_equal(vhu__iotlb_count(iotlb), 1);
            /* Of another translation nothing remains. */
            update(iotlb, 0x1000, PAGE, USER + PAGE, RO);
            assert_int_equal(look(iotlb, 0x1000, WO), VHU__IOTLB_DENIED);
            vhu__iotlb_free(iotlb);
        }
    }
}

/* Four pages are there; an update or an invalidation takes some of them away. */
static void test_overlaps(void **state)
{
    static const struct {
        uint64_t iova, size;
        unsigned left; /* of the pages, by bit */
        bool invalidate_only;
    } rows[] = {
        {0x1000, PAGE, 0xd, false},
        {0x1fff, 1, 0xd, false},
        {0x0fff, 2, 0xc, false},
        {0x0800, 0x2000, 0x8, false},
        {0, 4 * PAGE, 0, false},
        {4 * PAGE, PAGE, 0xf, false},
        {0, UINT64_MAX, 0, false},
        {1, UINT64_MAX, 0, false},
        {PAGE, UINT64_MAX, 0x1, true}, /* wraps */
        {0, 0, 0, true},               /* 2^64 */
        {UINT64_MAX, 1, 0xf, false},
    };

    (void)state;
    for (size_t i = 0; i < 2 * VHU__COUNT(rows); i++) {
        const size_t row = i / 2;
        const bool invalidate = i % 2 == 0;
        vhu__iotlb *iotlb = make();

        if (!invalidate && rows[row].invalidate_only) {
            vhu__iotlb_free(iotlb);
            continue;
        }
        update_pages(iotlb, 4);
        if (invalidate)
            vhu__iotlb_invalidate(iotlb, rows[row].iova, rows[row].size);
        else
            update(iotlb, rows[row].iova, rows[row].size, 1, WO);
        for (uint64_t page = 0; page < 4; page++)
            assert_int_equal(has(iotlb, page * PAGE), rows[row].left >> page & 1);
        if (!invalidate)
            assert_int_equal(look(iotlb, rows[row].iova, WO), VHU__IOTLB_FOUND);
        vhu__iotlb_free(iotlb);
    }
}

static void test_contradictions(void **state)
{
    static const struct {
        uint64_t iova, size, user;
        bool contradicts;
    } rows[] = {
        {0x1000, PAGE, USER + 0x1000, false},
        {0, 4 * PAGE, USER, false},
        {0x1234, 1, USER + 0x1234, false},
        {0x4000, PAGE, USER, false},
        {0x1000, PAGE, USER, true},
        {0x3fff, 2, USER, true},
        {0, UINT64_MAX, 0, true},
    };
    vhu__iotlb *iotlb = make();

    (void)state;
    update_pages(iotlb, 4);
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        const vhu_iotlb_msg msg = message(rows[i].iova, rows[i].size, rows[i].user, RW);

        assert_int_equal(vhu__iotlb_contradicts(iotlb, &msg), rows[i].contradicts);
    }
    vhu__iotlb_free(iotlb);
}

/* Neighbours are one piece if they are so in user addresses, too, and allow what is asked for. */
static void test_pieces(void **state)
{
    vhu__iotlb *iotlb = make();
    vhu__translation t;

    (void)state;
    update_pages(iotlb, 4);
    update(iotlb, 4 * PAGE, PAGE, USER + 4 * PAGE, RO);
    update(iotlb, 5 * PAGE, PAGE, USER, RO);
    assert_int_equal(vhu__iotlb_look(iotlb, 0x1800, 0x1000, RW, &t), VHU__IOTLB_FOUND);
    assert_true(t.iova == 0x1000 && t.size == 2 * PAGE && t.user_addr == USER + 0x1000);
    assert_int_equal(t.perm, RW);
    assert_int_equal(vhu__iotlb_look(iotlb, 0x1800, UINT64_MAX, RW, &t), VHU__IOTLB_FOUND);
    assert_true(t.size == 3 * PAGE);
    assert_int_equal(vhu__iotlb_look(iotlb, 0x1800, UINT64_MAX, RO, &t), VHU__IOTLB_FOUND);
    assert_true(t.size == 4 * PAGE && t.perm == RO);
    vhu__iotlb_invalidate(iotlb, 0x2000, 1);
    assert_int_equal(vhu__iotlb_look(iotlb, 0x1800, UINT64_MAX, RO, &t), VHU__IOTLB_FOUND);
    assert_true(t.size == PAGE);
    vhu__iotlb_clear(iotlb);
    assert_int_equal(vhu__iotlb_count(iotlb), 0);
    assert_false(has(iotlb, 0x1000));
    vhu__iotlb_free(iotlb);
}

/* Any number may come; the last one is always there, and what is there is right. */
static void test_bound(void **state)
{
    vhu__iotlb *iotlb = make();
    size_t found = 0;

    (void)state;
    for (uint64_t i = 0; i < 5 * VHU__IOTLB_MAX; i++) {
        uint64_t page = i * 7919 % (3 * VHU__IOTLB_MAX); /* not in order */

        update(iotlb, page * PAGE, PAGE, USER + page * PAGE, RW);
        assert_true(has(iotlb, page * PAGE));
        assert_in_range(vhu__iotlb_count(iotlb), 1, VHU__IOTLB_MAX);
    }
    for (uint64_t page = 0; page < 3 * VHU__IOTLB_MAX; page++) {
        vhu__translation t;

        if (vhu__iotlb_look(iotlb, page * PAGE, 1, RW, &t) != VHU__IOTLB_FOUND)
            continue;
        found++;
        assert_true(t.iova == page * PAGE && t.user_addr == USER + page * PAGE && t.size == PAGE);
    }
    assert_int_equal(found, VHU__IOTLB_MAX);
    vhu__iotlb_free(iotlb);
}

/* --- a thread that looks, while this one changes everything --- */

typedef struct looker {
    vhu__iotlb *iotlb;
    unsigned wrong;
} looker;

static void looking_thread(void *arg)
{
    looker *l = arg;
    vhu__translation t;

    for (uint64_t i = 0; i < 100000; i++) {
        if (vhu__iotlb_look(l->iotlb, i % 64 * PAGE, PAGE, RO, &t) == VHU__IOTLB_FOUND)
            l->wrong += t.user_addr - t.iova != USER || t.iova != i % 64 * PAGE;
    }
}

static void test_threads(void **state)
{
    looker l = {.iotlb = make()};
    uv_thread_t thread;

    (void)state;
    assert_int_equal(uv_thread_create(&thread, looking_thread, &l), 0);
    for (uint64_t i = 0; i < 1000; i++) {
        update_pages(l.iotlb, 64);
        vhu__iotlb_invalidate(l.iotlb, i % 64 * PAGE, 3 * PAGE);
    }
    assert_int_equal(uv_thread_join(&thread), 0);
    assert_int_equal(l.wrong, 0);
    vhu__iotlb_free(l.iotlb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_bounds),         leakcheck_test(test_malformed),
        leakcheck_test(test_permissions),    leakcheck_test(test_overlaps),
        leakcheck_test(test_contradictions), leakcheck_test(test_pieces),
        leakcheck_test(test_bound),          leakcheck_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
