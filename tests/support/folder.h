/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder of a test's own, where the system keeps what may go away. */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include <stdint.h>

typedef struct folder {
    char path[512];
} folder;

typedef struct folder_file {
    char path[600];
} folder_file;

/* 0, or -1. */
int folder_new(folder *f);

/* With the files in it. 0, or -1. */
int folder_remove(folder *f);

/* The path of a file in it, whether it is there or not. */
folder_file folder_at(const folder *f, const char *name);

/* Bytes of a file of it; -1: there is none. */
int64_t folder_size_of(const folder *f, const char *name);

#endif
