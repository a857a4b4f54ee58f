/* SPDX-License-Identifier: BSD-3-Clause */
#include <vmm_vhost/version.h>

const char *vhu_version(void)
{
    return VHU_VERSION_STRING;
}
