/* SPDX-License-Identifier: BSD-3-Clause */
/* What the configuration of each kind of device holds (virtio specification, "Device Types"). */
#ifndef PROBE_DEVICE_TYPES_H
#define PROBE_DEVICE_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum config_kind {
    CONFIG_NUMBER,  /* little-endian, 1, 2, 4 or 8 bytes */
    CONFIG_HEX,     /* the same, a set of bits */
    CONFIG_SECTORS, /* the same, units of 512 bytes */
    CONFIG_MAC,
    CONFIG_TEXT, /* filled up with zeroes */
    CONFIG_BYTES
};

struct config_field {
    uint8_t offset;
    uint8_t size;
    const char *name;
    enum config_kind kind;
    int8_t feature; /* bit number without which it means nothing; -1: none */
};

struct device_type {
    const char *name;
    uint32_t number; /* virtio's */
    const struct config_field *fields;
    size_t num_fields;
};

/* "blk|net|..." for the command line, and the type of a word's place in it. */
const char *device_type_words(void);
const struct device_type *device_type_at(unsigned choice);

/* Bytes up to the end of the last field. */
uint32_t device_type_config_size(const struct device_type *type);

/* A field's value as text, and as a number for the kinds that are one. */
bool config_is_number(enum config_kind kind);
uint64_t config_number(const struct config_field *field, const uint8_t *config);
void config_text(const struct config_field *field, const uint8_t *config, char *out, size_t size);

#endif
