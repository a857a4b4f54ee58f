/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Numbers and structures that the vhost-user specification fixes, in its order and under its
 * names. All integers are in the host's byte order. Section names are those of the specification
 * ("Vhost-user Protocol", QEMU documentation, interop).
 */
#ifndef VMM_VHOST_PROTOCOL_H
#define VMM_VHOST_PROTOCOL_H

#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Section "Header". */
typedef struct vhu_msg_header {
    uint32_t request;
    uint32_t flags; /* VHU_FLAG_* */
    uint32_t size;  /* bytes of payload that follow */
} vhu_msg_header;

enum {
    VHU_VERSION_1 = 0x1, /* the only protocol version there is */
    VHU_VERSION_MASK = 0x3,
    VHU_FLAG_REPLY = 0x4,
    VHU_FLAG_NEED_REPLY = 0x8
};

/* Bytes of the largest payload that is accepted, and the handles one message may carry. */
#define VHU_MAX_PAYLOAD 4108u
#define VHU_MAX_HANDLES 8u

/* Section "Front-end message types". X(name, code) */
#define VHU_FRONTEND_REQUEST_MAP(X)                                                                \
    X(GET_FEATURES, 1)                                                                             \
    X(SET_FEATURES, 2)                                                                             \
    X(SET_OWNER, 3)                                                                                \
    X(RESET_OWNER, 4)                                                                              \
    X(SET_MEM_TABLE, 5)                                                                            \
    X(SET_LOG_BASE, 6)                                                                             \
    X(SET_LOG_FD, 7)                                                                               \
    X(SET_VRING_NUM, 8)                                                                            \
    X(SET_VRING_ADDR, 9)                                                                           \
    X(SET_VRING_BASE, 10)                                                                          \
    X(GET_VRING_BASE, 11)                                                                          \
    X(SET_VRING_KICK, 12)                                                                          \
    X(SET_VRING_CALL, 13)                                                                          \
    X(SET_VRING_ERR, 14)                                                                           \
    X(GET_PROTOCOL_FEATURES, 15)                                                                   \
    X(SET_PROTOCOL_FEATURES, 16)                                                                   \
    X(GET_QUEUE_NUM, 17)                                                                           \
    X(SET_VRING_ENABLE, 18)                                                                        \
    X(SEND_RARP, 19)                                                                               \
    X(NET_SET_MTU, 20)                                                                             \
    X(SET_BACKEND_REQ_FD, 21)                                                                      \
    X(IOTLB_MSG, 22)                                                                               \
    X(SET_VRING_ENDIAN, 23)                                                                        \
    X(GET_CONFIG, 24)                                                                              \
    X(SET_CONFIG, 25)                                                                              \
    X(CREATE_CRYPTO_SESSION, 26)                                                                   \
    X(CLOSE_CRYPTO_SESSION, 27)                                                                    \
    X(POSTCOPY_ADVISE, 28)                                                                         \
    X(POSTCOPY_LISTEN, 29)                                                                         \
    X(POSTCOPY_END, 30)                                                                            \
    X(GET_INFLIGHT_FD, 31)                                                                         \
    X(SET_INFLIGHT_FD, 32)                                                                         \
    X(GPU_SET_SOCKET, 33)                                                                          \
    X(RESET_DEVICE, 34)                                                                            \
    X(VRING_KICK, 35)                                                                              \
    X(GET_MAX_MEM_SLOTS, 36)                                                                       \
    X(ADD_MEM_REG, 37)                                                                             \
    X(REM_MEM_REG, 38)                                                                             \
    X(SET_STATUS, 39)                                                                              \
    X(GET_STATUS, 40)                                                                              \
    X(GET_SHARED_OBJECT, 41)                                                                       \
    X(SET_DEVICE_STATE_FD, 42)                                                                     \
    X(CHECK_DEVICE_STATE, 43)                                                                      \
    X(GET_SHMEM_CONFIG, 44)

typedef enum vhu_frontend_request {
#define VHU_REQUEST_ENUM(name, code) VHU_REQ_##name = (code),
    VHU_FRONTEND_REQUEST_MAP(VHU_REQUEST_ENUM)
#undef VHU_REQUEST_ENUM
        VHU_REQ_END
} vhu_frontend_request;

