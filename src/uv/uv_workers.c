/* SPDX-License-Identifier: BSD-3-Clause */
#include "uv_workers.h"

#include <stdlib.h>

/* After so many spins in vain, each half as long as the last, one in so many sleeps tries again. */
enum { MIN_SPIN_NS = 2000, RETRY_SPIN = 128 };

/* What a worker waits for, one for each ring. */
typedef struct ring_watch {
    vhu_uv_watch *watch;
    vhu_ring *ring;
} ring_watch;

typedef struct worker {
    vhu__uv_workers *all;
    unsigned number;
    uv_thread_t thread;
    bool has_thread;
    int status;
    uv_loop_t loop;
    uv_async_t wake;
    uv_prepare_t prepare; /* a turn, before the loop sleeps */
    uv_idle_t busy;       /* while active the loop does not sleep */
    atomic_bool stop;
    bool closing;
    ring_watch watches[VHU_MAX_RINGS];
    /* Spinning: how long now, since when, and sleeps without. */
    uint64_t spin_ns;
    uint64_t spin_since; /* 0: not spinning */
    unsigned sleeps;
} worker;

struct vhu__uv_workers {
    unsigned count;
    vhu_uv_device_options options;
    vhu_device *device;
    void *self;
    void (*notify)(void *arg);
    void *notify_arg;
    uv_sem_t met; /* a worker has begun; or none will be woken any more */
    atomic_uint running;
    worker *worker;
};

/* --- spinning --- */

static void spin_hit(worker *w)
{
    if (w->spin_since)
        w->spin_ns = (uint64_t)w->all->options.spin_us * 1000;
    w->spin_since = 0;
}

/*
 * Whether to look again instead of sleeping. Work that comes while we look costs no wake-up; but
 * where it never does, as with the driver on this very processor, looking is waste.
 */
static bool may_spin(worker *w)
{
    uint64_t now;

    if (w->all->options.spin_us == 0)
        return false;
    if (!w->spin_since) {
        if (w->spin_ns < MIN_SPIN_NS) {
            if (++w->sleeps % RETRY_SPIN)
                return false;
            w->spin_ns = (uint64_t)w->all->options.spin_us * 1000;
        }
        w->spin_since = uv_hrtime();
        return true;
    }
    now = uv_hrtime();
    if (now - w->spin_since < w->spin_ns)
        return true;
    w->spin_ns /= 2;
    w->spin_since = 0;
    return false;
}

/* --- a turn --- */

static void on_busy(uv_idle_t *idle)
{
    (void)idle;
}

static void set_busy(worker *w, bool busy)
{
    if (busy == (uv_is_active((const uv_handle_t *)&w->busy) != 0))
        return;
    if (busy)
        uv_idle_start(&w->busy, on_busy);
    else
        uv_idle_stop(&w->busy);
}

/*
 * Serve, then spin, then agree with the drivers that we sleep. The loop gets its chance now and
 * then: while requests are out their completions may come through it.
 */
static void turn(worker *w)
{
    vhu_device *device = w->all->device;

    for (int left = 64; left > 0;) {
        if (vhu_device_poll(device, w->number)) {
            spin_hit(w);
            left--;
        } else if (may_spin(w)) {
            if (vhu_device_in_use(device, w->number) > 0)
                break;
        } else if (vhu_device_may_sleep(device, w->number)) {
            set_busy(w, false);
            return;
        } else {
            left--;
        }
    }
    set_busy(w, true);
}

static void close_worker(worker *w)
{
    w->closing = true;
    uv_close((uv_handle_t *)&w->wake, NULL);
    uv_close((uv_handle_t *)&w->prepare, NULL);
    uv_close((uv_handle_t *)&w->busy, NULL);
}

static void on_prepare(uv_prepare_t *prepare)
{
    worker *w = prepare->data;

    if (w->closing)
        return;
    if (!atomic_load_explicit(&w->stop, memory_order_acquire)) {
        turn(w);
        return;
    }
    /* To wake a loop that has ended is fatal. */
    uv_sem_wait(&w->all->met);
    if (w->all->options.worker_stop)
        w->all->options.worker_stop(w->all->self, w->number);
    close_worker(w);
}

static void on_wake(uv_async_t *async)
{
    /* The turn that follows looks at everything. */
    (void)async;
}

static int begin(worker *w)
{
    vhu__uv_workers *all = w->all;

    uv_prepare_start(&w->prepare, on_prepare);
    if (!all->options.worker_start)
        return 0;
    return all->options.worker_start(all->self, w->number, &w->loop);
}

static void run(void *arg)
{
    worker *w = arg;
    vhu__uv_workers *all = w->all;

    w->status = begin(w);
    if (w->status < 0)
        close_worker(w);
    uv_sem_post(&all->met);
    uv_run(&w->loop, UV_RUN_DEFAULT);
    uv_loop_close(&w->loop);
    if (atomic_fetch_sub_explicit(&all->running, 1, memory_order_acq_rel) == 1)
        all->notify(all->notify_arg);
}

/* --- executor --- */

