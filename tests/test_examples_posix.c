/* SPDX-License-Identifier: BSD-3-Clause */
/* Examples in other languages, on the shared library. */
#include "test_examples_fixture.h"

static const char python[] = "python3";

static void test_ctypes_device(void **state)
{
    const char *const args[] = {python, CTYPES_DEVICE, examples_address.text, LIBRARY, NULL};

    (void)state;
    examples_run_entropy(args);
}

static int make_folder(void **state)
{
    return examples_setup(state) || program_try(python);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_ctypes_device),
    };

    return cmocka_run_group_tests(tests, make_folder, examples_teardown);
}