/* Section "Back-end message types". X(name, code) */
#define VHU_BACKEND_REQUEST_MAP(X)                                                                 \
    X(IOTLB_MSG, 1)                                                                                \
    X(CONFIG_CHANGE_MSG, 2)                                                                        \
    X(VRING_HOST_NOTIFIER_MSG, 3)                                                                  \
    X(VRING_CALL, 4)                                                                               \
    X(VRING_ERR, 5)                                                                                \
    X(SHARED_OBJECT_ADD, 6)                                                                        \
    X(SHARED_OBJECT_REMOVE, 7)                                                                     \
    X(SHARED_OBJECT_LOOKUP, 8)                                                                     \
    X(SHMEM_MAP, 9)                                                                                \
    X(SHMEM_UNMAP, 10)

typedef enum vhu_backend_request {
#define VHU_REQUEST_ENUM(name, code) VHU_BACKEND_REQ_##name = (code),
    VHU_BACKEND_REQUEST_MAP(VHU_REQUEST_ENUM)
#undef VHU_REQUEST_ENUM
        VHU_BACKEND_REQ_END
} vhu_backend_request;

/* Section "Protocol features": bit numbers. X(name, bit) */
#define VHU_PROTOCOL_FEATURE_MAP(X)                                                                \
    X(MQ, 0)                                                                                       \
    X(LOG_SHMFD, 1)                                                                                \
    X(RARP, 2)                                                                                     \
    X(REPLY_ACK, 3)                                                                                \
    X(NET_MTU, 4)                                                                                  \
    X(BACKEND_REQ, 5)                                                                              \
    X(CROSS_ENDIAN, 6)                                                                             \
    X(CRYPTO_SESSION, 7)                                                                           \
    X(PAGEFAULT, 8)                                                                                \
    X(CONFIG, 9)                                                                                   \
    X(BACKEND_SEND_FD, 10)                                                                         \
    X(HOST_NOTIFIER, 11)                                                                           \
    X(INFLIGHT_SHMFD, 12)                                                                          \
    X(RESET_DEVICE, 13)                                                                            \
    X(INBAND_NOTIFICATIONS, 14)                                                                    \
    X(CONFIGURE_MEM_SLOTS, 15)                                                                     \
    X(STATUS, 16)                                                                                  \
    X(XEN_MMAP, 17)                                                                                \
    X(SHARED_OBJECT, 18)                                                                           \
    X(DEVICE_STATE, 19)                                                                            \
    X(GET_VRING_BASE_INFLIGHT, 20)                                                                 \
    X(GPA_ADDRESSES, 21)                                                                           \
    X(SHMEM, 22)

typedef enum vhu_protocol_feature {
#define VHU_PROTOCOL_FEATURE_ENUM(name, bit) VHU_PF_##name = (bit),
    VHU_PROTOCOL_FEATURE_MAP(VHU_PROTOCOL_FEATURE_ENUM)
#undef VHU_PROTOCOL_FEATURE_ENUM
        VHU_PF_END
} vhu_protocol_feature;

/* Virtio feature bits that the protocol or the rings look at: bit numbers. */
enum {
    VHU_F_LOG_ALL = 26,
    VHU_F_RING_INDIRECT_DESC = 28,
    VHU_F_RING_EVENT_IDX = 29,
    VHU_F_PROTOCOL_FEATURES = 30,
    VHU_F_VERSION_1 = 32,
    VHU_F_ACCESS_PLATFORM = 33,
    VHU_F_RING_PACKED = 34,
    VHU_F_IN_ORDER = 35
};

/* The mask of a bit number, for features of either kind. */
#define VHU_BIT(number) (UINT64_C(1) << (number))

/* Bits of SET_STATUS and GET_STATUS (virtio: 2.1 "Device Status Field"). */
enum {
    VHU_STATUS_ACKNOWLEDGE = 0x1,
    VHU_STATUS_DRIVER = 0x2,
    VHU_STATUS_DRIVER_OK = 0x4,
    VHU_STATUS_FEATURES_OK = 0x8,
    VHU_STATUS_NEEDS_RESET = 0x40,
    VHU_STATUS_FAILED = 0x80
};

/* Section "A vring state description": index and a number that depends on the request. */
typedef struct vhu_vring_state {
    uint32_t index;
    uint32_t num;
} vhu_vring_state;

/* Section "A vring address description". The addresses are the front-end's user addresses. */
typedef struct vhu_vring_addr {
    uint32_t index;
    uint32_t flags; /* VHU_VRING_F_LOG */
    uint64_t desc;
    uint64_t used;
    uint64_t avail;
    uint64_t log;
} vhu_vring_addr;

enum { VHU_VRING_F_LOG = 0x1 };

/* Section "Memory region description". Bytes. */
typedef struct vhu_mem_region {
    uint64_t guest_addr;
    uint64_t size;
    uint64_t user_addr;   /* where the front-end sees it; in postcopy's reply: the back-end */
    uint64_t mmap_offset; /* where it begins in the handle's object */
} vhu_mem_region;

