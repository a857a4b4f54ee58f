/* SPDX-License-Identifier: BSD-3-Clause */
/* vhost-user-rng: its command line, and its bytes as a guest gets them. */
#include <stdio.h>
#include <string.h>

#include "support/file.h"
#include "support/sys.h"
#include "support/tool.h"
#include "support/vmm.h"

/* --- options --- */

static void test_wrong_options(void **state)
{
    static const struct tool_case cases[] = {
        {{NULL}, "--socket-path=PATH or --fd=N is needed"},
        {{"--socket-path=s", "--file=nowhere"}, "--file=nowhere: No such file"},
        {{"--socket-path=s", "--file=empty"}, "--file=empty: has no bytes"},
        {{"--socket-path=s", "--file"}, "--file: the option needs an"},
        {{"--socket-path=nowhere/s"}, "--socket-path=nowhere/s: "},
        {{"--socket-path=s", "--blk-file=word"}, "no such option"},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 1);
}

static void test_told_and_done(void **state)
{
    static const struct tool_case cases[] = {
        {{"--print-capabilities"}, "\"type\": \"rng\""},
        {{"--help"}, "--file=FILE"},
        {{"--version"}, "vhost-user-rng 0."},
    };

    (void)state;
    tool_expect(cases, sizeof(cases) / sizeof(cases[0]), 0);
}

/* --- bytes --- */

/* Ends it, and checks what it says it has served. */
static void end(program *p, unsigned requests, unsigned bytes)
{
    char text[80];

    snprintf(text, sizeof(text), "vhost-user-rng: served requests=%u bytes=%u\n", requests, bytes);
    program_stop(p, text);
    program_free(p);
}

/* Requests of all sizes go on where the one before has ended, in any layout of the ring. */
static void test_bytes_of_a_file(void **state)
{
    static const uint64_t features[] = {VHU_DRIVER_FEATURES & ~VHU_BIT(VHU_F_RING_PACKED),
                                        VHU_DRIVER_FEATURES};
    static const uint32_t sizes[] = {1, 2, 7, 3, 8192, 4099, 64};
    static const char word[] = "a word!";
    const uint32_t period = (uint32_t)strlen(word);
    sys_address address;

    (void)state;
    for (size_t k = 0; k < 2; k++) {
        uint32_t at = 0;
        program *p;
        vmm v;

        sys_address_new(&address);
        p = tool_start((const char *[]){"--file=word", "--socket-path", address.text, NULL});
        vmm_open(&v, address.text, 1, features[k]);
        for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
            const uint8_t *bytes;
            uint32_t len;

            vmm_add(&v, 0, NULL, 0, sizes[i]);
            bytes = vmm_take(&v, 0, &len);
            assert_int_equal(len, sizes[i]);
            for (uint32_t b = 0; b < len; b++)
                assert_int_equal(bytes[b], word[at++ % period]);
        }
        vmm_close(&v);
        end(p, 7, at);
    }
}

/* They differ from each other and from nothing; a request without room gets none. */
static void test_bytes_of_the_system(void **state)
{
    uint8_t before[32] = {0};
    sys_address address;
    const uint8_t *bytes;
    uint32_t len;
    program *p;
    vmm v;

    (void)state;
    sys_address_new(&address);
    p = tool_start((const char *[]){"--socket-path", address.text, NULL});
    vmm_open(&v, address.text, 1, VHU_DRIVER_FEATURES);
    for (int i = 0; i < 3; i++) {
        vmm_add(&v, 0, NULL, 0, sizeof(before));
        bytes = vmm_take(&v, 0, &len);
        assert_int_equal(len, sizeof(before));
        assert_memory_not_equal(bytes, before, sizeof(before));
        memcpy(before, bytes, sizeof(before));
    }
    vmm_add(&v, 0, "?", 1, 0);
    vmm_take(&v, 0, &len);
    assert_int_equal(len, 0);
    vmm_close(&v);
    end(p, 4, 3 * sizeof(before));
}

static int set_up(void **state)
{
    (void)state;
    if (tool_setup(RNG_PROGRAM, NULL))
        return -1;
    file_write(folder_at(&tool_folder, "word").path, 0, "a word!", 7);
    file_resize(folder_at(&tool_folder, "empty").path, 0);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        leakcheck_test(test_wrong_options),
        leakcheck_test(test_told_and_done),
        leakcheck_test(test_bytes_of_a_file),
        leakcheck_test(test_bytes_of_the_system),
    };

    return cmocka_run_group_tests(tests, set_up, tool_teardown);
}
