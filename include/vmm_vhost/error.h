/* SPDX-License-Identifier: BSD-3-Clause */
/* Every error that the library returns: one row makes code, name, text and class. */
#ifndef VMM_VHOST_ERROR_H
#define VMM_VHOST_ERROR_H

#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Who has to act. */
typedef enum vhu_error_class {
    VHU_CLASS_RETRY = 0,  /* nothing is wrong: wait, then call again */
    VHU_CLASS_CLOSED = 1, /* the other end has gone */
    VHU_CLASS_PEER = 2,   /* the peer or the guest broke a rule */
    VHU_CLASS_LOCAL = 3   /* this side's fault, or its operating system's */
} vhu_error_class;

/* X(name, value, class, text). Values are part of the ABI: append only. */
#define VHU_ERROR_MAP(X)                                                                           \
    X(EAGAIN, -1, RETRY, "not ready: wait and call again")                                         \
    X(EPENDING, -2, RETRY, "accepted: the answer follows later")                                   \
    X(ETIMEDOUT, -3, CLOSED, "the time limit has passed")                                          \
    X(ECLIENT_EXIT, -4, CLOSED, "the peer closed the connection between messages")                 \
    X(EDISCONNECT, -5, CLOSED, "the peer closed the connection inside a message")                  \
    X(EINVALID_MESSAGE, -6, PEER, "the peer sent a message that breaks the protocol")              \
    X(EBROKEN_RING, -7, PEER, "the guest broke a rule of the ring")                                \
    X(EFAULT, -8, PEER, "an address lies outside of the guest's memory")                           \
    X(EINVAL, -9, LOCAL, "an argument is wrong")                                                   \
    X(ENOMEM, -10, LOCAL, "out of memory")                                                         \
    X(ENOSYS, -11, LOCAL, "not supported here")                                                    \
    X(ESTATE, -12, LOCAL, "called in the wrong state")                                             \
    X(EADDRINUSE, -13, LOCAL, "the address is in use")                                             \
    X(ENOENT, -14, LOCAL, "no such address or file")                                               \
    X(ECONNREFUSED, -15, LOCAL, "nobody listens on this address")                                  \
    X(EPERM, -16, LOCAL, "permission denied")                                                      \
    X(EOVERFLOW, -17, LOCAL, "a size or a number is over its limit")                               \
    X(EMFILE, -18, LOCAL, "too many open handles")                                                 \
    X(EIO, -19, LOCAL, "an input or output operation failed")                                      \
    X(EOS, -20, LOCAL, "the operating system reported an error that has no code here")             \
    X(EREFUSED, -21, PEER, "the peer refused the request or failed to do it")

typedef enum vhu_error {
#define VHU_ERROR_ENUM(name, value, class, text) VHU_##name = (value),
    VHU_ERROR_MAP(VHU_ERROR_ENUM)
#undef VHU_ERROR_ENUM
        VHU_OK = 0
} vhu_error;

/*
 * Text, name ("VHU_EAGAIN") and class of a code. An unknown code gives "unknown error",
 * "VHU_UNKNOWN" and VHU_CLASS_LOCAL; zero gives "success", "VHU_OK" and VHU_CLASS_RETRY. The
 * strings are static. Any thread.
 */
VHU_API const char *vhu_strerror(int error);
VHU_API const char *vhu_error_name(int error);
VHU_API vhu_error_class vhu_error_classify(int error);

#ifdef __cplusplus
}
#endif

#endif
