/* SPDX-License-Identifier: BSD-3-Clause */
#include "device_types.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define ANY (-1)

static const struct config_field blk_fields[] = {
    {0, 8, "capacity", CONFIG_SECTORS, ANY},
    {8, 4, "size_max", CONFIG_NUMBER, 1},
    {12, 4, "seg_max", CONFIG_NUMBER, 2},
    {16, 2, "cylinders", CONFIG_NUMBER, 4},
    {18, 1, "heads", CONFIG_NUMBER, 4},
    {19, 1, "sectors", CONFIG_NUMBER, 4},
    {20, 4, "blk_size", CONFIG_NUMBER, 6},
    {24, 1, "physical_block_exp", CONFIG_NUMBER, 10},
    {25, 1, "alignment_offset", CONFIG_NUMBER, 10},
    {26, 2, "min_io_size", CONFIG_NUMBER, 10},
    {28, 4, "opt_io_size", CONFIG_NUMBER, 10},
    {32, 1, "writeback", CONFIG_NUMBER, 11},
    {34, 2, "num_queues", CONFIG_NUMBER, 12},
    {36, 4, "max_discard_sectors", CONFIG_SECTORS, 13},
    {40, 4, "max_discard_seg", CONFIG_NUMBER, 13},
    {44, 4, "discard_sector_alignment", CONFIG_SECTORS, 13},
    {48, 4, "max_write_zeroes_sectors", CONFIG_SECTORS, 14},
    {52, 4, "max_write_zeroes_seg", CONFIG_NUMBER, 14},
    {56, 1, "write_zeroes_may_unmap", CONFIG_NUMBER, 14},
    {60, 4, "max_secure_erase_sectors", CONFIG_SECTORS, 16},
    {64, 4, "max_secure_erase_seg", CONFIG_NUMBER, 16},
    {68, 4, "secure_erase_sector_alignment", CONFIG_SECTORS, 16},
    {72, 4, "zone_sectors", CONFIG_SECTORS, 17},
    {76, 4, "max_open_zones", CONFIG_NUMBER, 17},
    {80, 4, "max_active_zones", CONFIG_NUMBER, 17},
    {84, 4, "max_append_sectors", CONFIG_SECTORS, 17},
    {88, 4, "write_granularity", CONFIG_NUMBER, 17},
    {92, 1, "zone_model", CONFIG_NUMBER, 17},
    {93, 3, "unused", CONFIG_BYTES, 17},
};

static const struct config_field net_fields[] = {
    {0, 6, "mac", CONFIG_MAC, 5},
    {6, 2, "status", CONFIG_HEX, 16},
    {8, 2, "max_virtqueue_pairs", CONFIG_NUMBER, 22},
    {10, 2, "mtu", CONFIG_NUMBER, 3},
    {12, 4, "speed", CONFIG_NUMBER, 63},
    {16, 1, "duplex", CONFIG_NUMBER, 63},
    {17, 1, "rss_max_key_size", CONFIG_NUMBER, 60},
    {18, 2, "rss_max_indirection_table_length", CONFIG_NUMBER, 60},
    {20, 4, "supported_hash_types", CONFIG_HEX, 60},
    {24, 4, "supported_tunnel_types", CONFIG_HEX, 51},
};

static const struct config_field fs_fields[] = {
    {0, 36, "tag", CONFIG_TEXT, ANY},
    {36, 4, "num_request_queues", CONFIG_NUMBER, ANY},
    {40, 4, "notify_buf_size", CONFIG_NUMBER, 0},
};

static const struct config_field vsock_fields[] = {{0, 8, "guest_cid", CONFIG_NUMBER, ANY}};

static const struct config_field console_fields[] = {
    {0, 2, "cols", CONFIG_NUMBER, 0},
    {2, 2, "rows", CONFIG_NUMBER, 0},
    {4, 4, "max_nr_ports", CONFIG_NUMBER, 1},
    {8, 4, "emerg_wr", CONFIG_NUMBER, 2},
};

static const struct config_field input_fields[] = {
    {0, 1, "select", CONFIG_NUMBER, ANY},
    {1, 1, "subsel", CONFIG_NUMBER, ANY},
    {2, 1, "size", CONFIG_NUMBER, ANY},
    {8, 128, "data", CONFIG_BYTES, ANY},
};

static const struct config_field scsi_fields[] = {
    {0, 4, "num_queues", CONFIG_NUMBER, ANY},       {4, 4, "seg_max", CONFIG_NUMBER, ANY},
    {8, 4, "max_sectors", CONFIG_SECTORS, ANY},     {12, 4, "cmd_per_lun", CONFIG_NUMBER, ANY},
    {16, 4, "event_info_size", CONFIG_NUMBER, ANY}, {20, 4, "sense_size", CONFIG_NUMBER, ANY},
    {24, 4, "cdb_size", CONFIG_NUMBER, ANY},        {28, 2, "max_channel", CONFIG_NUMBER, ANY},
    {30, 2, "max_target", CONFIG_NUMBER, ANY},      {32, 4, "max_lun", CONFIG_NUMBER, ANY},
};