/* The same: what follows each region if XEN_MMAP was negotiated. */
typedef struct vhu_xen_mmap {
    uint32_t flags;  /* VHU_XEN_*; 0: as other memory */
    uint32_t domain; /* whose memory it is */
} vhu_xen_mmap;

enum {
    VHU_XEN_FOREIGN = 0x1,
    VHU_XEN_GRANT = 0x2,
    VHU_XEN_NO_ADVANCE = 0x100 /* to be mapped in pieces, when they are needed */
};

/* Regions in one SET_MEM_TABLE. */
#define VHU_MAX_TABLE_REGIONS 8u

/* Section "Log description". Bytes. */
typedef struct vhu_log_area {
    uint64_t size;
    uint64_t offset;
} vhu_log_area;

/* Section "An IOTLB message". */
typedef struct vhu_iotlb_msg {
    uint64_t iova;
    uint64_t size;
    uint64_t user_addr;
    uint8_t perm; /* VHU_IOTLB_RO, _WO, _RW */
    uint8_t type; /* VHU_IOTLB_MISS .. */
    uint8_t pad[6];
} vhu_iotlb_msg;

enum { VHU_IOTLB_RO = 1, VHU_IOTLB_WO = 2, VHU_IOTLB_RW = 3 };
enum {
    VHU_IOTLB_MISS = 1,
    VHU_IOTLB_UPDATE = 2,
    VHU_IOTLB_INVALIDATE = 3,
    VHU_IOTLB_ACCESS_FAIL = 4
};

/* Section "Virtio device config space": what precedes the configuration's bytes. */
typedef struct vhu_config_header {
    uint32_t offset;
    uint32_t size;
    uint32_t flags; /* VHU_CONFIG_* */
} vhu_config_header;

/* rust-vmm front-ends send 1 for writable fields and 2 for migration. */
enum { VHU_CONFIG_WRITABLE = 0, VHU_CONFIG_MIGRATION = 1 };

/* Bytes of configuration that one request can carry. */
#define VHU_MAX_CONFIG 4096u

/* Section "Inflight description". */
typedef struct vhu_inflight_area {
    uint64_t mmap_size; /* bytes */
    uint64_t mmap_offset;
    uint16_t num_queues;
    uint16_t queue_size; /* descriptors */
} vhu_inflight_area;

/* Section "Device state transfer parameters". */
typedef struct vhu_device_state {
    uint32_t direction; /* VHU_STATE_SAVE, VHU_STATE_LOAD */
    uint32_t phase;     /* VHU_STATE_STOPPED */
} vhu_device_state;

enum { VHU_STATE_SAVE = 0, VHU_STATE_LOAD = 1 };
enum { VHU_STATE_STOPPED = 0 };

/* Section "VIRTIO Shared Memory Region configuration". */
typedef struct vhu_shmem_config {
    uint32_t num_regions;
    uint32_t pad;
    uint64_t sizes[256]; /* bytes by region number; 0: no such region */
} vhu_shmem_config;

/* Section "VIRTIO Shared Memory Region" requests of the back-end. Bytes. */
typedef struct vhu_shmem_request {
    uint8_t region; /* number of the shared memory region */
    uint8_t pad[7];
    uint64_t handle_offset; /* where it begins in the handle's object */
    uint64_t region_offset; /* where it appears in the region */
    uint64_t len;
    uint64_t flags; /* VHU_SHMEM_RW */
} vhu_shmem_request;

enum { VHU_SHMEM_RW = 0x1 };

/* Which of a ring's three events a message carries. */
typedef enum vhu_vring_event { VHU_VRING_KICK, VHU_VRING_CALL, VHU_VRING_ERR } vhu_vring_event;

/* Largest ring (virtio: 2.7 "Split Virtqueues"), and the rings that event messages can name. */
#define VHU_MAX_RING_SIZE 32768u
#define VHU_MAX_RINGS 256u

/* The base of a new packed ring: nothing is available or used yet, in the first lap. */
#define VHU_PACKED_RING_BASE UINT32_C(0x80008000)

/*
 * Name of a front-end or back-end request such as "GET_FEATURES", or NULL if the code is unknown;
 * name of a protocol feature's bit number such as "REPLY_ACK", or NULL. Static strings. Any thread.
 */
VHU_API const char *vhu_frontend_request_name(uint32_t request);
VHU_API const char *vhu_backend_request_name(uint32_t request);
VHU_API const char *vhu_protocol_feature_name(unsigned bit);

#ifdef __cplusplus
}
#endif

#endif
