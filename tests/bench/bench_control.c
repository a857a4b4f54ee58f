/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The control plane against the raw limit: two processes on one processor exchange the same bytes
 * over a socket, once with no protocol at all behind it, once with a vhu_backend_server at one
 * end, or a vhu_backend_client at the other. Both are measured in every round, and the ratio is
 * taken inside the round.
 */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <vmm_vhost/vmm_vhost.h>

enum { ROUNDS = 9, ROUND_NS = 60000000, BURST = 64, COUNTED = 2000, CONFIG_LEN = 60 };

typedef struct exchange {
    const char *name;
    uint32_t request;
    uint32_t payload; /* bytes of the request's */
    uint32_t reply;   /* bytes of the reply's */
    bool ack;
    bool handle;
    unsigned messages; /* before the one that is answered, too */
    bool one_send;
} exchange;

static const exchange exchanges[] = {
    {"GET_FEATURES", VHU_REQ_GET_FEATURES, 0, 8, false, false, 1, false},
    {"GET_CONFIG, 60 bytes", VHU_REQ_GET_CONFIG, 12 + CONFIG_LEN, 12 + CONFIG_LEN, false, false, 1,
     false},
    {"SET_VRING_NUM, ack", VHU_REQ_SET_VRING_NUM, 8, 8, true, false, 1, false},
    {"SET_VRING_CALL, ack, fd", VHU_REQ_SET_VRING_CALL, 8, 8, true, true, 1, false},
    {"64 SET_VRING_NUM, 64 sends", VHU_REQ_SET_VRING_NUM, 8, 8, true, false, BURST, false},
    {"64 SET_VRING_NUM, one send", VHU_REQ_SET_VRING_NUM, 8, 8, true, false, BURST, true},
};

_Noreturn static void fatal(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static size_t request_len(const exchange *x)
{
    return sizeof(vhu_msg_header) + x->payload;
}

/* --- servers --- */

static ssize_t raw_recv(int fd, void *buf, size_t len, int *handle)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control;
    struct iovec iov = {buf, len};
    struct msghdr msg = {.msg_iov = &iov,
                         .msg_iovlen = 1,
                         .msg_control = control.bytes,
                         .msg_controllen = sizeof(control.bytes)};
    ssize_t n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);

    if (n > 0 && CMSG_FIRSTHDR(&msg))
        memcpy(handle, CMSG_DATA(CMSG_FIRSTHDR(&msg)), sizeof(*handle));
    return n;
}

/* What a client of the library has to be told before it asks for the rest. */
static void answer_negotiation(int fd)
{
    vhu_msg_header header = {0};
    uint64_t all = UINT64_MAX;
    uint8_t reply[sizeof(header) + sizeof(all)];

    while (header.request != VHU_REQ_SET_PROTOCOL_FEATURES) {
        if (recv(fd, &header, sizeof(header), MSG_WAITALL) <= 0 ||
            (header.size > 0 && recv(fd, reply, header.size, MSG_WAITALL) <= 0))
            exit(0);
        if (header.size > 0)
            continue;
        header.flags = VHU_VERSION_1 | VHU_FLAG_REPLY;
        header.size = sizeof(all);
        memcpy(reply, &header, sizeof(header));
        memcpy(reply + sizeof(header), &all, sizeof(all));
        send(fd, reply, sizeof(reply), MSG_NOSIGNAL);
    }
}

/* Answers when the bytes of all messages have come; keeps the last descriptor, closes the other. */
static void serve_raw(int fd, const exchange *x)
{
    static uint8_t buf[BURST * 64];
    const vhu_msg_header header = {x->request, VHU_VERSION_1 | VHU_FLAG_REPLY, x->reply};
    const vhu_config_header config = {.size = CONFIG_LEN};
    uint8_t reply[128] = {0};
    size_t all = request_len(x) * x->messages;
    size_t room = x->messages > 1 && !x->one_send ? request_len(x) : sizeof(buf);
    size_t have = 0;
    int kept = -1;

    answer_negotiation(fd);
    memcpy(reply, &header, sizeof(header));
    if (x->request == VHU_REQ_GET_CONFIG)
        memcpy(reply + sizeof(header), &config, sizeof(config));
    for (;;) {
        int handle = -1;
        ssize_t n = raw_recv(fd, buf, room, &handle);

        if (n <= 0)
            exit(0);
        if (handle >= 0) {
            close(kept);
            kept = handle;
        }
        have += (size_t)n;
        if (have < all)
            continue;
        have -= all;
        if (send(fd, reply, sizeof(vhu_msg_header) + x->reply, MSG_NOSIGNAL) < 0)
            exit(0);
    }
}

