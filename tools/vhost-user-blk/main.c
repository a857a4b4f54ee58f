/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-blk: a file or block device as a virtio disk for a virtual machine. */
#include "blk_device.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct program_info info = {
    .name = "vhost-user-blk",
    .summary = "serves a file or block device as a disk over vhost-user",
    .capabilities = "{\n"
                    "  \"type\": \"block\",\n"
                    "  \"features\": [\n"
                    "    \"read-only\",\n"
                    "    \"blk-file\"\n"
                    "  ]\n"
                    "}"};

enum cache_mode { CACHE_WRITEBACK, CACHE_NONE };

static const char cache_modes[] = "writeback|none";

struct settings {
    const char *serial;
    unsigned engine;
    unsigned cache;
    bool iommu;
    struct disk_options disk;
};

static enum program_verdict parse(struct program *program, struct settings *settings, int argc,
                                  char **argv)
{
    const struct option_row rows[] = {
        {"blk-file", OPTION_TEXT, &settings->disk.path, "FILE", "the disk: a file or block device",
         0, 0},
        {"read-only", OPTION_FLAG, &settings->disk.read_only, NULL, "refuse writes", 0, 0},
        {"serial", OPTION_TEXT, &settings->serial, "TEXT",
         "serial number for the guest, at most 20 characters", 0, 0},
        {"engine", OPTION_CHOICE, &settings->engine, engine_names,
         "how the disk is read and written (auto)", 0, 0},
        {"cache", OPTION_CHOICE, &settings->cache, cache_modes,
         "use the page cache, or go past it (writeback)", 0, 0},
        {"iommu", OPTION_FLAG, &settings->iommu, NULL,
         "the guest may have the disk behind an IOMMU", 0, 0},
        {"logical-block-size", OPTION_NUMBER, &settings->disk.logical_block, "BYTES",
         "least unit of access (what the disk asks for)", 512, 65536},
        {"physical-block-size", OPTION_NUMBER, &settings->disk.physical_block, "BYTES",
         "unit that is written fastest (what the disk asks for)", 512, 65536},
    };
    const enum program_verdict verdict =
        program_parse(program, rows, sizeof rows / sizeof rows[0], argc, argv);

    if (verdict != PROGRAM_RUN)
        return verdict;
    if (!settings->disk.path) {
        program_say(program, "--blk-file=FILE is needed (see --help)");
        return PROGRAM_WRONG;
    }
    if (strlen(settings->serial) > BLK_ID_SIZE) {
        program_say(program, "--serial=%s: is longer than %d characters", settings->serial,
                    BLK_ID_SIZE);
        return PROGRAM_WRONG;
    }
    settings->disk.direct = settings->cache == CACHE_NONE;
    return PROGRAM_RUN;
}

static const struct engine_ops *choose_engine(struct program *program, unsigned choice)
{
    char name[16];
    char error[256] = "";
    const char *word;
    const int len = option_choice(engine_names, choice, &word);

    snprintf(name, sizeof name, "%.*s", len, word);
    const struct engine_ops *engine = engine_choose(name, error, sizeof error);
    if (!engine)
        program_say(program, "--engine=%s: %s", name, error);
    else if (error[0])
        program_say(program, "%s", error);
    return engine;
}

static void print_served(const struct blk_device *device)
{
    const struct blk_counters counters = blk_device_counters(device);

    printf("%s: served", info.name);
#define PRINT_COUNTER(name) printf(" " #name "=%" PRIu64, counters.name);
    BLK_COUNTERS(PRINT_COUNTER)
#undef PRINT_COUNTER
    putchar('\n');
}

static int serve(struct blk_device *device, const struct settings *settings)
{
    const struct program_settings *common = &device->program.settings;
    const char *word;
    const int len = option_choice(cache_modes, settings->cache, &word);

    blk_init(&device->blk, &device->disk, settings->serial, common->num_queues);
    const uint64_t platform = settings->iommu ? VHU_BIT(VHU_F_ACCESS_PLATFORM) : 0;
    const struct program_device program_device = {.ops = &blk_device_ops,
                                                  .features = device->blk.features | platform,
                                                  .worker_start = blk_device_worker_start,
                                                  .worker_stop = blk_device_worker_stop};
    return program_serve(&device->program, &program_device,
                         "engine %s, cache %.*s, %" PRIu64 " sectors, %u queues, %u workers",
                         device->engine->name, len, word, device->disk.size / BLK_SECTOR,
                         common->num_queues, common->workers);
}

int main(int argc, char **argv)
{
    static struct blk_device device;
    struct settings settings = {.serial = ""};
    char error[512];
    enum program_verdict verdict;
    int code = EXIT_FAILURE;

    program_init(&device.program, &info);
    verdict = parse(&device.program, &settings, argc, argv);
    if (verdict != PROGRAM_RUN)
        return (int)verdict;
    device.engine = choose_engine(&device.program, settings.engine);
    if (!device.engine)
        return EXIT_FAILURE;
    if (disk_open(&device.disk, &settings.disk, error, sizeof error)) {
        program_say(&device.program, "%s", error);
        return EXIT_FAILURE;
    }
    if (blk_device_prepare(&device)) {
        program_say(&device.program, "out of memory");
    } else {
        code = serve(&device, &settings);
        if (code == EXIT_SUCCESS)
            print_served(&device);
    }
    blk_device_free(&device);
    disk_close(&device.disk);
    return code;
}
