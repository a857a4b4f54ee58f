/* SPDX-License-Identifier: BSD-3-Clause */
#include "test_examples_fixture.h"

#include "support/vmm.h"

folder examples_folder;
sys_address examples_address;

int examples_setup(void **state)
{
    (void)state;
    sys_address_new(&examples_address);
    return folder_new(&examples_folder);
}

int examples_teardown(void **state)
{
    (void)state;
    sys_address_clear(&examples_address);
    return folder_remove(&examples_folder);
}

void examples_connect(vhu_remote *remote)
{
    vmm_connect(remote, examples_address.text);
}

void examples_wait_for_listener(void)
{
    const vhu_remote_options options = {.size = sizeof(options), .num_rings = 1};
    vhu_remote *remote;

    assert_int_equal(vhu_remote_new(&remote, &options), 0);
    examples_connect(remote);
    vhu_remote_free(remote);
}

void examples_use_entropy(void)
{
    static const uint8_t zeroes[64];
    vmm v;

    vmm_open(&v, examples_address.text, 1, VHU_DRIVER_FEATURES);
    for (int i = 0; i < 100; i++) {
        const uint8_t *bytes;
        uint32_t len;

        vmm_add(&v, 0, NULL, 0, sizeof(zeroes));
        bytes = vmm_take(&v, 0, &len);
        assert_int_equal(len, sizeof(zeroes));
        assert_memory_not_equal(bytes, zeroes, sizeof(zeroes));
    }
    vmm_close(&v);
}

void examples_run_entropy(const char *const *args)
{
    program *p = program_start(examples_folder.path, args);

    assert_non_null(p);
    examples_use_entropy();
    program_expect(p, 0, "the front-end has gone");
    program_free(p);
}
