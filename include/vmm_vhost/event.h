/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Notifiers: what kick, call and err are made of. An eventfd, a pipe where there is no eventfd, or
 * an event object on Windows. Section "Ring states" and the SET_VRING_KICK, _CALL, _ERR messages.
 *
 * No function but vhu_event_wait() blocks, in whatever mode a handle is that the peer has, too.
 * With one exception: Linux cannot write to an eventfd without perhaps waiting, so it is looked at
 * first, and a peer that fills it between the look and the write holds up the signalling thread
 * until the eventfd is read. Different threads may signal and clear the same event at once.
 */
#ifndef VMM_VHOST_EVENT_H
#define VMM_VHOST_EVENT_H

#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* An event of our own, not signalled. VHU_EMFILE, VHU_ENOMEM. */
VHU_API int vhu_event_new(vhu_event **out);

/*
 * An event made of a received handle: one to wait for and clear (a kick), or one to signal (a
 * call or an err). *handle is taken on success. The handle's mode, which it may share with the
 * peer, is never changed. VHU_EINVAL if it cannot be such an event, VHU_ENOMEM.
 */
VHU_API int vhu_event_adopt_wait(vhu_event **out, vhu_handle *handle);
VHU_API int vhu_event_adopt_signal(vhu_event **out, vhu_handle *handle);

/* Closes its handles. */
VHU_API void vhu_event_free(vhu_event *event);

/*
 * Signal. An event that is full counts as signalled. 0; VHU_EDISCONNECT if nobody can see it any
 * more; VHU_EIO; VHU_ESTATE if it has no end to signal.
 */
VHU_API int vhu_event_signal(vhu_event *event);

/*
 * Take back all signals so far. 0; VHU_EAGAIN if it was not signalled; VHU_EDISCONNECT if nobody
 * can signal it any more; VHU_EIO; VHU_ESTATE if it has no end to wait for.
 */
VHU_API int vhu_event_clear(vhu_event *event);

/*
 * The handle to wait on, borrowed; VHU_NO_HANDLE if it has no such end. On Windows whoever waits
 * for it takes the signal, and vhu_event_clear() finds none.
 */
VHU_API vhu_handle vhu_event_wait_handle(const vhu_event *event);

/*
 * Wait until it is signalled, and leave it so (on Windows for these functions, not for its handle):
 * 0, VHU_ETIMEDOUT, VHU_EIO; VHU_ESTATE if it has no end to wait for. Milliseconds; negative: no
 * limit.
 */
VHU_API int vhu_event_wait(vhu_event *event, int timeout_ms);

/*
 * Duplicates to pass to a peer: the end with which the peer signals this event, or the end with
 * which it waits for it. *out belongs to the caller. VHU_EMFILE, VHU_ESTATE.
 */
VHU_API int vhu_event_dup_signal(vhu_event *event, vhu_handle *out);
VHU_API int vhu_event_dup_wait(vhu_event *event, vhu_handle *out);

#ifdef __cplusplus
}
#endif

#endif
