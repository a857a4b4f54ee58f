/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What a message says, field by field: for tracers, logs and error reports. Works on bytes that
 * anybody may have made up: nothing is read beyond them, and what is wrong with them is told.
 *
 * Pure functions: any thread, no allocation.
 */
#ifndef VMM_VHOST_DESCRIBE_H
#define VMM_VHOST_DESCRIBE_H

#include <vmm_vhost/protocol.h>
#include <vmm_vhost/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How a field is best shown. Readers let kinds pass that they do not know. */
typedef enum vhu_field_kind {
    VHU_FIELD_NUMBER = 0, /* a count, an index, bytes */
    VHU_FIELD_SIGNED = 1, /* `number` as int64_t: a status */
    VHU_FIELD_HEX = 2,    /* an address, an offset, a size of memory */
    VHU_FIELD_BOOL = 3,
    VHU_FIELD_WORD = 4,  /* a number that has a name in `word`, unless it is NULL */
    VHU_FIELD_BITS = 5,  /* a set of bits: see vhu_bit_name() */
    VHU_FIELD_BYTES = 6, /* `bytes` and `len` */
    VHU_FIELD_LIST = 7,  /* the list `name` begins; inside come items only */
    VHU_FIELD_ITEM = 8,  /* an item of a list begins; it has fields, but no name */
    VHU_FIELD_END = 9    /* the list or item that began last ends */
} vhu_field_kind;

/* Which bits a VHU_FIELD_BITS has. */
typedef enum vhu_bits {
    VHU_BITS_FEATURES = 0, /* virtio's */
    VHU_BITS_PROTOCOL_FEATURES = 1,
    VHU_BITS_DEVICE_STATUS = 2,
    VHU_BITS_RING_ADDR = 3,
    VHU_BITS_SHMEM = 4
} vhu_bits;

/* Valid during the call that gets it. */
typedef struct vhu_field {
    vhu_field_kind kind;
    const char *name; /* static, such as "ring" */
    uint64_t number;
    const char *word; /* static */
    vhu_bits bits;
    const uint8_t *bytes; /* inside the payload */
    size_t len;
} vhu_field;

typedef void (*vhu_field_fn)(void *arg, const vhu_field *field);

typedef struct vhu_message {
    size_t size; /* sizeof(vhu_message) */
    vhu_msg_header header;
    const void *payload; /* `len` bytes; NULL if there are none */
    size_t len;          /* what is there, whatever the header says */
    size_t num_handles;
    bool back_channel; /* of the channel on which the back-end sends requests */
    /* What had been negotiated before it, 0 if that is not known. */
    uint64_t features;
    uint64_t protocol_features;
} vhu_message;

/* What vhu_describe() has found, beside the fields. */
enum {
    /* Something is wrong with it; the fields that make sense are told all the same. */
    VHU_FOUND_UNKNOWN = 0x1, /* the request's code; `bytes` are the payload */
    VHU_FOUND_SHORT = 0x2,   /* bytes are missing; `rest` is the structure that is not whole */
    VHU_FOUND_LONG = 0x4,    /* `rest` is what follows the last field */
    VHU_FOUND_HANDLES = 0x8, /* more or fewer of them than such a message has */
    VHU_FOUND_FLAGS = 0x10,  /* the header's: version, reserved bits, NEED_REPLY in a reply */
    VHU_FOUND_WRONG = 0x20,  /* a value breaks a rule: see *why */
    VHU_FOUND_FAULTS = 0x3f, /* all of the above */

    VHU_FOUND_ANSWERED = 0x100, /* a request that is answered, by what had been negotiated */
    VHU_FOUND_REFUSAL = 0x200   /* a reply that says that the request failed */
};

/*
 * Call `fn` (or nobody, if NULL) for each field in the order of the message, and return
 * VHU_FOUND_*. *why is set to a static text that says which rule a value breaks, or to NULL; `why`
 * may be NULL. A wrong `message->size` is VHU_FOUND_FAULTS.
 */
VHU_API unsigned vhu_describe(const vhu_message *message, vhu_field_fn fn, void *arg,
                              const char **why);

/*
 * Name of a bit of a VHU_FIELD_BITS, or NULL. `device` is virtio's number of the kind of device,
 * for its own feature bits; 0: not known. Static string.
 */
VHU_API const char *vhu_bit_name(vhu_bits bits, uint32_t device, unsigned bit);

/* Virtio's number of a kind of device such as "blk", 0 if the name is unknown; and its name. */
VHU_API uint32_t vhu_device_number(const char *name);
VHU_API const char *vhu_device_name(uint32_t device);

#ifdef __cplusplus
}
#endif

#endif
