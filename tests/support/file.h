/* SPDX-License-Identifier: BSD-3-Clause */
/* Files by their paths; what cannot be done fails the test. */
#ifndef TEST_FILE_H
#define TEST_FILE_H

#include <stddef.h>
#include <stdint.h>

/* Made if it is not there; zeroes as far as it grows. */
void file_resize(const char *path, int64_t size);

void file_write(const char *path, int64_t offset, const void *bytes, size_t len);
void file_read(const char *path, int64_t offset, void *bytes, size_t len);

/* Bytes; -1: there is none. */
int64_t file_size(const char *path);

void file_remove(const char *path);

#endif