static void executor_wake(void *arg, unsigned number)
{
    vhu__uv_workers *all = arg;

    vhu__uv_wake(&all->worker[number].wake);
}

static void executor_notify(void *arg)
{
    vhu__uv_workers *all = arg;

    all->notify(all->notify_arg);
}

static void on_kick(void *arg)
{
    ring_watch *w = arg;

    vhu_ring_kicked(w->ring);
}

static int executor_watch(void *arg, unsigned number, vhu_ring *ring, vhu_handle kick)
{
    vhu__uv_workers *all = arg;
    worker *w = &all->worker[number];
    ring_watch *watch = &w->watches[vhu_ring_index(ring)];

    watch->ring = ring;
    return vhu_uv_watch_new(&watch->watch, &w->loop, kick, VHU_WAIT_READ, on_kick, watch);
}

static void executor_unwatch(void *arg, unsigned number, vhu_ring *ring)
{
    vhu__uv_workers *all = arg;
    ring_watch *watch = &all->worker[number].watches[vhu_ring_index(ring)];

    vhu_uv_watch_close(watch->watch);
    watch->watch = NULL;
}

void vhu__uv_workers_executor(const vhu__uv_workers *all, vhu_executor *executor)
{
    *executor = (vhu_executor){
        .size = sizeof(*executor),
        .num_workers = all->count,
        .wake = executor_wake,
        .notify = executor_notify,
        .watch = executor_watch,
        .unwatch = executor_unwatch,
    };
}

void *vhu__uv_workers_owner(const vhu__uv_workers *all)
{
    return all->notify_arg;
}

/* --- life --- */

/* Everything that can fail, before the thread. */
static int prepare_worker(worker *w)
{
    int r = uv_loop_init(&w->loop);

    if (r != 0)
        return r == UV_EMFILE || r == UV_ENFILE ? VHU_EMFILE : VHU_ENOMEM;
    if (uv_async_init(&w->loop, &w->wake, on_wake) != 0) {
        uv_loop_close(&w->loop);
        return VHU_EMFILE;
    }
    uv_prepare_init(&w->loop, &w->prepare);
    uv_idle_init(&w->loop, &w->busy);
    w->prepare.data = w;
    w->spin_ns = (uint64_t)w->all->options.spin_us * 1000;
    return 0;
}

int vhu__uv_workers_new(vhu__uv_workers **out, const vhu_uv_device_options *options,
                        void (*notify)(void *arg), void *arg)
{
    vhu__uv_workers *all = calloc(1, sizeof(*all));

    if (!all)
        return VHU_ENOMEM;
    all->count = options->num_workers;
    all->options = *options;
    all->notify = notify;
    all->notify_arg = arg;
    all->worker = calloc(all->count, sizeof(all->worker[0]));
    if (!all->worker || uv_sem_init(&all->met, 0) != 0) {
        free(all->worker);
        free(all);
        return VHU_ENOMEM;
    }
    for (unsigned i = 0; i < all->count; i++) {
        all->worker[i].all = all;
        all->worker[i].number = i;
        atomic_init(&all->worker[i].stop, false);
    }
    atomic_init(&all->running, 0);
    *out = all;
    return 0;
}

static int start_worker(worker *w)
{
    int r = prepare_worker(w);

    if (r < 0)
        return r;
    atomic_fetch_add_explicit(&w->all->running, 1, memory_order_relaxed);
    if (uv_thread_create(&w->thread, run, w) != 0) {
        close_worker(w);
        uv_run(&w->loop, UV_RUN_DEFAULT);
        uv_loop_close(&w->loop);
        atomic_fetch_sub_explicit(&w->all->running, 1, memory_order_relaxed);
        return VHU_ENOMEM;
    }
    w->has_thread = true;
    uv_sem_wait(&w->all->met);
    return w->status;
}

int vhu__uv_workers_start(vhu__uv_workers *all, vhu_device *device, void *self)
{
    int r = 0;

    all->device = device;
    all->self = self;
    for (unsigned i = 0; i < all->count && r == 0; i++)
        r = start_worker(&all->worker[i]);
    return r;
}

void vhu__uv_workers_stop(vhu__uv_workers *all)
{
    unsigned told = 0;

    for (unsigned i = 0; i < all->count; i++) {
        worker *w = &all->worker[i];

        if (!w->has_thread || w->status < 0)
            continue;
        atomic_store_explicit(&w->stop, true, memory_order_release);
        vhu__uv_wake(&w->wake);
        told++;
    }
    /* A worker may have seen it by itself, before it was woken. */
    while (told-- > 0)
        uv_sem_post(&all->met);
}

bool vhu__uv_workers_ended(const vhu__uv_workers *all)
{
    return atomic_load_explicit(&all->running, memory_order_acquire) == 0;
}

void vhu__uv_workers_free(vhu__uv_workers *all)
{
    if (!all)
        return;
    for (unsigned i = 0; i < all->count; i++) {
        if (all->worker[i].has_thread)
            uv_thread_join(&all->worker[i].thread);
    }
    uv_sem_destroy(&all->met);
    free(all->worker);
    free(all);
}
