/* SPDX-License-Identifier: BSD-3-Clause */
/* What a new event is made of: the one thing in which systems with and without eventfd differ. */
#ifndef VHU_EVENT_INTERNAL_H
#define VHU_EVENT_INTERNAL_H

/*
 * Make the two ends of an event, non-blocking and close-on-exec; they may be the same descriptor.
 * 0 or an error of error.h.
 */
int vhu__event_ends(int *wait_end, int *signal_end);

#endif
