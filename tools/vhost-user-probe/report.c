/* SPDX-License-Identifier: BSD-3-Clause */
#include "report.h"

#include <inttypes.h>
#include <vmm_vhost/describe.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* --- facts --- */

static const char *feature_name(const void *arg, unsigned bit)
{
    const struct facts *facts = arg;

    return vhu_bit_name(VHU_BITS_FEATURES, facts->type ? facts->type->number : 0, bit);
}

static const char *protocol_feature_name(const void *arg, unsigned bit)
{
    (void)arg;
    return vhu_protocol_feature_name(bit);
}

static void report_number(struct sheet *sheet, const struct facts *facts, unsigned gate,
                          const char *key, uint64_t number)
{
    char why[64];

    snprintf(why, sizeof why, facts_has(facts, gate) ? "no answer" : "not told: %s is not offered",
             vhu_protocol_feature_name(gate));
    if (facts_answered(facts, gate))
        sheet_number(sheet, key, number);
    else
        sheet_absent(sheet, key, why);
}

static void report_shmem(struct sheet *sheet, const struct facts *facts)
{
    static const char key[] = "shared_memory";

    if (!facts_has(facts, VHU_PF_SHMEM)) {
        sheet_absent(sheet, key, "not told: SHMEM is not offered");
        return;
    }
    sheet_list(sheet, key);
    for (uint32_t i = 0; i < COUNT(facts->shmem.sizes); ++i) {
        const struct cell cells[] = {
            {"region", 5, NULL, true, i},
            {"bytes", 20, NULL, true, facts->shmem.sizes[i]},
        };
        if (facts->shmem.sizes[i])
            sheet_row(sheet, cells, COUNT(cells));
    }
    sheet_list_end(sheet);
}

/* A field, unless the configuration ends before it does. */
static void report_field(struct sheet *sheet, const struct facts *facts,
                         const struct config_field *field)
{
    char text[RAW_CONFIG * 2 + 1];
    char note[64] = "";
    const bool is_number = config_is_number(field->kind);

    if ((uint32_t)field->offset + field->size > facts->config_len)
        return;
    if (field->feature >= 0 && !(facts->features >> field->feature & 1))
        snprintf(note, sizeof note, "%s is not offered",
                 vhu_bit_name(VHU_BITS_FEATURES, facts->type->number, (unsigned)field->feature));
    config_text(field, facts->config, text, sizeof text);
    const struct cell cells[] = {
        {"offset", 4, NULL, true, field->offset},
        {"size", 3, NULL, true, field->size},
        {"name", -32, field->name, false, 0},
        {"value", -24, text, is_number, is_number ? config_number(field, facts->config) : 0},
        {"note", 0, note, false, 0},
    };
    sheet_row(sheet, cells, COUNT(cells));
}

static void report_config(struct sheet *sheet, const struct facts *facts)
{
    static const char key[] = "configuration";

    if (!facts_has(facts, VHU_PF_CONFIG)) {
        sheet_absent(sheet, key, "not told: CONFIG is not offered");
    } else if (facts->type && facts->type->num_fields == 0) {
        sheet_absent(sheet, key, "this type has none");
    } else if (facts->config_len == 0) {
        sheet_absent(sheet, key, "refused");
    } else if (!facts->type) {
        sheet_bytes(sheet, key, facts->config, facts->config_len);
    } else {
        sheet_number(sheet, "configuration_bytes", facts->config_len);
        sheet_list(sheet, key);
        for (size_t i = 0; i < facts->type->num_fields; ++i)
            report_field(sheet, facts, &facts->type->fields[i]);
        sheet_list_end(sheet);
    }
}

static void report_warnings(struct sheet *sheet, const struct facts *facts)
{
    if (facts->num_warnings == 0 && !sheet->json)
        return;
    sheet_list(sheet, "warnings");
    for (size_t i = 0; i < facts->num_warnings; ++i)
        sheet_row(sheet, &(struct cell){"warning", 0, facts->warnings[i], false, 0}, 1);
    sheet_list_end(sheet);
}

void report_facts(struct sheet *sheet, const char *address, const struct facts *facts)
{
    sheet_text(sheet, "address", address);
    if (facts->type)
        sheet_text(sheet, "type", facts->type->name);
    else
        sheet_absent(
            sheet, "type",
            "not given: feature bits of its own have no names, its configuration stays raw");
    sheet_bits(sheet, "features", facts->features, feature_name, facts);
    sheet_bits(sheet, "protocol_features", facts->protocol_features, protocol_feature_name, NULL);
    report_number(sheet, facts, VHU_PF_MQ, "queues", facts->queues);
    report_number(sheet, facts, VHU_PF_CONFIGURE_MEM_SLOTS, "memory_slots", facts->memory_slots);
    report_shmem(sheet, facts);
    report_config(sheet, facts);
    report_warnings(sheet, facts);
}

/* --- checks --- */

struct progress {
    struct sheet *sheet;
    struct tally tally;
};

static void report_check(void *arg, const struct check *check, const struct check_result *result)
{
    struct progress *progress = arg;
    char broken[2 * MAX_TEXT];
    const struct cell cells[] = {
        {"verdict", -14, verdict_name(result->verdict), false, 0},
        {"check", -28, check->name, false, 0},
        {"detail", 0, result->detail, false, 0},
        {"rule", 0, check->rule, false, 0},
    };
    struct cell lines[3] = {cells[0], cells[1], cells[2]};

    ++progress->tally.count[result->verdict];
    if (progress->sheet->json) {
        sheet_row(progress->sheet, cells, COUNT(cells));
        return;
    }
    if (result->verdict == VIOLATION) {
        snprintf(broken, sizeof broken, "%s: %s", check->rule, result->detail);
        lines[2].text = broken;
    }
    sheet_row(progress->sheet, lines, COUNT(lines));
    fflush(progress->sheet->file);
}

struct tally report_checks(struct sheet *sheet, struct subject *subject)
{
    struct progress progress = {.sheet = sheet};

    sheet_list(sheet, "checks");
    checks_run(subject, report_check, &progress);
    sheet_list_end(sheet);
    sheet_number(sheet, "violations", progress.tally.count[VIOLATION]);
    if (progress.tally.count[NOT_RUN])
        sheet_number(sheet, "checks_not_run", progress.tally.count[NOT_RUN]);
    return progress.tally;
}
