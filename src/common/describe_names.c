/* SPDX-License-Identifier: BSD-3-Clause */
/* Names of bits (virtio specification, "Device Types" and "Reserved Feature Bits"). */
#include <string.h>
#include <vmm_vhost/describe.h>

#include "util.h"

typedef struct bit_row {
    uint8_t bit;
    const char *name;
} bit_row;

/* What every device has; the legacy ones, too. */
static const bit_row common_bits[] = {
    {24, "NOTIFY_ON_EMPTY"},   {26, "LOG_ALL"},           {27, "ANY_LAYOUT"},
    {28, "INDIRECT_DESC"},     {29, "EVENT_IDX"},         {30, "PROTOCOL_FEATURES"},
    {32, "VERSION_1"},         {33, "ACCESS_PLATFORM"},   {34, "RING_PACKED"},
    {35, "IN_ORDER"},          {36, "ORDER_PLATFORM"},    {37, "SR_IOV"},
    {38, "NOTIFICATION_DATA"}, {39, "NOTIF_CONFIG_DATA"}, {40, "RING_RESET"},
    {41, "ADMIN_VQ"},
};

static const bit_row net_bits[] = {
    {0, "CSUM"},
    {1, "GUEST_CSUM"},
    {2, "CTRL_GUEST_OFFLOADS"},
    {3, "MTU"},
    {5, "MAC"},
    {6, "GSO"},
    {7, "GUEST_TSO4"},
    {8, "GUEST_TSO6"},
    {9, "GUEST_ECN"},
    {10, "GUEST_UFO"},
    {11, "HOST_TSO4"},
    {12, "HOST_TSO6"},
    {13, "HOST_ECN"},
    {14, "HOST_UFO"},
    {15, "MRG_RXBUF"},
    {16, "STATUS"},
    {17, "CTRL_VQ"},
    {18, "CTRL_RX"},
    {19, "CTRL_VLAN"},
    {20, "CTRL_RX_EXTRA"},
    {21, "GUEST_ANNOUNCE"},
    {22, "MQ"},
    {23, "CTRL_MAC_ADDR"},
    {50, "DEVICE_STATS"},
    {51, "HASH_TUNNEL"},
    {52, "VQ_NOTF_COAL"},
    {53, "NOTF_COAL"},
    {54, "GUEST_USO4"},
    {55, "GUEST_USO6"},
    {56, "HOST_USO"},
    {57, "HASH_REPORT"},
    {59, "GUEST_HDRLEN"},
    {60, "RSS"},
    {61, "RSC_EXT"},
    {62, "STANDBY"},
    {63, "SPEED_DUPLEX"},
};

static const bit_row blk_bits[] = {
    {0, "BARRIER"},  {1, "SIZE_MAX"}, {2, "SEG_MAX"},       {4, "GEOMETRY"},  {5, "RO"},
    {6, "BLK_SIZE"}, {7, "SCSI"},     {9, "FLUSH"},         {10, "TOPOLOGY"}, {11, "CONFIG_WCE"},
    {12, "MQ"},      {13, "DISCARD"}, {14, "WRITE_ZEROES"}, {15, "LIFETIME"}, {16, "SECURE_ERASE"},
    {17, "ZONED"},
};

static const bit_row scsi_bits[] = {{0, "INOUT"}, {1, "HOTPLUG"}, {2, "CHANGE"}, {3, "T10_PI"}};

static const bit_row gpu_bits[] = {
    {0, "VIRGL"}, {1, "EDID"}, {2, "RESOURCE_UUID"}, {3, "RESOURCE_BLOB"}, {4, "CONTEXT_INIT"}};

static const bit_row vsock_bits[] = {{0, "STREAM"}, {1, "SEQPACKET"}, {2, "NO_IMPLIED_STREAM"}};

static const bit_row crypto_bits[] = {{0, "REVISION_1"},          {1, "CIPHER_STATELESS_MODE"},
                                      {2, "HASH_STATELESS_MODE"}, {3, "MAC_STATELESS_MODE"},
                                      {4, "AEAD_STATELESS_MODE"}, {5, "AKCIPHER_STATELESS_MODE"}};

static const bit_row console_bits[] = {{0, "SIZE"}, {1, "MULTIPORT"}, {2, "EMERG_WRITE"}};
static const bit_row fs_bits[] = {{0, "NOTIFICATION"}};
static const bit_row gpio_bits[] = {{0, "IRQ"}};
static const bit_row i2c_bits[] = {{0, "ZERO_LENGTH_REQUEST"}};
static const bit_row sound_bits[] = {{0, "CTLS"}};

typedef struct device_row {
    uint32_t number;
    const char *name;
    const bit_row *bits;
    size_t num_bits;
} device_row;

#define BITS(rows) rows, VHU__COUNT(rows)

static const device_row devices[] = {
    {1, "net", BITS(net_bits)},
    {2, "blk", BITS(blk_bits)},
    {3, "console", BITS(console_bits)},
    {4, "rng", NULL, 0},
    {8, "scsi", BITS(scsi_bits)},
    {16, "gpu", BITS(gpu_bits)},
    {18, "input", NULL, 0},
    {19, "vsock", BITS(vsock_bits)},
    {20, "crypto", BITS(crypto_bits)},
    {25, "sound", BITS(sound_bits)},
    {26, "fs", BITS(fs_bits)},
    {34, "i2c", BITS(i2c_bits)},
    {41, "gpio", BITS(gpio_bits)},
};

static const bit_row status_bits[] = {
    {0, "ACKNOWLEDGE"},        {1, "DRIVER"}, {2, "DRIVER_OK"}, {3, "FEATURES_OK"},
    {6, "DEVICE_NEEDS_RESET"}, {7, "FAILED"},
};
static const bit_row ring_addr_bits[] = {{0, "LOG"}};
static const bit_row shmem_bits[] = {{0, "RW"}};

static const char *find(const bit_row *rows, size_t n, unsigned bit)
{
    for (size_t i = 0; i < n; i++) {
        if (rows[i].bit == bit)
            return rows[i].name;
    }
    return NULL;
}

static const char *feature_name(uint32_t device, unsigned bit)
{
    const char *name = find(BITS(common_bits), bit);

    for (size_t i = 0; !name && i < VHU__COUNT(devices); i++) {
        if (devices[i].number == device)
            name = find(devices[i].bits, devices[i].num_bits, bit);
    }
    return name;
}

const char *vhu_bit_name(vhu_bits bits, uint32_t device, unsigned bit)
{
    switch (bits) {
    case VHU_BITS_FEATURES:
        return feature_name(device, bit);
    case VHU_BITS_PROTOCOL_FEATURES:
        return vhu_protocol_feature_name(bit);
    case VHU_BITS_DEVICE_STATUS:
        return find(BITS(status_bits), bit);
    case VHU_BITS_RING_ADDR:
        return find(BITS(ring_addr_bits), bit);
    case VHU_BITS_SHMEM:
        return find(BITS(shmem_bits), bit);
    }
    return NULL;
}

uint32_t vhu_device_number(const char *name)
{
    for (size_t i = 0; i < VHU__COUNT(devices); i++) {
        if (strcmp(devices[i].name, name) == 0)
            return devices[i].number;
    }
    return 0;
}

const char *vhu_device_name(uint32_t device)
{
    for (size_t i = 0; i < VHU__COUNT(devices); i++) {
        if (devices[i].number == device)
            return devices[i].name;
    }
    return NULL;
}