static const struct config_field gpu_fields[] = {
    {0, 4, "events_read", CONFIG_HEX, ANY},
    {4, 4, "events_clear", CONFIG_HEX, ANY},
    {8, 4, "num_scanouts", CONFIG_NUMBER, ANY},
    {12, 4, "num_capsets", CONFIG_NUMBER, ANY},
};

static const struct config_field sound_fields[] = {
    {0, 4, "jacks", CONFIG_NUMBER, ANY},
    {4, 4, "streams", CONFIG_NUMBER, ANY},
    {8, 4, "chmaps", CONFIG_NUMBER, ANY},
    {12, 4, "controls", CONFIG_NUMBER, 0},
};

static const struct config_field crypto_fields[] = {
    {0, 4, "status", CONFIG_HEX, ANY},
    {4, 4, "max_dataqueues", CONFIG_NUMBER, ANY},
    {8, 4, "crypto_services", CONFIG_HEX, ANY},
    {12, 4, "cipher_algo_l", CONFIG_HEX, ANY},
    {16, 4, "cipher_algo_h", CONFIG_HEX, ANY},
    {20, 4, "hash_algo", CONFIG_HEX, ANY},
    {24, 4, "mac_algo_l", CONFIG_HEX, ANY},
    {28, 4, "mac_algo_h", CONFIG_HEX, ANY},
    {32, 4, "aead_algo", CONFIG_HEX, ANY},
    {36, 4, "max_cipher_key_len", CONFIG_NUMBER, ANY},
    {40, 4, "max_auth_key_len", CONFIG_NUMBER, ANY},
    {44, 4, "akcipher_algo", CONFIG_HEX, ANY},
    {48, 8, "max_size", CONFIG_NUMBER, ANY},
};

static const struct config_field gpio_fields[] = {
    {0, 2, "ngpio", CONFIG_NUMBER, ANY},
    {4, 4, "gpio_names_size", CONFIG_NUMBER, ANY},
};

#define FIELDS(rows) rows, COUNT(rows)

static const struct device_type types[] = {
    {"blk", 2, FIELDS(blk_fields)},
    {"net", 1, FIELDS(net_fields)},
    {"fs", 26, FIELDS(fs_fields)},
    {"vsock", 19, FIELDS(vsock_fields)},
    {"rng", 4, NULL, 0},
    {"console", 3, FIELDS(console_fields)},
    {"input", 18, FIELDS(input_fields)},
    {"scsi", 8, FIELDS(scsi_fields)},
    {"gpu", 16, FIELDS(gpu_fields)},
    {"sound", 25, FIELDS(sound_fields)},
    {"crypto", 20, FIELDS(crypto_fields)},
    {"i2c", 34, NULL, 0},
    {"gpio", 41, FIELDS(gpio_fields)},
};

const char *device_type_words(void)
{
    static char words[COUNT(types) * 9];
    size_t len = 0;

    for (size_t i = 0; i < COUNT(types); ++i)
        len +=
            (size_t)snprintf(words + len, sizeof words - len, "%s%s", i ? "|" : "", types[i].name);
    return words;
}

const struct device_type *device_type_at(unsigned choice)
{
    return choice < COUNT(types) ? &types[choice] : NULL;
}

uint32_t device_type_config_size(const struct device_type *type)
{
    if (type->num_fields == 0)
        return 0;
    const struct config_field *last = &type->fields[type->num_fields - 1];
    return (uint32_t)last->offset + last->size;
}

bool config_is_number(enum config_kind kind)
{
    return kind == CONFIG_NUMBER || kind == CONFIG_HEX || kind == CONFIG_SECTORS;
}

uint64_t config_number(const struct config_field *field, const uint8_t *config)
{
    uint64_t value = 0;

    for (unsigned i = 0; i < field->size && i < 8; ++i)
        value |= (uint64_t)config[field->offset + i] << (8 * i);
    return value;
}

static void sectors_text(uint64_t sectors, char *out, size_t size)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    uint64_t left = sectors / 2;
    size_t unit = 0;

    for (; unit + 1 < COUNT(units) && left >= 1024 && left % 1024 == 0; ++unit)
        left /= 1024;
    if (sectors % 2 || sectors == 0)
        snprintf(out, size, "%" PRIu64 " sectors", sectors);
    else
        snprintf(out, size, "%" PRIu64 " sectors (%" PRIu64 " %s)", sectors, left, units[unit]);
}

void config_text(const struct config_field *field, const uint8_t *config, char *out, size_t size)
{
    const uint8_t *bytes = config + field->offset;
    const uint64_t number = config_number(field, config);
    size_t len = 0;

    out[0] = '\0';
    switch (field->kind) {
    case CONFIG_NUMBER:
        snprintf(out, size, "%" PRIu64, number);
        break;
    case CONFIG_HEX:
        snprintf(out, size, "0x%" PRIx64, number);
        break;
    case CONFIG_SECTORS:
        sectors_text(number, out, size);
        break;
    case CONFIG_TEXT:
        snprintf(out, size, "%.*s", (int)strnlen((const char *)bytes, field->size), bytes);
        break;
    case CONFIG_MAC:
    case CONFIG_BYTES:
        for (unsigned i = 0; i < field->size && len < size; ++i)
            len += (size_t)snprintf(out + len, size - len, "%s%02x",
                                    i && field->kind == CONFIG_MAC ? ":" : "", bytes[i]);
        break;
    }
}