static vhu_handle call = VHU_NO_HANDLE;

static int get_features(void *self, uint64_t *features)
{
    (void)self;
    *features = VHU_QUEUE_FEATURES;
    return 0;
}

static int get_config(void *self, uint32_t offset, void *buf, uint32_t len)
{
    (void)self;
    (void)offset;
    memset(buf, 1, len);
    return 0;
}

static int set_vring_num(void *self, uint32_t ring, uint32_t num)
{
    (void)self;
    (void)ring;
    (void)num;
    return 0;
}

static int set_vring_event(void *self, uint32_t ring, vhu_vring_event which, vhu_handle *handle)
{
    (void)self;
    (void)ring;
    (void)which;
    vhu_handle_close(&call);
    call = *handle;
    *handle = VHU_NO_HANDLE;
    return 0;
}

static void serve_vhu(int fd, const exchange *x)
{
    const vhu_backend_ops ops = {.size = sizeof(ops),
                                 .get_features = get_features,
                                 .set_features = NULL,
                                 .get_config = get_config,
                                 .set_vring_num = set_vring_num,
                                 .set_vring_event = set_vring_event};
    vhu_backend_server *server;
    vhu_conn *conn;
    int r;

    (void)x;
    if (vhu_conn_adopt(&conn, &fd, NULL) < 0 ||
        vhu_backend_server_new(&server, &conn, &ops, NULL, NULL) < 0)
        exit(1);
    conn = vhu_backend_server_conn(server);
    do {
        r = vhu_conn_wait(conn, -1);
        if (r == 0)
            r = vhu_backend_server_serve(server);
    } while (r == VHU_EAGAIN || r == 0);
    vhu_backend_server_free(server);
    exit(r == VHU_ECLIENT_EXIT ? 0 : 1);
}

typedef void (*serve_fn)(int fd, const exchange *x);

/* An abstract one of this process's own. */
static char address[64];

/* Can be connected to from now on. */
static pid_t start(serve_fn serve, const exchange *x, bool traced)
{
    vhu_listener *listener;
    pid_t pid;

    if (vhu_listener_new(&listener, address, NULL) < 0)
        fatal(address);
    fflush(stdout);
    pid = fork();
    if (pid < 0)
        fatal("fork");
    if (pid == 0) {
        if (traced)
            ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        if (traced)
            raise(SIGSTOP);
        vhu_listener_wait(listener, -1);
        serve(accept4(vhu_listener_wait_handle(listener), NULL, NULL, SOCK_CLOEXEC), x);
    }
    vhu_listener_free(listener);
    return pid;
}

static int connect_raw(void)
{
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    const size_t len = strlen(address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    memcpy(un.sun_path + 1, address + 1, len - 1);
    if (connect(fd, (struct sockaddr *)&un,
                (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)))
        fatal(address);
    return fd;
}

/* --- the client, the same for both --- */

static void send_all(int fd, const void *buf, size_t len, int handle)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_len = len};
    struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

    memcpy(&iov.iov_base, &buf, sizeof(buf));
    if (handle >= 0) {
        struct cmsghdr *c;

        msg.msg_control = control.bytes;
        msg.msg_controllen = sizeof(control.bytes);
        c = CMSG_FIRSTHDR(&msg);
        c->cmsg_level = SOL_SOCKET;
        c->cmsg_type = SCM_RIGHTS;
        c->cmsg_len = CMSG_LEN(sizeof(int));
        memcpy(CMSG_DATA(c), &handle, sizeof(handle));
    }
    if (sendmsg(fd, &msg, MSG_NOSIGNAL) != (ssize_t)len)
        fatal("sendmsg");
}

static size_t build(uint8_t *out, const exchange *x, bool answered)
{
    vhu_msg_header header = {.request = x->request, .flags = VHU_VERSION_1, .size = x->payload};
    vhu_vring_state state = {.index = 0, .num = 256};
    vhu_config_header config = {.size = CONFIG_LEN};
    uint64_t ring = 0;

    if (x->ack && answered)
        header.flags |= VHU_FLAG_NEED_REPLY;
    memset(out, 0, request_len(x));
    memcpy(out, &header, sizeof(header));
    if (x->request == VHU_REQ_SET_VRING_NUM)
        memcpy(out + sizeof(header), &state, sizeof(state));
    else if (x->request == VHU_REQ_GET_CONFIG)
        memcpy(out + sizeof(header), &config, sizeof(config));
    else if (x->request == VHU_REQ_SET_VRING_CALL)
        memcpy(out + sizeof(header), &ring, sizeof(ring));
    return request_len(x);
}

