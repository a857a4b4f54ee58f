/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/leakcheck.h"

#include "support/sys.h"

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
    if (after != before)
        print_error("%d descriptors were open before the test, %d after\n", before, after);
    return after == before ? 0 : -1;
}
