/* SPDX-License-Identifier: BSD-3-Clause */
#include "util.h"

#include <string.h>

bool vhu__copy_sized(void *out, size_t known, const void *in, size_t least)
{
    size_t size;

    memcpy(&size, in, sizeof(size));
    if (size < least)
        return false;
    for (size_t i = known; i < size; i++) {
        if (((const unsigned char *)in)[i] != 0)
            return false;
    }
    memset(out, 0, known);
    memcpy(out, in, size < known ? size : known);
    memcpy(out, &known, sizeof(known));
    return true;
}
