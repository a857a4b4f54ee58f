/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * For the guest: reader FILE COPY STOP. Reads pieces of FILE past the page cache, always into the
 * same memory, and compares it with COPY some time later; until there is a file STOP. So what the
 * disk wrote there is in memory that no processor has touched.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE = 1 << 20, PAUSE_US = 100000 };

static const char *map_file(const char *path, size_t *size)
{
    int fd = open(path, O_RDONLY);
    struct stat st;
    void *at;

    if (fd < 0 || fstat(fd, &st) < 0)
        return NULL;
    at = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
    close(fd);
    *size = (size_t)st.st_size;
    return at == MAP_FAILED ? NULL : at;
}

static int differs(const char *piece, const char *wanted, unsigned round)
{
    for (size_t i = 0; i < PIECE; i += 4096) {
        if (memcmp(piece + i, wanted + i, 4096) == 0)
            continue;
        printf("guest: memory differs in round %u at %zu\n", round, i);
        return 1;
    }
    return 0;
}

int main(int argc, char **argv)
{
    char *piece = mmap(NULL, PIECE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    const char *copy;
    size_t size;
    int fd;

    if (argc != 4 || piece == MAP_FAILED || !(copy = map_file(argv[2], &size)))
        return 2;
    fd = open(argv[1], O_RDONLY | O_DIRECT);
    if (fd < 0)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    for (unsigned round = 1; access(argv[3], F_OK) < 0; round++) {
        size_t from = round % (size / PIECE) * PIECE;

        if (pread(fd, piece, PIECE, (off_t)from) != PIECE)
            return 2;
        usleep(PAUSE_US);
        if (differs(piece, copy + from, round))
            return 1;
        printf("guest: round %u\n", round);
    }
    return 0;
}
