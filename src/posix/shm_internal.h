/* SPDX-License-Identifier: BSD-3-Clause */
/* What shared memory is made of: the one thing in which systems with and without memfd differ. */
#ifndef VHU_SHM_INTERNAL_H
#define VHU_SHM_INTERNAL_H

#include <sys/types.h>

/* Make a nameless object of `size` bytes, close-on-exec. 0 or an error of error.h. */
int vhu__shm_object(int *out, off_t size);

#endif
