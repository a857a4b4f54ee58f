/* SPDX-License-Identifier: BSD-3-Clause */
/* What was found, on a sheet. */
#ifndef PROBE_REPORT_H
#define PROBE_REPORT_H

#include "checks.h"
#include "sheet.h"

void report_facts(struct sheet *sheet, const char *address, const struct facts *facts);

/* Runs the checks; how many gave each verdict. */
struct tally {
    unsigned count[NUM_VERDICTS];
};
struct tally report_checks(struct sheet *sheet, struct subject *subject);

#endif
