/* SPDX-License-Identifier: BSD-3-Clause */
#include "engine.h"

const char engine_names[] = "auto|io_uring|uv";

const struct engine_ops *const engine_table[] = {
#ifdef WITH_IO_URING
    &engine_uring,
#endif
    &engine_uv,
    NULL,
};
