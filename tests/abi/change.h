/* SPDX-License-Identifier: BSD-3-Clause */
/* A small library; each macro is a change of it, which ci/abi has to judge. */
#ifndef CHANGE_H
#define CHANGE_H

#include <stddef.h>

typedef enum vhu_change_kind {
#ifdef VALUE_CHANGED
    VHU_CHANGE_FIRST = 7,
#else
    VHU_CHANGE_FIRST = 0,
#endif
    VHU_CHANGE_SECOND = 1,
#ifdef VALUE_ADDED
    VHU_CHANGE_THIRD = 2,
#endif
} vhu_change_kind;

typedef struct vhu_change_options {
    size_t size; /* sizeof(vhu_change_options) */
#ifdef MEMBER_INSERTED
    long inserted;
#endif
#ifndef MEMBER_REMOVED
    long removed;
#endif
#ifdef MEMBER_CHANGED
    unsigned long number;
#else
    long number;
#endif
#ifdef OP_CHANGED
    int (*op)(void *self, long more);
#else
    int (*op)(void *self);
#endif
    char last;
#ifdef MEMBER_IN_PADDING
    char behind_last;
#endif
#ifdef MEMBER_ADDED
    long added;
#endif
} vhu_change_options;

/* Not led by its size. */
typedef struct vhu_change_pair {
    int first;
    int second;
#ifdef FIXED_GROWN
    int third;
#endif
} vhu_change_pair;

int vhu_change_new(const vhu_change_options *options, vhu_change_pair pairs[2]);
vhu_change_kind vhu_change_kind_of(int number);
#ifndef FUNCTION_REMOVED
int vhu_change_removed(void);
#endif
#ifdef FUNCTION_ADDED
int vhu_change_added(void);
#endif
#ifdef PARAMETER_CHANGED
int vhu_change_parameter(long number);
#else
int vhu_change_parameter(int number);
#endif

#endif
