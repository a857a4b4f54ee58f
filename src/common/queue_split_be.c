/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Split virtqueues of big-endian guests with a driver before 1.0 (SET_VRING_ENDIAN): the same code
 * once more with the other byte order, so that neither of the two has to ask which it is.
 */
#include "endian.h"

#define vhu__le16 vhu__be16
#define vhu__le32 vhu__be32
#define vhu__le64 vhu__be64
#define vhu__split_layout vhu__split_be_layout

#include "queue_split.c" // NOLINT(bugprone-suspicious-include)
