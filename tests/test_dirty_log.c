/* SPDX-License-Identifier: BSD-3-Clause */
/* Bits for pages: where they are, who sets and who takes them. */
#include "dirty_log.h"

#include <stdatomic.h>
#include <string.h>
#include <uv.h>
#include <vmm_vhost/shm.h>

#include "os.h"
#include "support/leakcheck.h"
#include "util.h"

#define PAGE VHU__LOG_PAGE

enum { OBJECT = 3 * 4096, AROUND = 0xa5 };

/* An object that holds an area, and other things around it. */
typedef struct shared {
    vhu_shm *shm;
    uint8_t *bytes; /* of the area */
    vhu_log_area area;
    vhu__dirty_log *log;
} shared;

static void open_log(shared *s, uint64_t offset, uint64_t size)
{
    vhu_handle handle;

    s->area = (vhu_log_area){.size = size, .offset = offset};
    assert_int_equal(vhu_shm_new(&s->shm, OBJECT), 0);
    s->bytes = (uint8_t *)vhu_shm_base(s->shm) + offset;
    memset(vhu_shm_base(s->shm), AROUND, OBJECT);
    memset(s->bytes, 0, size);
    assert_int_equal(os_handle_dup(vhu_shm_handle(s->shm), &handle), 0);
    assert_int_equal(vhu__dirty_log_open(&s->log, &s->area, &handle), 0);
    assert_int_equal(handle, VHU_NO_HANDLE);
}

static void close_log(shared *s)
{
    vhu__dirty_log_close(s->log);
    vhu_shm_free(s->shm);
}

static bool bit(const shared *s, uint64_t page)
{
    return s->bytes[page / 8] >> page % 8 & 1;
}

static void check_around(const shared *s)
{
    const uint8_t *all = vhu_shm_base(s->shm);

    for (uint64_t i = 0; i < OBJECT; i++) {
        if (i < s->area.offset || i >= s->area.offset + s->area.size)
            assert_int_equal(all[i], AROUND);
    }
}

/* Of any alignment, some over the border of two pages of the object. */
static const vhu_log_area areas[] = {{8, 0},  {64, 0},  {1, 0},     {13, 0},    {1, 7},
                                     {13, 3}, {64, 61}, {16, 4088}, {29, 4093}, {3, OBJECT - 3}};

/* --- marks --- */

static const struct {
    uint64_t addr, len;
} ranges[] = {
    {0, 1},
    {0, PAGE},
    {0, PAGE + 1},
    {PAGE - 1, 1},
    {PAGE - 1, 2},
    {3 * PAGE + 5, 0},
    {3 * PAGE, 10 * PAGE},
    {60 * PAGE, 4 * PAGE},
    {63 * PAGE + 4095, 2},
    {0, 64 * PAGE},
    {1, 200 * PAGE},
    {64 * PAGE, 64 * PAGE},
    {100 * PAGE, 3 * PAGE},
    /* Partly or altogether beyond. */
    {0, UINT64_MAX},
    {7 * PAGE, UINT64_MAX},
    {511 * PAGE, 3 * PAGE},
    {512 * PAGE, PAGE},
    {UINT64_MAX, 1},
    {UINT64_MAX, 2},
    {UINT64_MAX - PAGE, UINT64_MAX},
    {UINT64_C(1) << 63, UINT64_C(1) << 63},
};

static bool is_in(uint64_t page, uint64_t addr, uint64_t len)
{
    uint64_t last = len - 1 > UINT64_MAX - addr ? UINT64_MAX : addr + len - 1;

    return len > 0 && page >= addr / PAGE && page <= last / PAGE;
}