static void turn(int fd, const exchange *x, int handle)
{
    static uint8_t buf[BURST * 128];
    uint8_t reply[256];
    size_t len = 0;

    for (unsigned i = 0; i < x->messages; i++) {
        len += build(buf + len, x, i + 1 == x->messages);
        if (x->one_send)
            continue;
        send_all(fd, buf, len, x->handle ? handle : -1);
        len = 0;
    }
    if (len > 0)
        send_all(fd, buf, len, -1);
    if (recv(fd, reply, sizeof(reply), 0) != (ssize_t)(sizeof(vhu_msg_header) + x->reply) ||
        (x->ack && memcmp(reply + sizeof(vhu_msg_header), "\0\0\0\0\0\0\0", 8) != 0)) {
        fprintf(stderr, "%s: wrong reply\n", x->name);
        exit(1);
    }
}

/* Both features that the exchanges need. */
static void negotiate(int fd)
{
    const exchange x = {"", VHU_REQ_SET_PROTOCOL_FEATURES, 8, 8, true, false, 1, false};
    uint8_t buf[64];
    uint64_t features = VHU_BIT(VHU_PF_REPLY_ACK) | VHU_BIT(VHU_PF_CONFIG);
    size_t len = build(buf, &x, false);

    memcpy(buf + sizeof(vhu_msg_header), &features, sizeof(features));
    send_all(fd, buf, len, -1);
}

/* --- the library's client --- */

static vhu_backend_client *connect_client(void)
{
    vhu_backend_client *client;
    vhu_conn *conn;
    uint64_t features;

    if (vhu_connect(&conn, address, 0, NULL) < 0 ||
        vhu_backend_client_new(&client, &conn, NULL) < 0 ||
        vhu_backend_client_get_features(client, &features) < 0 ||
        vhu_backend_client_get_protocol_features(client, &features) < 0 ||
        vhu_backend_client_set_protocol_features(client, features) < 0)
        fatal("client");
    return client;
}

static void call_turn(vhu_backend_client *client, const exchange *x, int handle)
{
    uint8_t config[CONFIG_LEN];
    uint64_t features;
    int r = 0;

    for (unsigned i = 0; i < x->messages && r == 0; i++) {
        if (x->messages > 1)
            vhu_backend_client_set_ack(client, i + 1 == x->messages);
        if (x->request == VHU_REQ_GET_FEATURES)
            r = vhu_backend_client_get_features(client, &features);
        else if (x->request == VHU_REQ_GET_CONFIG)
            r = vhu_backend_client_get_config(client, 0, config, CONFIG_LEN);
        else if (x->request == VHU_REQ_SET_VRING_NUM)
            r = vhu_backend_client_set_vring_num(client, 0, 256);
        else
            r = vhu_backend_client_set_vring_event(client, 0, VHU_VRING_CALL, handle);
    }
    if (r < 0) {
        fprintf(stderr, "%s: %s\n", x->name, vhu_strerror(r));
        exit(1);
    }
}

static void stop(pid_t pid)
{
    int status;

    waitpid(pid, &status, 0);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fprintf(stderr, "a server ended with status 0x%x\n", (unsigned)status);
}

/* Turns per second. */
static double rate(serve_fn serve, const exchange *x, int handle)
{
    pid_t pid = start(serve, x, false);
    int fd = connect_raw();
    uint64_t begin;
    uint64_t end;
    uint64_t n = 0;

    negotiate(fd);
    begin = now_ns();
    do {
        for (int i = 0; i < 16; i++)
            turn(fd, x, handle);
        n += 16;
        end = now_ns();
    } while (end - begin < ROUND_NS);
    close(fd);
    stop(pid);
    return (double)n * 1e9 / (double)(end - begin);
}

/* The same with the library's client, and no protocol behind it. */
static double client_rate(const exchange *x, int handle)
{
    pid_t pid = start(serve_raw, x, false);
    vhu_backend_client *client = connect_client();
    uint64_t begin = now_ns();
    uint64_t end;
    uint64_t n = 0;

    do {
        for (int i = 0; i < 16; i++)
            call_turn(client, x, handle);
        n += 16;
        end = now_ns();
    } while (end - begin < ROUND_NS);
    vhu_backend_client_free(client);
    stop(pid);
    return (double)n * 1e9 / (double)(end - begin);
}

