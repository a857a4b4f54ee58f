/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors' modes, signals of the system, and what else POSIX alone has. */
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <vmm_vhost/error.h>

#include "test_event_kinds.h"
#include "util.h"

/* The mode is the peer's: it stays as it came. */
static void test_mode_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < num_event_kinds; i++) {
        int ends[2], peer[2], before[2];
        vhu_event *events[2] = {NULL, NULL};

        assert_int_equal(event_kinds[i].make(ends), 0);
        for (int end = 0; end < 2; end++) {
            peer[end] = dup(ends[end]);
            before[end] = fcntl(ends[end], F_GETFL);
        }
        assert_int_equal(vhu_event_adopt_wait(&events[0], &ends[0]), 0);
        assert_int_equal(vhu_event_adopt_signal(&events[1], &ends[1]), 0);
        assert_int_equal(vhu_event_signal(events[1]), 0);
        assert_int_equal(vhu_event_clear(events[0]), 0);
        for (int end = 0; end < 2; end++) {
            assert_int_equal(fcntl(peer[end], F_GETFL), before[end]);
            vhu_event_free(events[end]);
            close(peer[end]);
        }
    }
}

/* --- SIGPIPE --- */

static volatile sig_atomic_t sigpipes;

static void on_sigpipe(int signum)
{
    (void)signum;
    sigpipes = sigpipes + 1;
}

static void test_reader_gone(void **state)
{
    struct sigaction on = {.sa_handler = on_sigpipe}, before;
    sigset_t mask, pending;

    (void)state;
    assert_int_equal(sigaction(SIGPIPE, &on, &before), 0);
    sigpipes = 0;
    for (size_t i = 0; i < num_event_kinds; i++) {
        vhu_event *waiter = NULL, *signaller = NULL;

        adopt_both(&event_kinds[i], &waiter, &signaller);
        vhu_event_free(waiter);
        for (int k = 0; k < 3; k++)
            assert_int_equal(vhu_event_signal(signaller),
                             event_kinds[i].closes ? VHU_EDISCONNECT : 0);
        vhu_event_free(signaller);
    }
    assert_int_equal(sigpipes, 0);
    assert_int_equal(pthread_sigmask(SIG_SETMASK, NULL, &mask), 0);
    assert_int_equal(sigismember(&mask, SIGPIPE), 0);
    assert_int_equal(sigpending(&pending), 0);
    assert_int_equal(sigismember(&pending, SIGPIPE), 0);
    sigaction(SIGPIPE, &before, NULL);
}

/* One that somebody else caused before stays his. */
static void test_pending_sigpipe(void **state)
{
    struct sigaction on = {.sa_handler = on_sigpipe}, before;
    vhu_event *waiter = NULL, *signaller = NULL;
    sigset_t sigpipe, old;

    (void)state;
    assert_int_equal(sigaction(SIGPIPE, &on, &before), 0);
    sigemptyset(&sigpipe);
    sigaddset(&sigpipe, SIGPIPE);
    sigpipes = 0;
    assert_int_equal(pthread_sigmask(SIG_BLOCK, &sigpipe, &old), 0);
    raise(SIGPIPE);
    adopt_both(&event_kinds[2], &waiter, &signaller);
    vhu_event_free(waiter);
    assert_int_equal(vhu_event_signal(signaller), VHU_EDISCONNECT);
    vhu_event_free(signaller);
    assert_int_equal(sigpipes, 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert_int_equal(sigpipes, 1);
    sigaction(SIGPIPE, &before, NULL);
}

/* --- what is no event --- */

static void test_refused(void **state)
{
    static const struct {
        const char *path;
        int flags;
    } files[] = {
        {"/proc/self/exe", O_RDONLY}, {"/", O_RDONLY}, {"/dev/null", O_PATH}, {"/", O_PATH}};
    adopt_fn *const adopts[] = {vhu_event_adopt_wait, vhu_event_adopt_signal};
    int ends[2];

    (void)state;
    for (size_t i = 0; i < VHU__COUNT(adopts); i++) {
        for (size_t k = 0; k < VHU__COUNT(files); k++)
            refuse(adopts[i], open(files[k].path, files[k].flags | O_CLOEXEC));
        refuse(adopts[i], memfd_create("file", MFD_CLOEXEC));
    }
    /* The wrong end. */
    assert_int_equal(pipe(ends), 0);
    refuse(vhu_event_adopt_wait, ends[1]);
    refuse(vhu_event_adopt_signal, ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_mode_is_kept),
        leakcheck_test(test_reader_gone),
        leakcheck_test(test_pending_sigpipe),
        leakcheck_test(test_refused),
    };

    return cmocka_run_group_tests_name("event_posix", tests, NULL, NULL);
}
