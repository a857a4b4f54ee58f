/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/sys.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int count_files(const char *path)
{
    int n = 0;
    DIR *dir = opendir(path);

    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

int sys_count_handles(void)
{
    return count_files("/proc/self/fd");
}

int sys_count_handles_of(int process)
{
    char path[32];

    snprintf(path, sizeof(path), "/proc/%d/fd", process);
    return count_files(path);
}

vhu_handle sys_handle_new(void)
{
    int ends[2];

    if (pipe2(ends, O_CLOEXEC) != 0)
        return VHU_NO_HANDLE;
    close(ends[0]);
    return ends[1];
}

vhu_handle sys_odd_handle_new(void)
{
    return open("/", O_RDONLY | O_CLOEXEC);
}

bool sys_handle_is_open(vhu_handle handle)
{
    return fcntl(handle, F_GETFD) >= 0;
}

bool sys_handle_is_inherited(vhu_handle handle)
{
    return !(fcntl(handle, F_GETFD) & FD_CLOEXEC);
}

bool sys_handles_same(vhu_handle a, vhu_handle b)
{
    struct stat x;
    struct stat y;

    return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

int sys_count_maps(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char line[512];
    int n = 0;

    if (!maps)
        return -1;
    while (fgets(line, sizeof(line), maps))
        n += strstr(line, "memfd:") != NULL;
    fclose(maps);
    return n;
}

void sys_address_new(sys_address *out)
{
    static unsigned number;

    snprintf(out->text, sizeof(out->text), "/tmp/vhu-test-%d-%u.sock", (int)getpid(), ++number);
    unlink(out->text);
}

void sys_address_clear(sys_address *address)
{
    unlink(address->text);
}

const char *const sys_bad_addresses[] = {"", NULL};

const bool sys_has_seqpacket = true;

int sys_seqpacket_pair(vhu_stream *out[2])
{
    int fds[2];
    int r;

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0)
        return VHU_EOS;
    r = vhu_stream_adopt(&out[0], &fds[0], NULL);
    if (r == 0) {
        r = vhu_stream_adopt(&out[1], &fds[1], NULL);
        if (r < 0)
            vhu_stream_free(out[0]);
    }
    vhu_handle_close(&fds[0]);
    vhu_handle_close(&fds[1]);
    return r;
}

bool sys_stream_make_small(vhu_handle wait_handle)
{
    int size = 1;

    return setsockopt(wait_handle, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0;
}

void sys_error_set(unsigned error)
{
    errno = (int)error;
}

unsigned sys_error(void)
{
    return (unsigned)errno;
}

void sys_sleep_ms(unsigned ms)
{
    const struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};

    nanosleep(&t, NULL);
}

bool sys_is_wine(void)
{
    return false;
}

void sys_interrupt(int process)
{
    kill(process, SIGTERM);
}