/* System calls of a process that has stopped itself, until it ends. */
static unsigned long count_calls(pid_t pid)
{
    unsigned long stops = 0;
    int status;

    waitpid(pid, &status, 0);
    ptrace(PTRACE_SETOPTIONS, pid, NULL, PTRACE_O_TRACESYSGOOD);
    while (ptrace(PTRACE_SYSCALL, pid, NULL, NULL) == 0 && waitpid(pid, &status, 0) > 0) {
        if (WIFEXITED(status) || WIFSIGNALED(status))
            break;
        if (WSTOPSIG(status) == (SIGTRAP | 0x80))
            stops++;
    }
    return stops / 2;
}

/* Those that a server makes for `turns`, start and end included. */
static unsigned long trace_server(const exchange *x, int handle, unsigned turns)
{
    pid_t server = start(serve_vhu, x, true);
    pid_t client = fork();
    unsigned long calls;
    int status;

    if (client == 0) {
        int fd = connect_raw();

        negotiate(fd);
        for (unsigned i = 0; i < turns; i++)
            turn(fd, x, handle);
        _exit(0);
    }
    calls = count_calls(server);
    waitpid(client, &status, 0);
    return calls;
}

/* Those that a client makes. */
static unsigned long trace_client(const exchange *x, int handle, unsigned turns)
{
    pid_t server = start(serve_raw, x, false);
    pid_t client = fork();
    unsigned long calls;

    if (client == 0) {
        vhu_backend_client *c;

        ptrace(PTRACE_TRACEME, 0, NULL, NULL);
        raise(SIGSTOP);
        c = connect_client();
        for (unsigned i = 0; i < turns; i++)
            call_turn(c, x, handle);
        _exit(0);
    }
    calls = count_calls(client);
    stop(server);
    return calls;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;

    return (x > y) - (x < y);
}

enum { SERVER, CLIENT };

static double calls_per_message(int role, const exchange *x, int handle)
{
    unsigned long (*trace)(const exchange *x, int handle, unsigned turns) =
        role == SERVER ? trace_server : trace_client;

    return (double)(trace(x, handle, 2 * COUNTED) - trace(x, handle, COUNTED)) / COUNTED /
           x->messages;
}

static void measure(int role, const exchange *x, int handle)
{
    double ratio[ROUNDS];
    double vhu[ROUNDS];

    for (int i = 0; i < ROUNDS; i++) {
        double raw = rate(serve_raw, x, handle);

        vhu[i] = role == SERVER ? rate(serve_vhu, x, handle) : client_rate(x, handle);
        ratio[i] = vhu[i] / raw;
    }
    qsort(ratio, ROUNDS, sizeof(ratio[0]), compare);
    qsort(vhu, ROUNDS, sizeof(vhu[0]), compare);
    printf("%-28s %10.0f   %5.2f [%.2f-%.2f]   %14.2f\n", x->name, vhu[ROUNDS / 2] * x->messages,
           ratio[ROUNDS / 2], ratio[1], ratio[ROUNDS - 2], calls_per_message(role, x, handle));
    fflush(stdout);
}

/* Without arguments all exchanges, with one those whose name it is part of. */
int main(int argc, char **argv)
{
    cpu_set_t one;
    int handle = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);

    CPU_ZERO(&one);
    CPU_SET(0, &one);
    snprintf(address, sizeof(address), "@bench_control.%d", (int)getpid());
    if (handle < 0 || sched_setaffinity(0, sizeof(one), &one) != 0)
        fatal("set-up");
    printf("both processes on one processor, median of %d rounds\n", ROUNDS);
    for (int role = SERVER; role <= CLIENT; role++) {
        printf("%-28s %10s   %-18s %14s\n", role == SERVER ? "server" : "client", "messages/s",
               "ratio to raw", "calls/message");
        for (size_t i = 0; i < sizeof(exchanges) / sizeof(exchanges[0]); i++) {
            /* A client sends each request by itself. */
            if (role == CLIENT && exchanges[i].one_send)
                continue;
            if (argc < 2 || strstr(exchanges[i].name, argv[1]))
                measure(role, &exchanges[i], handle);
        }
    }
    close(handle);
    return 0;
}