static void test_marks(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(areas) * VHU__COUNT(ranges); i++) {
        const vhu_log_area *area = &areas[i / VHU__COUNT(ranges)];
        uint64_t addr = ranges[i % VHU__COUNT(ranges)].addr;
        uint64_t len = ranges[i % VHU__COUNT(ranges)].len;
        shared s;

        open_log(&s, area->offset, area->size);
        vhu__dirty_log_mark(s.log, addr, len);
        for (uint64_t page = 0; page < area->size * 8; page++)
            assert_int_equal(bit(&s, page), is_in(page, addr, len));
        check_around(&s);
        close_log(&s);
    }
}

static void test_marks_add_up(void **state)
{
    shared s;

    (void)state;
    open_log(&s, 5, 32);
    for (uint64_t page = 0; page < 256; page += 3)
        vhu__dirty_log_mark(s.log, page * PAGE + 17, 1);
    vhu__dirty_log_mark(s.log, 0, PAGE);
    for (uint64_t page = 0; page < 256; page++)
        assert_int_equal(bit(&s, page), page % 3 == 0);
    close_log(&s);
}

static void test_covers(void **state)
{
    static const struct {
        uint64_t addr, len;
        bool covered;
    } rows[] = {
        {0, 0, true},
        {0, 1, true},
        {0, 64 * PAGE, true},
        {0, 64 * PAGE + 1, false},
        {64 * PAGE - 1, 1, true},
        {64 * PAGE - 1, 2, false},
        {64 * PAGE, 0, true},
        {64 * PAGE, 1, false},
        {UINT64_MAX, 1, false},
        {UINT64_MAX, 2, false},
        {1, UINT64_MAX, false},
    };
    shared s;

    (void)state;
    open_log(&s, 1, 8);
    for (size_t i = 0; i < VHU__COUNT(rows); i++)
        assert_int_equal(vhu__dirty_log_covers(s.log, rows[i].addr, rows[i].len), rows[i].covered);
    close_log(&s);
}

/* --- taken back --- */

typedef struct run {
    uint64_t addr, len;
} run;

typedef struct runs {
    run runs[8];
    size_t n;
} runs;

static void on_run(void *arg, uint64_t addr, uint64_t len)
{
    runs *r = arg;

    assert_true(r->n < VHU__COUNT(r->runs));
    r->runs[r->n++] = (run){addr, len};
}

static void expect_runs(shared *s, uint64_t addr, uint64_t len, const run *wanted, size_t n)
{
    runs r = {.n = 0};

    vhu__dirty_log_take(s->log, addr, len, on_run, &r);
    for (size_t i = 0; i < n && i < r.n; i++) {
        assert_int_equal(r.runs[i].addr, wanted[i].addr);
        assert_int_equal(r.runs[i].len, wanted[i].len);
    }
    assert_int_equal(r.n, n);
}

static void test_take(void **state)
{
    (void)state;
    for (uint64_t offset = 0; offset < 9; offset++) {
        shared s;

        open_log(&s, offset, 40);
        vhu__dirty_log_mark(s.log, 0, 1);
        vhu__dirty_log_mark(s.log, 60 * PAGE, 70 * PAGE);
        vhu__dirty_log_mark(s.log, 200 * PAGE, 1);
        vhu__dirty_log_mark(s.log, 319 * PAGE, 1);
        /* Those outside stay. */
        expect_runs(&s, PAGE, 59 * PAGE, NULL, 0);
        expect_runs(&s, 62 * PAGE + 1, PAGE, (run[]){{62 * PAGE, 2 * PAGE}}, 1);
        expect_runs(&s, 0, UINT64_MAX,
                    (run[]){{0, PAGE},
                            {60 * PAGE, 2 * PAGE},
                            {64 * PAGE, 66 * PAGE},
                            {200 * PAGE, PAGE},
                            {319 * PAGE, PAGE}},
                    5);
        expect_runs(&s, 0, UINT64_MAX, NULL, 0);
        for (uint64_t page = 0; page < 320; page++)
            assert_false(bit(&s, page));
        check_around(&s);
        close_log(&s);
    }
}

/* --- areas that are none --- */

