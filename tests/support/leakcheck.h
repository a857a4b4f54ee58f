/* SPDX-License-Identifier: BSD-3-Clause */
/* A test's setup and teardown that fail it when it leaves a descriptor open or closes one more. */
#ifndef TEST_LEAKCHECK_H
#define TEST_LEAKCHECK_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

int leakcheck_setup(void **state);
int leakcheck_teardown(void **state);

/* Descriptors that this process has open now. */
int leakcheck_count(void);

#define leakcheck_test(function)                                                                   \
    cmocka_unit_test_setup_teardown(function, leakcheck_setup, leakcheck_teardown)

#endif
