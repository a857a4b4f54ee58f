/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-rng: random bytes, or those of a file, for a virtual machine (virtio 1.3, 5.4). */
#include <errno.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "program.h"

enum {
    BUFS = 64,
    MAX_BYTES = 65536, /* a request gets no more, however much it has room for */
    AT_ONCE = 16       /* requests before other rings have their turn */
};

static const struct program_info info = {.name = "vhost-user-rng",
                                         .summary = "serves random bytes over vhost-user",
                                         .capabilities = "{\n"
                                                         "  \"type\": \"rng\"\n"
                                                         "}"};

struct rng {
    struct program program; /* first: see struct program */
    const char *path;       /* NULL: bytes of the system */
    FILE *file;
    _Atomic uint64_t requests;
    _Atomic uint64_t bytes;
};

/* The file over and over; stdio keeps the workers apart. How many bytes have come. */
static size_t read_file(FILE *file, void *buf, size_t len)
{
    size_t n = fread(buf, 1, len, file);
    size_t more = 1;

    while (n < len && more > 0) {
        rewind(file);
        more = fread((char *)buf + n, 1, len - n, file);
        n += more;
    }
    return n;
}

static size_t get_bytes(const struct rng *rng, void *buf, size_t len)
{
    if (rng->file)
        return read_file(rng->file, buf, len);
    return uv_random(NULL, NULL, buf, len, 0, NULL) ? 0 : len;
}

static uint32_t fill(const struct rng *rng, const vhu_chain *chain)
{
    const vhu_buf *buf = chain->bufs + chain->num_readable;
    uint32_t written = 0;

    for (uint32_t i = 0; i < chain->num_writable && written < MAX_BYTES; ++i) {
        const size_t room = MAX_BYTES - written;
        const size_t len = buf[i].len < room ? buf[i].len : room;
        const size_t n = get_bytes(rng, buf[i].base, len);

        written += (uint32_t)n;
        if (n < len)
            break;
    }
    return written;
}

static void handle_ring(void *self, vhu_ring *ring)
{
    struct rng *rng = self;
    vhu_buf bufs[BUFS];
    vhu_chain chain = {.bufs = bufs, .capacity = BUFS};

    for (int i = 0; i < AT_ONCE && vhu_ring_take(ring, &chain, 1) == 1; ++i) {
        chain.written = fill(rng, &chain);
        vhu_ring_complete(ring, &chain, 1);
        atomic_fetch_add_explicit(&rng->requests, 1, memory_order_relaxed);
        atomic_fetch_add_explicit(&rng->bytes, chain.written, memory_order_relaxed);
    }
    vhu_ring_flush(ring);
}

static const vhu_device_ops ops = {.size = sizeof ops, .handle_ring = handle_ring};

static enum program_verdict parse(struct rng *rng, int argc, char **argv)
{
    const struct option_row rows[] = {
        {"file", OPTION_TEXT, &rng->path, "FILE",
         "give the bytes of this file, over and over, instead of the system's", 0, 0},
    };

    return program_parse(&rng->program, rows, sizeof rows / sizeof rows[0], argc, argv);
}

static int open_file(struct rng *rng)
{
    char byte;

    if (!rng->path)
        return 0;
    rng->file = fopen(rng->path, "rb");
    if (rng->file && read_file(rng->file, &byte, 1) == 1) {
        rewind(rng->file);
        return 0;
    }
    program_say(&rng->program, "--file=%s: %s", rng->path,
                rng->file ? "has no bytes" : strerror(errno));
    return -1;
}

static int serve(struct rng *rng)
{
    const struct program_device device = {.ops = &ops};
    const int code =
        program_serve(&rng->program, &device, "bytes of %s", rng->path ? rng->path : "the system");

    if (code == EXIT_SUCCESS)
        printf("%s: served requests=%" PRIu64 " bytes=%" PRIu64 "\n", info.name,
               atomic_load(&rng->requests), atomic_load(&rng->bytes));
    return code;
}

int main(int argc, char **argv)
{
    static struct rng rng;
    enum program_verdict verdict;
    int code = EXIT_FAILURE;

    program_init(&rng.program, &info);
    verdict = parse(&rng, argc, argv);
    if (verdict != PROGRAM_RUN)
        return (int)verdict;
    if (open_file(&rng) == 0)
        code = serve(&rng);
    if (rng.file)
        fclose(rng.file);
    return code;
}
