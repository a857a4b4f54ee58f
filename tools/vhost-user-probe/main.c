/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-probe: what a back-end is and offers, and whether it keeps to the protocol. */
#include "options.h"
#include "report.h"
#include "sector.h"

#include <stdlib.h>
#include <string.h>
#include <vmm_vhost/version.h>

static const char program[] = "vhost-user-probe";

enum { EXIT_VIOLATION = 1, EXIT_CANNOT_RUN = 2 };

struct settings {
    const char *address;
    unsigned type;
    unsigned timeout_ms;
    const char *read;
    uint64_t sector;
    bool check;
    bool json;
    bool help;
    bool version;
};

static int complain(const char *text)
{
    fprintf(stderr, "%s: %s\n", program, text);
    return EXIT_CANNOT_RUN;
}

static void print_help(const struct option_row *rows, size_t num_rows)
{
    printf(
        "%s: tells what a vhost-user back-end is and offers\n\nusage: %s [OPTION...] ADDRESS\n\n"
        "ADDRESS is the path of its socket, @NAME, or \\\\.\\pipe\\NAME on Windows. --check sends "
        "wrong\nmessages, too: not to a back-end in use.\n\n",
        program, program);
    options_help(rows, num_rows);
    puts("\nExit codes: 0; 1: --check has found a violation; 2: it could not be run to its end.");
}

/* A sector's number may be larger than an option's. */
static bool parse_sector(struct settings *settings)
{
    char *end;

    if (!settings->read)
        return true;
    settings->sector = strtoull(settings->read, &end, 10);
    return *settings->read >= '0' && *settings->read <= '9' && !*end;
}

/* Whether to go on; if not, *code is the exit code. */
static bool parse(struct settings *settings, int argc, char **argv, int *code)
{
    const struct option_row rows[] = {
        {"type", OPTION_CHOICE, &settings->type, device_type_words(), "what kind of device it is",
         0, 0},
        {"check", OPTION_FLAG, &settings->check, NULL,
         "check that it keeps to the protocol; its data stay untouched", 0, 0},
        {"read", OPTION_TEXT, &settings->read, "LBA", "with --type=blk: read a sector, by a ring",
         0, 0},
        {"timeout", OPTION_NUMBER, &settings->timeout_ms, "MS",
         "how long to wait for each reply (3000)", 1, 3600000},
        {"json", OPTION_FLAG, &settings->json, NULL, "print JSON", 0, 0},
        {"help", OPTION_FLAG, &settings->help, NULL, "print this", 0, 0},
        {"version", OPTION_FLAG, &settings->version, NULL, "print the version", 0, 0},
    };
    const size_t num_rows = sizeof rows / sizeof rows[0];
    int first;

    *code = EXIT_CANNOT_RUN;
    if (options_parse_operands(program, rows, num_rows, argc, argv, &first))
        return false;
    if (settings->help || settings->version) {
        *code = EXIT_SUCCESS;
        if (settings->help)
            print_help(rows, num_rows);
        else
            printf("%s %s\n", program, VHU_VERSION_STRING);
        return false;
    }
    settings->address = argv[first];
    const struct device_type *type = device_type_at(settings->type);
    if (argc - first != 1)
        complain("one ADDRESS is needed (see --help)");
    else if (!parse_sector(settings))
        complain("--read: must be a number");
    else if (settings->read && (!type || strcmp(type->name, "blk") != 0))
        complain("--read needs --type=blk");
    else
        return true;
    return false;
}

static int read_sector(struct sheet *sheet, const struct settings *settings)
{
    uint8_t bytes[SECTOR_SIZE];
    char error[MAX_TEXT];

    if (sector_read(settings->address, (int)settings->timeout_ms, settings->sector, bytes, error,
                    sizeof error)) {
        sheet_text(sheet, "read_error", error);
        return complain(error);
    }
    sheet_number(sheet, "sector", settings->sector);
    sheet_bytes(sheet, "data", bytes, sizeof bytes);
    return EXIT_SUCCESS;
}

static int check(struct sheet *sheet, struct link *link, const struct facts *facts)
{
    struct subject subject = {.link = link, .facts = facts};
    const struct tally tally = report_checks(sheet, &subject);

    if (tally.count[VIOLATION])
        return EXIT_VIOLATION;
    return tally.count[NOT_RUN] ? EXIT_CANNOT_RUN : EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    struct settings settings = {.type = ~0u, .timeout_ms = 3000};
    struct sheet sheet = {.file = stdout};
    struct link link = {.handle = VHU_NO_HANDLE};
    static struct facts facts;
    char error[MAX_TEXT];
    int code;

    if (!parse(&settings, argc, argv, &code))
        return code;
    link.address = settings.address;
    link.timeout_ms = (int)settings.timeout_ms;
    facts.type = device_type_at(settings.type);
    if (facts_learn(&link, &facts, error, sizeof error))
        return complain(error);
    sheet.json = settings.json;
    sheet_begin(&sheet);
    report_facts(&sheet, settings.address, &facts);
    code = EXIT_SUCCESS;
    if (settings.read) {
        link_close(&link); /* most back-ends have one front-end at a time */
        code = read_sector(&sheet, &settings);
    }
    if (settings.check) {
        const int outcome = check(&sheet, &link, &facts);
        code = outcome == EXIT_VIOLATION ? outcome : code ? code : outcome;
    }
    link_close(&link);
    sheet_end(&sheet);
    return code;
}