static void test_bad_areas(void **state)
{
    static const struct {
        vhu_log_area area;
        int error;
    } rows[] = {
        {{.size = 0}, VHU_EINVAL},
        {{.size = UINT64_MAX}, VHU_EINVAL},
        {{.size = UINT64_MAX / 8 + 1}, VHU_EINVAL},
        {{.size = UINT64_MAX / 8}, VHU_EOVERFLOW},
        {{.size = OBJECT + 1}, VHU_EOVERFLOW},
        {{.size = 1, .offset = OBJECT}, VHU_EOVERFLOW},
        {{.size = 4096, .offset = OBJECT - 4095}, VHU_EOVERFLOW},
        {{.size = 4096, .offset = UINT64_MAX - 4095}, VHU_EOVERFLOW},
        {{.size = 4096, .offset = UINT64_MAX}, VHU_EOVERFLOW},
    };
    vhu_handle none = VHU_NO_HANDLE;
    vhu_handle handle, before;
    vhu__dirty_log *log;
    vhu_shm *shm;

    (void)state;
    assert_int_equal(vhu_shm_new(&shm, OBJECT), 0);
    assert_int_equal(os_handle_dup(vhu_shm_handle(shm), &handle), 0);
    before = handle;
    for (size_t i = 0; i < VHU__COUNT(rows); i++) {
        assert_int_equal(vhu__dirty_log_open(&log, &rows[i].area, &handle), rows[i].error);
        assert_int_equal(handle, before);
    }
    assert_true(vhu__dirty_log_open(&log, &(vhu_log_area){.size = 8}, &none) < 0);
    vhu__dirty_log_close(NULL);
    vhu_handle_close(&handle);
    vhu_shm_free(shm);
}

/* --- threads: a migration in small --- */

enum { PAGES = 96, WRITERS = 2, WRITES = 40000 };

typedef struct guest {
    shared s;
    _Atomic uint64_t memory[PAGES];
    uint64_t copy[PAGES];
    atomic_uint begun, done; /* writers */
} guest;

static void run_writer(void *arg)
{
    guest *g = arg;
    uint64_t seed = atomic_fetch_add(&g->begun, 1);

    for (uint64_t i = 1; i <= WRITES; i++) {
        seed = seed * UINT64_C(6364136223846793005) + 1442695040888963407;
        atomic_store_explicit(&g->memory[(seed >> 33) % PAGES], seed, memory_order_relaxed);
        vhu__dirty_log_mark(g->s.log, (seed >> 33) % PAGES * PAGE, 8);
    }
    atomic_fetch_add(&g->done, 1);
}

static void copy_pages(void *arg, uint64_t addr, uint64_t len)
{
    guest *g = arg;

    for (uint64_t i = addr / PAGE; i < (addr + len) / PAGE; i++)
        g->copy[i] = atomic_load_explicit(&g->memory[i], memory_order_relaxed);
}

static void test_threads(void **state)
{
    static guest g;
    uv_thread_t writers[WRITERS];
    bool over;

    (void)state;
    open_log(&g.s, 2, PAGES / 8);
    for (int i = 0; i < WRITERS; i++)
        assert_int_equal(uv_thread_create(&writers[i], run_writer, &g), 0);
    do {
        over = atomic_load(&g.done) == WRITERS;
        vhu__dirty_log_take(g.s.log, 0, PAGES * PAGE, copy_pages, &g);
    } while (!over);
    for (int i = 0; i < WRITERS; i++)
        uv_thread_join(&writers[i]);
    for (int i = 0; i < PAGES; i++)
        assert_true(g.copy[i] == atomic_load(&g.memory[i]));
    check_around(&g.s);
    close_log(&g.s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_marks), leakcheck_test(test_marks_add_up), leakcheck_test(test_covers),
        leakcheck_test(test_take),  leakcheck_test(test_bad_areas),    leakcheck_test(test_threads),
    };

    return cmocka_run_group_tests_name("dirty_log", tests, NULL, NULL);
}
