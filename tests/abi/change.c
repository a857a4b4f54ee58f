/* SPDX-License-Identifier: BSD-3-Clause */
#include "change.h"

int vhu_change_new(const vhu_change_options *options, vhu_change_pair pairs[2])
{
    return (int)options->size + pairs[1].first;
}

vhu_change_kind vhu_change_kind_of(int number)
{
    return number ? VHU_CHANGE_SECOND : VHU_CHANGE_FIRST;
}

#ifndef FUNCTION_REMOVED
int vhu_change_removed(void)
{
    return 0;
}
#endif

#ifdef FUNCTION_ADDED
int vhu_change_added(void)
{
    return 0;
}
#endif

#ifdef PARAMETER_CHANGED
int vhu_change_parameter(long number)
#else
int vhu_change_parameter(int number)
#endif
{
    return number != 0;
}
