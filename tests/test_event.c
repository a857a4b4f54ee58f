/* SPDX-License-Identifier: BSD-3-Clause */
/* Built twice: with eventfd, and with the pipes that stand in where there is none. */
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <vmm_vhost/error.h>
#include <vmm_vhost/event.h>

#include "support/leakcheck.h"
#include "util.h"

/* --- what a peer may send: both ends of it; [0] is to wait, [1] to signal --- */

static int make_eventfd(int ends[2], int flags)
{
    ends[0] = eventfd(0, EFD_CLOEXEC | flags);
    ends[1] = fcntl(ends[0], F_DUPFD_CLOEXEC, 0);
    return ends[1] < 0 ? -1 : 0;
}

static int eventfd_nonblocking(int ends[2])
{
    return make_eventfd(ends, EFD_NONBLOCK);
}

static int eventfd_blocking(int ends[2])
{
    return make_eventfd(ends, 0);
}

static int pipe_nonblocking(int ends[2])
{
    return pipe2(ends, O_CLOEXEC | O_NONBLOCK);
}

static int pipe_blocking(int ends[2])
{
    return pipe2(ends, O_CLOEXEC);
}

static int socket_blocking(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends);
}

static int socket_nonblocking(int ends[2])
{
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends);
}

static const struct {
    const char *name;
    int (*make)(int ends[2]);
    bool closes; /* the other end sees it */
} kinds[] = {
    {"eventfd, non-blocking", eventfd_nonblocking, false},
    {"eventfd, blocking", eventfd_blocking, false},
    {"pipe, non-blocking", pipe_nonblocking, true},
    {"pipe, blocking", pipe_blocking, true},
    {"socket, blocking", socket_blocking, true},
    {"socket, non-blocking", socket_nonblocking, true},
};

/* Whatever blocks in here would hang the test: end it instead. */
static void no_hanging(void)
{
    alarm(60);
}

static void adopt_both(size_t kind, vhu_event **waiter, vhu_event **signaller)
{
    int ends[2];

    print_message("%s\n", kinds[kind].name);
    assert_int_equal(kinds[kind].make(ends), 0);
    assert_int_equal(vhu_event_adopt_wait(waiter, &ends[0]), 0);
    assert_int_equal(vhu_event_adopt_signal(signaller, &ends[1]), 0);
    assert_int_equal(ends[0], VHU_NO_HANDLE);
    assert_int_equal(ends[1], VHU_NO_HANDLE);
}

/* --- our own --- */

static void test_new(void **state)
{
    vhu_event *event = NULL;

    (void)state;
    no_hanging();
    assert_int_equal(vhu_event_new(&event), 0);
    assert_true(vhu_event_wait_handle(event) >= 0);
    assert_true(fcntl(vhu_event_wait_handle(event), F_GETFD) & FD_CLOEXEC);
    assert_int_equal(vhu_event_clear(event), VHU_EAGAIN);
    assert_int_equal(vhu_event_wait(event, 0), VHU_ETIMEDOUT);
    assert_int_equal(vhu_event_wait(event, 10), VHU_ETIMEDOUT);
    for (int i = 0; i < 3; i++)
        assert_int_equal(vhu_event_signal(event), 0);
    assert_int_equal(vhu_event_wait(event, -1), 0);
    assert_int_equal(vhu_event_clear(event), 0);
    assert_int_equal(vhu_event_clear(event), VHU_EAGAIN);
    assert_int_equal(vhu_event_wait(event, 0), VHU_ETIMEDOUT);
    vhu_event_free(event);
    vhu_event_free(NULL);
}

static void test_dup(void **state)
{
    vhu_event *event = NULL, *peer_signals = NULL, *peer_waits = NULL;
    vhu_handle handle = VHU_NO_HANDLE;

    (void)state;
    assert_int_equal(vhu_event_new(&event), 0);
    assert_int_equal(vhu_event_dup_signal(event, &handle), 0);
    assert_true(fcntl(handle, F_GETFD) & FD_CLOEXEC);
    assert_int_equal(vhu_event_adopt_signal(&peer_signals, &handle), 0);
    assert_int_equal(vhu_event_dup_wait(event, &handle), 0);
    assert_int_equal(vhu_event_adopt_wait(&peer_waits, &handle), 0);
    assert_int_equal(vhu_event_signal(peer_signals), 0);
    assert_int_equal(vhu_event_clear(event), 0);
    assert_int_equal(vhu_event_signal(event), 0);
    assert_int_equal(vhu_event_wait(peer_waits, 0), 0);
    assert_int_equal(vhu_event_clear(peer_waits), 0);
    assert_int_equal(vhu_event_clear(event), VHU_EAGAIN);
    vhu_event_free(peer_waits);
    vhu_event_free(peer_signals);
    vhu_event_free(event);
}

/* --- a peer's --- */

