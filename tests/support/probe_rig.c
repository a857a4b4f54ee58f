/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/probe_rig.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

static char folder[] = "/tmp/test_probe.XXXXXX";

static void in_folder(char *path, size_t size, const char *name)
{
    snprintf(path, size, "%s/%s", folder, name);
}

/* --- programs --- */

/* Its stdout, or stderr, too, comes out of *output. */
static pid_t start(const char *program, const char *const *args, bool errors, int *output)
{
    char *argv[PROBE_MAX_ARGS + 2] = {(char[]){"program"}};
    posix_spawn_file_actions_t actions;
    int ends[2];
    pid_t pid;

    for (int i = 0; i < PROBE_MAX_ARGS && args[i]; ++i) {
        argv[i + 1] = strdup(args[i]);
        assert_non_null(argv[i + 1]);
    }
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addchdir_np(&actions, folder);
    posix_spawn_file_actions_adddup2(&actions, ends[1], 1);
    if (errors)
        posix_spawn_file_actions_adddup2(&actions, ends[1], 2);
    else
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    assert_int_equal(posix_spawn(&pid, program, &actions, NULL, argv, environ), 0);
    posix_spawn_file_actions_destroy(&actions);
    for (int i = 1; argv[i]; ++i)
        free(argv[i]);
    close(ends[1]);
    *output = ends[0];
    return pid;
}

static int end_of(pid_t pid)
{
    int status;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

void probe_run(struct probed *probed, const char *const *args)
{
    size_t len = 0;
    ssize_t n;
    int output;
    const pid_t pid = start(PROBE_PROGRAM, args, true, &output);

    while (len + 1 < sizeof probed->text &&
           (n = read(output, probed->text + len, sizeof probed->text - 1 - len)) > 0)
        len += (size_t)n;
    probed->text[len] = '\0';
    close(output);
    probed->code = end_of(pid);
}

bool probe_says(const struct probed *probed, const char *text)
{
    if (strstr(probed->text, text))
        return true;
    print_error("'%s' is not in\n%s\n", text, probed->text);
    return false;
}

static void make_disk(void)
{
    uint8_t sector[512] = {0};
    char path[100];

    in_folder(path, sizeof path, "image");
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    for (uint64_t i = 0; i < PROBE_SECTORS; ++i) {
        memcpy(sector, &i, sizeof i);
        assert_int_equal(fwrite(sector, sizeof sector, 1, file), 1);
    }
    assert_int_equal(fclose(file), 0);
}

/* Its first line says that it is ready; what it says about wrong messages goes nowhere. */
void probe_disk_start(struct probe_disk *disk)
{
    static const char *const args[] = {"--blk-file=image", "--socket-path=disk", "--engine=uv",
                                       "--num-queues=2", NULL};
    char byte;

    make_disk();
    disk->pid = start(BLK_PROGRAM, args, false, &disk->output);
    do {
        assert_int_equal(read(disk->output, &byte, 1), 1);
    } while (byte != '\n');
}

void probe_disk_stop(struct probe_disk *disk)
{
    kill(disk->pid, SIGTERM);
    assert_int_equal(end_of(disk->pid), 0);
    close(disk->output);
}

/* --- sockets --- */

static int unix_socket(struct sockaddr_un *address, const char *name)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    in_folder(address->sun_path, sizeof address->sun_path, name);
    return fd;
}

int probe_listen(const char *name)
{
    struct sockaddr_un address;
    const int fd = unix_socket(&address, name);

    unlink(address.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

int probe_connect(const char *name)
{
    struct sockaddr_un address;
    const int fd = unix_socket(&address, name);

    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* --- the folder --- */

int probe_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

int probe_folder_remove(void **state)
{
    static const char *const names[] = {"image", "disk", "socket"};
    char path[100];

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; ++i) {
        in_folder(path, sizeof path, names[i]);
        unlink(path);
    }
    return rmdir(folder);
}
