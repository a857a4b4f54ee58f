/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a split ring in a big-endian guest, before 1.0; as in queue_split_be.c. */
#include "endian.h"

#define vhu__le16 vhu__be16
#define vhu__le32 vhu__be32
#define vhu__le64 vhu__be64
#define vhu__driver_split vhu__driver_split_be

#include "driver_split.c" // NOLINT(bugprone-suspicious-include)
