/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/leakcheck.h"

#include <dirent.h>
#include <stdio.h>

static int before;

int leakcheck_count(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");

    if (!dir)
        return -1;
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
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
