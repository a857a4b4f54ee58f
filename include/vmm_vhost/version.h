/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef VMM_VHOST_VERSION_H
#define VMM_VHOST_VERSION_H

#include <vmm_vhost/types.h>

#define VHU_VERSION_MAJOR 0
#define VHU_VERSION_MINOR 9
#define VHU_VERSION_PATCH 0
#define VHU_VERSION_STRING "0.9.0"

#ifdef __cplusplus
extern "C" {
#endif

/* Version of the library at run time: a static string such as "0.9.0". Any thread. */
VHU_API const char *vhu_version(void);

#ifdef __cplusplus
}
#endif

#endif
