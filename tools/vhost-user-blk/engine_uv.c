/* SPDX-License-Identifier: BSD-3-Clause */
/* Input and output on the threads of libuv: everywhere, at the price of a thread for each call. */
#include "engine.h"

#include <errno.h>
#include <stdlib.h>

static int uv_probe(void)
{
    return 0;
}

static int uv_start(struct engine **out, const struct disk *disk, uv_loop_t *loop, unsigned depth,
                    engine_done_fn done)
{
    struct engine *engine = malloc(sizeof *engine);

    (void)depth;
    if (!engine)
        return -ENOMEM;
    *engine = (struct engine){&engine_uv, disk, loop, done};
    *out = engine;
    return 0;
}

/* All happens in callbacks of the loop. */
static bool uv_poll_nothing(struct engine *engine)
{
    (void)engine;
    return false;
}

static void uv_free(struct engine *engine)
{
    free(engine);
}

const struct engine_ops engine_uv = {.name = "uv",
                                     .probe = uv_probe,
                                     .start = uv_start,
                                     .submit = engine_submit_blocking,
                                     .poll = uv_poll_nothing,
                                     .free = uv_free};
