/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/leakcheck.h"

#include "support/sys.h"

/* Threads of a system's pool end some seconds after their last work, and handles with them. */
enum { PATIENCE_MS = 10000, STEP_MS = 50 };

static int before;

int leakcheck_count(void)
{
    return sys_count_handles();
}

int leakcheck_setup(void **state)
{
    (void)state;
    before = leakcheck_count();
    return before < 0 ? -1 : 0;
}

int leakcheck_teardown(void **state)
{
    int after = leakcheck_count();

    (void)state;
    for (int ms = 0; after != before && ms < PATIENCE_MS; ms += STEP_MS) {
        sys_sleep_ms(STEP_MS);
        after = leakcheck_count();
    }
    if (after != before)
        print_error("%d descriptors were open before the test, %d after\n", before, after);
    return after == before ? 0 : -1;
}