static void test_adopted(void **state)
{
    (void)state;
    no_hanging();
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        vhu_event *waiter = NULL, *signaller = NULL;
        vhu_handle handle = VHU_NO_HANDLE;

        adopt_both(i, &waiter, &signaller);
        assert_int_equal(vhu_event_clear(waiter), VHU_EAGAIN);
        assert_int_equal(vhu_event_wait(waiter, 0), VHU_ETIMEDOUT);
        for (int turn = 0; turn < 3; turn++) {
            assert_int_equal(vhu_event_signal(signaller), 0);
            assert_int_equal(vhu_event_signal(signaller), 0);
            assert_int_equal(vhu_event_wait(waiter, 0), 0);
            assert_int_equal(vhu_event_clear(waiter), 0);
            assert_int_equal(vhu_event_clear(waiter), VHU_EAGAIN);
        }
        /* Each has only the one end. */
        assert_int_equal(vhu_event_signal(waiter), VHU_ESTATE);
        assert_int_equal(vhu_event_dup_signal(waiter, &handle), VHU_ESTATE);
        assert_int_equal(vhu_event_clear(signaller), VHU_ESTATE);
        assert_int_equal(vhu_event_wait(signaller, 0), VHU_ESTATE);
        assert_int_equal(vhu_event_dup_wait(signaller, &handle), VHU_ESTATE);
        assert_int_equal(vhu_event_wait_handle(signaller), VHU_NO_HANDLE);
        assert_int_equal(handle, VHU_NO_HANDLE);
        vhu_event_free(signaller);
        assert_int_equal(vhu_event_clear(waiter), kinds[i].closes ? VHU_EDISCONNECT : VHU_EAGAIN);
        vhu_event_free(waiter);
    }
}

/* The mode is the peer's: it stays as it came. */
static void test_mode_is_kept(void **state)
{
    (void)state;
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        int ends[2], peer[2], before[2];
        vhu_event *events[2] = {NULL, NULL};

        assert_int_equal(kinds[i].make(ends), 0);
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

/* A peer that never clears, and fills it up before: still signalled, and nobody waits. */
static void test_full(void **state)
{
    const uint64_t most = UINT64_MAX - 1;

    (void)state;
    no_hanging();
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        vhu_event *waiter = NULL, *signaller = NULL;
        vhu_handle handle = VHU_NO_HANDLE;
        int rounds = 1;

        adopt_both(i, &waiter, &signaller);
        assert_int_equal(vhu_event_dup_signal(signaller, &handle), 0);
        if (!kinds[i].closes)
            assert_int_equal(write(handle, &most, sizeof(most)), sizeof(most));
        for (int k = 0; k < 100000; k++)
            assert_int_equal(vhu_event_signal(signaller), 0);
        /* All of a pipe may be more than one clear takes; it stays signalled for the rest. */
        while (vhu_event_clear(waiter) == 0 && rounds < 1000)
            rounds++;
        assert_in_range(rounds, 1, 100);
        assert_int_equal(vhu_event_wait(waiter, 0), VHU_ETIMEDOUT);
        vhu_handle_close(&handle);
        vhu_event_free(signaller);
        vhu_event_free(waiter);
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
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        vhu_event *waiter = NULL, *signaller = NULL;

        adopt_both(i, &waiter, &signaller);
        vhu_event_free(waiter);
        for (int k = 0; k < 3; k++)
            assert_int_equal(vhu_event_signal(signaller), kinds[i].closes ? VHU_EDISCONNECT : 0);
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
    adopt_both(2, &waiter, &signaller);
    vhu_event_free(waiter);
    assert_int_equal(vhu_event_signal(signaller), VHU_EDISCONNECT);
    vhu_event_free(signaller);
    assert_int_equal(sigpipes, 0);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    assert_int_equal(sigpipes, 1);
    sigaction(SIGPIPE, &before, NULL);
}

/* --- what is no event --- */

typedef int adopt_fn(vhu_event **out, vhu_handle *handle);

static void refuse(adopt_fn *adopt, int fd)
{
    vhu_handle handle = fd;
    vhu_event *event = NULL;

    assert_int_equal(adopt(&event, &handle), VHU_EINVAL);
    assert_int_equal(handle, fd);
    assert_null(event);
    vhu_handle_close(&handle);
}

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
        refuse(adopts[i], VHU_NO_HANDLE);
        for (size_t k = 0; k < VHU__COUNT(files); k++)
            refuse(adopts[i], open(files[k].path, files[k].flags | O_CLOEXEC));
        refuse(adopts[i], memfd_create("file", MFD_CLOEXEC));
    }
    /* The wrong end. */
    assert_int_equal(pipe(ends), 0);
    refuse(vhu_event_adopt_wait, ends[1]);
    refuse(vhu_event_adopt_signal, ends[0]);
}

/* --- threads --- */

enum { SIGNALS = 20000 };

static void *signal_many(void *arg)
{
    for (int i = 0; i < SIGNALS; i++) {
        if (vhu_event_signal(arg) != 0)
            return arg;
    }
    return NULL;
}

/* Two that clear the same one: none may block, each may find nothing. */
static void *clear_many(void *arg)
{
    for (int i = 0; i < SIGNALS; i++) {
        int r = vhu_event_clear(arg);

        if (r != 0 && r != VHU_EAGAIN)
            return arg;
    }
    return NULL;
}

static void test_threads(void **state)
{
    (void)state;
    no_hanging();
    for (size_t i = 0; i < VHU__COUNT(kinds); i++) {
        vhu_event *waiter = NULL, *signaller = NULL;
        pthread_t threads[4];

        adopt_both(i, &waiter, &signaller);
        for (int t = 0; t < 4; t++)
            assert_int_equal(pthread_create(&threads[t], NULL, t % 2 ? signal_many : clear_many,
                                            t % 2 ? signaller : waiter),
                             0);
        for (int t = 0; t < 4; t++) {
            void *failed = NULL;

            pthread_join(threads[t], &failed);
            assert_null(failed);
        }
        vhu_event_free(signaller);
        vhu_event_free(waiter);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_new),
        leakcheck_test(test_dup),
        leakcheck_test(test_adopted),
        leakcheck_test(test_mode_is_kept),
        leakcheck_test(test_full),
        leakcheck_test(test_reader_gone),
        leakcheck_test(test_pending_sigpipe),
        leakcheck_test(test_refused),
        leakcheck_test(test_threads),
    };

    return cmocka_run_group_tests_name("event", tests, NULL, NULL);
}
