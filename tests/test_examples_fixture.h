/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder and an address for examples that run, and the front-end of an entropy device. */
#ifndef TEST_EXAMPLES_FIXTURE_H
#define TEST_EXAMPLES_FIXTURE_H

#include <vmm_vhost/remote.h>

#include "support/folder.h"
#include "support/program.h"
#include "support/sys.h"

extern folder examples_folder;
extern sys_address examples_address;

/* Of a group of tests; program_try() must follow. */
int examples_setup(void **state);
int examples_teardown(void **state);

/* As soon as somebody listens. */
void examples_connect(vhu_remote *remote);
void examples_wait_for_listener(void);

/* Connect to an entropy device, ask it for bytes a hundred times, stop it, and go. */
void examples_use_entropy(void);

/* Such a device that serves one front-end and ends. */
void examples_run_entropy(const char *const *args);

#endif
